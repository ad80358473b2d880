//! The templates that ship, ready to be rendered as `ready/NAME`, extended, or copied and changed.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::template::Template;

/// The sources by name.
const SOURCES: [(&str, &str); 14] = [
    ("alert", include_str!("alert.html")),
    ("cancelled", include_str!("cancelled.html")),
    ("confirm-email", include_str!("confirm-email.html")),
    ("digest", include_str!("digest.html")),
    ("invitation", include_str!("invitation.html")),
    ("invoice", include_str!("invoice.html")),
    ("layout", include_str!("layout.html")),
    ("new-device", include_str!("new-device.html")),
    ("one-time-code", include_str!("one-time-code.html")),
    ("parts", include_str!("parts.html")),
    ("password-reset", include_str!("password-reset.html")),
    ("receipt", include_str!("receipt.html")),
    ("shipping", include_str!("shipping.html")),
    ("welcome", include_str!("welcome.html")),
];

/// What stands before the names of the templates that ship.
pub const PREFIX: &str = "ready/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    shared: Map<String, Value>,
    template: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    description: String,
    subject: Option<String>,
    #[serde(default)]
    bulk: bool,
    #[serde(default)]
    sample: Map<String, Value>,
}

/// All that ship, each with its full name such as `ready/receipt`. `ready/layout` and `ready/parts` are what the others
/// are made of; they have no subject.
pub fn all() -> impl Iterator<Item = (&'static str, &'static Template)> {
    static READY: OnceLock<Vec<(String, Template)>> = OnceLock::new();
    READY.get_or_init(read).iter().map(|(name, template)| (name.as_str(), template))
}

/// The template of that full name.
pub fn get(name: &str) -> Option<&'static Template> {
    all().find(|(known, _)| *known == name).map(|(_, template)| template)
}

fn read() -> Vec<(String, Template)> {
    let Index { shared, template: entries } =
        toml::from_str(include_str!("index.toml")).expect("a test reads the index that ships");
    let template = |(name, html): &(&str, &str)| {
        let entry = entries.get(*name)?;
        let mut sample = shared.clone();
        sample.extend(entry.sample.clone());
        let template = Template {
            description: entry.description.clone(),
            subject: entry.subject.clone(),
            html: Some((*html).to_owned()),
            text: None,
            sample: Value::Object(sample),
            bulk: entry.bulk,
        };
        Some((format!("{PREFIX}{name}"), template))
    };
    SOURCES.iter().filter_map(template).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::lint::{Rules, Severity, lint};
    use crate::template::{Library, Limits};

    #[test]
    fn all_that_ship_render_and_pass_the_lint() {
        let library = Library::new(Limits::default());
        assert_eq!(all().count(), SOURCES.len());
        for (name, template) in all().filter(|(_, template)| template.subject.is_some()) {
            let rendered = library.render(name, &template.sample).unwrap_or_else(|error| panic!("{error}"));
            assert!(rendered.html.unwrap().len() < 20_000, "{name}");
            assert!(rendered.text.unwrap().contains("Acme Bank"), "{name}");
            let findings =
                lint(&library, name, template, &Rules { bulk: template.bulk, addresses: Vec::new() });
            let faults: Vec<_> =
                findings.iter().filter(|finding| finding.severity != Severity::Note).collect();
            assert!(faults.is_empty(), "{name}: {faults:#?}");
        }
    }

    #[test]
    fn what_is_optional_can_be_left_out() {
        let library = Library::new(Limits::default());
        let template = get("ready/receipt").unwrap();
        let mut sample = template.sample.clone();
        sample["brand"] = serde_json::json!({"name": "Acme"});
        sample["order"].as_object_mut().unwrap().remove("url");
        let html = library.render("ready/receipt", &sample).unwrap().html.unwrap();
        assert!(html.contains("#1f5fd6") && !html.contains("View order"));
    }
}
