//! TLS on a link: by STARTTLS or with the connection, needed or only welcome.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::tls::{Security, TlsFlaw};
use baton_mail::{EnhancedCode, FailureClass, Phase, Status};
use baton_smtp::client::{ClientSettings, UseStartTls};
use baton_tls::{HandshakeFailure, Trust};
use bytes::BytesMut;
use tokio::time::timeout;

use super::{Link, Refusal, Shown, Stream};
use crate::metrics::Metrics;
use crate::security::{Published, Sts, TlsPolicy, TlsUse, plain};
use crate::settings::OutboundSettings;

/// What a link is opened with.
pub(crate) struct Opening<'a> {
    pub(crate) metrics: &'a Metrics,
    pub(crate) settings: &'a OutboundSettings,
    /// What is said in EHLO.
    pub(crate) ehlo: &'a str,
    /// The peer speaks LMTP.
    pub(crate) lmtp: bool,
    pub(crate) tls: &'a TlsPolicy,
    /// Which certificates are good enough.
    pub(crate) trust: Trust,
    /// Why the link must be in plain text although TLS is welcome: it failed a moment ago.
    pub(crate) plain_why: Option<&'a str>,
    /// Shows the dialogue to who looks on.
    pub(crate) shown: Shown,
}

impl Opening<'_> {
    /// Who demands TLS, where it is not the settings.
    fn demand(&self) -> Option<&'static str> {
        match (&self.trust, self.tls.mode, self.tls.published) {
            (Trust::Dane(_), ..) => Some("the TLSA records of the host demand it (DANE)"),
            (_, TlsUse::Required, Published { sts: Some(Sts::Enforced), .. }) => {
                Some("the MTA-STS policy of the domain demands it")
            }
            (_, TlsUse::Required, Published { dane: true, .. }) => Some("the host has TLSA records (DANE)"),
            _ => None,
        }
    }

    pub(super) fn client(&self) -> ClientSettings {
        let mut client = ClientSettings::new(self.ehlo);
        client.lmtp = self.lmtp;
        client.starttls = match self.tls.mode {
            TlsUse::Opportunistic if self.plain_why.is_none() => UseStartTls::WhenOffered,
            TlsUse::Required => UseStartTls::Always,
            TlsUse::Off | TlsUse::Opportunistic | TlsUse::Implicit => UseStartTls::Never,
        };
        client
    }
}

impl Link {
    /// The handshake. What came in plain text before it is dropped (RFC 3207 6).
    pub(super) async fn protect(&mut self, opening: &Opening<'_>) -> Result<(), Refusal> {
        self.input = BytesMut::new();
        self.deadline = None;
        let nothing: Box<dyn Stream> = Box::new(tokio::io::empty());
        let stream = std::mem::replace(&mut self.stream, nothing);
        let host = opening.tls.name.as_deref().unwrap_or(&self.remote.host).to_owned();
        let identity = opening.tls.identity.as_ref();
        // Boxed, so that a delivery does not carry the room of a handshake.
        let handshake =
            Box::pin(opening.settings.tls.client.connect(stream, &host, &opening.trust, identity));
        let bound = Duration::from_millis(opening.settings.timeouts.tls_ms);
        let shaken = timeout(bound, handshake).await.unwrap_or(Err(HandshakeFailure::Late));
        let (stream, facts) = shaken.map_err(|failure| {
            self.unprotected(&format!("TLS handshake: {failure}"), failure.flaw(), opening)
        })?;
        self.stream = Box::new(stream);
        self.show_note(&facts.to_string());
        self.remote.security = Some(Security::Protected(Arc::new(facts)));
        self.client.protect();
        Ok(())
    }

    /// RFC 3463 3.8: cryptographic failure. Not for good: keys and certificates are mended.
    pub(super) fn unprotected(&self, text: &str, flaw: TlsFlaw, opening: &Opening<'_>) -> Refusal {
        let text = match opening.demand() {
            Some(demand) => format!("{text}; {demand}"),
            None => text.to_owned(),
        };
        let status = Status::ours(Phase::Tls, FailureClass::Tls, EnhancedCode(4, 7, 5), text);
        Refusal { status: status.at(self.remote.clone()), permanent: false, flaw: Some(flaw) }
    }

    /// Notes and counts how the open link is protected, or why it is not.
    pub(super) fn note_security(&mut self, opening: &Opening<'_>) {
        if opening.tls.mode == TlsUse::Off {
            return;
        }
        if self.remote.security.is_none() {
            self.remote.security = match opening.plain_why {
                Some(why) => plain(why),
                None if self.client.capabilities().starttls => plain("the peer refused STARTTLS"),
                None => plain("the peer offers no TLS"),
            };
        }
        opening.metrics.count_security(match &self.remote.security {
            Some(Security::Protected(facts)) if facts.verified_subject().is_some() => "verified",
            Some(Security::Protected(_)) => "unverified",
            _ => "plain",
        });
    }
}
