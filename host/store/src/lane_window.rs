//! What is known of one lane: which of its jobs wait in memory, and how far its shelves were read.

use baton_mail::UnixMs;
use baton_mail::fair::FairQueue;

use crate::format::{Due, JobKey};
use crate::schedule::{Entry, Job};
use crate::shelf::SHELVES;

/// So many fresh jobs go out before one that waited in the index.
const FRESH_IN_A_ROW_MAX: usize = 15;

/// A job that waits in memory. It is stale when it was taken out since: then its turn is not that of its mark.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) turn: u64,
    pub(crate) job: Job,
}

/// What is known of one lane.
#[derive(Debug)]
pub(crate) struct LaneWindow {
    /// They came a moment ago. Tenants and streams take turns.
    pub(crate) fresh: FairQueue<Waiting>,
    /// They came a moment ago too, and found no place: where the index has them.
    pub(crate) newcomers: FairQueue<(JobKey, Entry)>,
    /// Read ahead from the index. Tenants and streams take turns.
    pub(crate) read: FairQueue<Waiting>,
    /// Fresh jobs that were given out since one of the index was.
    pub(crate) fresh_in_a_row: usize,
    /// By their numbers.
    pub(crate) shelves: Box<[ShelfWindow; SHELVES]>,
    /// No entry of any shelf that is not taken is due before this.
    pub(crate) next_due: UnixMs,
    /// The number of the shelf that the next scan begins with.
    pub(crate) first_shelf: u8,
}

impl Default for LaneWindow {
    /// Nothing is known of the index yet.
    fn default() -> LaneWindow {
        LaneWindow {
            fresh: FairQueue::default(),
            newcomers: FairQueue::default(),
            read: FairQueue::default(),
            fresh_in_a_row: 0,
            shelves: Box::new([ShelfWindow::UNKNOWN; SHELVES]),
            next_due: UnixMs(0),
            first_shelf: 0,
        }
    }
}

/// How far one shelf was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShelfWindow {
    /// Where the next scan begins.
    pub(crate) cursor: Due,
    /// No entry that is not taken is due before this.
    pub(crate) next_due: UnixMs,
    /// While it is scanned: the lowest entry that was written since that began.
    pub(crate) lowest_since: Option<Due>,
}

impl ShelfWindow {
    const UNKNOWN: ShelfWindow = ShelfWindow { cursor: Due::FIRST, next_due: UnixMs(0), lowest_since: None };
}

impl LaneWindow {
    /// The turn of one that was read has come, whatever comes anew.
    pub(crate) fn is_read_owed(&self) -> bool {
        !self.read.is_empty() && self.fresh_in_a_row >= FRESH_IN_A_ROW_MAX
    }

    /// The numbers of the shelves that may have something due, each with where it is read on, beginning with `first_shelf`.
    pub(crate) fn due_shelves(&self, now: UnixMs) -> impl Iterator<Item = (u8, Due)> {
        let (before, from) = self.shelves.split_at(usize::from(self.first_shelf));
        let numbers = (self.first_shelf..=u8::MAX).chain(0..self.first_shelf);
        let due = move |(number, shelf): (u8, &ShelfWindow)| {
            (shelf.next_due <= now).then_some((number, shelf.cursor))
        };
        numbers.zip(from.iter().chain(before)).filter_map(due)
    }

    pub(crate) fn shelf_mut(&mut self, number: u8) -> &mut ShelfWindow {
        #[allow(clippy::indexing_slicing)] // There is a shelf for every number.
        &mut self.shelves[usize::from(number)]
    }
}
