//! How records look in the database: keys sort as the queue needs them, values begin with a format octet.

use baton_mail::event::Event;
use baton_mail::{Envelope, MessageId, Status, UnixMs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The octet that every key and every value begins with.
pub(crate) const FORMAT: u8 = 1;
/// The format of the whole database, in the `meta` family.
pub(crate) const DATABASE_FORMAT: u32 = 1;
/// Later than every moment.
pub(crate) const NEVER: UnixMs = UnixMs(u64::MAX);
/// Due times from here on belong to jobs that wait for an operator; the bits below tell when they expire.
const HELD_FROM: u64 = 1 << 63;

/// The due time of a job that waits for an operator, at most until `expires_at`: it sorts behind all others.
pub(crate) fn held_until(expires_at: UnixMs) -> UnixMs {
    UnixMs(HELD_FROM | expires_at.0)
}

/// True for the due time of a job that waits for an operator.
pub(crate) fn is_held(due: UnixMs) -> bool {
    due.0 >= HELD_FROM
}

/// A due time that no held job has.
pub(crate) fn not_held(due: UnixMs) -> UnixMs {
    UnixMs(due.0.min(HELD_FROM - 1))
}

/// Where the held jobs begin that expired before `now`, and where they end.
pub(crate) fn expired_held_range(now: UnixMs) -> (DueKey, DueKey) {
    let first = JobKey { message: MessageId::from_octets([0; 16]), job: 0 };
    (due_key(UnixMs(HELD_FROM), first), due_key(held_until(now), first))
}

/// Names one job of one message: its recipients go out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// The message.
    pub message: MessageId,
    /// The job: the least recipient index that it began with, so unique without counting.
    pub job: u16,
}

/// Key of a message in the `envelope` family.
pub(crate) fn envelope_key(message: MessageId) -> [u8; 17] {
    let mut key = [FORMAT; 17];
    key[1..].copy_from_slice(&message.to_octets());
    key
}

/// Key of one chunk in the `body` family.
pub(crate) fn body_key(message: MessageId, chunk: u32) -> [u8; 21] {
    let mut key = [FORMAT; 21];
    key[1..17].copy_from_slice(&message.to_octets());
    key[17..].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// Key of one job in the `job` family.
pub(crate) fn job_key(job: JobKey) -> [u8; 19] {
    let mut key = [FORMAT; 19];
    key[1..17].copy_from_slice(&job.message.to_octets());
    key[17..].copy_from_slice(&job.job.to_be_bytes());
    key
}

/// A key of the `due` family: time, message, job.
pub(crate) type DueKey = [u8; 27];

/// The first key of the `due` family.
pub(crate) const DUE_START: DueKey = {
    let mut key = [0; 27];
    key[0] = FORMAT;
    key
};

/// Key of one job in the `due` family.
pub(crate) fn due_key(due: UnixMs, job: JobKey) -> DueKey {
    let mut key = [FORMAT; 27];
    key[1..9].copy_from_slice(&due.0.to_be_bytes());
    key[9..25].copy_from_slice(&job.message.to_octets());
    key[25..].copy_from_slice(&job.job.to_be_bytes());
    key
}

/// Reads a key of the `due` family.
pub(crate) fn decode_due_key(key: &[u8]) -> Option<(UnixMs, JobKey)> {
    let key: &DueKey = key.try_into().ok()?;
    let (_, rest) = key.split_first_chunk::<1>()?;
    let (due, rest) = rest.split_first_chunk::<8>()?;
    let (message, job) = rest.split_first_chunk::<16>()?;
    let job = u16::from_be_bytes(job.try_into().ok()?);
    Some((UnixMs(u64::from_be_bytes(*due)), JobKey { message: MessageId::from_octets(*message), job }))
}

/// Key of a record in the `history` family. `number` tells records of one millisecond apart.
pub(crate) fn history_key(message: MessageId, at: UnixMs, number: u32) -> [u8; 29] {
    let mut key = [FORMAT; 29];
    key[1..17].copy_from_slice(&message.to_octets());
    key[17..25].copy_from_slice(&at.0.to_be_bytes());
    key[25..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The message that an `envelope`, `body`, `job` or `history` key belongs to.
pub(crate) fn message_of(key: &[u8]) -> Option<MessageId> {
    let id = key.get(1..17)?;
    Some(MessageId::from_octets(id.try_into().ok()?))
}

/// The job that a `job` key names.
pub(crate) fn decode_job_key(key: &[u8]) -> Option<JobKey> {
    let job = key.get(17..19)?;
    Some(JobKey { message: message_of(key)?, job: u16::from_be_bytes(job.try_into().ok()?) })
}

/// The key behind all keys that begin with `prefix`; none when there is no such key.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// Key of a record that was set aside: where it was, then its key there.
pub(crate) fn corrupt_key(family: &str, key: &[u8]) -> Vec<u8> {
    let mut aside = vec![FORMAT, u8::try_from(family.len()).unwrap_or(u8::MAX)];
    aside.extend_from_slice(family.as_bytes());
    aside.extend_from_slice(key);
    aside
}

/// Key of the mark that a body is being written ahead, in the `meta` family.
pub(crate) fn partial_key(message: MessageId) -> Vec<u8> {
    [&[FORMAT], PARTIAL_PREFIX, &message.to_octets()].concat()
}

/// What the marks of bodies written ahead begin with, after the format octet.
pub(crate) const PARTIAL_PREFIX: &[u8] = b"partial:";
/// Key of the database's format in the `meta` family.
pub(crate) const FORMAT_KEY: &[u8] = b"\x01format";

/// Key that is written to learn whether a disk that was full takes writes again.
pub(crate) const PROBE_KEY: &[u8] = b"\x01probe";

/// A job as it was when its message was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobSeed {
    pub(crate) job: u16,
    pub(crate) due: UnixMs,
    pub(crate) recipients: Vec<u16>,
    pub(crate) queue: String,
}

/// Value of the `envelope` family, for writing.
#[derive(Serialize)]
pub(crate) struct EnvelopeRecordRef<'a> {
    pub(crate) chunks: u32,
    pub(crate) jobs: &'a [JobSeed],
    pub(crate) envelope: &'a Envelope,
}

/// Value of the `envelope` family: the message, and its jobs as they began.
#[derive(Debug, Deserialize)]
pub(crate) struct EnvelopeRecord {
    pub(crate) chunks: u32,
    pub(crate) jobs: Vec<JobSeed>,
    pub(crate) envelope: Envelope,
}

/// Value of the `job` family. A message with one job has no such record until the job changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    /// True when the message has or had several jobs: then each job has a record, and the last one that ends
    /// takes the message with it.
    pub(crate) shared: bool,
    pub(crate) due: UnixMs,
    pub(crate) attempt: u16,
    pub(crate) recipients: Vec<u16>,
    pub(crate) queue: String,
    pub(crate) last: Option<Status>,
    pub(crate) hold: Option<String>,
}

/// Value of the `due` family: what a summary needs without reading the message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DueRecord<'a> {
    pub(crate) size: u64,
    pub(crate) queue: &'a str,
}

/// Events of one message as one record of the `history` family.
pub(crate) struct HistoryRecord {
    pub(crate) key: [u8; 29],
    pub(crate) value: Vec<u8>,
}

/// Format octet, then the record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut value = Vec::with_capacity(256);
    value.push(FORMAT);
    postcard::to_extend(record, value).expect("records hold nothing that postcard can not write")
}

/// The record behind the format octet, or what is wrong with it.
pub(crate) fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, String> {
    match value.split_first() {
        Some((&FORMAT, record)) => postcard::from_bytes(record).map_err(|error| error.to_string()),
        Some((format, _)) => Err(format!("format octet {format}")),
        None => Err("empty".to_owned()),
    }
}

/// As [`decode`], for records that own all they hold.
pub(crate) fn decode_owned<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    decode(value)
}

/// The number of chunks in an `envelope` value, without reading the rest.
pub(crate) fn decode_chunks(value: &[u8]) -> Result<u32, String> {
    match value.split_first() {
        Some((&FORMAT, record)) => {
            postcard::take_from_bytes(record).map(|(chunks, _)| chunks).map_err(|error| error.to_string())
        }
        _ => Err("format octet".to_owned()),
    }
}

/// Groups `events` by message into records. `number` counts the records of this process.
pub(crate) fn encode_events(events: &[Event], mut number: impl FnMut() -> u32) -> Vec<HistoryRecord> {
    events
        .chunk_by(|one, next| one.message == next.message)
        .filter_map(|same| {
            let first = same.first()?;
            let key = history_key(first.message, first.at, number());
            Some(HistoryRecord { key, value: encode(&same) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_sort_by_time_then_message_then_job() {
        let message = MessageId::new(UnixMs(5));
        let key = |due, job| due_key(UnixMs(due), JobKey { message, job });
        assert!(
            key(1, 9) < key(2, 0)
                && key(2, 0) < key(2, 1)
                && key(2, 1) < due_key(held_until(UnixMs(0)), JobKey { message, job: 0 })
        );
        assert_eq!(decode_due_key(&key(7, 3)), Some((UnixMs(7), JobKey { message, job: 3 })));
        assert_eq!(decode_due_key(b"short"), None);
    }

    #[test]
    fn a_value_of_another_format_is_refused() {
        let mut value = encode(&DueRecord { size: 1, queue: "a" });
        assert!(decode::<DueRecord>(&value).is_ok());
        value[0] = 9;
        assert!(decode::<DueRecord>(&value).unwrap_err().contains('9'));
        assert!(decode::<DueRecord>(&[]).is_err());
    }

    #[test]
    fn the_key_after_a_prefix_carries() {
        assert_eq!(after_prefix(b"a"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(&[1, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255]), None);
    }
}
