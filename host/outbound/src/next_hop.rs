//! Where a message can go next.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use baton_mail::Domain;

use crate::endpoint::Endpoint;

/// A next hop, by settings or by a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// The mail hosts of a domain.
    Mx(Domain),
    /// These hosts by SMTP, in this order: a later one is tried when the earlier ones can not be reached.
    Hosts(Vec<HostPort>),
    /// Final delivery by LMTP (RFC 2033).
    Lmtp(LmtpTarget),
    /// Final delivery into a Maildir folder of this path, one file a message.
    File(PathBuf),
    /// Final delivery to a web server.
    Http(Endpoint),
    /// Keep it until an operator decides; the text says why.
    Hold(String),
    /// Take it and throw it away.
    Discard,
}

impl NextHop {
    /// A short word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            NextHop::Mx(_) => "mx",
            NextHop::Hosts(_) => "hosts",
            NextHop::Lmtp(_) => "lmtp",
            NextHop::File(_) => "file",
            NextHop::Http(_) => "http",
            NextHop::Hold(_) => "hold",
            NextHop::Discard => "discard",
        }
    }
}

/// A host with its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A name or an IP address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host`, `host:port`, `192.0.2.1:25`, `[2001:db8::1]:25`; without a port it is `default_port`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str, default_port: u16) -> Result<HostPort, InvalidNextHop> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(InvalidNextHop)?)),
            None if text.parse::<IpAddr>().is_ok() => (text, None),
            None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(InvalidNextHop)?,
            None => default_port,
        };
        let host = match host.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => match host.parse::<Domain>() {
                Ok(domain) if domain.as_literal().is_none() => domain.as_str().to_owned(),
                _ => return Err(InvalidNextHop),
            },
        };
        Ok(HostPort { host, port })
    }
}

/// Where an LMTP server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LmtpTarget {
    /// By TCP.
    Tcp(HostPort),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// The port when an LMTP target names none (RFC 2033 leaves it open; this is what servers use).
const LMTP_PORT: u16 = 24;

impl FromStr for LmtpTarget {
    type Err = InvalidNextHop;

    fn from_str(text: &str) -> Result<LmtpTarget, InvalidNextHop> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') && !path.chars().any(char::is_control) => {
                Ok(LmtpTarget::Unix(PathBuf::from(path)))
            }
            Some(_) => Err(InvalidNextHop),
            None => HostPort::parse(text, LMTP_PORT).map(LmtpTarget::Tcp),
        }
    }
}

/// The text names no next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a next hop: expected host, host:port, [address]:port or, for LMTP, unix:/path")]
pub struct InvalidNextHop;

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for LmtpTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LmtpTarget::Tcp(target) => target.fmt(formatter),
            LmtpTarget::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHop::Mx(domain) => write!(formatter, "mx of {domain}"),
            NextHop::Hosts(hosts) => {
                formatter.write_str("host ")?;
                for (index, host) in hosts.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(formatter, "{separator}{host}")?;
                }
                Ok(())
            }
            NextHop::Lmtp(target) => write!(formatter, "lmtp {target}"),
            NextHop::File(path) => write!(formatter, "file {}", path.display()),
            NextHop::Http(endpoint) => write!(formatter, "{endpoint}"),
            NextHop::Hold(reason) => write!(formatter, "hold: {reason}"),
            NextHop::Discard => formatter.write_str("discard"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_and_without_port() {
        let read = |text: &str| HostPort::parse(text, 25).map(|target| target.to_string());
        assert_eq!(read("MX.example.org"), Ok("mx.example.org:25".to_owned()));
        assert_eq!(read("127.0.0.1:2525"), Ok("127.0.0.1:2525".to_owned()));
        assert_eq!(read("[2001:DB8::1]:26"), Ok("[2001:db8::1]:26".to_owned()));
        assert_eq!(read("2001:db8::1"), Ok("[2001:db8::1]:25".to_owned()));
        for bad in ["", "host:", "host:0", "host:99999", "a b", "[::1]x", "host:2525:1"] {
            assert_eq!(read(bad), Err(InvalidNextHop), "{bad}");
        }
    }

    #[test]
    fn lmtp_targets_are_sockets_or_hosts() {
        assert_eq!("unix:/run/lmtp".parse(), Ok(LmtpTarget::Unix("/run/lmtp".into())));
        assert_eq!(
            "mail:2003".parse::<LmtpTarget>().map(|target| target.to_string()),
            Ok("mail:2003".to_owned())
        );
        assert_eq!("unix:relative".parse::<LmtpTarget>(), Err(InvalidNextHop));
    }
}
