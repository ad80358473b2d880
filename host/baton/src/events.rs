//! What an operator reads about the relay as a whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use baton_api::FieldError;
use baton_api::wire::ReloadReport;
use baton_hooks::Switch;
use baton_tls::acme::AcmeError;
use baton_tls::{CertificateSet, TlsError};

/// The relay is ready.
pub(crate) fn started(version: &str, state_path: &Path, plugins: usize) {
    tracing::info!(target: "relay", version, state = %state_path.display(), plugins, "the relay runs");
}

/// The API takes connections.
pub(crate) fn api_listening(address: SocketAddr) {
    tracing::info!(target: "api", %address, "the API listens");
}

/// Links in messages lead here.
pub(crate) fn links_listening(address: SocketAddr) {
    tracing::info!(target: "api", %address, "tracked links and pages to unsubscribe answer");
}

/// Metrics and health answer.
pub(crate) fn metrics_listening(address: SocketAddr) {
    tracing::info!(target: "api", %address, "metrics and health answer");
}

/// Compiled plugins can not be kept.
pub(crate) fn cache_refused(reason: &str) {
    tracing::error!(target: "relay", reason, "the cache of compiled plugins is not used: each start compiles them anew");
}

/// Files can not be watched.
pub(crate) fn watch_failed(reason: &str) {
    tracing::error!(target: "relay", reason, "files can not be watched; changes wait for `baton reload`");
}

/// These certificates are shown from now on.
pub(crate) fn certificates_shown(set: &CertificateSet) {
    for info in set.infos() {
        let (file, names) = (info.file.display(), info.names.join(", "));
        tracing::info!(target: "listener", %file, names, "certificate in force");
        for advice in &info.advice {
            tracing::warn!(target: "listener", advice, "certificate");
        }
    }
}

/// An authority gave no certificate.
pub(crate) fn acme_failed(error: &AcmeError, wait: Duration) {
    let wait_s = wait.as_secs();
    tracing::error!(target: "listener", %error, wait_s, "no certificate by ACME; the one of before stays in force");
}

/// Changed certificates can not be used.
pub(crate) fn certificates_refused(errors: &[TlsError]) {
    for error in errors {
        tracing::error!(target: "listener", %error, "new certificates refused; the old ones stay in force");
    }
}

/// A watched file changed.
pub(crate) fn files_changed() {
    tracing::info!(target: "relay", "a watched file changed: reloading");
}

/// What the tags of plugins in registries stand for.
pub(crate) fn tags_resolved(advice: &[String]) {
    for advice in advice {
        tracing::info!(target: "hooks", "{advice}");
    }
}

/// New settings serve.
pub(crate) fn reloaded(report: &ReloadReport) {
    let applied = report.applied.join(", ");
    tracing::info!(target: "relay", generation = report.generation, applied, "settings reloaded");
    if !report.restart_needed.is_empty() {
        let keys = report.restart_needed.join(", ");
        tracing::warn!(target: "relay", keys, "these new settings wait for a restart");
    }
}

/// Plugins run as operators switched them.
pub(crate) fn plugins_switched(generation: u64, switches: &BTreeMap<String, Switch>) {
    let switched = switches.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    tracing::info!(target: "relay", generation, switched, "plugins switched");
}

/// New settings were refused.
pub(crate) fn reload_refused(errors: &[FieldError]) {
    for error in errors {
        tracing::error!(target: "relay", key = error.field, reason = error.message, "settings refused; nothing was changed");
    }
}

/// A stop was asked for.
pub(crate) fn stopping(signal: &str) {
    tracing::info!(target: "relay", signal, "stopping: no new mail; running sessions and deliveries come to an end");
}

/// A second stop was asked for.
pub(crate) fn stopping_at_once(signal: &str) {
    tracing::warn!(target: "relay", signal, "stopping at once; what was accepted stays in the queue");
}

/// All is put away.
pub(crate) fn stopped() {
    tracing::info!(target: "relay", "the relay has stopped");
}

/// A part ended that should run as long as the relay.
pub(crate) fn part_failed(part: &str, cause: &str) {
    tracing::error!(target: "relay", part, cause, "a part of the relay ended; stopping");
}

/// A report about others was sent, or not.
pub(crate) fn report_sent(told: &str) {
    tracing::info!(target: "relay", told, "report");
}

/// What was counted for reports could not be written down.
pub(crate) fn report_counts_lost(domain: &str, error: &dyn std::fmt::Display) {
    tracing::warn!(target: "relay", domain, %error, "counts for reports were lost");
}
