//! Charsets and transfer encodings, as far as a footer needs them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters of an encoded line (RFC 2045 6.7 and 6.8).
const LINE_CHARACTERS: usize = 76;

/// The text in a charset; none when the charset does not hold it, or is not known.
pub(crate) fn in_charset(text: &str, charset: &str) -> Option<Vec<u8>> {
    match charset {
        "utf-8" | "utf8" => Some(text.as_bytes().to_vec()),
        "iso-8859-1" | "latin1" => {
            text.chars().map(|character| u8::try_from(character as u32).ok()).collect()
        }
        "windows-1252" | "cp1252" | "iso-8859-15" => {
            text.chars().map(|character| single_octet(character, charset)).collect()
        }
        _ if text.is_ascii() && holds_ascii(charset) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

/// True for charsets whose lower half is ASCII octet for octet. UTF-16, UTF-7, the shifting ones (ISO-2022) and EBCDIC are not.
pub(crate) fn holds_ascii(charset: &str) -> bool {
    let families = [
        "us-ascii",
        "ascii",
        "iso-8859-",
        "latin",
        "windows-125",
        "cp125",
        "koi8-",
        "gb",
        "big5",
        "euc-",
        "shift_jis",
        "shift-jis",
        "sjis",
        "ks_c_5601",
        "tis-620",
        "utf-8",
        "utf8",
        "macintosh",
    ];
    charset.is_empty() || families.iter().any(|family| charset.starts_with(family))
}

fn single_octet(character: char, charset: &str) -> Option<u8> {
    let is_1252 = charset != "iso-8859-15";
    match character {
        '\u{20ac}' => Some(if is_1252 { 0x80 } else { 0xa4 }),
        '\u{a4}' if !is_1252 => None,
        '\u{2013}' if is_1252 => Some(0x96),
        '\u{2014}' if is_1252 => Some(0x97),
        '\u{2018}' if is_1252 => Some(0x91),
        '\u{2019}' if is_1252 => Some(0x92),
        '\u{201c}' if is_1252 => Some(0x93),
        '\u{201d}' if is_1252 => Some(0x94),
        '\u{201e}' if is_1252 => Some(0x84),
        '\u{2022}' if is_1252 => Some(0x95),
        '\u{2026}' if is_1252 => Some(0x85),
        '\u{80}'..='\u{9f}' => None,
        // What ISO 8859-15 has in other places than ISO 8859-1 does.
        '\u{a6}' | '\u{a8}' | '\u{b4}' | '\u{b8}' | '\u{bc}'..='\u{be}' if !is_1252 => None,
        other => u8::try_from(other as u32).ok(),
    }
}

/// The octets in a transfer encoding; none when it does not hold them, or is not known.
pub(crate) fn encode(octets: &[u8], encoding: &str) -> Option<Vec<u8>> {
    match encoding {
        "base64" => {
            let mut encoded = Vec::with_capacity(octets.len() * 3 / 2);
            for line in octets.chunks(LINE_CHARACTERS / 4 * 3) {
                encoded.extend_from_slice(STANDARD.encode(line).as_bytes());
                encoded.extend_from_slice(b"\r\n");
            }
            Some(encoded)
        }
        "quoted-printable" => Some(quoted_printable(octets)),
        "7bit" => octets.is_ascii().then(|| octets.to_vec()),
        "8bit" | "binary" => Some(octets.to_vec()),
        _ => None,
    }
}

/// RFC 2045 6.7, with CRLF as the ends of lines.
fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(octets.len() * 5 / 4);
    let mut column = 0;
    let mut rest = octets;
    while let Some((octet, behind)) = rest.split_first() {
        if rest.starts_with(b"\r\n") {
            encoded.extend_from_slice(b"\r\n");
            (column, rest) = (0, rest.get(2..).unwrap_or_default());
            continue;
        }
        let ends_line = behind.is_empty() || behind.starts_with(b"\r\n");
        let is_plain =
            matches!(octet, b'!'..=b'<' | b'>'..=b'~') || (matches!(octet, b' ' | b'\t') && !ends_line);
        let width = if is_plain { 1 } else { 3 };
        // One column is kept for the sign that the line goes on.
        if column + width > LINE_CHARACTERS - 1 {
            encoded.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if is_plain {
            encoded.push(*octet);
        } else {
            encoded.extend_from_slice(format!("={octet:02X}").as_bytes());
        }
        column += width;
        rest = behind;
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_hold_what_they_hold() {
        assert_eq!(in_charset("gr\u{f6}\u{df}e", "iso-8859-1").as_deref(), Some(b"gr\xf6\xdfe".as_slice()));
        assert_eq!(in_charset("5 \u{20ac}", "windows-1252").as_deref(), Some(b"5 \x80".as_slice()));
        assert_eq!(in_charset("5 \u{20ac}", "iso-8859-15").as_deref(), Some(b"5 \xa4".as_slice()));
        assert_eq!(in_charset("5 \u{20ac}", "iso-8859-1"), None);
        assert_eq!(in_charset("plain", "gb18030").as_deref(), Some(b"plain".as_slice()));
        assert_eq!(in_charset("gr\u{f6}\u{df}e", "us-ascii"), None);
        assert_eq!(in_charset("plain", "utf-16"), None);
        assert_eq!(in_charset("plain", "iso-2022-jp"), None);
    }

    #[test]
    fn transfer_encodings_keep_their_rules() {
        assert_eq!(encode(b"gr\xf6 = 1 \r\nx", "quoted-printable").unwrap(), b"gr=F6 =3D 1=20\r\nx");
        let long = encode(&[b'a'; 100], "quoted-printable").unwrap();
        assert_eq!(long.iter().position(|octet| *octet == b'='), Some(75));
        let base64 = encode(&[0; 100], "base64").unwrap();
        assert!(
            base64.split(|octet| *octet == b'\n').all(|line| line.len() <= 77) && base64.ends_with(b"\r\n")
        );
        assert_eq!(encode(b"\xf6", "7bit"), None);
        assert_eq!(encode(b"x", "x-uuencode"), None);
    }
}
