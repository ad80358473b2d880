//! What became of one delivery attempt for one recipient.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::sanitize;
use crate::tls::Security;
use crate::{EnhancedCode, Reply};

/// Octets of remote text that are kept in a status.
pub const STATUS_TEXT_OCTETS_MAX: usize = 1_024;

/// The result for one recipient. Only a positive completion by the next hop is `Delivered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The next hop took responsibility.
    Delivered(Status),
    /// Not now; try again later.
    Deferred(Status),
    /// Never; report it to the sender.
    Failed(Status),
}

impl Outcome {
    /// The details.
    pub fn status(&self) -> &Status {
        match self {
            Outcome::Delivered(status) | Outcome::Deferred(status) | Outcome::Failed(status) => status,
        }
    }

    /// Changes the details, keeps the kind.
    pub fn status_mut(&mut self) -> &mut Status {
        match self {
            Outcome::Delivered(status) | Outcome::Deferred(status) | Outcome::Failed(status) => status,
        }
    }
}

/// The details of an outcome, fit for a DSN, a log line and a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where in the dialogue it was decided.
    pub phase: Phase,
    /// What kind of failure it is; `Unknown` for successes.
    pub class: FailureClass,
    /// The enhanced code, given by the peer or chosen by us.
    pub enhanced: EnhancedCode,
    /// The SMTP code of the peer; none when no peer spoke.
    pub code: Option<u16>,
    /// The peer that spoke or was tried.
    pub remote: Option<Remote>,
    /// The peer's text or our own words; no control characters.
    pub text: String,
}

/// A next hop as it was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Host name (of the MX record, the host list or the endpoint).
    pub host: String,
    /// The address that was used, when a connection was tried.
    pub address: Option<IpAddr>,
    /// How the connection is protected; none when that did not come up.
    pub security: Option<Security>,
    /// By what it was reached; none when the settings name no sources.
    pub source: Option<Arc<SentFrom>>,
}

/// What mail leaves by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentFrom {
    /// The source's name in the settings.
    pub name: String,
    /// The name that is said in EHLO.
    pub ehlo: String,
    /// The local address, or the one that a proxy speaks for; none when the system chooses.
    pub address: Option<IpAddr>,
}

impl Remote {
    /// A host that was not reached yet.
    pub fn named(host: impl Into<String>) -> Remote {
        Remote { host: host.into(), address: None, security: None, source: None }
    }

    /// The same host at this address.
    pub fn at(self, address: IpAddr) -> Remote {
        Remote { address: Some(address), ..self }
    }
}

/// A remote for programs.
#[derive(Serialize, Deserialize)]
struct Shown<'a> {
    host: Cow<'a, str>,
    address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    security: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Arc<SentFrom>>,
}

/// A remote as records keep it: host, security and source are one text, the host alone as before there was security.
#[derive(Serialize, Deserialize)]
struct Recorded<'a> {
    host: Cow<'a, str>,
    address: Option<IpAddr>,
}

impl Serialize for Remote {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (host, address) = (Cow::Borrowed(self.host.as_str()), self.address);
        let security = self.security.as_ref().map(Security::record);
        if serializer.is_human_readable() {
            return Shown { host, address, security, source: self.source.clone() }.serialize(serializer);
        }
        let mut host = match security {
            Some(security) => Cow::Owned(format!("{host} ({security})")),
            None => host,
        };
        if let Some(source) = &self.source {
            host.to_mut().push_str(&source.record());
        }
        Recorded { host, address }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Remote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Remote, D::Error> {
        if deserializer.is_human_readable() {
            let Shown { host, address, security, source } = Shown::deserialize(deserializer)?;
            let security = security.as_deref().and_then(Security::parse_record);
            return Ok(Remote { host: host.into_owned(), address, security, source });
        }
        let Recorded { host, address } = Recorded::deserialize(deserializer)?;
        let (host, source) = SentFrom::split_record(host);
        let parts = host.strip_suffix(')').and_then(|text| text.split_once(" ("));
        let security = parts.and_then(|(_, record)| Security::parse_record(record));
        let host = match (parts, &security) {
            (Some((host, _)), Some(_)) => host.to_owned(),
            _ => host.into_owned(),
        };
        Ok(Remote { host, address, security, source })
    }
}

impl SentFrom {
    /// As a record keeps it, behind the host.
    fn record(&self) -> String {
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        format!("{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{address}", self.name, self.ehlo)
    }

    /// The host, and what stands behind it.
    fn split_record(host: Cow<'_, str>) -> (Cow<'_, str>, Option<Arc<SentFrom>>) {
        let mut parts = host.split(SEPARATOR);
        let (Some(first), Some(name), Some(ehlo), Some(address)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return (host, None);
        };
        let source = SentFrom { name: name.to_owned(), ehlo: ehlo.to_owned(), address: address.parse().ok() };
        (Cow::Owned(first.to_owned()), Some(Arc::new(source)))
    }
}

/// Stands between the parts of a record: no host and no name of a source has it.
const SEPARATOR: char = '\u{1f}';

impl fmt::Display for SentFrom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "from {} as {}", self.name, self.ehlo)?;
        match self.address {
            Some(address) => write!(formatter, " [{address}]"),
            None => Ok(()),
        }
    }
}

impl Status {
    /// A status in our own words: no peer spoke.
    pub fn ours(phase: Phase, class: FailureClass, enhanced: EnhancedCode, text: impl AsRef<str>) -> Status {
        let text = sanitize(text.as_ref(), STATUS_TEXT_OCTETS_MAX);
        Status { phase, class, enhanced, code: None, remote: None, text }
    }

    /// A status from a peer's reply. Without an enhanced code of the right class, `x.0.0` is used (RFC 3463 3.1).
    pub fn from_reply(phase: Phase, reply: &Reply, remote: Remote) -> Status {
        let class = (reply.code() / 100) as u8;
        let enhanced = reply.enhanced().filter(|code| code.0 == class).unwrap_or(EnhancedCode(class, 0, 0));
        let text = sanitize(&reply.text().replace('\n', " "), STATUS_TEXT_OCTETS_MAX);
        Status {
            phase,
            class: FailureClass::Unknown,
            enhanced,
            code: Some(reply.code()),
            remote: Some(remote),
            text,
        }
    }

    /// Names the host that was tried.
    pub fn at(mut self, remote: Remote) -> Status {
        self.remote = Some(remote);
        self
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code {
            write!(formatter, "{code} ")?;
        }
        write!(formatter, "{} {}", self.enhanced, self.text)?;
        match &self.remote {
            Some(remote) => write!(formatter, " ({remote})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.host)?;
        if let Some(address) = &self.address {
            write!(formatter, " [{address}]")?;
        }
        if let Some(security) = &self.security {
            write!(formatter, ", {security}")?;
        }
        match &self.source {
            Some(source) => write!(formatter, ", {source}"),
            None => Ok(()),
        }
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$case_doc])* #[serde(rename = $text)] $case,)* }

        impl $name {
            /// Every case.
            pub const ALL: &'static [$name] = &[$($name::$case,)*];

            /// The name that plugins, logs and metrics use.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$case => $text,)* }
            }

            /// The case of that name.
            pub fn from_name(name: &str) -> Option<$name> {
                match name { $($text => Some($name::$case),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

named! {
    /// Where in an attempt the outcome was decided.
    Phase {
        /// Looking up the next hop.
        Dns => "dns",
        /// Opening the connection, or the greeting.
        Connect => "connect",
        /// TLS negotiation.
        Tls => "tls",
        /// EHLO, HELO or LHLO.
        Ehlo => "ehlo",
        /// Authenticating to the next hop.
        Auth => "auth",
        /// MAIL FROM.
        Mail => "mail",
        /// RCPT TO.
        Rcpt => "rcpt",
        /// DATA or BDAT, until the final reply.
        Data => "data",
        /// The relay's or a plugin's own decision.
        Policy => "policy",
        /// The message was too old.
        Expired => "expired",
    }
}

named! {
    /// What kind of failure it was, whatever the words of the peer.
    FailureClass {
        /// Not told apart yet.
        Unknown => "unknown",
        /// The mailbox does not exist or is disabled.
        BadMailbox => "bad-mailbox",
        /// The domain does not exist or takes no mail.
        BadDomain => "bad-domain",
        /// The mailbox is full.
        Quota => "quota",
        /// The content was refused.
        Content => "content",
        /// The message is too large.
        TooLarge => "too-large",
        /// Refused by policy, ours or theirs.
        Policy => "policy",
        /// Our address or name is blocked there.
        BlockSource => "block-source",
        /// Too fast or too much.
        Rate => "rate",
        /// Asked to come back later (greylisting).
        Greylist => "greylist",
        /// TLS failed.
        Tls => "tls",
        /// No connection, or it broke.
        Network => "network",
        /// The peer broke the protocol, or lacks an extension that the message needs.
        Protocol => "protocol",
        /// The DNS did not answer.
        Dns => "dns",
        /// A routing loop.
        Loop => "loop",
        /// The message became too old.
        Expired => "expired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TlsFacts;

    #[test]
    fn a_remote_keeps_its_security() {
        let facts =
            TlsFacts { version: "TLSv1.3".to_owned(), cipher: "TLS_X".to_owned(), ..TlsFacts::default() };
        for security in [
            None,
            Some(Security::Plain("not offered (by; them)".to_owned())),
            Some(Security::Protected(std::sync::Arc::new(facts))),
        ] {
            let remote = Remote { security, ..Remote::named("mx.example").at([192, 0, 2, 1].into()) };
            let text = remote.to_string();
            let record = postcard::to_allocvec(&remote).unwrap();
            let read: Remote = postcard::from_bytes(&record).unwrap();
            assert_eq!(read.to_string(), text.replace('(', "[").replace(')', "]").replace(';', ","));
            let json = serde_json::to_string(&remote).unwrap();
            assert_eq!(serde_json::from_str::<Remote>(&json).unwrap(), read);
            assert!(json.contains("\"host\":\"mx.example\""), "{json}");
        }
    }

    #[test]
    fn a_remote_keeps_its_source() {
        let source = SentFrom {
            name: "a".to_owned(),
            ehlo: "out1.example".to_owned(),
            address: Some([192, 0, 2, 9].into()),
        };
        let facts = TlsFacts { version: "TLSv1.3".to_owned(), ..TlsFacts::default() };
        for security in [None, Some(Security::Protected(Arc::new(facts)))] {
            let source = Some(Arc::new(source.clone()));
            let remote = Remote { security, source, ..Remote::named("mx.example") };
            assert!(remote.to_string().ends_with(", from a as out1.example [192.0.2.9]"), "{remote}");
            let record = postcard::to_allocvec(&remote).unwrap();
            assert_eq!(postcard::from_bytes::<Remote>(&record).unwrap(), remote);
            let json = serde_json::to_string(&remote).unwrap();
            assert_eq!(serde_json::from_str::<Remote>(&json).unwrap(), remote);
        }
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        for host in ["mx.example", "/var/mail (old)", "x (plain text)"] {
            let address: Option<IpAddr> = None;
            let earlier = postcard::to_allocvec(&(host, address)).unwrap();
            assert_eq!(postcard::from_bytes::<Remote>(&earlier).unwrap(), Remote::named(host));
        }
    }
}
