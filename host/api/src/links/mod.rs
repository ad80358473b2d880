//! The public face of tracked links, on a listener of its own: `/o/TOKEN` is the pixel, `/c/TOKEN` a link, `/u/TOKEN` the page
//! to unsubscribe.
//!
//! Invariant: nothing is done on a GET that a scanner's visit would harm: unsubscribing takes a POST.
//!
//! Invariant: a redirect leads only where the sealed token says. There is no parameter for a target.

mod preferences;
mod repeats;
mod visits;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use baton_content::agent::{AgentKind, Agents, Asked};
use baton_content::link::{BadLink, Claim};
use baton_content::page::{Page, page};
use baton_content::track::Tracker;
use baton_mail::event::Visitor;
use baton_mail::text::sanitize;
use baton_mail::{Clock, MessageId};
use baton_store::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::v1::{ApiListener, serve};
use repeats::Repeats;

/// Octets of a request's body at most: a form with one word in it.
const BODY_OCTETS_MAX: usize = 4 * 1024;
/// Octets of a client's own name that are kept.
const AGENT_OCTETS_MAX: usize = 200;

/// What the public face needs.
#[derive(Clone)]
pub struct LinksDeps {
    /// Takes events and unsubscriptions.
    pub store: Store,
    /// Opens tokens; none while tracking is off.
    pub tracker: Arc<ArcSwapOption<Tracker>>,
    /// The relay's time.
    pub clock: Arc<dyn Clock>,
    /// Counts what is asked for.
    pub metrics: LinkMetrics,
    /// How long a connection may be open.
    pub connection_lifetime: Duration,
}

/// Visits by what was asked for and what came of it.
#[derive(Clone, Debug, Default)]
pub struct LinkMetrics {
    visits: Family<VisitLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VisitLabels {
    kind: &'static str,
    outcome: &'static str,
}

impl LinkMetrics {
    /// Makes the counters known.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Visits of tracked links, by kind (open, click, unsubscribe) and outcome";
        registry.register("baton_link_visits", help, self.visits.clone());
    }

    fn count(&self, kind: &'static str, outcome: &'static str) {
        self.visits.get_or_create(&VisitLabels { kind, outcome }).inc();
    }
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Links {
    deps: LinksDeps,
    agents: Arc<Agents>,
    repeats: Arc<Repeats>,
}

/// Serves the links on `listener` until `stop` is cancelled.
pub async fn serve_links(listener: ApiListener, deps: LinksDeps, stop: CancellationToken) {
    let lifetime = deps.connection_lifetime;
    serve(listener, router(deps), Some(lifetime), stop).await;
}

fn router(deps: LinksDeps) -> Router {
    let links = Links { deps, agents: Arc::new(Agents::default()), repeats: Arc::new(Repeats::default()) };
    Router::new()
        .route("/o/{token}", get(visits::open))
        .route("/c/{token}", get(visits::click))
        .route("/u/{token}", get(preferences::ask).post(preferences::act))
        .layer(DefaultBodyLimit::max(BODY_OCTETS_MAX))
        .with_state(links)
        .fallback(async || shown(StatusCode::NOT_FOUND, &Page::Unknown))
}

impl Links {
    /// What a token says.
    fn claim(&self, token: &str) -> Result<Claim, BadLink> {
        let tracker = self.deps.tracker.load();
        let tracker = tracker.as_ref().ok_or(BadLink::Forged)?;
        tracker.keys.open(token, self.deps.clock.now())
    }

    /// True when something is known of the message: what was forgotten, or erased, is not written down anew by a visit.
    async fn is_known(&self, message: MessageId) -> bool {
        self.deps.store.message(message).await.is_ok_and(|found| found.is_some())
    }

    /// Who asks, as far as the request says. Addresses of clients are not kept.
    fn visitor(&self, method: &Method, headers: &HeaderMap) -> Visitor {
        let text =
            |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let says_prefetch = |name: &HeaderName| text(name).to_ascii_lowercase().contains("prefetch");
        let user_agent = text(&header::USER_AGENT);
        let asked = Asked {
            user_agent,
            is_head: method == Method::HEAD,
            is_prefetch: PREFETCH.iter().any(says_prefetch),
        };
        let agent = self.agents.recognise(&asked);
        let automatic = match agent.kind {
            AgentKind::Person => None,
            kind => Some(agent.name.unwrap_or_else(|| kind.as_str().to_owned())),
        };
        Visitor { client: None, agent: sanitize(user_agent, AGENT_OCTETS_MAX), automatic }
    }
}

/// Fields by which browsers say that nobody looks yet.
static PREFETCH: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-purpose"),
    HeaderName::from_static("x-moz"),
];

/// A page, with all that keeps it from doing harm.
fn shown(status: StatusCode, content: &Page<'_>) -> Response {
    let mut response = (status, page(content)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    guarded(response)
}

/// Not kept by caches, not told to whom a link leads, not found by search engines.
fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, private"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"));
    response
}

/// No script, nothing from elsewhere, in no frame; the form goes to its own page.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The page for a token that is no link.
fn refused(error: BadLink) -> Response {
    match error {
        BadLink::Ended => shown(StatusCode::GONE, &Page::Ended),
        BadLink::Forged => shown(StatusCode::NOT_FOUND, &Page::Unknown),
    }
}

fn outcome(error: BadLink) -> &'static str {
    match error {
        BadLink::Ended => "ended",
        BadLink::Forged => "unknown",
    }
}
