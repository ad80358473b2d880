//! From what a report says to a status with its class: the words of the remote host where they are, else those of the
//! reporter.

use std::sync::LazyLock;

use regex::Regex;

use super::recipients::{Named, find, of_returned};
use super::report::{Action, Group, in_text, read_groups};
use super::{COPIES_MAX, Message, ReturnedCopy, kind};
use crate::classify::Classes;
use crate::status::{FailureClass, Phase, Remote, STATUS_TEXT_OCTETS_MAX, Status};
use crate::{EnhancedCode, Mailbox, Reply};

/// What is said about one copy, from the surest source to the least sure.
struct Said<'a> {
    /// The remote host's words, or those of the reporter about this copy.
    sources: Vec<&'a str>,
    status: Option<EnhancedCode>,
    action: Option<Action>,
    remote: Option<String>,
    /// The report as a whole says that nobody tries any more.
    is_final: bool,
}

/// Octets of a text that its class is sought in.
const JUDGED_OCTETS_MAX: usize = 4 * STATUS_TEXT_OCTETS_MAX;

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
    if named.is_empty() && reported.is_empty() && kind::gives_back(message) {
        // What came back may be the report, as one was passed on that others wrote.
        reported = in_text(&message.whole());
    }
    let is_final = kind::has_final_subject(message) || says_final(explanation);
    if !reported.is_empty() {
        let groups = reported.iter().take(COPIES_MAX);
        return groups.map(|group| by_group(group, &named, explanation, is_final, classes)).collect();
    }
    let copy = |recipient: Option<Mailbox>, words: &str| {
        let sources = [words, explanation].into_iter().filter(|text| !text.trim().is_empty());
        let said = Said { sources: sources.collect(), status: None, action: None, remote: None, is_final };
        let (action, status) = said.judge(classes);
        ReturnedCopy { recipient, original: None, action, status }
    };
    match named.is_empty() && kind::gives_back(message) {
        // It is about a copy, whoever it was for: the history may know.
        true => vec![copy(of_returned(message), "")],
        false => named.iter().map(|one| copy(Some(one.recipient.clone()), &one.words)).collect(),
    }
}

/// The copies of a report that has nothing but groups.
pub(super) fn by_groups(groups: &[Group], classes: &Classes) -> Vec<ReturnedCopy> {
    groups.iter().map(|group| by_group(group, &[], "", false, classes)).collect()
}

fn by_group(
    group: &Group,
    named: &[Named],
    explanation: &str,
    is_final: bool,
    classes: &Classes,
) -> ReturnedCopy {
    let is_its = |one: &&Named| {
        Some(&one.recipient) == group.recipient.as_ref() || Some(&one.recipient) == group.original.as_ref()
    };
    let words = named.iter().find(is_its).map_or("", |one| one.words.as_str());
    let sources = [group.diagnostic.as_str(), words, &group.comment, explanation];
    let said = Said {
        sources: sources.into_iter().filter(|text| !text.trim().is_empty()).collect(),
        status: group.stated(),
        action: group.action,
        remote: group.remote.clone(),
        is_final,
    };
    let (action, status) = said.judge(classes);
    ReturnedCopy { recipient: group.recipient.clone(), original: group.original.clone(), action, status }
}

/// True where words say that nobody tries any more, and none that somebody does.
fn says_final(text: &str) -> bool {
    (FINAL.is_match(text) || EXPIRED.is_match(text)) && !TRIED_ON.is_match(text)
}

impl Said<'_> {
    /// What became of the copy, and why.
    fn judge(&self, classes: &Classes) -> (Action, Status) {
        let digit = self.digit();
        let is_late = digit == 4 && !self.is_final;
        let action = self.action.unwrap_or(if is_late { Action::Delayed } else { Action::Failed });
        let (action, mut status) = (action, self.why(digit, action, classes));
        if self.status.is_none() && action == Action::Failed && status.enhanced == EnhancedCode(4, 0, 0) {
            status.enhanced = match status.class {
                // It was tried until there was no more time (RFC 3463 3.5).
                FailureClass::Expired => EnhancedCode(4, 4, 7),
                FailureClass::Quota => EnhancedCode(4, 2, 2),
                _ => status.enhanced,
            };
        }
        status.text = crate::text::sanitize(&status.text, STATUS_TEXT_OCTETS_MAX);
        (action, status)
    }

    /// The status with its class, from the surest source that tells it.
    fn why(&self, digit: u8, action: Action, classes: &Classes) -> Status {
        if digit == 2 {
            return self.status_of(self.sources.first().copied().unwrap_or_default(), false, digit);
        }
        let mut best: Option<Status> = None;
        // What stands before the reply is asked last.
        let all = |is_whole: bool| self.sources.iter().map(move |text| (*text, is_whole));
        for (text, is_whole) in all(false).chain(all(true)) {
            let mut status = self.status_of(text, is_whole, digit);
            classes.classify(&mut status);
            match status.class {
                // That it failed, or took too long, is less than why.
                FailureClass::Unknown => best = best.or(Some(status)),
                FailureClass::Expired => {
                    best = best.filter(|best| best.class == FailureClass::Expired).or(Some(status));
                }
                _ => return status,
            }
        }
        let mut status = best.unwrap_or_else(|| self.status_of("", false, digit));
        if action == Action::Delayed || self.says(&EXPIRED) {
            // That it is late is all that is said.
            status.class = FailureClass::Expired;
        }
        status
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
        // What was tried for too long had not failed for good.
        let in_time = || self.says(&EXPIRED).then_some(4);
        let is_late = || self.says(&LATE) && !self.says(&FINAL);
        in_text.or_else(in_time).or(by_action).unwrap_or_else(|| if is_late() { 4 } else { 5 })
    }

    fn says(&self, pattern: &Regex) -> bool {
        self.sources.iter().any(|text| pattern.is_match(text))
    }

    /// The status that a text makes, as if the remote host had replied so: with the words of a reply in it, or all of them.
    fn status_of(&self, text: &str, is_whole: bool, digit: u8) -> Status {
        let found = reply_code(text);
        let code = found.map_or(u16::from(digit) * 100 + 50, |(code, _)| code);
        let of_reply = found.map(|(_, rest)| rest).filter(|rest| !is_whole && rest.trim().len() > 8);
        let words = of_reply.unwrap_or(text);
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
        status.text = crate::text::sanitize(&collapsed, JUDGED_OCTETS_MAX);
        status.enhanced = enhanced;
        status
    }
}

/// Where in the dialogue it happened, where the text says so.
fn phase(text: &str) -> Phase {
    match IN_REPLY_TO
        .captures(text)
        .and_then(|found| found.get(1).or(found.get(2)))
        .map(|word| word.as_str().to_ascii_lowercase())
    {
        Some(word) if word.starts_with("rcpt") => Phase::Rcpt,
        Some(word) if word.starts_with("mail") => Phase::Mail,
        Some(word) if word.starts_with("helo") || word.starts_with("ehlo") => Phase::Ehlo,
        Some(word) if word.starts_with("conn") || word.starts_with("to talk") => Phase::Connect,
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
    let is_marker = |found: &regex::Match<'_>| {
        // IMail says so before the reply of the other host.
        !text.get(found.end()..).is_some_and(|rest| rest.starts_with(" generated response"))
    };
    let marker = RETURNED.find_iter(text).find(is_marker).map(|found| found.start());
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

pattern!(REPLY, r"(?m)(?:^|[\s:;('<\[#])([45][0-5]\d)(?:[ ,-]|$)");
pattern!(ENHANCED, r"(?m)(?:^|[\s:;(#<\['])([45]\.\d{1,3}\.\d{1,3})(?:$|[\s:;)>\],'.])");
pattern!(
    IN_REPLY_TO,
    r"(?i)(?:in reply to|after|in response to|while|command:?|>>>)\s+(?:the\s+)?(?:end of\s+)?(?:sending\s+)?(rcpt|mail from|mail|helo|ehlo|connect\w*|initial connection|data|bdat|end of data|dot)\b|refused (to talk) to me"
);
pattern!(REPEATED, r"\s[45]\d\d[- ](?:[45]\.\d{1,3}\.\d{1,3})?\s");
pattern!(GIVES_UP, r"(?i)Giving up on |I'm not going to try again");
pattern!(
    EXPIRED,
    r"(?i)retry time(out)? exceeded|been failing (for a long time|repeatedly)|in the queue too long|(delivery|message|envelope) (time|period)? ?(has )?expired"
);
pattern!(
    FINAL,
    r"(?i)\bpermanent(ly)? (fatal )?(error|fail)|failed permanently|\b(given|giving) up\b|not going to try again|will not be retried|cannot be delivered"
);
pattern!(
    TRIED_ON,
    r"(?i)\b(warning message only|transient non-fatal|will (keep|be) (trying|retried)|still (trying|being retried)|only a temporary)"
);
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
