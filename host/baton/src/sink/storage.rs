//! Messages as files: NAME.eml with the content, then NAME.json with the envelope.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The envelope of a stored message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEnvelope {
    /// The return path; empty for `<>`.
    pub(crate) sender: String,
    /// The accepted recipients.
    pub(crate) recipients: Vec<String>,
    /// What the client called itself.
    pub(crate) helo: String,
    /// When it came, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// Octets of content.
    pub(crate) size: usize,
}

/// A folder of messages.
#[derive(Debug)]
pub(crate) struct Storage {
    folder: PathBuf,
    next: AtomicU64,
}

impl Storage {
    /// Uses a folder, made when it is missing; names go on after those that are there.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Storage> {
        let explain = || format!("can not use {} to store messages", folder.display());
        std::fs::create_dir_all(folder).with_context(explain)?;
        let names = std::fs::read_dir(folder)
            .with_context(explain)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let largest = names.filter_map(|name| name.split('.').next()?.parse::<u64>().ok()).max();
        Ok(Storage {
            folder: folder.to_owned(),
            next: AtomicU64::new(largest.map_or(1, |number| number + 1)),
        })
    }

    /// Stores a message. The envelope is written last and in one step: who sees it sees all.
    pub(crate) async fn store(&self, envelope: StoredEnvelope, content: Bytes) -> anyhow::Result<()> {
        let name = format!("{:08}", self.next.fetch_add(1, Ordering::Relaxed));
        let path = self.folder.join(&name);
        tokio::task::spawn_blocking(move || {
            std::fs::write(path.with_extension("eml"), &content)?;
            let fresh = path.with_extension("new");
            std::fs::write(&fresh, serde_json::to_vec_pretty(&envelope)?)?;
            std::fs::rename(fresh, path.with_extension("json"))?;
            Ok(())
        })
        .await?
    }
}

/// A stored message, read back.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) envelope: StoredEnvelope,
    pub(crate) content: Vec<u8>,
}

/// Reads every complete message of a folder, in the order of their names.
pub(crate) fn read_all(folder: &Path) -> anyhow::Result<Vec<Stored>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: &PathBuf| -> anyhow::Result<Stored> {
        let envelope = serde_json::from_slice(&std::fs::read(path)?)?;
        Ok(Stored { envelope, content: std::fs::read(path.with_extension("eml"))? })
    };
    paths.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_read_back_as_they_were_stored() {
        let folder = tempfile::tempdir().unwrap();
        let envelope = StoredEnvelope {
            sender: String::new(),
            recipients: vec!["a@b.example".to_owned()],
            helo: "c".to_owned(),
            at_ms: 1,
            size: 5,
        };
        for _ in 0..2 {
            let storage = Storage::open(folder.path()).unwrap();
            storage.store(envelope.clone(), Bytes::from_static(b"A: \xff\n")).await.unwrap();
        }
        let stored = read_all(folder.path()).unwrap();
        assert_eq!(stored.len(), 2);
        assert_eq!((&stored[1].envelope, stored[1].content.as_slice()), (&envelope, &b"A: \xff\n"[..]));
    }
}
