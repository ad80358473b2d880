//! Plugins from OCI registries: a tag becomes a digest, a digest becomes a file in the relay's own folder.
//!
//! Invariant: a component is given out when its digest fits its manifest, and the manifest its own digest. A tag is asked
//! for at each load; a digest that is kept is not asked for again.
//!
//! Invariant: octets and time of each fetch are bounded, by settings. What is fetched passes all checks of a file: pin,
//! signature, form.

mod credentials;
mod error;
mod kept;
mod layers;
mod load;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt;
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use tokio::sync::OnceCell;
use tokio_rustls::rustls::crypto::aws_lc_rs;

use crate::wiring::read_certificates;
use error::RegistryError;
use kept::{Artefact, Kept, sha256};
use layers::Layers;

pub(crate) use load::{Fetched, fetch_all};
pub(crate) use source::{SCHEME, Source};

/// Octets of a manifest, and of a signature.
const SMALL_OCTETS_MAX: u64 = 4 << 20;
/// How this relay names itself.
const AGENT: &str = concat!("baton/", env!("CARGO_PKG_VERSION"));

/// How registries are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistrySettings {
    /// Registries that are asked without TLS, each as it stands in sources.
    pub(crate) plain_http: Vec<String>,
    /// Certificates that are trusted beside those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// Who asks.
    pub(crate) credentials_file: Option<PathBuf>,
    /// How long opening a connection may take.
    pub(crate) connect_ms: u64,
    /// How long fetching one plugin may take.
    pub(crate) pull_ms: u64,
    /// The largest component that is fetched.
    pub(crate) component_octets_max: u64,
    /// The folder of what was fetched.
    pub(crate) folder: PathBuf,
    /// Octets of it.
    pub(crate) folder_octets_max: u64,
}

/// Asks registries.
pub(crate) struct Registry {
    settings: RegistrySettings,
    kept: Kept,
    /// Made when it is needed: most relays have no plugin that comes from a registry.
    client: OnceCell<Client>,
}

/// A plugin that was fetched or was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// The digest of the artefact, with its `sha256:`.
    pub(crate) digest: String,
    /// The component's file.
    pub(crate) path: PathBuf,
}

impl Registry {
    pub(crate) fn new(settings: RegistrySettings) -> Registry {
        let kept = Kept::new(settings.folder.clone(), settings.folder_octets_max);
        Registry { settings, kept, client: OnceCell::new() }
    }

    /// The plugin's file: that which is kept, when the source is pinned and the file is there, or a fetched one.
    pub(crate) async fn pull(&self, source: &Source) -> Result<Pulled, RegistryError> {
        if let Some(digest) = source.digest()
            && let Some(path) = self.find(digest).await
        {
            return Ok(Pulled { digest: digest.to_owned(), path });
        }
        self.within(source, self.fetch(source)).await
    }

    /// Puts a plugin into a registry, and answers the digest of the artefact.
    pub(crate) async fn push(
        &self,
        source: &Source,
        component: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<String, RegistryError> {
        self.within(source, self.send(source, component, signature)).await
    }

    async fn within<T>(
        &self,
        source: &Source,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let bound = Duration::from_millis(self.settings.pull_ms);
        let done = tokio::time::timeout(bound, work).await;
        done.unwrap_or_else(|_| Err(RegistryError::slow(source.registry())))
    }

    async fn fetch(&self, source: &Source) -> Result<Pulled, RegistryError> {
        let (client, auth) = self.introduce(source, RegistryOperation::Pull).await?;
        let failed = |error: OciDistributionError| RegistryError::of(&error, source, &auth);
        let accepted = [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE];
        let answered = client.pull_manifest_raw(source.reference(), &auth, &accepted).await;
        let (manifest, _) = answered.map_err(failed)?;
        let digest = sha256(&manifest);
        if let Some(path) = self.find(&digest).await {
            return Ok(Pulled { digest, path });
        }
        let no_plugin = |reason: String| {
            RegistryError::new(reason, "name an artefact that `baton plugin push` or a tool of its kind made")
        };
        let read: OciImageManifest = serde_json::from_slice(&manifest)
            .map_err(|error| no_plugin(format!("it is no artefact with one manifest: {error}")))?;
        let layers = Layers::of(&read).map_err(no_plugin)?;
        let reference = source.reference();
        let octets_max = self.settings.component_octets_max;
        let component = take(client, reference, layers.component, octets_max).await;
        let component = component.map_err(|trouble| trouble.told(source, &auth))?;
        let signature = match layers.signature {
            Some(layer) => {
                let taken = take(client, reference, layer, SMALL_OCTETS_MAX).await;
                Some(taken.map_err(|trouble| trouble.told(source, &auth))?)
            }
            None => None,
        };
        let artefact = Artefact { manifest: manifest.to_vec(), component, signature };
        let path = self.keep(digest.clone(), artefact).await?;
        Ok(Pulled { digest, path })
    }

    async fn send(
        &self,
        source: &Source,
        component: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<String, RegistryError> {
        let (client, auth) = self.introduce(source, RegistryOperation::Push).await?;
        let failed = |error: OciDistributionError| RegistryError::of(&error, source, &auth);
        let blobs = layers::blobs(component, signature).into_iter().map(|(octets, _)| octets);
        for octets in blobs.chain([layers::config(component)]) {
            let digest = sha256(&octets);
            client.push_blob(source.reference(), octets, &digest).await.map_err(failed)?;
        }
        let manifest = layers::manifest(component, signature);
        let digest = sha256(&manifest);
        let media_type = OCI_IMAGE_MEDIA_TYPE.parse().expect("a media type is the value of a field");
        client.push_manifest_raw(source.reference(), manifest, media_type).await.map_err(failed)?;
        Ok(digest)
    }

    /// The client, with a token of the registry where it wants one.
    async fn introduce(
        &self,
        source: &Source,
        operation: RegistryOperation,
    ) -> Result<(&Client, RegistryAuth), RegistryError> {
        let file = self.settings.credentials_file.as_deref();
        let auth = credentials::of(source.registry(), file)
            .map_err(|reason| RegistryError::new(reason, "write it anew by `docker login`"))?;
        let client = self.client.get_or_try_init(|| async { make_client(&self.settings) }).await;
        let client = client.map_err(|reason: String| {
            RegistryError::new(reason, "install ca-certificates, or set registry.ca_file right")
        })?;
        let introduced = client.auth(source.reference(), &auth, operation).await;
        introduced.map_err(|error| RegistryError::of(&error, source, &auth))?;
        Ok((client, auth))
    }

    async fn find(&self, digest: &str) -> Option<PathBuf> {
        let (kept, digest) = (self.kept.clone(), digest.to_owned());
        tokio::task::spawn_blocking(move || kept.find(&digest)).await.ok().flatten()
    }

    async fn keep(&self, digest: String, artefact: Artefact) -> Result<PathBuf, RegistryError> {
        let kept = self.kept.clone();
        let put = tokio::task::spawn_blocking(move || kept.put(&digest, &artefact)).await;
        let put = put.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        put.map_err(|error| {
            let folder = self.settings.folder.display();
            RegistryError::new(format!("it can not be kept in {folder}: {error}"), "make room there")
        })
    }
}

/// Why a layer was not taken.
enum Trouble {
    Client(OciDistributionError),
    TooLarge { octets: u64, most: u64 },
}

impl Trouble {
    fn told(&self, source: &Source, auth: &RegistryAuth) -> RegistryError {
        match self {
            Trouble::Client(error) => RegistryError::of(error, source, auth),
            Trouble::TooLarge { octets, most } => RegistryError::new(
                format!("it has {octets} octets or more, and {most} are allowed"),
                "build a smaller one, or raise engine.component_octets_max",
            ),
        }
    }
}

/// Takes a layer, and gives up as soon as it is larger than it may be.
async fn take(
    client: &Client,
    reference: &Reference,
    layer: &OciDescriptor,
    most: u64,
) -> Result<Vec<u8>, Trouble> {
    let announced = u64::try_from(layer.size).unwrap_or_default();
    if announced > most {
        return Err(Trouble::TooLarge { octets: announced, most });
    }
    // By its digest alone: other places that a manifest may name are not asked.
    let stream = client.pull_blob_stream(reference, layer.digest.as_str()).await;
    let mut stream = stream.map_err(Trouble::Client)?;
    let mut octets = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
    while let Some(piece) =
        stream.try_next().await.map_err(|error| Trouble::Client(OciDistributionError::IoError(error)))?
    {
        octets.extend_from_slice(&piece);
        let length = octets.len() as u64;
        if length > most {
            return Err(Trouble::TooLarge { octets: length, most });
        }
    }
    Ok(octets)
}

fn make_client(settings: &RegistrySettings) -> Result<Client, String> {
    let mut certificates = Vec::new();
    if let Some(path) = &settings.ca_file {
        let read = read_certificates(path).map_err(|error| format!("registry.ca_file: {error:#}"))?;
        certificates.extend(read.iter().map(|certificate| Certificate {
            encoding: CertificateEncoding::Der,
            data: certificate.to_vec(),
        }));
    }
    // The client panics where a system trusts nobody, even when the settings do.
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err("the system trusts no certificate".to_owned());
    }
    // The client takes the provider of the process. It may be there already.
    let _ = aws_lc_rs::default_provider().install_default();
    let config = ClientConfig {
        protocol: ClientProtocol::HttpsExcept(settings.plain_http.clone()),
        extra_root_certificates: certificates,
        use_monolithic_push: true,
        connect_timeout: Some(Duration::from_millis(settings.connect_ms)),
        user_agent: AGENT,
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|error| error.to_string())
}
