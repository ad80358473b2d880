//! Quoted-printable and base64 (RFC 2045 6.7, 6.8), written so that nothing on the way is tempted to change it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets in a quoted-printable line at most, without the soft line break (RFC 2045 6.7).
const QUOTED_LINE_OCTETS_MAX: usize = 75;
/// Octets that fill a line of base64 with 76 characters.
const BASE64_LINE_OCTETS: usize = 57;
/// Of so many octets one may need quoting; with more, base64 is shorter and nobody could read the text anyway.
const PLAIN_SHARE: usize = 6;

/// True when quoted-printable is readable and short for these octets.
pub(super) fn is_mostly_plain(octets: &[u8]) -> bool {
    let quoted = octets.iter().filter(|octet| !octet.is_ascii() || matches!(octet, 0 | b'=')).count();
    quoted <= octets.len() / PLAIN_SHARE
}

/// The octets in base64. The last line is ended when nothing follows.
pub(super) fn base64(octets: &[u8], ends_message: bool) -> Vec<u8> {
    let lines = octets.len().div_ceil(BASE64_LINE_OCTETS);
    let mut encoded = String::with_capacity(lines * 78);
    for (index, line) in octets.chunks(BASE64_LINE_OCTETS).enumerate() {
        if index > 0 {
            encoded.push_str("\r\n");
        }
        STANDARD.encode_string(line, &mut encoded);
    }
    if ends_message {
        encoded.push_str("\r\n");
    }
    encoded.into_bytes()
}

/// The octets as quoted-printable.
pub(super) fn quoted(octets: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(octets.len() + octets.len() / 4);
    quoted_printable(octets, &mut encoded);
    encoded
}

/// Appends `content` as quoted-printable (RFC 2045 6.7). CRLF stays a line break; a lone CR or LF is quoted.
///
/// A line never begins with a boundary, a dot or `From ` unless one of `content` does (RFC 2049 3): what a soft line break
/// brings to the start of a line is quoted there.
pub fn quoted_printable(content: &[u8], output: &mut Vec<u8>) {
    let (mut column, mut is_continued) = (0, false);
    let mut octets = content.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        if octet == b'\r' && octets.peek() == Some(&b'\n') {
            octets.next();
            output.extend_from_slice(b"\r\n");
            (column, is_continued) = (0, false);
            continue;
        }
        let at_line_end = matches!(octets.peek(), None | Some(b'\r' | b'\n'));
        let is_plain = |at_start: bool| match octet {
            b' ' | b'\t' => !at_line_end,
            b'=' => false,
            b'-' | b'.' | b'F' => !at_start,
            other => other.is_ascii_graphic(),
        };
        let mut plain = is_plain(is_continued && column == 0);
        if column + if plain { 1 } else { 3 } > QUOTED_LINE_OCTETS_MAX {
            output.extend_from_slice(b"=\r\n");
            (column, is_continued) = (0, true);
            plain = is_plain(true);
        }
        if plain {
            output.push(octet);
            column += 1;
        } else {
            output.extend_from_slice(&[b'=', digit(octet >> 4), digit(octet & 15)]);
            column += 3;
        }
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'A' + value - 10 }
}

#[cfg(test)]
mod tests {
    use super::super::super::transfer::{TransferEncoding, decode};
    use super::*;

    #[test]
    fn what_a_soft_line_break_brings_to_the_front_is_quoted() {
        for start in ["--boundary", ".", "From me"] {
            let text = format!("{}{start}", "x".repeat(75));
            let encoded = String::from_utf8(quoted(text.as_bytes())).unwrap();
            let second = encoded.split("=\r\n").nth(1).unwrap();
            assert!(second.starts_with('='), "{encoded}");
            assert_eq!(decode(encoded.as_bytes(), TransferEncoding::QuotedPrintable), text.as_bytes());
        }
    }

    #[test]
    fn lines_are_short_and_ascii() {
        let text = format!("a=\u{e4} \r\n{}\r\nbare\nlf\rcr\0\t", "x".repeat(200));
        let encoded = quoted(text.as_bytes());
        assert!(encoded.starts_with(b"a=3D=C3=A4=20\r\nxxx"));
        assert!(encoded.ends_with(b"bare=0Alf=0Dcr=00=09"));
        assert!(encoded.split(|octet| *octet == b'\n').all(|line| line.len() <= 77));
        assert!(encoded.is_ascii());
    }
}
