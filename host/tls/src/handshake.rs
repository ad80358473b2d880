//! Why a handshake failed, in few kinds: for metrics, logs and whoever looks for the cause.

use std::fmt;
use std::io;

use baton_mail::tls::TlsFlaw;
use tokio_rustls::rustls::{AlertDescription, Error};

use crate::{in_words, io_in_words};

/// Why a handshake failed.
#[derive(Debug)]
pub enum HandshakeFailure {
    /// It was not complete within its time.
    Late,
    /// The other side closed, or the connection broke.
    Gone(io::Error),
    /// What came is no TLS.
    NotTls(Error),
    /// There is no version, suite or signature that both know.
    Incompatible(Error),
    /// The other side does not trust our certificate.
    Distrusted(Error),
    /// The other side's certificate is missing or not valid.
    BadCertificate(Error),
    /// Anything else that the other side did wrong or complained of.
    Broken(Error),
}

impl HandshakeFailure {
    /// The kind, for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            HandshakeFailure::Late => "late",
            HandshakeFailure::Gone(_) => "gone",
            HandshakeFailure::NotTls(_) => "not-tls",
            HandshakeFailure::Incompatible(_) => "incompatible",
            HandshakeFailure::Distrusted(_) => "distrusted",
            HandshakeFailure::BadCertificate(_) => "bad-certificate",
            HandshakeFailure::Broken(_) => "broken",
        }
    }
}

impl HandshakeFailure {
    /// What reports about TLS call it.
    pub fn flaw(&self) -> TlsFlaw {
        match self {
            HandshakeFailure::BadCertificate(error) => flaw_of_distrust(&in_words(error)),
            _ => TlsFlaw::ValidationFailure,
        }
    }
}

/// What reports about TLS call it when a certificate is not trusted for a reason in these words, which are those of [`in_words`].
pub fn flaw_of_distrust(why: &str) -> TlsFlaw {
    let kinds = [
        // The first, as the name may be anything.
        ("not valid for name", TlsFlaw::CertificateHostMismatch),
        ("certificate expired", TlsFlaw::CertificateExpired),
        ("not valid yet", TlsFlaw::CertificateExpired),
        ("unknown issuer", TlsFlaw::CertificateNotTrusted),
    ];
    kinds.iter().find(|(words, _)| why.contains(words)).map_or(TlsFlaw::ValidationFailure, |(_, flaw)| *flaw)
}

impl From<io::Error> for HandshakeFailure {
    fn from(error: io::Error) -> HandshakeFailure {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(inner) => HandshakeFailure::from(inner.clone()),
            None => HandshakeFailure::Gone(error),
        }
    }
}

impl From<Error> for HandshakeFailure {
    fn from(error: Error) -> HandshakeFailure {
        use AlertDescription as Alert;
        match &error {
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => HandshakeFailure::NotTls(error),
            Error::PeerIncompatible(_)
            | Error::AlertReceived(
                Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity,
            ) => HandshakeFailure::Incompatible(error),
            Error::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::BadCertificateStatusResponse,
            ) => HandshakeFailure::Distrusted(error),
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented => {
                HandshakeFailure::BadCertificate(error)
            }
            _ => HandshakeFailure::Broken(error),
        }
    }
}

impl std::error::Error for HandshakeFailure {}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeFailure::Late => formatter.write_str("not complete in time"),
            HandshakeFailure::Gone(error) => {
                write!(formatter, "the connection ended: {}", io_in_words(error))
            }
            HandshakeFailure::NotTls(error) => write!(formatter, "this is no TLS: {}", in_words(error)),
            HandshakeFailure::Incompatible(error) => {
                write!(formatter, "nothing in common: {}", in_words(error))
            }
            HandshakeFailure::Distrusted(error) => {
                write!(formatter, "our certificate is not trusted: {}", in_words(error))
            }
            HandshakeFailure::BadCertificate(error) => {
                write!(formatter, "certificate not accepted: {}", in_words(error))
            }
            HandshakeFailure::Broken(error) => formatter.write_str(&in_words(error)),
        }
    }
}
