//! What the handles, the commit thread and the upkeep thread share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use baton_mail::event::Event;
use baton_mail::{Clock, MessageId};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::StoreSettings;
use crate::accounts::AccountState;
use crate::catalog::CatalogState;
use crate::census::Census;
use crate::commit::{Closed, CommitQueue, Op};
use crate::database::{Database, Family, WriteError};
use crate::error::{AcceptError, KvError, Refusal, StoreError};
use crate::feed::{Facts, FeedState};
use crate::format::{HistoryRecord, JobKey, body_key, due_key, encode_events};
use crate::kv::KvState;
use crate::memory::BodyMemory;
use crate::metrics::Metrics;
use crate::records::{Damage, ReadError};
use crate::schedule::{Entry, Job, Schedule};
use crate::seal::BodyKeys;
use crate::search::IndexState;
use crate::shaping::MeasureState;
use crate::slot::{Away, Slot};
use crate::space::{Health, Space};
use crate::suppression::{Hasher, SuppressionState};
use crate::watch::Watchers;

/// The store without its threads.
pub(crate) struct Core {
    pub(crate) settings: StoreSettings,
    /// Keys by which bodies are sealed; those of the settings until others are set.
    pub(crate) body_keys: ArcSwap<BodyKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) slot: Slot,
    pub(crate) commit: CommitQueue,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) memory: Arc<BodyMemory>,
    pub(crate) space: Space,
    pub(crate) health: Health,
    pub(crate) kv: KvState,
    pub(crate) watchers: Watchers,
    pub(crate) feed: FeedState,
    pub(crate) index: IndexState,
    pub(crate) accounts: AccountState,
    pub(crate) catalog: CatalogState,
    pub(crate) census: Census,
    pub(crate) measures: MeasureState,
    pub(crate) suppressions: SuppressionState,
    /// Hashes addresses by this store's own key.
    pub(crate) hasher: Arc<Hasher>,
    /// Held while a message from another relay is taken.
    pub(crate) moves: tokio::sync::Mutex<()>,
    numbers: AtomicU32,
}

impl Core {
    /// Around an open database.
    pub(crate) fn new(
        settings: StoreSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        slot: Slot,
        hasher: Hasher,
        feed: FeedState,
    ) -> Core {
        Core {
            body_keys: ArcSwap::from_pointee(settings.body_keys.clone()),
            commit: CommitQueue::new(settings.commit_octets_max),
            schedule: Schedule::new(
                settings.claimed_max,
                settings.lane_weights,
                settings.backlog_per_s,
                Arc::clone(&clock),
                Arc::clone(&metrics),
            ),
            memory: BodyMemory::new(settings.memory_body_octets_max),
            space: Space::default(),
            health: Health::default(),
            kv: KvState::new(settings.kv_octets_per_bucket_max, settings.kv_pending_octets_max),
            watchers: Watchers::default(),
            feed,
            index: IndexState::default(),
            accounts: AccountState::default(),
            catalog: CatalogState::default(),
            census: Census::default(),
            measures: MeasureState::default(),
            suppressions: SuppressionState::default(),
            hasher: Arc::new(hasher),
            moves: tokio::sync::Mutex::default(),
            numbers: AtomicU32::new(0),
            settings,
            clock,
            metrics,
            slot,
        }
    }

    /// The database, while it is open. Let go of it soon.
    pub(crate) fn db(&self) -> Result<Arc<Database>, Away> {
        self.slot.get()
    }

    /// From now on nothing is written until a restart.
    pub(crate) fn poison(&self, cause: &str) {
        self.health.set_poisoned(cause);
        self.metrics.poisoned.set(1);
    }

    /// Tells history records of one millisecond apart.
    pub(crate) fn next_number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Events as records.
    pub(crate) fn encode_events(&self, events: &[Event]) -> Vec<HistoryRecord> {
        encode_events(events, None, || self.next_number())
    }

    /// Events as records; those of `message` with what is known of it.
    pub(crate) fn encode_events_with(
        &self,
        message: MessageId,
        facts: &Facts,
        events: &[Event],
    ) -> Vec<HistoryRecord> {
        encode_events(events, Some((message, facts)), || self.next_number())
    }

    /// Whether mail can be taken now.
    pub(crate) fn check_space(&self) -> Result<(), Refusal> {
        let now = self.clock.now();
        self.health.check(now, self.settings.write_deadline_ms)?;
        let (octets, inodes) =
            self.space.free(&self.settings.path, now, || self.db().map_or(0, |db| db.owed_octets()));
        self.metrics.disk_free_octets.set(self.space.reported_octets());
        self.metrics.memory_body_octets.set(i64::try_from(self.memory.octets()).unwrap_or(i64::MAX));
        if octets < self.settings.free_octets_min || inodes < self.settings.free_inodes_min {
            return Err(Refusal::DiskFull);
        }
        Ok(())
    }

    /// Waits until all that was asked for before is in the database, as far as the disk takes it.
    pub(crate) async fn barrier(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.commit.push(Op::Barrier(answer))?;
        answered.await.map_err(|_| self.lost())
    }

    /// A piece of a body as it is written: sealed, where there are keys.
    pub(crate) fn sealed(&self, message: MessageId, chunk: u32, value: Bytes) -> Bytes {
        self.body_keys.load().seal(&body_key(message, chunk), value)
    }

    /// Why an operation got no answer.
    pub(crate) fn lost(&self) -> StoreError {
        if self.health.is_poisoned() {
            StoreError::Poisoned(self.health.poison())
        } else {
            StoreError::Closed
        }
    }

    /// True when the due index has the job where it says.
    pub(crate) fn is_due_entry(&self, job: &Job) -> bool {
        let key = due_key(job.shelf(), job.due, job.key);
        self.db().is_ok_and(|db| matches!(db.get(Family::Due, &key), Ok(Some(_))))
    }

    /// Has a damaged record set aside, with the entry of the due index that led to it.
    pub(crate) fn set_aside_later(&self, damage: Damage, entry: Option<(JobKey, Entry)>) {
        tracing::error!(target: "store", message = %damage.message, detail = damage.detail, "a record is damaged");
        // When the store is closed, the next start meets the record again.
        let _ = self.commit.push(Op::SetAside(damage, entry));
    }

    /// Has the chunks of a message deleted that was not accepted.
    pub(crate) fn drop_chunks_later(&self, message: MessageId, chunks_ahead: u32) {
        if chunks_ahead > 0 {
            // When the store is closed, the next start finds them by their mark.
            let _ = self.commit.push(Op::DropChunks(message));
        }
    }

    /// An error of reading, for the caller; damage is set aside.
    pub(crate) fn read_failed(&self, error: ReadError) -> StoreError {
        match error {
            ReadError::Damaged(damage) => {
                let detail = damage.detail.clone();
                self.set_aside_later(damage, None);
                StoreError::Damaged(detail)
            }
            ReadError::Unreadable(cause) => StoreError::Unreadable(cause),
        }
    }
}

impl From<Closed> for StoreError {
    fn from(_: Closed) -> StoreError {
        StoreError::Closed
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> StoreError {
        match error {
            WriteError::Failed(cause) => StoreError::Poisoned(cause),
            WriteError::DiskFull => StoreError::Unreadable("the disk is full".to_owned()),
            WriteError::Stalled => StoreError::Unreadable("the disk is too slow".to_owned()),
        }
    }
}

impl From<Away> for StoreError {
    fn from(away: Away) -> StoreError {
        StoreError::Unreadable(away.to_string())
    }
}

impl From<Away> for KvError {
    fn from(away: Away) -> KvError {
        KvError::Unavailable(away.to_string())
    }
}

impl From<Away> for ReadError {
    fn from(away: Away) -> ReadError {
        ReadError::Unreadable(away.to_string())
    }
}

impl From<Closed> for AcceptError {
    fn from(_: Closed) -> AcceptError {
        AcceptError::Closed
    }
}

impl From<WriteError> for AcceptError {
    fn from(error: WriteError) -> AcceptError {
        match error {
            WriteError::Stalled => AcceptError::Stalled,
            WriteError::DiskFull => AcceptError::DiskFull,
            WriteError::Failed(cause) => AcceptError::Poisoned(cause),
        }
    }
}
