//! What is wrong with a page as mail programs show it.

use std::ops::Range;

use super::super::source::Part;
use super::{Finding, Severity};
use crate::html::scan::{Piece, ends_by_itself, is_void, scan};

/// Elements that mail programs take out or do not run.
const NOT_SHOWN: [&str; 9] =
    ["script", "form", "iframe", "object", "embed", "video", "audio", "canvas", "dialog"];

/// All findings, in the order of the page.
pub(super) fn lint(html: &str) -> Vec<Finding> {
    let mut page = Page { html, findings: Vec::new(), open: Vec::new(), line: 1, counted: 0 };
    scan(html, |piece| page.check(&piece));
    page.finish()
}

/// True when an element says that it is an address.
pub(super) fn has_address(html: &str) -> bool {
    let mut found = false;
    scan(html, |piece| found |= matches!(piece, Piece::Start { name: "address", .. }));
    found
}

/// The check as far as it came.
struct Page<'a> {
    html: &'a str,
    findings: Vec<Finding>,
    /// Elements that have not ended, with their lines.
    open: Vec<(String, usize)>,
    /// The line at `counted`.
    line: usize,
    counted: usize,
}

impl Page<'_> {
    fn check(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Start { name, place, .. } => {
                let line = self.line_at(place.start);
                self.check_element(piece, name, line);
                self.check_target(piece, name, line);
                if !is_void(name) && !ends_by_itself(name) && !self.is_closed_drawing(name, place) {
                    self.open.push(((*name).to_owned(), line));
                }
            }
            Piece::End { name, place } if !ends_by_itself(name) => {
                let line = self.line_at(place.start);
                self.close(name, line);
            }
            _ => {}
        }
    }

    fn check_element(&mut self, tag: &Piece<'_>, name: &str, line: usize) {
        if NOT_SHOWN.contains(&name) {
            let message = format!("<{name}> is taken out by mail programs");
            self.found(Severity::Warning, "not-shown", line, message);
        }
        let is_sheet = tag.attribute("rel").is_some_and(|rel| rel.value.eq_ignore_ascii_case("stylesheet"));
        if name == "link" && is_sheet {
            let message =
                "a style sheet from elsewhere is not loaded: put it into <style> or style=".to_owned();
            self.found(Severity::Warning, "not-shown", line, message);
        }
        if name == "html" && tag.attribute("lang").is_none_or(|lang| lang.value.is_empty()) {
            let message = "<html> without lang: screen readers guess the language".to_owned();
            self.found(Severity::Warning, "language", line, message);
        }
        if name == "img" && tag.attribute("alt").is_none() {
            let message =
                "an image without alt: say what it shows, or alt=\"\" when it only adorns".to_owned();
            self.found(Severity::Warning, "image-alt", line, message);
        }
    }

    fn check_target(&mut self, tag: &Piece<'_>, name: &str, line: usize) {
        let attribute = match name {
            "a" | "area" => "href",
            "img" => "src",
            _ => return,
        };
        let Some(target) = tag.attribute(attribute) else { return };
        let target = target.value.trim();
        let (scheme, rest) = target.split_once(':').unwrap_or(("", target));
        let (severity, rule, message) = match scheme.to_ascii_lowercase().as_str() {
            "https" if rest.len() > 2 => return,
            "mailto" | "tel" | "sms" if name != "img" => return,
            "cid" if name == "img" => return,
            "http" => (Severity::Note, "link-insecure", "by HTTP: use HTTPS, or browsers warn"),
            "data" if name == "img" => (
                Severity::Warning,
                "image-data",
                "Gmail and Outlook show no data: images; attach it and use cid:",
            ),
            "javascript" | "vbscript" | "data" => {
                (Severity::Error, "link-script", "mail programs take such links out")
            }
            "" if rest.is_empty() || rest == "#" => (Severity::Warning, "link-empty", "it leads nowhere"),
            "" if rest.starts_with('#') => return,
            _ => (
                Severity::Error,
                "link-relative",
                "mail has no place that it could be relative to: write the whole address",
            ),
        };
        let shown = baton_mail::text::sanitize(target, 80);
        self.found(severity, rule, line, format!("{attribute}=\"{shown}\": {message}"));
    }

    /// Inside drawings a tag may close itself.
    fn is_closed_drawing(&self, name: &str, place: &Range<usize>) -> bool {
        let closes = self.html.get(place.clone()).is_some_and(|tag| tag.ends_with("/>"));
        closes && (name == "svg" || self.open.iter().any(|(open, _)| open == "svg" || open == "math"))
    }

    fn close(&mut self, name: &str, line: usize) {
        let Some(at) = self.open.iter().rposition(|(open, _)| open == name) else {
            return self.found(
                Severity::Warning,
                "tag-unopened",
                line,
                format!("</{name}> without <{name}>"),
            );
        };
        for (inner, line) in self.open.split_off(at).into_iter().skip(1) {
            self.unclosed(&inner, line);
        }
    }

    fn unclosed(&mut self, name: &str, line: usize) {
        self.found(Severity::Error, "tag-unclosed", line, format!("<{name}> is not closed"));
    }

    fn found(&mut self, severity: Severity, rule: &'static str, line: usize, message: String) {
        if self.findings.len() < super::FINDINGS_MAX {
            self.findings.push(Finding::new(severity, rule, Part::Html, message).at(line));
        }
    }

    /// Tags come in order, so each line end is counted once.
    fn line_at(&mut self, at: usize) -> usize {
        let between = self.html.as_bytes().get(self.counted..at).unwrap_or_default();
        self.line += between.iter().filter(|octet| **octet == b'\n').count();
        self.counted = self.counted.max(at);
        self.line
    }

    fn finish(mut self) -> Vec<Finding> {
        for (name, line) in std::mem::take(&mut self.open) {
            self.unclosed(&name, line);
        }
        self.findings
    }
}
