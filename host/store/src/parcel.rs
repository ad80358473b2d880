//! A message on its way from one relay's queue to another's: all that its records hold, as octets.
//!
//! The other relay has it on disk before this one forgets it. Until then it is held here, and so delivered by nobody. What
//! was moved twice, because this relay learned too late that it had arrived, is known there by its history.

use std::sync::Arc;

use baton_mail::event::{Event, Removal, What};
use baton_mail::{Body, MessageId, Origin};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::accept::{NewJob, NewMessage, Past, take};
use crate::claim::body;
use crate::commit::{Action, Op, OperateOp, held_by};
use crate::core::Core;
use crate::error::{AcceptError, StoreError};
use crate::find::jobs_of_message;
use crate::format::{
    EnvelopeRecordRef, JobRecord, decode, decode_envelope, decode_job, encode, encode_envelope, encode_job,
    is_held,
};
use crate::look::story;
use crate::records::Loaded;
use crate::schedule::Job;

/// Why a message can not be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// It is not in the queue.
    #[error("it is not in the queue")]
    NotFound,
    /// It is in the hands of delivery.
    #[error("it is being delivered just now: move it again in a while")]
    InDelivery,
    /// The octets are no message, or one of a later version.
    #[error("what came is no message that this relay understands: {0}")]
    Unreadable(String),
    /// The queue can not take it.
    #[error(transparent)]
    Refused(#[from] AcceptError),
    /// The queue can not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who moves a message, and between which relays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movers {
    /// The relay that has it.
    pub from: String,
    /// The relay that is to have it.
    pub to: String,
    /// Who decided.
    pub by: String,
}

/// What became of a message that came from another relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The message.
    pub message: MessageId,
    /// It was here already.
    pub known: bool,
}

/// All records of a message, each in the form that it has in the database.
#[derive(Serialize, Deserialize)]
struct Parcel<'a> {
    movers: Movers,
    #[serde(borrow)]
    envelope: &'a [u8],
    #[serde(borrow)]
    jobs: Vec<&'a [u8]>,
    #[serde(borrow)]
    body: &'a [u8],
}

/// Stands in the reason why a message is held that is being moved.
const MOVING: &str = " to move it to ";
/// Stands in the story of one that was moved.
const MOVED: &str = ", who moved it to ";

/// Holds all that is left of a message and packs it.
pub(crate) async fn pack(core: &Arc<Core>, message: MessageId, movers: Movers) -> Result<Bytes, MoveError> {
    let (_, jobs) = jobs_at_rest(core, message).await?;
    let by = format!("{}{MOVING}{}", movers.by, movers.to);
    let for_the_move = held_by(&by);
    operate(core, Action::Hold, &jobs, by).await?;
    let (loaded, jobs) = jobs_at_rest(core, message).await?;
    if jobs.iter().any(|job| !is_held(job.due)) {
        return Err(MoveError::InDelivery);
    }
    let body = body(core, message).await?.to_bytes();
    let record = EnvelopeRecordRef { chunks: 0, jobs: &loaded.seeds, envelope: &loaded.envelope };
    let envelope = encode_envelope(&record);
    let records: Vec<Vec<u8>> = jobs.into_iter().map(|job| pack_job(job, &for_the_move)).collect();
    let jobs = records.iter().map(Vec::as_slice).collect();
    Ok(encode(&Parcel { movers, envelope: &envelope, jobs, body: &body }).into())
}

/// A job that is held `for_the_move` alone is tried at once where it arrives. Only this very reason says so: others may
/// hold words of strangers.
fn pack_job(job: Job, for_the_move: &str) -> Vec<u8> {
    encode_job(&JobRecord {
        shared: job.shared,
        due: job.due,
        attempt: job.attempt,
        recipients: job.recipients,
        queue: job.queue,
        last: job.last,
        hold: job.hold.filter(|reason| reason != for_the_move),
        delay_told: job.delay_told,
        changes: job.changes,
    })
}

/// A message with all that is left of it; an error when some of it is in somebody's hands.
async fn jobs_at_rest(core: &Arc<Core>, message: MessageId) -> Result<(Loaded, Vec<Job>), MoveError> {
    let reading = Arc::clone(core);
    let found = tokio::task::spawn_blocking(move || jobs_of_message(&*reading.db()?, message)).await;
    let found = match found.map_err(|_| StoreError::Closed)? {
        Ok(found) => found,
        Err(error) => return Err(core.read_failed(error).into()),
    };
    let (loaded, jobs) = found.filter(|(_, jobs)| !jobs.is_empty()).ok_or(MoveError::NotFound)?;
    let schedule = core.schedule.lock();
    match jobs.iter().any(|job| schedule.is_claimed(job.key)) {
        true => Err(MoveError::InDelivery),
        false => Ok((loaded, jobs)),
    }
}

/// Takes a message that another relay packed; on disk when this returns. One that is here, or came here and was not moved on,
/// is known.
pub(crate) async fn unpack(core: &Arc<Core>, octets: Bytes) -> Result<Arrived, MoveError> {
    let unreadable = MoveError::Unreadable;
    let (message, pasts) = {
        let parcel: Parcel<'_> = decode(&octets).map_err(unreadable)?;
        open(&parcel, core).map_err(unreadable)?
    };
    let id = message.envelope.id;
    // The same message may come twice at once.
    let _turn = core.moves.lock().await;
    if is_here(core, id).await? {
        return Ok(Arrived { message: id, known: true });
    }
    let accepted = take(core, message, pasts).await?;
    Ok(Arrived { message: accepted.id(), known: false })
}

/// Whether it is in the queue, or was taken and not moved on.
async fn is_here(core: &Arc<Core>, message: MessageId) -> Result<bool, MoveError> {
    match jobs_at_rest(core, message).await {
        Ok(_) | Err(MoveError::InDelivery) => return Ok(true),
        Err(MoveError::NotFound) => {}
        Err(other) => return Err(other),
    }
    let events = story(core, message).await?;
    let last = events.iter().rev().find_map(|event| match &event.what {
        What::Accepted { .. } => Some(true),
        What::Removed(Removal { by, .. }) if by.contains(MOVED) => Some(false),
        _ => None,
    });
    Ok(last.unwrap_or(false))
}

/// Who removed what was moved.
pub(crate) fn moved_by(by: &str, to: &str) -> String {
    format!("{by}{MOVED}{to}")
}

fn open(parcel: &Parcel<'_>, core: &Core) -> Result<(NewMessage, Vec<Past>), String> {
    let mut envelope = decode_envelope(parcel.envelope)?.envelope;
    // What still waits for an operator says so itself.
    envelope.hold = None;
    let now = core.clock.now();
    let (mut jobs, mut pasts) = (Vec::new(), Vec::new());
    for record in &parcel.jobs {
        let JobRecord { attempt, recipients, queue, last, hold, delay_told, changes, .. } =
            decode_job(record)?;
        jobs.push(NewJob { queue, recipients, due: now });
        pasts.push(Past { attempt, last, hold, delay_told, changes });
    }
    let Movers { from, by, .. } = &parcel.movers;
    let recipients = jobs.iter().flat_map(|job: &NewJob| &job.recipients);
    let known = recipients.filter_map(|index| envelope.recipients.get(usize::from(*index)));
    let what = What::Accepted {
        origin: Origin { listener: format!("moved here from {from} by {by}"), ..Origin::internal() },
        sender: envelope.sender.clone(),
        recipients: known.map(|one| one.address.clone()).collect(),
        size: envelope.size,
        decisions: Vec::new(),
    };
    let event = Event { message: envelope.id, at: now, what };
    let body = Body::from(Bytes::copy_from_slice(parcel.body));
    Ok((NewMessage { envelope, body, jobs, events: vec![event] }, pasts))
}

/// Forgets a message that another relay has now.
pub(crate) async fn forget_moved(
    core: &Arc<Core>,
    message: MessageId,
    movers: Movers,
) -> Result<usize, MoveError> {
    let (_, jobs) = jobs_at_rest(core, message).await?;
    operate(core, Action::MoveOut(movers.to), &jobs, movers.by).await
}

async fn operate(core: &Core, action: Action, jobs: &[Job], by: String) -> Result<usize, MoveError> {
    let (answer, answered) = oneshot::channel();
    let keys = jobs.iter().map(|job| job.key).collect();
    let op = OperateOp { action, by, keys, jobs: Vec::new(), reached: 0, answer };
    core.commit.push(Op::Operate(op)).map_err(StoreError::from)?;
    Ok(answered.await.map_err(|_| core.lost())?.map_err(StoreError::from)?)
}
