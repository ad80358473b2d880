//! `baton sink`: an SMTP or LMTP server that stores or counts what it gets and answers as its rules say.
//!
//! Invariant: a message is counted or stored before it is answered 250.

mod protection;
mod rules;
mod session;
pub(crate) mod storage;
mod tally;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use baton_mail::SystemClock;
use baton_smtp::server::{ServerSettings, StartTls, Vrfy};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::cli::{SinkOptions, TlsStart};
use crate::commands::write_out;
use crate::ports::write_ports;
use protection::Protection;
use rules::Rules;
use storage::Storage;
use tally::Tally;

/// What all sessions of a sink share.
pub(crate) struct Shared {
    settings: Arc<ServerSettings>,
    rules: Rules,
    tls: Option<Protection>,
    storage: Option<Storage>,
    tally: Tally,
    clock: SystemClock,
    until: Option<u64>,
    enough: Notify,
}

/// Connections that wait to be accepted: a load generator opens hundreds at once.
const BACKLOG: u32 = 4_096;
/// How often the summary file is written.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(options: SinkOptions) -> anyhow::Result<()> {
    let shared = Arc::new(Shared::new(&options)?);
    let listener = listen(options.listen)?;
    let address = listener.local_addr()?;
    if let Some(path) = &options.ports_file {
        write_ports(path, &[("sink".to_owned(), address)])?;
    }
    eprintln!("the sink listens on {address}");
    let summary_file = options.summary_file.as_deref();
    tokio::select! {
        () = accept(listener, &shared) => {}
        () = keep_summary(summary_file, &shared) => {}
        () = shared.enough.notified() => {}
        ended = stop_asked() => ended?,
    }
    let summary = serde_json::to_string_pretty(&shared.tally.summary())? + "\n";
    match summary_file {
        Some(path) => replace_file(path, &summary).with_context(|| path.display().to_string()),
        None => write_out(&summary),
    }
}

impl Shared {
    fn new(options: &SinkOptions) -> anyhow::Result<Shared> {
        let rules = match &options.replies {
            Some(path) => Rules::load(path).map_err(|problems| anyhow!("{}:\n{problems}", path.display()))?,
            None => Rules::default(),
        };
        let storage = options.store.as_deref().map(Storage::open).transpose()?;
        Ok(Shared {
            settings: Arc::new(server_settings(options)),
            rules,
            tls: options.tls.map(Protection::new).transpose()?,
            storage,
            tally: Tally::default(),
            clock: SystemClock,
            until: options.until,
            enough: Notify::new(),
        })
    }
}

/// Wide limits: what a sink refuses, its rules say.
fn server_settings(options: &SinkOptions) -> ServerSettings {
    ServerSettings {
        size_octets_max: 1 << 30,
        recipients_max: 10_000,
        command_octets_max: 4_096,
        errors_max: u32::MAX,
        junk_commands_max: u32::MAX,
        transactions_max: u32::MAX,
        chunks_max: 1_000_000,
        lmtp: options.lmtp,
        starttls: if options.tls == Some(TlsStart::Starttls) { StartTls::Offered } else { StartTls::None },
        vrfy: Vrfy::Off,
        ..ServerSettings::new("localhost".parse().expect("a label is a domain"))
    }
}

fn listen(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    let socket =
        if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    let bound = socket.bind(address).and_then(|()| socket.listen(BACKLOG));
    bound.with_context(|| format!("can not listen on {address}; choose another --listen"))
}

async fn accept(listener: TcpListener, shared: &Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(session::drive_session(stream, shared.clone()));
            }
            // Too many open files: sessions that end make room.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn keep_summary(path: Option<&Path>, shared: &Arc<Shared>) {
    let Some(path) = path else { return std::future::pending().await };
    loop {
        if let Ok(text) = serde_json::to_string(&shared.tally.summary()) {
            // A file that can not be written is told at the end, when it matters.
            let _ = replace_file(path, &text);
        }
        tokio::time::sleep(SUMMARY_EVERY).await;
    }
}

/// Replaces a file in one step: a reader never sees half of it.
fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text)?;
    std::fs::rename(fresh, path)
}

async fn stop_asked() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
