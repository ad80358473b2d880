//! What the demo runs: a relay with a settings file, an SMTP sink, an LMTP sink, a blocklist. All of them real, all of
//! them in a folder of their own, all of them gone afterwards.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::blocklist;
use crate::admin::Admin;

/// How long a process may take to listen. The relay compiles seven plugins before it does.
const START_MAX: Duration = Duration::from_secs(50);
/// How long a process may take to stop.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Between looks at something that must come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The password of the demo's user, whose argon2id hash is in [`USERS`].
pub(super) const CREDENTIALS: &str = "dora:correct horse";

const USERS: &str = r#"[users]
dora = "$argon2id$v=19$m=4096,t=3,p=1$ZGVtby1zYWx0LW9mLTE2Yg$FmLmVV5pycWl96w3YjCZ1EufMs+539Z9UIcDTE8I7l0"
"#;

const REPLIES: &str = r#"# A greylisting site: the first attempt is put off.
[[rule]]
phase = "rcpt"
recipient = "*@slow.example"
reply = "451 4.7.1 greylisted, come back later"
times = 1

# A site where nobody lives.
[[rule]]
phase = "rcpt"
recipient = "*@gone.example"
reply = "550 5.1.1 no such user here"
"#;

/// The running demo.
pub(super) struct Stage {
    pub(super) folder: PathBuf,
    pub(super) smtp: SocketAddr,
    pub(super) submission: SocketAddr,
    relay: Child,
    sinks: Vec<Child>,
    blocklist: JoinHandle<()>,
}

impl Stage {
    /// Starts everything in `folder`.
    pub(super) async fn start(folder: &Path, plugins: &Path) -> anyhow::Result<Stage> {
        let plugins = std::fs::canonicalize(plugins).with_context(|| {
            format!("--plugins: there is no folder {}; build the plugins first", plugins.display())
        })?;
        std::fs::write(folder.join("users.toml"), USERS)?;
        std::fs::write(folder.join("replies.toml"), REPLIES)?;
        let (dns, blocklist) = blocklist::start().await?;
        let (sink, sink_address) = start_sink(folder, "sink", &["--replies", "replies.toml"]).await?;
        let (mailstore, mailstore_address) = start_sink(folder, "mailstore", &["--lmtp"]).await?;
        let settings = settings(&plugins, dns, sink_address, mailstore_address);
        std::fs::write(folder.join("baton.toml"), settings)?;
        let mut relay =
            spawn(folder, "relay", &["serve", "--settings", "baton.toml", "--ports-file", "relay.ports"])?;
        let ports = wait_for_ports(folder, "relay", &mut relay).await?;
        let find = |name: &str| {
            let port = ports.iter().find(|(found, _)| found == name);
            port.map(|(_, address)| *address).with_context(|| format!("the relay has no listener {name}"))
        };
        Ok(Stage {
            folder: folder.to_owned(),
            smtp: find("smtp")?,
            submission: find("submission")?,
            relay,
            sinks: vec![sink, mailstore],
            blocklist,
        })
    }

    /// The relay's admin interface.
    pub(super) fn admin(&self) -> Admin {
        Admin::at(&self.folder.join("spool/admin.sock"))
    }

    /// Where a sink keeps what it gets.
    pub(super) fn mail_of(&self, sink: &str) -> PathBuf {
        self.folder.join(sink)
    }

    /// Stops everything; each process must end well.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        stop("relay", &mut self.relay).await?;
        for sink in &mut self.sinks {
            stop("sink", sink).await?;
        }
        self.blocklist.abort();
        Ok(())
    }
}

/// The settings file of the demo: all six hooks, all seven plugins.
fn settings(plugins: &Path, dns: SocketAddr, sink: SocketAddr, mailstore: SocketAddr) -> String {
    let source = |name: &str| {
        let file = plugins.join(format!("baton_plugin_{}.wasm", name.replace('-', "_")));
        format!("[plugins.{name}]\nsource = {:?}\n", file.display().to_string())
    };
    let zone = blocklist::ZONE;
    [
        "hostname = \"relay.demo.example\"\nlocal_domains = [\"local.example\"]\n\
         [store]\npath = \"spool\"\n\
         [session]\nauth_failure_delay_ms = 100\n\
         [listeners.smtp]\naddress = \"127.0.0.1:0\"\n\
         [listeners.submission]\naddress = \"127.0.0.1:0\"\nkind = \"submission\"\nauth_without_tls = true\n"
            .to_owned(),
        format!("[dns]\nservers = [\"{dns}\"]\ntimeout_ms = 2000\n"),
        format!("[next_hops.sink]\nhosts = [\"{sink}\"]\n[next_hops.mailstore]\nlmtp = \"{mailstore}\"\n"),
        "[[routes]]\ndomain = \"*\"\nnext_hop = \"sink\"\n".to_owned(),
        "[hooks]\nconnect = [\"dnsbl\", \"rate-limit\"]\nrcpt = [\"rate-limit\", \"recipient-policy\"]\n".to_owned(),
        source("dnsbl"),
        format!("hooks = [\"connect\"]\ngrants.dns = true\nconfig.exempt_networks = []\nconfig.zones = [{{ zone = \"{zone}\", reject = true }}]\n"),
        source("rate-limit"),
        "grants.kv = [\"rate-limit\"]\nconfig.rules = [\n\
         { name = \"connections\", at = \"connect\", key = \"{ip}\", burst = 200, period_s = 60 },\n\
         { name = \"recipients\", at = \"rcpt\", key = \"{sender}\", burst = 200, period_s = 60 },\n]\n"
            .to_owned(),
        source("auth-static"),
        "config_file = \"users.toml\"\nlimits.cpu_ms = 2000\n".to_owned(),
        source("recipient-policy"),
        "grants.edit = [\"recipients\"]\n\
         config.alias.\"office@local.example\" = [\"ann@local.example\", \"bob@local.example\"]\n\
         config.reject.\"old@local.example\" = \"550 5.1.6 moved to new@local.example\"\n"
            .to_owned(),
        source("header-rules"),
        "grants.edit = [\"headers\"]\nconfig.rules = [\n\
         { name = \"newsletter\", match = { sender = \"lists.example\" }, then = { set = { \"X-Kind\" = \"newsletter\" }, tag = { kind = \"newsletter\" } } },\n]\n"
            .to_owned(),
        source("route-map"),
        "grants.route = [\"mailstore\"]\nconfig.routes.\"archive.example\" = \"mailstore\"\n".to_owned(),
        source("bounce-rules"),
        "config.rules = [\n\
         { name = \"greylisted\", contains = \"greylisted\", set_class = \"greylist\", action = \"retry\", retry_after_s = 1 },\n]\n"
            .to_owned(),
    ]
    .concat()
}

async fn start_sink(folder: &Path, name: &str, more: &[&str]) -> anyhow::Result<(Child, SocketAddr)> {
    let ports = format!("{name}.ports");
    let words = ["sink", "--listen", "127.0.0.1:0", "--store", name, "--ports-file", &ports];
    let mut child = spawn(folder, name, &[&words[..], more].concat())?;
    let ports = wait_for_ports(folder, name, &mut child).await?;
    let address = ports.first().map(|(_, address)| *address).context("the sink told no address")?;
    Ok((child, address))
}

/// Starts this program with other words; what it says goes into a file.
fn spawn(folder: &Path, name: &str, words: &[&str]) -> anyhow::Result<Child> {
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

async fn wait_for_ports(
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

/// What a process of the demo said.
pub(super) fn log_of(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default()
}

async fn stop(name: &str, child: &mut Child) -> anyhow::Result<()> {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.with_context(|| format!("the {name} ended before it was asked to"))?;
    kill_process(pid, Signal::TERM)?;
    let status =
        timeout(STOP_MAX, child.wait()).await.with_context(|| format!("the {name} does not stop"))??;
    ensure!(status.success(), "the {name} ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_demo_are_valid() {
        let address = "127.0.0.1:1".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("users.toml"), USERS).unwrap();
        let text = settings(Path::new("/plugins"), address, address, address);
        let checked =
            crate::settings::load_text(&text, folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!((checked.plugins.len(), checked.inbound.listeners.len()), (7, 2));
    }
}
