//! The readers of what strangers write and publish, open to the fuzzer and to the replay of what it found: each takes any
//! octets and must return soon. Nothing else uses them.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use baton_mail::Domain;
use baton_mail::body::Content;
use baton_mail::header::{HeaderIndex, HeaderLimits};
use bytes::Bytes;

use crate::dkim::{Algorithm, Form, Key, Signature, candidates, hash_body, judge};
use crate::results::{own_results, without_forged};
use crate::{arc, dmarc, spf};

/// A message with signatures: read, canonical, hashed. Its first line is taken for the record of the key.
pub fn dkim(octets: &[u8]) {
    let end = memchr::memchr(b'\n', octets).map_or(octets.len(), |end| end + 1);
    let (record, message) = octets.split_at(end);
    let content = Content::split(Bytes::copy_from_slice(message));
    let Ok(header) = HeaderIndex::scan(&content.header, &HeaderLimits::default()) else { return };
    for candidate in candidates(&header, 10) {
        for form in [Form::Simple, Form::Relaxed] {
            let length = candidate.read.as_ref().ok().and_then(|signature| signature.length);
            let hash = hash_body(&content.rest, form, length);
            for algorithm in [Algorithm::RsaSha256, Algorithm::Ed25519Sha256] {
                let key = Key::read(record.trim_ascii(), algorithm).ok().map(Ok);
                let _ = judge(&candidate, &header, Some(hash), key, 1_000);
            }
        }
    }
    let _ = Signature::read_in_chain(message);
}

/// A record of SPF, and its macros with what a client may say.
pub fn spf(octets: &[u8]) {
    let values = spf::Values {
        sender: Cow::Borrowed("strong-bad@email.example.com"),
        domain: "email.example.com",
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)),
        helo: "mx.example.org",
        client_name: "mx.example.org",
        receiver: "mx.example",
        now_s: 1_000,
    };
    for text in spf::read_and_expand(octets, &values) {
        assert!(text.len() <= 32 << 10, "{} octets", text.len());
    }
}

/// A record of DMARC.
pub fn dmarc(octets: &[u8]) {
    dmarc::read_record(octets);
}

/// A chain of custody.
pub fn chain(octets: &[u8]) {
    let content = Content::split(Bytes::copy_from_slice(octets));
    if let Ok(header) = HeaderIndex::scan(&content.header, &HeaderLimits::default()) {
        arc::read_chain(&header);
    }
}

/// A report, packed or not.
pub fn report(octets: &[u8]) {
    if let Ok(report) = crate::reports::read_packed(octets) {
        assert!(report.key().len() <= 1_024, "{}", report.key());
        assert!(!report.summary().is_empty());
        let text = report.to_json(64 << 10).expect("a report can be written");
        assert!(text.len() <= 64 << 10, "{} octets", text.len());
    }
}

/// Results in our name that others wrote: taken out once, none is left.
pub fn results(octets: &[u8]) {
    let own: Domain = "mx.example".parse().expect("a domain");
    let (content, _) = without_forged(Content::split(Bytes::copy_from_slice(octets)), &own);
    let (_, again) = without_forged(content.clone(), &own);
    assert_eq!(again, 0, "results in our name are left");
    if let Ok(header) = HeaderIndex::scan(&content.header, &HeaderLimits::default()) {
        assert!(own_results(&header, &own).is_empty());
    }
}
