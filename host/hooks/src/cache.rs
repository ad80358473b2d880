//! Compiled plugins on the disk, so that a start and a reload compile only what changed.
//!
//! Such a file is native code that runs with the rights of the relay. So the folder is the relay's alone, and each file
//! carries a code (HMAC-SHA256) under a key that only the relay can read. A file that this relay did not write is
//! refused, named, and compiled anew.
//!
//! Invariant: what is authenticated is what is loaded. A file is read once, into memory, and nothing reads it again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use parking_lot::Mutex;

use crate::engine::Digest;
use crate::load::hex;

/// Begins each file; counts up when its form changes.
const MAGIC: &[u8; 8] = b"batoncw1";
const CODE_OCTETS: usize = 32;
const KEY_OCTETS: usize = 32;
const KEY_FILE: &str = "cache.key";
const ENDING: &str = "cwasm";
/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// A folder of compiled plugins. Clones share it.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    key: hmac::Key,
    octets_max: u64,
    /// One writer at a time counts and clears.
    writing: Mutex<()>,
}

/// Octets that this relay wrote into its cache: their code was checked. Nothing else makes one.
pub(crate) struct Authentic(Vec<u8>);

/// Why there can be no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system said no.
    #[error(
        "{path}: {source}; make it a folder that this user can read and write, or set engine.cache_octets_max = 0"
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could put native code there.
    #[error("{path} {fault}; compiled plugins are native code, so it must be this user's alone: {remedy}")]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
        /// The command that mends it.
        remedy: String,
    },
}

impl Cache {
    /// Opens the folder, and makes it and its key when they are missing. It must belong to this user, and nobody else
    /// may have any access. More than `octets_max` octets are not kept: the files that were not used for the longest
    /// time go first.
    pub fn open(folder: &Path, octets_max: u64) -> Result<Cache, CacheError> {
        let failed = |source| CacheError::Io { path: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        check_owner(folder, &fs::symlink_metadata(folder).map_err(failed)?, "700")?;
        let path = folder.join(KEY_FILE);
        let key = read_key(&path)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let inner = Inner { folder: folder.to_owned(), key, octets_max, writing: Mutex::default() };
        Ok(Cache(Arc::new(inner)))
    }

    /// What was stored under that name; nothing when there is none, or when it is not what this relay stored.
    pub(crate) fn load(&self, name: &Digest) -> Option<Authentic> {
        let path = self.path(name);
        let octets = match read(&path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                refused(&path, &error.to_string());
                return None;
            }
        };
        let Some(compiled) = self.authenticate(name, &octets) else {
            refused(&path, "it was not written by this relay, or was changed or damaged since");
            self.remove(&path);
            return None;
        };
        Some(Authentic(compiled.to_vec()))
    }

    /// Keeps compiled octets under that name. A failure is told in the log: it costs time later and nothing else.
    pub(crate) fn store(&self, name: &Digest, compiled: &[u8]) {
        let _writing = self.0.writing.lock();
        let path = self.path(name);
        if let Err(error) = self.write(&path, name, compiled).and_then(|()| self.prune(&path)) {
            tracing::warn!(target: "hooks", file = %path.display(), %error, "a compiled plugin was not kept in the cache");
        }
    }

    /// Takes away what was stored under that name.
    pub(crate) fn forget(&self, name: &Digest) {
        self.remove(&self.path(name));
    }

    fn path(&self, name: &Digest) -> PathBuf {
        self.0.folder.join(hex(name)).with_extension(ENDING)
    }

    fn authenticate<'a>(&self, name: &Digest, octets: &'a [u8]) -> Option<&'a [u8]> {
        let rest = octets.strip_prefix(MAGIC)?;
        let (code, compiled) = rest.split_at_checked(CODE_OCTETS)?;
        hmac::verify(&self.0.key, &message(name, compiled), code).ok()?;
        Some(compiled)
    }

    /// Under another name first, so that a crash leaves no half of a file.
    fn write(&self, path: &Path, name: &Digest, compiled: &[u8]) -> io::Result<()> {
        let code = hmac::sign(&self.0.key, &message(name, compiled));
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(MAGIC)?;
        file.write_all(code.as_ref())?;
        file.write_all(compiled)?;
        fs::rename(&fresh, path)
    }

    /// Removes the files that were not used for the longest time until the rest fits; the newest always stays.
    fn prune(&self, newest: &Path) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.0.folder)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                let metadata = entry.metadata()?;
                files.push((metadata.modified()?, metadata.len(), path));
            }
        }
        files.sort();
        let mut octets: u64 = files.iter().map(|(_, octets, _)| octets).sum();
        for (_, size, path) in files.iter().filter(|(_, _, path)| path != newest) {
            if octets <= self.0.octets_max {
                break;
            }
            self.remove(path);
            octets -= size;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(target: "hooks", file = %path.display(), %error, "a file of the plugin cache can not be removed");
        }
    }
}

impl Authentic {
    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// What the code is about: the contents, and the name under which they were stored.
fn message(name: &Digest, compiled: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), name, compiled].concat()
}

/// Reads a file, and notes that it was used.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut octets = Vec::new();
    file.read_to_end(&mut octets)?;
    // Whoever can not note it only keeps the file for a shorter time.
    let _ = rustix::fs::futimens(&file, &USED_NOW);
    Ok(octets)
}

const USED_NOW: rustix::fs::Timestamps = rustix::fs::Timestamps {
    last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
    last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
};

/// The key of the codes; made at random when there is none.
fn read_key(path: &Path) -> Result<Vec<u8>, CacheError> {
    let failed = |source| CacheError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(metadata) => {
            check_owner(path, &metadata, "600")?;
            let key = fs::read(path).map_err(failed)?;
            if key.len() == KEY_OCTETS { Ok(key) } else { make_key(path).map_err(failed) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

fn make_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_OCTETS];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("the system gives no random octets"))?;
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&key)?;
    fs::rename(&fresh, path)?;
    Ok(key)
}

fn check_owner(path: &Path, metadata: &fs::Metadata, mode: &str) -> Result<(), CacheError> {
    let open = |fault: String, remedy: String| CacheError::Open { path: path.to_owned(), fault, remedy };
    let shown = path.display();
    if metadata.file_type().is_symlink() {
        return Err(open("is a symbolic link".to_owned(), "put a real one in its place".to_owned()));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(open(
            format!("belongs to user {}", metadata.uid()),
            format!("remove it, or chown it: {shown}"),
        ));
    }
    if metadata.mode() & OTHERS != 0 {
        let fault = format!("is open to others (mode {:03o})", metadata.mode() & 0o777);
        return Err(open(fault, format!("chmod {mode} {shown}")));
    }
    Ok(())
}

fn refused(path: &Path, reason: &str) {
    tracing::error!(
        target: "hooks",
        file = %path.display(),
        reason,
        "a file of the plugin cache is refused; the plugin is compiled anew"
    );
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ONE: Digest = [1; 32];
    const TWO: Digest = [2; 32];

    fn loaded(cache: &Cache, name: &Digest) -> Option<Vec<u8>> {
        cache.load(name).map(|authentic| authentic.octets().to_vec())
    }

    #[test]
    fn what_was_stored_is_loaded_by_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins");
        Cache::open(&path, 1_000).unwrap().store(&ONE, b"native");
        let again = Cache::open(&path, 1_000).unwrap();
        assert_eq!(loaded(&again, &ONE).as_deref(), Some(b"native".as_slice()));
        assert_eq!(loaded(&again, &TWO), None);
        for (name, mode) in [("", 0o700), ("cache.key", 0o600)] {
            let found = fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{name}");
        }
    }

    #[test]
    fn what_this_relay_did_not_write_is_refused_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("ours"), folder.path().join("theirs"));
        let (cache, theirs) = (Cache::open(&path, 1_000).unwrap(), Cache::open(&other, 1_000).unwrap());
        cache.store(&ONE, b"native");
        let good = fs::read(cache.path(&ONE)).unwrap();
        theirs.store(&ONE, b"native");
        let foreign = fs::read(theirs.path(&ONE)).unwrap();
        let changed = |at: usize| {
            let mut octets = good.clone();
            octets[at] ^= 1;
            octets
        };
        let cut = good[..good.len() - 1].to_vec();
        for bad in [foreign, changed(0), changed(8), changed(40), changed(45), cut, Vec::new()] {
            fs::write(cache.path(&ONE), &bad).unwrap();
            assert_eq!(loaded(&cache, &ONE), None, "{bad:?}");
            assert!(!cache.path(&ONE).exists(), "{bad:?}");
        }
        // A good file under another name is not what was stored there.
        fs::write(cache.path(&TWO), &good).unwrap();
        assert_eq!(loaded(&cache, &TWO), None);
        fs::write(cache.path(&ONE), &good).unwrap();
        assert_eq!(loaded(&cache, &ONE).as_deref(), Some(b"native".as_slice()));
    }

    #[test]
    fn a_folder_or_key_that_others_can_reach_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins");
        Cache::open(&path, 1_000).unwrap();
        let told = |at: &Path, bad: u32, good: u32| {
            fs::set_permissions(at, fs::Permissions::from_mode(bad)).unwrap();
            let error = Cache::open(&path, 1_000).err().expect("refused").to_string();
            fs::set_permissions(at, fs::Permissions::from_mode(good)).unwrap();
            error
        };
        let error = told(&path, 0o750, 0o700);
        assert!(error.contains("mode 750") && error.contains("chmod 700"), "{error}");
        let error = told(&path.join(KEY_FILE), 0o640, 0o600);
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Cache::open(&link, 1_000).is_err());
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("plugins"), 2_200).unwrap();
        let age = |name: &Digest, seconds: u64| {
            let file = File::options().write(true).open(cache.path(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        cache.store(&ONE, &[0; 1_000]);
        cache.store(&TWO, &[0; 1_000]);
        age(&ONE, 1);
        age(&TWO, 2);
        assert!(loaded(&cache, &ONE).is_some(), "used now");
        cache.store(&[3; 32], &[0; 1_000]);
        assert!(loaded(&cache, &TWO).is_none() && loaded(&cache, &ONE).is_some());
        cache.store(&[4; 32], &[0; 9_000]);
        assert!(loaded(&cache, &[4; 32]).is_some(), "the newest stays, however large");
        assert!(loaded(&cache, &ONE).is_none() && loaded(&cache, &[3; 32]).is_none());
    }
}
