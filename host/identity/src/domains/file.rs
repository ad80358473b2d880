//! The file of one domain: JSON, readable by its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use baton_mail::{Domain, UnixMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A domain with its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainFile {
    /// Which form the file has; 1 is the only one.
    format: u32,
    /// The domain.
    pub domain: Domain,
    /// When it was made.
    pub added_at: UnixMs,
    /// When the records of its keys were seen in the DNS for the first time: whoever added it here owns it there.
    pub seen_at: Option<UnixMs>,
    /// Its keys.
    pub keys: Vec<KeyRecord>,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// The name under which it is published.
    pub selector: String,
    /// `rsa-sha256` or `ed25519-sha256`.
    pub algorithm: String,
    /// Whether it signs.
    pub state: KeyState,
    /// Since when it is in that state.
    pub since: UnixMs,
    /// What is published of it.
    pub public: String,
    /// The key itself.
    pub(crate) private: String,
}

/// Whether a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Not yet: its record was not seen in the DNS.
    New,
    /// Yes.
    Active,
    /// No more; its record must stay for a while.
    Old,
}

impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "KeyRecord({} {} {:?})", self.selector, self.algorithm, self.state)
    }
}

impl DomainFile {
    pub(super) fn new(domain: Domain, now: UnixMs) -> DomainFile {
        DomainFile { format: FORMAT, domain, added_at: now, seen_at: None, keys: Vec::new() }
    }
}

/// A file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("{path}: {cause}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Others could read the keys.
    #[error(
        "{0} is open to others and holds private keys: run `chmod 600` on it, and rotate the keys if it may have been read"
    )]
    Open(PathBuf),
    /// It is not understood.
    #[error(
        "{path} is not understood: {reason}; restore it from a backup, or remove the domain and add it again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

pub(super) fn list(folder: &Path) -> Result<Vec<DomainFile>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(FileError::Io { path: folder.to_owned(), cause }),
    };
    let mut domains = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| FileError::Io { path: folder.to_owned(), cause })?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            domains.extend(read_file(&path)?);
        }
    }
    domains.sort_by(|one, other| one.domain.cmp(&other.domain));
    Ok(domains)
}

pub(super) fn read(folder: &Path, domain: &Domain) -> Result<Option<DomainFile>, FileError> {
    read_file(&path_of(folder, domain))
}

fn read_file(path: &Path) -> Result<Option<DomainFile>, FileError> {
    let failed = |cause| FileError::Io { path: path.to_owned(), cause };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failed(cause)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(FileError::Open(path.to_owned()));
    }
    let text = io::read_to_string(file).map_err(failed)?;
    let damaged = |reason: String| FileError::Damaged { path: path.to_owned(), reason };
    let read: DomainFile = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if read.format != FORMAT {
        return Err(damaged(format!("format {}, and {FORMAT} is known", read.format)));
    }
    Ok(Some(read))
}

/// Writes beside the file, syncs, and renames: the file is the old one or the new one, whole.
pub(super) fn write(folder: &Path, domain: &DomainFile) -> Result<(), FileError> {
    let path = path_of(folder, &domain.domain);
    let failed = |cause| FileError::Io { path: path.clone(), cause };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let text = serde_json::to_string_pretty(domain).map_err(|error| failed(error.into()))?;
    let beside = path.with_extension("new");
    // What a crash left there may be open to others.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, &path).map_err(failed)?;
    sync_folder(folder)
}

pub(super) fn remove(folder: &Path, domain: &Domain) -> Result<bool, FileError> {
    let path = path_of(folder, domain);
    match fs::remove_file(&path) {
        Ok(()) => sync_folder(folder).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(FileError::Io { path, cause }),
    }
}

fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let failed = |cause| FileError::Io { path: folder.to_owned(), cause };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// A domain's name has letters, digits, `-`, `_` and `.` only, and begins with no dot.
fn path_of(folder: &Path, domain: &Domain) -> PathBuf {
    folder.join(format!("{domain}.{EXTENSION}"))
}

/// The day as `20261127`, in UTC.
pub(super) fn day(now: UnixMs) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(now.seconds());
    let date = moment.unwrap_or(time::OffsetDateTime::UNIX_EPOCH).date();
    format!("{:04}{:02}{:02}", date.year(), u8::from(date.month()), date.day())
}

const FORMAT: u32 = 1;
const EXTENSION: &str = "json";
/// Permissions of group and others.
const OTHERS: u32 = 0o077;
