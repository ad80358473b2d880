//! Transfer encodings (RFC 2045 6) and charsets. Both are read as mail programs read them: what is not valid is
//! skipped or kept, never a failure, because a filter that sees nothing of a part lets it through.

use mail_parser::decoders::charsets::map::charset_decoder;

/// How the octets of a part stand in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferEncoding {
    /// As they are: 7bit, 8bit, binary, and what nobody knows.
    Identity,
    Base64,
    QuotedPrintable,
}

impl TransferEncoding {
    /// The encoding of that name in lower case.
    pub(super) fn of(name: &str) -> TransferEncoding {
        match name {
            "base64" => TransferEncoding::Base64,
            "quoted-printable" => TransferEncoding::QuotedPrintable,
            _ => TransferEncoding::Identity,
        }
    }
}

/// The octets behind the encoding; never more than there were.
pub(super) fn decode(encoded: &[u8], encoding: TransferEncoding) -> Vec<u8> {
    match encoding {
        TransferEncoding::Identity => encoded.to_vec(),
        TransferEncoding::Base64 => decode_base64(encoded),
        TransferEncoding::QuotedPrintable => decode_quoted_printable(encoded),
    }
}

/// Characters outside of the alphabet are skipped (RFC 2045 6.8); padding ends a group, and another may follow.
fn decode_base64(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for octet in encoded {
        if *octet == b'=' {
            (bits, count) = (0, 0);
            continue;
        }
        let Some(value) = base64_value(*octet) else { continue };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    decoded
}

fn base64_value(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// An `=` that begins no pair of digits and no soft line end stays as it is (RFC 2045 6.7). Blanks before a soft
/// line end's CRLF are part of it.
fn decode_quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some(at) = memchr::memchr(b'=', rest) {
        decoded.extend_from_slice(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + 1..).unwrap_or_default();
        let (octet, skipped) = match after {
            [high, low, ..] if is_hex(*high) && is_hex(*low) => (Some(hex(*high) << 4 | hex(*low)), 2),
            _ => match soft_line_end(after) {
                Some(len) => (None, len),
                None => (Some(b'='), 0),
            },
        };
        decoded.extend(octet);
        rest = after.get(skipped..).unwrap_or_default();
    }
    decoded.extend_from_slice(rest);
    decoded
}

/// Octets of blanks and the line end that `after` begins with; also when the text ends there.
fn soft_line_end(after: &[u8]) -> Option<usize> {
    let blanks = after.iter().take(BLANKS_MAX).take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    match after.get(blanks..).unwrap_or_default() {
        [] => Some(blanks),
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [b'\n', ..] => Some(blanks + 1),
        _ => None,
    }
}

/// Blanks that are looked at behind an `=`, so that a flood of both stays linear.
const BLANKS_MAX: usize = 998;

fn is_hex(octet: u8) -> bool {
    octet.is_ascii_hexdigit()
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).unwrap_or(0) as u8
}

/// The text in that charset; UTF-8 when it is not named or not known. What is not valid becomes U+FFFD.
pub(super) fn to_unicode(octets: &[u8], charset: Option<&str>) -> String {
    let by_table = charset
        // Text that calls itself ASCII and is not is UTF-8 nowadays.
        .filter(|name| !matches!(*name, "us-ascii" | "ascii" | "utf-8" | "utf8" | ""))
        // The ISO-2022 charsets have seven bits.
        .filter(|name| octets.is_ascii() || !name.starts_with("iso-2022-"))
        .and_then(|name| charset_decoder(name.as_bytes()));
    match by_table {
        Some(decode) => decode(octets),
        None => String::from_utf8_lossy(octets).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_through_noise_and_padding() {
        for (encoded, decoded) in [
            (&b"aGVsbG8="[..], &b"hello"[..]),
            (b"aGVs\r\nbG8=\r\n", b"hello"),
            (b"aGVsbG8", b"hello"),
            (b"aG-V*s bG8=", b"hello"),
            (b"aGk=aGk=", b"hihi"),
            (b"", b""),
            (b"====", b""),
            (b"a", b""),
        ] {
            assert_eq!(decode_base64(encoded), decoded, "{}", encoded.escape_ascii());
        }
    }

    #[test]
    fn quoted_printable_keeps_what_it_can_not_read() {
        for (encoded, decoded) in [
            (&b"a=3Db=C3=a9"[..], &b"a=b\xc3\xa9"[..]),
            (b"soft=\r\nline=  \r\nend=\n!", b"softlineend!"),
            (b"100=%\r\nx=", b"100=%\r\nx"),
            (b"=G1 =", b"=G1 "),
        ] {
            assert_eq!(decode_quoted_printable(encoded), decoded, "{}", encoded.escape_ascii());
        }
    }

    #[test]
    fn charsets_become_unicode() {
        assert_eq!(to_unicode(b"K\xf6ln", Some("iso-8859-1")), "Köln");
        assert_eq!(to_unicode("Köln".as_bytes(), Some("us-ascii")), "Köln");
        assert_eq!(to_unicode("こん".as_bytes(), Some("iso-2022-jp")), "こん");
        assert_eq!(to_unicode("Köln".as_bytes(), Some("no-such-charset")), "Köln");
        assert_eq!(to_unicode(b"K\xf6ln", None), "K\u{fffd}ln");
        assert_eq!(to_unicode(b"\x82\xb1\x82\xf1", Some("shift_jis")), "こん");
    }
}
