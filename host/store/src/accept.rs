//! Taking responsibility for a message: `250` leaves only after the synced write.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::event::Event;
use baton_mail::{Body, EnhancedCode, Envelope, MessageId, Reply, Status, UnixMs};
use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::catalog::{self, Edit};
use crate::change::Changes;
use crate::commit::{AcceptOp, ChunkOp, Message, MessageJob, Op};
use crate::core::Core;
use crate::error::AcceptError;
use crate::feed::Facts;
use crate::format::{
    EnvelopeRecordRef, FORMAT, JobRecord, JobSeed, encode_envelope, encode_job, held_until, is_held, not_held,
};
use crate::shelf::Shelf;

/// A message to be taken into the queue.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Who, to whom, how. With `hold`, all jobs wait for an operator.
    pub envelope: Envelope,
    /// The content with our own trace fields.
    pub body: Body,
    /// What goes out together. Each recipient is in exactly one job.
    pub jobs: Vec<NewJob>,
    /// What to remember of how it came in; written in the same batch.
    pub events: Vec<Event>,
}

/// Recipients that go out together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// The scheduled queue: usually the recipients' domain.
    pub queue: String,
    /// Indexes into the envelope's recipients; at least one.
    pub recipients: Vec<u16>,
    /// When the first attempt is due.
    pub due: UnixMs,
}

/// What a job has behind it that comes from another relay.
pub(crate) struct Past {
    pub(crate) attempt: u16,
    pub(crate) last: Option<Status>,
    pub(crate) hold: Option<String>,
    pub(crate) delay_told: bool,
    pub(crate) changes: Changes,
}

/// Proof that a message is on disk. The only way to the 250 reply.
#[derive(Debug)]
#[must_use = "the client waits for the reply"]
pub struct Accepted {
    id: MessageId,
}

impl Accepted {
    /// The message's name.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// `250 2.0.0 queued as ID`.
    pub fn reply(&self) -> Reply {
        Reply::new(250, EnhancedCode(2, 0, 0), format!("queued as {}", self.id))
    }
}

/// Accepts, with a deadline, and with records of the catalog that come with it.
pub(crate) async fn accept(
    core: &Core,
    message: NewMessage,
    records: &[Edit],
) -> Result<Accepted, AcceptError> {
    let deadline = Duration::from_millis(core.settings.write_deadline_ms);
    // The commit thread itself gives up at the deadline; one that hangs in the disk gets as long again.
    in_time(core, 2 * deadline, accept_in_time(core, message, Vec::new(), records)).await
}

/// As [`accept`], when jobs have something behind them: for each of them, in their order.
pub(crate) async fn take(
    core: &Core,
    message: NewMessage,
    pasts: Vec<Past>,
) -> Result<Accepted, AcceptError> {
    let deadline = Duration::from_millis(core.settings.write_deadline_ms);
    in_time(core, 2 * deadline, accept_in_time(core, message, pasts, &[])).await
}

async fn in_time(
    core: &Core,
    patience: Duration,
    accepted: impl Future<Output = Result<Accepted, AcceptError>>,
) -> Result<Accepted, AcceptError> {
    let result = match core.check_space() {
        Ok(()) => tokio::time::timeout(patience, accepted).await,
        Err(refusal) => Ok(Err(refusal.into())),
    };
    let result = result.unwrap_or(Err(AcceptError::Stalled));
    if result.is_err() {
        core.metrics.refused.inc();
    }
    result
}

async fn accept_in_time(
    core: &Core,
    message: NewMessage,
    pasts: Vec<Past>,
    records: &[Edit],
) -> Result<Accepted, AcceptError> {
    let id = message.envelope.id;
    let record_octets = RECORD_OCTETS + records.iter().map(Edit::octets).sum::<u64>();
    let octets = message.body.len() + record_octets;
    let chunk_octets = core.settings.chunk_octets;
    let mut written_ahead = WrittenAhead { core, message: id, chunks: 0 };
    let mut chunks = Chunks::new(&message.body, chunk_octets);
    while chunks.left > chunk_octets as u64 {
        let value = core.sealed(id, written_ahead.chunks, chunks.next_value());
        let (answer, answered) = oneshot::channel();
        let room = core.commit.room(value.len() as u64).await?;
        let chunk = written_ahead.chunks;
        written_ahead.chunks += 1;
        core.commit.push(Op::Chunk(ChunkOp { message: id, chunk, value, answer, room }))?;
        answered.await.map_err(|_| AcceptError::Closed)??;
    }
    let mut message = encode_message(core, message, pasts, written_ahead.chunks)?;
    message.records = catalog::encode(core, records).0;
    let (answer, answered) = oneshot::channel();
    let room = core.commit.room(octets.min(chunk_octets as u64 + record_octets)).await?;
    core.commit.push(Op::Accept(AcceptOp { message, answer, room }))?;
    // From here on the commit thread looks after them.
    written_ahead.chunks = 0;
    answered.await.map_err(|_| AcceptError::Closed)??;
    Ok(Accepted { id })
}

/// Chunks of a message that is not accepted yet; dropped, they are deleted.
struct WrittenAhead<'a> {
    core: &'a Core,
    message: MessageId,
    chunks: u32,
}

impl Drop for WrittenAhead<'_> {
    fn drop(&mut self) {
        self.core.drop_chunks_later(self.message, self.chunks);
    }
}

/// About what envelope, due entry and history of a message take.
const RECORD_OCTETS: u64 = 1_024;

/// Encodes a message of which `ahead` chunks are written already.
pub(crate) fn encode_message(
    core: &Core,
    message: NewMessage,
    pasts: Vec<Past>,
    ahead: u32,
) -> Result<Message, AcceptError> {
    let NewMessage { envelope, body, jobs, events } = message;
    let seeds = seeds(&envelope, jobs, &pasts)?;
    let mut chunks = Chunks::new(&body, core.settings.chunk_octets);
    chunks.skip(u64::from(ahead) * core.settings.chunk_octets as u64);
    let mut pieces = Vec::with_capacity(1);
    while chunks.left > 0 {
        let chunk = ahead.saturating_add(u32::try_from(pieces.len()).unwrap_or(u32::MAX));
        pieces.push(core.sealed(envelope.id, chunk, chunks.next_value()));
    }
    let count = ahead + u32::try_from(pieces.len()).map_err(|_| AcceptError::Unschedulable("too large"))?;
    let record = encode_envelope(&EnvelopeRecordRef { chunks: count, jobs: &seeds, envelope: &envelope });
    let envelope = Arc::new(envelope);
    let is_due = seeds.iter().any(|seed| !is_held(seed.due));
    let shared = seeds.len() > 1;
    let hold = envelope.hold.clone();
    let mut pasts = pasts.into_iter();
    let job = |seed: JobSeed| {
        let past = pasts.next();
        let is_fresh = past.is_none();
        let fresh = || Past {
            attempt: 0,
            last: None,
            hold: hold.clone().filter(|_| is_held(seed.due)),
            delay_told: false,
            changes: Changes::default(),
        };
        let record = (shared || !is_fresh).then(|| {
            let Past { attempt, last, hold, delay_told, changes } = past.unwrap_or_else(fresh);
            let (recipients, queue) = (seed.recipients.clone(), seed.queue.clone());
            JobRecord { shared, due: seed.due, attempt, recipients, queue, last, hold, delay_told, changes }
        });
        let changed = record.as_ref().map(|record| record.changes.applied(&envelope));
        let shelf = Shelf::of(changed.as_ref().unwrap_or(&envelope));
        MessageJob { shelf, is_fresh, record: record.as_ref().map(encode_job), seed, reserved: false }
    };
    Ok(Message {
        id: envelope.id,
        record,
        chunks: count,
        chunks_ahead: ahead,
        pieces,
        jobs: seeds.into_iter().map(job).collect(),
        history: core.encode_events_with(envelope.id, &Facts::of(&envelope, &body), &events),
        records: Vec::new(),
        held: if is_due { core.memory.keep(&body) } else { None },
        envelope,
    })
}

/// Names the jobs by their least recipient, and checks that no recipient is in two.
fn seeds(envelope: &Envelope, jobs: Vec<NewJob>, pasts: &[Past]) -> Result<Vec<JobSeed>, AcceptError> {
    let mut seen = vec![false; envelope.recipients.len()];
    let seed = |(number, job): (usize, NewJob)| {
        for recipient in &job.recipients {
            match seen.get_mut(usize::from(*recipient)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(AcceptError::Unschedulable("a recipient is unknown or in two jobs")),
            }
        }
        let least =
            job.recipients.iter().min().ok_or(AcceptError::Unschedulable("a job has no recipient"))?;
        // What is due after its end is reported at its end.
        let end = envelope.given_up_at();
        let waits = pasts.get(number).map_or(envelope.hold.is_some(), |past| past.hold.is_some());
        let due = if waits { held_until(end) } else { not_held(job.due.min(end)) };
        Ok(JobSeed { job: *least, due, recipients: job.recipients, queue: job.queue })
    };
    let seeds = jobs.into_iter().enumerate().map(seed).collect::<Result<Vec<_>, _>>()?;
    if seeds.is_empty() { Err(AcceptError::Unschedulable("there is no job")) } else { Ok(seeds) }
}

/// Cuts a body into values of the `body` family.
struct Chunks<'a> {
    pieces: std::slice::Iter<'a, Bytes>,
    current: Bytes,
    left: u64,
    chunk_octets: usize,
}

impl<'a> Chunks<'a> {
    fn new(body: &'a Body, chunk_octets: usize) -> Chunks<'a> {
        Chunks { pieces: body.pieces().iter(), current: Bytes::new(), left: body.len(), chunk_octets }
    }

    /// Passes over octets that were written already.
    fn skip(&mut self, mut octets: u64) {
        while octets > 0 {
            let piece = self.take(usize::try_from(octets).unwrap_or(usize::MAX));
            if piece.is_empty() {
                return;
            }
            octets -= piece.len() as u64;
        }
    }

    /// The next chunk behind a format octet.
    fn next_value(&mut self) -> Bytes {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.chunk_octets);
        let mut value = BytesMut::with_capacity(len + 1);
        value.put_u8(FORMAT);
        while value.len() <= len {
            let piece = self.take(len + 1 - value.len());
            if piece.is_empty() {
                break;
            }
            value.put_slice(&piece);
        }
        value.freeze()
    }

    /// Up to `octets` of what is left of the current piece.
    fn take(&mut self, octets: usize) -> Bytes {
        while self.current.is_empty() {
            match self.pieces.next() {
                Some(piece) => self.current = piece.clone(),
                None => return Bytes::new(),
            }
        }
        let piece = self.current.split_to(octets.min(self.current.len()));
        self.left -= piece.len() as u64;
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_across_pieces() {
        let body: Body = [&b"abc"[..], b"defgh", b"i"].into_iter().map(Bytes::from_static).collect();
        let mut chunks = Chunks::new(&body, 4);
        let values: Vec<Bytes> =
            std::iter::from_fn(|| (chunks.left > 0).then(|| chunks.next_value())).collect();
        assert_eq!(values, [&b"\x01abcd"[..], b"\x01efgh", b"\x01i"]);
        let mut later = Chunks::new(&body, 4);
        later.skip(4);
        assert_eq!(&later.next_value()[..], b"\x01efgh");
    }
}
