//! What is said about templates, as the relay writes it and its own commands read it.

use baton_content::Template;
use baton_content::template::Part;
use baton_content::template::lint::Finding;
use baton_mail::UnixMs;
use baton_mail::tenant::Label;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What a template is made of.
#[derive(ToSchema)]
#[schema(as = Template)]
#[allow(dead_code, reason = "describes a type of another crate")]
pub(super) struct TemplateSchema {
    /// What it is for, for people.
    description: Option<String>,
    /// The subject, in the language of Jinja; a layout has none.
    #[schema(example = "Your code is {{ code }}")]
    subject: Option<String>,
    /// The HTML; values are escaped.
    html: Option<String>,
    /// The text; without one, it is made from the HTML.
    text: Option<String>,
    /// Data for preview and lint.
    #[schema(value_type = Option<Object>)]
    sample: Option<Map<String, Value>>,
    /// It goes to many: the lint asks for a way to unsubscribe and a postal address.
    #[schema(default = false)]
    bulk: Option<bool>,
}

/// One thing that is wrong with a template.
#[derive(ToSchema)]
#[schema(as = Finding)]
#[allow(dead_code, reason = "describes a type of another crate")]
pub(super) struct FindingSchema {
    /// `error`, `warning` or `note`.
    severity: String,
    /// The rule's name.
    rule: String,
    /// `subject`, `html` or `text`.
    part: Option<String>,
    /// The line: of the source for faults of the language, of what was rendered for all others.
    line: Option<u64>,
    /// What is wrong, and what helps.
    message: String,
}

/// A template in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TemplateRow {
    /// Its name; those that ship begin with `ready/`.
    pub name: String,
    /// Its version, from 1; 0 for those that ship.
    pub version: u32,
    /// When that version was made, in milliseconds since 1970; none for those that ship.
    #[schema(value_type = Option<u64>)]
    pub changed_at: Option<UnixMs>,
    /// What it is for.
    pub description: String,
    /// The source of the subject; none for layouts.
    pub subject: Option<String>,
    /// The parts that it has: `subject`, `html`, `text`.
    pub parts: Vec<String>,
    /// It goes to many.
    pub bulk: bool,
}

impl TemplateRow {
    pub(super) fn of(
        name: &str,
        version: u32,
        changed_at: Option<UnixMs>,
        template: &Template,
    ) -> TemplateRow {
        let parts = Part::ALL.iter().filter(|part| template.part(**part).is_some());
        TemplateRow {
            name: name.to_owned(),
            version,
            changed_at,
            description: template.description.clone(),
            subject: template.subject.clone(),
            parts: parts.map(|part| part.as_str().to_owned()).collect(),
            bulk: template.bulk,
        }
    }
}

/// A page of templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TemplatePage {
    /// In the order of their names.
    pub templates: Vec<TemplateRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<String>,
}

/// A template with its sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TemplateView {
    /// Its name.
    pub name: String,
    /// Its version, from 1; 0 for those that ship.
    pub version: u32,
    /// When that version was made, in milliseconds since 1970; none for those that ship.
    #[schema(value_type = Option<u64>)]
    pub changed_at: Option<UnixMs>,
    /// What its owner wrote.
    #[schema(value_type = TemplateSchema)]
    pub template: Template,
}

impl TemplateView {
    pub(super) fn of(
        name: &str,
        version: u32,
        changed_at: Option<UnixMs>,
        template: Template,
    ) -> TemplateView {
        TemplateView { name: name.to_owned(), version, changed_at, template }
    }
}

/// What came of a change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TemplateChanged {
    /// Its name.
    pub name: String,
    /// Its version now.
    pub version: u32,
    /// What the lint says.
    #[schema(value_type = Vec<FindingSchema>)]
    pub findings: Vec<Finding>,
}

/// A version that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionRow {
    /// From 1.
    pub version: u32,
    /// When it was made, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub changed_at: UnixMs,
    /// Octets of its sources.
    pub octets: u64,
}

/// The versions of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionPage {
    /// The oldest first.
    pub versions: Vec<VersionRow>,
}

/// Asks how a template looks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PreviewRequest {
    /// The data; without, the template's own sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Map<String, Value>>,
    /// The version; without, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// A template that is not kept, in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TemplateSchema>)]
    pub template: Option<Template>,
    /// Keep the HTML for some minutes, as a page that a browser can show without danger; the answer says where.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub page: bool,
}

/// Asks what is wrong with a template.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::v1) struct LintRequest {
    /// The data; without, the template's own sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Map<String, Value>>,
    /// The version; without, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// A template that is not kept, in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TemplateSchema>)]
    pub template: Option<Template>,
    /// The stream that it is for: what mail of it must have is an error when it is missing. Without one, what the tenant's
    /// bulk streams ask for is a warning in templates for many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub stream: Option<Label>,
}

/// How a template looks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// One line; none for layouts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The HTML part, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// The text part; made from the HTML when the template has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The path of the HTML as a page, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/v1/previews/…")]
    pub page: Option<String>,
    /// Variables that it reads from its data.
    pub variables: Vec<String>,
}

/// What the lint says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LintReport {
    /// The worst first.
    #[schema(value_type = Vec<FindingSchema>)]
    pub findings: Vec<Finding>,
}
