//! What can go wrong, by operation; and the one place where it becomes an SMTP reply.

use std::path::PathBuf;

use baton_mail::{EnhancedCode, Reply};

/// Why the store did not open. Every case names the folder, the cause and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store {path} is in use by another process; stop that one, or give this one its own folder")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A later version of this program wrote it.
    #[error(
        "the store {path} has format {found}, this program knows formats up to {known}; run the newer version"
    )]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// What was found.
        found: String,
        /// The newest format that is known here.
        known: u32,
    },
    /// The folder can not be made or written.
    #[error("the store {path} can not be written ({cause}); give this user the folder, or set another path")]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Files are missing or damaged in a place that holds acknowledged mail.
    #[error(
        "the store {path} is damaged ({cause}); it was not opened, so that nothing is lost further: \
         repair the disk or restore the missing files, or move the folder away to start with an empty queue"
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What was found.
        cause: String,
    },
    /// Anything else, such as too few file descriptors.
    #[error("the store {path} can not be opened ({cause})")]
    Failed {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
}

/// Why a message was not taken. Nothing of it is in the queue, but for [`AcceptError::Stalled`]: a write that hangs
/// in the disk may still succeed, and then the message goes out although the client was told to try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Too little space or too few inodes.
    #[error("the disk is full")]
    DiskFull,
    /// The disk did not take it in time.
    #[error("the disk is too slow")]
    Stalled,
    /// An earlier write or sync failed; see [`crate::Refusal::Poisoned`].
    #[error("the store takes no writes since one failed: {0}")]
    Poisoned(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The caller's jobs do not cover each recipient at most once; a fault of this program.
    #[error("the message can not be scheduled: {0}")]
    Unschedulable(&'static str),
}

impl AcceptError {
    /// What the client is told.
    pub fn reply(&self) -> Reply {
        match self {
            AcceptError::DiskFull => Refusal::DiskFull.reply(),
            AcceptError::Stalled => Refusal::Stalled.reply(),
            AcceptError::Poisoned(cause) => Refusal::Poisoned(cause.clone()).reply(),
            AcceptError::Closed => Reply::new(421, EnhancedCode(4, 3, 2), "shutting down"),
            AcceptError::Unschedulable(_) => {
                Reply::new(451, EnhancedCode(4, 3, 0), "local error, try again later")
            }
        }
    }
}

/// Why no mail is taken at the moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too little space or too few inodes.
    #[error("the disk is full")]
    DiskFull,
    /// The disk is too slow.
    #[error("the disk is too slow")]
    Stalled,
    /// A write or a sync failed. What the disk holds is not known any more, so nothing is written until a restart.
    #[error("the store takes no writes since one failed: {0}")]
    Poisoned(String),
}

impl Refusal {
    /// What the client is told (RFC 5321 4.2.3, RFC 3463 3.4).
    pub fn reply(&self) -> Reply {
        match self {
            Refusal::DiskFull => Reply::new(452, EnhancedCode(4, 3, 1), "insufficient system storage"),
            Refusal::Stalled => {
                Reply::new(451, EnhancedCode(4, 3, 0), "storage is too slow, try again later")
            }
            Refusal::Poisoned(_) => Reply::new(421, EnhancedCode(4, 3, 0), "storage failed, closing"),
        }
    }
}

impl From<Refusal> for AcceptError {
    fn from(refusal: Refusal) -> AcceptError {
        match refusal {
            Refusal::DiskFull => AcceptError::DiskFull,
            Refusal::Stalled => AcceptError::Stalled,
            Refusal::Poisoned(cause) => AcceptError::Poisoned(cause),
        }
    }
}

/// Why an operation on the queue failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such message.
    #[error("no such message")]
    NotFound,
    /// A record is missing or can not be read. It was set aside; the caller holds or fails the message.
    #[error("a record is damaged: {0}")]
    Damaged(String),
    /// An earlier write or sync failed.
    #[error("the store takes no writes since one failed: {0}")]
    Poisoned(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The caller asked for what can not be; a fault of this program. The claim was handed back.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// The database could not be read.
    #[error("the store can not be read: {0}")]
    Unreadable(String),
}

/// Why an operation on the key-value store failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// Key, value or bucket name is too large or empty.
    #[error("key or value is too large or empty")]
    TooLarge,
    /// The bucket is full.
    #[error("the bucket is full")]
    Quota,
    /// The value is not a number, or would become too large for one.
    #[error("the value is not a number in range")]
    NotANumber,
    /// The store can not be written or read now.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}
