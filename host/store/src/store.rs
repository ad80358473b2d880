//! The handle: every operation of the queue, in the queue's own words.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use baton_mail::event::Event;
use baton_mail::{Body, Clock, Envelope, Mailbox, MessageId};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::accept::{Accepted, NewMessage, accept};
use crate::accounts::Accounts;
use crate::catalog::{Catalog, Tenants};
use crate::claim::{Claim, body, claim, content};
use crate::commit::{Action, Op};
use crate::core::Core;
use crate::error::{AcceptError, OpenError, Refusal, StoreError};
use crate::feed::{Facts, Feed, FeedState};
use crate::find::{Filter, Found, find};
use crate::format::{HistoryRecord, JobKey};
use crate::kv::Kv;
use crate::lane_room::LaneRoom;
use crate::look::{JobView, Summary, recent, story, summary};
use crate::metrics::Metrics;
use crate::operate::{Reached, operate};
use crate::parcel::{Arrived, MoveError, Movers, forget_moved, pack, unpack};
use crate::person::Person;
use crate::rollups::Rollups;
use crate::seal::BodyKeys;
use crate::search::{self, FoundMessage, FoundMessages, Indexer, SearchFilter};
use crate::settle::{Settlement, settle, split};
use crate::shaping::Measures;
use crate::slot::Slot;
use crate::suppression::{Hasher, Suppressions};
use crate::upkeep::{self, Stop};
use crate::watch::Watch;
use crate::{StoreSettings, catalog, commit};

/// How many queues a summary lists.
const SUMMARY_QUEUES: usize = 50;
/// How often whoever closes the store looks whether reading ahead is over.
const SCAN_PAUSE: Duration = Duration::from_millis(1);

/// The durable queue. Cheap to clone; the last handle to go closes it.
#[derive(Clone)]
pub struct Store {
    core: Arc<Core>,
    threads: Arc<Threads>,
}

/// The threads of a store. Dropped, they write what waits and end.
struct Threads {
    core: Arc<Core>,
    stop: Arc<Stop>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    fn end(&self) {
        self.stop.stop();
        self.core.commit.close();
        for thread in std::mem::take(&mut *self.running.lock()) {
            if thread.join().is_err() {
                tracing::error!(target: "store", "a thread of the store panicked");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

impl Store {
    /// Opens the store, or makes it. Reads no message: a queue of any length is open at once.
    pub fn open(
        settings: StoreSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Store, OpenError> {
        let slot = Slot::open(&settings)?;
        let path = settings.path.clone();
        let key =
            slot.get().map_err(|away| OpenError::Failed { path: path.clone(), cause: away.to_string() })?;
        let hasher = Hasher::new(&key.person_key(&path)?);
        drop(key);
        let feed = FeedState::load(&slot)
            .map_err(|cause| OpenError::Failed { path: path.clone(), cause: format!("its feed: {cause}") })?;
        let core = Arc::new(Core::new(settings, clock, metrics, slot, hasher, feed));
        let loaded = core.db().map_err(|away| away.to_string()).and_then(|db| core.catalog.tables.load(&db));
        loaded.map_err(|cause| OpenError::Failed { path: path.clone(), cause })?;
        let stop = Arc::new(Stop::default());
        let threads = Threads { core: Arc::clone(&core), stop, running: Mutex::default() };
        threads.start().map_err(|cause| OpenError::Failed { path, cause: cause.to_string() })?;
        Ok(Store { core, threads: Arc::new(threads) })
    }

    /// Takes a message. Returns after it is on disk; then, and only then, say 250.
    pub async fn accept(&self, message: NewMessage) -> Result<Accepted, AcceptError> {
        accept(&self.core, message, &[]).await
    }

    /// As [`Store::accept`], with records of the catalog that are written in the same batch, whatever is there.
    pub async fn accept_with(
        &self,
        message: NewMessage,
        records: &[catalog::Edit],
    ) -> Result<Accepted, AcceptError> {
        accept(&self.core, message, records).await
    }

    /// Remembers events that change nothing in the queue. They ride on the next sync.
    pub async fn record(&self, events: Vec<Event>) {
        self.record_encoded(self.core.encode_events(&events)).await;
    }

    /// As [`Store::record`], for a message that is not in the queue: its envelope tells whose events they are.
    pub async fn record_of(&self, envelope: &Envelope, events: Vec<Event>) {
        let facts = Facts::of_envelope(envelope);
        self.record_encoded(self.core.encode_events_with(envelope.id, &facts, &events)).await;
    }

    async fn record_encoded(&self, records: Vec<HistoryRecord>) {
        let octets = records.iter().map(|record| record.value.len() as u64).sum();
        if let Ok(room) = self.core.commit.room(octets).await {
            // Refused only when the store is closed, and then nobody asks for history.
            let _ = self.core.commit.push(Op::Record(records, room));
        }
    }

    /// Tells of all that happens from now on, when it is on disk. So many records may wait to be taken; beyond them the
    /// oldest are dropped, and counted.
    pub fn watch(&self, records_max: usize) -> Watch {
        self.core.watchers.add(records_max)
    }

    /// All that happens, in one order, from where a reader left off: on disk, and for as long as `events_days`.
    pub fn feed(&self) -> Feed {
        Feed::new(Arc::clone(&self.core))
    }

    /// Whether mail can be taken now: for MAIL, so that a client does not send for nothing. Cheap.
    pub fn check_space(&self) -> Result<(), Refusal> {
        self.core.check_space()
    }

    /// Jobs in the queue, in whatever state. Shortly after a start it is too low: they are being counted.
    pub fn jobs(&self) -> u64 {
        u64::try_from(self.core.metrics.jobs.get()).unwrap_or(0)
    }

    /// Jobs that are due and in nobody's hands, as many as there is room for. The lanes take turns; in each, fresh ones
    /// with their bodies come first.
    pub async fn claim(&self, room: impl Into<LaneRoom>) -> Result<Vec<Claim>, StoreError> {
        claim(&self.core, room.into()).await
    }

    /// Returns when something may be claimable: at once, after an accept, a settle or an operator's word, or when
    /// the next job is due.
    pub async fn wait_for_work(&self) {
        self.wait_for_work_in(usize::MAX.into()).await;
    }

    /// As [`Store::wait_for_work`], but only for the lanes that have room.
    pub async fn wait_for_work_in(&self, room: LaneRoom) {
        self.core.schedule.wait(room).await;
    }

    /// Makes [`Store::wait_for_work`] look at the clock again: for clocks that are moved by hand.
    pub fn poke(&self) {
        self.core.schedule.wake();
    }

    /// The body of a message in the queue. When it is damaged, hold or fail its jobs: it will not get better.
    pub async fn body(&self, message: MessageId) -> Result<Body, StoreError> {
        body(&self.core, message).await
    }

    /// A number that these keys give to another key than those in use.
    pub fn body_key_conflict(&self, keys: &BodyKeys) -> Option<u32> {
        keys.conflict(&self.core.body_keys.load())
    }

    /// Seals by other keys from now on; what was sealed before is opened by those of them that sealed it.
    pub fn set_body_keys(&self, keys: BodyKeys) {
        self.core.body_keys.store(Arc::new(keys));
    }

    /// The content of a message that is in the queue, or left it and is kept.
    ///
    /// # Errors
    /// When it is not there any more, or can not be read.
    pub async fn content(&self, message: MessageId) -> Result<Body, StoreError> {
        content(&self.core, message).await
    }

    /// What is kept of a person, in all mail or in that of one tenant.
    pub fn person(&self, address: Mailbox, tenant: Option<String>) -> Person {
        Person::new(self.clone(), Arc::clone(&self.core), address, tenant)
    }

    /// Makes several jobs of one, because its recipients part ways. `groups` are exactly the claim's recipients; the
    /// claims come back in their order. Rides on the next sync: after a crash before it, it is one job again.
    pub async fn split(&self, claim: Claim, groups: Vec<Vec<u16>>) -> Result<Vec<Claim>, StoreError> {
        split(&self.core, claim, groups)
    }

    /// Takes the outcome of an attempt. Returns when it is queued for the next sync, which comes at most
    /// `sync_delay_ms` later; a crash before it repeats the delivery.
    pub async fn settle(&self, claim: Claim, settlement: Settlement) -> Result<(), StoreError> {
        settle(&self.core, claim, settlement).await
    }

    /// Does what an operator wants to the jobs that match; to all of them, however long that takes. One that is being
    /// delivered is changed when it is not done after that. Returns how many jobs were reached.
    pub async fn operate(&self, action: Action, filter: &Filter, by: &str) -> Result<usize, StoreError> {
        operate(&self.core, action, filter, by, None, None).await.map(|reached| reached.jobs)
    }

    /// As [`Store::operate`], on jobs after `after`, for about so long.
    pub async fn operate_for(
        &self,
        action: Action,
        filter: &Filter,
        by: &str,
        after: Option<JobKey>,
        budget: Duration,
    ) -> Result<Reached, StoreError> {
        operate(&self.core, action, filter, by, after, Some(budget)).await
    }

    /// Makes the jobs wait for an operator.
    pub async fn hold(&self, filter: &Filter, by: &str) -> Result<usize, StoreError> {
        self.operate(Action::Hold, filter, by).await
    }

    /// Lets held jobs go on, at once.
    pub async fn release(&self, filter: &Filter, by: &str) -> Result<usize, StoreError> {
        self.operate(Action::Release, filter, by).await
    }

    /// Makes waiting jobs due now. Held ones stay held.
    pub async fn retry(&self, filter: &Filter, by: &str) -> Result<usize, StoreError> {
        self.operate(Action::Retry, filter, by).await
    }

    /// Removes jobs without a report.
    pub async fn remove(&self, filter: &Filter, by: &str) -> Result<usize, StoreError> {
        self.operate(Action::Remove, filter, by).await
    }

    /// Holds all that is left of a message, and packs it for another relay's [`Store::take_moved`].
    ///
    /// # Errors
    /// When it is not in the queue, or in the hands of delivery.
    pub async fn pack(&self, message: MessageId, movers: Movers) -> Result<Bytes, MoveError> {
        pack(&self.core, message, movers).await
    }

    /// Takes what another relay packed. It is on disk when this returns; what came before is known.
    ///
    /// # Errors
    /// When it makes no sense, or the queue can not take it.
    pub async fn take_moved(&self, octets: Bytes) -> Result<Arrived, MoveError> {
        unpack(&self.core, octets).await
    }

    /// Forgets a message that was packed and that the other relay has. Returns how many jobs left the queue.
    ///
    /// # Errors
    /// When it is not in the queue, or in the hands of delivery.
    pub async fn forget_moved(&self, message: MessageId, movers: Movers) -> Result<usize, MoveError> {
        forget_moved(&self.core, message, movers).await
    }

    /// Jobs that match, ordered by key, after `after`; at most `limit`.
    pub async fn find(
        &self,
        filter: &Filter,
        after: Option<JobKey>,
        limit: usize,
    ) -> Result<Vec<JobView>, StoreError> {
        find(&self.core, filter, after, limit, None).await.map(|found| found.jobs)
    }

    /// As [`Store::find`], for about so long, and tells where to go on.
    pub async fn find_for(
        &self,
        filter: &Filter,
        after: Option<JobKey>,
        limit: usize,
        budget: Duration,
    ) -> Result<Found, StoreError> {
        find(&self.core, filter, after, limit, Some(budget)).await
    }

    /// Counts by state, and the longest queues.
    pub async fn summary(&self) -> Result<Summary, StoreError> {
        summary(&self.core, SUMMARY_QUEUES).await
    }

    /// All that happened to a message, oldest first; also after it left the queue.
    pub async fn story(&self, message: MessageId) -> Result<Vec<Event>, StoreError> {
        story(&self.core, message).await
    }

    /// The newest messages, newest first, each with its first event.
    pub async fn recent(&self, limit: usize) -> Result<Vec<(MessageId, Event)>, StoreError> {
        recent(&self.core, limit).await
    }

    /// A message with what is known of it and its story; none when nothing is known of it.
    pub async fn message(&self, message: MessageId) -> Result<Option<FoundMessage>, StoreError> {
        search::one(&self.core, message).await
    }

    /// Messages that match, newest first, also after they left the queue; older than `older_than`, where an answer before
    /// ended. Looks at so much only, so an answer may be empty and still say where to go on.
    pub async fn search(
        &self,
        filter: SearchFilter,
        older_than: Option<MessageId>,
        limit: usize,
    ) -> Result<FoundMessages, StoreError> {
        search::search(&self.core, filter, older_than, limit).await
    }

    /// Sums over time.
    pub fn rollups(&self) -> Rollups {
        Rollups::new(Arc::clone(&self.core))
    }

    /// Writes the index that [`Store::search`] looks into. One at a time.
    pub async fn indexer(&self) -> Result<Indexer, StoreError> {
        Indexer::open(&self.core).await
    }

    /// The key-value store in the same database.
    pub fn kv(&self) -> Kv {
        Kv::new(Arc::clone(&self.core))
    }

    /// What holds mail back for a while, by rules or operators.
    pub fn measures(&self) -> Measures {
        Measures::new(Arc::clone(&self.core))
    }

    /// To whom no mail is sent.
    pub fn suppression(&self) -> Suppressions {
        Suppressions::new(Arc::clone(&self.core))
    }

    /// The accounts in the same database.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(Arc::clone(&self.core))
    }

    /// The small records of operators and the API in the same database.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(Arc::clone(&self.core))
    }

    /// Tenants, streams and tokens of the catalog, in memory.
    pub fn tenants(&self) -> Tenants {
        Tenants::new(Arc::clone(&self.core))
    }

    /// What the handles share, for tests that look at records.
    #[cfg(test)]
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Writes what waits, syncs, and ends the threads. Other handles find the store closed.
    pub async fn close(self) {
        let threads = Arc::clone(&self.threads);
        // A panic of a thread is logged where it is joined.
        let _ = tokio::task::spawn_blocking(move || {
            threads.end();
            // Whoever reads ahead has the folder's lock as well.
            while threads.core.schedule.lock().is_scanning() {
                std::thread::sleep(SCAN_PAUSE);
            }
        })
        .await;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("path", &self.core.settings.path).finish_non_exhaustive()
    }
}

impl Threads {
    /// Starts both threads. Returns when the state at start is pinned for counting.
    fn start(&self) -> std::io::Result<()> {
        let core = Arc::clone(&self.core);
        let commit =
            std::thread::Builder::new().name("store-commit".to_owned()).spawn(move || commit::run(&core))?;
        self.running.lock().push(commit);
        let (core, stop) = (Arc::clone(&self.core), Arc::clone(&self.stop));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let upkeep = std::thread::Builder::new().name("store-upkeep".to_owned()).spawn(move || {
            let is_pinned = || {
                // Nobody listens only when the store failed to open.
                let _ = ready.send(());
            };
            upkeep::run(&core, &stop, is_pinned);
        })?;
        self.running.lock().push(upkeep);
        // Without an answer the thread is gone, and joining it tells why.
        let _ = is_ready.recv();
        Ok(())
    }
}
