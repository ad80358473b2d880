//! The store against a real RocksDB in a temporary folder.

mod accounts;
mod catalog;
mod claims;
pub(crate) mod crash;
mod damage;
mod feed;
mod fixture;
mod kv;
mod lanes;
mod load;
mod operators;
mod person;
mod queue;
mod sealed;
mod search;
mod shaping;
mod suppression;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::clock::ManualClock;
use baton_mail::event::{Event, What};
use baton_mail::status::Remote;
use baton_mail::{
    Body, EnhancedCode, Envelope, FailureClass, Lane, MessageId, Origin, Outcome, Phase, ReversePath, Status,
    UnixMs,
};
use bytes::Bytes;

use crate::database::Family;
use crate::format::{
    Due, DueRecord, FORMAT, FORMAT_CHANGED, FORMAT_LANES, FORMAT_SHELVES, JobRecord, decode, decode_due_key,
    decode_envelope, decode_job, decode_job_key, message_of, shelf_of_entry,
};
use crate::records::load_job;
use crate::{Claim, Filter, Metrics, NewJob, NewMessage, OpenError, Settlement, Store, StoreSettings};

/// When the tests' clocks begin.
const START: UnixMs = UnixMs(1_800_000_000_000);

/// A store with a clock that is moved by hand.
struct Bench {
    store: Store,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn open(path: &Path) -> Bench {
        Bench::try_open(settings(path)).expect("the store opens")
    }

    fn try_open(settings: StoreSettings) -> Result<Bench, OpenError> {
        let clock = Arc::new(ManualClock::new(START));
        let metrics = Arc::new(Metrics::default());
        let store = Store::open(settings, clock.clone(), Arc::clone(&metrics))?;
        Ok(Bench { store, clock, metrics })
    }

    /// All jobs of the queue.
    async fn jobs(&self) -> Vec<crate::JobView> {
        self.store.find(&Filter::default(), None, 1_000).await.expect("the queue is readable")
    }

    /// Everything claimable now.
    async fn claim_all(&self) -> Vec<Claim> {
        self.store.claim(1_000).await.expect("the queue is readable")
    }
}

fn settings(path: &Path) -> StoreSettings {
    StoreSettings {
        free_octets_min: 0,
        free_inodes_min: 0,
        sync_delay_ms: 5,
        write_buffer_octets: 4 << 20,
        chunk_octets: 64 << 10,
        ..StoreSettings::new(path)
    }
}

fn message(recipients: &[&str], body: &[u8]) -> NewMessage {
    message_at(START, recipients, body)
}

/// A message with one job for all recipients, due at once.
fn message_at(now: UnixMs, recipients: &[&str], body: &[u8]) -> NewMessage {
    let sender = ReversePath::Mailbox("sender@a.example".parse().expect("valid"));
    let id = MessageId::new(now);
    let mut envelope = Envelope::new(id, now, Duration::from_secs(86_400), sender, Origin::internal());
    for recipient in recipients {
        envelope.recipients.push(recipient.parse::<baton_mail::Mailbox>().expect("valid").into());
    }
    envelope.size = body.len() as u64;
    let accepted = What::Accepted {
        origin: Origin::internal(),
        sender: envelope.sender.clone(),
        recipients: envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
        size: envelope.size,
        decisions: Vec::new(),
    };
    NewMessage {
        jobs: vec![job("b.example", 0..recipients.len() as u16)],
        body: Body::from(Bytes::copy_from_slice(body)),
        events: vec![Event { message: id, at: now, what: accepted }],
        envelope,
    }
}

fn job(queue: &str, recipients: impl IntoIterator<Item = u16>) -> NewJob {
    NewJob { queue: queue.to_owned(), recipients: recipients.into_iter().collect(), due: START }
}

fn status(code: u8) -> Status {
    let remote = Remote::named("mx.b.example");
    Status::ours(Phase::Rcpt, FailureClass::Unknown, EnhancedCode(code, 0, 0), "as scripted").at(remote)
}

/// All recipients of the claim delivered.
fn delivered(claim: &Claim) -> Settlement {
    let outcome = |index: &u16| (*index, Outcome::Delivered(status(2)));
    Settlement {
        outcomes: claim.recipients.iter().map(outcome).collect(),
        count_attempt: true,
        ..Settlement::default()
    }
}

/// All recipients put off.
fn deferred(claim: &Claim, next_due: UnixMs) -> Settlement {
    let outcome = |index: &u16| (*index, Outcome::Deferred(status(4)));
    Settlement {
        outcomes: claim.recipients.iter().map(outcome).collect(),
        count_attempt: true,
        next_due: Some(next_due),
        ..Settlement::default()
    }
}

fn in_seconds(seconds: u64) -> UnixMs {
    START.plus(Duration::from_secs(seconds))
}

/// Runs a test on a runtime like the relay's.
fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

/// The rows of the README's table hold for every record: nothing points nowhere, nothing is left over.
fn assert_consistent(store: &Store) {
    let db = store.core().db().expect("the database is open");
    let all = |family: Family| {
        let mut entries = db.iterate(family, &[], None);
        entries.seek_to_first();
        let mut found = Vec::new();
        while let Some((key, value)) = entries.item() {
            let is_format =
                |octet: u8| [FORMAT, FORMAT_LANES, FORMAT_SHELVES, FORMAT_CHANGED].contains(&octet);
            assert!(
                is_format(key[0]) && is_format(value[0]),
                "every key and value begins with a format octet"
            );
            found.push((key.to_vec(), value.to_vec()));
            entries.next();
        }
        found
    };
    let mut chunks: HashMap<MessageId, u32> = HashMap::new();
    for (key, _) in all(Family::Body) {
        *chunks.entry(message_of(&key).expect("a body key")).or_default() += 1;
    }
    let mut messages = HashSet::new();
    for (key, value) in all(Family::Envelope) {
        let record = decode_envelope(&value).expect("a sound envelope");
        let message = message_of(&key).expect("an envelope key");
        assert_eq!(chunks.remove(&message).unwrap_or(0), record.chunks, "all chunks of {message}");
        messages.insert(message);
    }
    assert!(chunks.is_empty(), "bodies without message: {chunks:?}");
    let mut due = HashMap::new();
    for (key, value) in all(Family::Due) {
        let (shelf, Due { at, job }) = decode_due_key(&key).expect("a due key");
        let loaded = load_job(&db, job).expect("a sound job").expect("a job of the entry");
        assert_eq!(shelf, shelf_of_entry(loaded.shelf(), at), "a due entry is on the shelf of its job");
        decode::<DueRecord<'_>>(&value).expect("a sound due entry");
        assert!(messages.contains(&job.message), "a due entry without message");
        assert!(due.insert(job, at).is_none(), "two due entries of one job");
    }
    let with_job: HashSet<MessageId> = due.keys().map(|job| job.message).collect();
    assert_eq!(with_job, messages, "every message has a job");
    for (key, value) in all(Family::Job) {
        let record: JobRecord = decode_job(&value).expect("a sound job");
        let job = decode_job_key(&key).expect("a job key");
        assert_eq!(due.get(&job), Some(&record.due), "a job is where the due index says");
    }
}
