//! `baton serve`: the relay from start to stop.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use baton_inbound::Sockets;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::ServeOptions;
use crate::logs::Log;
use crate::ports::write_ports;
use crate::relay::{OpenSockets, Relay, Running};
use crate::reload::Reloader;
use crate::settings::check::Checked;
use crate::watch::Watch;
use crate::{events, runtime, settings};

/// Runs the relay until it is asked to stop.
pub(crate) fn run(options: &ServeOptions) -> anyhow::Result<ExitCode> {
    let file = options.file.settings.as_deref();
    let checked =
        settings::load(file).map_err(|problems| anyhow!("the settings are not valid:\n{problems}"))?;
    // What needs root comes first, and then root is given up before anything else runs.
    let sockets = OpenSockets { inbound: Sockets::open(&checked.inbound)?, acme: open_acme(&checked)? };
    checked.privileges.give_up_others(&checked.state_path)?;
    let log = Log::start(&checked.log)?;
    runtime::raise_file_limit();
    runtime::give_back_freed_memory();
    let runtime = runtime::threads(checked.worker_threads)?;
    let code = runtime.block_on(serve(checked, sockets, options, &log))?;
    runtime.shutdown_background();
    Ok(code)
}

/// The port where an ACME authority asks.
fn open_acme(checked: &Checked) -> anyhow::Result<Option<std::net::TcpListener>> {
    let Some(acme) = &checked.acme else { return Ok(None) };
    let explain =
        || format!("tls.acme.listen: can not listen on {}; free the port, or start as root", acme.listen);
    let socket = std::net::TcpListener::bind(acme.listen).with_context(explain)?;
    socket.set_nonblocking(true).with_context(explain)?;
    Ok(Some(socket))
}

async fn serve(
    checked: Checked,
    sockets: OpenSockets,
    options: &ServeOptions,
    log: &Log,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let shutdown = CancellationToken::new();
    let relay = Relay::build(&checked, sockets, log).await?;
    let mut reloader = Reloader {
        path: options.file.settings.clone(),
        started: checked.raw.clone(),
        current: checked.raw.clone(),
        generation: relay.swappable.hooks.load().number(),
        engine: relay.engine.clone(),
        capabilities: relay.capabilities.clone(),
        http: relay.http.clone(),
        resolver: relay.resolver.clone(),
        swappable: relay.swappable.clone(),
        reporter: relay.reporter.clone(),
        delivery: relay.delivery(),
        store: relay.store.clone(),
        certificates: relay.certificates.clone(),
        listener_tls: relay.listener_tls.clone(),
        watch: Watch::default(),
    };
    reloader.follow(checked.watched.as_deref());
    let addresses = relay.addresses();
    let mut running = relay.start(&shutdown);
    if let Some(path) = &options.ports_file {
        write_ports(path, &addresses)?;
    }
    events::started(env!("CARGO_PKG_VERSION"), &checked.state_path, checked.plugins.len());
    let code = attend(&mut signals, &mut running, &mut reloader, log, &shutdown).await;
    drop(reloader);
    running.close().await;
    events::stopped();
    Ok(code)
}

/// Answers signals and wishes to reload until the stages have ended.
async fn attend(
    signals: &mut Signals,
    running: &mut Running,
    reloader: &mut Reloader,
    log: &Log,
    shutdown: &CancellationToken,
) -> ExitCode {
    let mut asked = false;
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop(name) if asked => {
                    events::stopping_at_once(name);
                    running.stages.abort();
                    return ExitCode::FAILURE;
                }
                Wish::Stop(name) => {
                    asked = true;
                    events::stopping(name);
                    shutdown.cancel();
                }
                // What came of it is told in the log; there is nobody else to tell.
                Wish::Reload => drop(reloader.reload(log).await),
            },
            () = reloader.watch.changed() => {
                events::files_changed();
                drop(reloader.reload(log).await);
            }
            // A caller that went away has its answer in the log.
            Some(wish) = running.wishes.recv() => match wish {
                baton_api::Wish::Reload { answer } => drop(answer.send(reloader.reload(log).await)),
                baton_api::Wish::Switch { answer } => drop(answer.send(reloader.switch().await)),
            },
            _ = &mut running.stages => {
                return if asked { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            }
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Wish::Stop("SIGINT"),
            _ = self.reload.recv() => Wish::Reload,
        }
    }
}

/// What a signal asks for.
enum Wish {
    Stop(&'static str),
    Reload,
}
