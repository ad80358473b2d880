//! URLs of plugins and the grants that cover them. Both are read by the same rules (WHATWG URL), so that no other
//! spelling of a host, a port or a path slips past a grant.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// Octets of a URL.
const URL_OCTETS_MAX: usize = 8_192;
/// How often a path may be percent-encoded over and over; servers that decode twice exist.
const DECODINGS_MAX: usize = 4;

/// Where a request goes, in canonical form: host names in lower case and ASCII, no dot segments, no user, no fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    /// HTTPS, not HTTP.
    pub is_tls: bool,
    /// The host.
    pub host: HttpHost,
    /// The port.
    pub port: u16,
    /// Path and query; begins with `/`.
    pub target: String,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HttpHost {
    /// A name that has to be resolved.
    Name(String),
    /// An address; `127.1` and `0x7f000001` are read as a browser reads them.
    Address(IpAddr),
}

impl HttpUrl {
    /// Reads a URL. Answers why it can not be used.
    pub fn parse(text: &str) -> Result<HttpUrl, String> {
        if text.len() > URL_OCTETS_MAX {
            return Err(format!("a URL has at most {URL_OCTETS_MAX} octets"));
        }
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err("a URL begins with http:// or https://".to_owned()),
        };
        if !url.username().is_empty() || url.password().is_some() || has_user(text) {
            return Err("a URL names no user; use a header".to_owned());
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => HttpHost::Name(check_name(name)?),
            Some(Host::Ipv4(address)) => HttpHost::Address(address.into()),
            Some(Host::Ipv6(address)) => HttpHost::Address(address.into()),
            None => return Err("the URL has no host".to_owned()),
        };
        check_path(url.path())?;
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or("the URL has no port")?;
        Ok(HttpUrl { is_tls, host, port, target })
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Host and, when it is not the one of the scheme, port: the value of the Host field (RFC 9110 7.2).
    pub fn authority(&self) -> String {
        let is_default = self.port == if self.is_tls { 443 } else { 80 };
        if is_default { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority(), self.target)
    }
}

impl fmt::Display for HttpHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpHost::Name(name) => formatter.write_str(name),
            HttpHost::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            HttpHost::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

/// The parser drops an empty user, as in `http://@host/`; nobody needs one.
fn has_user(text: &str) -> bool {
    let after_scheme = text.split_once(':').map_or("", |(_, rest)| rest).trim_start_matches(['/', '\\']);
    let authority = after_scheme.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    authority.contains('@')
}

/// A name without a dot at its end, which is the same name in the DNS.
fn check_name(name: &str) -> Result<String, String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_valid = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    let has_labels = name.split('.').all(|label| !label.is_empty());
    if name.len() <= 253 && has_labels && name.bytes().all(is_valid) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err("the host of the URL is not a name".to_owned())
    }
}

/// The parser resolved dot segments, `%2e` included. What is left of them under further encodings is refused: a
/// server that decodes again would leave the path that was granted.
fn check_path(path: &str) -> Result<(), String> {
    let mut decoded = path.as_bytes().to_vec();
    for _ in 0..DECODINGS_MAX {
        let is_climbing = |segment: &[u8]| {
            let name = segment.split(|octet| *octet == b';').next().unwrap_or_default();
            matches!(name, b"." | b"..")
        };
        let hides = decoded.contains(&0) || decoded.contains(&b'\\');
        if hides || decoded.split(|octet| *octet == b'/').any(is_climbing) {
            return Err("the path of the URL hides dot segments, a backslash or a zero".to_owned());
        }
        let next = percent_decoded(&decoded);
        if next == decoded {
            return Ok(());
        }
        decoded = next;
    }
    Err("the path of the URL is encoded over and over".to_owned())
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|octet| (*octet as char).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

/// What a plugin may ask by HTTP: scheme, host, port and the beginning of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpGrant {
    /// Every URL of public hosts.
    Everything,
    /// URLs that begin like this one.
    Prefix {
        /// Where.
        url: HttpUrl,
        /// All names below the host, not the host itself.
        below: bool,
    },
}

impl HttpGrant {
    /// Reads a grant: `*`, or a URL whose host may begin with a dot. Answers what is wrong with it.
    pub fn parse(text: &str) -> Result<HttpGrant, String> {
        if text == "*" {
            return Ok(HttpGrant::Everything);
        }
        let below = text.split_once("://").filter(|(_, rest)| rest.starts_with('.'));
        let plain = below.map(|(scheme, rest)| format!("{scheme}://{}", rest.trim_start_matches('.')));
        let url = HttpUrl::parse(plain.as_deref().unwrap_or(text))?;
        if url.target.contains('?') || text.contains('#') {
            return Err("a grant ends with the path; queries are free".to_owned());
        }
        if below.is_some() && matches!(url.host, HttpHost::Address(_)) {
            return Err("there are no names below an address".to_owned());
        }
        Ok(HttpGrant::Prefix { url, below: below.is_some() })
    }

    /// True when this grant lets a plugin ask for `asked`.
    pub fn covers(&self, asked: &HttpUrl) -> bool {
        match self {
            HttpGrant::Everything => true,
            HttpGrant::Prefix { url, below } => {
                let same_host =
                    if *below { is_below(&asked.host, &url.host) } else { asked.host == url.host };
                same_host
                    && asked.is_tls == url.is_tls
                    && asked.port == url.port
                    && begins_with(asked.path(), &url.target)
            }
        }
    }

    /// True when it names exactly the host of `asked`, which it covers: an address of the operator's own networks
    /// may be asked only then.
    pub fn names(&self, asked: &HttpUrl) -> bool {
        matches!(self, HttpGrant::Prefix { below: false, .. }) && self.covers(asked)
    }
}

fn is_below(host: &HttpHost, parent: &HttpHost) -> bool {
    let (HttpHost::Name(host), HttpHost::Name(parent)) = (host, parent) else { return false };
    host.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// By whole segments: `/v1` covers `/v1` and `/v1/x`, not `/v10`.
fn begins_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(grant: &str, url: &str) -> bool {
        HttpUrl::parse(url).is_ok_and(|url| HttpGrant::parse(grant).unwrap().covers(&url))
    }

    #[test]
    fn grants_cover_scheme_host_port_and_path() {
        let grant = "https://api.example/v1/";
        for inside in [
            "https://api.example/v1/",
            "https://API.example:443/v1/x?y=/../z",
            "https://api.example./v1/a/../b",
            "https://api.example/v1/%2E%2E/v1/a",
        ] {
            assert!(covers(grant, inside), "{inside}");
        }
        for outside in [
            "http://api.example/v1/",
            "https://api.example:8443/v1/",
            "https://api.example/v1",
            "https://api.example/v2/",
            "https://api.example/v1/../v2",
            "https://api.example/v1/%2e%2e/v2",
            "https://api.example/v1/%252e%252e/v2",
            "https://api.example/v1/..%2fv2",
            "https://api.example/v1/..;/v2",
            "https://api.example/v1/..%5cv2",
            "https://api.example/v1\\..\\v2",
            "https://api.example/v1/%00",
            "https://api.example@evil.example/v1/",
            "https://user:pass@api.example/v1/",
            "https://@api.example/v1/",
            "https://api.example.evil.example/v1/",
            "https://evil.example/https://api.example/v1/",
            "https://evil.example#@api.example/v1/",
            "ftp://api.example/v1/",
            "//api.example/v1/",
            "https:///v1/",
            "https://api.example:0/v1/",
        ] {
            assert!(!covers(grant, outside), "{outside}");
        }
    }

    #[test]
    fn suffixes_segments_and_everything() {
        assert!(covers("https://.example.org/", "https://a.b.example.org/x"));
        assert!(!covers("https://.example.org/", "https://example.org/"));
        assert!(!covers("https://.example.org/", "https://badexample.org/"));
        assert!(
            covers("https://a.example/v1", "https://a.example/v1?q")
                && covers("https://a.example/v1", "https://a.example/v1/x")
        );
        assert!(!covers("https://a.example/v1", "https://a.example/v10"));
        assert!(covers("*", "http://anything.example:8080/"));
        assert!(covers("https://münchen.example/", "https://xn--mnchen-3ya.example/x"));
    }

    #[test]
    fn addresses_have_one_form() {
        for spelling in [
            "http://127.0.0.1:11333/",
            "http://127.1:11333/",
            "http://0x7f000001:11333/",
            "http://2130706433:11333/",
        ] {
            assert!(covers("http://127.0.0.1:11333/", spelling), "{spelling}");
        }
        let grant = HttpGrant::parse("http://127.0.0.1:11333/").unwrap();
        assert!(grant.names(&HttpUrl::parse("http://127.0.0.1:11333/checkv2").unwrap()));
        assert!(!HttpGrant::Everything.names(&HttpUrl::parse("http://127.0.0.1/").unwrap()));
        assert_eq!(HttpUrl::parse("http://[::1]:80/a?b#c").unwrap().to_string(), "http://[::1]/a?b");
    }

    #[test]
    fn bad_grants_are_told() {
        for bad in [
            "",
            "api.example",
            "https://",
            "https://a.example/?q",
            "https://a.example/#f",
            "http://.127.0.0.1/",
            "https://u@a.example/",
        ] {
            assert!(HttpGrant::parse(bad).is_err(), "{bad}");
        }
    }
}
