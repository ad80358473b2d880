//! When a rule holds.

use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;
use baton_sdk::regex::LazyRegex;

/// The settings of a condition. All that is given must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConditionConfig {
    /// The field which `exists`, `equals`, `contains` and `regex` look at; any of several fields of that name.
    pub header: Option<String>,
    /// The field is there (true) or is not there (false).
    pub exists: Option<bool>,
    /// The value is this text, in any case.
    pub equals: Option<String>,
    /// The value contains this text, in any case.
    pub contains: Option<String>,
    /// The value matches this expression; `(?i)` in front makes it ignore case.
    pub regex: Option<String>,
    /// The message is larger than so many octets.
    pub size_over_octets: Option<u64>,
    /// The return path matches this pattern; the null sender matches none.
    pub sender: Option<Pattern>,
    /// A recipient matches this pattern.
    pub recipient: Option<Pattern>,
    /// The client logged in (true) or did not (false).
    pub authenticated: Option<bool>,
    /// The relay found the header too complex to read (true), or read it (false).
    pub too_complex: Option<bool>,
}

/// A condition, ready to be asked.
pub(crate) struct Condition {
    header: Option<(String, Test)>,
    size_over_octets: Option<u64>,
    sender: Option<Pattern>,
    recipient: Option<Pattern>,
    authenticated: Option<bool>,
    too_complex: Option<bool>,
}

/// What a field must be like.
enum Test {
    Exists(bool),
    Equals(String),
    /// In ASCII lower case.
    Contains(String),
    Regex(LazyRegex),
}

impl Condition {
    pub(crate) fn read(config: ConditionConfig) -> Result<Condition> {
        let mut tests: Vec<Test> = Vec::new();
        tests.extend(config.exists.map(Test::Exists));
        tests.extend(config.equals.map(Test::Equals));
        tests.extend(config.contains.map(|text| Test::Contains(text.to_ascii_lowercase())));
        tests.extend(config.regex.map(|text| Test::Regex(LazyRegex::new(text))));
        let header = match (config.header, tests.pop()) {
            (None, None) => None,
            (Some(name), Some(test)) if tests.is_empty() => Some((name, test)),
            _ => {
                return Err(Error::new(
                    "`header` goes with one of `exists`, `equals`, `contains` and `regex`",
                ));
            }
        };
        Ok(Condition {
            header,
            size_over_octets: config.size_over_octets,
            sender: config.sender,
            recipient: config.recipient,
            authenticated: config.authenticated,
            too_complex: config.too_complex,
        })
    }

    /// Finds mistakes in the expression.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.header {
            Some((_, Test::Regex(regex))) => regex.check(),
            _ => Ok(()),
        }
    }

    /// True when all that was given holds. What is cheap is asked first.
    pub(crate) fn holds(&self, cx: &Context) -> Result<bool> {
        let (message, envelope) = (cx.message(), cx.envelope());
        let matches =
            |address: Option<Address>, pattern: &Pattern| address.is_some_and(|it| pattern.matches(&it));
        let among_recipients = |pattern: &Pattern| {
            (0..envelope.recipient_count()).any(|index| matches(envelope.recipient(index), pattern))
        };
        let envelope_holds = self.size_over_octets.is_none_or(|octets| message.size() > octets)
            && self.authenticated.is_none_or(|expected| cx.session().account().is_some() == expected)
            && self.sender.as_ref().is_none_or(|pattern| matches(envelope.sender(), pattern))
            && self.too_complex.is_none_or(|expected| message.too_complex().is_some() == expected)
            && self.recipient.as_ref().is_none_or(among_recipients);
        match &self.header {
            Some((name, test)) if envelope_holds => test.holds(&message.headers(name)),
            _ => Ok(envelope_holds),
        }
    }
}

impl Test {
    fn holds(&self, values: &[String]) -> Result<bool> {
        Ok(match self {
            Test::Exists(expected) => values.is_empty() != *expected,
            Test::Equals(text) => values.iter().any(|value| value.trim().eq_ignore_ascii_case(text)),
            Test::Contains(text) => values.iter().any(|value| value.to_ascii_lowercase().contains(text)),
            Test::Regex(regex) => {
                for value in values {
                    if regex.is_match(value)? {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }
}
