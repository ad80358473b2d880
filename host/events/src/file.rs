//! Events as lines of JSON in files that are rotated.
//!
//! Invariant: each event that is wanted is one line, once: the cursor moves after the lines are on disk, and after a crash the
//! last whole line says where to go on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baton_mail::Clock;
use baton_store::feed::ConsumerName;
use baton_store::{Feed, Store, StoreError};

use crate::filter::EventFilter;
use crate::shown::EventId;
use crate::status::{FollowerView, State};

/// Records that are read from the feed at a time.
const READ_MAX: usize = 1_000;
/// How long events wait for others.
const PAUSE: Duration = Duration::from_millis(500);
/// How long to wait when something can not be read or written.
const TROUBLE_PAUSE: Duration = Duration::from_secs(2);
/// Octets at the end of a file in which its last line is looked for.
const LAST_LINE_OCTETS_MAX: u64 = 1 << 20;

/// A file of events, as an operator wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// Its name in the settings.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Octets from which on it is put aside as `PATH.1`, and that as `PATH.2`, and so on.
    pub rotate_octets: u64,
    /// How many of those are kept.
    pub keep: u32,
    /// Which events.
    pub filter: EventFilter,
}

/// Why a file does not get its events.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes one file.
pub struct Writer {
    settings: FileSettings,
    state: Arc<State>,
}

impl Writer {
    /// With these settings; nothing runs yet.
    pub fn new(settings: FileSettings) -> Writer {
        Writer { settings, state: Arc::default() }
    }

    /// What others may know of it: its consumer's name, and how it goes.
    pub fn view(&self) -> FollowerView {
        FollowerView { consumer: format!("file/{}", self.settings.name), state: Arc::clone(&self.state) }
    }

    /// Writes the file for ever. Dropping it ends it.
    pub(crate) async fn run(self, store: Store, clock: Arc<dyn Clock>) {
        let Writer { settings, state } = self;
        let Ok(consumer) = format!("file/{}", settings.name).parse::<ConsumerName>() else { return };
        let feed = store.feed();
        loop {
            let follow = Follow {
                feed: &feed,
                consumer: &consumer,
                settings: &settings,
                clock: &*clock,
                state: &state,
            };
            let Err(trouble) = follow.run().await;
            let now = clock.now();
            if state.note_failed(&trouble.to_string(), now) == 1 {
                tracing::error!(target: "events", file = settings.name, %trouble, "events can not be written; tried again every few seconds");
            }
            state.note_next_try(now.plus(TROUBLE_PAUSE));
            tokio::time::sleep(TROUBLE_PAUSE).await;
        }
    }
}

struct Follow<'a> {
    feed: &'a Feed,
    consumer: &'a ConsumerName,
    settings: &'a FileSettings,
    clock: &'a dyn Clock,
    state: &'a State,
}

impl Follow<'_> {
    async fn run(&self) -> Result<std::convert::Infallible, Trouble> {
        let mut lines = blocking(Lines::open(self.settings.clone())).await?;
        let head = self.feed.head();
        // A line of another database says nothing about this one.
        let mut last = lines.last.filter(|last| last.number < head);
        let cursor = self.feed.cursor(self.consumer).await?;
        let mut next = match (cursor, last) {
            (Some(cursor), Some(last)) => cursor.min(last.number),
            (Some(cursor), None) => cursor,
            // Its first start: what is kept is told.
            (None, _) => self.feed.first(),
        };
        self.state.note_at(next);
        loop {
            self.feed.wait(next).await;
            tokio::time::sleep(PAUSE).await;
            while next < self.feed.head() {
                let page = self.feed.read(next, READ_MAX).await?;
                self.state.note_missed(page.missed);
                let (mut text, mut events) = (Vec::new(), 0);
                for shown in page.told.iter().flat_map(|told| self.settings.filter.of(told)) {
                    if last.is_some_and(|last| shown.id <= last) {
                        continue;
                    }
                    last = Some(shown.id);
                    let len = text.len();
                    match shown.write(&mut text) {
                        Ok(()) => {
                            text.push(b'\n');
                            events += 1;
                        }
                        Err(_) => text.truncate(len),
                    }
                }
                next = page.next;
                if !text.is_empty() {
                    lines = blocking(move || lines.append(&text)).await?;
                    self.state.note_taken(events, None, self.clock.now());
                }
                self.state.note_at(next);
                self.feed.acknowledge(self.consumer, next)?;
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Trouble::Store(StoreError::Closed))?
}

/// The file.
struct Lines {
    settings: FileSettings,
    file: File,
    octets: u64,
    /// The event of its last line, or of that of the file before.
    last: Option<EventId>,
}

impl Lines {
    /// Opens the file; half a line at its end, which a crash left, is cut off.
    fn open(settings: FileSettings) -> impl FnOnce() -> Result<Lines, Trouble> {
        move || {
            let path = settings.path.clone();
            let open = || {
                let mut file = open_own(&path)?;
                let (octets, mut last) = mend(&mut file)?;
                if octets == 0
                    && let Ok(mut before) = File::open(aside(&path, 1))
                {
                    last = last_line(&mut before)?.1;
                }
                Ok((file, octets, last))
            };
            let opened: io::Result<_> = open();
            let (file, octets, last) = opened.map_err(|cause| Trouble::Io { path, cause })?;
            Ok(Lines { settings, file, octets, last })
        }
    }

    /// Adds lines; on disk when this returns.
    fn append(mut self, text: &[u8]) -> Result<Lines, Trouble> {
        let mut write = || {
            if self.octets > 0 && self.octets + text.len() as u64 > self.settings.rotate_octets {
                self.rotate()?;
            }
            self.file.write_all(text)?;
            self.file.sync_data()?;
            self.octets += text.len() as u64;
            Ok(())
        };
        let written: io::Result<()> = write();
        match written {
            Ok(()) => Ok(self),
            Err(cause) => Err(Trouble::Io { path: self.settings.path, cause }),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        for number in (1..self.settings.keep).rev() {
            fs::rename(aside(path, number), aside(path, number + 1)).or_else(ignore_missing)?;
        }
        if self.settings.keep > 0 {
            fs::rename(path, aside(path, 1))?;
        } else {
            fs::remove_file(path)?;
        }
        self.file = open_own(path)?;
        self.octets = 0;
        Ok(())
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// For the relay's user, and to be read by its group.
fn open_own(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).read(true).append(true).mode(0o640).open(path)
}

/// The name of a file that was put aside.
fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Cuts off half a line. Returns the length, and the event of the last line.
fn mend(file: &mut File) -> io::Result<(u64, Option<EventId>)> {
    let (whole, last) = last_line(file)?;
    if whole < file.metadata()?.len() {
        file.set_len(whole)?;
        file.sync_data()?;
    }
    Ok((whole, last))
}

/// Where the last whole line ends, and its event.
fn last_line(file: &mut File) -> io::Result<(u64, Option<EventId>)> {
    let len = file.metadata()?.len();
    let from = len.saturating_sub(LAST_LINE_OCTETS_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(LAST_LINE_OCTETS_MAX).read_to_end(&mut end)?;
    let Some(newline) = end.iter().rposition(|octet| *octet == b'\n') else { return Ok((from, None)) };
    let lines = end.get(..newline).unwrap_or_default();
    let line = lines.rsplit(|octet| *octet == b'\n').next().unwrap_or_default();
    let id = serde_json::from_slice::<serde_json::Value>(line).ok();
    let id = id.and_then(|line| line.get("id")?.as_str()?.parse().ok());
    Ok((from + newline as u64 + 1, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> FileSettings {
        FileSettings {
            name: "all".to_owned(),
            path: folder.join("events.jsonl"),
            rotate_octets: 100,
            keep: 2,
            filter: EventFilter::default(),
        }
    }

    fn line(number: u64) -> String {
        format!("{{\"id\":\"{}\",\"x\":\"{}\"}}\n", EventId { number, part: 0 }, "y".repeat(20))
    }

    #[test]
    fn half_a_line_is_cut_off_and_the_last_whole_one_tells_where_to_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        fs::write(&settings.path, line(1) + &line(2) + "{\"id\":\"evt_0000").unwrap();
        let lines = Lines::open(settings.clone())().unwrap();
        assert_eq!(lines.last, Some(EventId { number: 2, part: 0 }));
        drop(lines);
        assert_eq!(fs::read_to_string(&settings.path).unwrap(), line(1) + &line(2));
    }

    #[test]
    fn files_are_put_aside_and_so_many_kept() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let mut lines = Lines::open(settings.clone())().unwrap();
        for number in 0..9 {
            lines = lines.append(line(number).as_bytes()).unwrap();
        }
        let of = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let whole = [aside(&settings.path, 2), aside(&settings.path, 1), settings.path.clone()];
        let text: String = whole.iter().map(|path| of(path)).collect();
        assert!(text.ends_with(&(line(6) + &line(7) + &line(8))), "{text}");
        assert!(!aside(&settings.path, 3).exists());
        // Right after a rotation the file before tells.
        fs::write(&settings.path, "").unwrap();
        assert_eq!(Lines::open(settings)().unwrap().last.map(|last| last.number), Some(7));
    }
}
