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
fn signed_fields(header: &HeaderIndex) -> (Vec<&'static str>, Vec<u8>) {
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
fn fold(words: &str, separator: char, field: &mut String) {
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
fn fold_anywhere(text: &str, field: &mut String) {
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
