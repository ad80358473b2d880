//! Errors of TLS in words: what is wrong with a certificate or a session, and what mends it.
//!
//! The libraries name their errors for programmers. Here, and nowhere else, they become text for operators.

use std::fmt::Debug;
use std::io;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};
use x509_parser::asn1_rs::{FromDer, Oid};

/// What is wrong, and what mends it.
pub fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(cause) => certificate(cause),
        Error::NoCertificatesPresented => "no certificate was shown".to_owned(),
        Error::PeerIncompatible(cause) => incompatible(cause),
        Error::AlertReceived(alert) => self::alert(*alert),
        Error::InvalidMessage(cause) => format!("a message is not understood ({})", variant(cause, ' ')),
        Error::InappropriateMessage { got_type, .. } => {
            format!("a message came when it should not ({})", variant(got_type, ' '))
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            format!("a message of the handshake came when it should not ({})", variant(got_type, ' '))
        }
        Error::PeerMisbehaved(cause) => {
            format!("the other side does not keep to the protocol ({})", variant(cause, ' '))
        }
        Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
        Error::DecryptError => "a message can not be decrypted".to_owned(),
        Error::General(text) => text.clone(),
        Error::Other(cause) => other(cause),
        _ => error.to_string(),
    }
}

/// As [`in_words`], of an error that came by way of a stream.
pub fn io_in_words(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => in_words(inner),
        // RFC 8446 6.1: without it nobody knows whether something is missing.
        None if error.kind() == io::ErrorKind::UnexpectedEof
            && error.to_string().contains("close_notify") =>
        {
            "the other side closed the connection without ending TLS (no close_notify)".to_owned()
        }
        None => error.to_string(),
    }
}

fn certificate(cause: &CertificateError) -> String {
    use CertificateError as Cause;
    let text = match cause {
        Cause::BadEncoding => "it is no well-formed X.509 certificate; have it issued anew",
        Cause::Expired => "certificate expired; it has to be renewed",
        Cause::ExpiredContext { not_after, .. } => {
            return format!("certificate expired at {}; it has to be renewed", moment(*not_after));
        }
        Cause::NotValidYet => "certificate not valid yet; compare the clocks",
        Cause::NotValidYetContext { not_before, .. } => {
            return format!(
                "certificate not valid yet, but from {} on; compare the clocks",
                moment(*not_before)
            );
        }
        Cause::Revoked => "its authority revoked it; a new one is needed",
        Cause::UnhandledCriticalExtension => "it has a critical extension that is not known here",
        Cause::UnknownIssuer => UNKNOWN_ISSUER,
        Cause::BadSignature => {
            "a signature is not by the key that it should be by: another authority of that name made it, or it is damaged"
        }
        Cause::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => {
            return format!("it is signed by {}, {NOT_ACCEPTED}", algorithm(signature_algorithm_id));
        }
        Cause::UnsupportedSignatureAlgorithmForPublicKeyContext { signature_algorithm_id, .. } => {
            return format!(
                "it is signed by {}, which does not fit the key of its authority, {NOT_ACCEPTED}",
                algorithm(signature_algorithm_id)
            );
        }
        Cause::NotValidForName => "certificate not valid for name of the host",
        Cause::NotValidForNameContext { expected, presented } => {
            let names = match presented.as_slice() {
                [] => "no name (subjectAltName)".to_owned(),
                names => names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", "),
            };
            return format!(
                "certificate not valid for name {}; it is for {names}: have one issued for that name, or name one that it has in `tls_name` where it is a next hop of yours",
                expected.to_str()
            );
        }
        Cause::InvalidPurpose => "it is not issued for this purpose (extended key usage)",
        Cause::InvalidPurposeContext { required, .. } => {
            return format!("it is not issued for {required} (extended key usage)");
        }
        Cause::Other(inner) => return other(inner),
        _ => return format!("it can not be checked ({})", variant(cause, ' ')),
    };
    text.to_owned()
}

/// What the check of a chain found that has no name of its own in TLS; or the error of one of our own checks.
fn other(OtherError(cause): &OtherError) -> String {
    use webpki::Error as Cause;
    let Some(cause) = cause.downcast_ref::<Cause>() else { return cause.to_string() };
    match cause {
        Cause::CaUsedAsEndEntity => {
            "it is an authority's (CA:TRUE), which a host can not show as its own; have one issued \
                                     for the host, or trust it as the authority and let it issue one"
                .to_owned()
        }
        Cause::EndEntityUsedAsCa => {
            "it is signed by a certificate that is no authority's (CA:FALSE)".to_owned()
        }
        Cause::NameConstraintViolation => "its authority may not issue certificates for its names".to_owned(),
        Cause::PathLenConstraintViolated => "its authorities may not sign a chain of this length".to_owned(),
        Cause::UnsupportedCertVersion => {
            "it is no X.509 certificate of version 3; have it issued anew".to_owned()
        }
        _ => format!("it can not be checked ({})", variant(cause, ' ')),
    }
}

fn incompatible(cause: &PeerIncompatible) -> String {
    use PeerIncompatible as Cause;
    let text = match cause {
        Cause::ServerDoesNotSupportTls12Or13
        | Cause::ServerTlsVersionIsDisabledByOurConfig
        | Cause::SupportedVersionsExtensionRequired
        | Cause::Tls12NotOffered
        | Cause::Tls12NotOfferedOrEnabled => {
            "no version of TLS; here 1.2 and 1.3 are spoken, from the setting minimum_version on"
        }
        Cause::NoCipherSuitesInCommon => "no cipher suite; see the setting cipher_suites",
        Cause::NoKxGroupsInCommon
        | Cause::NamedGroupsExtensionRequired
        | Cause::KeyShareExtensionRequired => "no key exchange",
        Cause::NoSignatureSchemesInCommon
        | Cause::NoCertificateRequestSignatureSchemesInCommon
        | Cause::SignatureAlgorithmsExtensionRequired => {
            "no signature algorithm for the key of the certificate that is shown; another kind of key may do"
        }
        Cause::ExtendedMasterSecretExtensionRequired => {
            "extended_master_secret (RFC 7627), without which TLS 1.2 is not spoken here"
        }
        _ => return variant(cause, ' '),
    };
    text.to_owned()
}

/// RFC 8446 6.2: by the name that the standard gives.
fn alert(alert: AlertDescription) -> String {
    format!("the other side sent the alert {}", variant(&alert, '_'))
}

/// The name of the first variant in the text that programmers see, as words.
fn variant(value: &impl Debug, between: char) -> String {
    let text = format!("{value:?}");
    let name: Vec<char> = text.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut words = String::new();
    for (index, letter) in name.iter().enumerate() {
        let is_upper = |at: Option<&char>| at.is_some_and(char::is_ascii_uppercase);
        let is_lower = |at: Option<&char>| at.is_some_and(char::is_ascii_lowercase);
        let before = index.checked_sub(1).and_then(|before| name.get(before));
        let begins = letter.is_ascii_uppercase()
            && (is_lower(before) || (is_upper(before) && is_lower(name.get(index + 1))));
        if begins {
            words.push(between);
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// The algorithm that this identifier begins with.
fn algorithm(identifier: &[u8]) -> String {
    let Ok((_, oid)) = Oid::from_der(identifier) else { return "an unknown algorithm".to_owned() };
    match oid.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" => "RSA with MD5".to_owned(),
        "1.2.840.113549.1.1.5" => "RSA with SHA-1".to_owned(),
        "1.2.840.10045.4.1" => "ECDSA with SHA-1".to_owned(),
        other => format!("the algorithm {other}"),
    }
}

/// A name of a certificate, which the library shows as `DnsName("mx.example")`.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn moment(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let shown = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok());
    shown.unwrap_or_else(|| format!("{seconds} s after 1970"))
}

const UNKNOWN_ISSUER: &str = "unknown issuer: none of the authorities that are trusted here signed it; the chain has to be shown \
                              with its intermediate certificates, and a private authority be named by its file";
const NOT_ACCEPTED: &str = "which is not accepted; have it issued with SHA-256 or better";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_wrong_is_said_without_names_of_code() {
        let invalid = |cause| Error::InvalidCertificate(cause);
        let path = |cause: webpki::Error| invalid(CertificateError::Other(OtherError(Arc::new(cause))));
        let sha1 = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00];
        let unsupported = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: sha1.to_vec(),
            supported_algorithms: Vec::new(),
        };
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_767_225_600));
        for (error, words) in [
            (path(webpki::Error::CaUsedAsEndEntity), "it is an authority's (CA:TRUE)"),
            (path(webpki::Error::InvalidSerialNumber), "it can not be checked (invalid serial number)"),
            (invalid(unsupported), "it is signed by RSA with SHA-1, which is not accepted; have it issued"),
            (invalid(CertificateError::UnknownIssuer), "unknown issuer: none of the authorities"),
            (
                invalid(CertificateError::ExpiredContext { time, not_after: time }),
                "certificate expired at 2026-01-01T00:00:00Z; it has to be renewed",
            ),
            (Error::AlertReceived(AlertDescription::UnknownCA), "the other side sent the alert unknown_ca"),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "the other side sent the alert handshake_failure",
            ),
            (PeerIncompatible::Tls12NotOffered.into(), "no version of TLS; here 1.2 and 1.3 are spoken"),
        ] {
            let said = in_words(&error);
            assert!(said.starts_with(words), "{said}");
            assert!(!said.contains("Error") && !said.contains('{'), "{said}");
        }
    }

    #[test]
    fn an_end_without_close_notify_is_no_manual() {
        let message = "peer closed connection without sending TLS close_notify: https://docs.rs/x";
        let said = io_in_words(&io::Error::new(io::ErrorKind::UnexpectedEof, message));
        assert_eq!(said, "the other side closed the connection without ending TLS (no close_notify)");
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, Error::DecryptError);
        assert_eq!(io_in_words(&wrapped), "a message can not be decrypted");
        assert_eq!(io_in_words(&io::ErrorKind::BrokenPipe.into()), "broken pipe");
    }
}
