//! What is wrong with a template before a customer sees it.

mod page;

use std::borrow::Cow;

use baton_mail::tenant::Lack;
use baton_mail::text::contains_words;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::library::{Library, Rendered};
use super::source::{Part, Template};
use crate::html::to_text;

/// Octets of HTML beyond which Gmail shows the rest on a page of its own.
pub const CLIPPED_OCTETS: usize = 102 * 1024;
/// Characters of a subject that most mail programs show on one line.
const SUBJECT_CHARACTERS_SHOWN: usize = 70;
/// Lines of a postal address.
const ADDRESS_LINES: usize = 3;
/// Findings of one template at most.
const FINDINGS_MAX: usize = 100;
/// Where the relay's page would be, for templates whose sample does not say.
pub const SAMPLE_UNSUBSCRIBE_URL: &str = "https://links.example/u/sample";

/// What is asked of a template beyond being right.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// It goes to many: there must be a way to unsubscribe, and a postal address (CAN-SPAM 5(a)(5), RFC 8058).
    pub bulk: bool,
    /// The postal addresses that must be there; without any, one that is marked or looks as one will do.
    pub addresses: Vec<StreamAddress>,
}

/// A postal address that a stream asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAddress {
    /// The stream.
    pub stream: String,
    /// Its address.
    pub address: String,
    /// How bad it is when it is not there: the template may be for another stream.
    pub severity: Severity,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Some recipients see it wrong.
    Warning,
    /// It can not be sent, or must not.
    Error,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule's name.
    pub rule: Cow<'static, str>,
    /// The part that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The line: of the source for faults of the template language, of what was rendered for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is wrong and what helps.
    pub message: String,
}

impl Finding {
    fn new(severity: Severity, rule: &'static str, part: Part, message: impl Into<String>) -> Finding {
        Finding { severity, rule: Cow::Borrowed(rule), part: Some(part), line: None, message: message.into() }
    }

    fn at(self, line: usize) -> Finding {
        Finding { line: Some(line), ..self }
    }
}

/// Everything that is wrong with the template `name` of `library`, rendered with its own sample; the worst first.
pub fn lint(library: &Library, name: &str, template: &Template, rules: &Rules) -> Vec<Finding> {
    let data = data(template, rules.bulk);
    let mut findings = missing_variables(library, name, &data);
    match library.render(name, &data) {
        Ok(rendered) => findings.extend(lint_rendered(&rendered, template, &data, rules)),
        Err(error) => findings.push(Finding {
            severity: Severity::Error,
            rule: Cow::Borrowed("render"),
            part: error.part,
            line: error.line,
            message: error.to_string(),
        }),
    }
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.part, finding.line));
    findings.truncate(FINDINGS_MAX);
    findings
}

/// The sample, with what the relay adds to mail that goes to many.
pub fn data(template: &Template, is_bulk: bool) -> Value {
    let mut data = match &template.sample {
        Value::Object(sample) => sample.clone(),
        _ => serde_json::Map::new(),
    };
    if is_bulk {
        data.entry("unsubscribe_url").or_insert_with(|| SAMPLE_UNSUBSCRIBE_URL.into());
    }
    Value::Object(data)
}

/// Variables that the sample lacks. They may be optional: rendering fails if they are not.
fn missing_variables(library: &Library, name: &str, data: &Value) -> Vec<Finding> {
    let is_missing = |path: &&String| {
        let mut at = Some(data);
        for step in path.split('.') {
            at = at.and_then(|value| value.get(step));
        }
        at.is_none()
    };
    let told = |path: &String| Finding {
        severity: Severity::Note,
        rule: Cow::Borrowed("variable-missing"),
        part: None,
        line: None,
        message: format!(
            "the sample has no {path}: put it in, or the preview shows less than a message will"
        ),
    };
    library.variables(name).iter().filter(is_missing).map(told).collect()
}

fn lint_rendered(rendered: &Rendered, template: &Template, data: &Value, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(rendered.subject.as_deref().and_then(lint_subject));
    if let Some(html) = &rendered.html {
        findings.extend(page::lint(html));
        if html.len() > CLIPPED_OCTETS {
            let message = format!(
                "{} KiB of HTML: Gmail shows 102 and hides the rest, the end with it",
                html.len() >> 10
            );
            findings.push(Finding::new(Severity::Warning, "size", Part::Html, message));
        }
        if template.text.is_none() && template.subject.is_some() {
            let message = "there is no text part: it is made from the HTML";
            findings.push(Finding::new(Severity::Note, "text-made", Part::Text, message));
        }
    }
    if template.subject.is_some() {
        let url = data.get("unsubscribe_url").and_then(Value::as_str).filter(|_| rules.bulk);
        findings.extend(lint_bulk(rendered, url, rules));
    }
    findings
}

fn lint_subject(subject: &str) -> Option<Finding> {
    let shown = subject.chars().count();
    if shown == 0 {
        Some(Finding::new(Severity::Error, "subject-empty", Part::Subject, "the subject is empty"))
    } else if shown > SUBJECT_CHARACTERS_SHOWN {
        let message = format!("{shown} characters: most mail programs show {SUBJECT_CHARACTERS_SHOWN}");
        Some(Finding::new(Severity::Note, "subject-long", Part::Subject, message))
    } else {
        None
    }
}

/// What the law asks of mail to many, told for each part that lacks it.
fn lint_bulk(rendered: &Rendered, unsubscribe_url: Option<&str>, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut check = |part: Part, source: &str, visible: &str| {
        let leads_out = |url| source.contains(url) || source.contains(&crate::html::escape(url));
        if unsubscribe_url.is_some_and(|url| !leads_out(url)) {
            let message =
                "bulk mail needs a way to unsubscribe: <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";
            findings.push(Finding::new(Severity::Error, "unsubscribe", part, message));
        }
        for own in rules.addresses.iter().filter(|own| !contains_words(visible, &own.address)) {
            let lack = Lack::PostalAddress { stream: own.stream.clone(), address: own.address.clone() };
            findings.push(Finding::new(own.severity, "postal-address", part, lack.to_string()));
        }
        let asks_for_any = rules.bulk && rules.addresses.is_empty();
        if asks_for_any && !page::has_address(source) && !looks_like_address(visible) {
            let message = "bulk mail needs the sender's postal address, best in the footer";
            findings.push(Finding::new(Severity::Error, "postal-address", part, message));
        }
    };
    if let Some(html) = &rendered.html {
        check(Part::Html, html, &to_text(html).unwrap_or_default());
    }
    if let Some(text) = &rendered.text {
        check(Part::Text, text, text);
    }
    findings
}

/// Lines with a postal code and names beside a number, as addresses have them.
fn looks_like_address(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    (0..lines.len()).any(|at| {
        let line = lines.iter().skip(at).take(ADDRESS_LINES).copied().collect::<Vec<_>>().join(" ");
        let words: Vec<&str> = line.split(|character: char| !character.is_alphanumeric()).collect();
        let has_code = words.iter().any(|word| {
            (4..=8).contains(&word.len())
                && word.bytes().any(|octet| octet.is_ascii_digit())
                && word.bytes().all(|octet| octet.is_ascii_alphanumeric())
        });
        let numbers =
            words.iter().filter(|word| word.starts_with(|first: char| first.is_ascii_digit())).count();
        let names =
            words.iter().filter(|word| word.starts_with(char::is_uppercase) && word.len() > 2).count();
        has_code && numbers >= 2 && names >= 2
    })
}

#[cfg(test)]
mod tests;
