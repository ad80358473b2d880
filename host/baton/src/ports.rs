//! The file that tells others which addresses listeners really got.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

/// Writes a line `name address` for each listener, in one step: a reader never sees half of it.
pub(crate) fn write_ports(path: &Path, listeners: &[(String, SocketAddr)]) -> anyhow::Result<()> {
    let text: String = listeners.iter().map(|(name, address)| format!("{name} {address}\n")).collect();
    let fresh = path.with_extension("new");
    let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path));
    written.with_context(|| format!("can not write the addresses to {}", path.display()))
}
