//! An authority and certificates of every kind, right and wrong, as files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use time::OffsetDateTime;

/// An authority with the folder of its files.
pub struct Pki {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// A PEM file: the certificate, and behind it the authority's.
    pub chain: PathBuf,
    /// A PEM file.
    pub key: PathBuf,
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// Its SubjectPublicKeyInfo in DER.
    pub spki: Vec<u8>,
}

impl Pki {
    /// A new authority.
    pub fn make() -> Result<Pki> {
        let folder = tempfile::tempdir()?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        fs::write(folder.path().join("authority.pem"), issuer.pem())?;
        Ok(Pki { folder, issuer })
    }

    /// The PEM file of the authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The authority's certificate in DER.
    pub fn authority_der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// A certificate for these names.
    pub fn issue(&self, names: &[&str]) -> Result<Issued> {
        self.issue_until(names, 4_000_000_000)
    }

    /// A certificate that ended on the tenth of January 1970.
    pub fn issue_expired(&self, names: &[&str]) -> Result<Issued> {
        self.issue_until(names, 9 * 86_400)
    }

    fn issue_until(&self, names: &[&str], ends: i64) -> Result<Issued> {
        let (key, parameters) = (KeyPair::generate()?, parameters(names, ends)?);
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let chain = certificate.pem() + &self.issuer.pem();
        self.write(names, &key, &chain, certificate.der())
    }

    /// A certificate for these names that nobody vouches for.
    pub fn self_signed(&self, names: &[&str]) -> Result<Issued> {
        let (key, parameters) = (KeyPair::generate()?, parameters(names, 4_000_000_000)?);
        let certificate = parameters.self_signed(&key)?;
        self.write(names, &key, &certificate.pem(), certificate.der())
    }

    fn write(&self, names: &[&str], key: &KeyPair, chain: &str, der: &[u8]) -> Result<Issued> {
        let stem = names.first().copied().unwrap_or("nobody").replace('*', "any");
        let issued = Issued {
            chain: self.free(&stem, "crt"),
            key: self.free(&stem, "key"),
            der: der.to_vec(),
            spki: rcgen::PublicKeyData::subject_public_key_info(key),
        };
        fs::write(&issued.chain, chain)?;
        fs::write(&issued.key, key.serialize_pem())?;
        Ok(issued)
    }

    fn free(&self, stem: &str, end: &str) -> PathBuf {
        let path = |number: usize| self.folder.path().join(format!("{stem}-{number}.{end}"));
        (0..).map(path).find(|path| !Path::exists(path)).unwrap_or_else(|| path(0))
    }
}

fn parameters(names: &[&str], ends: i64) -> Result<CertificateParams> {
    let mut parameters =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    parameters.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
    parameters.not_before = OffsetDateTime::from_unix_timestamp(0)?;
    parameters.not_after = OffsetDateTime::from_unix_timestamp(ends)?;
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(parameters)
}

/// Hexadecimal digits of the SHA-256 of these octets, as TLSA records hold them.
pub fn sha256_hex(octets: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}
