//! Encodings that keep a report within seven bits.

use std::fmt::Write;

use baton_mail::Mailbox;

/// Octets in a line at most (RFC 5322 2.1.1).
const LINE_OCTETS_MAX: usize = 998;
/// True for ASCII without NUL whose lines are not too long, and whose line ends are CRLF.
pub(super) fn fits_in_seven_bits(content: &[u8]) -> bool {
    content.is_ascii()
        && !content.contains(&0)
        && content.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE_OCTETS_MAX)
}

/// The text with `?` for every character beyond ASCII.
pub(super) fn to_ascii(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii() { character } else { '?' }).collect()
}

/// An internationalised address in ASCII: `\x{...}` for what is beyond it (RFC 6533 3, `utf-8-addr-xtext`).
pub(super) fn utf8_addr_xtext(mailbox: &Mailbox) -> String {
    let mut text = String::new();
    for character in mailbox.to_string().chars() {
        if character.is_ascii_graphic() && !matches!(character, '\\' | '+' | '=') {
            text.push(character);
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{{{:02X}}}", u32::from(character));
        }
    }
    text
}

/// A text in ASCII: `\\x{...}` for each character beyond it (RFC 6533 3).
pub(super) fn spelled_out(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            spelled.push(character);
        } else {
            // Writing to a string does not fail.
            let _ = write!(spelled, "\\x{{{:02X}}}", u32::from(character));
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_beyond_ascii_are_spelled_out() {
        assert_eq!(utf8_addr_xtext(&"j\u{fc}rgen@example.org".parse().unwrap()), "j\\x{FC}rgen@example.org");
    }
}
