//! What kind of failure a reply means: rules as data, by code, enhanced code, phase, host and words. The operator's
//! own rules come first, then those that are compiled in.

use std::sync::{Arc, LazyLock};

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::{EnhancedCode, FailureClass, Phase, Status};

/// The rules that are compiled in.
const BUILT_IN: &str = include_str!("classify/rules.toml");
/// Rules in a file at most.
const RULES_MAX: usize = 10_000;
/// Octets that one compiled pattern may take.
const PATTERN_OCTETS_MAX: usize = 4 << 20;

/// The rules by which failures get their class.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    /// Those of the operator.
    own: Arc<[Rule]>,
}

/// Why a file of rules can not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassesError {
    /// The file is no TOML of this form.
    #[error("{0}")]
    Form(String),
    /// One rule is wrong.
    #[error("rule {number}: {problem}")]
    Rule {
        /// Which one, from 1.
        number: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// There are too many.
    #[error("{0} rules; at most {RULES_MAX} are taken")]
    TooMany(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    class: String,
    code: Option<String>,
    enhanced: Option<String>,
    phase: Option<String>,
    pattern: Option<String>,
    host: Option<String>,
}

/// One rule: what is set must hold.
#[derive(Debug)]
struct Rule {
    class: FailureClass,
    /// Digits of the code; none stands for any.
    code: Option<[Option<u8>; 3]>,
    /// Parts of the enhanced code; none stands for any.
    enhanced: Option<[Option<u16>; 3]>,
    phase: Option<Phase>,
    pattern: Option<Regex>,
    host: Option<String>,
}

static BUILT_IN_RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    read_rules(BUILT_IN).expect("the rules that are compiled in are sound; a test reads them")
});

impl Classes {
    /// The rules of an operator's file, in front of those that are compiled in.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Classes, ClassesError> {
        read_rules(text).map(|rules| Classes { own: rules.into() })
    }

    /// Gives a failure that came from a peer its class. What the relay itself found out keeps the class it has.
    pub fn classify(&self, status: &mut Status) {
        if status.class != FailureClass::Unknown {
            return;
        }
        let Some(code) = status.code else { return };
        let found = self.own.iter().chain(BUILT_IN_RULES.iter()).find(|rule| rule.matches(status, code));
        if let Some(rule) = found {
            status.class = rule.class;
        }
    }
}

impl Rule {
    fn matches(&self, status: &Status, code: u16) -> bool {
        let EnhancedCode(class, subject, detail) = status.enhanced;
        let digits = [code / 100, code / 10 % 10, code % 10];
        let parts = [u16::from(class), subject, detail];
        let same_code = |wanted: &[Option<u8>; 3]| {
            wanted
                .iter()
                .zip(digits)
                .all(|(wanted, digit)| wanted.is_none_or(|wanted| u16::from(wanted) == digit))
        };
        let same_parts = |wanted: &[Option<u16>; 3]| {
            wanted.iter().zip(parts).all(|(wanted, part)| wanted.is_none_or(|wanted| wanted == part))
        };
        self.code.as_ref().is_none_or(same_code)
            && self.enhanced.as_ref().is_none_or(same_parts)
            && self.phase.is_none_or(|phase| phase == status.phase)
            && self.host.as_ref().is_none_or(|host| is_host(status, host))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&status.text))
    }
}

fn is_host(status: &Status, wanted: &str) -> bool {
    let Some(remote) = &status.remote else { return false };
    let host = remote.host.to_ascii_lowercase();
    match wanted.starts_with('.') {
        true => host.ends_with(wanted),
        false => host == wanted,
    }
}

fn read_rules(text: &str) -> Result<Vec<Rule>, ClassesError> {
    let raw: RawRules = toml::from_str(text).map_err(|error| ClassesError::Form(error.to_string()))?;
    if raw.rule.len() > RULES_MAX {
        return Err(ClassesError::TooMany(raw.rule.len()));
    }
    let numbered = raw.rule.into_iter().zip(1..);
    numbered
        .map(|(rule, number)| read_rule(rule).map_err(|problem| ClassesError::Rule { number, problem }))
        .collect()
}

fn read_rule(raw: RawRule) -> Result<Rule, String> {
    let RawRule { class, code, enhanced, phase, pattern, host } = raw;
    if [&code, &enhanced, &phase, &pattern, &host].iter().all(|condition| condition.is_none()) {
        return Err("has no condition; give code, enhanced, phase, pattern or host".to_owned());
    }
    let known = || FailureClass::ALL.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ");
    let phases = || Phase::ALL.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(", ");
    let pattern = pattern.map(|text| {
        let built = RegexBuilder::new(&text).case_insensitive(true).size_limit(PATTERN_OCTETS_MAX).build();
        built.map_err(|error| format!("pattern: {error}"))
    });
    Ok(Rule {
        class: FailureClass::from_name(&class)
            .ok_or_else(|| format!("class `{class}` is none of {}", known()))?,
        code: code.map(|text| read_code(&text)).transpose()?,
        enhanced: enhanced.map(|text| read_enhanced(&text)).transpose()?,
        phase: phase
            .map(|text| {
                Phase::from_name(&text).ok_or_else(|| format!("phase `{text}` is none of {}", phases()))
            })
            .transpose()?,
        pattern: pattern.transpose()?,
        host: host.map(|host| host.to_ascii_lowercase()),
    })
}

/// Three digits, or `x` for any.
fn read_code(text: &str) -> Result<[Option<u8>; 3], String> {
    let wrong = || format!("code `{text}` is not of the form 550, 55x or 5xx");
    let digit = |letter: char| match letter {
        'x' => Ok(None),
        digit => digit.to_digit(10).and_then(|digit| u8::try_from(digit).ok()).map(Some).ok_or_else(wrong),
    };
    let digits = text.chars().map(digit).collect::<Result<Vec<_>, _>>()?;
    digits.try_into().map_err(|_| wrong())
}

/// Three numbers with dots between, or `x` for any.
fn read_enhanced(text: &str) -> Result<[Option<u16>; 3], String> {
    let wrong = || format!("enhanced code `{text}` is not of the form 5.1.1, x.1.1 or 5.7.x");
    let part = |part: &str| match part {
        "x" => Ok(None),
        number => number.parse().map(Some).map_err(|_| wrong()),
    };
    let parts = text.split('.').map(part).collect::<Result<Vec<_>, _>>()?;
    parts.try_into().map_err(|_| wrong())
}

#[cfg(test)]
pub(crate) mod tests;
