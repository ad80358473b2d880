//! Header fields (RFC 5322 2.2, 3.6.8): names, values, finding, decoding and changing them.
//!
//! Everything here is one linear pass over octets that a hostile sender chose; nothing recurses.

mod apply;
mod decode;
mod encode;
mod index;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::text::is_unsafe;

pub use apply::apply;
pub use decode::{ADDRESS_TEXT_OCTETS_MAX, ADDRESSES_MAX, addresses, decode};
pub(crate) use encode::encode_octets;
pub use encode::{FOLD_OCTETS, LINE_OCTETS_MAX, encode_field};
pub use index::{HeaderIndex, HeaderLimits, TooComplex};

/// Octets in a field name at most, so that name and colon fit into a folded line (RFC 5322 2.1.1).
pub const NAME_OCTETS_MAX: usize = 76;
/// Octets in a field value that we make ourselves.
pub const VALUE_OCTETS_MAX: usize = 32 * 1024;

/// A field name: 1 to 76 octets of `ftext` (RFC 5322 3.6.8). Compares without regard to ASCII case.
#[derive(Clone, Debug)]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = InvalidHeader;

    fn from_str(text: &str) -> Result<HeaderName, InvalidHeader> {
        let length_is_valid = (1..=NAME_OCTETS_MAX).contains(&text.len());
        if length_is_valid && text.bytes().all(is_field_text) {
            Ok(HeaderName(text.into()))
        } else {
            Err(InvalidHeader::Name)
        }
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &HeaderName) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HeaderName {}

impl Hash for HeaderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for octet in self.0.bytes() {
            state.write_u8(octet.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Checks the text of a field that is to be added: trims it, refuses control characters and oversize.
///
/// A tab is a control character here; values that were read with [`decode`] hold none.
pub fn check_value(text: &str) -> Result<String, InvalidHeader> {
    let text = text.trim();
    if text.len() > VALUE_OCTETS_MAX {
        return Err(InvalidHeader::TooLong);
    }
    if text.chars().any(is_unsafe) { Err(InvalidHeader::ControlCharacter) } else { Ok(text.to_owned()) }
}

/// Why a text can not be a field name or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// Not 1 to 76 printable ASCII characters without colon.
    #[error("a header name is 1 to 76 printable ASCII characters without colon and space")]
    Name,
    /// The value has a control character or a line break.
    #[error("a header value may not contain control characters or line breaks")]
    ControlCharacter,
    /// The value is too long.
    #[error("a header value has at most {VALUE_OCTETS_MAX} octets")]
    TooLong,
}

/// RFC 5322 3.6.8 `ftext`: printable ASCII but the colon.
fn is_field_text(octet: u8) -> bool {
    matches!(octet, 33..=126) && octet != b':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_ascii_without_colon() {
        for good in ["X", "X-Spam-Flag", "__proto__", "a!b"] {
            assert!(good.parse::<HeaderName>().is_ok(), "{good}");
        }
        for bad in ["", "Fr om", "From:", "Grüße", "A\r\nB", &"x".repeat(77)] {
            assert_eq!(bad.parse::<HeaderName>(), Err(InvalidHeader::Name), "{bad}");
        }
        assert_eq!("subject".parse::<HeaderName>(), "SUBJECT".parse());
    }

    #[test]
    fn values_can_not_start_a_new_line() {
        assert_eq!(check_value("  a b "), Ok("a b".to_owned()));
        for bad in ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\u{2028}b"] {
            assert_eq!(check_value(bad), Err(InvalidHeader::ControlCharacter), "{bad:?}");
        }
        assert_eq!(check_value(&"x".repeat(VALUE_OCTETS_MAX + 1)), Err(InvalidHeader::TooLong));
    }
}
