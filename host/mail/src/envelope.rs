//! The envelope: who sent a message, to whom, how it came in.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::fair::Flow;
use crate::lane::Place;
use crate::requests::timing::ByMode;
use crate::requests::{MessageRequests, Notify, RecipientRequests};
use crate::{Lane, Mailbox, MessageId, Protocol, ReversePath, SessionId, UnixMs};

/// All that is known of an accepted message but its content. Fixed once it is in the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The message's name.
    pub id: MessageId,
    /// When it was accepted.
    pub received_at: UnixMs,
    /// When it is given up; holds in every state of the queue.
    pub expires_at: UnixMs,
    /// The return path.
    pub sender: ReversePath,
    /// The recipients, after aliases; at least one.
    pub recipients: Vec<Recipient>,
    /// Content has octets above 127 (BODY=8BITMIME, RFC 6152).
    pub eight_bit: bool,
    /// Content is not made of lines: CR, LF and NUL may stand anywhere in it (BODY=BINARYMIME, RFC 3030). Records keep it
    /// behind the envelope.
    #[serde(skip)]
    pub binary: bool,
    /// The transaction asked for SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// Octets of content, our own trace fields included.
    pub size: u64,
    /// How it came in.
    pub origin: Origin,
    /// Whose mail it is, when accounts or plugins say so.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// Tags set by plugins: name, value.
    pub tags: Vec<(String, String)>,
    /// Scores set by plugins: symbol, points.
    pub scores: Vec<(String, f64)>,
    /// Notes that plugins left for later hooks: key (prefixed by the plugin's name), value.
    pub notes: Vec<(String, Vec<u8>)>,
    /// Why it waits for an operator, when it does (quarantine).
    pub hold: Option<String>,
    /// What is higher goes first: -9 to 9 (RFC 6710); 0 unless a plugin said otherwise. The last field of records,
    /// because those of earlier versions end before it.
    #[serde(default, deserialize_with = "priority_or_zero")]
    pub priority: i8,
    /// What the sender asked for. Records keep it behind the envelope, with what was asked for each recipient.
    #[serde(skip)]
    pub requests: MessageRequests,
}

/// The highest priority, and the lowest below zero (RFC 6710 2).
pub const PRIORITY_MAX: i8 = 9;

/// The priority; 0 where the record ends before it.
fn priority_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i8, D::Error> {
    Ok(i8::deserialize(deserializer).unwrap_or(0))
}

impl Envelope {
    /// An envelope without recipients, as it stands after MAIL FROM.
    pub fn new(
        id: MessageId,
        now: UnixMs,
        lifetime: Duration,
        sender: ReversePath,
        origin: Origin,
    ) -> Envelope {
        Envelope {
            id,
            received_at: now,
            expires_at: now.plus(lifetime),
            sender,
            recipients: Vec::new(),
            eight_bit: false,
            binary: false,
            smtputf8: false,
            size: 0,
            origin,
            tenant: None,
            stream: None,
            tags: Vec::new(),
            scores: Vec::new(),
            notes: Vec::new(),
            hold: None,
            priority: 0,
            requests: MessageRequests::default(),
        }
    }

    /// The lane in which it waits.
    pub fn lane(&self) -> Lane {
        Lane::of(self.priority)
    }

    /// With whose mail it takes turns.
    pub fn flow(&self) -> Flow {
        Flow::of(self.tenant.as_deref(), self.stream.as_deref())
    }

    /// Where it waits among others.
    pub fn place(&self) -> Place {
        Place::new(self.lane(), self.flow(), self.size)
    }

    /// When it is given up: what is to be returned when it is late is not tried any longer (RFC 2852 4.1.2).
    pub fn given_up_at(&self) -> UnixMs {
        match self.requests.deliver_by {
            Some(by) if by.mode == ByMode::Return => self.expires_at.min(by.at),
            _ => self.expires_at,
        }
    }

    /// The sum of the scores.
    pub fn total_score(&self) -> f64 {
        self.scores.iter().map(|(_, points)| points).sum()
    }

    /// True when the next hop must offer SMTPUTF8: an address or a header beyond ASCII (RFC 6531 3.4).
    pub fn needs_smtputf8(&self) -> bool {
        self.smtputf8
    }
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Where the message goes.
    pub address: Mailbox,
    /// What the client had said, when a plugin redirected it.
    pub original: Option<Mailbox>,
    /// What the sender asked for, which is rare.
    #[serde(skip)]
    pub requests: Option<Box<RecipientRequests>>,
}

impl Recipient {
    /// The same copy for somebody else.
    pub fn redirected(&self, address: Mailbox) -> Recipient {
        let original = self.original.as_ref().unwrap_or(&self.address);
        Recipient { address, original: Some(original.clone()), requests: self.requests.clone() }
    }

    /// When the sender wants a report about it.
    pub fn notify(&self) -> Notify {
        self.requests.as_ref().and_then(|requests| requests.notify).unwrap_or(Notify::UNASKED)
    }
}

impl From<Mailbox> for Recipient {
    fn from(address: Mailbox) -> Recipient {
        Recipient { address, original: None, requests: None }
    }
}

/// How a message came in: facts for trace fields, hooks and the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The SMTP session; none for messages that the relay made itself.
    pub session: Option<SessionId>,
    /// The listener's name, or `internal` for messages that the relay made itself.
    pub listener: String,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The client's port.
    pub client_port: u16,
    /// What the client called itself.
    pub helo: Option<String>,
    /// The account, when the client authenticated.
    pub account: Option<String>,
    /// The protocol, and what protected it.
    pub protocol: Protocol,
}

impl Origin {
    /// The relay made the message itself.
    pub fn is_internal(&self) -> bool {
        self.session.is_none() && self.listener == INTERNAL
    }

    /// The origin of a message that the relay makes itself, such as a bounce.
    pub fn internal() -> Origin {
        Origin {
            session: None,
            listener: INTERNAL.to_owned(),
            client: None,
            client_port: 0,
            helo: None,
            account: None,
            protocol: Protocol::plain(INTERNAL),
        }
    }
}

/// What stands for the listener of messages that the relay made itself.
const INTERNAL: &str = "internal";
