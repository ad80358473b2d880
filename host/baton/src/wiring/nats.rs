//! What a connection to NATS begins with: secrets and certificates, read anew for each.

use std::path::PathBuf;
use std::sync::Arc;

use baton_events::nats::{NatsAccess, NatsGrant, NatsLogin, NatsSettings, Publisher};
use baton_mail::Clock;
use baton_outbound::LoginSecret;
use baton_tls::{CertificateFiles, TlsClient, TlsClientSettings, Trust};

/// Where events are published, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct NatsPlace {
    pub(crate) settings: NatsSettings,
    pub(crate) identity: NatsIdentity,
    pub(crate) trust: Trust,
    pub(crate) certificate: Option<CertificateFiles>,
}

/// Who we are there.
#[derive(Clone, Debug)]
pub(crate) enum NatsIdentity {
    Anybody,
    Password { user: String, password: LoginSecret },
    Token(LoginSecret),
    Nkey(LoginSecret),
    Credentials(PathBuf),
}

impl NatsIdentity {
    async fn login(self) -> Result<NatsLogin, String> {
        Ok(match self {
            NatsIdentity::Anybody => NatsLogin::Anybody,
            NatsIdentity::Password { user, password } => {
                NatsLogin::Password { user, password: password.read().await? }
            }
            NatsIdentity::Token(token) => NatsLogin::Token(token.read().await?),
            NatsIdentity::Nkey(seed) => NatsLogin::Nkey(seed.read().await?),
            NatsIdentity::Credentials(path) => {
                let read = tokio::fs::read_to_string(&path).await;
                NatsLogin::Credentials(read.map_err(|error| format!("{}: {error}", path.display()))?)
            }
        })
    }
}

/// What publishes there; nothing runs yet.
pub(super) fn publisher(place: &NatsPlace, clock: &Arc<dyn Clock>) -> anyhow::Result<Publisher> {
    let client = Arc::new(TlsClient::new(&TlsClientSettings::default(), Arc::clone(clock))?);
    let NatsPlace { settings, identity, trust, certificate } = place.clone();
    let grant: NatsGrant = Arc::new(move || {
        let (client, identity) = (Arc::clone(&client), identity.clone());
        let (trust, certificate) = (trust.clone(), certificate.clone());
        Box::pin(async move {
            let config = client.config(&trust, certificate.as_ref()).map_err(|error| error.to_string())?;
            Ok(NatsAccess { login: identity.login().await?, tls: (*config).clone() })
        })
    });
    Ok(Publisher::new(settings, grant))
}
