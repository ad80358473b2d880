//! The proofs that names are ours, while an authority asks for them, and the port at which it does.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::ChallengeType;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{alpn, http};

/// How it is proved that a name is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// By a text at port 80 (RFC 8555 8.3).
    #[default]
    Http01,
    /// By a certificate at port 443 (RFC 8737).
    TlsAlpn01,
}

impl Proof {
    /// The port of the name that the authority comes to.
    pub fn port(self) -> u16 {
        match self {
            Proof::Http01 => 80,
            Proof::TlsAlpn01 => 443,
        }
    }

    pub(super) fn challenge(self) -> ChallengeType {
        match self {
            Proof::Http01 => ChallengeType::Http01,
            Proof::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Proof::Http01 => "http-01",
            Proof::TlsAlpn01 => "tls-alpn-01",
        })
    }
}

/// What the authority may ask for now.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    /// By their tokens.
    texts: HashMap<String, String>,
    /// By the names that they prove.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Challenges {
    pub(super) fn publish_text(&self, token: &str, text: &str) {
        self.0.lock().texts.insert(token.to_owned(), text.to_owned());
    }

    pub(super) fn publish_certificate(&self, name: &str, certificate: CertifiedKey) {
        self.0.lock().certificates.insert(name.to_owned(), Arc::new(certificate));
    }

    pub(super) fn withdraw_all(&self) {
        *self.0.lock() = Answers::default();
    }

    pub(super) fn text(&self, token: &str) -> Option<String> {
        self.0.lock().texts.get(token).cloned()
    }

    pub(super) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.0.lock().certificates.get(name).cloned()
    }
}

/// Answers the authority for ever. Nothing else is served.
pub async fn serve_challenges(listener: TcpListener, challenges: Challenges, proof: Proof) {
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        if running.len() >= CONNECTIONS_MAX {
            running.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let challenges = challenges.clone();
                running.spawn(async move {
                    // Whoever is slow or gone needs no answer.
                    let _ = match proof {
                        Proof::Http01 => timeout(PATIENCE, http::serve(stream, &challenges)).await,
                        Proof::TlsAlpn01 => timeout(PATIENCE, alpn::serve(stream, challenges)).await,
                    };
                });
            }
            // Too many open files: connections that end make room.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

const CONNECTIONS_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
