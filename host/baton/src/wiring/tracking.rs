//! What seals tracked links: the keys in their file, made when there is none.
//!
//! A line of the file is a number from 0 to 255 and a secret in base64. The first line seals, all open.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_content::link::{LinkKey, LinkKeys};
use baton_content::track::Tracker;
use baton_mail::Mailbox;
use baton_tls::TlsServerSettings;

/// Keys in a file at most; the oldest is dropped when one more is made.
const KEYS_MAX: usize = 16;
/// Octets of a secret that we make.
const SECRET_OCTETS: usize = 32;
/// Octets of the file at most.
const FILE_OCTETS_MAX: usize = 64 * 1024;

/// How tracking works, when it is wanted.
#[derive(Clone, Debug)]
pub(crate) struct TrackingSettings {
    /// Where links begin; none while nothing is tracked.
    pub(crate) base_url: Option<String>,
    /// What answers them.
    pub(crate) listen: Option<SocketAddr>,
    /// How it speaks TLS; none when it does not.
    pub(crate) tls: Option<TlsServerSettings>,
    pub(crate) connections_max: usize,
    pub(crate) connection_lifetime: Duration,
    pub(crate) link_lifetime: Duration,
    pub(crate) unsubscribe_lifetime: Duration,
    /// Where one unsubscribes by mail.
    pub(crate) unsubscribe_mailbox: Option<Mailbox>,
    pub(crate) keys_file: PathBuf,
}

impl TrackingSettings {
    /// What makes links; none while nothing is tracked. Makes the keys when there are none.
    pub(crate) fn load(&self) -> anyhow::Result<Option<Arc<Tracker>>> {
        let Some(base_url) = self.base_url.clone() else { return Ok(None) };
        let (link_lifetime, unsubscribe_lifetime) = (self.link_lifetime, self.unsubscribe_lifetime);
        let keys = read_or_make(&self.keys_file)?;
        let unsubscribe_mailbox = self.unsubscribe_mailbox.clone();
        let tracker = Tracker { keys, base_url, link_lifetime, unsubscribe_lifetime, unsubscribe_mailbox };
        Ok(Some(Arc::new(tracker)))
    }
}

fn read_or_make(path: &Path) -> anyhow::Result<LinkKeys> {
    match read(path)? {
        Some(text) => parse(&text).with_context(|| format!("tracking.keys_file: {}", path.display())),
        None => {
            write(path, &line(1)?)?;
            let made = read(path)?
                .with_context(|| format!("tracking.keys_file: {} is gone again", path.display()))?;
            parse(&made)
        }
    }
}

/// Puts a new key in front of the others. Links that these sealed work as before.
pub(crate) fn rotate(path: &Path) -> anyhow::Result<u8> {
    let text = read(path)?.unwrap_or_default();
    if !text.is_empty() {
        parse(&text).with_context(|| format!("tracking.keys_file: {}", path.display()))?;
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let newest = lines.first().and_then(|line| line.split_whitespace().next()?.parse::<u8>().ok());
    let id = newest.map_or(1, |id| id.wrapping_add(1));
    let kept = lines.into_iter().take(KEYS_MAX - 1).map(|line| format!("{line}\n"));
    let all: String = std::iter::once(line(id)?).chain(kept).collect();
    write(path, &all)?;
    Ok(id)
}

fn line(id: u8) -> anyhow::Result<String> {
    Ok(format!("{id} {}\n", STANDARD.encode(rand::random::<[u8; SECRET_OCTETS]>())))
}

/// The file's text; none when there is no such file.
fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let shown = || format!("tracking.keys_file: {}", path.display());
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.with_context(shown)?,
    };
    let mode = metadata.permissions().mode() & 0o777;
    ensure!(mode & 0o077 == 0, "{}: others can read it (mode {mode:o}); run chmod 600", shown());
    ensure!(metadata.len() <= FILE_OCTETS_MAX as u64, "{}: it is too large", shown());
    std::fs::read_to_string(path).map(Some).with_context(shown)
}

fn parse(text: &str) -> anyhow::Result<LinkKeys> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            || format!("line {}: write a number from 0 to 255 and 32 octets or more in base64", index + 1);
        let (id, secret) = line.trim().split_once(' ').with_context(wrong)?;
        let secret = STANDARD.decode(secret.trim()).with_context(wrong)?;
        keys.push(LinkKey::new(id.parse().with_context(wrong)?, &secret).with_context(wrong)?);
    }
    match LinkKeys::new(keys) {
        Some(keys) => Ok(keys),
        None => bail!("there is no key, or two have the same number"),
    }
}

/// Replaces the file as a whole, on disk when this returns.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = || format!("tracking.keys_file: write {}", path.display());
    let fresh = path.with_extension("keys.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(shown)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(shown)?;
    // Made by another user, such as root, it must still be the relay's.
    let (made, before) = (file.metadata().with_context(shown)?, std::fs::metadata(path).ok());
    if let Some(before) = before.filter(|before| before.uid() != made.uid()) {
        std::os::unix::fs::chown(&fresh, Some(before.uid()), Some(before.gid())).with_context(shown)?;
    }
    std::fs::rename(&fresh, path).with_context(shown)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_rotated_without_losing_the_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tracking.keys");
        read_or_make(&path).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        read_or_make(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(rotate(&path).unwrap(), 2);
        let second = std::fs::read_to_string(&path).unwrap();
        assert!(second.starts_with("2 ") && second.ends_with(&first), "{second}");
        for _ in 0..20 {
            rotate(&path).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), KEYS_MAX);
    }

    #[test]
    fn a_file_that_others_read_or_that_makes_no_sense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tracking.keys");
        write(&path, "1 short\n").unwrap();
        assert!(format!("{:#}", read_or_make(&path).unwrap_err()).contains("line 1"));
        write(&path, "\n").unwrap();
        assert!(read_or_make(&path).is_err());
        rotate(&path).unwrap_err();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_or_make(&path).unwrap_err().to_string().contains("chmod 600"));
    }
}
