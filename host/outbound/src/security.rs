//! Which protection a next hop gets: the policy of the settings, and what came of it on a connection.

use std::collections::HashMap;
use std::sync::Arc;

use baton_mail::SystemClock;
use baton_mail::tls::Security;
use baton_tls::{Authorities, CertificateFiles, TlsClient, TlsClientSettings, Trust};

use crate::login::Login;
use crate::next_hop::NextHop;
use crate::sts::{Mode, Policy};

/// How connections are protected.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// What holds where nothing else is said.
    pub default: TlsPolicy,
    /// What holds for particular next hops.
    pub by_next_hop: HashMap<NextHop, TlsPolicy>,
    /// TLSA records of mail hosts are heeded, where DNSSEC proves them. Default on.
    pub dane: bool,
    /// What does the handshakes.
    pub client: Arc<TlsClient>,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        let client = TlsClient::new(&TlsClientSettings::default(), Arc::new(SystemClock));
        TlsSettings {
            default: TlsPolicy::default(),
            by_next_hop: HashMap::new(),
            dane: true,
            client: Arc::new(client.expect("the default suites fit the default versions")),
        }
    }
}

impl TlsSettings {
    /// True when the settings say nothing of a next hop by itself, and TLS is not off: what domains publish is heeded.
    pub(crate) fn heeds_published(&self, next_hop: &NextHop) -> bool {
        !self.by_next_hop.contains_key(next_hop) && self.default.mode != TlsUse::Off
    }

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
    /// The certificate that is shown when the other end asks for one.
    pub identity: Option<CertificateFiles>,
    /// Who we are there, when that is asked.
    pub login: Option<Arc<Login>>,
    /// What the recipients' domain published about the mail host. The settings of a next hop come before that.
    pub published: Published,
}

/// What a domain published about the protection of one of its mail hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Published {
    /// By MTA-STS (RFC 8461); none without a policy.
    pub sts: Option<Sts>,
    /// The domain's mail hosts are proved by DNSSEC, so that their TLSA records count (RFC 7672 2.2.1).
    pub dane: bool,
}

impl Published {
    /// True when mail may have to wait for TLS.
    pub(crate) fn demands_tls(self) -> bool {
        self.dane || matches!(self.sts, Some(Sts::Enforced | Sts::Unlisted))
    }
}

/// What the MTA-STS policy of a domain says about a mail host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sts {
    /// Mail may go there, over TLS with a valid certificate.
    Enforced,
    /// Mail may not go there, unless TLSA records vouch for the host, which come first (RFC 8461 2).
    Unlisted,
    /// The same is only tried out, and failures are counted.
    Tested {
        /// The policy lists the host.
        listed: bool,
    },
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

    /// The same for a host that the settings do not name: it learns nothing of us.
    pub(crate) fn anonymous(self) -> TlsPolicy {
        TlsPolicy { identity: None, login: None, ..self }
    }

    /// The policy for a mail host by what its domain published; none when no mail may go there.
    pub(crate) fn at_host(self, host: &str, sts: Option<&Policy>, dane: bool) -> Option<TlsPolicy> {
        let sts = match sts {
            None => None,
            Some(policy) => match (policy.mode, policy.lists(host)) {
                (Mode::None, _) => None,
                (Mode::Testing, listed) => Some(Sts::Tested { listed }),
                (Mode::Enforce, true) => Some(Sts::Enforced),
                (Mode::Enforce, false) if dane => Some(Sts::Unlisted),
                (Mode::Enforce, false) => return None,
            },
        };
        let published = Published { sts, dane };
        Some(match sts {
            Some(Sts::Enforced) => TlsPolicy { published, ..self.verified() },
            _ => TlsPolicy { published, ..self },
        })
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
