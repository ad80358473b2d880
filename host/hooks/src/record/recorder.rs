//! Writes the calls of one plugin down, off their way.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{ENDING, Kept, Mask, Record};
use crate::tape::Tape;
use crate::{Call, Hook};

/// Records that wait to be written, of one plugin. What comes while so many wait is left out: recording holds no call up.
const WAITING_MAX: usize = 64;

/// Where calls of a plugin are recorded, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSettings {
    /// The folder. Made for the relay's user only; each plugin has a folder of its name in it.
    pub folder: PathBuf,
    /// Records that the folder of a plugin holds at most, those of earlier runs included; then no more are written.
    pub calls_max: u64,
    /// Octets of these records.
    pub octets_max: u64,
}

/// Writes the calls of one plugin down.
pub(crate) struct Recorder {
    settings: RecordSettings,
    /// The plugin's own folder.
    folder: PathBuf,
    written: Mutex<Option<Written>>,
    is_full: AtomicBool,
    waiting: AtomicUsize,
}

/// What is in the folder.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    calls: u64,
    octets: u64,
}

/// A call that is being recorded.
pub(crate) struct Recording {
    record: Record,
    kept: Kept,
    pub(crate) tape: Arc<Tape>,
}

impl Recorder {
    /// Records that plugin.
    pub(crate) fn new(settings: &RecordSettings, plugin: &str) -> Arc<Recorder> {
        Arc::new(Recorder {
            settings: settings.clone(),
            folder: settings.folder.join(plugin),
            written: Mutex::new(None),
            is_full: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Begins to record a call; none when it is not to be recorded, or there is no room.
    pub(crate) fn begin(
        &self,
        hook: Hook,
        record: impl FnOnce() -> Record,
        call: &Call,
    ) -> Option<Recording> {
        // A client's credentials are at `auth`; `events` decides nothing.
        let is_meant = !matches!(hook, Hook::Auth | Hook::Events);
        let has_room =
            !self.is_full.load(Ordering::Relaxed) && self.waiting.load(Ordering::Relaxed) < WAITING_MAX;
        (is_meant && has_room).then(|| Recording {
            record: record(),
            kept: Kept::of(call),
            tape: Arc::default(),
        })
    }

    /// Writes it on a thread that may block.
    pub(crate) fn finish(
        self: &Arc<Recorder>,
        recording: Recording,
        mask: Mask,
        told: impl FnOnce(Record) -> Record,
    ) {
        let recorder = Arc::clone(self);
        let Recording { record, kept, tape } = recording;
        let record = Record { exchanges: tape.exchanges(), ..told(record) };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = recorder.write(record, &kept, &mask) {
                let folder = recorder.folder.display();
                tracing::warn!(target: "hooks", %folder, %error, "a call can not be recorded");
            }
            recorder.waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn write(&self, record: Record, kept: &Kept, mask: &Mask) -> std::io::Result<()> {
        let mut written = self.written.lock();
        let before = match *written {
            Some(written) => written,
            None => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
                *written.insert(look(&self.folder)?)
            }
        };
        let name = format!("{}-{}-{:06}{ENDING}", record.at.0, record.hook, before.calls);
        let octets = serde_json::to_vec(&record.masked(kept, mask)?)?;
        let after = Written { calls: before.calls + 1, octets: before.octets + octets.len() as u64 };
        if after.calls > self.settings.calls_max || after.octets > self.settings.octets_max {
            self.is_full.store(true, Ordering::Relaxed);
            let folder = self.folder.display();
            tracing::info!(target: "hooks", %folder, calls = before.calls, octets = before.octets, "enough calls are recorded; to record more, empty the folder and reload");
            return Ok(());
        }
        let unfinished = self.folder.join(format!(".{name}"));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&octets)?;
        std::fs::rename(&unfinished, self.folder.join(name))?;
        *written = Some(after);
        Ok(())
    }
}

/// The records that are there.
fn look(folder: &Path) -> std::io::Result<Written> {
    let mut written = Written::default();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(ENDING) {
            written.calls += 1;
            written.octets += entry.metadata()?.len();
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use baton_mail::{SessionId, UnixMs};

    use super::*;
    use crate::{Grants, SessionFacts, SessionNotes};

    fn call() -> Call {
        let session = SessionFacts::new(SessionId(1), "smtp".to_owned(), "192.0.2.1".parse().unwrap(), 1);
        Call::new(Arc::new(session), SessionNotes::default())
    }

    fn record() -> Record {
        let terms = (&Grants::default(), &serde_json::Value::Null);
        Record::of(Hook::Connect, "a@1#1", terms, UnixMs(1), None, &call())
    }

    fn settings(folder: &Path) -> RecordSettings {
        RecordSettings { folder: folder.join("records"), calls_max: 2, octets_max: 1 << 20 }
    }

    #[test]
    fn credentials_are_not_recorded() {
        let recorder = Recorder::new(&settings(Path::new("/nowhere")), "a");
        assert!(recorder.begin(Hook::Auth, record, &call()).is_none());
        assert!(recorder.begin(Hook::Connect, record, &call()).is_some());
    }

    #[test]
    fn records_are_the_owners_and_bounded_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        for _start in 0..2 {
            let recorder = Recorder::new(&settings(folder.path()), "a");
            for _call in 0..2 {
                recorder.write(record(), &Kept::default(), &Mask::default()).unwrap();
            }
        }
        let own = folder.path().join("records/a");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&own), 0o700);
        let files: Vec<_> = std::fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(files.iter().all(|file| mode(file) == 0o600));
        assert_eq!(Record::read_all(&[folder.path().join("records")]).unwrap().len(), 2);

        let small = RecordSettings { octets_max: 10, ..settings(&folder.path().join("small")) };
        let recorder = Recorder::new(&small, "a");
        recorder.write(record(), &Kept::default(), &Mask::default()).unwrap();
        assert!(recorder.begin(Hook::Connect, record, &call()).is_none(), "it is full");
    }
}
