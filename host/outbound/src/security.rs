//! Which protection a next hop gets: the policy of the settings, and what came of it on a connection.

use std::collections::HashMap;
use std::sync::Arc;

use baton_mail::SystemClock;
use baton_mail::tls::Security;
use baton_tls::{Authorities, TlsClient, TlsClientSettings, Trust};

use crate::next_hop::NextHop;

/// How connections are protected.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// What holds where nothing else is said.
    pub default: TlsPolicy,
    /// What holds for particular next hops.
    pub by_next_hop: HashMap<NextHop, TlsPolicy>,
    /// What does the handshakes.
    pub client: Arc<TlsClient>,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        let client = TlsClient::new(&TlsClientSettings::default(), Arc::new(SystemClock));
        TlsSettings {
            default: TlsPolicy::default(),
            by_next_hop: HashMap::new(),
            client: Arc::new(client.expect("the default suites fit the default versions")),
        }
    }
}

impl TlsSettings {
    /// What holds for a next hop. A mail store beside the relay needs no protection unless that is asked for.
    pub(crate) fn policy(&self, next_hop: &NextHop) -> TlsPolicy {
        match (self.by_next_hop.get(next_hop), next_hop) {
            (Some(policy), _) => policy.clone(),
            (None, NextHop::Lmtp(_)) => TlsPolicy::with_mode(TlsUse::Off),
            (None, _) => self.default.clone(),
        }
    }
}

/// What a connection to a next hop needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsPolicy {
    /// When TLS begins.
    pub mode: TlsUse,
    /// Whose certificates are good enough where TLS is needed; every one without.
    pub authorities: Option<Authorities>,
    /// The name that the certificate must be for; the host's own without.
    pub name: Option<String>,
}

/// When TLS begins towards a next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsUse {
    /// Never.
    Off,
    /// By STARTTLS when that is offered and works; else the mail goes in plain text (RFC 7435).
    #[default]
    Opportunistic,
    /// By STARTTLS, or the mail waits.
    Required,
    /// With the connection, or the mail waits (RFC 8314 3.3).
    Implicit,
}

impl TlsPolicy {
    /// A policy without more to say.
    pub fn with_mode(mode: TlsUse) -> TlsPolicy {
        TlsPolicy { mode, ..TlsPolicy::default() }
    }

    /// The same, but TLS is needed and the other end must prove who it is.
    pub(crate) fn verified(self) -> TlsPolicy {
        let mode = if self.mode == TlsUse::Implicit { TlsUse::Implicit } else { TlsUse::Required };
        TlsPolicy { mode, authorities: Some(self.authorities.unwrap_or(Authorities::System)), ..self }
    }

    /// TLS is needed and the other end must prove who it is.
    pub(crate) fn is_verified(&self) -> bool {
        matches!(self.trust(), Trust::Verified(_))
    }

    /// Which certificates are good enough. Where mail would go in plain text as well, every one is.
    pub(crate) fn trust(&self) -> Trust {
        match (self.mode, &self.authorities) {
            (TlsUse::Required | TlsUse::Implicit, Some(authorities)) => Trust::Verified(authorities.clone()),
            _ => Trust::Anybody,
        }
    }
}

/// The connection is in plain text, and why.
pub(crate) fn plain(why: impl Into<String>) -> Option<Security> {
    Some(Security::Plain(why.into()))
}
