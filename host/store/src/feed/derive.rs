//! What readers of the feed make of it in the same database, with their cursors in the same batch: exactly once.

use tokio::sync::oneshot;

use super::{ConsumerName, CursorOp, Feed, cursor_key};
use crate::commit::{Answer, Op};
use crate::database::Family;
use crate::error::StoreError;
use crate::format::encode;

/// Where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Derived {
    /// The index of the history.
    Index,
    /// Counts over time.
    Rollup,
}

impl Derived {
    pub(crate) fn family(self) -> Family {
        match self {
            Derived::Index => Family::Index,
            Derived::Rollup => Family::Rollup,
        }
    }
}

/// Entries and the cursor behind what they were made of. Rides on the next sync; somebody waits for it.
pub(crate) struct DeriveOp {
    pub(crate) kind: Derived,
    pub(crate) puts: Vec<(Vec<u8>, Vec<u8>)>,
    /// Ranges of keys that are deleted before.
    pub(crate) forget: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) cursor: CursorOp,
    /// It asks for a sync of its own.
    pub(crate) is_urgent: bool,
    pub(crate) answer: Answer<()>,
}

impl Feed {
    /// Writes what a consumer made of all before `next`, at once when somebody waits for it, or when there is more to do and
    /// mail leaves time for it.
    pub(crate) async fn derive(
        &self,
        kind: Derived,
        puts: Vec<(Vec<u8>, Vec<u8>)>,
        forget: Vec<(Vec<u8>, Vec<u8>)>,
        consumer: &ConsumerName,
        next: u64,
        is_awaited: bool,
    ) -> Result<(), StoreError> {
        let cursor = CursorOp { key: cursor_key(consumer), value: Some(encode(&next)) };
        let is_urgent = is_awaited || next < self.head() && !self.is_mail_busy();
        let (answer, answered) = oneshot::channel();
        self.0.commit.push(Op::Derive(Box::new(DeriveOp {
            kind,
            puts,
            forget,
            cursor,
            is_urgent,
            answer,
        })))?;
        Ok(answered.await.map_err(|_| self.0.lost())??)
    }
}
