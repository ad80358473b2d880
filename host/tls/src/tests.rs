//! Handshakes over pipes in memory, with certificates in files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baton_mail::clock::ManualClock;
use baton_mail::{SystemClock, TlsFacts, UnixMs};
use rcgen::{CertificateParams, KeyPair};
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::*;

/// Writes a self-signed certificate for these names with its key; tells what was written.
fn write(folder: &Path, stem: &str, names: &[&str]) -> CertificateFiles {
    write_until(folder, stem, names, 4_000_000_000)
}

fn write_until(folder: &Path, stem: &str, names: &[&str], ends: i64) -> CertificateFiles {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, stem);
    parameters.not_after = OffsetDateTime::from_unix_timestamp(ends).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let files = CertificateFiles {
        chain: folder.join(format!("{stem}.crt")),
        key: folder.join(format!("{stem}.key")),
    };
    std::fs::write(&files.chain, certificate.pem()).unwrap();
    self_signed::write(&files.key, &key.serialize_pem()).unwrap();
    files
}

fn settings(folder: &Path, files: Vec<CertificateFiles>) -> CertificateSettings {
    CertificateSettings {
        files,
        obtained: None,
        folder: folder.join("own"),
        hostname: "mx.example".parse().unwrap(),
    }
}

fn load(folder: &Path, files: Vec<CertificateFiles>) -> Result<CertificateSet, Vec<TlsError>> {
    CertificateSet::load(&settings(folder, files), &SystemClock)
}

fn server(certificates: Arc<Certificates>) -> TlsServer {
    TlsServer::new(certificates, &TlsServerSettings::default(), Arc::new(SystemClock)).unwrap()
}

/// A handshake with a client that asks for `name` and trusts `trusted` only.
async fn handshake(server: &TlsServer, name: &str, trusted: &Path) -> Result<TlsFacts, HandshakeFailure> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::read_certificates(trusted).unwrap() {
        roots.add(certificate).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (here, there) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(config));
    // A client that closed before the server was done would be one that went away.
    let client = connector.connect(name.to_owned().try_into().unwrap(), here);
    let (served, _client) = tokio::join!(server.accept(there), client);
    served.map(|(_, facts)| facts)
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(folder.path(), "first", &["mx.example"]);
    let second = write(folder.path(), "second", &["*.other.example", "OTHER.example"]);
    let server = server(Certificates::new(load(folder.path(), vec![first.clone(), second.clone()]).unwrap()));
    for (name, shown) in [("mx.example", &first), ("other.example", &second), ("mx.other.example", &second)] {
        let facts = handshake(&server, name, &shown.chain).await.unwrap();
        assert_eq!(facts.server_name.as_deref(), Some(name));
    }
    // Two labels below, and a name that nobody knows: the first one, which is not for them.
    for name in ["a.b.other.example", "nobody.example"] {
        let refused = handshake(&server, name, &first.chain).await.unwrap_err();
        assert_eq!(refused.as_str(), "distrusted", "{name}: {refused}");
    }
}

#[tokio::test]
async fn new_certificates_are_shown_from_the_next_handshake_on() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(folder.path(), "old", &["mx.example"]);
    let new = write(folder.path(), "new", &["mx.example"]);
    let certificates = Certificates::new(load(folder.path(), vec![old.clone()]).unwrap());
    let server = server(certificates.clone());
    handshake(&server, "mx.example", &old.chain).await.unwrap();
    certificates.replace(load(folder.path(), vec![new.clone()]).unwrap());
    handshake(&server, "mx.example", &new.chain).await.unwrap();
    assert_eq!(handshake(&server, "mx.example", &old.chain).await.unwrap_err().as_str(), "distrusted");
}

#[test]
fn every_file_that_can_not_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good", &["mx.example"]);
    let other = write(folder.path(), "other", &["mx.example"]);
    let junk = folder.path().join("junk");
    std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let files = |chain: &PathBuf, key: &PathBuf| CertificateFiles { chain: chain.clone(), key: key.clone() };
    let errors = load(
        folder.path(),
        vec![
            files(&good.chain, &other.key),
            files(&folder.path().join("missing"), &good.key),
            files(&good.key, &good.key),
            files(&good.chain, &good.chain),
            files(&junk, &good.key),
            files(&good.chain, &good.key),
        ],
    );
    let said: Vec<_> = errors.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 5, "{said:#?}");
    for (text, part) in said.iter().zip([
        "that the certificate was made for",
        "No such file",
        "no certificate",
        "private key",
        "can not be used",
    ]) {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_certificate_is_made_once_and_kept_secret() {
    let folder = tempfile::tempdir().unwrap();
    let made = load(folder.path(), Vec::new()).unwrap();
    let info = made.infos().next().unwrap();
    assert_eq!((info.names.as_slice(), info.advice.len()), (&["mx.example".to_owned()][..], 0));
    let key = folder.path().join("own/self-signed.key");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(key.parent().unwrap())), (0o600, 0o700));
    let before = std::fs::read(&key).unwrap();
    load(folder.path(), Vec::new()).unwrap();
    assert_eq!(std::fs::read(&key).unwrap(), before, "it was good for another start");
    let mut renamed = settings(folder.path(), Vec::new());
    renamed.hostname = "other.example".parse().unwrap();
    let renamed = CertificateSet::load(&renamed, &SystemClock).unwrap();
    assert_eq!(renamed.infos().next().unwrap().names, ["other.example"]);
    assert_ne!(std::fs::read(&key).unwrap(), before);
}

#[test]
fn an_operator_is_told_what_to_look_after() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(UnixMs(2_000_000_000_000));
    let ended = write_until(folder.path(), "ended", &["a.example"], 1_999_999_999);
    let ending = write_until(folder.path(), "ending", &["b.example"], 2_000_000_000 + 3 * 86_400);
    std::fs::set_permissions(&ending.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let set = CertificateSet::load(&settings(folder.path(), vec![ended, ending]), &clock).unwrap();
    let advice: Vec<_> = set.infos().flat_map(|info| info.advice.clone()).collect();
    assert_eq!(advice.len(), 3, "{advice:#?}");
    for (text, part) in
        advice.iter().zip(["ended.crt: the certificate is expired", "expires in 3 days", "chmod o="])
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// What is no handshake ends as such, whatever it is.
#[tokio::test]
async fn junk_is_no_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(Certificates::new(load(folder.path(), Vec::new()).unwrap()));
    let mut random = vec![0_u8; 300];
    for seed in 0..200_u8 {
        for (place, octet) in random.iter_mut().enumerate() {
            *octet = (place as u8).wrapping_mul(31).wrapping_add(seed.wrapping_mul(17)) ^ seed;
        }
        // Half of them begin as a record of the handshake does.
        if seed % 2 == 0 {
            random[..5].copy_from_slice(&[22, 3, 1, 0, 250]);
        }
        let (mut here, there) = tokio::io::duplex(1 << 10);
        here.write_all(&random).await.unwrap();
        here.shutdown().await.unwrap();
        let accepted = tokio::time::timeout(Duration::from_secs(30), server.accept(there)).await.unwrap();
        let failure = accepted.err().unwrap();
        assert!(matches!(failure.as_str(), "not-tls" | "gone" | "broken"), "{failure}");
    }
}

/// A certificate with a broken structure names nobody, and breaks nothing.
#[test]
fn a_broken_certificate_names_nobody() {
    for octets in [&b""[..], b"0", &[0x30, 0x82, 0xff, 0xff, 1], &[0; 500]] {
        let found = certificate::identify(&CertificateDer::from(octets.to_vec()), Some("x".to_owned()));
        assert_eq!((found.subject.as_str(), found.sha256.len()), ("nobody", 64));
    }
}
