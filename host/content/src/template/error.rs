//! What can be wrong with a template, told so that its owner finds the place.

use std::error::Error as _;
use std::fmt;

use minijinja::ErrorKind;
use serde::Serialize;

use super::filters::MISSING;
use super::source::Part;

/// Octets of a detail at most: it may quote the template.
const DETAIL_OCTETS_MAX: usize = 400;

/// A template that could not be compiled or rendered: which, where and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateError {
    /// The template in which the fault is; a layout when it is there.
    pub template: String,
    /// The part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The line in the part's source, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The kind of fault.
    pub reason: Reason,
    /// The variable or expression that it is about, as it stands in the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// What is wrong, in words.
    pub detail: String,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The source is not in the language of templates.
    Syntax,
    /// There is no template of that name.
    NotFound,
    /// The data lack a variable that is shown.
    Undefined,
    /// The budget of work is spent: a loop over too much, or without end.
    TooMuchWork,
    /// More octets than a rendered part may have.
    TooLarge,
    /// Templates extend or include one another too deeply, or in a circle.
    TooDeep,
    /// The data are not an object.
    Data,
    /// Any other fault while it is rendered, such as a filter that got a wrong value.
    Failed,
}

impl TemplateError {
    /// A fault of the template `name` as a whole.
    pub(crate) fn whole(name: &str, reason: Reason, detail: impl Into<String>) -> TemplateError {
        let (template, part) = match Part::of_source(name) {
            Some((template, part)) => (template, Some(part)),
            None => (name, None),
        };
        let detail = detail.into();
        TemplateError { template: template.to_owned(), part, line: None, reason, expression: None, detail }
    }

    /// What the engine says about rendering `name`, told of the place where it began: a fault in an included template is
    /// that template's.
    pub(crate) fn of_engine(name: &str, error: &minijinja::Error) -> TemplateError {
        let innermost = innermost(error);
        let source = innermost.name().unwrap_or(name);
        let reason = reason(innermost);
        let words = innermost.detail().map_or_else(|| innermost.kind().to_string(), str::to_owned);
        let expression = expression(innermost);
        let detail = match (reason, &expression) {
            (Reason::Undefined, Some(filter)) if words == MISSING => format!("`{filter}`: {words}"),
            (Reason::Undefined, Some(expression)) => format!("`{expression}` is not in the data"),
            (Reason::TooMuchWork, _) => {
                "the budget of work is spent (templates.work_max): is there a loop without end?".to_owned()
            }
            _ => baton_mail::text::sanitize(&words, DETAIL_OCTETS_MAX),
        };
        TemplateError { line: innermost.line(), expression, ..TemplateError::whole(source, reason, detail) }
    }
}

/// The error at the end of the chain of causes.
fn innermost(error: &minijinja::Error) -> &minijinja::Error {
    let mut innermost = error;
    while let Some(cause) = innermost.source().and_then(|cause| cause.downcast_ref()) {
        innermost = cause;
    }
    innermost
}

fn reason(error: &minijinja::Error) -> Reason {
    let is_recursion = error
        .detail()
        .is_some_and(|detail| detail.contains("recursion limit") || detail.contains("cycle in template"));
    match error.kind() {
        ErrorKind::OutOfFuel => Reason::TooMuchWork,
        ErrorKind::InvalidOperation if is_recursion => Reason::TooDeep,
        ErrorKind::UndefinedError => Reason::Undefined,
        ErrorKind::TemplateNotFound => Reason::NotFound,
        ErrorKind::SyntaxError
        | ErrorKind::BadEscape
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownBlock => Reason::Syntax,
        _ => Reason::Failed,
    }
}

/// The piece of the source that the error is about.
fn expression(error: &minijinja::Error) -> Option<String> {
    let piece = error.template_source()?.get(error.range()?)?.trim();
    let is_short = !piece.is_empty() && piece.len() <= DETAIL_OCTETS_MAX && !piece.contains('\n');
    is_short.then(|| baton_mail::text::sanitize(piece, DETAIL_OCTETS_MAX))
}

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "template {}", self.template)?;
        if let Some(part) = self.part {
            write!(formatter, ", {part}")?;
        }
        if let Some(line) = self.line {
            write!(formatter, ", line {line}")?;
        }
        write!(formatter, ": {}", self.detail)
    }
}

impl std::error::Error for TemplateError {}
