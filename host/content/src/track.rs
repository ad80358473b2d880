//! Tracking put into a message: links, a pixel, a way to unsubscribe. Done before the message is signed.
//!
//! A message has one copy of its content, and links are a person's own. So only a message for one recipient is tracked; who sends
//! to several, and wants to know who opened it, sends one message for each of them; a batch of the API does that in one request.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use baton_mail::body::Content;
use baton_mail::edit::MessageEdit;
use baton_mail::header::{self, HeaderIndex, HeaderName, TooComplex};
use baton_mail::mime::{MimeLimits, TextPart, replace_texts};
use baton_mail::tenant::{Stream, StreamKind};
use baton_mail::{Mailbox, MessageId, UnixMs};

use crate::html::rewrite;
use crate::link::{Action, Claim, LinkKeys};
use crate::unsubscribe::{self, Mailto};

/// The field by which a sender says what is to be tracked: `opens, clicks, unsubscribe`, or `none`. It is taken out.
pub const FIELD: &str = "X-Baton-Track";
/// Where HTML and text have this address, the recipient's own link to unsubscribe is put.
pub const UNSUBSCRIBE_PLACEHOLDER: &str = "https://unsubscribe.baton.invalid/";

/// What is to be tracked of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// A pixel tells when the message is looked at.
    pub opens: bool,
    /// Links lead over the relay.
    pub clicks: bool,
    /// Mail programs offer to unsubscribe (RFC 8058).
    pub unsubscribe: bool,
}

impl Wish {
    /// True when nothing is.
    pub fn is_none(self) -> bool {
        self == Wish::default()
    }
}

impl From<&Stream> for Wish {
    /// What holds for a stream where a message does not say so itself: whoever gets bulk mail can end it.
    fn from(stream: &Stream) -> Wish {
        let unsubscribe = stream.kind == StreamKind::Bulk;
        Wish { opens: stream.tracking.opens, clicks: stream.tracking.clicks, unsubscribe }
    }
}

impl FromStr for Wish {
    type Err = InvalidWish;

    fn from_str(text: &str) -> Result<Wish, InvalidWish> {
        let mut wish = Wish::default();
        let mut is_none = false;
        for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "opens" => wish.opens = true,
                "clicks" => wish.clicks = true,
                "unsubscribe" => wish.unsubscribe = true,
                "none" => is_none = true,
                _ => return Err(InvalidWish),
            }
        }
        // Either something or `none`, and not both.
        if is_none == wish.is_none() { Ok(wish) } else { Err(InvalidWish) }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.opens, "opens"), (self.clicks, "clicks"), (self.unsubscribe, "unsubscribe")];
        let words: Vec<_> = words.into_iter().filter(|(is_on, _)| *is_on).map(|(_, word)| word).collect();
        formatter.write_str(if words.is_empty() { "none" } else { "" })?;
        formatter.write_str(&words.join(", "))
    }
}

/// The text says nothing that could be tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{FIELD} is a list of opens, clicks and unsubscribe, or none")]
pub struct InvalidWish;

/// What a sender asks for in [`FIELD`]; none when the field is not there.
///
/// # Errors
/// When the field is there and says something else.
pub fn asked(fields: &HeaderIndex) -> Result<Option<Wish>, InvalidWish> {
    fields.first(FIELD).map(|raw| header::decode(&raw).parse()).transpose()
}

/// Whose copy it is.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The message.
    pub message: MessageId,
    /// The recipient.
    pub recipient: &'a Mailbox,
    /// Whose mail it is; empty for the relay's own.
    pub tenant: &'a str,
    /// The stream; empty when there is none.
    pub stream: &'a str,
    /// Now.
    pub at: UnixMs,
}

/// Makes links.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// The keys that seal them.
    pub keys: LinkKeys,
    /// The address under which the relay's pages are, without a slash at its end.
    pub base_url: String,
    /// How long links and pixels work.
    pub link_lifetime: Duration,
    /// How long a way to unsubscribe works.
    pub unsubscribe_lifetime: Duration,
    /// Where one unsubscribes by mail, beside the web; none when by the web only.
    pub unsubscribe_mailbox: Option<Mailbox>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// The message.
    pub content: Content,
    /// Links that lead over the relay now.
    pub links: usize,
    /// There is a pixel.
    pub pixel: bool,
    /// There is a field List-Unsubscribe, or a link to unsubscribe in the text, that the relay made.
    pub unsubscribe: bool,
}

impl Tracked {
    /// For people; none when nothing was done.
    pub fn summary(&self) -> Option<String> {
        let counted = match self.links {
            0 => None,
            1 => Some("1 link".to_owned()),
            links => Some(format!("{links} links")),
        };
        let pixel = self.pixel.then(|| "a pixel".to_owned());
        let unsubscribe = self.unsubscribe.then(|| "a way to unsubscribe".to_owned());
        let done: Vec<_> = [counted, pixel, unsubscribe].into_iter().flatten().collect();
        (!done.is_empty()).then(|| done.join(", "))
    }
}

impl Tracker {
    /// The link for an action.
    pub fn link(&self, whose: &Whose<'_>, action: Action) -> Option<String> {
        let path = match action {
            Action::Open => "o",
            Action::Click { .. } => "c",
            Action::Unsubscribe => "u",
        };
        Some(format!("{}/{path}/{}", self.base_url, self.token(whose, action)?))
    }

    /// The sealed claim of an action.
    fn token(&self, whose: &Whose<'_>, action: Action) -> Option<String> {
        let lifetime = match action {
            Action::Open | Action::Click { .. } => self.link_lifetime,
            Action::Unsubscribe => self.unsubscribe_lifetime,
        };
        let claim = Claim {
            message: whose.message,
            recipient: whose.recipient.clone(),
            tenant: whose.tenant.to_owned(),
            stream: whose.stream.to_owned(),
            ends_s: whose.at.plus(lifetime).0 / 1_000,
            action,
        };
        self.keys.seal(&claim)
    }

    /// How this recipient unsubscribes by mail, when that is possible.
    fn mailto(&self, whose: &Whose<'_>) -> Option<Mailto> {
        let mailbox = self.unsubscribe_mailbox.clone()?;
        Some(Mailto { mailbox, subject: self.token(whose, Action::Unsubscribe)? })
    }

    /// The message with what `wish` asks for. [`FIELD`] is out of it, and the placeholder of the link to unsubscribe is
    /// replaced whatever the wish is.
    ///
    /// A message that is signed already loses that field and stays as it is otherwise: a change would break its signature.
    ///
    /// # Errors
    /// When the message exceeds a bound.
    pub fn track(
        &self,
        content: Content,
        limits: &MimeLimits,
        whose: &Whose<'_>,
        wish: Wish,
    ) -> Result<Tracked, TooComplex> {
        let unsubscribe = self.link(whose, Action::Unsubscribe).unwrap_or_default();
        let mut work = Work {
            tracker: self,
            whose,
            wish,
            unsubscribe: &unsubscribe,
            links: 0,
            pixel: false,
            placed: false,
        };
        let replaced = replace_texts(&content, limits, |part| work.change(part))?;
        let Work { links, pixel, placed, .. } = work;
        let content = replaced.unwrap_or(content);
        let fields = HeaderIndex::scan(&content.header, &limits.header)?;
        let mut edits = vec![MessageEdit::Remove(field_name())];
        let is_taken = ["list-unsubscribe", "dkim-signature", "arc-message-signature"]
            .iter()
            .any(|name| fields.count(name) > 0);
        let adds = wish.unsubscribe && !is_taken;
        if adds {
            let made = unsubscribe::fields(Some(&unsubscribe), self.mailto(whose).as_ref());
            edits.extend(made.into_iter().map(|(name, value)| MessageEdit::Add(name, value)));
        }
        let content = header::apply(content, &edits, false);
        Ok(Tracked { content, links, pixel, unsubscribe: adds || placed })
    }
}

/// Without the field by which it was asked for.
pub fn without_field(content: Content) -> Content {
    header::apply(content, &[MessageEdit::Remove(field_name())], false)
}

/// True when some text has the placeholder, so that the message makes no sense without a link to unsubscribe.
///
/// # Errors
/// When the message exceeds a bound.
pub fn has_placeholder(content: &Content, limits: &MimeLimits) -> Result<bool, TooComplex> {
    let mut found = false;
    replace_texts(content, limits, |part| {
        found |= position(&part.text).is_some();
        None
    })?;
    Ok(found)
}

fn field_name() -> HeaderName {
    FIELD.parse().expect("the name is given here")
}

fn position(text: &[u8]) -> Option<usize> {
    let sought = UNSUBSCRIBE_PLACEHOLDER.as_bytes();
    text.windows(sought.len()).position(|window| window == sought)
}

/// The parts of one message.
struct Work<'a> {
    tracker: &'a Tracker,
    whose: &'a Whose<'a>,
    wish: Wish,
    unsubscribe: &'a str,
    links: usize,
    pixel: bool,
    placed: bool,
}

impl Work<'_> {
    fn change(&mut self, part: &TextPart<'_>) -> Option<Vec<u8>> {
        let charset = Charset::of(part)?;
        let text = charset.decode(&part.text)?;
        let has_placeholder = text.contains(UNSUBSCRIBE_PLACEHOLDER);
        self.placed |= has_placeholder;
        let made = match part.content_type {
            "text/html" if has_placeholder || self.wish.opens || self.wish.clicks => self.html(&text),
            "text/plain" if has_placeholder => text.replace(UNSUBSCRIBE_PLACEHOLDER, self.unsubscribe),
            _ => return None,
        };
        (made != text).then(|| charset.encode(&made))
    }

    fn html(&mut self, html: &str) -> String {
        let pixel = self.wish.opens.then(|| self.tracker.link(self.whose, Action::Open)).flatten();
        let pixel = pixel.filter(|_| !self.pixel);
        self.pixel |= pixel.is_some();
        let (tracker, whose, clicks, unsubscribe) =
            (self.tracker, self.whose, self.wish.clicks, self.unsubscribe);
        let mut links = 0;
        let link = |target: &str| {
            if target.starts_with(UNSUBSCRIBE_PLACEHOLDER) {
                return Some(unsubscribe.to_owned());
            }
            if !clicks || target.starts_with(&tracker.base_url) {
                return None;
            }
            let link = tracker.link(whose, Action::Click { target: target.to_owned() })?;
            links += 1;
            Some(link)
        };
        let made = rewrite(html, link, pixel.as_deref()).html;
        self.links += links;
        // Where it is not a link but a word.
        made.replace(UNSUBSCRIBE_PLACEHOLDER, unsubscribe)
    }
}

/// How the octets of a part are looked at as text, so that all that is not changed comes out as it went in.
#[derive(Clone, Copy)]
enum Charset {
    Utf8,
    /// Each octet is a character, and those below 128 are those of ASCII.
    Octets,
}

impl Charset {
    /// None for charsets in which an octet below 128 may be half of a character.
    fn of(part: &TextPart<'_>) -> Option<Charset> {
        let name = part.charset.unwrap_or("us-ascii");
        let is_single = ["iso-8859-", "windows-125", "cp125", "koi8-", "us-ascii", "ascii", "macintosh"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        match name {
            "utf-8" | "utf8" => Some(Charset::Utf8),
            _ if std::str::from_utf8(&part.text).is_ok() && is_single => Some(Charset::Utf8),
            _ => is_single.then_some(Charset::Octets),
        }
    }

    fn decode(self, octets: &[u8]) -> Option<String> {
        match self {
            Charset::Utf8 => std::str::from_utf8(octets).ok().map(str::to_owned),
            Charset::Octets => Some(octets.iter().map(|octet| char::from(*octet)).collect()),
        }
    }

    fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Charset::Utf8 => text.as_bytes().to_vec(),
            // What was put in is ASCII.
            Charset::Octets => text.chars().map(|one| u8::try_from(one).unwrap_or(b'?')).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
