//! Watches the settings file and the files of plugins, and says when one of them changed.
//!
//! The folders are watched, because editors and deployments put new files in the place of old ones; what counts is
//! whether a file is another one than before, so other files of a folder disturb nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout};

use crate::events;

/// So long nothing may happen before a change counts as complete: a deployment copies several files.
const QUIET: Duration = Duration::from_millis(300);
/// So long a change may go on at most.
const CHANGE_MAX: Duration = Duration::from_secs(5);
/// Octets of events that are read, and thrown away, at once.
const EVENTS_OCTETS: usize = 4_096;

/// Follows files. Without any, it never says anything.
#[derive(Default)]
pub(crate) struct Watch {
    /// Tells that something happened in one of the folders.
    notices: Option<AsyncFd<OwnedFd>>,
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Option<Mark>>,
    /// Something happened since the marks were looked at.
    is_stirred: bool,
}

/// What tells a file from another one of its name: device, inode, octets, time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u64, u64, u64, i64, i64);

impl Watch {
    /// Follows these files from now on. Those that were followed before stay marked as they were, so that a change
    /// while they were loaded is told too. A failure is told in the log: the relay runs without.
    pub(crate) fn follow(&mut self, files: &[PathBuf]) {
        let known = std::mem::take(&mut self.files);
        let marked = |file: PathBuf| {
            let mark = known.get(&file).copied().unwrap_or_else(|| mark(&file));
            (file, mark)
        };
        self.files = files.iter().filter_map(|file| std::path::absolute(file).ok()).map(marked).collect();
        let folders: BTreeSet<PathBuf> =
            self.files.keys().filter_map(|file| file.parent().map(Path::to_owned)).collect();
        if folders == self.folders {
            return;
        }
        self.notices = None;
        self.folders = folders;
        if self.folders.is_empty() {
            return;
        }
        match watch(&self.folders) {
            // Nobody watched for a moment: look.
            Ok(notices) => (self.notices, self.is_stirred) = (Some(notices), true),
            Err(error) => {
                self.folders.clear();
                events::watch_failed(&error.to_string());
            }
        }
    }

    /// Returns when a followed file changed, and nothing more happened for a while. Nothing is lost when it is dropped
    /// before that.
    pub(crate) async fn changed(&mut self) {
        loop {
            if !self.is_stirred {
                self.notice().await;
                self.is_stirred = true;
            }
            let started = Instant::now();
            while started.elapsed() < CHANGE_MAX && timeout(QUIET, self.notice()).await.is_ok() {}
            self.is_stirred = false;
            if self.look() {
                return;
            }
        }
    }

    /// True when a file is another one than before. One that is gone is not: its successor is on its way.
    fn look(&mut self) -> bool {
        let mut is_changed = false;
        for (file, known) in &mut self.files {
            let found = mark(file);
            is_changed |= found.is_some() && found != *known;
            *known = found.or(*known);
        }
        is_changed
    }

    /// Waits until something happens in one of the folders.
    async fn notice(&self) {
        let Some(notices) = &self.notices else { return std::future::pending().await };
        let Ok(mut guard) = notices.readable().await else { return std::future::pending().await };
        let mut events = [0; EVENTS_OCTETS];
        while guard
            .try_io(|notices| Ok(rustix::io::read(notices, &mut events)?))
            .is_ok_and(|read| read.is_ok())
        {}
    }
}

fn watch(folders: &BTreeSet<PathBuf>) -> io::Result<AsyncFd<OwnedFd>> {
    let notices = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let changes = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::ATTRIB;
    for folder in folders {
        inotify::add_watch(&notices, folder, changes)
            .map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))?;
    }
    // The descriptor is owned here and by nothing else.
    #[allow(deprecated, reason = "its successor is unsafe, for descriptors that are not owned")]
    AsyncFd::new(notices)
}

fn mark(file: &Path) -> Option<Mark> {
    let found = std::fs::metadata(file).ok()?;
    Some(Mark(found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_or_replaced_file_is_told_and_its_neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("baton.toml"), folder.path().join("other"));
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::default();
        watch.follow(std::slice::from_ref(&file));
        std::fs::write(&other, "x").unwrap();
        std::fs::write(&file, "ab").unwrap();
        watch.changed().await;
        std::fs::write(folder.path().join("fresh"), "ab").unwrap();
        std::fs::rename(folder.path().join("fresh"), &file).unwrap();
        watch.changed().await;
        std::fs::write(&other, "y").unwrap();
        assert!(
            timeout(Duration::from_secs(1), watch.changed()).await.is_err(),
            "only its neighbour changed"
        );
    }
}
