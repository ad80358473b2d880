//! What the demo runs: a relay with a settings file, an SMTP sink, an LMTP sink, a blocklist. All of them real, all of
//! them in a folder of their own, all of them gone afterwards.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::blocklist;
use crate::admin::Admin;
use crate::children::{spawn, start_sink, stop, wait_for_ports};

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
