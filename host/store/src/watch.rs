//! Telling others what happened, when it is on disk: off the way of the mail, and bounded.
//!
//! A watch is memory: what was not taken when the process ends, or does not fit, is not told again. The history has it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use baton_mail::event::Event;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::feed::Pointer;
use crate::format::decode_history;

/// All that happens from now on, as it is written. Whoever is slow loses the oldest, never holds up a write.
pub struct Watch(Arc<Waiting>);

struct Waiting {
    records: Mutex<VecDeque<Bytes>>,
    records_max: usize,
    missed: AtomicU64,
    added: Notify,
}

/// Those who watch.
#[derive(Default)]
pub(crate) struct Watchers {
    waiting: Mutex<Vec<Weak<Waiting>>>,
    /// So that a store which nobody watches does nothing for it.
    any: AtomicBool,
}

impl Watchers {
    /// One more, for which so many records may wait.
    pub(crate) fn add(&self, records_max: usize) -> Watch {
        let waiting = Arc::new(Waiting {
            records: Mutex::default(),
            records_max,
            missed: AtomicU64::new(0),
            added: Notify::new(),
        });
        self.waiting.lock().push(Arc::downgrade(&waiting));
        self.any.store(true, Ordering::Release);
        Watch(waiting)
    }

    /// True when records are to be told.
    fn are_there(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Tells of records that are on disk now.
    pub(crate) fn tell(&self, records: &[(Pointer, Bytes)]) {
        if records.is_empty() || !self.are_there() {
            return;
        }
        let mut waiting = self.waiting.lock();
        waiting.retain(|one| one.upgrade().map(|one| one.add(records)).is_some());
        self.any.store(!waiting.is_empty(), Ordering::Release);
    }
}

impl Waiting {
    fn add(&self, records: &[(Pointer, Bytes)]) {
        let mut waiting = self.records.lock();
        waiting.extend(records.iter().map(|(_, record)| record.clone()));
        let over = waiting.len().saturating_sub(self.records_max);
        waiting.drain(..over);
        drop(waiting);
        self.missed.fetch_add(over as u64, Ordering::Relaxed);
        self.added.notify_one();
    }
}

impl Watch {
    /// What happened since the last call, in order; waits for something to happen.
    pub async fn next(&mut self) -> Vec<Event> {
        loop {
            let added = self.0.added.notified();
            let records = std::mem::take(&mut *self.0.records.lock());
            if records.is_empty() {
                added.await;
                continue;
            }
            // They were encoded a moment ago; one that can not be read is missing in the history too, which says so.
            return records
                .iter()
                .filter_map(|record| decode_history(record).ok())
                .flat_map(|(_, events)| events)
                .collect();
        }
    }

    /// Records that found no room since the beginning.
    pub fn missed(&self) -> u64 {
        self.0.missed.load(Ordering::Relaxed)
    }
}
