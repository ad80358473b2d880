//! The folder of fetched plugins: manifest, component and signature, each named by the digest of the manifest.
//!
//! Invariant: what is given out is what its digest says. Each file is read and digested again before it is used.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use baton_hooks::trust::signature_path;
use oci_client::manifest::OciImageManifest;
use sha2::{Digest, Sha256};

use super::layers::Layers;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
    octets_max: u64,
}

/// What is kept of one artefact.
pub(super) struct Artefact {
    /// As the registry sent it.
    pub(super) manifest: Vec<u8>,
    pub(super) component: Vec<u8>,
    pub(super) signature: Option<Vec<u8>>,
}

impl Kept {
    /// Keeps so many octets in a folder, which is made when it is needed.
    pub(crate) fn new(folder: PathBuf, octets_max: u64) -> Kept {
        Kept { folder, octets_max }
    }

    /// The file of the component, when it is there and is what the digest says.
    pub(super) fn find(&self, digest: &str) -> Option<PathBuf> {
        let manifest = fs::read(self.manifest_path(digest)).ok()?;
        if sha256(&manifest) != digest {
            return None;
        }
        let manifest: OciImageManifest = serde_json::from_slice(&manifest).ok()?;
        let layers = Layers::of(&manifest).ok()?;
        let component = self.component_path(digest);
        let signature = signature_path(&component);
        let is_signed = match layers.signature {
            Some(layer) => sha256(&fs::read(&signature).ok()?) == layer.digest,
            None => !signature.exists(),
        };
        (is_signed && sha256(&fs::read(&component).ok()?) == layers.component.digest).then_some(component)
    }

    /// Keeps an artefact, and answers the file of its component. The oldest ones go when there is no room.
    pub(super) fn put(&self, digest: &str, artefact: &Artefact) -> io::Result<PathBuf> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let component = self.component_path(digest);
        self.make_room(artefact.component.len() as u64)?;
        write(&component, &artefact.component)?;
        let signature = signature_path(&component);
        match &artefact.signature {
            Some(octets) => write(&signature, octets)?,
            None => drop(fs::remove_file(&signature)),
        }
        write(&self.manifest_path(digest), &artefact.manifest)?;
        Ok(component)
    }

    fn make_room(&self, octets: u64) -> io::Result<()> {
        let mut components: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let (path, facts) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            if path.extension().is_some_and(|ending| ending == "wasm") {
                components.push((facts.modified()?, facts.len(), path));
            }
        }
        components.sort();
        let mut all = octets + components.iter().map(|(_, octets, _)| octets).sum::<u64>();
        for (_, octets, path) in components {
            if all <= self.octets_max {
                break;
            }
            all -= octets;
            fs::remove_file(&path)?;
            for beside in [signature_path(&path), path.with_extension("json")] {
                // It need not be there.
                let _ = fs::remove_file(beside);
            }
        }
        Ok(())
    }

    fn component_path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{}.wasm", digest.trim_start_matches("sha256:")))
    }

    fn manifest_path(&self, digest: &str) -> PathBuf {
        self.component_path(digest).with_extension("json")
    }
}

/// Writes a file for this user only; it is there whole or not at all.
fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// The digest of octets, with its `sha256:`.
pub(super) fn sha256(octets: &[u8]) -> String {
    let digits: String = Sha256::digest(octets).iter().map(|octet| format!("{octet:02x}")).collect();
    format!("sha256:{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::layers;

    fn artefact(component: &[u8]) -> (String, Artefact) {
        let manifest = layers::manifest(component, None);
        let artefact = Artefact { manifest, component: component.to_vec(), signature: None };
        (sha256(&artefact.manifest), artefact)
    }

    #[test]
    fn what_was_changed_is_not_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().join("artefacts"), 1 << 20);
        let (digest, one) = artefact(b"\0asm one");
        assert!(kept.find(&digest).is_none());
        let path = kept.put(&digest, &one).unwrap();
        assert_eq!(kept.find(&digest), Some(path.clone()));
        fs::write(signature_path(&path), "forged").unwrap();
        assert!(kept.find(&digest).is_none(), "the manifest names no signature");
        fs::remove_file(signature_path(&path)).unwrap();
        fs::write(&path, b"\0asm two").unwrap();
        assert!(kept.find(&digest).is_none());
        let (other, two) = artefact(b"\0asm two");
        fs::write(path.with_extension("json"), &two.manifest).unwrap();
        assert!(kept.find(&digest).is_none(), "the manifest of another one");
        assert!(kept.find(&other).is_none());
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().to_owned(), 20);
        let (first, one) = artefact(b"\0asm one");
        let path = kept.put(&first, &one).unwrap();
        let early = SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(path).unwrap().set_modified(early).unwrap();
        let (second, two) = artefact(b"\0asm two");
        kept.put(&second, &two).unwrap();
        let (third, three) = artefact(b"\0asm tri");
        kept.put(&third, &three).unwrap();
        assert!(kept.find(&first).is_none());
        assert!(kept.find(&second).is_some() && kept.find(&third).is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing else is left");
    }
}
