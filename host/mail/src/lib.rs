//! The words of mail: identifiers, addresses, replies, outcomes, envelopes, message content.
//!
//! Every other crate of the relay speaks in these types, and this crate uses none of the others.
//!
//! Invariant: a value of a type in this crate was checked when it was made. No control character, no line break
//! and no oversized text lives in an address, a reply, a status or a header edit, so none can reach the queue, a
//! log line, a reply or the next hop.
//!
//! Invariant: nothing in this crate reads a clock, a socket or a file, except [`clock::SystemClock`].

pub mod account;
pub mod address;
pub mod body;
pub mod bounce;
pub mod bucket;
pub mod classify;
pub mod clock;
pub mod edit;
pub mod envelope;
pub mod event;
pub mod fair;
pub mod header;
pub mod id;
pub mod lane;
pub mod lines;
pub mod mime;
pub mod operator;
pub mod reply;
pub mod requests;
pub mod status;
pub mod submission;
pub mod tenant;
pub mod text;
pub mod tls;
pub mod trace;
pub mod xtext;

pub use account::{Account, AccountName};
pub use address::{Domain, Mailbox, ReversePath};
pub use body::Body;
pub use clock::{Clock, SystemClock, UnixMs};
pub use envelope::{Envelope, Origin, Recipient};
pub use id::{MessageId, SessionId};
pub use lane::Lane;
pub use reply::{EnhancedCode, Reply};
pub use status::{FailureClass, Outcome, Phase, Status};
pub use tls::{Protocol, TlsFacts};
