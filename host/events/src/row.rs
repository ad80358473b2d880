//! A message in a list: what became of each of its copies, told from its story.

use std::borrow::Cow;

use baton_mail::event::{Event, What};
use baton_mail::{Mailbox, MessageId};
use baton_store::{Facts, FoundMessage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kind::Kind;
use crate::shown::{Moment, recipients, tags, template};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FoundMessage)]
pub struct MessageRow {
    /// The relay's name for it.
    #[schema(value_type = String)]
    pub message: MessageId,
    /// When it came (RFC 3339).
    pub time: String,
    /// The sender's own name for it.
    pub message_id: Option<String>,
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// Its tags; those that plugins set as name=value.
    pub tags: Vec<String>,
    /// The template that it was made of.
    pub template: Option<String>,
    /// The return path; empty for the null sender.
    pub sender: Option<String>,
    /// Octets; none when it was never accepted.
    pub size: Option<u64>,
    /// What became of it for each recipient.
    pub copies: Vec<Copy>,
}

/// The copy of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageCopy)]
pub struct Copy {
    /// Who.
    #[schema(value_type = String)]
    pub recipient: Mailbox,
    /// Where it stands: the kind of the last event that says so, `accepted` while it waits for its first attempt.
    pub state: Kind,
    /// Since when (RFC 3339).
    pub since: String,
    /// What was said, in words.
    pub said: Option<String>,
    /// What the recipient did with it.
    pub then: Vec<Kind>,
}

impl MessageRow {
    /// Of a message with its story.
    pub fn of(found: &FoundMessage) -> MessageRow {
        let words = tags(&found.facts).map(Cow::into_owned).collect();
        let template = template(&found.facts).map(str::to_owned);
        let Facts { tenant, stream, message_id, sender, .. } = found.facts.clone();
        let mut row = MessageRow {
            message: found.message,
            time: Moment(found.message.time()).to_string(),
            message_id,
            tenant,
            stream,
            tags: words,
            template,
            sender: sender.map(|sender| sender.to_string()),
            size: None,
            copies: Vec::new(),
        };
        for event in &found.events {
            row.tell(event, &found.events);
        }
        row
    }

    fn tell(&mut self, event: &Event, all: &[Event]) {
        let kind = Kind::of(event, all);
        if let What::Accepted { size, .. } = &event.what {
            self.size = Some(*size);
        }
        let is_state = kind.is_final()
            || matches!(
                kind,
                Kind::Accepted | Kind::Rejected | Kind::Deferred | Kind::Held | Kind::Quarantined
            );
        let is_later = matches!(kind, Kind::Complained | Kind::Opened | Kind::Clicked | Kind::Unsubscribed);
        if !is_state && !is_later && kind != Kind::Released {
            return;
        }
        if recipients(&event.what).is_empty() {
            // It is about the message as a whole: about all that is not done.
            let waiting = self.copies.iter_mut().filter(|copy| !copy.state.is_final());
            let state = if kind == Kind::Released { Kind::Accepted } else { kind };
            waiting.for_each(|copy| copy.stand(state, event));
        }
        for recipient in recipients(&event.what) {
            let copy = self.copy(recipient, event);
            if is_later {
                copy.then.extend((!copy.then.contains(&kind)).then_some(kind));
            } else {
                copy.stand(kind, event);
            }
        }
    }

    fn copy(&mut self, recipient: &Mailbox, event: &Event) -> &mut Copy {
        let found = self.copies.iter().position(|copy| copy.recipient == *recipient);
        let index = found.unwrap_or(self.copies.len());
        if found.is_none() {
            self.copies.push(Copy {
                recipient: recipient.clone(),
                state: Kind::Accepted,
                since: Moment(event.at).to_string(),
                said: None,
                then: Vec::new(),
            });
        }
        let last = self.copies.len() - 1;
        // It is there: found, or pushed a moment ago.
        #[allow(clippy::indexing_slicing)]
        &mut self.copies[index.min(last)]
    }
}

impl Copy {
    fn stand(&mut self, state: Kind, event: &Event) {
        self.state = state;
        self.since = Moment(event.at).to_string();
        self.said = match &event.what {
            What::Delivered { status, .. }
            | What::Deferred { status, .. }
            | What::Failed { status, .. }
            | What::CameBack { status, .. } => Some(status.to_string()),
            What::Rejected { reply, .. } => Some(reply.to_string()),
            What::Discarded { by, reason, .. } | What::Held { by, reason } => {
                Some(format!("{reason}, by {by}"))
            }
            What::Removed(removal) => Some(format!("by {}", removal.by)),
            What::Suppressed { list, reason, .. } => Some(format!("{reason}, by the list of {list}")),
            _ => None,
        };
    }
}
