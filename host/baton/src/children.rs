//! Processes of this program beside this one: a relay, a sink. Each works in a folder, says there what it says, and ends
//! with the value that stands for it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a process may take to listen. A relay compiles its plugins before it does.
const START_MAX: Duration = Duration::from_secs(50);
/// How long a process may take to stop.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Between looks at something that must come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts a sink that keeps what it gets in the folder `name`; answers its address too.
pub(crate) async fn start_sink(
    folder: &Path,
    name: &str,
    more: &[&str],
) -> anyhow::Result<(Child, SocketAddr)> {
    let ports = format!("{name}.ports");
    let words = ["sink", "--listen", "127.0.0.1:0", "--store", name, "--ports-file", &ports];
    let mut child = spawn(folder, name, &[&words[..], more].concat())?;
    let ports = wait_for_ports(folder, name, &mut child).await?;
    let address = ports.first().map(|(_, address)| *address).context("the sink told no address")?;
    Ok((child, address))
}

/// Starts this program with other words; what it says goes into a file.
pub(crate) fn spawn(folder: &Path, name: &str, words: &[&str]) -> anyhow::Result<Child> {
    let log = File::create(folder.join(format!("{name}.log")))?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    command.spawn().with_context(|| format!("can not start {name}"))
}

/// Waits until it listens, and says where.
pub(crate) async fn wait_for_ports(
    folder: &Path,
    name: &str,
    child: &mut Child,
) -> anyhow::Result<Vec<(String, SocketAddr)>> {
    let began = Instant::now();
    let path = folder.join(format!("{name}.ports"));
    loop {
        if let Ok(text) = std::fs::read_to_string(&path) {
            let read = |line: &str| {
                line.split_once(' ')
                    .and_then(|(name, address)| Some((name.to_owned(), address.parse().ok()?)))
            };
            return text
                .lines()
                .map(read)
                .collect::<Option<_>>()
                .context("the file of addresses is not understood");
        }
        if let Some(status) = child.try_wait()? {
            bail!("the {name} ended with {status}:\n{}", log_of(folder, name));
        }
        ensure!(began.elapsed() < START_MAX, "the {name} does not listen:\n{}", log_of(folder, name));
        sleep(LOOK_EVERY).await;
    }
}

/// What a process said.
pub(crate) fn log_of(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default()
}

/// Asks it to end, which it must do well.
pub(crate) async fn stop(name: &str, child: &mut Child) -> anyhow::Result<()> {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.with_context(|| format!("the {name} ended before it was asked to"))?;
    kill_process(pid, Signal::TERM)?;
    let status =
        timeout(STOP_MAX, child.wait()).await.with_context(|| format!("the {name} does not stop"))??;
    ensure!(status.success(), "the {name} ended with {status}");
    Ok(())
}
