//! Reload: the next settings are read, checked and built beside the running ones, then swapped in at once.
//!
//! Invariant: when anything is wrong, nothing is changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use baton_api::FieldError;
use baton_api::wire::ReloadReport;
use baton_dns::Resolver;
use baton_hooks::host::{Capabilities, HttpBackend};
use baton_hooks::{Engine, Generation, PluginSettings, Switch};
use baton_identity::SignerError;
use baton_inbound::ListenerTls;
use baton_outbound::DeliveryView;
use baton_store::Store;
use baton_tls::{CertificateSet, CertificateSettings, TlsError};

use crate::events;
use crate::logs::Log;
use crate::registry::fetch_all;
use crate::relay::Swappable;
use crate::reporting::Reporter;
use crate::settings;
use crate::settings::check::Checked;
use crate::settings::field::Field;
use crate::settings::raw::Raw;
use crate::watch::Watch;
use crate::wiring::{CertificateKeeper, PluginHttp, fetch_by};

/// Keys, with all below them, whose new values wait for a restart: sockets, the store and what is built once.
const RESTART_KEYS: &[&str] = &[
    "hostname",
    "user",
    "group",
    "worker_threads",
    "drain_s",
    "store",
    "dns",
    "listeners",
    "tls.acme",
    "tls.handshakes_max",
    "engine",
    "events",
    "webhooks",
    "api.listen",
    "api.tls",
    "api.connections_max",
    "api.metrics_address",
    "api.admin_socket",
    "tracking.listen",
    "tracking.tls",
    "tracking.connections_max",
    "tracking.connection_s",
    "log.format",
    "log.buffer_lines_max",
    "session.sessions_max",
    "session.size_octets_max",
    "session.recipients_max",
    "session.command_octets_max",
    "session.line_octets_max",
    "session.errors_max",
    "session.junk_commands_max",
    "session.transactions_max",
    "session.chunks_max",
    "session.bare_line_endings",
    "session.hold_s_max",
    "session.vrfy",
    "session.binary_mime",
    "delivery.routing_max",
    "accounts.hashes_at_once_max",
];

/// What a reload changes all the same: below `listeners.NAME`, and elsewhere.
const LISTENER_KEYS: &[&str] = &["client_certificates", "client_ca_file"];
const RELOADED_KEYS: &[&str] = &["store.body_keys_file"];

/// Swaps settings of a running relay.
pub(crate) struct Reloader {
    pub(crate) path: Option<PathBuf>,
    /// As it was at the start.
    pub(crate) started: Raw,
    /// As it was read last.
    pub(crate) current: Raw,
    pub(crate) generation: u64,
    pub(crate) engine: Engine,
    pub(crate) capabilities: Capabilities,
    /// The client behind `capabilities.http`.
    pub(crate) http: Arc<PluginHttp>,
    pub(crate) resolver: Resolver,
    pub(crate) swappable: Swappable,
    pub(crate) reporter: Reporter,
    pub(crate) delivery: DeliveryView,
    /// Where it is kept what was switched of plugins.
    pub(crate) store: Store,
    pub(crate) certificates: Option<Arc<CertificateKeeper>>,
    pub(crate) listener_tls: Arc<ListenerTls>,
    pub(crate) watch: Watch,
}

impl Reloader {
    /// Reads the file again and serves by it, or says everything that is wrong with it.
    pub(crate) async fn reload(&mut self, log: &Log) -> Result<ReloadReport, Vec<FieldError>> {
        let reloaded = self.try_reload(log).await;
        if let Ok((_, watched)) = &reloaded {
            self.follow(watched.as_deref());
        }
        let reloaded = reloaded.map(|(report, _)| report);
        match &reloaded {
            Ok(report) => events::reloaded(report),
            Err(errors) => events::reload_refused(errors),
        }
        reloaded
    }

    /// Serves by what is switched of plugins now. The settings are not read again.
    pub(crate) async fn switch(&mut self) -> Result<(), String> {
        let switches = baton_api::switches(&self.store).await.map_err(|error| error.to_string())?;
        self.generation += 1;
        self.serve(self.swappable.hooks.load().switched(self.generation, &switches));
        events::plugins_switched(self.generation, &switches);
        Ok(())
    }

    /// Lets other plugins serve.
    fn serve(&self, generation: Generation) {
        self.swappable.feed.serve(&generation);
        let generation = Arc::new(generation);
        self.swappable.hooks.swap(Arc::clone(&generation)).retire(&generation);
    }

    /// Watches the settings file and these, or nothing.
    pub(crate) fn follow(&mut self, watched: Option<&[PathBuf]>) {
        let files = watched.map(|files| files.iter().chain(&self.path).cloned().collect::<Vec<_>>());
        self.watch.follow(&files.unwrap_or_default());
    }

    async fn try_reload(
        &mut self,
        log: &Log,
    ) -> Result<(ReloadReport, Option<Vec<PathBuf>>), Vec<FieldError>> {
        let checked = settings::load(self.path.as_deref()).map_err(|problems| {
            problems
                .iter()
                .map(|problem| FieldError { field: problem.key.clone(), message: problem.message() })
                .collect::<Vec<_>>()
        })?;
        if let Some(number) = self.store.body_key_conflict(&checked.store.body_keys) {
            let message = format!(
                "key {number} is another one than before, so mail that lies sealed could not be opened: put the old one back \
                 and give the new one a number of its own"
            );
            return Err(vec![FieldError { field: "store.body_keys_file".to_owned(), message }]);
        }
        let fetched = fetch_all(&checked).await;
        let mut fetched =
            fetched.map_err(|errors| errors.iter().map(|error| named(error)).collect::<Vec<_>>())?;
        let switches = baton_api::switches(&self.store).await;
        let switches = switches.map_err(|error| vec![named(&error.to_string())])?;
        fetched.advice.extend(switch(&mut fetched.plugins, switches));
        let http = self.next_http(&checked)?;
        let capabilities = Capabilities { http: http.clone(), ..self.capabilities.clone() };
        let number = self.generation + 1;
        let serving = self.swappable.hooks.load_full();
        let loaded =
            serving.load_next(&self.engine, number, &fetched.plugins, &checked.order, &capabilities).await;
        let generation = loaded
            .map_err(|errors| errors.iter().map(|error| named(&error.to_string())).collect::<Vec<_>>())?
            .with_thresholds(checked.thresholds.clone());
        let loaded = generation.plugins();
        let plugins = loaded.iter().map(|plugin| format!("{}@{}", plugin.name, plugin.digest)).collect();
        let certificates = self.load_certificates(&checked)?;
        let listener_tls = self
            .listener_tls
            .prepare(&checked.inbound)
            .map_err(|error| vec![FieldError { field: "tls".to_owned(), message: error.to_string() }])?;
        let advice = loaded.iter().flat_map(|plugin| &plugin.advice).map(ToString::to_string);
        let advice = fetched.advice.into_iter().chain(advice).collect();
        let (applied, restart_needed) = self.differences(&checked.raw);
        let watched = checked.watched.clone();
        let tracker = checked.tracking.load().map_err(|error| vec![named(&format!("{error:#}"))])?;
        // The last that can fail, as it swaps the keys by itself.
        let unsigned =
            |error: SignerError| FieldError { field: "signing".to_owned(), message: error.to_string() };
        self.swappable.signer.load(&self.swappable.domains).map_err(|error| vec![unsigned(error)])?;
        if let (Some(keeper), Some((settings, set))) = (&self.certificates, certificates) {
            keeper.replace(settings, set);
        }
        listener_tls.serve();
        (self.http, self.capabilities) = (http, capabilities);
        self.swappable.tracking.store(tracker);
        self.swap(checked, generation, log);
        self.generation = number;
        let report = ReloadReport { generation: number, plugins, applied, restart_needed, advice };
        Ok((report, watched))
    }

    /// The certificates of the next settings, where TLS is spoken since the start.
    fn load_certificates(
        &self,
        checked: &Checked,
    ) -> Result<Option<(CertificateSettings, CertificateSet)>, Vec<FieldError>> {
        let (Some(keeper), Some(settings)) = (&self.certificates, &checked.certificates) else {
            return Ok(None);
        };
        let field = |error: &TlsError| FieldError {
            field: "tls.certificates".to_owned(),
            message: error.to_string(),
        };
        let set = keeper.load(settings).map_err(|errors| errors.iter().map(field).collect::<Vec<_>>())?;
        Ok(Some((settings.clone(), set)))
    }

    /// The client that serves when it is as the settings want it, or another one. What runs in an older generation ends
    /// with the older client.
    fn next_http(&self, checked: &Checked) -> Result<Arc<PluginHttp>, Vec<FieldError>> {
        let made = PluginHttp::new(checked.http.clone(), self.resolver.clone());
        let next = made.map_err(|error| vec![named(&format!("{error:#}"))])?;
        Ok(if next.is_like(&self.http) { Arc::clone(&self.http) } else { Arc::new(next) })
    }

    /// Changed keys: those that serve from now on, and those that wait for a restart since the start.
    fn differences(&self, new: &Raw) -> (Vec<String>, Vec<String>) {
        let waits = |key: &String| waits_for_restart(key);
        let (mut applied, mut restart) = (Vec::new(), Vec::new());
        self.current.differ(new, "", &mut applied);
        self.started.differ(new, "", &mut restart);
        applied.retain(|key| !waits(key));
        restart.retain(waits);
        (applied, restart)
    }

    fn swap(&mut self, checked: Checked, generation: Generation, log: &Log) {
        let serving = self.swappable.outbound.load_full();
        let mut outbound = checked.outbound;
        // What hangs on open sockets and on the name they greet with stays as it is until a restart.
        outbound.hostname = serving.hostname.clone();
        outbound.loops.own_addresses = serving.loops.own_addresses.clone();
        Arc::make_mut(&mut outbound.sources).catalog = serving.sources.catalog.clone();
        outbound.limits.drain_ms = serving.limits.drain_ms;
        outbound.limits.lane_weights = serving.limits.lane_weights;
        self.swappable.authenticator.replace_settings(checked.accounts, fetch_by(&self.http));
        self.swappable.policy.store(Arc::new(checked.policy));
        self.reporter.replace_settings(checked.reporting);
        self.swappable.suppression.set_rules(checked.suppression);
        self.swappable.api.store(Arc::new(checked.api.limits));
        self.swappable.outbound.store(Arc::new(outbound));
        self.store.set_body_keys(checked.store.body_keys);
        self.delivery.note_reload();
        let client: Arc<dyn HttpBackend> = self.http.clone();
        self.swappable.client.store(Arc::new(client));
        self.serve(generation);
        if let Err(error) = log.set_filter(&checked.log.filter) {
            tracing::error!(target: "relay", %error, "the log filter was not changed");
        }
        log.hide_addresses(checked.log.hides_addresses);
        self.current = checked.raw;
    }
}

/// Lets plugins run as they were switched. Answers which switches change nothing, each with the key that they are about.
fn switch(plugins: &mut [PluginSettings], mut switches: BTreeMap<String, Switch>) -> Vec<String> {
    let mut advice = Vec::new();
    for plugin in plugins {
        plugin.switch = switches.remove(&plugin.name);
        let next = plugin.switch.as_ref().and_then(|switch| switch.next.as_ref());
        if next.is_some() && plugin.run.next.is_none() {
            let name = &plugin.name;
            advice.push(format!("plugins.{name}.next: it is switched, and the settings name no new version"));
        }
    }
    let gone = |name| format!("plugins.{name}: it is switched, and not loaded: `baton plugin clear {name}`");
    advice.extend(switches.keys().map(gone));
    advice
}

/// An error of the plugin host begins with the key that it is about.
fn named(error: &str) -> FieldError {
    let (field, message) = error.split_once(": ").unwrap_or(("plugins", error));
    FieldError { field: field.to_owned(), message: message.to_owned() }
}

/// True when the new value of a key is not used before a restart.
fn waits_for_restart(key: &str) -> bool {
    let below_listener = key.strip_prefix("listeners.").and_then(|rest| rest.split_once('.'));
    let follows =
        below_listener.is_some_and(|(_, name)| LISTENER_KEYS.contains(&name)) || RELOADED_KEYS.contains(&key);
    !follows && RESTART_KEYS.iter().any(|fixed| is_within(key, fixed))
}

/// True when `key` is `parent` or below it.
fn is_within(key: &str, parent: &str) -> bool {
    key.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_by_whole_names() {
        assert!(is_within("store.path", "store") && is_within("store", "store"));
        assert!(!is_within("storeroom", "store"));
    }

    #[test]
    fn how_listeners_speak_tls_follows_a_reload_and_where_they_listen_does_not() {
        for key in ["listeners.smtp.client_ca_file", "tls.minimum_version", "clients.greet_delay_ms"] {
            assert!(!waits_for_restart(key), "{key}");
        }
        for key in
            ["listeners.smtp", "listeners.smtp.tls", "listeners.smtp.networks", "tls.acme.names", "user"]
        {
            assert!(waits_for_restart(key), "{key}");
        }
    }

    #[test]
    fn a_switch_without_an_effect_is_told() {
        let mut plugins = ["guard", "other"].map(|name| PluginSettings::new(name, "x.wasm"));
        let next = baton_hooks::NextSwitch { mode: baton_hooks::NextMode::Canary, percent: 5, tenant: None };
        let switch_of =
            |next| Switch { mode: None, next, by: "operator".to_owned(), at: baton_mail::UnixMs(1) };
        let switches =
            [("guard", Some(next)), ("gone", None)].map(|(name, next)| (name.to_owned(), switch_of(next)));
        let advice = switch(&mut plugins, switches.into());
        assert!(
            advice[0].starts_with("plugins.guard.next: ") && advice[1].starts_with("plugins.gone: "),
            "{advice:?}"
        );
        assert!(plugins[0].switch.is_some() && plugins[0].next().is_none() && plugins[1].switch.is_none());
    }

    #[test]
    fn changed_keys_are_named_one_by_one() {
        let mut new = Raw::default();
        new.session.command_s = 7;
        new.next_hops.0.push(("a".to_owned(), Default::default()));
        let mut keys = Vec::new();
        Raw::default().differ(&new, "", &mut keys);
        assert_eq!(keys, ["session.command_s", "next_hops.a"]);
    }
}
