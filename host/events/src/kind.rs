//! The kinds of events as everybody outside knows them.

use std::fmt;
use std::str::FromStr;

use baton_mail::FailureClass;
use baton_mail::event::{Event, What};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// What happened, by one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(as = EventKind, rename_all = "kebab-case")]
pub enum Kind {
    /// In the queue.
    Accepted,
    /// Refused; never in the queue.
    Rejected,
    /// Held on its way in.
    Quarantined,
    /// Held later.
    Held,
    /// Let go on after a hold.
    Released,
    /// Waits for the next attempt.
    Deferred,
    /// The next hop took it. Final.
    Delivered,
    /// Given up because of what a next hop, or the relay itself, said, or came back after it was delivered. Final.
    Bounced,
    /// Given up because it became too old. Final.
    Expired,
    /// Thrown away because somebody decided so. Final.
    Discarded,
    /// Taken out of the queue by an operator. Final.
    Removed,
    /// On a suppression list. Final.
    Suppressed,
    /// The recipient complained.
    Complained,
    /// The recipient looked at it.
    Opened,
    /// The recipient followed a link.
    Clicked,
    /// The recipient wants no more.
    Unsubscribed,
    /// A plugin chose a next hop.
    Routed,
    /// The sender was told of a failure, or not.
    Returned,
    /// The sender was told of something else.
    Reported,
    /// An operator changed something.
    Changed,
    /// Another form for a next hop.
    Converted,
    /// What the sender asked for.
    Asked,
    /// A record was damaged.
    Damaged,
    /// Due, and nobody took it.
    Stuck,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 24] = [
        Kind::Accepted,
        Kind::Rejected,
        Kind::Quarantined,
        Kind::Held,
        Kind::Released,
        Kind::Deferred,
        Kind::Delivered,
        Kind::Bounced,
        Kind::Expired,
        Kind::Discarded,
        Kind::Removed,
        Kind::Suppressed,
        Kind::Complained,
        Kind::Opened,
        Kind::Clicked,
        Kind::Unsubscribed,
        Kind::Routed,
        Kind::Returned,
        Kind::Reported,
        Kind::Changed,
        Kind::Converted,
        Kind::Asked,
        Kind::Damaged,
        Kind::Stuck,
    ];

    /// Of an event among those that were written with it.
    pub fn of(event: &Event, all: &[Event]) -> Kind {
        let is_new = || all.iter().any(|one| matches!(one.what, What::Accepted { .. }));
        match &event.what {
            What::Accepted { .. } => Kind::Accepted,
            What::Rejected { .. } => Kind::Rejected,
            What::Discarded { .. } => Kind::Discarded,
            What::Routed { .. } => Kind::Routed,
            What::Delivered { .. } => Kind::Delivered,
            What::Deferred { .. } => Kind::Deferred,
            What::Failed { status, .. } if status.phase == baton_mail::Phase::Expired => Kind::Expired,
            What::Failed { status, .. } if status.class == FailureClass::Expired => Kind::Expired,
            What::Failed { .. } | What::CameBack { .. } => Kind::Bounced,
            What::Bounced { .. } => Kind::Returned,
            What::Held { .. } if is_new() => Kind::Quarantined,
            What::Held { .. } => Kind::Held,
            What::Released { .. } => Kind::Released,
            What::RetryAsked { .. }
            | What::BounceAsked { .. }
            | What::Rerouted { .. }
            | What::Reassigned { .. } => Kind::Changed,
            What::Removed(_) => Kind::Removed,
            What::Damaged { .. } => Kind::Damaged,
            What::Asked { .. } => Kind::Asked,
            What::Reported { .. } => Kind::Reported,
            What::Converted { .. } => Kind::Converted,
            What::Stuck { .. } => Kind::Stuck,
            What::Suppressed { .. } => Kind::Suppressed,
            What::Complained { .. } => Kind::Complained,
            What::Opened { .. } => Kind::Opened,
            What::Clicked { .. } => Kind::Clicked,
            What::Unsubscribed { .. } => Kind::Unsubscribed,
        }
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Accepted => "accepted",
            Kind::Rejected => "rejected",
            Kind::Quarantined => "quarantined",
            Kind::Held => "held",
            Kind::Released => "released",
            Kind::Deferred => "deferred",
            Kind::Delivered => "delivered",
            Kind::Bounced => "bounced",
            Kind::Expired => "expired",
            Kind::Discarded => "discarded",
            Kind::Removed => "removed",
            Kind::Suppressed => "suppressed",
            Kind::Complained => "complained",
            Kind::Opened => "opened",
            Kind::Clicked => "clicked",
            Kind::Unsubscribed => "unsubscribed",
            Kind::Routed => "routed",
            Kind::Returned => "returned",
            Kind::Reported => "reported",
            Kind::Changed => "changed",
            Kind::Converted => "converted",
            Kind::Asked => "asked",
            Kind::Damaged => "damaged",
            Kind::Stuck => "stuck",
        }
    }

    /// Whether it is the last word about a copy that was accepted. Each copy has exactly one such event.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Kind::Delivered
                | Kind::Bounced
                | Kind::Expired
                | Kind::Discarded
                | Kind::Removed
                | Kind::Suppressed
        )
    }

    /// Whether those who send mail want to know, not only those who run the relay.
    pub fn is_for_senders(self) -> bool {
        self <= Kind::Unsubscribed
    }
}

/// The text names no kind of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such kind of events")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Kind, UnknownKind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("`{text}`: {error}")))
    }
}
