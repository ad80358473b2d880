//! NATS servers that events are published to.

use std::time::Duration;

use baton_events::nats::NatsSettings;
use baton_tls::{Authorities, CertificateFiles, TlsClient, TlsClientSettings, Trust};
use url::Url;

use super::Checker;
use crate::settings::raw::RawEventNats;
use crate::wiring::{NatsIdentity, NatsPlace};

const SERVER_REMEDY: &str =
    "write scheme, host and port, such as \"nats://127.0.0.1:4222\" or \"tls://nats.example:4222\"";

impl Checker<'_> {
    pub(super) fn event_nats(&mut self, name: &str, raw: &RawEventNats) -> Option<NatsPlace> {
        let at = format!("events.nats.{name}");
        let key = |member: &str| format!("{at}.{member}");
        self.follower_name("events.nats", name);
        let servers: Vec<Url> = raw.servers.iter().filter_map(|text| self.nats_server(&at, text)).collect();
        if raw.servers.is_empty() {
            self.problems.push(&key("servers"), None, "is missing", SERVER_REMEDY);
        }
        let remedy = "write a subject such as \"baton.{tenant}.{stream}.{type}\"";
        let subject = self.parse(&key("subject"), &raw.subject, remedy);
        let identity = self.nats_identity(&at, raw, &servers);
        let (authorities, certificate) = (self.nats_authorities(&at, raw), self.nats_certificate(&at, raw));
        let mut time = |member: &str, value, most| {
            Duration::from_millis(self.bound(&format!("{at}.{member}"), value, 1, most))
        };
        let (connect_timeout, acknowledge_timeout) = (
            time("connect_ms", raw.connect_ms, 600_000),
            time("acknowledge_ms", raw.acknowledge_ms, 600_000),
        );
        let (retry_first, retry_max) = (
            time("retry_first_ms", raw.retry_first_ms, 3_600_000),
            time("retry_max_ms", raw.retry_max_ms, 86_400_000),
        );
        let settings = NatsSettings {
            name: name.to_owned(),
            servers: servers.iter().map(|server| server.as_str().to_owned()).collect(),
            subject: subject?,
            connect_timeout,
            acknowledge_timeout,
            unacknowledged_max: self.bound(&key("unacknowledged_max"), raw.unacknowledged_max, 1, 1_000),
            retry_first,
            retry_max,
            filter: self.event_filter(&at, raw.tenant.as_ref(), &raw.streams, &raw.kinds),
        };
        Some(NatsPlace { settings, identity: identity?, trust: Trust::Verified(authorities), certificate })
    }

    fn nats_server(&mut self, at: &str, text: &str) -> Option<Url> {
        let reason = match Url::parse(text) {
            Err(error) => error.to_string(),
            Ok(url) if !matches!(url.scheme(), "nats" | "tls") => {
                "only nats:// and tls:// are spoken".to_owned()
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "names and secrets have keys of their own".to_owned()
            }
            Ok(url) if url.host_str().is_none_or(str::is_empty) => "the host is missing".to_owned(),
            Ok(url) => return Some(url),
        };
        // Not shown: it may hold a secret.
        self.problems.push(&format!("{at}.servers"), None, reason, SERVER_REMEDY);
        None
    }

    /// Who we are there.
    fn nats_identity(&mut self, at: &str, raw: &RawEventNats, servers: &[Url]) -> Option<NatsIdentity> {
        let given = [
            raw.user.is_some() || raw.password.is_some(),
            raw.token.is_some(),
            raw.nkey.is_some(),
            raw.credentials_file.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 || raw.user.is_some() != raw.password.is_some() {
            let reason = "there is one way to log in: user and password, token, nkey, or credentials_file";
            self.problems.push(at, None, reason, "keep one of them");
            return None;
        }
        let is_near = |server: &Url| match server.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            // Of another scheme than the web's, all hosts are texts.
            Some(url::Host::Domain(name)) => {
                name == "localhost"
                    || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            None => false,
        };
        let is_open = servers.iter().any(|server| server.scheme() != "tls" && !is_near(server));
        if (raw.password.is_some() || raw.token.is_some()) && is_open && !raw.without_tls {
            let reason = "the secret would cross the network in plain text";
            let remedy = "write tls:// in place of nats://, or set without_tls = true";
            self.problems.push(&format!("{at}.servers"), None, reason, remedy);
        }
        let mut secret = |member: &str, raw| self.secret_source(&format!("{at}.{member}"), raw);
        Some(match (&raw.user, &raw.password, &raw.token, &raw.nkey, &raw.credentials_file) {
            (Some(user), Some(password), ..) => {
                NatsIdentity::Password { user: user.clone(), password: secret("password", password)? }
            }
            (_, _, Some(token), ..) => NatsIdentity::Token(secret("token", token)?),
            (_, _, _, Some(seed), _) => NatsIdentity::Nkey(secret("nkey", seed)?),
            (.., Some(path)) => NatsIdentity::Credentials(self.folder.join(path)),
            _ => NatsIdentity::Anybody,
        })
    }

    fn nats_authorities(&mut self, at: &str, raw: &RawEventNats) -> Authorities {
        let Some(path) = &raw.tls_ca_file else { return Authorities::System };
        let authorities = Authorities::File(self.folder.join(path));
        if let Err(error) = nats_client().and_then(|client| client.prepare(&authorities)) {
            self.problems.push(&format!("{at}.tls_ca_file"), None, error, "correct the file or the path");
        }
        authorities
    }

    fn nats_certificate(&mut self, at: &str, raw: &RawEventNats) -> Option<CertificateFiles> {
        let key = format!("{at}.tls_certificate");
        match (&raw.tls_certificate, &raw.tls_key) {
            (None, None) => None,
            (Some(chain), Some(own)) => {
                let files = CertificateFiles { chain: self.folder.join(chain), key: self.folder.join(own) };
                if let Err(error) = nats_client().and_then(|client| client.prepare_identity(&files)) {
                    self.problems.push(&key, None, error, "correct the files or the paths");
                }
                Some(files)
            }
            _ => {
                let reason = "a certificate is shown with its key";
                self.problems.push(&key, None, reason, "give both, tls_certificate and tls_key");
                None
            }
        }
    }
}

fn nats_client() -> Result<TlsClient, baton_tls::TlsError> {
    TlsClient::new(&TlsClientSettings::default(), std::sync::Arc::new(baton_mail::SystemClock))
}
