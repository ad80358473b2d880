//! Recognises one-time codes and lets them leave the queue first.
//!
//! Invariant: a priority is only ever raised, and nothing but priority, stream and tag changes.
//! Invariant: the code itself never leaves the message: it is in no log, tag or metric.

mod haystack;
mod recognise;
mod words;

use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;

/// Characters of a part that are looked at: mail that brings a code says so at its beginning.
const CHARACTERS_MAX: u32 = 6_000;
/// Parts that are looked at.
const PARTS_MAX: usize = 4;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The priority of messages with a one-time code, 1 to 9 (RFC 6710).
    pub priority: i8,
    /// Points that make a message one with a code; more is stricter.
    pub threshold: i32,
    /// Whose mail is meant.
    pub clients: Clients,
    /// The stream to put such messages into.
    pub stream: Option<String>,
    /// Set the tag `otp` with the points.
    pub tag: bool,
    /// More words that announce a code, in lower case.
    pub more_words: Vec<String>,
}

/// Whose mail is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clients {
    /// Of all.
    #[default]
    All,
    /// Of those who logged in.
    Authenticated,
}

impl Default for Config {
    fn default() -> Config {
        let (clients, more_words) = (Clients::default(), Vec::new());
        Config { priority: 6, threshold: 5, clients, stream: None, tag: true, more_words }
    }
}

/// The plugin.
pub struct OtpPriority {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for OtpPriority {
    type Config = Config;

    fn new(mut config: Config) -> Result<OtpPriority, Problems> {
        let mut problems = Problems::default();
        if !(1..=9).contains(&config.priority) {
            problems.add("priority", "must be from 1 to 9");
        }
        if !(3..=20).contains(&config.threshold) {
            problems.add("threshold", "must be from 3 to 20");
        }
        if config.stream.as_deref().is_some_and(|name| !is_name(name)) {
            problems.add("stream", "a name has 1 to 64 letters, digits, \"-\", \"_\" or \".\"");
        }
        for (index, word) in config.more_words.iter_mut().enumerate() {
            *word = word.trim().to_lowercase();
            if word.chars().count() < 2 {
                problems.add(
                    ["more_words[", &index.to_string(), "]"].concat(),
                    "must have two characters at least",
                );
            }
        }
        problems.finish(OtpPriority { config })
    }
}

#[baton_sdk::hook]
impl Data for OtpPriority {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        let authenticated_only = self.config.clients == Clients::Authenticated;
        if authenticated_only && cx.session().account().is_none() {
            return next();
        }
        let points = self.points(cx);
        if points < self.config.threshold {
            return next();
        }
        let envelope = cx.envelope();
        if envelope.priority() < self.config.priority {
            envelope.set_priority(self.config.priority)?;
        }
        if let Some(stream) = &self.config.stream {
            envelope.set_message_stream(stream)?;
        }
        if self.config.tag {
            envelope.tag("otp", &points.to_string())?;
        }
        cx.metrics().count("recognised", 1, &[]);
        next()
    }
}

impl OtpPriority {
    fn points(&self, cx: &Context) -> i32 {
        let message = cx.message();
        let mut mail = recognise::Mail {
            subject: message.header("Subject").unwrap_or_default(),
            is_list: message.header("List-Id").is_some() || message.header("List-Unsubscribe").is_some(),
            ..recognise::Mail::default()
        };
        for (index, part) in message.parts().enumerate() {
            let kind = part.content_type();
            if index >= PARTS_MAX
                || part.filename().is_some()
                || part.disposition().as_deref() == Some("attachment")
            {
                // Pictures of a logo are named too; what is no picture is something that people send, not a code.
                mail.has_attachment |= !kind.starts_with("image/");
            } else if kind == "text/plain" || kind == "text/html" {
                mail.texts.push(part.plain_text(CHARACTERS_MAX));
            }
        }
        recognise::points(&mail, &self.config.more_words)
    }
}

#[cfg(test)]
mod tests;
