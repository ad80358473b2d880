//! A message that a program hands in whole, by other ways than SMTP, and what becomes of it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::{AccountName, Mailbox, MessageId, Reply, ReversePath, TlsFacts, UnixMs};

/// Who hands it in. Whoever makes one has judged its credentials.
#[derive(Clone, Debug)]
pub struct Submitter {
    /// Its name in trace facts, plugins and the history, such as `token:4f1c`.
    pub name: AccountName,
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream.
    pub stream: Option<String>,
    /// Where it is.
    pub client: SocketAddr,
    /// What protected the way.
    pub tls: Option<Arc<TlsFacts>>,
}

/// A message from a program.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its name, made for it.
    pub id: MessageId,
    /// Who hands it in.
    pub by: Submitter,
    /// The return path.
    pub sender: ReversePath,
    /// To whom; at least one.
    pub recipients: Vec<Mailbox>,
    /// Header and body, in lines that end with CRLF.
    pub content: Bytes,
    /// How urgent it is; none is what the stream says.
    pub priority: Option<i8>,
    /// When it may leave; none is now.
    pub not_before: Option<UnixMs>,
    /// When it is given up, if that is before the settings give it up.
    pub expires_at: Option<UnixMs>,
    /// What the sender notes about it: name, value.
    pub tags: Vec<(String, String)>,
    /// Only to learn what would become of it: nothing is kept, counted or sent.
    pub trial: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Recipients that were refused, each with what an SMTP client would be told.
    pub refused: Vec<(Mailbox, Reply)>,
    /// What became of the message as a whole.
    pub ending: Ending,
    /// What a refusal is about, where a rule of the relay refused.
    pub fault: Fault,
}

/// What a refusal is about, for a program to act on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// What of the submission is at fault.
    pub subject: Option<Subject>,
    /// When it may be handed in again, in seconds, where it is about how much was sent.
    pub retry_after_s: Option<u64>,
}

/// A part of a submission that a rule may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// In whose name it is sent.
    Sender,
    /// The tenant.
    Tenant,
    /// The stream.
    Stream,
    /// When it may leave.
    Times,
    /// What is to be tracked, and the way to unsubscribe.
    Tracking,
    /// The text.
    Text,
    /// How it is built.
    Structure,
}

/// What became of a message as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is in the queue, on disk. With a reason, it waits for an operator.
    Queued(Option<String>),
    /// It was taken and thrown away, because a plugin said so.
    Discarded,
    /// It was refused. A transient reply asks to try again.
    Refused(Reply),
    /// It would have been queued. With a reason, to wait for an operator.
    Tried(Option<String>),
}
