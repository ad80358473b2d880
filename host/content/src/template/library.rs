//! The compiled templates of one owner, and rendering within bounds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, escape_formatter};
use serde::{Deserialize, Serialize};

use super::error::{Reason, TemplateError};
use super::filters;
use super::source::{Part, Template, TemplateName};
use super::subject::one_line;
use crate::html::{escape, to_text};
use crate::ready;

/// Octets that a part is expected to have, so that its buffer rarely grows.
const PART_OCTETS_USUAL: usize = 8 * 1024;

/// What one rendering may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Work for each part: one for an instruction, and about one for 64 octets made.
    pub work_max: u64,
    /// Octets that a rendered part may have.
    pub output_octets_max: usize,
    /// Octets of source that one template may have.
    pub source_octets_max: usize,
    /// Levels of templates, loops and macros in one another, up to [`DEPTH_MOST`]; a template inside another counts ten.
    pub depth_max: usize,
}

/// Levels that the engine was tried with: more are not counted as more.
pub const DEPTH_MOST: usize = 500;

impl Default for Limits {
    fn default() -> Limits {
        Limits { work_max: 500_000, output_octets_max: 1 << 20, source_octets_max: 512 << 10, depth_max: 200 }
    }
}

/// What a template became.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// One line without control characters; none when the template has no subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The HTML part, if the template has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// The text part; made from the HTML when the template has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The templates of one owner, compiled, together with those that ship. A clone shares what is compiled.
#[derive(Clone, Debug)]
pub struct Library {
    environment: Environment<'static>,
    limits: Limits,
    parts: BTreeMap<Box<str>, PartSet>,
}

/// Which parts a template has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PartSet {
    subject: bool,
    html: bool,
    text: bool,
}

impl Library {
    /// A library with nothing but the templates that ship.
    pub fn new(limits: Limits) -> Library {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_auto_escape_callback(|name| match Part::of_source(name) {
            Some((_, Part::Html)) => AutoEscape::Html,
            _ => AutoEscape::None,
        });
        environment.set_formatter(write_value);
        environment.set_path_join_callback(sibling);
        environment.set_debug(true);
        filters::add(&mut environment);
        let mut library = Library { environment, limits, parts: BTreeMap::new() }.with_limits(limits);
        for (name, template) in ready::all() {
            library.insert(name, template).expect("a test renders every template that ships");
        }
        library
    }

    /// What one rendering may cost here.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The same templates within other limits.
    pub fn with_limits(mut self, limits: Limits) -> Library {
        self.environment.set_fuel(Some(limits.work_max));
        self.environment.set_recursion_limit(limits.depth_max);
        Library { limits, ..self }
    }

    /// Adds a template, or puts another in its place.
    ///
    /// # Errors
    /// When it is not in the language of templates, or too large. The library is then as it was before.
    pub fn put(&mut self, name: &TemplateName, template: &Template) -> Result<(), TemplateError> {
        let octets = template.source_octets();
        if octets > self.limits.source_octets_max {
            let detail = format!("{octets} octets of source, at most {}", self.limits.source_octets_max);
            return Err(TemplateError::whole(name.as_str(), Reason::TooLarge, detail));
        }
        self.put_kept(name, template)
    }

    /// As [`Library::put`], for what was within the limits when it was kept: a lower bound of source does not undo it.
    ///
    /// # Errors
    /// When it is not in the language of templates. The library is then as it was before.
    pub fn put_kept(&mut self, name: &TemplateName, template: &Template) -> Result<(), TemplateError> {
        let before = self.clone();
        self.remove(name);
        self.insert(name.as_str(), template).inspect_err(|_| *self = before)
    }

    /// Takes a template out.
    pub fn remove(&mut self, name: &TemplateName) {
        self.parts.remove(name.as_str());
        for part in Part::ALL {
            self.environment.remove_template(&format!("{name}{}", part.suffix()));
        }
    }

    fn insert(&mut self, name: &str, template: &Template) -> Result<(), TemplateError> {
        for part in Part::ALL {
            let Some(source) = template.part(part) else { continue };
            let full = format!("{name}{}", part.suffix());
            self.environment
                .add_template_owned(full.clone(), source.to_owned())
                .map_err(|error| TemplateError::of_engine(&full, &error))?;
        }
        let parts = PartSet {
            subject: template.subject.is_some(),
            html: template.html.is_some(),
            text: template.text.is_some(),
        };
        self.parts.insert(name.into(), parts);
        Ok(())
    }

    /// True when there is a template of that name, `ready/…` included.
    pub fn contains(&self, name: &str) -> bool {
        self.parts.contains_key(name)
    }

    /// Renders the template `name` (one of the owner's, or `ready/…`) with `data`, an object.
    ///
    /// The text part is made from the HTML when the template has none. `unsubscribe_url` in the data is where the
    /// relay's own page is; the caller puts it there.
    ///
    /// # Errors
    /// When a variable that is shown is not in the data, or a bound is exceeded; the error names the place.
    pub fn render(&self, name: &str, data: &serde_json::Value) -> Result<Rendered, TemplateError> {
        let parts = self.parts.get(name).copied().ok_or_else(|| {
            TemplateError::whole(name, Reason::NotFound, format!("there is no template {name}"))
        })?;
        if !data.is_object() && !data.is_null() {
            return Err(TemplateError::whole(name, Reason::Data, "the data of a template are an object"));
        }
        let data = Value::from(Serde(data));
        let render = |has: bool, part: Part| match has {
            true => self.render_part(name, part, &data).map(Some),
            false => Ok(None),
        };
        let subject = render(parts.subject, Part::Subject)?.map(|line| one_line(&line));
        let html = render(parts.html, Part::Html)?;
        let text = match (render(parts.text, Part::Text)?, &html) {
            (Some(text), _) => Some(text),
            (None, Some(html)) => Some(to_text(html).map_err(|error| {
                TemplateError::whole(&format!("{name}.html"), Reason::TooDeep, error.to_string())
            })?),
            (None, None) => None,
        };
        Ok(Rendered { subject, html, text })
    }

    fn render_part(&self, name: &str, part: Part, data: &Value) -> Result<String, TemplateError> {
        let full = format!("{name}{}", part.suffix());
        let failed = |error: minijinja::Error| TemplateError::of_engine(&full, &error);
        let template = self.environment.get_template(&full).map_err(failed)?;
        let mut output = Bounded {
            octets: Vec::with_capacity(PART_OCTETS_USUAL),
            octets_max: self.limits.output_octets_max,
        };
        let rendered = template.render_captured_to(data.clone(), &mut output).map(|_| ());
        if let Err(error) = rendered {
            let is_full = error.kind() == minijinja::ErrorKind::WriteFailure;
            let detail = || format!("more than {} octets", self.limits.output_octets_max);
            return Err(match is_full {
                true => TemplateError::whole(&full, Reason::TooLarge, detail()),
                false => failed(error),
            });
        }
        // The engine writes strings only.
        String::from_utf8(output.octets)
            .map_err(|_| TemplateError::whole(&full, Reason::Failed, "the output is not UTF-8"))
    }

    /// The variables that the template `name` reads from its data, `a.b` for members, in order; those that only an included
    /// template or a layout reads are told when that one is asked for.
    pub fn variables(&self, name: &str) -> Vec<String> {
        let mut found: Vec<String> = Part::ALL
            .iter()
            .filter_map(|part| self.environment.get_template(&format!("{name}{}", part.suffix())).ok())
            .flat_map(|template| template.undeclared_variables(true))
            .filter(|variable| !self.environment.globals().any(|(name, _)| name == variable.as_str()))
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

/// As the engine does, but a slash stays one: it harms nowhere, and links are read by more than browsers.
fn write_value(output: &mut Output, state: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    let is_html = matches!(state.auto_escape(), AutoEscape::Html);
    match value.as_str().filter(|_| is_html && !value.is_safe()) {
        Some(text) => output.write_str(&escape(text)).map_err(minijinja::Error::from),
        None => escape_formatter(output, state, value),
    }
}

/// The source that `name` means inside the source `parent`: the same part of the other template. A subject includes text.
fn sibling<'s>(name: &'s str, parent: &'s str) -> Cow<'s, str> {
    match (Part::of_source(name), Part::of_source(parent)) {
        (None, Some((_, Part::Html))) => Cow::Owned(format!("{name}{}", Part::Html.suffix())),
        (None, Some(_)) => Cow::Owned(format!("{name}{}", Part::Text.suffix())),
        _ => Cow::Borrowed(name),
    }
}

/// Takes octets up to a bound.
struct Bounded {
    octets: Vec<u8>,
    octets_max: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.octets.len() + piece.len() > self.octets_max {
            return Err(io::Error::other("the output is too large"));
        }
        self.octets.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
