//! The only way into the database: operations wait here, one thread writes all that wait as one batch, with one
//! sync, and then answers all of them. While it syncs, the next group gathers.

mod batch;
mod group;
mod operation;
mod recovery;

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

pub(crate) use group::run;
pub use operation::Action;
pub(crate) use operation::{
    AcceptOp, AccountOp, Answer, CatalogOp, ChunkOp, Message, MessageJob, Op, OperateOp, SettleOp, SplitOp,
    SuppressOp, held_by,
};

/// Lazy operations that are written at once when so many wait: their memory is bounded, too.
const LAZY_OPERATIONS_MAX: usize = 2_000;
/// Operations in one group: bounds how long the first of them waits for the last.
const GROUP_OPERATIONS_MAX: usize = 4_000;

/// The operations that wait, and the thread's bed.
pub(crate) struct CommitQueue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    room: Semaphore,
    room_kib: u32,
}

#[derive(Default)]
struct Waiting {
    ops: VecDeque<Op>,
    /// Some of them are waited for, so no time is to be lost.
    urgent: bool,
    /// There are entries of the key-value store to be written.
    kv: bool,
    bed: Bed,
    closed: bool,
}

/// How the thread sleeps.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Bed {
    #[default]
    Awake,
    /// Until something lazy or urgent comes.
    Idle,
    /// Until something urgent comes or the lazy ones waited long enough.
    Dozing,
}

/// The store was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl CommitQueue {
    /// A queue that holds operations of about `octets_max` in all.
    pub(crate) fn new(octets_max: usize) -> CommitQueue {
        let room_kib = u32::try_from((octets_max >> 10).clamp(64, 1 << 24)).unwrap_or(1 << 24);
        CommitQueue {
            waiting: Mutex::new(Waiting::default()),
            wake: Condvar::new(),
            room: Semaphore::new(room_kib as usize),
            room_kib,
        }
    }

    /// Waits until there is room for `octets`; returns the room taken, to be given back with the operation.
    pub(crate) async fn room(&self, octets: u64) -> Result<Room, Closed> {
        let kib = u32::try_from((octets >> 10) + 1).unwrap_or(u32::MAX).min(self.room_kib / 2);
        let permit = match self.room.try_acquire_many(kib) {
            Ok(permit) => permit,
            Err(_) => self.room.acquire_many(kib).await.map_err(|_| Closed)?,
        };
        permit.forget();
        Ok(Room { kib })
    }

    /// Gives back the room of operations that are done.
    fn give_back(&self, kib: usize) {
        self.room.add_permits(kib);
    }

    /// Puts an operation into the queue.
    pub(crate) fn push(&self, op: Op) -> Result<(), Closed> {
        let urgent = op.is_urgent();
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            drop(waiting);
            self.give_back(op.room_kib());
            return Err(Closed);
        }
        waiting.ops.push_back(op);
        waiting.urgent |= urgent || waiting.ops.len() >= LAZY_OPERATIONS_MAX;
        self.rouse(waiting);
        Ok(())
    }

    /// There are entries of the key-value store to be written.
    pub(crate) fn push_kv(&self) {
        let mut waiting = self.waiting.lock();
        if !waiting.kv {
            waiting.kv = true;
            self.rouse(waiting);
        }
    }

    /// Wakes the thread when it sleeps more deeply than what waits allows.
    fn rouse(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>) {
        let rouse = match waiting.bed {
            Bed::Awake => false,
            Bed::Idle => true,
            Bed::Dozing => waiting.urgent || waiting.closed,
        };
        if rouse {
            waiting.bed = Bed::Awake;
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// No more operations are taken; what waits is still written, then the thread ends.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        self.room.close();
        self.rouse(waiting);
    }

    /// Gives back the room of an operation that is not needed any more.
    pub(crate) fn give_back_room(&self, room: &Room) {
        self.give_back(room.kib());
    }

    /// For the thread: the next group, when it is time for one. `None` after the last one.
    fn take(&self, delay: Duration) -> Option<Vec<Op>> {
        let mut waiting = self.waiting.lock();
        while !waiting.urgent && !waiting.closed {
            if waiting.ops.is_empty() && !waiting.kv {
                waiting.bed = Bed::Idle;
                self.wake.wait(&mut waiting);
            } else {
                waiting.bed = Bed::Dozing;
                if self.wake.wait_for(&mut waiting, delay).timed_out() {
                    break;
                }
            }
        }
        waiting.bed = Bed::Awake;
        if waiting.closed && waiting.ops.is_empty() && !waiting.kv {
            return None;
        }
        let count = waiting.ops.len().min(GROUP_OPERATIONS_MAX);
        let group: Vec<Op> = waiting.ops.drain(..count).collect();
        waiting.urgent = waiting.ops.iter().any(Op::is_urgent);
        waiting.kv = false;
        Some(group)
    }
}

/// Room in the queue that an operation takes.
#[derive(Debug, Default)]
pub(crate) struct Room {
    kib: u32,
}

impl Room {
    /// In KiB.
    fn kib(&self) -> usize {
        self.kib as usize
    }
}
