//! WASI 0.2 as far as the standard libraries of guest languages need it: clocks, random, standard output to the log.
//!
//! No sockets are linked, so a component that wants them is refused by name. Files are linked, because several
//! standard libraries import them always, but there is no directory to open; the environment is empty.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use baton_mail::{MessageId, SessionId};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::{self, OutputStream, Pollable, StreamResult, bindings};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::baton::host::log::Level;
use crate::host::emit_line;
use crate::plugin::Terms;
use crate::state::State;

/// Random octets that a plugin gets at once.
const RANDOM_OCTETS_MAX: u64 = 64 << 10;
/// Octets that a plugin may write to a standard stream at once.
const WRITE_OCTETS_MAX: usize = 8 << 10;

/// The interfaces that [`add_to_linker`] provides, without version.
pub(crate) const INTERFACES: [&str; 20] = [
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
];

/// Links them.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::{cli, filesystem, random};
    p2::add_to_linker_proxy_interfaces_async(linker)?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    Ok(())
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let State { wasi, table, terms, call, .. } = self;
        let ctx = wasi.get_or_insert_with(|| {
            let stream = |level| LogStream::new(terms, call.session.id, call.envelope.id, level);
            WasiCtx::builder()
                .stdout(stream(Level::Info))
                .stderr(stream(Level::Warn))
                .max_random_size(RANDOM_OCTETS_MAX)
                .build()
        });
        WasiCtxView { ctx, table }
    }
}

/// A standard stream of a plugin: each line is a record of the log, under the plugin's bounds.
#[derive(Clone)]
struct LogStream(Arc<Lines>);

struct Lines {
    terms: Arc<Terms>,
    session: SessionId,
    message: MessageId,
    level: Level,
    /// What was written since the last line end; at most a line's bound.
    pending: Mutex<Vec<u8>>,
}

impl LogStream {
    fn new(terms: &Arc<Terms>, session: SessionId, message: MessageId, level: Level) -> LogStream {
        LogStream(Arc::new(Lines {
            terms: Arc::clone(terms),
            session,
            message,
            level,
            pending: Mutex::default(),
        }))
    }

    fn push(&self, octets: &[u8]) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            let mut pending = self.0.pending.lock();
            pending.extend_from_slice(piece);
            if piece.ends_with(b"\n") || pending.len() >= self.0.terms.limits.log_line_octets_max {
                self.0.emit(&std::mem::take(&mut *pending));
            }
        }
    }
}

impl Lines {
    fn emit(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            emit_line(&self.terms, self.session, self.message, self.level, text, &[]);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let rest = std::mem::take(self.pending.get_mut());
        self.emit(&rest);
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, octets: Bytes) -> StreamResult<()> {
        self.push(&octets);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_OCTETS_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.push(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
