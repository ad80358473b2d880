//! The pixel and the links.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use baton_content::link::{Action, BadLink, Claim};
use baton_mail::event::{Event, Visitor, What};

use super::{Links, guarded, outcome, refused};

/// A transparent GIF of one pixel: the smallest that all programs show.
const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// `GET /o/{token}`: the pixel, and an event. A pixel that has ended is one all the same: nobody wants a broken image.
pub(super) async fn open(
    State(links): State<Links>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    match links.claim(&token) {
        Ok(claim) if claim.action == Action::Open => {
            let visitor = links.visitor(&method, &headers);
            let what = What::Opened { recipient: claim.recipient.clone(), visitor: visitor.clone() };
            links.note("open", &token, &claim, &visitor, what).await;
        }
        Ok(_) => return unknown(&links, "open", BadLink::Forged),
        Err(BadLink::Ended) => links.deps.metrics.count("open", outcome(BadLink::Ended)),
        Err(error) => return unknown(&links, "open", error),
    }
    let gif = HeaderValue::from_static("image/gif");
    guarded(([(header::CONTENT_TYPE, gif)], PIXEL.as_slice()).into_response())
}

/// `GET /c/{token}`: on to the target, and an event.
pub(super) async fn click(
    State(links): State<Links>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let claim = match links.claim(&token) {
        Ok(claim) => claim,
        Err(error) => return unknown(&links, "click", error),
    };
    let Action::Click { target } = &claim.action else { return unknown(&links, "click", BadLink::Forged) };
    // What is sealed was a link in a message; what can stand in no field is no way to go.
    let Some(location) = location(target) else { return unknown(&links, "click", BadLink::Forged) };
    let visitor = links.visitor(&method, &headers);
    let what =
        What::Clicked { recipient: claim.recipient.clone(), url: target.clone(), visitor: visitor.clone() };
    links.note("click", &token, &claim, &visitor, what).await;
    guarded((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

/// The target as it may stand in the field, by HTTP or HTTPS.
fn location(target: &str) -> Option<HeaderValue> {
    let url = url::Url::parse(target).ok()?;
    let goes = matches!(url.scheme(), "http" | "https") && url.has_host();
    goes.then(|| HeaderValue::from_str(url.as_str()).ok()).flatten()
}

fn unknown(links: &Links, kind: &'static str, error: BadLink) -> Response {
    links.deps.metrics.count(kind, outcome(error));
    refused(error)
}

impl Links {
    /// Writes an event, unless it is a mere repetition.
    async fn note(&self, kind: &'static str, token: &str, claim: &Claim, visitor: &Visitor, what: What) {
        let now = self.deps.clock.now();
        if !self.repeats.is_new(token, visitor.automatic.is_some(), now) {
            return self.deps.metrics.count(kind, "repeated");
        }
        if !self.is_known(claim.message).await {
            return self.deps.metrics.count(kind, "forgotten");
        }
        let outcome = if visitor.automatic.is_some() { "automatic" } else { "person" };
        self.deps.metrics.count(kind, outcome);
        self.deps.store.record(vec![Event { message: claim.message, at: now, what }]).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_web_pages_only_and_splits_no_header() {
        assert_eq!(location("https://x.example/a?b=c#d").unwrap(), "https://x.example/a?b=c#d");
        assert_eq!(location("https://x.example/ä b").unwrap(), "https://x.example/%C3%A4%20b");
        let split = location("https://x.example/\r\nSet-Cookie: a=b").unwrap();
        assert_eq!(split, "https://x.example/Set-Cookie:%20a=b");
        for bad in
            ["javascript:alert(1)", "data:text/html,x", "//x.example/", "/relative", "file:///etc/passwd", ""]
        {
            assert!(location(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_pixel_is_an_image() {
        assert!(PIXEL.starts_with(b"GIF89a") && PIXEL.ends_with(b";"));
    }
}
