//! Fields with octets beyond ASCII, in ASCII: text and display names in encoded words (RFC 2047), parameters in their
//! extended form (RFC 2231). What is valid UTF-8 is said to be that, and everything else `unknown-8bit` (RFC 1428 3).
//!
//! A field whose grammar has no place for such a form has none.

use bytes::Bytes;

use super::NotConvertible;
use crate::header::{HeaderIndex, LINE_OCTETS_MAX, encode_octets};

/// Fields that are lists of parameters.
const WITH_PARAMETERS: [&str; 2] = ["content-type", "content-disposition"];
/// Fields in which a program looks for something else than words.
const WITHOUT_FORM: [&str; 16] = [
    "arc-authentication-results",
    "arc-message-signature",
    "arc-seal",
    "authentication-results",
    "autocrypt",
    "content-id",
    "content-transfer-encoding",
    "date",
    "dkim-signature",
    "in-reply-to",
    "message-id",
    "mime-version",
    "received",
    "received-spf",
    "references",
    "return-path",
];

/// The header in ASCII, and how many fields were changed for it.
///
/// # Errors
/// When a field has no form in ASCII, or what is beyond it stands in no field at all.
pub(super) fn in_ascii(header: &Bytes, fields: &HeaderIndex) -> Result<(Bytes, usize), NotConvertible> {
    let mut output = Vec::with_capacity(header.len() + header.len() / 4);
    let (mut at, mut changed) = (0, 0);
    for ((name, field), place) in fields.fields().zip(fields.places()) {
        if field.is_ascii() {
            continue;
        }
        output.extend_from_slice(header.get(at..place.start).unwrap_or_default());
        let made = field_in_ascii(name, field).ok_or(NotConvertible::Fields)?;
        output.extend_from_slice(made.strip_suffix(b"\r\n").unwrap_or(&made));
        at = place.end;
        changed += 1;
    }
    output.extend_from_slice(header.get(at..).unwrap_or_default());
    if output.is_ascii() { Ok((output.into(), changed)) } else { Err(NotConvertible::Fields) }
}

fn field_in_ascii(name: &str, field: &[u8]) -> Option<Vec<u8>> {
    let colon = memchr::memchr(b':', field)?;
    let value = field.get(colon + 1..)?;
    let is_one_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_one_of(&WITHOUT_FORM) {
        return None;
    }
    if is_one_of(&WITH_PARAMETERS) { with_parameters(name, value) } else { encode_octets(name, value) }
}

/// A value with parameters: those beyond ASCII get their extended form, each on a line of its own (RFC 2231 4).
fn with_parameters(name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let line: Vec<u8> = value.iter().filter(|octet| !matches!(octet, b'\r' | b'\n')).copied().collect();
    let mut output = format!("{name}:").into_bytes();
    for (index, section) in sections(&line).into_iter().enumerate() {
        let section = section.trim_ascii();
        if index > 0 {
            output.extend_from_slice(b";\r\n\t");
        } else {
            output.push(b' ');
        }
        if section.is_ascii() {
            output.extend_from_slice(section);
        } else {
            output.extend_from_slice(&extended(section)?);
        }
    }
    let is_short = |line: &[u8]| line.len() <= LINE_OCTETS_MAX;
    output.split(|octet| *octet == b'\n').all(is_short).then_some(output)
}

/// What stands between semicolons that are not quoted.
fn sections(line: &[u8]) -> Vec<&[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    line.split(|octet| {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b';' => return !is_quoted,
            _ => {}
        }
        false
    })
    .collect()
}

/// `name*=charset''value` of `name=value`; none when it is extended already, or no parameter, or a boundary: that has
/// no octets beyond ASCII (RFC 2046 5.1.1), and the lines of parts repeat it as it is.
fn extended(section: &[u8]) -> Option<Vec<u8>> {
    let equals = memchr::memchr(b'=', section)?;
    let (name, value) = section.split_at_checked(equals)?;
    let (name, value) = (name.trim_ascii(), value.get(1..)?.trim_ascii());
    let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.!#$&+^`{}|~".contains(octet);
    if name.is_empty() || !name.iter().all(is_token) || name.eq_ignore_ascii_case(b"boundary") {
        return None;
    }
    let mut plain = Vec::with_capacity(value.len());
    let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let mut octets = quoted.unwrap_or(value).iter();
    while let Some(octet) = octets.next() {
        plain.push(if quoted.is_some() && *octet == b'\\' { *octets.next()? } else { *octet });
    }
    let charset = if std::str::from_utf8(&plain).is_ok() { "utf-8" } else { "unknown-8bit" };
    let mut output = [name, b"*=", charset.as_bytes(), b"''"].concat();
    for octet in plain {
        if octet.is_ascii_alphanumeric() || b"-_.".contains(&octet) {
            output.push(octet);
        } else {
            output.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, value: &[u8]) -> Option<String> {
        let field = [name.as_bytes(), b":", value].concat();
        field_in_ascii(name, &field).map(|field| String::from_utf8(field).unwrap())
    }

    #[test]
    fn parameters_get_their_extended_form() {
        assert_eq!(
            made(
                "Content-Disposition",
                " attachment; filename=\"gr\u{fc}n; \\\"a\\\".pdf\";\r\n size=5".as_bytes()
            )
            .unwrap(),
            "Content-Disposition: attachment;\r\n\tfilename*=utf-8''gr%C3%BCn%3B%20%22a%22.pdf;\r\n\tsize=5"
        );
        assert_eq!(
            made("Content-Type", b" text/plain; name=gr\xfcn.txt; charset=x").unwrap(),
            "Content-Type: text/plain;\r\n\tname*=unknown-8bit''gr%FCn.txt;\r\n\tcharset=x"
        );
    }

    #[test]
    fn what_has_no_form_is_refused() {
        let long = format!(" a; name={}", "\u{fc}".repeat(300));
        for (name, value) in [
            ("Content-Type", "text/pl\u{fc}in"),
            ("Content-Type", "text/plain; n\u{fc}me=x"),
            ("Content-Type", "text/plain; name*=utf-8''\u{fc}"),
            ("Content-Type", "text/plain; name=\"\u{fc}\\\""),
            ("Content-Type", "multipart/mixed; Boundary=\"\u{fc}\""),
            ("Content-Disposition", long.as_str()),
            ("Message-ID", "<\u{fc}@x.example>"),
            ("DKIM-Signature", "v=1; x=\u{fc}"),
        ] {
            assert_eq!(made(name, value.as_bytes()), None, "{name}: {value}");
        }
    }
}
