//! Reading what the queue holds of a message.

use std::sync::Arc;

use baton_mail::{Body, Envelope, MessageId};
use bytes::Bytes;

use crate::change::Changes;
use crate::database::{Database, Family};
use crate::format::{
    self, JobKey, JobRecord, JobSeed, KeptRecord, body_key, decode_chunks, decode_job, envelope_key, is_held,
    job_key, kept_key,
};
use crate::schedule::Job;
use crate::seal::{BodyKeys, OpenFailure};

/// Why a record could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The record is there and makes no sense, or is missing although another one points to it.
    Damaged(Damage),
    /// The database could not be read, which says nothing about the record.
    Unreadable(String),
}

/// A record that has to be set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) message: MessageId,
    pub(crate) family: &'static str,
    pub(crate) key: Vec<u8>,
    pub(crate) detail: String,
}

/// A message with its jobs as they began.
pub(crate) struct Loaded {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) chunks: u32,
    pub(crate) seeds: Vec<JobSeed>,
}

/// The message, when it is in the queue.
pub(crate) fn load_envelope(db: &Database, message: MessageId) -> Result<Option<Loaded>, ReadError> {
    let key = envelope_key(message);
    match read(db, Family::Envelope, message, &key)? {
        Some(value) => decode_envelope(message, &value).map(Some),
        None => Ok(None),
    }
}

/// The message in a value of the `envelope` family.
pub(crate) fn decode_envelope(message: MessageId, value: &[u8]) -> Result<Loaded, ReadError> {
    let record = format::decode_envelope(value)
        .map_err(|detail| damaged(message, Family::Envelope, &envelope_key(message), detail))?;
    Ok(Loaded { envelope: Arc::new(record.envelope), chunks: record.chunks, seeds: record.jobs })
}

/// The job, when it is in the queue. The caller knows that the due index has it.
pub(crate) fn load_job(db: &Database, key: JobKey) -> Result<Option<Job>, ReadError> {
    let Some(loaded) = load_envelope(db, key.message)? else { return Ok(None) };
    let octets = job_key(key);
    match read(db, Family::Job, key.message, &octets)? {
        Some(value) => {
            let record =
                decode_job(&value).map_err(|detail| damaged(key.message, Family::Job, &octets, detail))?;
            Ok(Some(stored_job(key, record, &loaded)))
        }
        None => Ok(loaded.seeds.iter().find(|seed| seed.job == key.job).map(|seed| first_job(seed, &loaded))),
    }
}

/// The body of a message of which the envelope is there. With `cached`, `None` when only the disk can tell.
pub(crate) fn load_body(
    db: &Database,
    keys: &BodyKeys,
    message: MessageId,
    cached: bool,
) -> Result<Option<Body>, ReadError> {
    let get = |family, key: &[u8]| -> Result<Option<Option<Bytes>>, ReadError> {
        let found = if cached { db.get_cached(family, key) } else { db.get(family, key).map(Some) };
        match found {
            Ok(found) => Ok(found.map(|value| value.map(|value| Bytes::copy_from_slice(&value)))),
            Err(cause) => Err(unreadable(message, family, key, cause)),
        }
    };
    let key = envelope_key(message);
    let Some(envelope) = get(Family::Envelope, &key)? else { return Ok(None) };
    let value = envelope.ok_or_else(|| damaged(message, Family::Envelope, &key, "missing".to_owned()))?;
    let chunks = decode_chunks(&value).map_err(|detail| damaged(message, Family::Envelope, &key, detail))?;
    if cached && chunks > 1 {
        return Ok(None);
    }
    read_chunks(keys, message, chunks, |key| get(Family::Body, key))
}

/// The content of a message in the queue, or of one that left it and is kept; none when it is gone.
pub(crate) fn load_content(
    db: &Database,
    keys: &BodyKeys,
    message: MessageId,
) -> Result<Option<Body>, ReadError> {
    let key = envelope_key(message);
    let chunks = match read(db, Family::Envelope, message, &key)? {
        Some(value) => {
            decode_chunks(&value).map_err(|detail| damaged(message, Family::Envelope, &key, detail))?
        }
        None => match read(db, Family::Meta, message, &kept_key(message))? {
            Some(value) => {
                let kept = format::decode_owned::<KeptRecord>(&value);
                kept.map_err(|detail| damaged(message, Family::Meta, &kept_key(message), detail))?.chunks
            }
            None => return Ok(None),
        },
    };
    read_chunks(keys, message, chunks, |key| {
        let found =
            db.get(Family::Body, key).map_err(|cause| unreadable(message, Family::Body, key, cause))?;
        Ok(Some(found.map(|value| Bytes::copy_from_slice(&value))))
    })
}

/// The pieces of a body; none when one of them is not in memory and should be.
fn read_chunks(
    keys: &BodyKeys,
    message: MessageId,
    chunks: u32,
    get: impl Fn(&[u8]) -> Result<Option<Option<Bytes>>, ReadError>,
) -> Result<Option<Body>, ReadError> {
    let mut body = Body::default();
    for chunk in 0..chunks {
        let key = body_key(message, chunk);
        let Some(found) = get(&key)? else { return Ok(None) };
        let piece = found.ok_or_else(|| damaged(message, Family::Body, &key, "missing".to_owned()))?;
        match keys.open(&key, piece) {
            Ok(content) => body.push(content),
            Err(OpenFailure::Damaged(cause)) => return Err(damaged(message, Family::Body, &key, cause)),
            // The message is sound: it waits for its key.
            Err(OpenFailure::NoKey(number)) => {
                let cause = format!("its body is sealed by key {number}, which store.body_keys_file lacks");
                return Err(ReadError::Unreadable(cause));
            }
            Err(OpenFailure::WrongKey(number)) => {
                let cause = format!(
                    "key {number} of store.body_keys_file does not open its body: another key had that number"
                );
                return Err(ReadError::Unreadable(cause));
            }
        }
    }
    Ok(Some(body))
}

/// A job as its record tells.
pub(crate) fn stored_job(key: JobKey, record: JobRecord, loaded: &Loaded) -> Job {
    Job {
        key,
        due: record.due,
        envelope: record.changes.applied(&loaded.envelope),
        chunks: loaded.chunks,
        recipients: record.recipients,
        queue: record.queue,
        attempt: record.attempt,
        last: record.last,
        hold: record.hold,
        delay_told: record.delay_told,
        changes: record.changes,
        shared: record.shared,
        stored: true,
        body: None,
    }
}

/// A job that did not change since its message was accepted.
pub(crate) fn first_job(seed: &JobSeed, loaded: &Loaded) -> Job {
    Job {
        key: JobKey { message: loaded.envelope.id, job: seed.job },
        due: seed.due,
        envelope: Arc::clone(&loaded.envelope),
        chunks: loaded.chunks,
        recipients: seed.recipients.clone(),
        queue: seed.queue.clone(),
        attempt: 0,
        last: None,
        hold: loaded.envelope.hold.clone().filter(|_| is_held(seed.due)),
        delay_told: false,
        changes: Changes::default(),
        shared: false,
        stored: false,
        body: None,
    }
}

fn read(
    db: &Database,
    family: Family,
    message: MessageId,
    key: &[u8],
) -> Result<Option<impl std::ops::Deref<Target = [u8]>>, ReadError> {
    db.get(family, key).map_err(|cause| unreadable(message, family, key, cause))
}

/// A checksum error is damage of this record; anything else is a fault of the disk.
fn unreadable(message: MessageId, family: Family, key: &[u8], cause: String) -> ReadError {
    if cause.starts_with("Corruption") {
        damaged(message, family, key, cause)
    } else {
        ReadError::Unreadable(cause)
    }
}

pub(crate) fn damaged(message: MessageId, family: Family, key: &[u8], detail: String) -> ReadError {
    let detail = format!("{} record: {detail}", family.name());
    ReadError::Damaged(Damage { message, family: family.name(), key: key.to_vec(), detail })
}
