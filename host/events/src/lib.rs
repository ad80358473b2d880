//! What happens, told to those who want to know: searching, webhooks, files, counts over time.
//!
//! Invariant: nobody who is told of events costs mail anything. Each has a cursor in the feed of the store and goes at its own
//! pace, on a thread of its own that yields to mail; what it missed it reads later.
//!
//! Invariant: what is told to whom is filtered by tenant before anything else.
//!
//! Invariant: secrets of endpoints are in no log, no error, no debug output, and in no answer but that which makes them.

mod file;
mod filter;
mod kind;
pub mod nats;
pub mod report;
mod row;
mod service;
mod shown;
mod status;
pub mod webhook;

pub use file::{FileSettings, Writer};
pub use filter::EventFilter;
pub use kind::{Kind, UnknownKind};
pub use row::{Copy, MessageRow};
pub use service::{Followers, is_known_by_itself};
pub use shown::{
    Detail, EventId, InvalidEventId, Moment, Said, Shown, read_tag, recipients, show, shown, tags, template,
};
pub use status::FollowerView;
