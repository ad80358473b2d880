//! Why a plugin can not be fetched, and what helps.

use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;

use super::source::Source;

/// Octets of a registry's own words that are shown.
const WORDS_OCTETS_MAX: usize = 300;

/// Why, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {remedy}")]
pub(crate) struct RegistryError {
    reason: String,
    remedy: String,
}

impl RegistryError {
    pub(super) fn new(reason: impl Into<String>, remedy: impl Into<String>) -> RegistryError {
        RegistryError { reason: reason.into(), remedy: remedy.into() }
    }

    /// What the client says, in terms of who asked for what.
    pub(super) fn of(error: &OciDistributionError, source: &Source, auth: &RegistryAuth) -> RegistryError {
        use OciDistributionError as E;
        let registry = source.registry();
        match error {
            E::RequestError(error) if error.is_timeout() => RegistryError::slow(registry),
            E::RequestError(error) => RegistryError::new(
                format!("the registry {registry} can not be asked: {}", innermost(error)),
                "see that it runs and speaks TLS (or list it in registry.plain_http, or set registry.ca_file); \
                 a plugin that was pulled and is pinned by its digest needs no registry",
            ),
            E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => refused(registry, auth),
            E::RegistryError { envelope, .. }
                if envelope
                    .errors
                    .iter()
                    .any(|error| matches!(error.code, OciErrorCode::Unauthorized | OciErrorCode::Denied)) =>
            {
                refused(registry, auth)
            }
            E::RegistryError { envelope, .. }
                if envelope.errors.iter().any(|error| is_unknown(&error.code)) =>
            {
                absent(source)
            }
            E::ServerError { code: 404, .. } | E::ImageManifestNotFoundError(_) => absent(source),
            E::ServerError { code: 401 | 403, .. } => refused(registry, auth),
            E::ServerError { code, message, .. } => RegistryError::new(
                format!("the registry {registry} answers {code}: {}", words(message)),
                "try again, or ask those who run it",
            ),
            E::DigestError(error) => mangled(&error.to_string()),
            E::IoError(error) if error.to_string().contains("igest") => mangled(&error.to_string()),
            other => RegistryError::new(
                format!(
                    "the registry {registry} does not answer as registries do: {}",
                    words(&other.to_string())
                ),
                "see that the source names a registry and a plugin in it",
            ),
        }
    }

    /// There was no answer in time.
    pub(super) fn slow(registry: &str) -> RegistryError {
        RegistryError::new(
            format!("the registry {registry} did not answer in time"),
            "try again, or raise registry.pull_ms",
        )
    }
}

fn refused(registry: &str, auth: &RegistryAuth) -> RegistryError {
    match auth {
        RegistryAuth::Anonymous => RegistryError::new(
            format!("the registry {registry} wants credentials, and there are none for it"),
            "name a file with them as registry.credentials_file (what `docker login` writes)",
        ),
        _ => RegistryError::new(
            format!("the registry {registry} refuses the credentials"),
            "log in again, and see that the account may read the plugin",
        ),
    }
}

fn absent(source: &Source) -> RegistryError {
    RegistryError::new(
        format!("the registry has no {}", source.version()),
        "see how the plugin and its versions are called there",
    )
}

fn mangled(words: &str) -> RegistryError {
    RegistryError::new(
        format!("what the registry sent is not what its digest says: {words}"),
        "do not use it; ask those who run the registry",
    )
}

fn is_unknown(code: &OciErrorCode) -> bool {
    use OciErrorCode as C;
    matches!(
        code,
        C::ManifestUnknown | C::NameUnknown | C::NotFound | C::BlobUnknown | C::ManifestBlobUnknown
    )
}

/// What really happened.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    words(&cause.to_string())
}

fn words(text: &str) -> String {
    baton_mail::text::sanitize(text.trim(), WORDS_OCTETS_MAX)
}
