//! Templates in words.

use baton_api::v1::{Preview, TemplateChanged, TemplatePage, TemplateView, VersionPage, VersionRow};
use baton_content::template::lint::{Finding, Severity};

use super::words::{moment, octets};

/// All templates, a line each.
pub(crate) fn list(page: &TemplatePage) -> String {
    if page.templates.is_empty() {
        return "There is no template yet; `baton template add NAME` makes one, `baton template ls --ready` shows those that ship.\n"
            .to_owned();
    }
    let width = page.templates.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in &page.templates {
        let version = if row.version == 0 { String::new() } else { format!("v{:<4} ", row.version) };
        let bulk = if row.bulk { ", bulk" } else { "" };
        let about = if row.description.is_empty() {
            row.subject.as_deref().unwrap_or("layout")
        } else {
            &row.description
        };
        text.push_str(&format!("{:<width$}  {version}{about} ({}{bulk})\n", row.name, row.parts.join(", ")));
    }
    if let Some(next) = &page.next {
        text.push_str(&format!("more with --after {next}\n"));
    }
    text
}

/// One template with its sources.
pub(crate) fn shown(view: &TemplateView) -> String {
    let mut text = match view.changed_at {
        Some(at) => format!("{} version {}, {}\n", view.name, view.version, moment(at)),
        None => format!("{}, which ships\n", view.name),
    };
    let template = &view.template;
    if !template.description.is_empty() {
        text.push_str(&format!("{}\n", template.description));
    }
    for (name, part) in [("subject", &template.subject), ("html", &template.html), ("text", &template.text)] {
        if let Some(source) = part {
            text.push_str(&format!("\n--- {name}\n{}\n", source.trim_end()));
        }
    }
    if !template.sample.is_null() {
        text.push_str(&format!("\n--- sample\n{:#}\n", template.sample));
    }
    text
}

/// After a new version was made.
pub(crate) fn changed(changed: &TemplateChanged) -> String {
    let notes = if changed.findings.is_empty() { String::new() } else { findings(&changed.findings) };
    format!("{} version {}\n{notes}", changed.name, changed.version)
}

/// What a template became.
pub(crate) fn preview(preview: &Preview) -> String {
    let mut text = String::new();
    if let Some(subject) = &preview.subject {
        text.push_str(&format!("Subject: {subject}\n"));
    }
    if let Some(html) = &preview.html {
        text.push_str(&format!("HTML: {}; --part html shows it\n", octets(html.len() as u64)));
    }
    if !preview.variables.is_empty() {
        text.push_str(&format!("Variables: {}\n", preview.variables.join(", ")));
    }
    if let Some(plain) = &preview.text {
        text.push_str(&format!("\n{plain}"));
    }
    text
}

/// What the lint says, a line each.
pub(crate) fn findings(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing is wrong\n".to_owned();
    }
    findings.iter().map(finding).collect()
}

fn finding(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let place = match (finding.part, finding.line) {
        (Some(part), Some(line)) => format!(" {part} {line}:"),
        (Some(part), None) => format!(" {part}:"),
        (None, _) => String::new(),
    };
    format!("{severity}:{place} {} [{}]\n", finding.message, finding.rule)
}

/// The versions that are kept.
pub(crate) fn versions(page: &VersionPage) -> String {
    let row = |row: &VersionRow| {
        format!("v{:<4} {}  {}\n", row.version, moment(row.changed_at), octets(row.octets))
    };
    page.versions.iter().map(row).collect()
}
