//! `oci://registry/repository:tag`, and with `@sha256:…` in the place of the tag: where a plugin comes from.

use std::fmt;
use std::str::FromStr;

use oci_client::Reference;

/// How a source that is fetched from a registry begins.
pub(crate) const SCHEME: &str = "oci://";

/// A plugin in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source(Reference);

/// Why a text is no such source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSource {
    #[error("it does not begin with oci://")]
    Scheme,
    #[error("it names no registry: write its host before the first slash")]
    Registry,
    #[error("it names neither a tag nor a digest: write :TAG or @sha256:DIGEST at its end")]
    Version,
    #[error("it is no reference to an artefact: {0}")]
    Reference(String),
    #[error("its digest is not a SHA-256")]
    Digest,
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Source, InvalidSource> {
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidSource::Scheme)?;
        let (registry, repository) = rest.split_once('/').ok_or(InvalidSource::Registry)?;
        // A name without these would be taken for a folder of a registry that nobody named.
        if !(registry.contains(['.', ':']) || registry == "localhost") {
            return Err(InvalidSource::Registry);
        }
        if !repository.contains([':', '@']) {
            return Err(InvalidSource::Version);
        }
        let reference = Reference::try_from(rest);
        let reference = reference.map_err(|error| InvalidSource::Reference(error.to_string()))?;
        let is_known = |digest: &str| digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64);
        match reference.digest() {
            Some(digest) if !is_known(digest) => Err(InvalidSource::Digest),
            _ => Ok(Source(reference)),
        }
    }
}

impl Source {
    /// The registry: its host, with a port where one is given.
    pub(crate) fn registry(&self) -> &str {
        self.0.resolve_registry()
    }

    /// The tag or digest, in words.
    pub(crate) fn version(&self) -> String {
        match (self.0.digest(), self.0.tag()) {
            (Some(digest), _) => format!("artefact {digest}"),
            (None, tag) => format!("tag `{}`", tag.unwrap_or_default()),
        }
    }

    /// The digest that it is pinned to, with its `sha256:`.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// The same plugin, pinned to that digest.
    pub(crate) fn pinned(&self, digest: &str) -> Source {
        Source(self.0.clone_with_digest(digest.to_owned()))
    }

    /// As the client has it.
    pub(super) fn reference(&self) -> &Reference {
        &self.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (registry, repository) = (self.0.registry(), self.0.repository());
        match (self.0.digest(), self.0.tag()) {
            (Some(digest), _) => write!(formatter, "{SCHEME}{registry}/{repository}@{digest}"),
            (None, tag) => write!(formatter, "{SCHEME}{registry}/{repository}:{}", tag.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_registry_and_version() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in ["oci://ghcr.io/org/guard:1.2", "oci://localhost:5000/guard:v1"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let tagged: Source = "oci://ghcr.io/org/guard:1.2".parse().unwrap();
        assert_eq!((tagged.registry(), tagged.digest()), ("ghcr.io", None));
        let pinned = tagged.pinned(&digest);
        assert_eq!(pinned.to_string(), format!("oci://ghcr.io/org/guard@{digest}"));
        assert_eq!(pinned.to_string().parse::<Source>().unwrap().digest(), Some(digest.as_str()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let wrong = |text: &str| text.parse::<Source>().unwrap_err();
        assert_eq!(wrong("https://ghcr.io/org/guard:1"), InvalidSource::Scheme);
        assert_eq!(wrong("oci://guard:1"), InvalidSource::Registry);
        assert_eq!(wrong("oci://org/guard:1"), InvalidSource::Registry);
        assert_eq!(wrong("oci://ghcr.io/org/guard"), InvalidSource::Version);
        assert!(matches!(wrong("oci://ghcr.io/Org:1"), InvalidSource::Reference(_)));
        let other = format!("oci://ghcr.io/org/guard@sha512:{}", "a".repeat(128));
        assert_eq!(wrong(&other), InvalidSource::Digest);
    }
}
