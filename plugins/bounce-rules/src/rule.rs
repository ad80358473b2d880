//! Rules from the settings, and the failure that they are held against.

use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;
use baton_sdk::regex::LazyRegex;

/// The classes that the relay knows.
const CLASSES: [&str; 16] = [
    "unknown",
    "bad-mailbox",
    "bad-domain",
    "quota",
    "content",
    "too-large",
    "policy",
    "block-source",
    "rate",
    "greylist",
    "tls",
    "network",
    "protocol",
    "dns",
    "loop",
    "expired",
];
/// The phases that the relay knows.
const PHASES: [&str; 10] =
    ["dns", "connect", "tls", "ehlo", "auth", "mail", "rcpt", "data", "policy", "expired"];
/// Seconds of a retry delay at most: longer than any message lives.
const RETRY_AFTER_S_MAX: u32 = 7 * 24 * 3_600;
/// Attempts for which a retry rule holds when it does not say.
const ATTEMPTS_MAX_DEFAULT: u32 = 10;

/// The settings of a rule. All that is given must match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Names the rule in metrics.
    pub name: String,
    /// The SMTP code: `550`, `55x`, `5xx`.
    #[serde(default)]
    pub code: Option<String>,
    /// The enhanced code: `5.1.1`, `x.1.1`, `5.7.x`.
    #[serde(default)]
    pub enhanced: Option<String>,
    /// A text that the reply contains, in any case.
    #[serde(default)]
    pub contains: Option<String>,
    /// An expression that the reply matches; `(?i)` in front makes it ignore case.
    #[serde(default)]
    pub regex: Option<String>,
    /// Where it failed.
    #[serde(default)]
    pub phase: Option<String>,
    /// The host that was tried: a name, or `.example.net` for all names below it.
    #[serde(default)]
    pub remote_host: Option<Pattern>,
    /// The class that the relay found.
    #[serde(default)]
    pub class: Option<String>,
    /// Whether the relay would give up (true) or try again (false).
    #[serde(default)]
    pub permanent: Option<bool>,
    /// The rule holds for the first so many attempts; default 10 with `retry` and `reroute`, else without end.
    #[serde(default)]
    pub attempts_max: Option<u32>,
    /// The class to put the failure into.
    #[serde(default)]
    pub set_class: Option<String>,
    /// What follows; default: what the relay makes of it.
    #[serde(default)]
    pub action: Action,
    /// With `retry`: the delay in seconds.
    #[serde(default)]
    pub retry_after_s: Option<u32>,
}

/// What follows from a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// No opinion: later plugins and the relay decide, by the class.
    #[default]
    Next,
    /// Try again after `retry_after_s`.
    Retry,
    /// Give up; the usual rules say whether the sender is told.
    Fail,
    /// Give up and tell the sender.
    Notify,
    /// Give up and tell nobody.
    Silent,
    /// Choose the route anew, at once.
    Reroute,
}

/// What a rule says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict<'a> {
    pub(crate) rule: &'a str,
    pub(crate) class: Option<&'a str>,
    pub(crate) decision: BounceDecision,
}

/// The failure at hand, read once for all rules.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    pub(crate) permanent: bool,
    pub(crate) code: Option<u16>,
    pub(crate) enhanced: Option<(u8, u16, u16)>,
    pub(crate) text: String,
    /// The text in ASCII lower case.
    pub(crate) lower: String,
    pub(crate) phase: String,
    pub(crate) class: String,
    pub(crate) remote_host: String,
    /// Finished attempts, the failed one included.
    pub(crate) attempts: u32,
}

impl Failed {
    pub(crate) fn read(cx: &Context) -> Failed {
        let failure = cx.failure();
        let reply = failure.remote_reply();
        let (code, enhanced) =
            (reply.as_ref().map(|reply| reply.code), reply.as_ref().and_then(|reply| reply.enhanced));
        let text = reply.map(|reply| reply.text).or_else(|| cx.routing().last_error()).unwrap_or_default();
        Failed {
            permanent: failure.permanent(),
            code,
            enhanced,
            lower: text.to_ascii_lowercase(),
            text,
            phase: failure.phase(),
            class: failure.class(),
            remote_host: failure.remote_host().unwrap_or_default(),
            attempts: cx.routing().attempt(),
        }
    }
}

/// A rule, ready to be held against failures.
pub(crate) struct Rule {
    name: String,
    code: Option<Digits>,
    enhanced: Option<EnhancedPattern>,
    contains: Option<String>,
    regex: Option<LazyRegex>,
    phase: Option<String>,
    remote_host: Option<Pattern>,
    class: Option<String>,
    permanent: Option<bool>,
    attempts_max: u32,
    set_class: Option<String>,
    decision: BounceDecision,
}

impl Rule {
    pub(crate) fn read(config: RuleConfig) -> Result<Rule> {
        check_name(config.class.as_deref(), "class", &CLASSES)?;
        check_name(config.set_class.as_deref(), "set_class", &CLASSES)?;
        check_name(config.phase.as_deref(), "phase", &PHASES)?;
        let decision = read_decision(config.action, config.retry_after_s)?;
        if decision == BounceDecision::Next && config.set_class.is_none() {
            return Err(Error::new("the rule does nothing: it needs `action` or `set_class`"));
        }
        let repeats = matches!(config.action, Action::Retry | Action::Reroute);
        let attempts_max =
            config.attempts_max.unwrap_or(if repeats { ATTEMPTS_MAX_DEFAULT } else { u32::MAX });
        if matches!(&config.remote_host, Some(Pattern::Address(_) | Pattern::Local(_))) {
            return Err(Error::new("remote_host is a host name, not a mail address"));
        }
        Ok(Rule {
            name: config.name,
            code: config.code.as_deref().map(Digits::read).transpose()?,
            enhanced: config.enhanced.as_deref().map(EnhancedPattern::read).transpose()?,
            contains: config.contains.map(|text| text.to_ascii_lowercase()),
            regex: config.regex.map(LazyRegex::new),
            phase: config.phase,
            remote_host: config.remote_host,
            class: config.class,
            permanent: config.permanent,
            attempts_max,
            set_class: config.set_class,
            decision,
        })
    }

    /// Finds mistakes in the expression.
    pub(crate) fn check(&self) -> Result<()> {
        self.regex.as_ref().map_or(Ok(()), LazyRegex::check)
    }

    /// True when all that was given matches. The expression comes last: it may have to be compiled.
    pub(crate) fn matches(&self, failed: &Failed) -> Result<bool> {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let plain = failed.attempts <= self.attempts_max
            && self.permanent.is_none_or(|permanent| permanent == failed.permanent)
            && self.code.as_ref().is_none_or(|digits| digits.matches(failed.code))
            && self.enhanced.as_ref().is_none_or(|pattern| pattern.matches(failed.enhanced))
            && same(&self.phase, &failed.phase)
            && same(&self.class, &failed.class)
            && self.remote_host.as_ref().is_none_or(|pattern| pattern.matches_domain(&failed.remote_host))
            && self.contains.as_deref().is_none_or(|text| failed.lower.contains(text));
        match &self.regex {
            Some(regex) if plain => regex.is_match(&failed.text),
            _ => Ok(plain),
        }
    }

    pub(crate) fn verdict(&self) -> Verdict<'_> {
        Verdict { rule: &self.name, class: self.set_class.as_deref(), decision: self.decision.clone() }
    }
}

fn check_name(name: Option<&str>, field: &str, known: &[&str]) -> Result<()> {
    match name {
        Some(name) if !known.contains(&name) => {
            Err(Error::new([field, " is one of ", &known.join(", ")].concat()))
        }
        _ => Ok(()),
    }
}

fn read_decision(action: Action, retry_after_s: Option<u32>) -> Result<BounceDecision> {
    match (action, retry_after_s) {
        (Action::Retry, Some(seconds @ 1..=RETRY_AFTER_S_MAX)) => {
            Ok(BounceDecision::Retry(u64::from(seconds) * 1_000))
        }
        (Action::Retry, _) => Err(Error::new("retry needs `retry_after_s` from 1 to 604800")),
        (_, Some(_)) => Err(Error::new("`retry_after_s` goes with `action = \"retry\"`")),
        (Action::Next, None) => Ok(BounceDecision::Next),
        (Action::Fail, None) => Ok(BounceDecision::Fail),
        (Action::Notify, None) => Ok(BounceDecision::Notify),
        (Action::Silent, None) => Ok(BounceDecision::Silent),
        (Action::Reroute, None) => Ok(BounceDecision::Reroute),
    }
}

/// Three digits, of which the later ones may be `x`.
#[derive(Debug)]
struct Digits([Option<u16>; 3]);

impl Digits {
    fn read(text: &str) -> Result<Digits> {
        let invalid = || Error::new("code is written as 550, 55x or 5xx");
        let digit = |octet: &u8| match octet {
            b'0'..=b'9' => Ok(Some(u16::from(octet - b'0'))),
            b'x' | b'X' => Ok(None),
            _ => Err(invalid()),
        };
        match text.as_bytes() {
            [first @ (b'4' | b'5'), second, third] => {
                Ok(Digits([digit(first)?, digit(second)?, digit(third)?]))
            }
            _ => Err(invalid()),
        }
    }

    fn matches(&self, code: Option<u16>) -> bool {
        let Some(code) = code else { return false };
        let found = [code / 100, code / 10 % 10, code % 10];
        self.0.iter().zip(found).all(|(wanted, found)| wanted.is_none_or(|wanted| wanted == found))
    }
}

/// Class, subject, detail, each of which may be `x`.
#[derive(Debug)]
struct EnhancedPattern([Option<u16>; 3]);

impl EnhancedPattern {
    fn read(text: &str) -> Result<EnhancedPattern> {
        let invalid = || Error::new("enhanced is written as 5.1.1, x.1.1 or 5.7.x");
        let number = |part: &str| match part {
            "x" | "X" => Ok(None),
            digits => digits.parse::<u16>().map(Some).map_err(|_| invalid()),
        };
        match text.split('.').collect::<Vec<_>>().as_slice() {
            [class, subject, detail] => {
                Ok(EnhancedPattern([number(class)?, number(subject)?, number(detail)?]))
            }
            _ => Err(invalid()),
        }
    }

    fn matches(&self, enhanced: Option<(u8, u16, u16)>) -> bool {
        let Some((class, subject, detail)) = enhanced else { return false };
        let found = [u16::from(class), subject, detail];
        self.0.iter().zip(found).all(|(wanted, found)| wanted.is_none_or(|wanted| wanted == found))
    }
}
