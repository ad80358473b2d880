//! `/v1/events` and the search in `/v1/messages`: what happened, from the feed and from the history.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use baton_events::{EventFilter, Kind, MessageRow, Shown, read_tag};
use baton_mail::{MessageId, UnixMs};
use baton_store::{SearchFilter, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::input::Params;
use super::route::Route;
use crate::Problem;
use crate::admin::store_problem;
use crate::filter::{Fields, read_time_ms};
use crate::scope::Scope;

/// Events or messages in an answer when the request does not say, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Records of the feed that are looked at for one answer.
const LOOKED_AT_MAX: usize = 50_000;
/// Records that are read at a time.
const PAGE_MAX: usize = 1_000;
/// How long an answer may wait for something to happen, in seconds.
const WAIT_S_MAX: u64 = 60;

pub(super) fn routes() -> Vec<Route> {
    let read = baton_mail::tenant::Scope::Read;
    vec![Route::get("/v1/events", read, list_events), Route::get("/v1/messages", read, search_messages)]
}

#[derive(OpenApi)]
#[openapi(paths(list_events, search_messages))]
pub(super) struct Doc;

/// One thing that happened to one recipient's copy, or to a message as a whole. Members that say nothing are left out.
#[derive(ToSchema)]
#[schema(as = Event)]
#[allow(dead_code, reason = "describes a type of another crate")]
struct EventSchema {
    /// Its name: the same whenever it is told.
    #[schema(example = "evt_00000000004d_0001")]
    id: String,
    /// What happened, such as `accepted`, `deferred`, `delivered` or `bounced`.
    r#type: String,
    /// When (RFC 3339).
    time: String,
    /// The relay's name for the message.
    message: String,
    /// The sender's own name for it.
    message_id: Option<String>,
    /// Whose mail it is.
    tenant: Option<String>,
    /// Which stream of that tenant.
    stream: Option<String>,
    /// The message's tags.
    tags: Option<Vec<String>>,
    /// What its sender noted of it.
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    /// The template that it was made of.
    template: Option<String>,
    /// The return path; empty for the null sender.
    sender: Option<String>,
    /// Whose copy.
    recipient: Option<String>,
    /// The recipient's domain.
    domain: Option<String>,
    /// The last word about this copy.
    r#final: Option<bool>,
    /// What the next hop said: `code`, `enhanced`, `text`.
    #[schema(value_type = Option<Object>)]
    reply: Option<()>,
    /// The class of a failure, the reason of a suppression or of a decision, the kind of a complaint.
    reason: Option<String>,
}

/// Events in the order in which they happened.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventsPage {
    /// Each as webhooks get it.
    #[schema(value_type = Vec<EventSchema>)]
    pub events: Vec<Value>,
    /// Ask with `after` for what follows.
    pub next: String,
    /// There is more now.
    pub more: bool,
    /// So many records that were asked for are not kept any more.
    pub missed: u64,
}

/// Messages, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MessagesPage {
    /// Each with what became of its copies.
    pub messages: Vec<MessageRow>,
    /// Ask with `after` for older ones; none when there are none. An empty page may have it: so much is looked at only.
    #[schema(value_type = Option<String>)]
    pub next: Option<MessageId>,
    /// Events that happened and can not be found yet.
    pub behind: u64,
}

/// What happened, in order, from `after` or `since` on.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("kind" = Option<String>, Query, description = "Kinds, with commas between"),
        ("tenant" = Option<String>, Query, description = "Whose; operators only"),
        ("stream" = Option<String>, Query, description = "Of this stream"),
        ("tag" = Option<String>, Query, description = "With this tag, or name=value"),
        ("recipient" = Option<String>, Query, description = "About this recipient"),
        ("after" = Option<u64>, Query, description = "The `next` of the answer before"),
        ("since" = Option<String>, Query, description = "From then on: RFC 3339, or how long ago, such as `2h`"),
        ("wait_s" = Option<u64>, Query, description = "Wait so long for something to happen, 60 at most"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = EventsPage)))]
pub(super) async fn list_events(
    State(face): State<Face>,
    scope: Scope,
    params: Params,
) -> Result<Json<EventsPage>, Problem> {
    let mut fields = params.0;
    let filter = take_event_filter(&mut fields, &scope)?;
    let after = fields.take::<u64>("after")?;
    let since = take_moment(&mut fields, "since", face.clock.now())?;
    let wait = fields.take::<u64>("wait_s")?.unwrap_or(0).min(WAIT_S_MAX);
    let limit = fields.take::<usize>("limit")?.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    fields.finish(&["kind", "tenant", "stream", "tag", "recipient", "after", "since", "wait_s", "limit"])?;
    let feed = face.store.feed();
    let from = match (after, since) {
        (Some(after), _) => after.min(feed.head()),
        (None, Some(since)) => feed.at(since).await.map_err(store_problem)?,
        (None, None) => feed.first(),
    };
    let page = look(&face.store, &filter, from, limit).await?;
    if !page.events.is_empty() || wait == 0 {
        return Ok(Json(page));
    }
    let from = page.next.parse().unwrap_or(from);
    // Nothing happened: the answer is empty.
    let _ = tokio::time::timeout(Duration::from_secs(wait), feed.wait(from)).await;
    look(&face.store, &filter, from, limit).await.map(Json)
}

async fn look(store: &Store, filter: &EventFilter, from: u64, limit: usize) -> Result<EventsPage, Problem> {
    let feed = store.feed();
    let mut page = EventsPage { events: Vec::new(), next: from.to_string(), more: false, missed: 0 };
    let (mut next, mut looked_at) = (from, 0);
    while page.events.len() < limit && looked_at < LOOKED_AT_MAX && next < feed.head() {
        let part = feed.read(next, PAGE_MAX).await.map_err(store_problem)?;
        page.missed += part.missed;
        next = part.next;
        for told in &part.told {
            looked_at += 1;
            for shown in filter.of(told) {
                page.events.push(to_json(&shown)?);
            }
            if page.events.len() >= limit {
                next = told.number + 1;
                break;
            }
        }
    }
    page.next = next.to_string();
    page.more = next < feed.head();
    Ok(page)
}

fn to_json(shown: &Shown<'_>) -> Result<Value, Problem> {
    serde_json::to_value(shown).map_err(|error| Problem::unavailable(error.to_string()))
}

/// Messages by what is known of them, newest first. All that is given must fit.
#[utoipa::path(get, path = "/v1/messages", tag = "messages",
    params(("recipient" = Option<String>, Query), ("domain" = Option<String>, Query, description = "The recipient's"),
        ("sender" = Option<String>, Query), ("message_id" = Option<String>, Query, description = "The sender's own name for it, with or without its angle brackets"),
        ("tenant" = Option<String>, Query, description = "Whose; operators only"),
        ("stream" = Option<String>, Query), ("tag" = Option<String>, Query, description = "A tag, or name=value"),
        ("since" = Option<String>, Query, description = "RFC 3339, or how long ago, such as `2h`"),
        ("until" = Option<String>, Query, description = "RFC 3339, or how long ago"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = MessagesPage)))]
pub(super) async fn search_messages(
    State(face): State<Face>,
    scope: Scope,
    params: Params,
) -> Result<Json<MessagesPage>, Problem> {
    let mut fields = params.0;
    let now = face.clock.now();
    let filter = SearchFilter {
        recipient: fields.take("recipient")?,
        domain: fields.take("domain")?,
        sender: fields.take("sender")?,
        message_id: fields.take("message_id")?.map(in_brackets),
        tenant: scope.tenant(fields.take("tenant")?)?,
        stream: scope.stream(fields.take("stream")?)?,
        tag: fields.take::<String>("tag")?.map(|tag| read_tag(&tag)),
        since: take_moment(&mut fields, "since", now)?,
        until: take_moment(&mut fields, "until", now)?,
    };
    let after = fields.take::<MessageId>("after")?;
    let limit = fields.take::<usize>("limit")?.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    fields.finish(&MESSAGE_FIELDS)?;
    let found = face.store.search(filter, after, limit).await.map_err(store_problem)?;
    let messages = found.messages.iter().map(MessageRow::of).collect();
    Ok(Json(MessagesPage { messages, next: found.next, behind: found.behind }))
}

/// A message's own name as its header has it (RFC 5322 3.6.4), where it was asked for without its brackets.
fn in_brackets(name: String) -> String {
    if name.starts_with('<') { name } else { format!("<{name}>") }
}

const MESSAGE_FIELDS: [&str; 11] = [
    "recipient",
    "domain",
    "sender",
    "message_id",
    "tenant",
    "stream",
    "tag",
    "since",
    "until",
    "after",
    "limit",
];

/// Takes the fields of a filter of events, within a scope.
pub(crate) fn take_event_filter(fields: &mut Fields, scope: &Scope) -> Result<EventFilter, Problem> {
    let kinds = fields.take::<String>("kind")?.unwrap_or_default();
    let read = |name: &str| {
        let unknown = |error| {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            Problem::field("kind", format!("`{name}`: {error}; known are {}", known.join(", ")))
        };
        name.parse::<Kind>().map_err(unknown)
    };
    let names = kinds.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(EventFilter {
        tenant: scope.tenant(fields.take("tenant")?)?,
        streams: scope.stream(fields.take("stream")?)?.into_iter().collect(),
        kinds: names.map(read).collect::<Result<_, _>>()?,
        tag: fields.take::<String>("tag")?.map(|tag| read_tag(&tag)),
        recipient: fields.take("recipient")?,
    })
}

/// Takes a moment: RFC 3339, or how long ago, such as `2h`.
pub(crate) fn take_moment(fields: &mut Fields, name: &str, now: UnixMs) -> Result<Option<UnixMs>, Problem> {
    let Some(text) = fields.take::<String>(name)? else { return Ok(None) };
    read_moment(&text, now).map(Some).ok_or_else(|| {
        Problem::field(
            name,
            format!("`{text}` is no time such as 2026-11-27T18:00:00Z, or 2h for two hours ago"),
        )
    })
}

/// A moment in either form.
pub(crate) fn read_moment(text: &str, now: UnixMs) -> Option<UnixMs> {
    if let Some(ago) = read_time_ms(text) {
        return Some(UnixMs(now.0.saturating_sub(ago)));
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(UnixMs)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn moments_are_absolute_or_ago() {
        let now = UnixMs(1_800_000_000_000);
        assert_eq!(read_moment("2h", now), Some(UnixMs(now.0 - 7_200_000)));
        assert_eq!(read_moment("2027-01-15T08:00:00.123Z", now), Some(UnixMs(1_800_000_000_123)));
        assert_eq!(read_moment("2027-01-15T09:00:00+01:00", now), Some(now));
        for bad in ["", "yesterday", "1969-12-31T23:59:59Z", "2027-13-01T00:00:00Z"] {
            assert_eq!(read_moment(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn kinds_are_known_or_refused_by_name() {
        let fields = |kinds: &str| Fields::new(BTreeMap::from([("kind".to_owned(), kinds.to_owned())]));
        let filter = take_event_filter(&mut fields("bounced, opened"), &Scope::everything()).unwrap();
        assert_eq!(filter.kinds, [Kind::Bounced, Kind::Opened]);
        let problem = take_event_filter(&mut fields("lost"), &Scope::everything()).unwrap_err();
        assert!(problem.errors[0].field == "kind" && problem.detail.contains("quarantined"), "{problem:?}");
    }
}
