//! The log: text or JSON to the standard error output, through a bounded buffer and a thread of its own.
//!
//! Invariant: writing a log line never blocks mail. When the reader of the log is slow, lines are dropped and counted,
//! and the count is logged as soon as there is room.

mod hide;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use crate::settings::check::{LogFormat, LogSettings};
use hide::Hider;
pub(crate) use hide::NameOf;

/// Octets of one log line; longer ones are cut.
const LINE_OCTETS_MAX: usize = 16 * 1024;
/// Lines are gathered this long, and up to so many octets, to be written at once.
const GATHER: Duration = Duration::from_millis(2);
const GATHERED_OCTETS_MAX: usize = 256 * 1024;
/// How long the end of the process waits for a slow reader of the log.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The running log. Dropping it writes out what waits, within a bound.
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, tracing_subscriber::Registry>,
    dropped: Counter,
    lines: Option<LineSender>,
    finished: Receiver<()>,
    hider: Hider,
}

impl Log {
    /// Starts the log of the process.
    pub(crate) fn start(settings: &LogSettings) -> anyhow::Result<Log> {
        let hider = Hider::default();
        hider.set(settings.hides_addresses);
        let (lines, finished) = start_writer(settings.buffer_lines_max, hider.clone(), io::stderr());
        let (filter, handle) = reload::Layer::new(read_filter(&settings.filter)?);
        let registry = tracing_subscriber::registry().with(filter);
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false);
        let started = match settings.format {
            LogFormat::Text => registry.with(layer).try_init(),
            LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        };
        started.context("the log of this process was started before")?;
        Ok(Log { filter: handle, dropped: lines.dropped.clone(), lines: Some(lines), finished, hider })
    }

    /// Changes what is logged.
    pub(crate) fn set_filter(&self, filter: &str) -> anyhow::Result<()> {
        self.filter.reload(read_filter(filter)?).context("the log has ended")
    }

    /// From now on addresses are hidden in what is logged, or not.
    pub(crate) fn hide_addresses(&self, hides: bool) {
        self.hider.set(hides);
    }

    /// By what hidden addresses are named.
    pub(crate) fn name_addresses_by(&self, name_of: NameOf) {
        self.hider.name_by(name_of);
    }

    /// Registers the count of dropped lines.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "baton_log_lines_dropped",
            "Log lines dropped because the reader was slow",
            self.dropped.clone(),
        );
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(lines) = self.lines.take() {
            // A full buffer means a blocked reader: then there is nothing to wait for.
            let _ = lines.sender.try_send(Vec::new());
        }
        let _ = self.finished.recv_timeout(FLUSH_MAX);
    }
}

/// Reads a filter such as `info` or `session=debug,info`. Unless it names them, the client of NATS is silent: it tells each
/// attempt as an error, and what becomes of them is told by who publishes; and the resolver tells errors only: it prints
/// whole answers of servers that know no DNSSEC.
pub(crate) fn read_filter(text: &str) -> anyhow::Result<EnvFilter> {
    let whole = format!("async_nats=off,hickory_net=error,{text}");
    EnvFilter::builder().parse(whole).with_context(|| format!("`{text}` is not a log filter"))
}

/// Where formatted lines go.
#[derive(Clone)]
struct LineSender {
    sender: SyncSender<Vec<u8>>,
    dropped: Counter,
    unreported: Arc<AtomicU64>,
}

impl LineSender {
    fn send(&self, line: &[u8]) {
        let line = match line.get(..LINE_OCTETS_MAX) {
            Some(head) => [head, b"...\n"].concat(),
            None => line.to_vec(),
        };
        if !line.is_empty() && self.sender.try_send(line).is_err() {
            self.dropped.inc();
            self.unreported.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One line: the formatter writes each event at once.
struct Line(LineSender);

impl Write for Line {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.send(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineSender {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.clone())
    }
}

/// Starts the thread that writes; an empty line ends it.
fn start_writer(
    lines_max: usize,
    hider: Hider,
    output: impl Write + Send + 'static,
) -> (LineSender, Receiver<()>) {
    let (sender, receiver) = mpsc::sync_channel(lines_max.max(1));
    let (finish, finished) = mpsc::sync_channel(1);
    let lines = LineSender { sender, dropped: Counter::default(), unreported: Arc::default() };
    let unreported = lines.unreported.clone();
    let run = move || {
        write_lines(&receiver, &unreported, &hider, output);
        let _ = finish.send(());
    };
    let started = thread::Builder::new().name("log".to_owned()).spawn(run);
    if let Err(error) = started {
        eprintln!("the log can not be written: {error}");
    }
    (lines, finished)
}

/// Writes until the empty line. An output that fails (a closed pipe) swallows what follows.
fn write_lines(lines: &Receiver<Vec<u8>>, unreported: &AtomicU64, hider: &Hider, mut output: impl Write) {
    let mut gathered = Vec::new();
    while let Ok(line) = lines.recv() {
        gathered.clear();
        gathered.extend_from_slice(&line);
        let mut is_end = line.is_empty();
        while !is_end && gathered.len() < GATHERED_OCTETS_MAX {
            let Ok(line) = lines.try_recv() else { break };
            is_end = line.is_empty();
            gathered.extend_from_slice(&line);
        }
        hider.hide(&mut gathered);
        let _ = output.write_all(&gathered);
        let missed = unreported.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let _ = writeln!(output, "{missed} log lines were dropped: the reader of the log is too slow");
        }
        if is_end {
            break;
        }
        // A thread that sleeps on its own is not woken by each line, which costs whoever writes it more than the line.
        thread::sleep(GATHER);
    }
    let _ = output.flush();
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A reader that takes nothing until it is let go.
    struct Stuck(Receiver<()>, Arc<Mutex<Vec<u8>>>, bool);

    impl Write for Stuck {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            if !self.2 {
                self.2 = self.0.recv().is_ok();
            }
            self.1.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_reader_blocks_nobody_and_the_loss_is_counted() {
        let (let_go, wait) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (lines, finished) = start_writer(10, Hider::default(), Stuck(wait, written.clone(), false));
        for number in 0..1_000 {
            lines.send(format!("line {number}\n").as_bytes());
        }
        let dropped = lines.dropped.get();
        assert!((985..=990).contains(&dropped), "{dropped}");
        let_go.send(()).unwrap();
        lines.sender.send(Vec::new()).unwrap();
        finished.recv().unwrap();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("line 0\n") && text.contains("log lines were dropped"), "{text}");
    }

    #[test]
    fn filters_are_checked() {
        assert!(read_filter("info,session=debug").is_ok());
        assert!(read_filter("session=shouting").is_err());
    }
}
