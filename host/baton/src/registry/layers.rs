//! What an artefact with a plugin is made of: a component, and a signature where it has one.

use oci_client::client::{Config, ImageLayer};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde_json::json;

use super::kept::sha256;

/// A component, as the artefact layout of the CNCF for WebAssembly has it; and what older tools write.
const COMPONENT_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];
/// A signature of `baton plugin sign`.
const SIGNATURE_TYPE: &str = "application/vnd.baton.plugin.signature.v1";
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";

/// The layers that count.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    pub(super) component: &'a OciDescriptor,
    pub(super) signature: Option<&'a OciDescriptor>,
}

impl<'a> Layers<'a> {
    /// Those of a manifest; or why it holds no plugin.
    pub(super) fn of(manifest: &'a OciImageManifest) -> Result<Layers<'a>, String> {
        let of_types = |types: &[&str]| {
            manifest.layers.iter().filter(|layer| types.contains(&layer.media_type.as_str())).collect()
        };
        let components: Vec<_> = of_types(&COMPONENT_TYPES);
        let signatures: Vec<_> = of_types(&[SIGNATURE_TYPE]);
        match (components.as_slice(), signatures.as_slice()) {
            ([component], [] | [_]) => Ok(Layers { component, signature: signatures.first().copied() }),
            ([], _) => {
                let types: Vec<_> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
                let types = if types.is_empty() { "nothing".to_owned() } else { types.join(", ") };
                Err(format!("it holds no WebAssembly component, but {types}"))
            }
            _ => Err("it holds more than one component or signature".to_owned()),
        }
    }
}

/// What is pushed beside the manifest.
pub(super) fn blobs(component: &[u8], signature: Option<&[u8]>) -> Vec<(Vec<u8>, &'static str)> {
    let mut blobs = vec![(component.to_vec(), COMPONENT_TYPES[0])];
    blobs.extend(signature.map(|signature| (signature.to_vec(), SIGNATURE_TYPE)));
    blobs
}

/// The artefact's config: what the layout asks for, and nothing that would make two pushes of one file differ.
pub(super) fn config(component: &[u8]) -> Vec<u8> {
    let config = json!({ "architecture": "wasm", "os": "wasip2", "layerDigests": [sha256(component)], "component": {} });
    config.to_string().into_bytes()
}

/// The manifest of an artefact.
pub(super) fn manifest(component: &[u8], signature: Option<&[u8]>) -> Vec<u8> {
    let layers: Vec<ImageLayer> = blobs(component, signature)
        .into_iter()
        .map(|(octets, media_type)| ImageLayer::new(octets, media_type.to_owned(), None))
        .collect();
    let config = Config::new(config(component), CONFIG_TYPE.to_owned(), None);
    let manifest = OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        ..OciImageManifest::build(&layers, &config, None)
    };
    serde_json::to_vec(&manifest).expect("a manifest has only names and texts")
}
