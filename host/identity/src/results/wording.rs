//! The grammar of `Authentication-Results` (RFC 8601 2.2): every value is a token, an address, or quoted.
//!
//! Invariant: no value, whoever chose it, ends its statement or the field.

use baton_mail::text::sanitize;

use crate::Verdict;

/// One method with its result.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) method: &'static str,
    pub(super) verdict: Verdict,
    reason: Option<String>,
    properties: Vec<(&'static str, String)>,
    pub(super) comment: Option<String>,
    /// For people only.
    pub(super) explanation: Option<String>,
}

impl Statement {
    pub(super) fn new(method: &'static str, verdict: Verdict, reason: Option<&str>) -> Statement {
        let reason = reason.filter(|reason| !reason.is_empty()).map(str::to_owned);
        Statement { method, verdict, reason, properties: Vec::new(), comment: None, explanation: None }
    }

    /// Adds a property unless it is empty.
    pub(super) fn property(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.properties.push((name, sanitize(value, VALUE_OCTETS_MAX)));
        }
    }

    /// For the history.
    pub(super) fn summary(&self) -> String {
        let about = self.properties.first().map(|(_, value)| format!(" {value}")).unwrap_or_default();
        let wish = self.properties.iter().find(|(name, _)| *name == "policy.dmarc");
        let wish = wish.map(|(_, wish)| format!(", wants {wish}")).unwrap_or_default();
        let reason = self.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let says = self.explanation.as_deref().map(|text| format!(", says: {text}")).unwrap_or_default();
        format!("{}={}{about}{wish}{reason}{says}", self.method, self.verdict)
    }
}

/// A field under construction.
pub(super) struct Field(String);

impl Field {
    pub(super) fn new(authserv_id: &str) -> Field {
        Field(value(authserv_id))
    }

    pub(super) fn push(&mut self, statement: &Statement) {
        let Field(text) = self;
        text.push_str(&format!("; {}={}", statement.method, statement.verdict));
        if let Some(name) = &statement.comment {
            text.push_str(&format!(" ({})", comment(name)));
        }
        if let Some(reason) = &statement.reason {
            text.push_str(&format!(" reason={}", quoted(reason)));
        }
        for (name, own) in &statement.properties {
            text.push_str(&format!(" {name}={}", value(own)));
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A token as it is, an address in plain letters as it is, all else quoted.
fn value(text: &str) -> String {
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_octet);
    let is_address = text
        .split_once('@')
        .is_some_and(|(local, domain)| (local.is_empty() || is_token(local)) && is_token(domain));
    if is_token(text) || is_address { text.to_owned() } else { quoted(text) }
}

/// RFC 2045 5.1, without characters that mean something elsewhere in a header.
fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-._`{|}~^".contains(&octet)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in plain(text).chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

fn comment(text: &str) -> String {
    plain(text).chars().map(|character| if "()\\".contains(character) { '?' } else { character }).collect()
}

/// Printable ASCII: the field must be readable where nobody knows SMTPUTF8.
fn plain(text: &str) -> String {
    let fits = |character: char| matches!(character, ' '..='~');
    sanitize(text, VALUE_OCTETS_MAX)
        .chars()
        .map(|character| if fits(character) { character } else { '?' })
        .collect()
}

/// Octets of one value.
const VALUE_OCTETS_MAX: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    fn field(reason: Option<&str>, property: &str) -> String {
        let mut statement = Statement::new("spf", Verdict::Fail, reason);
        statement.property("smtp.mailfrom", property);
        let mut field = Field::new("mx.example");
        field.push(&statement);
        field.finish()
    }

    #[test]
    fn plain_values_stay_plain() {
        assert_eq!(field(None, "example.net"), "mx.example; spf=fail smtp.mailfrom=example.net");
        assert_eq!(
            field(Some("no"), "a+b@example.net"),
            "mx.example; spf=fail reason=\"no\" smtp.mailfrom=a+b@example.net"
        );
        assert_eq!(field(None, ""), "mx.example; spf=fail");
    }

    #[test]
    fn nothing_ends_its_statement() {
        for (hostile, written) in [
            ("a;dkim=pass", "\"a;dkim=pass\""),
            ("a\"; dkim=pass", "\"a\\\"; dkim=pass\""),
            ("a\\", "\"a\\\\\""),
            ("a\r\nX: y", "\"a  X: y\""),
            ("a(b", "\"a(b\""),
            ("\u{fc}", "\"?\""),
        ] {
            assert_eq!(field(None, hostile), format!("mx.example; spf=fail smtp.mailfrom={written}"));
            assert!(field(Some(hostile), "a").contains(&format!("reason={}", quoted(hostile))));
        }
        assert_eq!(comment("a) (b\\"), "a? ?b?");
    }
}
