//! Adds a footer to the text and HTML of messages.
//!
//! Invariant: a message that is signed or encrypted, a report, and one too complex to be taken apart is never changed.
//! Invariant: a leaf keeps its charset and its transfer encoding; everything else of the body is copied byte for byte.
//! Invariant: what has the footer already is left alone.

mod encoding;
mod leaf;

use std::ops::Range;

use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;

use leaf::{Footer, Leaf, Unfit};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The footer of plain text, without the line that parts it from the message.
    pub text: String,
    /// The same in ASCII, where a message's charset does not hold `text`; such text stays without footer otherwise.
    #[serde(default)]
    pub text_ascii: Option<String>,
    /// The footer of HTML; `text` in paragraphs of its own otherwise.
    #[serde(default)]
    pub html: Option<String>,
    /// The line that parts footer and plain text.
    #[serde(default = "default_separator")]
    pub separator: String,
    /// Whose mail is meant.
    #[serde(default)]
    pub clients: Clients,
    /// Senders whose mail is meant; all of them otherwise.
    #[serde(default)]
    pub senders: Vec<Pattern>,
    /// Recipients that get no footer when nobody else is addressed, such as those in the house.
    #[serde(default)]
    pub not_only_to: Vec<Pattern>,
    /// Change mail that has a DKIM-Signature already, which does not hold then.
    #[serde(default)]
    pub even_if_dkim_signed: bool,
    /// Texts larger than this are left alone, in octets.
    #[serde(default = "default_octets_max")]
    pub octets_max: u32,
}

/// Whose mail is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clients {
    /// Of those who logged in.
    #[default]
    Authenticated,
    /// Of all.
    All,
}

/// The plugin.
pub struct Banner {
    config: Config,
    footer: Footer,
}

#[baton_sdk::plugin]
impl Plugin for Banner {
    type Config = Config;

    fn new(config: Config) -> Result<Banner, Problems> {
        let mut problems = Problems::default();
        if config.text.trim().is_empty() {
            problems.add("text", "must not be empty");
        }
        if config.text_ascii.as_deref().is_some_and(|text| !text.is_ascii() || text.trim().is_empty()) {
            problems.add("text_ascii", "must be ASCII, and not empty");
        }
        if config.separator.contains(['\r', '\n']) || !config.separator.is_ascii() {
            problems.add("separator", "must be one line in ASCII");
        }
        if !(1_024..=1_048_576).contains(&config.octets_max) {
            problems.add("octets_max", "must be from 1024 to 1048576");
        }
        let footer = Footer::new(
            &config.text,
            config.text_ascii.as_deref(),
            config.html.as_deref(),
            &config.separator,
        );
        problems.finish(Banner { config, footer })
    }
}

#[baton_sdk::hook]
impl Data for Banner {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        if !self.is_meant(cx) {
            return next();
        }
        let skipped = |why: &str| cx.metrics().count("skipped", 1, &[("why", why)]);
        if let Some(why) = self.untouchable(cx) {
            skipped(why);
            return next();
        }
        let mut changes: Vec<(Range<u64>, Vec<u8>)> = Vec::new();
        for leaf in self.leaves(cx) {
            match leaf.with_footer(cx, &self.footer, self.config.octets_max) {
                Ok(content) => changes.push((leaf.range(), content)),
                Err(unfit) => skipped(unfit.word()),
            }
        }
        if !changes.is_empty() {
            write(cx, &changes)?;
            cx.metrics().count("added", 1, &[]);
        }
        next()
    }
}

impl Banner {
    fn is_meant(&self, cx: &Context) -> bool {
        let (config, envelope) = (&self.config, cx.envelope());
        if config.clients == Clients::Authenticated && cx.session().account().is_none() {
            return false;
        }
        // Reports have no sender, and are for programs as much as for people.
        let Some(sender) = envelope.sender() else { return false };
        let of_sender =
            config.senders.is_empty() || config.senders.iter().any(|pattern| pattern.matches(&sender));
        let is_inside = |rcpt: &Address| config.not_only_to.iter().any(|pattern| pattern.matches(rcpt));
        let leaves_the_house = || envelope.recipients().iter().any(|rcpt| !is_inside(rcpt));
        of_sender && (config.not_only_to.is_empty() || leaves_the_house())
    }

    /// Why the message must stay as it is; none when it may be changed.
    fn untouchable(&self, cx: &Context) -> Option<&'static str> {
        let message = cx.message();
        if message.too_complex().is_some() {
            return Some("too-complex");
        }
        if !self.config.even_if_dkim_signed
            && message.header_names().iter().any(|name| name.eq_ignore_ascii_case("DKIM-Signature"))
        {
            return Some("dkim");
        }
        message.parts().find_map(|part| {
            let (kind, within) = (part.content_type(), part.within());
            let is_within = |subtype: &str| within.iter().any(|own| own == subtype);
            let is_crypt = [
                "application/pkcs7-mime",
                "application/x-pkcs7-mime",
                "application/pkcs7-signature",
                "application/x-pkcs7-signature",
                "application/pgp-encrypted",
                "application/pgp-signature",
            ];
            if is_within("signed") || is_within("encrypted") || is_crypt.contains(&kind.as_str()) {
                Some("signed")
            } else if is_within("report") {
                Some("report")
            } else {
                // Inline PGP has no type of its own (RFC 4880 7).
                (kind == "text/plain"
                    && String::from_utf8_lossy(&part.read(0, 4_096)).contains("-----BEGIN PGP "))
                .then_some("signed")
            }
        })
    }

    /// The first plain text and the first HTML that are the message itself, in the order of the message.
    fn leaves(&self, cx: &Context) -> Vec<Leaf> {
        let mut found: Vec<Leaf> = Vec::new();
        for leaf in cx.message().parts().filter_map(Leaf::of) {
            if !found.iter().any(|other| other.is_html == leaf.is_html) {
                found.push(leaf);
            }
        }
        found
    }
}

/// Writes the body anew, with other contents in the places of the leaves; the places are in order.
fn write(cx: &Context, changes: &[(Range<u64>, Vec<u8>)]) -> Result<()> {
    let message = cx.message();
    let body = message.replace_body()?;
    // Behind the header stands an empty line, which is no part of the body.
    let mut at = message.header_size().saturating_add(2).min(message.size());
    for (range, content) in changes {
        body.copy(at..range.start)?;
        body.write(content)?;
        at = range.end;
    }
    body.copy(at..message.size())?;
    Ok(body.finish()?)
}

impl Unfit {
    fn word(&self) -> &'static str {
        match self {
            Unfit::Already => "already",
            Unfit::Charset => "charset",
            Unfit::Encoding => "encoding",
            Unfit::Large => "large",
        }
    }
}

fn default_separator() -> String {
    "-- ".to_owned()
}

fn default_octets_max() -> u32 {
    262_144
}

#[cfg(test)]
mod tests;
