//! Signing one message (RFC 6376 5).
//!
//! Fields that readers show or act on are signed once more than they occur, so that nobody can add another one that is
//! shown in place of the signed one (RFC 6376 8.15). The whole body is signed, never a part of it.

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_mail::Domain;
use baton_mail::header::HeaderIndex;

use super::canonical::push_field;
use super::secret::{KeyFailure, Secret};
use super::{Form, HEADERS_MAX};

/// A key with the selector under which it is published.
#[derive(Debug)]
pub(crate) struct SigningKey {
    pub(crate) selector: String,
    pub(crate) secret: Secret,
}

/// One field `DKIM-Signature`, with its line end, over a header and the hash of a body in relaxed form.
pub(crate) fn signature_field(
    key: &SigningKey,
    domain: &Domain,
    header: &HeaderIndex,
    body_hash: &[u8; SHA256_OUTPUT_LEN],
    now_s: i64,
) -> Result<String, KeyFailure> {
    let (names, mut octets) = signed_fields(header);
    let mut field = format!(
        "DKIM-Signature: v=1; a={}; c=relaxed/relaxed; d={domain};\r\n\ts={}; t={now_s};\r\n\th=",
        key.secret.algorithm().as_str(),
        key.selector
    );
    fold(&names.join(":"), ':', &mut field);
    field.push_str(&format!(";\r\n\tbh={};\r\n\tb=", STANDARD.encode(body_hash)));
    push_field(field.as_bytes(), Form::Relaxed, &mut octets);
    octets.truncate(octets.len().saturating_sub(b"\r\n".len()));
    fold_anywhere(&key.secret.sign(&octets)?, &mut field);
    field.push_str("\r\n");
    Ok(field)
}

/// The names of what is signed, and its canonical octets: of equal fields the lowest first.
pub(crate) fn signed_fields(header: &HeaderIndex) -> (Vec<&'static str>, Vec<u8>) {
    let fields: Vec<(&str, &[u8])> = header.fields().collect();
    let (mut names, mut octets) = (Vec::new(), Vec::with_capacity(2 << 10));
    let signed = SEALED.iter().map(|name| (*name, true)).chain(SIGNED.iter().map(|name| (*name, false)));
    for (name, is_sealed) in signed {
        let own = fields.iter().rev().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        for (_, field) in own.take(HEADERS_MAX / (SEALED.len() + SIGNED.len())) {
            names.push(name);
            push_field(field, Form::Relaxed, &mut octets);
        }
        if is_sealed {
            names.push(name);
        }
    }
    (names, octets)
}

/// Appends words with separators between them, folded where a line would grow long.
pub(crate) fn fold(words: &str, separator: char, field: &mut String) {
    let mut column = 3;
    for word in words.split_inclusive(separator) {
        if column + word.len() > LINE_OCTETS {
            field.push_str("\r\n\t ");
            column = 2;
        }
        field.push_str(word);
        column += word.len();
    }
}

/// Appends base64, folded at will.
pub(crate) fn fold_anywhere(text: &str, field: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(LINE_OCTETS.min(rest.len())).unwrap_or((rest, ""));
        field.push_str(line);
        if !tail.is_empty() {
            field.push_str("\r\n\t ");
        }
        rest = tail;
    }
}

/// Signed once more than they occur.
const SEALED: [&str; 10] = [
    "from",
    "reply-to",
    "subject",
    "date",
    "to",
    "cc",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];
/// Signed where they occur. Those of lists must be, for one-click unsubscription (RFC 8058 4).
const SIGNED: [&str; 10] = [
    "sender",
    "in-reply-to",
    "references",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-help",
    "list-post",
    "list-owner",
    "auto-submitted",
];
/// Octets of a line that we aim at (RFC 5322 2.1.1), less what stands around it.
const LINE_OCTETS: usize = 72;

#[cfg(test)]
mod tests {
    use baton_mail::header::HeaderLimits;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::Verdict;
    use crate::dkim::{Algorithm, Key, candidates, hash_body, judge};

    fn key(algorithm: Algorithm) -> (SigningKey, Key) {
        let secret = Secret::generate(algorithm).unwrap();
        let kind = if algorithm == Algorithm::RsaSha256 { "rsa" } else { "ed25519" };
        let record = format!("v=DKIM1; k={kind}; p={}", secret.public().unwrap());
        let published = Key::read(record.as_bytes(), algorithm).unwrap();
        (SigningKey { selector: "s1".to_owned(), secret }, published)
    }

    fn index(header: &str) -> HeaderIndex {
        HeaderIndex::scan(&Bytes::copy_from_slice(header.as_bytes()), &HeaderLimits::default()).unwrap()
    }

    fn sign(key: &SigningKey, header: &str, body: &[u8]) -> String {
        let hash = hash_body(body, Form::Relaxed, None);
        signature_field(key, &"sender.example".parse().unwrap(), &index(header), &hash.digest, 7).unwrap()
    }

    /// The verdict on the first signature of a header.
    fn verdict(published: &Key, header: &str, body: &[u8]) -> Verdict {
        let header = index(header);
        let candidate = candidates(&header, 1).pop().unwrap();
        let hash = hash_body(body, Form::Relaxed, None);
        judge(&candidate, &header, Some(hash), Some(Ok(published.clone())), 8).verdict
    }

    #[test]
    fn what_is_shown_is_signed_once_more_and_lists_are_signed() {
        let header = "From: a@sender.example\r\nTo: b@dest.example\r\nSubject: one\r\nList-Unsubscribe: <https://x.example/>\r\n\
                      List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nX-Other: y\r\n";
        let (own, published) = key(Algorithm::RsaSha256);
        let field = sign(&own, header, b"body\r\n");
        assert!(field.lines().all(|line| line.len() <= 78), "{field}");
        let unfolded = field.replace("\r\n\t", "").replace(' ', "");
        let names: Vec<&str> =
            unfolded.split("h=").nth(1).unwrap().split(';').next().unwrap().split(':').collect();
        let times = |name: &str| names.iter().filter(|own| **own == name).count();
        assert_eq!(
            (times("from"), times("subject"), times("cc"), times("x-other")),
            (2, 2, 1, 0),
            "{names:?}"
        );
        // RFC 8058 4.
        assert_eq!((times("list-unsubscribe"), times("list-unsubscribe-post")), (1, 1), "{names:?}");
        let whole = format!("{field}{header}");
        assert_eq!(verdict(&published, &whole, b"body\r\n"), Verdict::Pass);
        assert_eq!(verdict(&published, &format!("X-Added: z\r\n{whole}"), b"body\r\n"), Verdict::Pass);
        for added in ["From: e@evil.example\r\n", "Subject: two\r\n", "Cc: c@dest.example\r\n"] {
            assert_eq!(
                verdict(&published, &format!("{whole}{added}"), b"body\r\n"),
                Verdict::Fail,
                "{added}"
            );
            assert_eq!(
                verdict(&published, &format!("{added}{whole}"), b"body\r\n"),
                Verdict::Fail,
                "{added}"
            );
        }
        assert_eq!(verdict(&published, &whole.replace("One-Click", "Two"), b"body\r\n"), Verdict::Fail);
        assert_eq!(verdict(&published, &whole, b"bodies\r\n"), Verdict::Fail);
    }

    proptest! {
        #[test]
        fn whatever_is_signed_verifies(value in "[ -~\t]{0,90}", body in "[ab \t\r\n]{0,60}") {
            let (own, published) = key(Algorithm::Ed25519Sha256);
            let header = format!("From: a@sender.example\r\nSubject: {value}\r\n\tfolded \r\n");
            let whole = format!("{}{header}", sign(&own, &header, body.as_bytes()));
            prop_assert_eq!(verdict(&published, &whole, body.as_bytes()), Verdict::Pass);
        }
    }
}
