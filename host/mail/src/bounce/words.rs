//! From what a report says to a status with its class: the words of the remote host where they are, else those of the
//! reporter.

use std::sync::LazyLock;

use regex::Regex;

use super::recipients::{Named, find};
use super::report::{Action, Group, read_groups};
use super::{COPIES_MAX, Message, ReturnedCopy};
use crate::classify::Classes;
use crate::status::{FailureClass, Phase, Remote, Status};
use crate::{EnhancedCode, Reply};

/// What is said about one copy, from the surest source to the least sure.
struct Said<'a> {
    /// The remote host's words, or those of the reporter about this copy.
    sources: Vec<&'a str>,
    status: Option<EnhancedCode>,
    action: Option<Action>,
    remote: Option<String>,
}

/// The copies that a report is about.
pub(super) fn told(
    message: &Message<'_>,
    mut reported: Vec<Group>,
    explanation: &str,
    classes: &Classes,
) -> Vec<ReturnedCopy> {
    if reported.is_empty() {
        // Fields of RFC 3464 in a text that is not marked as such.
        reported = read_groups(explanation);
        reported
            .retain(|group| group.recipient.is_some() && (group.status.is_some() || group.action.is_some()));
    }
    let mut named = find(message, explanation);
    let raw;
    let explanation = match named.is_empty() && reported.is_empty() {
        // Its structure may be wrong.
        true => {
            raw = message.raw();
            named = find(message, &raw);
            raw.as_str()
        }
        false => explanation,
    };
    if reported.is_empty() {
        let copy = |one: &Named| {
            let sources =
                [one.words.as_str(), explanation].into_iter().filter(|text| !text.trim().is_empty());
            let said = Said { sources: sources.collect(), status: None, action: None, remote: None };
            let (action, status) = said.judge(classes);
            ReturnedCopy { recipient: Some(one.recipient.clone()), original: None, action, status }
        };
        return named.iter().map(copy).collect();
    }
    reported.iter().take(COPIES_MAX).map(|group| by_group(group, &named, explanation, classes)).collect()
}

fn by_group(group: &Group, named: &[Named], explanation: &str, classes: &Classes) -> ReturnedCopy {
    let is_its = |one: &&Named| {
        Some(&one.recipient) == group.recipient.as_ref() || Some(&one.recipient) == group.original.as_ref()
    };
    let words = named.iter().find(is_its).map_or("", |one| one.words.as_str());
    let sources = [group.diagnostic.as_str(), words, explanation];
    let said = Said {
        sources: sources.into_iter().filter(|text| !text.trim().is_empty()).collect(),
        status: group.status,
        action: group.action,
        remote: group.remote.clone(),
    };
    let (action, status) = said.judge(classes);
    ReturnedCopy { recipient: group.recipient.clone(), original: group.original.clone(), action, status }
}

impl Said<'_> {
    /// What became of the copy, and why.
    fn judge(&self, classes: &Classes) -> (Action, Status) {
        let digit = self.digit();
        let action = self.action.unwrap_or(if digit == 4 { Action::Delayed } else { Action::Failed });
        let mut best: Option<Status> = None;
        for text in &self.sources {
            let mut status = self.status_of(text, digit);
            classes.classify(&mut status);
            match status.class {
                // That it failed, or took too long, is less than why.
                FailureClass::Unknown => best = best.or(Some(status)),
                FailureClass::Expired => {
                    best = best.filter(|best| best.class == FailureClass::Expired).or(Some(status));
                }
                _ => return (action, status),
            }
        }
        let mut status = best.unwrap_or_else(|| self.status_of("", digit));
        if action == Action::Delayed {
            // That it is late is all that is said.
            status.class = FailureClass::Expired;
        }
        (action, status)
    }

    /// Whether it failed for good (5), may still be delivered (4), or was (2).
    fn digit(&self) -> u8 {
        let stated = self.status.map(|code| code.0);
        match (stated, self.action) {
            (_, Some(Action::Delivered | Action::Relayed | Action::Expanded)) => return 2,
            (Some(digit), _) => return digit,
            _ => {}
        }
        let in_text = self.sources.iter().find_map(|text| {
            let code = reply_code(text).map(|(code, _)| u8::try_from(code / 100).unwrap_or(5));
            code.or_else(|| enhanced_code(text).map(|code| code.0))
        });
        let by_action = match self.action {
            Some(Action::Delayed) => Some(4),
            Some(_) => Some(5),
            None => None,
        };
        let is_late = || self.sources.iter().any(|text| LATE.is_match(text));
        in_text.or(by_action).unwrap_or_else(|| if is_late() { 4 } else { 5 })
    }

    /// The status that a text makes, as if the remote host had replied so.
    fn status_of(&self, text: &str, digit: u8) -> Status {
        let found = reply_code(text);
        let code = found.map_or(u16::from(digit) * 100 + 50, |(code, _)| code);
        let words = found.map_or(text, |(_, rest)| if rest.trim().len() > 8 { rest } else { text });
        // What qmail says behind the reply is the same for every reply.
        let words = GIVES_UP.find(words).and_then(|found| words.get(..found.start())).unwrap_or(words);
        let said = enhanced_code(text).filter(|code| code.0 == digit);
        let is_vague = |code: &EnhancedCode| code.1 == 0 && code.2 == 0;
        let enhanced = match (self.status, said) {
            (Some(stated), Some(said)) if is_vague(&stated) => said,
            (Some(stated), _) => stated,
            (None, Some(said)) => said,
            (None, None) => EnhancedCode(digit, 0, 0),
        };
        let reply = Reply::bare(code, "");
        let remote = Remote::named(self.remote.clone().unwrap_or_default());
        let mut status = Status::from_reply(phase(text), &reply, remote);
        let collapsed = words.split_whitespace().collect::<Vec<_>>().join(" ");
        // Replies of several lines repeat their codes in the midst of the words.
        let collapsed = REPEATED.replace_all(&collapsed, " ");
        status.text = crate::text::sanitize(&collapsed, crate::status::STATUS_TEXT_OCTETS_MAX);
        status.enhanced = enhanced;
        status
    }
}

/// Where in the dialogue it happened, where the text says so.
fn phase(text: &str) -> Phase {
    match IN_REPLY_TO
        .captures(text)
        .and_then(|found| found.get(1))
        .map(|word| word.as_str().to_ascii_lowercase())
    {
        Some(word) if word.starts_with("rcpt") => Phase::Rcpt,
        Some(word) if word.starts_with("mail") => Phase::Mail,
        Some(word) if word.starts_with("helo") || word.starts_with("ehlo") => Phase::Ehlo,
        Some(word) if word.starts_with("conn") => Phase::Connect,
        Some(_) => Phase::Data,
        // One that no rule asks for.
        None => Phase::Policy,
    }
}

/// The code of an SMTP reply in a text, and the text from there on.
fn reply_code(text: &str) -> Option<(u16, &str)> {
    let found = REPLY.captures(text)?.get(1)?;
    Some((found.as_str().parse().ok()?, text.get(found.end()..)?.trim_start_matches(['-', ' '])))
}

fn enhanced_code(text: &str) -> Option<EnhancedCode> {
    ENHANCED.captures(text)?.get(1)?.as_str().parse().ok()
}

/// The text up to where the message begins that came back.
pub(super) fn until_returned(text: &str) -> &str {
    let marker = RETURNED.find(text).map(|found| found.start());
    // The header of it, when no words announce it: not before something was said.
    let header = RETURNED_HEADER
        .find_iter(text)
        .map(|found| found.start())
        .find(|start| text.get(..*start).is_some_and(|before| before.trim().len() > 20));
    let end = marker.into_iter().chain(header).min().unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($text).expect("the pattern is sound; every test reads it"));
    };
}

pattern!(REPLY, r"(?m)(?:^|[\s:;('<\[#])([45][0-5]\d)(?:[ -]|$)");
pattern!(ENHANCED, r"(?m)(?:^|[\s:;(#<\['])([45]\.\d{1,3}\.\d{1,3})(?:$|[\s:;)>\],'.])");
pattern!(
    IN_REPLY_TO,
    r"(?i)(?:in reply to|after|in response to|while|command:?|>>>)\s+(?:the\s+)?(?:end of\s+)?(?:sending\s+)?(rcpt|mail from|mail|helo|ehlo|connect\w*|initial connection|data|bdat|end of data|dot)\b"
);
pattern!(REPEATED, r"\s[45]\d\d[- ](?:[45]\.\d{1,3}\.\d{1,3})?\s");
pattern!(GIVES_UP, r"(?i)Giving up on |I'm not going to try again");
pattern!(
    LATE,
    r"(?i)\b(warning|delayed|temporar|will (keep|be) (trying|retried)|still (trying|being)|not yet|no action (is )?required|try again|deferred|transient)"
);
pattern!(
    RETURNED,
    r"(?im)^[\s>*=_-]*(?:(?:this is|below this line is|below is|following is|included is|here is|attached is) (?:a|the) copy of\b|(?:the )?(?:full )?(?:header|headers|body|text|first \d+ (?:lines|bytes)) (?:of|for) (?:the |your )?(?:original |returned )?(?:message|mail)|original message (?:follows|headers|header|text)|-+ ?original message|-+ ?returned message|the (?:original|unsent) message (?:follows|is (?:attached|included|below))|your (?:original )?message (?:follows|reads)|unsent message (?:follows|below)|message headers? (?:follow|are)|content of (?:the )?(?:original )?message|copy of (?:the |your )?(?:original )?message|start of (?:the )?returned|-+ ?message (?:header|body|text)|-+ ?undelivered message|original-message|return(?:ed)? mail follows|header of the original)"
);
pattern!(
    RETURNED_HEADER,
    r"(?m)^(?:Received: |Return-[Pp]ath: ?|X-Originating-IP: |DKIM-Signature: |DomainKey-Signature: |Message-I[dD]: ?<)"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_where_they_stand() {
        assert_eq!(reply_code("host mx said: 550 5.1.1 no"), Some((550, "5.1.1 no")));
        assert_eq!(reply_code("192.0.2.153 and 1550 things"), None);
        assert_eq!(enhanced_code("(#5.1.1)"), Some(EnhancedCode(5, 1, 1)));
        assert_eq!(enhanced_code("from 192.0.2.5.1.1.2"), None);
    }

    #[test]
    fn what_came_back_is_no_explanation() {
        let text =
            "It failed, for this reason.\n\n--- Below this line is a copy of the message.\n\nSubject: x\n";
        assert_eq!(until_returned(text).trim(), "It failed, for this reason.");
        let text = "It failed, for this reason.\n\nReceived: from a\n";
        assert_eq!(until_returned(text).trim(), "It failed, for this reason.");
    }
}
