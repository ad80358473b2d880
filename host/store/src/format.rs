//! How records look in the database: keys sort as the queue needs them, values begin with a format octet.

use baton_mail::event::Event;
use baton_mail::requests::{MessageRequests, RecipientRequests};
use baton_mail::{Envelope, Lane, MessageId, Status, UnixMs};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::change::Changes;
use crate::feed::Facts;
use crate::shelf::Shelf;

/// The octet that every key and every value begins with, but for those that came with the lanes.
pub(crate) const FORMAT: u8 = 1;
/// The octet of what came with the lanes: keys of the due index outside the normal lane.
pub(crate) const FORMAT_LANES: u8 = 2;
/// The octet of a piece of a body that is sealed: see [`crate::BodyKeys`].
pub(crate) const FORMAT_SEALED: u8 = 6;
/// The octet of a job that an operator changed: the changes stand before the record.
pub(crate) const FORMAT_CHANGED: u8 = 4;
/// The octet of a record of the history that begins with what is known of its message.
pub(crate) const FORMAT_FACTS: u8 = 5;
/// The octet of keys of the due index on shelves of tenants and streams.
pub(crate) const FORMAT_SHELVES: u8 = 7;
/// The format of the whole database, in the `meta` family. 1 knew no lanes: a program of that time would pass over
/// entries of the due index that it does not understand. 2 knew no requests of senders: such a program would deliver
/// without heeding them. Either must refuse to open a database that may have some.
/// 3 knew no changes of operators to a job: such a program would send by another next hop than the one they chose.
/// 4 knew no shelves: such a program would pass over the mail of tenants and streams.
pub(crate) const DATABASE_FORMAT: u32 = 5;
/// The oldest format that is understood: all its jobs are of the normal lane, and nothing was asked for.
pub(crate) const DATABASE_FORMAT_MIN: u32 = 1;
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

/// Where the held jobs begin that expired before `now`, and where they end: they are all on one shelf.
pub(crate) fn expired_held_range(now: UnixMs) -> (DueKey, DueKey) {
    let key = |due| due_key(Shelf::HELD, due, JobKey::FIRST);
    (key(UnixMs(HELD_FROM)), key(held_until(now)))
}

/// Names one job of one message: its recipients go out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// The message.
    pub message: MessageId,
    /// The job: the least recipient index that it began with, so unique without counting.
    pub job: u16,
}

impl JobKey {
    /// Not behind any other.
    pub(crate) const FIRST: JobKey = JobKey { message: MessageId::from_octets([0; 16]), job: 0 };

    /// The least key behind this one.
    pub(crate) fn next(self) -> JobKey {
        match self.job.checked_add(1) {
            Some(job) => JobKey { job, ..self },
            None => JobKey { message: self.message.next(), job: 0 },
        }
    }
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

/// A place on a shelf of the due index: entries are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) at: UnixMs,
    pub(crate) job: JobKey,
}

impl Due {
    /// Not behind any other.
    pub(crate) const FIRST: Due = Due { at: UnixMs(0), job: JobKey::FIRST };

    /// The least place behind this one.
    pub(crate) fn next(self) -> Due {
        Due { job: self.job.next(), ..self }
    }
}

/// A key of the `due` family: time, message, job; before these what tells the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DueKey {
    octets: [u8; DUE_KEY_OCTETS_MAX],
    len: usize,
}

/// Format, lane, shelf, time, message, job.
const DUE_KEY_OCTETS_MAX: usize = 1 + 1 + 1 + DUE_OCTETS;
/// Time, message, job.
const DUE_OCTETS: usize = 8 + 16 + 2;

impl std::ops::Deref for DueKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// The shelf of an entry's key. Held jobs are all on one.
pub(crate) fn shelf_of_entry(shelf: Shelf, due: UnixMs) -> Shelf {
    if is_held(due) { Shelf::HELD } else { shelf }
}

/// Key of one job in the `due` family.
pub(crate) fn due_key(shelf: Shelf, due: UnixMs, job: JobKey) -> DueKey {
    let mut octets = [0; DUE_KEY_OCTETS_MAX];
    let shelf = shelf_prefix(shelf_of_entry(shelf, due));
    let parts: [&[u8]; 4] = [&shelf, &due.0.to_be_bytes(), &job.message.to_octets(), &job.job.to_be_bytes()];
    let mut len = 0;
    for octet in parts.into_iter().flatten() {
        if let Some(place) = octets.get_mut(len) {
            *place = *octet;
            len += 1;
        }
    }
    DueKey { octets, len }
}

/// What the keys of a shelf begin with: those of nobody's mail as they were before there were shelves, and lanes.
pub(crate) fn shelf_prefix(shelf: Shelf) -> SmallPrefix {
    let lane = lane_octet(shelf.lane);
    match shelf {
        Shelf { lane: Lane::Normal, number: 0 } => SmallPrefix::from_slice(&[FORMAT]),
        Shelf { number: 0, .. } => SmallPrefix::from_slice(&[FORMAT_LANES, lane]),
        Shelf { number, .. } => SmallPrefix::from_slice(&[FORMAT_SHELVES, lane, number]),
    }
}

/// Three octets at most.
pub(crate) type SmallPrefix = SmallVec<[u8; 3]>;

fn lane_octet(lane: Lane) -> u8 {
    match lane {
        Lane::High => 0,
        Lane::Normal => 1,
        Lane::Low => 2,
    }
}

/// Reads a key of the `due` family.
pub(crate) fn decode_due_key(key: &[u8]) -> Option<(Shelf, Due)> {
    let (prefix, due) = key.split_at_checked(key.len().checked_sub(DUE_OCTETS)?)?;
    let (lane, number) = match prefix {
        [FORMAT] => (lane_octet(Lane::Normal), 0),
        [FORMAT_LANES, lane] => (*lane, 0),
        [FORMAT_SHELVES, lane, number] => (*lane, *number),
        _ => return None,
    };
    let lane = Lane::ALL.into_iter().find(|known| lane_octet(*known) == lane)?;
    let (at, rest) = due.split_first_chunk::<8>()?;
    let (message, job) = rest.split_first_chunk::<16>()?;
    let job = u16::from_be_bytes(job.try_into().ok()?);
    let job = JobKey { message: MessageId::from_octets(*message), job };
    Some((Shelf { lane, number }, Due { at: UnixMs(u64::from_be_bytes(*at)), job }))
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
/// Key of the mark that the due index of an older format is being put on shelves, in the `meta` family.
pub(crate) const RESHELVING_KEY: &[u8] = b"\x01reshelving";

/// Key of the mark that content is kept after its message left the queue, in the `meta` family.
pub(crate) fn kept_key(message: MessageId) -> Vec<u8> {
    [&[FORMAT], KEPT_PREFIX, &message.to_octets()].concat()
}

/// What the marks of kept content begin with, after the format octet.
pub(crate) const KEPT_PREFIX: &[u8] = b"kept:";

/// Value of such a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptRecord {
    /// Until then.
    pub(crate) until: UnixMs,
    /// How many pieces it has.
    pub(crate) chunks: u32,
}

/// Key of the mark how far the addresses of a stream's mail, or of all other mail, are hidden, in the `meta` family.
pub(crate) fn retention_key(stream: Option<(Option<&str>, &str)>) -> Vec<u8> {
    let (tenant, name) = stream.map_or((None, ""), |(tenant, name)| (tenant, name));
    // Names have no slash.
    format!("\u{1}hidden:{}/{name}", tenant.unwrap_or_default()).into_bytes()
}

/// Key of the secret by which addresses are hashed, in the `meta` family.
pub(crate) const PERSON_KEY_KEY: &[u8] = b"\x01person-key";

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

/// Value of the `envelope` family: the message, and its jobs as they began. The envelope is the last field, and its
/// priority the last of that: records of earlier versions end before it. Behind it stands what the sender asked for,
/// where that is anything.
#[derive(Debug, Deserialize)]
pub(crate) struct EnvelopeRecord {
    pub(crate) chunks: u32,
    pub(crate) jobs: Vec<JobSeed>,
    pub(crate) envelope: Envelope,
}

/// What the sender asked for: of the message, and of recipients by their index; and whether its content is binary.
#[derive(Debug, Serialize, Deserialize)]
struct RequestsRecord {
    message: MessageRequests,
    recipients: Vec<(u16, RecipientRequests)>,
    /// Left out where it is false.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "false_when_missing")]
    binary: bool,
}

impl RequestsRecord {
    /// None when nothing was asked for and the content is made of lines.
    fn of(envelope: &Envelope) -> Option<RequestsRecord> {
        let recipients: Vec<_> = (0..)
            .zip(&envelope.recipients)
            .filter_map(|(index, recipient)| Some((index, recipient.requests.as_deref()?.clone())))
            .collect();
        let message = envelope.requests.clone();
        let is_empty = message.is_empty() && recipients.is_empty() && !envelope.binary;
        (!is_empty).then_some(RequestsRecord { message, recipients, binary: envelope.binary })
    }

    fn put_back(self, envelope: &mut Envelope) {
        envelope.requests = self.message;
        envelope.binary = self.binary;
        for (index, requests) in self.recipients {
            if let Some(recipient) = envelope.recipients.get_mut(usize::from(index)) {
                recipient.requests = Some(Box::new(requests));
            }
        }
    }
}

/// The value of a message in the `envelope` family.
pub(crate) fn encode_envelope(record: &EnvelopeRecordRef<'_>) -> Vec<u8> {
    let value = encode(record);
    match RequestsRecord::of(record.envelope) {
        Some(requests) => postcard::to_extend(&requests, value).expect("postcard can write requests"),
        None => value,
    }
}

/// The message in a value of the `envelope` family, or what is wrong with it.
pub(crate) fn decode_envelope(value: &[u8]) -> Result<EnvelopeRecord, String> {
    let record = strip_format(value)?;
    let (mut record, rest) =
        postcard::take_from_bytes::<EnvelopeRecord>(record).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        let requests: RequestsRecord = postcard::from_bytes(rest).map_err(|error| error.to_string())?;
        requests.put_back(&mut record.envelope);
    }
    Ok(record)
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
    /// The sender was told that it is late. Left out where it is false, as in records of earlier versions.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "false_when_missing")]
    pub(crate) delay_told: bool,
    /// What operators changed. Kept before the record, and only when it is anything.
    #[serde(skip)]
    pub(crate) changes: Changes,
}

/// The value of a job in the `job` family.
pub(crate) fn encode_job(record: &JobRecord) -> Vec<u8> {
    if record.changes.is_empty() {
        return encode(record);
    }
    let value = postcard::to_extend(&record.changes, vec![FORMAT_CHANGED])
        .and_then(|value| postcard::to_extend(record, value));
    value.expect("records hold nothing that postcard can not write")
}

/// The job in a value of the `job` family, or what is wrong with it.
pub(crate) fn decode_job(value: &[u8]) -> Result<JobRecord, String> {
    let Some((&FORMAT_CHANGED, rest)) = value.split_first() else { return decode(value) };
    let (changes, rest) = postcard::take_from_bytes::<Changes>(rest).map_err(|error| error.to_string())?;
    let record: JobRecord = postcard::from_bytes(rest).map_err(|error| error.to_string())?;
    Ok(JobRecord { changes, ..record })
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The last field of a record; false where the record ends before it.
fn false_when_missing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(bool::deserialize(deserializer).unwrap_or(false))
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
    pub(crate) value: Bytes,
}

/// Format octet, then the record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut value = Vec::with_capacity(256);
    value.push(FORMAT);
    postcard::to_extend(record, value).expect("records hold nothing that postcard can not write")
}

/// The record behind the format octet, or what is wrong with it.
pub(crate) fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, String> {
    postcard::from_bytes(strip_format(value)?).map_err(|error| error.to_string())
}

/// What stands behind the format octet, when it is one that is known.
pub(crate) fn strip_format(value: &[u8]) -> Result<&[u8], String> {
    match value.split_first() {
        Some((&FORMAT, record)) => Ok(record),
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

/// Groups `events` by message into records; those of `about` begin with what is known of it. `number` counts the records
/// of this process.
pub(crate) fn encode_events(
    events: &[Event],
    about: Option<(MessageId, &Facts)>,
    mut number: impl FnMut() -> u32,
) -> Vec<HistoryRecord> {
    events
        .chunk_by(|one, next| one.message == next.message)
        .filter_map(|same| {
            let first = same.first()?;
            let key = history_key(first.message, first.at, number());
            let facts = about.filter(|(message, _)| *message == first.message).map(|(_, facts)| facts);
            Some(HistoryRecord { key, value: encode_history(facts, same).into() })
        })
        .collect()
}

pub(crate) fn encode_history(facts: Option<&Facts>, events: &[Event]) -> Vec<u8> {
    let Some(facts) = facts else { return encode(&events) };
    let mut value = Vec::with_capacity(512);
    value.push(FORMAT_FACTS);
    let facts = postcard::to_stdvec(facts).expect("facts hold nothing that postcard can not write");
    postcard::to_extend(&(facts.as_slice(), events), value)
        .expect("events hold nothing that postcard can not write")
}

/// The events of a record of the history, with what is known of the message where the record has it; or what is wrong.
pub(crate) fn decode_history(value: &[u8]) -> Result<(Option<Facts>, Vec<Event>), String> {
    let Some((&FORMAT_FACTS, record)) = value.split_first() else {
        return decode_owned(value).map(|events| (None, events));
    };
    let read = || {
        let (facts, events) = postcard::from_bytes::<(&[u8], Vec<Event>)>(record)?;
        // Facts have a length of their own, so that later ones can have more fields.
        Ok((Some(postcard::from_bytes(facts)?), events))
    };
    read().map_err(|error: postcard::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_of_a_shelf_sort_by_time_then_message_then_job() {
        let message = MessageId::new(UnixMs(5));
        for shelf in Lane::ALL.into_iter().flat_map(Shelf::all_of) {
            let due = |at, job| Due { at: UnixMs(at), job: JobKey { message, job } };
            let key = |due: Due| due_key(shelf, due.at, due.job).to_vec();
            let dues = [due(1, 9), due(1, 10), due(2, 0), due(2, 1), due(2, u16::MAX), due(3, 0)];
            assert!(dues.is_sorted() && dues.map(key).is_sorted());
            for due in dues {
                assert_eq!(decode_due_key(&key(due)), Some((shelf, due)));
                assert!(due < due.next() && key(due) < key(due.next()));
                assert!(key(due).starts_with(&shelf_prefix(shelf)));
            }
            let held = due_key(shelf, held_until(UnixMs(9)), JobKey::FIRST);
            assert!(matches!(decode_due_key(&held), Some((Shelf::HELD, _))), "held jobs are in one range");
        }
        assert_eq!((decode_due_key(b"short"), decode_due_key(&[])), (None, None));
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
    fn an_envelope_of_before_priorities_has_none() {
        let (now, lifetime) = (UnixMs(5), std::time::Duration::from_secs(1));
        let sender = baton_mail::ReversePath::Null;
        let mut envelope =
            Envelope::new(MessageId::new(now), now, lifetime, sender, baton_mail::Origin::internal());
        envelope.priority = -9;
        let mut value = encode_envelope(&EnvelopeRecordRef { chunks: 1, jobs: &[], envelope: &envelope });
        assert_eq!(decode_envelope(&value).unwrap().envelope, envelope);
        value.pop();
        let read = decode_envelope(&value).unwrap().envelope;
        assert_eq!(read, Envelope { priority: 0, ..envelope });
    }

    #[test]
    fn requests_stand_behind_the_envelope_and_are_whole_or_damaged() {
        let (now, lifetime) = (UnixMs(5), std::time::Duration::from_secs(1));
        let sender = baton_mail::ReversePath::Null;
        let mut envelope =
            Envelope::new(MessageId::new(now), now, lifetime, sender, baton_mail::Origin::internal());
        envelope.requests.envelope_id = Some("QQ+2B314".parse().unwrap());
        for address in ["a@b.example", "c@d.example"] {
            envelope.recipients.push(address.parse::<baton_mail::Mailbox>().unwrap().into());
        }
        let notify = Some("SUCCESS,DELAY".parse().unwrap());
        let original = Some("rfc822;alias@b.example".parse().unwrap());
        envelope.recipients[1].requests = Some(Box::new(RecipientRequests { notify, original }));
        let value = encode_envelope(&EnvelopeRecordRef { chunks: 1, jobs: &[], envelope: &envelope });
        assert_eq!(decode_envelope(&value).unwrap().envelope, envelope);
        assert!(
            decode_envelope(&value[..value.len() - 1]).is_err(),
            "a damaged record is no record without them"
        );
    }

    #[test]
    fn a_job_of_before_delay_reports_has_told_of_none() {
        let record = |delay_told| JobRecord {
            shared: false,
            due: UnixMs(5),
            attempt: 2,
            recipients: vec![0],
            queue: "b.example".to_owned(),
            last: None,
            hold: None,
            delay_told,
            changes: Changes::default(),
        };
        let (before, after) = (encode(&record(false)), encode(&record(true)));
        assert_eq!(after.len(), before.len() + 1, "it is left out where it is false");
        assert_eq!(decode_owned::<JobRecord>(&before), Ok(record(false)));
        assert_eq!(decode_owned::<JobRecord>(&after), Ok(record(true)));
    }

    #[test]
    fn the_key_after_a_prefix_carries() {
        assert_eq!(after_prefix(b"a"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(&[1, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255]), None);
    }
}
