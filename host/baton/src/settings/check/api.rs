//! The interfaces over HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use baton_api::{ApiSettings as ApiLimits, ConsoleSettings};
use baton_mail::tenant::Requirements;
use baton_tls::TlsServerSettings;

use super::inbound::NETWORKS_REMEDY;
use super::{ADDRESS_REMEDY, Checker};
use crate::settings::raw::{Raw, RawApi, RawListener};

/// Where the interfaces are, and their bounds.
#[derive(Clone, Debug)]
pub(crate) struct ApiSettings {
    pub(crate) metrics_address: Option<SocketAddr>,
    pub(crate) admin_socket: PathBuf,
    /// Where the API listens; none when it is off.
    pub(crate) listen: Option<SocketAddr>,
    /// How it speaks TLS; none when it does not.
    pub(crate) tls: Option<TlsServerSettings>,
    /// Open connections to the API.
    pub(crate) connections_max: usize,
    pub(crate) limits: ApiLimits,
}

impl Checker<'_> {
    pub(super) fn api(
        &mut self,
        raw: &Raw,
        state_path: &Path,
        streams: HashMap<String, Requirements>,
    ) -> ApiSettings {
        let address = raw.api.metrics_address.as_deref();
        let listen = raw.api.listen.as_deref();
        let listen = listen.and_then(|text| self.parse("api.listen", text, ADDRESS_REMEDY));
        let limits = ApiLimits { streams, ..self.api_limits(raw) };
        self.check_plain(&raw.api, listen);
        let is_protected = raw.api.tls.enabled;
        ApiSettings {
            metrics_address: address.and_then(|text| self.parse("api.metrics_address", text, ADDRESS_REMEDY)),
            admin_socket: self.admin_socket(&raw.api, state_path),
            listen,
            tls: is_protected
                .then(|| self.tls_server("api.tls", &RawListener::default(), &raw.tls))
                .flatten(),
            connections_max: self.bound("api.connections_max", raw.api.connections_max, 1, 1_000_000),
            limits,
        }
    }

    fn api_limits(&mut self, whole: &Raw) -> ApiLimits {
        let raw = &whole.api;
        let body = self.bound("api.body_octets_max", raw.body_octets_max, 1 << 10, 1 << 30);
        ApiLimits {
            trusted_networks: self.parse_all("api.trusted_networks", &raw.trusted_networks, NETWORKS_REMEDY),
            body_octets_max: body,
            memory_octets_max: self.bound("api.memory_octets_max", raw.memory_octets_max, body, 1 << 40),
            request_s: self.bound("api.request_s", raw.request_s, 1, 3_600),
            requests_per_minute: self.bound(
                "api.requests_per_minute",
                raw.requests_per_minute,
                1,
                100_000_000,
            ),
            console: ConsoleSettings {
                enabled: raw.console.enabled,
                session_s: self.bound("api.console.session_s", raw.console.session_s, 60, 31_536_000),
                idle_s: self.bound("api.console.idle_s", raw.console.idle_s, 60, 31_536_000),
                sessions_max: self.bound("api.console.sessions_max", raw.console.sessions_max, 1, 1_000_000),
            },
            audit_days: self.bound("api.audit_days", raw.audit_days, 1, 36_500),
            message_octets_max: whole.session.size_octets_max,
            recipients_max: self.bound("api.recipients_max", raw.recipients_max, 1, 50_000),
            batch_messages_max: self.bound("api.batch_messages_max", raw.batch_messages_max, 1, 100_000),
            schedule_days_max: self.bound("api.schedule_days_max", raw.schedule_days_max, 0, 3_650),
            idempotency_hours: self.bound("api.idempotency_hours", raw.idempotency_hours, 1, 8_760),
            upload_hours: self.bound("api.upload_hours", raw.upload_hours, 1, 8_760),
            templates: self.templates(&whole.templates),
            streams: HashMap::new(),
        }
    }

    /// Tokens must not cross a network that others can read.
    fn check_plain(&mut self, raw: &RawApi, listen: Option<SocketAddr>) {
        let is_open = listen.is_some_and(|address| !address.ip().is_loopback());
        if is_open && !raw.tls.enabled && raw.trusted_networks.is_empty() {
            let reason = "tokens would cross the network in plain text";
            let remedy = "set api.tls.enabled = true, or listen on loopback, or name the proxies that speak TLS for it in api.trusted_networks";
            self.problems.push("api.listen", raw.listen.clone(), reason, remedy);
        }
    }

    fn admin_socket(&mut self, raw: &RawApi, state_path: &Path) -> PathBuf {
        let admin_socket = socket_path(raw, self.folder, state_path);
        if admin_socket.as_os_str().len() > SOCKET_PATH_OCTETS_MAX {
            let reason = format!("the system takes {SOCKET_PATH_OCTETS_MAX} octets for the path of a socket");
            let value = Some(admin_socket.display().to_string());
            let remedy = "set a shorter path, such as \"/run/baton/admin.sock\"";
            self.problems.push("api.admin_socket", value, reason, remedy);
        }
        admin_socket
    }
}

/// `sun_path` of unix(7) with its closing zero, less the suffix under which the socket is made.
const SOCKET_PATH_OCTETS_MAX: usize = 103;

/// Where the admin socket is.
pub(super) fn socket_path(raw: &RawApi, folder: &Path, state_path: &Path) -> PathBuf {
    match &raw.admin_socket {
        Some(path) => folder.join(path),
        None => state_path.join("admin.sock"),
    }
}
