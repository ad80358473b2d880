//! Rendered pages for browsers: kept for a while in memory, for whoever had them rendered.
//!
//! Invariant: such a page runs no script, sends no form, and loads nothing: what a template says is not the relay's word.

use std::collections::VecDeque;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use baton_mail::UnixMs;
use bytes::Bytes;
use parking_lot::Mutex;

use super::super::deps::TemplateSettings;
use super::super::sessions::chance;
use crate::Problem;

/// What a page may do: look as its own styles say, with pictures that it brings along. It is of no origin, so that nothing of
/// the relay is within its reach.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'self'";

const FIELDS: [(HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The pages, the oldest first.
#[derive(Default)]
pub(super) struct Pages(Mutex<VecDeque<Page>>);

struct Page {
    id: Box<str>,
    /// The name of whom it was rendered for.
    by: Box<str>,
    until: UnixMs,
    html: Bytes,
}

impl Pages {
    /// Keeps a page within those bounds; what comes back names it.
    pub(super) fn keep(
        &self,
        by: &str,
        html: String,
        bounds: &TemplateSettings,
        now: UnixMs,
    ) -> Result<String, Problem> {
        let id = chance()?;
        let page = Page {
            id: id.as_str().into(),
            by: by.into(),
            until: now.plus(Duration::from_secs(bounds.preview_s)),
            html: html.into(),
        };
        let mut pages = self.0.lock();
        pages.push_back(page);
        pages.retain(|page| now < page.until);
        while pages.iter().map(|page| page.html.len()).sum::<usize>() > bounds.preview_octets_max {
            pages.pop_front();
        }
        Ok(id)
    }

    /// That page, when it was rendered for them.
    pub(super) fn find(&self, id: &str, by: &str, now: UnixMs) -> Option<Response> {
        let pages = self.0.lock();
        let page = pages.iter().find(|page| *page.id == *id && *page.by == *by && now < page.until)?;
        let mut response = page.html.clone().into_response();
        for (name, value) in FIELDS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_there_for_a_while_and_for_nobody_else() {
        let pages = Pages::default();
        let bounds = TemplateSettings::default();
        let id = pages.keep("operator:ann", "<p>x".to_owned(), &bounds, UnixMs(0)).unwrap();
        let page = pages.find(&id, "operator:ann", UnixMs(1)).unwrap();
        assert_eq!(page.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        assert!(pages.find(&id, "operator:bob", UnixMs(1)).is_none());
        assert!(pages.find("other", "operator:ann", UnixMs(1)).is_none());
        assert!(pages.find(&id, "operator:ann", UnixMs(600_000)).is_none());
        pages.keep("operator:ann", String::new(), &bounds, UnixMs(600_000)).unwrap();
        assert_eq!(pages.0.lock().len(), 1, "what is over is forgotten");
    }

    #[test]
    fn the_oldest_page_goes_when_there_is_no_room() {
        let pages = Pages::default();
        let bounds = TemplateSettings { preview_octets_max: 100, ..TemplateSettings::default() };
        let keep = |at| pages.keep("a", "x".repeat(50), &bounds, UnixMs(at)).unwrap();
        let ids: Vec<_> = (0..3).map(keep).collect();
        let is_there = |id: &String| pages.find(id, "a", UnixMs(9)).is_some();
        assert_eq!(ids.iter().map(is_there).collect::<Vec<_>>(), [false, true, true]);
    }
}
