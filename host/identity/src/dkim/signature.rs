//! The field `DKIM-Signature` (RFC 6376 3.5), and its like in a chain (RFC 8617 4.1.2, 4.1.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Form;
use crate::tags::{Tags, items, without_blanks};

/// A signature that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) algorithm: Algorithm,
    pub(crate) octets: Vec<u8>,
    pub(crate) body_hash: Vec<u8>,
    pub(crate) header_form: Form,
    pub(crate) body_form: Form,
    pub(crate) domain: String,
    pub(crate) selector: String,
    /// Names of the signed fields.
    pub(crate) headers: Vec<String>,
    /// For whom it is (`i=`).
    pub(crate) identity: Option<String>,
    /// Octets of the canonical body that are signed; all when none.
    pub(crate) length: Option<u64>,
    /// When it ends, in seconds since 1970.
    pub(crate) expires_s: Option<u64>,
}

/// How it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Algorithm {
    RsaSha256,
    Ed25519Sha256,
}

impl Algorithm {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Algorithm::RsaSha256 => "rsa-sha256",
            Algorithm::Ed25519Sha256 => "ed25519-sha256",
        }
    }
}

/// Why a signature is none, in words.
pub(crate) type Flaw = &'static str;

/// Names of fields in one signature at most.
pub(crate) const HEADERS_MAX: usize = 256;

impl Signature {
    /// Reads a field's value.
    pub(crate) fn read(value: &[u8]) -> Result<Signature, Flaw> {
        let text = std::str::from_utf8(value).map_err(|_| "octets that are no text")?;
        let tags = Tags::read(text).ok_or("no list of tags")?;
        if tags.get("v").ok_or("no version")? != "1" {
            return Err("unknown version");
        }
        let own = Own::read(&tags)?;
        let identity = identity(tags.get("i"), &own.domain)?;
        let headers = headers(tags.get("h").ok_or("no list of fields")?)?;
        // RFC 6376 5.4: who sent it must be signed.
        if headers.iter().any(String::is_empty) || !headers.iter().any(|name| name == "from") {
            return Err("From is not signed");
        }
        Signature::from_tags(&tags, own, headers, identity, "simple/simple")
    }

    /// Reads the value of a field `ARC-Message-Signature`: it has no version, `i=` is its place in the chain, and it may
    /// sign any fields but the seals.
    pub(crate) fn read_in_chain(value: &[u8]) -> Result<Signature, Flaw> {
        let text = std::str::from_utf8(value).map_err(|_| "octets that are no text")?;
        let tags = Tags::read(text).ok_or("no list of tags")?;
        let own = Own::read(&tags)?;
        let mut headers = headers(tags.get("h").ok_or("no list of fields")?)?;
        headers.retain(|name| !name.is_empty());
        if headers.iter().any(|name| name == "arc-seal") {
            return Err("a signature of the chain signs a seal");
        }
        // RFC 8617 4.1.2 refers to DKIM, whose default is simple; the test suite and dkimpy take the form of seals.
        Signature::from_tags(&tags, own, headers, None, "relaxed/relaxed")
    }

    fn from_tags(
        tags: &Tags<'_>,
        own: Own,
        headers: Vec<String>,
        identity: Option<String>,
        default_forms: &str,
    ) -> Result<Signature, Flaw> {
        let (header_form, body_form) = forms(tags.get("c").unwrap_or(default_forms))?;
        if tags.get("q").is_some_and(|queries| !items(queries).any(|query| query.starts_with("dns/txt"))) {
            return Err("unknown query method");
        }
        let Own { algorithm, octets, domain, selector } = own;
        Ok(Signature {
            algorithm,
            octets,
            body_hash: decode(tags.get("bh").ok_or("no body hash")?)?,
            header_form,
            body_form,
            identity,
            domain,
            selector,
            headers,
            length: tags.get("l").map(number).transpose()?,
            expires_s: expiry(tags)?,
        })
    }
}

/// What signatures and seals have in common: how, and by whose key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) algorithm: Algorithm,
    pub(crate) octets: Vec<u8>,
    pub(crate) domain: String,
    pub(crate) selector: String,
}

impl Own {
    pub(crate) fn read(tags: &Tags<'_>) -> Result<Own, Flaw> {
        let domain = tags.get("d").ok_or("no domain")?.to_ascii_lowercase();
        let selector = tags.get("s").ok_or("no selector")?.to_ascii_lowercase();
        if !is_name(&domain) || !domain.contains('.') || !is_name(&selector) {
            return Err("the domain or selector is no name");
        }
        Ok(Own {
            algorithm: algorithm(tags.get("a").ok_or("no algorithm")?)?,
            octets: decode(tags.get("b").ok_or("no signature")?)?,
            domain,
            selector,
        })
    }
}

fn algorithm(value: &str) -> Result<Algorithm, Flaw> {
    match value {
        "rsa-sha256" => Ok(Algorithm::RsaSha256),
        "ed25519-sha256" => Ok(Algorithm::Ed25519Sha256),
        // RFC 8301 3.1: never to be taken for a signature.
        "rsa-sha1" => Err("SHA-1 proves nothing"),
        _ => Err("unknown algorithm"),
    }
}

fn forms(value: &str) -> Result<(Form, Form), Flaw> {
    let form = |word: &str| match word {
        "simple" => Ok(Form::Simple),
        "relaxed" => Ok(Form::Relaxed),
        _ => Err("unknown canonical form"),
    };
    let (header, body) = value.split_once('/').unwrap_or((value, "simple"));
    Ok((form(header)?, form(body)?))
}

fn headers(value: &str) -> Result<Vec<String>, Flaw> {
    let headers: Vec<String> = items(value).map(str::to_ascii_lowercase).collect();
    if headers.len() > HEADERS_MAX { Err("too many fields") } else { Ok(headers) }
}

/// The identity must lie within the domain (RFC 6376 3.5).
fn identity(value: Option<&str>, domain: &str) -> Result<Option<String>, Flaw> {
    let Some(value) = value else { return Ok(None) };
    let (_, own) = value.rsplit_once('@').ok_or("the identity is no address")?;
    let own = own.to_ascii_lowercase();
    let is_within = own.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    if is_within { Ok(Some(value.to_owned())) } else { Err("the identity is not of the domain") }
}

fn expiry(tags: &Tags<'_>) -> Result<Option<u64>, Flaw> {
    let signed = tags.get("t").map(number).transpose()?;
    let expires = tags.get("x").map(number).transpose()?;
    match (signed, expires) {
        (Some(signed), Some(expires)) if expires <= signed => Err("it ends before it begins"),
        _ => Ok(expires),
    }
}

/// A number of up to 76 digits (RFC 6376 3.5); beyond our reach is as large as can be.
pub(crate) fn number(value: &str) -> Result<u64, Flaw> {
    if value.is_empty() || value.len() > 76 || !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err("not a number");
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn decode(value: &str) -> Result<Vec<u8>, Flaw> {
    if value.len() > BASE64_OCTETS_MAX {
        return Err("base64 of unreasonable length");
    }
    let octets = STANDARD.decode(without_blanks(value)).map_err(|_| "not base64")?;
    if octets.is_empty() { Err("not base64") } else { Ok(octets) }
}

/// Labels as the DNS takes them; underscores occur in selectors.
fn is_name(name: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    name.len() <= 253
        && name.split('.').all(|label| (1..=63).contains(&label.len()) && label.bytes().all(fits))
}

/// Room for a signature of 16,384 bits and its folding.
const BASE64_OCTETS_MAX: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = " v=1; a=rsa-sha256; c=relaxed/simple; d=Example.com; s=sel;\r\n\th=From : to; bh=YWI=; b=YW\r\n I=; \
                        i=@mail.example.com; l=5; t=7; x=9";

    #[test]
    fn a_signature_is_read() {
        let signature = Signature::read(GOOD.as_bytes()).unwrap();
        assert_eq!((signature.domain.as_str(), signature.selector.as_str()), ("example.com", "sel"));
        assert_eq!(signature.headers, ["from", "to"]);
        assert_eq!((signature.header_form, signature.body_form), (Form::Relaxed, Form::Simple));
        assert_eq!((signature.length, signature.expires_s), (Some(5), Some(9)));
        assert_eq!((signature.octets.as_slice(), signature.body_hash.as_slice()), (&b"ab"[..], &b"ab"[..]));
    }

    #[test]
    fn each_flaw_has_its_word() {
        for (from, to, flaw) in [
            ("v=1", "v=2", "unknown version"),
            ("v=1; ", "", "no version"),
            ("rsa-sha256", "rsa-sha1", "SHA-1 proves nothing"),
            ("rsa-sha256", "rsa-md5", "unknown algorithm"),
            ("h=From : to", "h=subject", "From is not signed"),
            ("@mail.example.com", "@example.org", "the identity is not of the domain"),
            ("x=9", "x=6", "it ends before it begins"),
            ("l=5", "l=-5", "not a number"),
            ("bh=YWI=", "bh=!", "not base64"),
            ("d=Example.com", "d=com", "the domain or selector is no name"),
            ("d=Example.com", "d=a b.example", "the domain or selector is no name"),
            ("c=relaxed/simple", "c=nofws", "unknown canonical form"),
            ("t=7", "v=1", "no list of tags"),
            ("t=7", "q=http", "unknown query method"),
        ] {
            let text = GOOD.replace(from, to);
            assert_eq!(Signature::read(text.as_bytes()).unwrap_err(), flaw, "{text}");
        }
        let flood = GOOD.replace("h=From", &format!("h={}From", "a:".repeat(HEADERS_MAX)));
        assert_eq!(Signature::read(flood.as_bytes()).unwrap_err(), "too many fields");
        assert_eq!(Signature::read(b"\xff").unwrap_err(), "octets that are no text");
    }
}
