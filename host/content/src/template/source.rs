//! A template as its owner wrote it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Octets in the name of a template at most.
const NAME_OCTETS_MAX: usize = 63;

/// One template: what is rendered into a message, or a layout that others extend (then without a subject).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Template {
    /// What it is for, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The subject; a layout has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The HTML part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// The text part; without one, it is made from the HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Data for preview, lint and test.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub sample: serde_json::Value,
    /// It goes to many who may want it to stop: lint asks for a way to unsubscribe and a postal address.
    pub bulk: bool,
}

impl Template {
    /// The source of `part`, when there is one.
    pub fn part(&self, part: Part) -> Option<&str> {
        match part {
            Part::Subject => self.subject.as_deref(),
            Part::Html => self.html.as_deref(),
            Part::Text => self.text.as_deref(),
        }
    }

    /// Octets of all parts together.
    pub fn source_octets(&self) -> usize {
        Part::ALL.iter().filter_map(|part| self.part(*part)).map(str::len).sum()
    }
}

/// The parts of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// One line.
    Subject,
    /// Values are escaped.
    Html,
    /// Values stand as they are.
    Text,
}

impl Part {
    /// In the order in which a message is made.
    pub const ALL: [Part; 3] = [Part::Subject, Part::Html, Part::Text];

    /// How the part is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Subject => "subject",
            Part::Html => "html",
            Part::Text => "text",
        }
    }

    /// What the name of the part's source ends with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Part::Subject => ".subject",
            Part::Html => ".html",
            Part::Text => ".txt",
        }
    }

    /// The part that a source's name means, and the template's name.
    pub(super) fn of_source(name: &str) -> Option<(&str, Part)> {
        Part::ALL.iter().find_map(|part| Some((name.strip_suffix(part.suffix())?, *part)))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The name of a template of one's own: 1 to 63 octets of lower-case letters, digits and hyphens, as tenants and streams are
/// named. Those that ship have `ready/` before it, so the two can not meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateName(Box<str>);

impl TemplateName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TemplateName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<TemplateName, InvalidName> {
        let is_allowed = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        let length_is_valid = (1..=NAME_OCTETS_MAX).contains(&text.len());
        if length_is_valid && text.bytes().all(is_allowed) && !text.starts_with('-') && !text.ends_with('-') {
            Ok(TemplateName(text.into()))
        } else {
            Err(InvalidName)
        }
    }
}

impl TryFrom<String> for TemplateName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<TemplateName, InvalidName> {
        text.parse()
    }
}

impl From<TemplateName> for String {
    fn from(name: TemplateName) -> String {
        name.0.into()
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The text can not name a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a template's name is 1 to {NAME_OCTETS_MAX} lower-case letters, digits and hyphens, no hyphen first or last"
)]
pub struct InvalidName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for good in ["a", "one-time-code", "2fa"] {
            assert!(good.parse::<TemplateName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "ready/code", "../a", "a.html", "ä", &"x".repeat(64)] {
            assert_eq!(bad.parse::<TemplateName>(), Err(InvalidName), "{bad}");
        }
    }

    #[test]
    fn the_stored_form_refuses_what_it_does_not_know() {
        let template: Template = serde_json::from_str(r#"{"subject": "Hi", "html": "<p>Hi"}"#).unwrap();
        assert_eq!(template.part(Part::Html), Some("<p>Hi"));
        assert_eq!(template.source_octets(), 7);
        assert!(serde_json::from_str::<Template>(r#"{"body": "x"}"#).is_err());
    }
}
