//! Where the database is. It is gone for the moment in which it is closed and opened again.
//!
//! Invariant: at most one database is open. The new one is opened after the last reader of the old one let go.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::StoreSettings;
use crate::database::Database;
use crate::error::OpenError;

/// How long the last readers may take. They read short pages; only the counting after a start takes longer.
const READERS_WAIT: Duration = Duration::from_secs(5);
/// How often it looks whether they are gone.
const READERS_PAUSE: Duration = Duration::from_millis(5);

/// The open database, the lock of its folder, and nothing while it is opened again.
pub(crate) struct Slot {
    current: RwLock<Option<Arc<Database>>>,
    /// Held as long as the store lives, so that nobody takes the folder in between.
    _lock: File,
}

/// The database is being opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database is being opened again after the disk was full")]
pub(crate) struct Away;

/// Why the database was not opened again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReopenError {
    /// Somebody reads for long. Nothing was changed.
    #[error("the database is still being read")]
    InUse,
    /// It was closed and did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Slot {
    /// Takes the folder and opens the database, or makes it.
    pub(crate) fn open(settings: &StoreSettings) -> Result<Slot, OpenError> {
        let path = settings.path.as_path();
        make_folder(path)?;
        let lock = lock_folder(path)?;
        let database = Database::open(settings)?;
        Ok(Slot { current: RwLock::new(Some(Arc::new(database))), _lock: lock })
    }

    /// The database. Let go of it soon: it can not be opened again before.
    pub(crate) fn get(&self) -> Result<Arc<Database>, Away> {
        self.current.read().clone().ok_or(Away)
    }

    /// Closes the database, if it is open, and opens it again.
    pub(crate) fn reopen(&self, settings: &StoreSettings) -> Result<(), ReopenError> {
        let open = self.current.write().take();
        if let Some(database) = open {
            match sole_owner(database) {
                Ok(database) => drop(database),
                Err(database) => {
                    *self.current.write() = Some(database);
                    return Err(ReopenError::InUse);
                }
            }
        }
        let database = Database::open(settings)?;
        *self.current.write() = Some(Arc::new(database));
        Ok(())
    }
}

/// Waits until nobody else has the database.
fn sole_owner(mut database: Arc<Database>) -> Result<Database, Arc<Database>> {
    let mut waited = Duration::ZERO;
    loop {
        match Arc::try_unwrap(database) {
            Ok(database) => return Ok(database),
            Err(shared) if waited >= READERS_WAIT => return Err(shared),
            Err(shared) => database = shared,
        }
        std::thread::sleep(READERS_PAUSE);
        waited += READERS_PAUSE;
    }
}

/// Makes the folder for its owner only.
fn make_folder(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|cause| OpenError::NotWritable { path: path.to_owned(), cause: cause.to_string() })
}

/// Takes the folder for this store alone. A lock of our own, because the logs are judged before RocksDB opens them,
/// and because it also holds between two stores of one process.
fn lock_folder(path: &Path) -> Result<File, OpenError> {
    let file = File::options().create(true).truncate(false).write(true).open(path.join("store.lock"));
    let file =
        file.map_err(|cause| OpenError::NotWritable { path: path.to_owned(), cause: cause.to_string() })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            Err(OpenError::Locked { path: path.to_owned() })
        }
        Err(error) => Err(OpenError::Failed { path: path.to_owned(), cause: error.to_string() }),
    }
}
