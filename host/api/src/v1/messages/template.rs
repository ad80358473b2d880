//! A message that is made from a template: its subject, HTML and text.

use std::sync::Arc;

use baton_content::template::Reason;
use baton_content::track::UNSUBSCRIBE_PLACEHOLDER;
use baton_content::{Library, Rendered, TemplateError};
use serde_json::{Map, Value};

use super::super::Face;
use super::super::templates::blocking;
use super::parts::{Owner, wish};
use super::wire::NewMessage;
use crate::Problem;

/// The note by which reports know the template.
const NOTE: &str = "template";

/// What was made.
pub(super) struct Made {
    /// The message with what the template became.
    pub(super) message: NewMessage,
    /// What the envelope keeps: the template and its version.
    pub(super) note: Option<(String, String)>,
}

/// Renders the template that the message names. One that names none is as it was.
pub(super) async fn fill(face: &Face, owner: &Owner, mut new: NewMessage) -> Result<Made, Problem> {
    let Some(name) = new.template.take() else {
        let is_left = [("data", new.data.is_some()), ("template_version", new.template_version.is_some())];
        return match is_left.into_iter().find(|(_, is_there)| *is_there) {
            Some((field, _)) => Err(Problem::unfit(field, "is for a template, and `template` names none")),
            None => Ok(Made { message: new, note: None }),
        };
    };
    for (field, is_there) in [("html", new.html.is_some()), ("text", new.text.is_some())] {
        if is_there {
            return Err(Problem::unfit(
                field,
                "is made by the template: leave it out, or leave out `template`",
            ));
        }
    }
    let version = new.template_version.take();
    let unfound = |problem: Problem| match problem.status {
        400 | 404 if version.is_some() => Problem::unfit("template_version", problem.detail),
        400 | 404 => Problem::unfit("template", problem.detail),
        _ => problem,
    };
    let found = face.templates().find(owner.tenant(), &name, version).await.map_err(unfound)?;
    let note = Some((NOTE.to_owned(), format!("{name}@{}", found.version)));
    let mut data = new.data.take().unwrap_or_default();
    if wish(face, owner, new.tracking.unwrap_or_default()).unsubscribe {
        // Each recipient's own link takes its place.
        data.entry("unsubscribe_url").or_insert_with(|| UNSUBSCRIBE_PLACEHOLDER.into());
    }
    let Rendered { subject, html, text } = render(found.library, name.clone(), data).await?;
    let no_subject = || Problem::unfit("template", format!("`{name}` is a layout: it has no subject"));
    new.subject = Some(new.subject.or(subject).ok_or_else(no_subject)?);
    (new.html, new.text) = (html, text);
    Ok(Made { message: new, note })
}

async fn render(library: Arc<Library>, name: String, data: Map<String, Value>) -> Result<Rendered, Problem> {
    let render = move || {
        let data = Value::Object(data);
        library.render(&name, &data).map_err(|error| problem(&library, &data, &error))
    };
    blocking(render).await?
}

/// What is wrong, told of the field that the sender can mend: a value that the data lack, or the template.
fn problem(library: &Library, data: &Value, error: &TemplateError) -> Problem {
    let field = match error.reason {
        Reason::Undefined => match lacking(library, data, error) {
            Some(name) => format!("data.{name}"),
            None => "data".to_owned(),
        },
        Reason::Data => "data".to_owned(),
        _ => "template".to_owned(),
    };
    Problem::unfit(&field, error.to_string())
}

/// The value that the data lack: that of the expression, or the only one. The names of loops are none of the data's.
fn lacking(library: &Library, data: &Value, error: &TemplateError) -> Option<String> {
    let is_there = |path: &String| path.split('.').try_fold(data, |at, step| at.get(step)).is_some();
    let mut missing = library.variables(&error.template);
    missing.retain(|path| !is_there(path));
    let expression = error.expression.as_deref().unwrap_or_default();
    let named =
        missing.iter().filter(|path| expression.contains(path.as_str())).max_by_key(|path| path.len());
    named.or(missing.first().filter(|_| missing.len() == 1)).cloned()
}
