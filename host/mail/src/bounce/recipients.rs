//! Addresses in a text that people are to read: whose copies it is about, and which words are about which.

use std::sync::LazyLock;

use regex::Regex;

use super::words::until_returned;
use super::{COPIES_MAX, Message};
use crate::Mailbox;

/// A recipient, and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) recipient: Mailbox,
    /// The lines about it; empty when they can not be told from the others.
    pub(super) words: String,
}

/// Octets of an address in a text at most.
const ADDRESS_OCTETS_MAX: usize = 320;
/// Lines about one recipient.
const WORDS_LINES_MAX: usize = 24;

/// An address as it stands in texts, with what some put around it.
pub(super) fn mailbox(text: &str) -> Option<Mailbox> {
    let text = text.trim();
    let text = match (text.find('<'), text.rfind('>')) {
        (Some(start), Some(end)) if start < end => text.get(start + 1..end)?,
        _ => text.split_whitespace().next()?,
    };
    let text = text.trim_matches(['.', '<', '>', '"', '\'', '(', ')', ',', ';', ':', '[', ']']);
    let text = text.strip_prefix("mailto:").or_else(|| text.strip_prefix("smtp:")).unwrap_or(text);
    if text.len() > ADDRESS_OCTETS_MAX {
        return None;
    }
    text.trim_end_matches('.').parse().ok()
}

/// The recipients that a text names, the surest way that finds any.
pub(super) fn find(message: &Message<'_>, explanation: &str) -> Vec<Named> {
    let mut found = at_line_starts(explanation);
    add_replies(explanation, &mut found);
    let failed = failed_recipients(message);
    if !failed.is_empty() {
        // Exim names them in the header too; words stand where the text names them.
        found.retain(|one| failed.contains(&one.recipient));
        for recipient in failed {
            if !found.iter().any(|one| one.recipient == recipient) {
                found.push(Named { recipient, words: String::new() });
            }
        }
    }
    for pattern in [&*LABELLED, &*IN_RCPT, &*ANYWHERE] {
        if found.is_empty() {
            // An address of a service is a recipient only where it is called one.
            found = by(pattern, message, explanation, std::ptr::eq(pattern, &*ANYWHERE));
        }
    }
    found.truncate(COPIES_MAX);
    found
}

/// Whom the message that came back was for, by its own header, where that names only one.
pub(super) fn of_returned(message: &Message<'_>) -> Option<Mailbox> {
    let whole = message.whole().replace("\r\n", "\n");
    let returned = whole.get(until_returned(&whole).len()..)?;
    let is_header = |paragraph: &&str| TO.is_match(paragraph) && BESIDE_TO.is_match(paragraph);
    let header = returned.split("\n\n").find(is_header)?;
    let to = TO.captures(header)?.get(1)?.as_str();
    match crate::header::addresses(to.as_bytes()).as_slice() {
        [(_, only)] if !COPY_TO.is_match(header) => mailbox(only),
        _ => None,
    }
}

/// `X-Failed-Recipients`, several with commas between.
fn failed_recipients(message: &Message<'_>) -> Vec<Mailbox> {
    let value = message.field("X-Failed-Recipients").unwrap_or_default();
    value.split(',').take(COPIES_MAX).filter_map(mailbox).collect()
}

/// Lines that begin with an address, with the lines behind them up to an empty one or the next address.
fn at_line_starts(text: &str) -> Vec<Named> {
    let mut found: Vec<Named> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(start) = LINE_START.captures(line) else { continue };
        let Some(recipient) = start.get(1).and_then(|address| mailbox(address.as_str())) else { continue };
        let mut words = start.get(2).map_or("", |rest| rest.as_str()).trim().to_owned();
        // An empty line right behind the address belongs to it.
        if words.is_empty() && lines.peek().is_some_and(|next| next.trim().is_empty()) {
            lines.next();
        }
        for _ in 0..WORDS_LINES_MAX {
            match lines.peek() {
                Some(next) if !next.trim().is_empty() && !LINE_START.is_match(next) => {
                    words.push(' ');
                    words.push_str(next.trim());
                    lines.next();
                }
                _ => break,
            }
        }
        let is_room = found.len() < COPIES_MAX;
        match found.iter_mut().find(|one| one.recipient == recipient) {
            Some(known) => {
                known.words.push(' ');
                known.words.push_str(&words);
            }
            None if is_room => found.push(Named { recipient, words }),
            None => break,
        }
    }
    found
}

/// Lines of sendmail's transcript: `550 <ann@b.example>... User unknown`.
fn add_replies(text: &str, found: &mut Vec<Named>) {
    for captures in REPLY_ABOUT.captures_iter(text).take(COPIES_MAX * 4) {
        let (Some(line), Some(address)) = (captures.get(0), captures.get(1)) else { continue };
        let Some(recipient) = mailbox(address.as_str()) else { continue };
        let words = line.as_str().trim().to_owned();
        let is_room = found.len() < COPIES_MAX;
        match found.iter_mut().find(|one| one.recipient == recipient) {
            Some(known) if known.words.is_empty() => known.words = words,
            Some(_) => {}
            None if is_room => found.push(Named { recipient, words }),
            None => break,
        }
    }
}

/// All that a pattern finds, but for addresses of the reporter and of whom the report is for.
fn by(pattern: &Regex, message: &Message<'_>, text: &str, is_guess: bool) -> Vec<Named> {
    let own: Vec<String> = ["To", "From", "Sender", "Reply-To", "Delivered-To"]
        .iter()
        .flat_map(|name| message.header.all(name))
        .flat_map(|value| crate::header::addresses(&value))
        .map(|(_, address)| address.to_lowercase())
        .collect();
    let mut found: Vec<Named> = Vec::new();
    for captures in pattern.captures_iter(text).take(COPIES_MAX * 4) {
        let Some(recipient) = captures.get(1).and_then(|address| mailbox(address.as_str())) else { continue };
        let is_own = own.contains(&recipient.to_string().to_lowercase());
        let is_service = is_guess && SERVICE.is_match(recipient.local());
        if !is_own && !is_service && !found.iter().any(|one| one.recipient == recipient) {
            found.push(Named { recipient, words: String::new() });
        }
    }
    found
}

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($text).expect("the pattern is sound; every test reads it"));
    };
}

pattern!(
    LINE_START,
    r#"^\s*[-*>]{0,4}\s*["']?(<[^\s<>@]+@[^\s<>@]+>|[^\s<>()@:;,"\[\]=]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+)["']?(?:\s*[:;,]|\s+on\s|\s+-+\s|\s|$)(.*)$"#
);
pattern!(TO, r"(?im)^To:[ \t]*(.*(?:\n[ \t]+.*)*)");
pattern!(BESIDE_TO, r"(?im)^(From|Date|Received|Message-ID):");
pattern!(COPY_TO, r"(?im)^B?Cc:[ \t]*\S");
pattern!(REPLY_ABOUT, r"(?m)^[45]\d\d (?:[45]\.\d+\.\d+ )?(<[^\s<>@]+@[^\s<>@]+>)\.\.\..*$");
pattern!(
    LABELLED,
    r#"(?im)(?:recipients?|rcpt|address(?:ee|es)?|user(?:name)?|mailbox|undeliverable to|delivered to|could not be delivered to|deliver(?:y|ed|ing)? (?:mail |your mail |your message )?to|not delivered to|account|allowed size)(?: (?:address|name|failed|was|is))?[^\S\n]*[:=;]?[^\S\n]*(?:\n\s*)?(?:rfc822;)?[^\S\n]*['"]?(<[^\s<>@]+@[^\s<>@]+>|[^\s<>()@:;,"'\[\]=]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+)"#
);
pattern!(IN_RCPT, r#"(?i)RCPT TO:\s*(<[^\s<>@]+@[^\s<>@]+>|[^\s<>@:]+@[A-Za-z0-9.-]+)"#);
pattern!(ANYWHERE, r#"(<[^\s<>@]+@[^\s<>@]+>|[^\s<>()@:;,"'\[\]=]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+)"#);
pattern!(
    SERVICE,
    r"(?i)^(post-?master|mailer-?daemon|abuse|support|help-?desk|info|noreply|no-reply|admin(istrator)?|root)$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_what_stands_around_it() {
        for text in [
            "<a@b.example>",
            "a@b.example",
            "'a@b.example'",
            "Ann <a@b.example>",
            "(a@b.example).",
            "mailto:a@b.example",
        ] {
            assert_eq!(
                mailbox(text).map(|found| found.to_string()).as_deref(),
                Some("a@b.example"),
                "{text}"
            );
        }
        assert_eq!(mailbox("nobody"), None);
    }

    #[test]
    fn words_belong_to_the_address_before_them() {
        let text = "Hi.\n\n<a@b.example>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 no\n\n  c@d.example\n    mailbox full\n";
        let found = at_line_starts(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].words, " 192.0.2.1 does not like recipient. Remote host said: 550 no");
        assert_eq!(
            (found[1].recipient.to_string().as_str(), found[1].words.as_str()),
            ("c@d.example", " mailbox full")
        );
    }
}
