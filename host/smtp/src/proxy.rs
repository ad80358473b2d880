//! The PROXY protocol, versions 1 and 2: a balancer in front tells who its client is.
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>
//!
//! Invariant: never is more asked for than belongs to the header, for what follows may be a TLS handshake; and no header
//! is longer than 4,112 octets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// The connection is this client's.
    Client(SocketAddr),
    /// The connection is the balancer's own, such as a health check; or it does not know.
    Itself,
}

/// How far a header is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyRead {
    /// So many octets more belong to it at least.
    Needs(usize),
    /// It is whole.
    Done(Proxied),
}

/// Why octets are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProxyHeader {
    /// They begin otherwise.
    #[error("no PROXY header")]
    Missing,
    /// They begin like one; what is wrong.
    #[error("malformed PROXY header: {0}")]
    Malformed(&'static str),
}

/// Reads what has come of a header.
pub fn read_header(octets: &[u8]) -> Result<ProxyRead, NoProxyHeader> {
    let Some((start, rest)) = octets.split_at_checked(SIGNATURE.len()) else {
        return Ok(ProxyRead::Needs(SIGNATURE.len() - octets.len()));
    };
    if start == SIGNATURE {
        return read_binary(rest);
    }
    if !start.starts_with(b"PROXY ") {
        return Err(NoProxyHeader::Missing);
    }
    if octets.last() != Some(&b'\n') {
        let is_full = octets.len() >= LINE_OCTETS_MAX;
        return if is_full {
            Err(NoProxyHeader::Malformed("the line has no end"))
        } else {
            Ok(ProxyRead::Needs(1))
        };
    }
    let proxied = parse_line(octets).ok_or(NoProxyHeader::Malformed("not as the line should be"))?;
    Ok(ProxyRead::Done(proxied))
}

/// A header of version 2 for a balancer that is to connect from `source` to `target`. The families must be the same; port 0
/// leaves the choice to it.
pub fn write_header(source: SocketAddr, target: SocketAddr) -> Option<Vec<u8>> {
    let mut header = SIGNATURE.to_vec();
    match (source.ip(), target.ip()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            header.extend_from_slice(&[0x21, 0x11, 0, 12]);
            header.extend_from_slice(&source.octets());
            header.extend_from_slice(&target.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            header.extend_from_slice(&[0x21, 0x21, 0, 36]);
            header.extend_from_slice(&source.octets());
            header.extend_from_slice(&target.octets());
        }
        _ => return None,
    }
    header.extend_from_slice(&source.port().to_be_bytes());
    header.extend_from_slice(&target.port().to_be_bytes());
    Some(header)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 40000 25`.
fn parse_line(line: &[u8]) -> Option<Proxied> {
    let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let mut words = text.split(' ').skip(1);
    match words.next()? {
        // Whatever else stands there is to be ignored.
        "UNKNOWN" => Some(Proxied::Itself),
        family @ ("TCP4" | "TCP6") => {
            let (source, target) =
                (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse::<IpAddr>().ok()?);
            let (port, _) = (parse_port(words.next()?)?, parse_port(words.next()?)?);
            let is_right = |address: IpAddr| address.is_ipv4() == (family == "TCP4");
            let is_whole = words.next().is_none() && is_right(source) && is_right(target);
            is_whole.then(|| Proxied::Client(SocketAddr::new(source, port)))
        }
        _ => None,
    }
}

/// Digits only: `+25` is a number for others.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain =
        text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Version 2, behind its signature.
fn read_binary(rest: &[u8]) -> Result<ProxyRead, NoProxyHeader> {
    let &[version, family, high, low, ref rest @ ..] = rest else {
        return Ok(ProxyRead::Needs(4 - rest.len()));
    };
    let octets = usize::from(u16::from_be_bytes([high, low]));
    if octets > BINARY_OCTETS_MAX {
        return Err(NoProxyHeader::Malformed("too long"));
    }
    if rest.len() < octets {
        return Ok(ProxyRead::Needs(octets - rest.len()));
    }
    let proxied = parse_binary(version, family, rest);
    Ok(ProxyRead::Done(proxied.ok_or(NoProxyHeader::Malformed("not as version 2 should be"))?))
}

fn parse_binary(version: u8, family: u8, rest: &[u8]) -> Option<Proxied> {
    match (version, family) {
        // LOCAL: whatever else stands there is to be ignored.
        (0x20, _) => Some(Proxied::Itself),
        // PROXY over TCP: source, target, ports, then what we do not need.
        (0x21, 0x11) => {
            let source = Ipv4Addr::from(<[u8; 4]>::try_from(rest.get(..4)?).ok()?);
            Some(Proxied::Client(SocketAddr::new(source.into(), port(rest.get(8..12)?)?)))
        }
        (0x21, 0x21) => {
            let source = Ipv6Addr::from(<[u8; 16]>::try_from(rest.get(..16)?).ok()?);
            Some(Proxied::Client(SocketAddr::new(source.into(), port(rest.get(32..36)?)?)))
        }
        // Unspecified, or a UNIX socket: nothing that we could use.
        (0x21, 0x00) | (0x21, 0x31 | 0x32) => Some(Proxied::Itself),
        _ => None,
    }
}

/// The first of two ports.
fn port(ports: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(<[u8; 2]>::try_from(ports.get(..2)?).ok()?))
}

/// How version 2 begins; as long as the shortest line of version 1 is at least.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Octets of a line with its CRLF.
const LINE_OCTETS_MAX: usize = 107;
/// Octets behind the first sixteen: the largest addresses are 216, and extensions are small.
const BINARY_OCTETS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    /// The header, as a reader gets it that takes what is asked for, and what is left then.
    fn read(octets: &[u8]) -> (Result<Proxied, Option<NoProxyHeader>>, Vec<u8>) {
        let mut taken = 0;
        loop {
            match read_header(&octets[..taken]) {
                Ok(ProxyRead::Done(proxied)) => return (Ok(proxied), octets[taken..].to_vec()),
                Ok(ProxyRead::Needs(more)) if taken + more > octets.len() => return (Err(None), Vec::new()),
                Ok(ProxyRead::Needs(more)) => taken += more,
                Err(error) => return (Err(Some(error)), Vec::new()),
            }
        }
    }

    fn client(octets: &[u8]) -> String {
        match read(octets).0 {
            Ok(Proxied::Client(address)) => address.to_string(),
            other => format!("{other:?}"),
        }
    }

    fn binary(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version, family], &length, rest].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        for (source, target) in [("192.0.2.1:7", "198.51.100.2:25"), ("[2001:db8::1]:0", "[2001:db8::2]:25")]
        {
            let source: SocketAddr = source.parse().unwrap();
            let header = write_header(source, target.parse().unwrap()).unwrap();
            assert_eq!(read_header(&header), Ok(ProxyRead::Done(Proxied::Client(source))));
        }
        assert_eq!(write_header("192.0.2.1:7".parse().unwrap(), "[2001:db8::2]:25".parse().unwrap()), None);
    }

    #[test]
    fn lines_tell_the_client() {
        assert_eq!(client(b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\n"), "192.0.2.1:40000");
        assert_eq!(client(b"PROXY TCP6 2001:db8::1 2001:db8::2 0 25\r\n"), "[2001:db8::1]:0");
        for itself in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN ffff::1 what ever\r\n"] {
            assert!(matches!(read(itself).0, Ok(Proxied::Itself)));
        }
        let (_, rest) = read(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nEHLO c\r\n");
        assert_eq!(rest, b"EHLO c\r\n", "not an octet more is read");
    }

    #[test]
    fn binary_headers_tell_the_client() {
        let four =
            [&[192, 0, 2, 1, 192, 0, 2, 2][..], &40_000_u16.to_be_bytes(), &25_u16.to_be_bytes()].concat();
        assert_eq!(client(&binary(0x21, 0x11, &four)), "192.0.2.1:40000");
        let with_extension = [&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        let octets = [binary(0x21, 0x11, &with_extension), b"\x16\x03".to_vec()].concat();
        assert_eq!(client(&octets), "192.0.2.1:40000");
        assert_eq!(read(&octets).1, b"\x16\x03");
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        six[33] = 7;
        assert_eq!(client(&binary(0x21, 0x21, &six)), "[2001:db8::]:7");
        for (version, family, rest) in
            [(0x20, 0x11, &[][..]), (0x20, 0xff, b"x"), (0x21, 0x00, b""), (0x21, 0x31, &[0; 216])]
        {
            assert!(matches!(read(&binary(version, family, rest)).0, Ok(Proxied::Itself)));
        }
    }

    /// A19.
    #[test]
    fn malformed_headers_are_refused() {
        for bad in [
            &b"PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 25 x\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 25\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 01 25\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n",
            b"PROXY TCP6 192.0.2.1 192.0.2.2 1 25\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\n",
            b"PROXY TCP4  192.0.2.1 192.0.2.2 1 25\r\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 25\r\n",
            b"PROXY TCP4 192.0.2.1\0 192.0.2.2 1 25\r\n",
        ] {
            assert!(
                matches!(read(bad).0, Err(Some(NoProxyHeader::Malformed(_)))),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 500]].concat();
        assert!(matches!(read(&endless).0, Err(Some(NoProxyHeader::Malformed("the line has no end")))));
        assert!(matches!(read(b"EHLO client.example\r\n").0, Err(Some(NoProxyHeader::Missing))));
        for (version, family, rest) in [
            (0x11, 0x11, &[0; 12][..]),
            (0x22, 0x11, &[0; 12]),
            (0x21, 0x11, &[0; 11]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x12, &[0; 12]),
            (0x21, 0xff, b""),
        ] {
            assert!(
                matches!(read(&binary(version, family, rest)).0, Err(Some(NoProxyHeader::Malformed(_)))),
                "{family:x}"
            );
        }
        let long = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff], &[0; 70_000]].concat();
        assert!(matches!(read(&long).0, Err(Some(NoProxyHeader::Malformed("too long")))));
        for cut in 0..28 {
            let whole = binary(0x21, 0x11, &[0; 12]);
            assert!(matches!(read(&whole[..cut]).0, Err(None)), "{cut}");
        }
    }
}
