//! What can wait for the commit thread.

use std::sync::Arc;

use baton_mail::{Envelope, MessageId, UnixMs};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Room;
use crate::catalog::Put;
use crate::change::Assignment;
use crate::database::WriteError;
use crate::feed::{CursorOp, DeriveOp};
use crate::format::{HistoryRecord, JobKey, JobRecord, JobSeed};
use crate::memory::HeldBody;
use crate::person::RewriteOp;
use crate::records::Damage;
use crate::schedule::{Entry, Intent, Job};
use crate::shelf::Shelf;
use crate::suppression::Keyed;

/// One operation. Encoded by whoever asks for it, so that the commit thread only copies.
pub(crate) enum Op {
    /// A new message. Somebody waits for it.
    Accept(AcceptOp),
    /// A piece of a large body, ahead of its message. Somebody waits for it.
    Chunk(ChunkOp),
    /// Pieces whose message was not accepted after all.
    DropChunks(MessageId),
    /// The outcome of an attempt.
    Settle(Box<SettleOp>),
    /// One job becomes several.
    Split(SplitOp),
    /// History only.
    Record(Vec<HistoryRecord>, Room),
    /// An operator's change to some jobs. Somebody waits for it.
    Operate(OperateOp),
    /// An account is made, changed or removed. Somebody waits for it.
    Account(AccountOp),
    /// Records of the catalog are made, changed or removed. Somebody waits for it.
    Catalog(CatalogOp),
    /// Some records of the catalog whose time was over then are deleted. Somebody waits for it.
    Expire(UnixMs, Answer<()>),
    /// Changes to the suppression lists.
    Suppress(SuppressOp),
    /// Records are written anew and deleted, by whoever forgets. Somebody waits for it.
    Rewrite(RewriteOp),
    /// A damaged record is moved away, with its job when the due index led to it.
    SetAside(Damage, Option<(JobKey, Entry)>),
    /// History before this message is deleted.
    Forget(MessageId),
    /// The feed from the one number to before the other is deleted.
    ForgetFeed(u64, u64),
    /// How far somebody has read the feed.
    Cursor(CursorOp),
    /// What somebody made of the feed. It rides on the next sync, although somebody waits for it.
    Derive(Box<DeriveOp>),
    /// Nothing but a try whether a disk that was full takes writes again.
    Probe,
    /// Somebody waits until all before it is written, or could not be.
    Barrier(oneshot::Sender<()>),
}

/// What an operation that is waited for gets.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, WriteError>>;

/// A message, encoded.
pub(crate) struct Message {
    pub(crate) id: MessageId,
    pub(crate) envelope: Arc<Envelope>,
    /// The value of the `envelope` family.
    pub(crate) record: Vec<u8>,
    /// How many chunks the body has, and how many of them were written ahead.
    pub(crate) chunks: u32,
    pub(crate) chunks_ahead: u32,
    /// The values of the chunks that were not.
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) jobs: Vec<MessageJob>,
    pub(crate) history: Vec<HistoryRecord>,
    /// Entries of the catalog that come with it.
    pub(crate) records: Vec<Put>,
    pub(crate) held: Option<Arc<HeldBody>>,
}

/// A job of a new message.
pub(crate) struct MessageJob {
    pub(crate) seed: JobSeed,
    pub(crate) shelf: Shelf,
    /// The value of the `job` family, when the message has several jobs, or the job has something behind it.
    pub(crate) record: Option<Vec<u8>>,
    /// It has nothing behind it.
    pub(crate) is_fresh: bool,
    /// It has a place in the window, so that it is ready as soon as it is written.
    pub(crate) reserved: bool,
}

pub(crate) struct AcceptOp {
    pub(crate) message: Message,
    pub(crate) answer: Answer<()>,
    pub(crate) room: Room,
}

pub(crate) struct ChunkOp {
    pub(crate) message: MessageId,
    pub(crate) chunk: u32,
    pub(crate) value: Bytes,
    pub(crate) answer: Answer<()>,
    pub(crate) room: Room,
}

pub(crate) struct SettleOp {
    pub(crate) job: Job,
    /// How the job goes on; none when it is done.
    pub(crate) next: Option<JobRecord>,
    pub(crate) history: Vec<HistoryRecord>,
    pub(crate) reports: Vec<Message>,
    pub(crate) suppress: Vec<Keyed>,
    /// What an operator asked for meanwhile; filled in by the commit thread.
    pub(crate) intent: Option<Intent>,
    pub(crate) room: Room,
}

pub(crate) struct SplitOp {
    /// The job that is split. One part keeps its name and its entry in the due index.
    pub(crate) kept: JobKey,
    pub(crate) shelf: Shelf,
    pub(crate) size: u64,
    /// True when the job was the only one of its message so far.
    pub(crate) was_single: bool,
    pub(crate) parts: Vec<(JobKey, JobRecord)>,
}

/// Why a job is held that an operator holds.
pub(crate) fn held_by(by: &str) -> String {
    format!("held by {by}")
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait until it is released.
    Hold,
    /// Go on after a hold.
    Release,
    /// Try now.
    Retry,
    /// Leave the queue without a report.
    Remove,
    /// Leave the queue, as this relay has it now. Only for what is held.
    MoveOut(String),
    /// Be given up with a report, for this reason.
    Bounce(String),
    /// Go by this next hop; none: as the settings say.
    Route(Option<String>),
    /// Be somebody else's, or more or less urgent.
    Assign(Assignment),
}

pub(crate) struct OperateOp {
    pub(crate) action: Action,
    pub(crate) by: String,
    pub(crate) keys: Vec<JobKey>,
    /// The jobs that were free to be changed; filled in by the commit thread.
    pub(crate) jobs: Vec<Job>,
    /// How many jobs the action reached; filled in by the commit thread.
    pub(crate) reached: usize,
    pub(crate) answer: Answer<usize>,
}

pub(crate) struct AccountOp {
    pub(crate) key: Vec<u8>,
    /// The value of the `account` family; none to remove it.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) answer: Answer<()>,
    /// Falls when it is written, whether or not somebody still waits for that: the next change sees this one.
    pub(crate) _alone: tokio::sync::OwnedMutexGuard<()>,
}

pub(crate) struct CatalogOp {
    pub(crate) puts: Vec<Put>,
    pub(crate) answer: Answer<()>,
    /// Fall when it is written, whether or not somebody still waits for that: the next change sees this one.
    pub(crate) _alone: Vec<tokio::sync::OwnedMutexGuard<()>>,
}

pub(crate) struct SuppressOp {
    pub(crate) changes: Vec<Keyed>,
    pub(crate) history: Vec<HistoryRecord>,
    /// None when nobody waits for it.
    pub(crate) answer: Option<Answer<()>>,
}

impl Op {
    /// True when somebody waits for it.
    pub(crate) fn is_urgent(&self) -> bool {
        match self {
            Op::Accept(_)
            | Op::Chunk(_)
            | Op::Operate(_)
            | Op::Account(_)
            | Op::Catalog(_)
            | Op::Expire(..)
            | Op::Rewrite(_)
            | Op::Barrier(_) => true,
            Op::Derive(op) => op.is_urgent,
            Op::Suppress(op) => op.answer.is_some(),
            _ => false,
        }
    }

    /// True when it must not be lost when a write fails for want of space: it is tried again.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(
            self,
            Op::Settle(_)
                | Op::Split(_)
                | Op::Record(..)
                | Op::SetAside(..)
                | Op::DropChunks(_)
                | Op::Forget(_)
                | Op::ForgetFeed(..)
                | Op::Cursor(_)
        )
    }

    /// The room it takes in the queue.
    pub(crate) fn room_kib(&self) -> usize {
        match self {
            Op::Accept(op) => op.room.kib(),
            Op::Chunk(op) => op.room.kib(),
            Op::Settle(op) => op.room.kib(),
            Op::Record(_, room) => room.kib(),
            _ => 0,
        }
    }

    /// The word that names it in crash tests.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Op::Accept(_) => "accept",
            Op::Chunk(_) => "chunk",
            Op::DropChunks(_) => "drop-chunks",
            Op::Settle(op) if !op.reports.is_empty() => "report",
            Op::Settle(op) if op.next.is_some() => "defer",
            Op::Settle(_) => "finish",
            Op::Split(_) => "split",
            Op::Record(..) => "record",
            Op::Operate(op) => match op.action {
                Action::Hold => "hold",
                Action::Release => "release",
                Action::Retry => "retry",
                Action::Remove => "remove",
                Action::MoveOut(_) => "move-out",
                Action::Bounce(_) => "bounce",
                Action::Route(_) => "route",
                Action::Assign(_) => "assign",
            },
            Op::Account(_) => "account",
            Op::Catalog(_) => "catalog",
            Op::Expire(..) => "expire",
            Op::Suppress(_) => "suppress",
            Op::SetAside(..) => "set-aside",
            Op::Rewrite(_) => "rewrite",
            Op::Forget(_) => "forget",
            Op::ForgetFeed(..) => "forget-feed",
            Op::Cursor(_) => "cursor",
            Op::Derive(_) => "derive",
            Op::Probe => "probe",
            Op::Barrier(_) => "barrier",
        }
    }
}
