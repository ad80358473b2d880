//! Takes the same message for the same recipient once.
//!
//! Invariant: only what the relay has taken counts. A message is remembered in the `route` hook, when it is in the queue;
//! one that was refused after this plugin saw it is taken when it comes again.
//! Invariant: where the store fails, mail comes twice rather than not at all (`on_failure = "open"`).

use std::time::Duration;

use baton_sdk::prelude::*;
use baton_sdk::{Digest, KvError};
use sha2::{Digest as _, Sha256};

/// The note that carries the message's identity to the `route` hook.
const NOTE: &str = "identity";

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The bucket of the key-value store; needs a grant.
    pub bucket: String,
    /// A message is remembered for so long, in seconds.
    pub ttl_s: u32,
    /// What makes two messages the same, besides the recipient.
    pub by: Vec<Property>,
    /// What is done with a message that all its recipients have.
    pub action: Action,
}

/// A property of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// The Message-ID field; a message without one is never a duplicate.
    MessageId,
    /// The content, its header left out.
    Body,
    /// The Subject field.
    Subject,
    /// The return path.
    Sender,
}

/// What is done with a message that all its recipients have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Say yes to the client and drop it.
    #[default]
    Discard,
    /// Refuse it.
    Reject,
    /// Take it with the tag `duplicate`.
    Tag,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            bucket: "duplicate-filter".to_owned(),
            ttl_s: 86_400,
            by: vec![Property::MessageId, Property::Body],
            action: Action::default(),
        }
    }
}

/// The plugin.
pub struct DuplicateFilter {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for DuplicateFilter {
    type Config = Config;

    fn new(config: Config) -> Result<DuplicateFilter, Problems> {
        let mut problems = Problems::default();
        if config.ttl_s == 0 {
            problems.add("ttl_s", "must be at least 1");
        }
        if !config.by.iter().any(|property| matches!(property, Property::MessageId | Property::Body)) {
            problems.add("by", "needs \"message-id\" or \"body\", or different mail would be the same");
        }
        problems.finish(DuplicateFilter { config })
    }
}

#[baton_sdk::hook]
impl Data for DuplicateFilter {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        let Some(identity) = self.identity(cx)? else { return next() };
        let envelope = cx.envelope();
        let bucket = cx.kv(&self.config.bucket)?;
        let recipients = envelope.recipients();
        let mut known = Vec::new();
        for (index, rcpt) in (0_u32..).zip(&recipients) {
            if bucket.get(&key(&identity, rcpt))?.is_some() {
                known.push(index);
            }
        }
        envelope.set_note(NOTE, Some(&identity))?;
        if known.is_empty() {
            return next();
        }
        cx.metrics().count("duplicates", known.len() as u64, &[]);
        if self.config.action == Action::Tag {
            envelope.tag("duplicate", &known.len().to_string())?;
        } else if known.len() == recipients.len() {
            return match self.config.action {
                Action::Reject => reject(550, "5.7.0", "this message was taken before"),
                _ => Ok(DataDecision::Discard("all recipients have this message".to_owned())),
            };
        } else {
            for index in known {
                envelope.remove_recipient(index)?;
            }
        }
        next()
    }
}

#[baton_sdk::hook]
impl Route for DuplicateFilter {
    fn on_route(&self, cx: &Context, rcpt: &Address) -> Result<RouteDecision> {
        if cx.routing().attempt() == 0
            && let Some(identity) = cx.envelope().note(NOTE)
        {
            self.remember(cx, &identity, rcpt)?;
        }
        next()
    }
}

impl DuplicateFilter {
    /// The digest of all that makes the message this one; none when something of it is missing.
    fn identity(&self, cx: &Context) -> Result<Option<Vec<u8>>> {
        let message = cx.message();
        let mut hash = Sha256::new();
        for property in &self.config.by {
            match property {
                Property::MessageId => match message.header("Message-ID") {
                    Some(id) if !id.trim().is_empty() => hash.update(id.trim()),
                    _ => return Ok(None),
                },
                Property::Subject => hash.update(message.header("Subject").unwrap_or_default()),
                Property::Sender => {
                    hash.update(cx.envelope().sender().map(|sender| sender.to_string()).unwrap_or_default());
                }
                Property::Body => {
                    if message.too_complex().is_some() {
                        return Ok(None);
                    }
                    for part in message.parts() {
                        hash.update(part.digest(Digest::Sha256)?);
                    }
                }
            }
            hash.update([0]);
        }
        Ok(Some(hash.finalize().to_vec()))
    }

    fn remember(&self, cx: &Context, identity: &[u8], rcpt: &Address) -> Result<(), KvError> {
        let ttl = Duration::from_secs(u64::from(self.config.ttl_s));
        cx.kv(&self.config.bucket)?.set_if_absent(&key(identity, rcpt), b"", Some(ttl)).map(|_| ())
    }
}

/// One key for each recipient, of one length.
fn key(identity: &[u8], rcpt: &Address) -> String {
    let mut hash = Sha256::new();
    hash.update(identity);
    hash.update(rcpt.local().as_bytes());
    hash.update(b"@");
    hash.update(rcpt.domain().to_ascii_lowercase());
    hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests;
