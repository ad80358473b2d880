//! What is known of a protected connection, and the name of the protocol that a message came in by.

use std::fmt;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::is_unsafe;

/// How a connection is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// The version: `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The cipher suite by its registered name, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// An earlier session was taken up again.
    pub resumed: bool,
    /// The name that the client asked for (RFC 6066 3).
    pub server_name: Option<String>,
    /// The other side's certificate, as far as it says who that is.
    pub certificate: Option<Certificate>,
}

/// A certificate of the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Whom it names: its common name, else its first alternative name.
    pub subject: String,
    /// The SHA-256 of the certificate in hexadecimal digits.
    pub sha256: String,
    /// Why it proves nothing; none when it leads to an authority that is trusted.
    pub distrust: Option<String>,
}

impl TlsFacts {
    /// Whom a certificate that is trusted names.
    pub fn verified_subject(&self) -> Option<&str> {
        self.certificate.as_ref().filter(|found| found.distrust.is_none()).map(|found| found.subject.as_str())
    }

    fn parse_record(text: &str) -> Option<TlsFacts> {
        let mut facts = TlsFacts::default();
        let mut certificate = Certificate::default();
        for part in text.split("; ") {
            let (key, value) = part.split_once('=')?;
            match key {
                "version" => facts.version = value.to_owned(),
                "cipher" => facts.cipher = value.to_owned(),
                "resumed" => facts.resumed = true,
                "sni" => facts.server_name = Some(value.to_owned()),
                "subject" => certificate.subject = value.to_owned(),
                "sha256" => certificate.sha256 = value.to_owned(),
                "distrust" => certificate.distrust = Some(value.to_owned()),
                // A later version may have written more.
                _ => {}
            }
        }
        facts.certificate = (!certificate.sha256.is_empty()).then_some(certificate);
        Some(facts)
    }
}

/// The form in which records keep it: `version=TLSv1.3; cipher=TLS_AES_256_GCM_SHA384; sni=mx.example`.
struct Record<'a>(&'a TlsFacts);

impl fmt::Display for Record<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.0;
        write!(formatter, "version={}; cipher={}", Plain(&facts.version), Plain(&facts.cipher))?;
        if facts.resumed {
            formatter.write_str("; resumed=yes")?;
        }
        if let Some(name) = &facts.server_name {
            write!(formatter, "; sni={}", Plain(name))?;
        }
        let Some(certificate) = &facts.certificate else { return Ok(()) };
        write!(
            formatter,
            "; subject={}; sha256={}",
            Plain(&certificate.subject),
            Plain(&certificate.sha256)
        )?;
        match &certificate.distrust {
            Some(why) => write!(formatter, "; distrust={}", Plain(why)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TlsFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.version, self.cipher)?;
        match &self.certificate {
            Some(Certificate { subject, distrust: None, .. }) => {
                write!(formatter, ", certificate of {subject} verified")
            }
            Some(Certificate { subject, distrust: Some(why), .. }) => {
                write!(formatter, ", certificate of {subject} not verified: {why}")
            }
            None => Ok(()),
        }
    }
}

/// Why a connection is not protected as it should be, in the words of reports about TLS (RFC 8460 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsFlaw {
    /// The peer offers no STARTTLS, or refuses it.
    StarttlsNotSupported,
    /// The certificate is for another name.
    CertificateHostMismatch,
    /// It is too old, or not valid yet.
    CertificateExpired,
    /// No authority that is trusted vouches for it.
    CertificateNotTrusted,
    /// Anything else.
    ValidationFailure,
    /// The TLSA records can not be had.
    TlsaInvalid,
    /// The signatures of the DNS are wrong.
    DnssecInvalid,
    /// The web server of the MTA-STS policy gives none.
    StsPolicyFetchError,
    /// What it gives is no policy.
    StsPolicyInvalid,
    /// Its certificate is not good.
    StsWebpkiInvalid,
}

/// How a connection to a next hop is protected, or why it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// By TLS.
    Protected(Arc<TlsFacts>),
    /// Not at all; why.
    Plain(String),
}

impl Security {
    /// Reads what [`Security::record`] wrote.
    pub(crate) fn parse_record(text: &str) -> Option<Security> {
        match text.strip_prefix("plain=") {
            Some(why) => Some(Security::Plain(why.to_owned())),
            None if text.starts_with("version=") => {
                TlsFacts::parse_record(text).map(|facts| Security::Protected(Arc::new(facts)))
            }
            None => None,
        }
    }

    /// The form in which records keep it.
    pub(crate) fn record(&self) -> String {
        match self {
            Security::Protected(facts) => Record(facts).to_string(),
            Security::Plain(why) => format!("plain={}", Plain(why)),
        }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Security::Protected(facts) => facts.fmt(formatter),
            Security::Plain(why) => write!(formatter, "plain text: {why}"),
        }
    }
}

/// Text without what would end or split a record.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars().take(VALUE_CHARACTERS_MAX) {
            let harmless = match character {
                ';' => ',',
                '(' => '[',
                ')' => ']',
                unsafe_one if is_unsafe(unsafe_one) => '?',
                other => other,
            };
            fmt::Write::write_char(formatter, harmless)?;
        }
        Ok(())
    }
}

/// Characters of one value that a record keeps.
const VALUE_CHARACTERS_MAX: usize = 256;

/// The protocol that a message came in by, with what protected it. A record keeps it as one text, as it was before
/// there was protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The name of the `with` clause: ESMTP, ESMTPSA, LMTP, UTF8SMTPS ... (RFC 3848, RFC 6531).
    pub name: String,
    /// What protected the connection; none in plain text.
    pub tls: Option<Arc<TlsFacts>>,
}

impl Protocol {
    /// A protocol in plain text.
    pub fn plain(name: impl Into<String>) -> Protocol {
        Protocol { name: name.into(), tls: None }
    }
}

/// The text of a record.
impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        let Some(tls) = &self.tls else { return Ok(()) };
        write!(formatter, " ({})", Record(tls))
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Protocol, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Some((name, rest)) = text.split_once(" (") else { return Ok(Protocol::plain(text)) };
        let record = rest.strip_suffix(')').and_then(TlsFacts::parse_record);
        let tls = record.ok_or_else(|| D::Error::custom("the protection of a connection is not readable"))?;
        Ok(Protocol { name: name.to_owned(), tls: Some(Arc::new(tls)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> TlsFacts {
        TlsFacts {
            version: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            resumed: true,
            server_name: Some("mx.example".to_owned()),
            certificate: Some(Certificate {
                subject: "ann = the first".to_owned(),
                sha256: "00ff".to_owned(),
                distrust: Some("expired".to_owned()),
            }),
        }
    }

    fn through_a_record(protocol: &Protocol) -> Protocol {
        postcard::from_bytes(&postcard::to_allocvec(protocol).unwrap()).unwrap()
    }

    #[test]
    fn a_record_keeps_all_of_it() {
        let plain = TlsFacts { resumed: false, server_name: None, certificate: None, ..facts() };
        for tls in [Some(Arc::new(facts())), Some(Arc::new(plain)), None] {
            let protocol = Protocol { name: "ESMTPS".to_owned(), tls };
            assert_eq!(through_a_record(&protocol), protocol);
        }
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        let earlier = postcard::to_allocvec("ESMTPA").unwrap();
        assert_eq!(postcard::from_bytes::<Protocol>(&earlier).unwrap(), Protocol::plain("ESMTPA"));
    }

    #[test]
    fn a_hostile_subject_stays_within_its_value() {
        let mut tls = facts();
        let subject = "x; distrust=no) (\r\nversion=y\u{202e}".to_owned() + &"z".repeat(10_000);
        tls.certificate.as_mut().unwrap().subject = subject;
        let kept = through_a_record(&Protocol { name: "ESMTPS".to_owned(), tls: Some(Arc::new(tls)) });
        let tls = kept.tls.unwrap();
        assert_eq!(tls.version, "TLSv1.3");
        let certificate = tls.certificate.clone().unwrap();
        assert_eq!(certificate.distrust.as_deref(), Some("expired"));
        assert!(
            certificate.subject.starts_with("x, distrust=no] [??version=y?zz"),
            "{}",
            certificate.subject
        );
        assert_eq!(certificate.subject.chars().count(), 256);
    }
}
