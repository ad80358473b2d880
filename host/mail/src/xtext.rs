//! `xtext`, in which parameters and XCLIENT carry what they could not otherwise (RFC 3461 4).

/// What xtext stands for (RFC 3461 4): `+` and two digits of base 16 are one octet, the rest is as it is. None when it is
/// no xtext, or no UTF-8 comes of it. Characters beyond ASCII stand for themselves.
pub fn decode(text: &str) -> Option<String> {
    let mut meant = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'+' => meant.push(16 * hexadecimal(octets.next()?)? + hexadecimal(octets.next()?)?),
            b'=' => return None,
            b'!'..=b'~' | 0x80.. => meant.push(octet),
            _ => return None,
        }
    }
    String::from_utf8(meant).ok()
}

fn hexadecimal(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

/// The xtext of a text. Characters beyond ASCII stay as they are.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '+' | '=' | '\0'..=' ' | '\u{7f}' => encoded.push_str(&format!("+{:02X}", u32::from(character))),
            other => encoded.push(other),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["", "a+b=c@d.example", "two words", "j\u{fc}rgen", "\0\u{7f}"] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
        assert_eq!(decode("a+2B+C3+BCb").as_deref(), Some("a+\u{fc}b"));
    }

    #[test]
    fn what_is_no_xtext_is_refused() {
        for bad in ["a=b", "a b", "a\u{7f}", "a+", "a+2", "a+2b", "a+zz", "a+FF", "+"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
