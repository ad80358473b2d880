//! A self-signed certificate for `localhost`, which is also the authority that vouches for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::relay::output_within;
use crate::settings::Settings;
use crate::wait;

/// The files of a certificate in a folder of the test's.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The chain, of one certificate.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one by OpenSSL.
    pub fn make(folder: &Path) -> Result<Certificate> {
        let made = Certificate { chain: folder.join("relay.crt"), key: folder.join("relay.key") };
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-days", "90", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        // A server whose certificate is an authority's is refused.
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.arg("-keyout").arg(&made.key).arg("-out").arg(&made.chain).stdin(Stdio::null());
        let output = output_within(command, wait::LONG)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(made)
    }

    /// Settings of a relay that shows it.
    pub fn shown_by(&self, settings: Settings) -> Settings {
        let (chain, key) = (&self.chain, &self.key);
        settings.with(&format!("[[tls.certificates]]\nchain = {chain:?}\nkey = {key:?}\n"))
    }
}
