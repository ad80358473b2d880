//! The certificate that is shown when the operator gives none: opportunistic TLS (RFC 7435) needs no authority.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use baton_mail::UnixMs;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use time::OffsetDateTime;

use crate::certificate::Shown;
use crate::{CertificateFiles, CertificateSettings, TlsError};

/// The files of the relay's own certificate; made when they are missing, of another name, or about to expire.
pub(crate) fn provide(settings: &CertificateSettings, now: UnixMs) -> Result<CertificateFiles, TlsError> {
    let files = CertificateFiles {
        chain: settings.folder.join("self-signed.crt"),
        key: settings.folder.join("self-signed.key"),
    };
    let name = settings.hostname.as_str();
    let is_fit = |shown: &Shown| {
        shown.is_for(name) && shown.info.expires_at.since(now) > Duration::from_secs(RENEW_BEFORE_S)
    };
    if Shown::read(&files.chain, &files.key, now).is_ok_and(|shown| is_fit(&shown)) {
        return Ok(files);
    }
    let (certificate, key) =
        make(name, now).map_err(|why| TlsError::NotMade { name: name.to_owned(), why })?;
    make_folder(&settings.folder)?;
    write(&files.key, &key)?;
    write(&files.chain, &certificate)?;
    Ok(files)
}

/// A certificate and its key as PEM. P-256: every client understands it, and it costs the least.
fn make(name: &str, now: UnixMs) -> Result<(String, String), String> {
    let text = |error: rcgen::Error| error.to_string();
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).map_err(text)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let moment =
        |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| error.to_string());
    // Clocks of clients differ.
    parameters.not_before = moment(now.seconds() - CLOCK_SKEW_S)?;
    parameters.not_after = moment(now.seconds() + LIFETIME_S)?;
    let key = KeyPair::generate().map_err(text)?;
    let certificate = parameters.self_signed(&key).map_err(text)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A folder for this user only.
pub(crate) fn make_folder(path: &Path) -> Result<(), TlsError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| TlsError::Unwritable { path: path.to_owned(), cause })
}

/// Writes a file for this user only, whole or not at all.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let fresh = path.with_extension("new");
    let written = || -> io::Result<()> {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    written().map_err(|cause| TlsError::Unwritable { path: path.to_owned(), cause })
}

/// Ten years: nobody checks it, and nobody should have to renew it.
const LIFETIME_S: i64 = 10 * 365 * 86_400;
const CLOCK_SKEW_S: i64 = 86_400;
const RENEW_BEFORE_S: u64 = 30 * 86_400;
