//! The story of a message: what happened, who decided it, when. Written with the change that it tells of.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Mailbox, MessageId, Origin, Reply, ReversePath, Status, UnixMs};

/// One thing that happened to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The message.
    pub message: MessageId,
    /// When.
    pub at: UnixMs,
    /// What.
    pub what: What,
}

/// The kinds of events. New kinds are added at the end only: the store keeps their position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The message is in the queue; the client was told 250.
    Accepted {
        /// How it came in.
        origin: Origin,
        /// The return path.
        sender: ReversePath,
        /// The recipients after all edits.
        recipients: Vec<Mailbox>,
        /// Octets.
        size: u64,
        /// What the plugins did on the way in.
        decisions: Vec<Decision>,
    },
    /// A recipient or the whole message was refused; nothing was queued for it.
    Rejected {
        /// How it came in.
        origin: Origin,
        /// The return path.
        sender: ReversePath,
        /// The refused recipient; none when the whole message was refused.
        recipient: Option<Mailbox>,
        /// What the client was told.
        reply: Reply,
        /// What the plugins did on the way in.
        decisions: Vec<Decision>,
    },
    /// Accepted and thrown away, because somebody decided so.
    Discarded {
        /// Who: a plugin, a route or an operator.
        by: String,
        /// Why.
        reason: String,
        /// For whom; all recipients when empty.
        recipients: Vec<Mailbox>,
    },
    /// A plugin decided where a copy goes.
    Routed {
        /// For whom.
        recipients: Vec<Mailbox>,
        /// The next hop, in words.
        next_hop: String,
        /// What the plugins did.
        decisions: Vec<Decision>,
    },
    /// The next hop took it.
    Delivered {
        /// For whom.
        recipients: Vec<Mailbox>,
        /// Its reply.
        status: Status,
        /// Which attempt it was, from 1.
        attempt: u16,
        /// How long the attempt took, in milliseconds.
        took_ms: u32,
    },
    /// Not yet: it waits for the next attempt.
    Deferred {
        /// For whom.
        recipients: Vec<Mailbox>,
        /// Why.
        status: Status,
        /// Which attempt it was, from 1.
        attempt: u16,
        /// When the next one is due.
        next_attempt: UnixMs,
        /// What the plugins did.
        decisions: Vec<Decision>,
    },
    /// Never: given up for these recipients.
    Failed {
        /// For whom.
        recipients: Vec<Mailbox>,
        /// Why.
        status: Status,
        /// Which attempt it was, from 1.
        attempt: u16,
        /// What the plugins did.
        decisions: Vec<Decision>,
    },
    /// A report about failed recipients was queued for the sender, or why none was.
    Bounced {
        /// The report; none when none was made.
        report: Option<MessageId>,
        /// To whom it goes, or why there is none.
        detail: String,
    },
    /// It waits for an operator.
    Held {
        /// Why.
        reason: String,
        /// Who decided.
        by: String,
    },
    /// An operator let it go on.
    Released {
        /// Who decided.
        by: String,
    },
    /// An operator asked for an attempt at once.
    RetryAsked {
        /// Who decided.
        by: String,
    },
    /// An operator removed it from the queue.
    Removed(Removal),
    /// A record of it was damaged and set aside.
    Damaged {
        /// What was found.
        detail: String,
    },
    /// What the sender asked for, by parameters of MAIL and RCPT.
    Asked {
        /// In the form of the parameters, those of RCPT with their recipient.
        requests: Vec<String>,
    },
    /// A report about copies that did not fail was queued for the sender.
    Reported {
        /// The report.
        report: MessageId,
        /// What it tells: `delivered`, `relayed` or `delayed` (RFC 3464 2.3.3).
        action: String,
        /// Of whose copies.
        recipients: Vec<Mailbox>,
    },
    /// An operator asked to give it up, with a report to the sender.
    BounceAsked {
        /// Why, as the sender is told.
        reason: String,
        /// Who decided.
        by: String,
    },
    /// An operator chose another next hop, or left it to the settings again.
    Rerouted {
        /// The next hop in words; none when the settings decide again.
        next_hop: Option<String>,
        /// Who decided.
        by: String,
    },
    /// An operator changed whose mail it is, or how urgent.
    Reassigned {
        /// What it is now, such as `tenant acme`.
        to: Vec<String>,
        /// Who decided.
        by: String,
    },
    /// The content was put into another form for a next hop that takes less than it needs.
    Converted {
        /// For whom.
        recipients: Vec<Mailbox>,
        /// What was done, and why.
        detail: String,
    },
    /// It is due, of all for longest, and nobody takes it.
    Stuck {
        /// Since when it is due.
        due: UnixMs,
        /// Why, as far as the queue knows.
        reason: String,
    },
    /// Not tried, or not taken: these recipients are on a suppression list. Final for them.
    Suppressed {
        /// For whom.
        recipients: Vec<Mailbox>,
        /// Whose list: `global`, `tenant acme` or `stream acme/news`.
        list: String,
        /// Why they are on it: `hard-bounce`, `complaint`, `unsubscribe` or `manual`.
        reason: String,
        /// What brought them there, in words; empty when that is not known.
        detail: String,
    },
    /// A recipient told its provider that it does not want this mail (RFC 5965).
    Complained {
        /// Who; none when the report hides it.
        recipient: Option<Mailbox>,
        /// The kind of feedback, as the report says: `abuse`, `fraud`, `not-spam` ...
        feedback: String,
        /// Who reported.
        by: String,
    },
    /// A recipient, or a program for it, looked at the message.
    Opened {
        /// Who.
        recipient: Mailbox,
        /// Who asked for the pixel.
        visitor: Visitor,
    },
    /// A recipient, or a program for it, followed a link.
    Clicked {
        /// Who.
        recipient: Mailbox,
        /// Where the link leads.
        url: String,
        /// Who asked for it.
        visitor: Visitor,
    },
    /// A recipient wants no more of this.
    Unsubscribed {
        /// Who.
        recipient: Mailbox,
        /// From what: `stream acme/news`, `tenant acme`.
        from: String,
        /// How: `one-click` (RFC 8058), `page`, `mail` or `api`.
        how: String,
        /// Who asked, when it was a web request.
        visitor: Option<Visitor>,
    },
    /// A report came back that a copy was not delivered after all (RFC 3464).
    CameBack {
        /// For whom it was.
        recipient: Mailbox,
        /// Why, by the word of the report.
        status: Status,
        /// Who reported, where the report says so.
        by: String,
    },
}

/// The end of a copy that nobody delivers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Who decided.
    pub by: String,
    /// Whose copies; empty in records of before they were noted.
    pub recipients: Vec<Mailbox>,
}

/// A removal for programs.
#[derive(Serialize, Deserialize)]
struct Shown<'a> {
    by: Cow<'a, str>,
    #[serde(default)]
    recipients: Cow<'a, [Mailbox]>,
}

impl Serialize for Removal {
    /// Records keep it as one text, that of `by` alone as before the recipients were noted.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let (by, recipients) =
                (Cow::Borrowed(self.by.as_str()), Cow::Borrowed(self.recipients.as_slice()));
            return Shown { by, recipients }.serialize(serializer);
        }
        let mut record = self.by.replace(SEPARATOR, " ");
        for recipient in &self.recipients {
            record.push(SEPARATOR);
            record.push_str(&recipient.to_string());
        }
        serializer.serialize_str(&record)
    }
}

impl<'de> Deserialize<'de> for Removal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Removal, D::Error> {
        if deserializer.is_human_readable() {
            let Shown { by, recipients } = Shown::deserialize(deserializer)?;
            return Ok(Removal { by: by.into_owned(), recipients: recipients.into_owned() });
        }
        let record = String::deserialize(deserializer)?;
        let mut parts = record.split(SEPARATOR);
        let by = parts.next().unwrap_or_default().to_owned();
        let recipients = parts.map(str::parse).collect::<Result<_, _>>().map_err(serde::de::Error::custom)?;
        Ok(Removal { by, recipients })
    }
}

/// Stands between the parts of a record: no address has it.
const SEPARATOR: char = '\u{1f}';

/// Who asked for a pixel, a link or a page, as far as the request says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visitor {
    /// The client's address; none when it is not kept.
    pub client: Option<IpAddr>,
    /// What the client calls itself; no control characters.
    pub agent: String,
    /// The program that asks in the recipient's stead, such as `apple-mail-privacy` or `scanner`; none for a person, as far
    /// as can be told.
    pub automatic: Option<String>,
}

/// One plugin's answer at one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// `name@digest#generation`.
    pub plugin: String,
    /// The hook's name.
    pub hook: String,
    /// The answer, or the failure and the policy that was applied.
    pub answer: String,
    /// The edits that were applied, in short form.
    pub edits: Vec<String>,
    /// Wall time of the call, in microseconds.
    pub micros: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_of_before_recipients_were_noted_are_understood() {
        // The position of the kind, the length of the text, the text.
        let before = [&[11, 2][..], b"me"].concat();
        let removed = |recipients: &[&str]| {
            let recipients = recipients.iter().map(|one| one.parse().unwrap()).collect();
            What::Removed(Removal { by: "me".to_owned(), recipients })
        };
        assert_eq!(postcard::from_bytes::<What>(&before), Ok(removed(&[])));
        assert_eq!(postcard::to_stdvec(&removed(&[])).unwrap(), before);
        let now = removed(&["a@b.example", "\"c d\"@e.example"]);
        assert_eq!(postcard::from_bytes::<What>(&postcard::to_stdvec(&now).unwrap()), Ok(now.clone()));
        let text = serde_json::to_string(&now).unwrap();
        assert!(text.starts_with(r#"{"removed":{"by":"me","recipients":["a@b.example","#), "{text}");
        assert_eq!(serde_json::from_str::<What>(&text).unwrap(), now);
        assert_eq!(serde_json::from_str::<What>(r#"{"removed":{"by":"me"}}"#).unwrap(), removed(&[]));
    }
}
