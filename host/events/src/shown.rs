//! An event as it is shown to programs: one for each recipient, with what is known of its message.
//!
//! This is a contract: members are added, never renamed or removed.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use baton_mail::event::{Event, Visitor, What};
use baton_mail::{Domain, Mailbox, MessageId, Phase, Reply, Status, UnixMs};
use baton_store::{Facts, Told};
use serde::{Serialize, Serializer};

use crate::kind::Kind;

/// One thing that happened to one recipient's copy, or to a message as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct Shown<'a> {
    /// Its name: the same whenever it is told.
    pub id: EventId,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When.
    #[serde(serialize_with = "as_text")]
    pub time: Moment,
    /// The relay's name for the message.
    pub message: MessageId,
    /// The sender's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<&'a str>,
    /// Whose mail it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<&'a str>,
    /// Which stream of that tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<&'a str>,
    /// The message's tags; one that plugins set as name=value.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags<'a>,
    /// What its sender noted of it, by names.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata<'a>,
    /// The template that it was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<&'a str>,
    /// The return path; empty for the null sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Whose copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<&'a Mailbox>,
    /// The recipient's domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a Domain>,
    /// The last word about this copy.
    #[serde(rename = "final", skip_serializing_if = "is_false")]
    pub is_final: bool,
    /// What is special about this kind.
    #[serde(flatten)]
    pub detail: Detail<'a>,
    /// Where its text is kept for all who tell it.
    #[serde(skip)]
    text: Option<&'a OnceLock<Box<[u8]>>>,
}

impl Shown<'_> {
    /// Writes it as JSON. An error leaves half of it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let Some(kept) = self.text else { return serde_json::to_writer(out, self) };
        if kept.get().is_none() {
            // Another reader may have been as fast, with the same text.
            let _ = kept.set(serde_json::to_vec(self)?.into());
        }
        out.extend_from_slice(kept.get().map(|text| &**text).unwrap_or_default());
        Ok(())
    }
}

/// What is special about a kind of events.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Detail<'a> {
    /// What the next hop said, or the client was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Said<'a>>,
    /// The class of a failure, the reason of a suppression or of a decision, the kind of a complaint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Where in the dialogue it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The host that spoke or was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// The source that it left by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a str>,
    /// Which attempt it was, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u16>,
    /// When the next one is due.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
    pub next_attempt: Option<Moment>,
    /// From the accept to here, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// Octets of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Who decided, or reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'a str>,
    /// The list, the stream, the report or the link that it is about; or what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Who asked for a pixel, a link or a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor: Option<&'a Visitor>,
}

/// A reply in SMTP's terms.
#[derive(Clone, Debug, Serialize)]
pub struct Said<'a> {
    /// The SMTP code; none when nobody spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The enhanced code (RFC 3463).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<String>,
    /// The text.
    pub text: &'a str,
}

/// The name of an event: its place in the feed, and its place among those that were written with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The number in the feed.
    pub number: u64,
    /// Which of those that share it.
    pub part: u32,
}

impl EventId {
    /// Without what all names begin with.
    pub(crate) fn short(self) -> String {
        format!("{:x}.{:x}", self.number, self.part)
    }
}

impl fmt::Display for EventId {
    /// Sorts as text in the order of the feed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "evt_{:012x}_{:04x}", self.number, self.part)
    }
}

/// The text is no name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an event, such as evt_00000000004d_0001")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<EventId, InvalidEventId> {
        let parts = text.strip_prefix("evt_").and_then(|rest| rest.split_once('_'));
        let (number, part) = parts.ok_or(InvalidEventId)?;
        let number = u64::from_str_radix(number, 16).map_err(|_| InvalidEventId)?;
        Ok(EventId { number, part: u32::from_str_radix(part, 16).map_err(|_| InvalidEventId)? })
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A moment as it is shown (RFC 3339).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub UnixMs);

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.0.0 / 1_000, self.0.0 % 1_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"
        )
    }
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar, by whole eras of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01 on, so that the leap day is the last of its year.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (year_of_era + era * 400 + year, month, day)
}

/// Tags as a list.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a>(&'a [(String, String)]);

/// Metadata as an object.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a>(&'a [(String, String)]);

/// The name of what programs call a tag, of the template, and what the names of their metadata begin with.
const TAG: &str = "tag";
const TEMPLATE: &str = "template";
const METADATA: &str = "meta.";

/// Tags in words: what programs call a tag as it is, others as name=value.
pub fn tags(facts: &Facts) -> impl Iterator<Item = Cow<'_, str>> {
    words(&facts.tags)
}

fn words(tags: &[(String, String)]) -> impl Iterator<Item = Cow<'_, str>> {
    let tags = tags.iter().filter(|(name, _)| name != TEMPLATE && !name.starts_with(METADATA));
    tags.map(|(name, value)| match name.as_str() {
        TAG => Cow::Borrowed(value.as_str()),
        name => Cow::Owned(format!("{name}={value}")),
    })
}

/// The template that a message was made of, with its version where that is known.
pub fn template(facts: &Facts) -> Option<&str> {
    facts.tags.iter().find(|(name, _)| name == TEMPLATE).map(|(_, value)| value.as_str())
}

/// A tag in words as the history keeps it: name, value.
pub fn read_tag(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((TAG, text));
    (name.to_owned(), value.to_owned())
}

impl Tags<'_> {
    fn is_empty(&self) -> bool {
        words(self.0).next().is_none()
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(words(self.0))
    }
}

impl<'a> Metadata<'a> {
    fn entries(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(METADATA)?, value.as_str())))
    }

    fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries())
    }
}

fn as_text<S: Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(moment)
}

fn as_optional_text<S: Serializer>(moment: &Option<Moment>, serializer: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => serializer.collect_str(moment),
        None => serializer.serialize_none(),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// All that a record of the feed tells, in order.
pub fn shown(told: &Told) -> impl Iterator<Item = Shown<'_>> {
    let copies_of = |event: &Event| recipients(&event.what).len().max(1);
    // Of many recipients, all texts would be too much to keep.
    let text = (told.events.iter().map(copies_of).sum::<usize>() == 1).then_some(&told.text);
    let copies = told.events.iter().flat_map(|event| {
        let whole = recipients(&event.what).is_empty();
        let each = recipients(&event.what).iter().map(Some);
        each.chain(whole.then_some(None)).map(move |recipient| (event, recipient))
    });
    copies.zip(0..).map(move |((event, recipient), part)| {
        let id = EventId { number: told.number, part };
        Shown { text, ..show(id, event, recipient, Kind::of(event, &told.events), &told.facts) }
    })
}

/// One event, of one recipient.
pub fn show<'a>(
    id: EventId,
    event: &'a Event,
    recipient: Option<&'a Mailbox>,
    kind: Kind,
    facts: &'a Facts,
) -> Shown<'a> {
    Shown {
        id,
        kind,
        time: Moment(event.at),
        message: event.message,
        message_id: facts.message_id.as_deref(),
        tenant: facts.tenant.as_deref(),
        stream: facts.stream.as_deref(),
        tags: Tags(&facts.tags),
        metadata: Metadata(&facts.tags),
        template: template(facts),
        sender: facts.sender.as_ref().map(ToString::to_string),
        recipient,
        domain: recipient.map(Mailbox::domain),
        is_final: kind.is_final(),
        detail: detail(event),
        text: None,
    }
}

/// Whose copies an event is about; none when it is about the message as a whole.
pub fn recipients(what: &What) -> &[Mailbox] {
    match what {
        What::Accepted { recipients, .. }
        | What::Discarded { recipients, .. }
        | What::Routed { recipients, .. }
        | What::Delivered { recipients, .. }
        | What::Deferred { recipients, .. }
        | What::Failed { recipients, .. }
        | What::Reported { recipients, .. }
        | What::Converted { recipients, .. }
        | What::Suppressed { recipients, .. } => recipients,
        What::Removed(removal) => &removal.recipients,
        What::Rejected { recipient, .. } | What::Complained { recipient, .. } => recipient.as_slice(),
        What::Opened { recipient, .. }
        | What::Clicked { recipient, .. }
        | What::CameBack { recipient, .. }
        | What::Unsubscribed { recipient, .. } => std::slice::from_ref(recipient),
        What::Bounced { .. }
        | What::Held { .. }
        | What::Released { .. }
        | What::RetryAsked { .. }
        | What::Damaged { .. }
        | What::Asked { .. }
        | What::BounceAsked { .. }
        | What::Rerouted { .. }
        | What::Reassigned { .. }
        | What::Stuck { .. } => &[],
    }
}

fn detail(event: &Event) -> Detail<'_> {
    let after = event.at.since(event.message.time()).as_millis();
    let after_ms = Some(u64::try_from(after).unwrap_or(u64::MAX));
    match &event.what {
        What::Accepted { size, .. } => Detail { size: Some(*size), ..Detail::default() },
        What::Rejected { reply, .. } => Detail { reply: Some(of_reply(reply)), ..Detail::default() },
        What::Delivered { status, attempt, .. } => {
            Detail { attempt: Some(*attempt), reason: None, after_ms, ..of_status(status) }
        }
        What::Failed { status, attempt, .. } => {
            Detail { attempt: Some(*attempt), after_ms, ..of_status(status) }
        }
        What::CameBack { status, by, .. } => {
            Detail { by: (!by.is_empty()).then_some(by), after_ms, ..of_status(status) }
        }
        What::Deferred { status, attempt, next_attempt, .. } => {
            let next_attempt = Some(Moment(*next_attempt));
            Detail { attempt: Some(*attempt), next_attempt, ..of_status(status) }
        }
        What::Discarded { by, reason, .. } | What::Held { by, reason } | What::BounceAsked { by, reason } => {
            Detail { by: Some(by), reason: Some(reason), ..Detail::default() }
        }
        What::Removed(removal) => Detail { by: Some(&removal.by), after_ms, ..Detail::default() },
        What::Released { by } | What::RetryAsked { by } => Detail { by: Some(by), ..Detail::default() },
        What::Rerouted { next_hop, by } => {
            Detail { by: Some(by), about: next_hop.clone(), ..Detail::default() }
        }
        What::Reassigned { to, by } => {
            Detail { by: Some(by), about: Some(to.join(", ")), ..Detail::default() }
        }
        other => detail_beside(other),
    }
}

/// Of what is told beside the ways of delivery.
fn detail_beside(what: &What) -> Detail<'_> {
    match what {
        What::Routed { next_hop, .. } => Detail { about: Some(next_hop.clone()), ..Detail::default() },
        What::Bounced { report, detail } => Detail {
            about: report.map(|report| report.to_string()),
            reason: Some(detail),
            ..Detail::default()
        },
        What::Reported { report, action, .. } => {
            Detail { about: Some(report.to_string()), reason: Some(action), ..Detail::default() }
        }
        What::Damaged { detail } | What::Converted { detail, .. } => {
            Detail { reason: Some(detail), ..Detail::default() }
        }
        What::Stuck { reason, .. } => Detail { reason: Some(reason), ..Detail::default() },
        What::Asked { requests } => Detail { about: Some(requests.join(", ")), ..Detail::default() },
        What::Suppressed { list, reason, .. } => {
            Detail { about: Some(list.clone()), reason: Some(reason), ..Detail::default() }
        }
        What::Complained { feedback, by, .. } => {
            Detail { reason: Some(feedback), by: Some(by), ..Detail::default() }
        }
        What::Opened { visitor, .. } => Detail { visitor: Some(visitor), ..Detail::default() },
        What::Clicked { url, visitor, .. } => {
            Detail { about: Some(url.clone()), visitor: Some(visitor), ..Detail::default() }
        }
        What::Unsubscribed { from, how, visitor, .. } => Detail {
            about: Some(from.clone()),
            reason: Some(how),
            visitor: visitor.as_ref(),
            ..Detail::default()
        },
        _ => Detail::default(),
    }
}

fn of_reply(reply: &Reply) -> Said<'_> {
    Said {
        code: Some(reply.code()),
        enhanced: reply.enhanced().map(|code| code.to_string()),
        text: reply.text(),
    }
}

fn of_status(status: &Status) -> Detail<'_> {
    let remote = status.remote.as_ref();
    Detail {
        reply: Some(Said {
            code: status.code,
            enhanced: Some(status.enhanced.to_string()),
            text: &status.text,
        }),
        reason: Some(status.class.as_str()),
        phase: Some(status.phase),
        host: remote.map(|remote| remote.host.as_str()),
        source: remote.and_then(|remote| remote.source.as_ref()).map(|source| source.name.as_str()),
        ..Detail::default()
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::status::Remote;
    use baton_mail::{EnhancedCode, FailureClass, ReversePath};

    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_800_000_000_123, "2027-01-15T08:00:00.123Z"),
        ] {
            assert_eq!(Moment(UnixMs(ms)).to_string(), text);
        }
    }

    #[test]
    fn each_recipient_has_its_event_with_all_that_is_known() {
        let message = MessageId::first_at(UnixMs(1_800_000_000_000));
        let reply = Reply::new(550, EnhancedCode(5, 1, 1), "no such user");
        let mut status = Status::from_reply(Phase::Rcpt, &reply, Remote::named("mx.b.example"));
        status.class = FailureClass::BadMailbox;
        let recipients = vec!["x@b.example".parse().unwrap(), "y@b.example".parse().unwrap()];
        let failed = What::Failed { recipients, status, attempt: 2, decisions: Vec::new() };
        let events = [failed, What::Released { by: "me".to_owned() }];
        let event = |what| Event { message, at: UnixMs(1_800_000_001_500), what };
        let facts = Facts {
            tenant: Some("acme".to_owned()),
            stream: None,
            tags: [("template", "receipt@3"), ("tag", "big"), ("spam", "no"), ("meta.order", "17")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            message_id: Some("<1@a.example>".to_owned()),
            sender: Some(ReversePath::Mailbox("s@a.example".parse().unwrap())),
        };
        let events = events.into_iter().map(event).collect();
        let told = Told { number: 77, events, facts: facts.into(), text: OnceLock::new() };
        let all: Vec<serde_json::Value> =
            shown(&told).map(|shown| serde_json::to_value(shown).unwrap()).collect();
        assert_eq!(
            all[1],
            serde_json::json!({
                "id": "evt_00000000004d_0001",
                "type": "bounced",
                "time": "2027-01-15T08:00:01.500Z",
                "message": message.to_string(),
                "message_id": "<1@a.example>",
                "tenant": "acme",
                "tags": ["big", "spam=no"],
                "metadata": { "order": "17" },
                "template": "receipt@3",
                "sender": "s@a.example",
                "recipient": "y@b.example",
                "domain": "b.example",
                "final": true,
                "reply": { "code": 550, "enhanced": "5.1.1", "text": "no such user" },
                "reason": "bad-mailbox",
                "phase": "rcpt",
                "host": "mx.b.example",
                "attempt": 2,
                "after_ms": 1_500,
            })
        );
        assert_eq!((&all[2]["type"], &all[2]["recipient"]), (&"released".into(), &serde_json::Value::Null));
        assert_eq!(all.len(), 3);
        assert!(written(&told).iter().eq(&all) && told.text.get().is_none(), "of several, none is kept");
        let alone = Told { events: told.events.get(1..).unwrap().to_vec(), ..told };
        let first = written(&alone);
        assert_eq!(
            (first.len(), &first[0]["type"], alone.text.get().is_some()),
            (1, &"released".into(), true)
        );
        assert_eq!(written(&alone), first);
    }

    fn written(told: &Told) -> Vec<serde_json::Value> {
        let read = |shown: Shown<'_>| {
            let mut text = Vec::new();
            shown.write(&mut text).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        shown(told).map(read).collect()
    }
}
