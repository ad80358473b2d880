//! What a sink answers instead of the ordinary replies.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_mail::{EnhancedCode, Reply};

use crate::settings::field::{Field, section};
use crate::settings::problem::Problems;
use crate::settings::{read_file, tree};

section! {
    /// The file of a sink's rules.
    RawRules {
        /// The rules; the first that matches answers.
        rule: Vec<RawRule> = Vec::new(),
    }
}

section! {
    /// One rule.
    RawRule {
        /// Where it answers: `connect`, `helo`, `mail`, `rcpt`, `data` (before the content) or `message` (after it).
        phase: String = String::new(),
        /// Only for this recipient: a mailbox, `*@domain` or `*`.
        recipient: String = "*".to_owned(),
        /// Only for this sender: a mailbox, `*@domain` or `*`.
        sender: String = "*".to_owned(),
        /// What it answers, such as `451 4.7.1 come back later`. Unset: the ordinary reply.
        reply: Option<String> = None,
        /// For how many matches it holds; 0 is for all.
        times: u64 = 0,
        /// How long the answer is held back, in milliseconds.
        delay_ms: u64 = 0,
        /// Closes the connection instead of answering.
        close: bool = false,
    }
}

/// Where in the dialogue a rule answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connect,
    Helo,
    Mail,
    Rcpt,
    Data,
    Message,
}

/// What a sink does instead of the ordinary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instead {
    /// Waits so long first.
    pub(crate) delay: Duration,
    /// Closes without a word.
    pub(crate) close: bool,
    /// The reply; none is the ordinary one.
    pub(crate) reply: Option<Reply>,
}

#[derive(Debug)]
struct Rule {
    phase: Phase,
    recipient: String,
    sender: String,
    times: u64,
    matched: AtomicU64,
    instead: Instead,
}

/// All rules, in order.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    /// Reads a file of rules.
    pub(crate) fn load(path: &Path) -> Result<Rules, Problems> {
        Rules::read(&read_file(path)?)
    }

    fn read(text: &str) -> Result<Rules, Problems> {
        let tree = tree::parse(text)?;
        let mut problems = Problems::default();
        let raw = RawRules::read(&tree, "", &mut problems).unwrap_or_default();
        let rules: Vec<_> = raw
            .rule
            .iter()
            .enumerate()
            .filter_map(|(index, rule)| check(index, rule, &mut problems))
            .collect();
        if problems.is_empty() { Ok(Rules(rules)) } else { Err(problems.locate(|key| tree.line_of(key))) }
    }

    /// True when nothing is ever answered differently.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to do at this point, when it is not the ordinary.
    pub(crate) fn find(&self, phase: Phase, sender: &str, recipient: &str) -> Option<&Instead> {
        let rule = self.0.iter().find(|rule| {
            rule.phase == phase
                && matches(&rule.sender, sender)
                && matches(&rule.recipient, recipient)
                && (rule.times == 0 || rule.matched.fetch_add(1, Ordering::Relaxed) < rule.times)
        })?;
        Some(&rule.instead)
    }
}

fn check(index: usize, raw: &RawRule, problems: &mut Problems) -> Option<Rule> {
    let phase = match raw.phase.as_str() {
        "connect" => Some(Phase::Connect),
        "helo" => Some(Phase::Helo),
        "mail" => Some(Phase::Mail),
        "rcpt" => Some(Phase::Rcpt),
        "data" => Some(Phase::Data),
        "message" => Some(Phase::Message),
        other => {
            let remedy = "write connect, helo, mail, rcpt, data or message";
            problems.push(
                &format!("rule[{index}].phase"),
                Some(other.to_owned()),
                "there is no such phase",
                remedy,
            );
            None
        }
    };
    let reply = raw.reply.as_deref().map(|text| (text, read_reply(text)));
    if let Some((text, None)) = &reply {
        let remedy = "write a code from 400 to 599, an enhanced code if you like, and a text";
        problems.push(&format!("rule[{index}].reply"), Some((*text).to_owned()), "is no reply", remedy);
    }
    for (key, pattern) in [("recipient", &raw.recipient), ("sender", &raw.sender)] {
        if !is_pattern(pattern) {
            let remedy = "write a mailbox, `*@domain` or `*`";
            problems.push(
                &format!("rule[{index}].{key}"),
                Some(pattern.clone()),
                "would match nothing",
                remedy,
            );
        }
    }
    let instead = Instead {
        delay: Duration::from_millis(raw.delay_ms),
        close: raw.close,
        reply: reply.and_then(|(_, reply)| reply),
    };
    let (recipient, sender) = (raw.recipient.to_lowercase(), raw.sender.to_lowercase());
    Some(Rule { phase: phase?, recipient, sender, times: raw.times, matched: AtomicU64::new(0), instead })
}

/// Reads `451 4.7.1 come back later`.
fn read_reply(text: &str) -> Option<Reply> {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let code: u16 = code.parse().ok().filter(|code| (400..600).contains(code))?;
    let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
    match first.parse::<EnhancedCode>() {
        Ok(enhanced) => Some(Reply::new(code, enhanced, after)),
        Err(_) => Some(Reply::bare(code, rest)),
    }
}

/// A star stands for what an address begins with, and nowhere else. Nothing at all is the sender of reports.
fn is_pattern(text: &str) -> bool {
    match text.strip_prefix('*') {
        Some(ending) => !ending.contains('*'),
        None => !text.contains('*') && (text.is_empty() || text.contains('@')),
    }
}

fn matches(pattern: &str, address: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(ending) => address.to_lowercase().ends_with(ending),
        None => address.to_lowercase() == *pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_rule_answers_as_often_as_it_says() {
        let text =
            "[[rule]]\nphase = 'rcpt'\nrecipient = '*@slow.example'\nreply = '451 4.7.1 later'\ntimes = 1\n";
        let rules = Rules::read(text).unwrap();
        let ask = |recipient: &str| {
            rules.find(Phase::Rcpt, "", recipient).and_then(|instead| instead.reply.clone())
        };
        assert_eq!(ask("a@fast.example"), None);
        assert_eq!(ask("A@Slow.Example"), Some(Reply::new(451, EnhancedCode(4, 7, 1), "later")));
        assert_eq!(ask("a@slow.example"), None);
        assert!(rules.find(Phase::Mail, "", "a@slow.example").is_none());
    }

    #[test]
    fn mistakes_name_their_rule() {
        let text =
            "[[rule]]\nphase = 'later'\nreply = '250 ok'\nrecipient = 'ann*'\nsender = 'dest.example'\n";
        let problems = Rules::read(text).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["rule[0].phase", "rule[0].reply", "rule[0].recipient", "rule[0].sender"]);
    }
}
