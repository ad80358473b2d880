//! From raw header values to text. mail-parser decodes single encoded words and address lists, and only text that
//! was bounded here before: on a flood of broken encoded words its own scan is quadratic.

use mail_parser::parsers::MessageStream;

use crate::text::{is_unsafe, sanitize};

/// Addresses that are read from one field at most.
pub const ADDRESSES_MAX: usize = 1_000;
/// Octets of a field that are searched for addresses at most.
pub const ADDRESS_TEXT_OCTETS_MAX: usize = 128 * 1024;
/// Starts of encoded words that are none; address text is cut there.
const BROKEN_WORDS_MAX: usize = 16;
/// Octets of one address or display name.
const ADDRESS_OCTETS_MAX: usize = 998;

/// The text of a raw value: unfolded (RFC 5322 2.2.3), encoded words decoded (RFC 2047), control characters made
/// spaces, trimmed. What is neither UTF-8 nor encoded becomes U+FFFD.
pub fn decode(raw_value: &[u8]) -> String {
    let unfolded: Vec<u8> =
        raw_value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    let mut text = String::with_capacity(unfolded.len());
    let mut rest = unfolded.as_slice();
    let mut after_word = false;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, from_start) = rest.split_at(start);
        match encoded_word_len(from_start).and_then(|len| Some((len, decode_word(from_start.get(1..len)?)?)))
        {
            Some((len, word)) => {
                // White space between two encoded words is not part of the text (RFC 2047 6.2).
                if !(after_word && before.iter().all(u8::is_ascii_whitespace)) {
                    text.push_str(&String::from_utf8_lossy(before));
                }
                text.push_str(&word);
                rest = from_start.get(len..).unwrap_or_default();
                after_word = true;
            }
            None => {
                text.push_str(&String::from_utf8_lossy(before));
                text.push_str("=?");
                rest = from_start.get(2..).unwrap_or_default();
                after_word = false;
            }
        }
    }
    text.push_str(&String::from_utf8_lossy(rest));
    let harmless: String =
        text.chars().map(|character| if is_unsafe(character) { ' ' } else { character }).collect();
    harmless.trim().to_owned()
}

/// The addresses in a raw value (`To`, `From` ...): display name, address. Groups are flattened, entries without
/// address are left out; at most [`ADDRESSES_MAX`].
pub fn addresses(raw_value: &[u8]) -> Vec<(String, String)> {
    let mut text = raw_value.get(..ADDRESS_TEXT_OCTETS_MAX).unwrap_or(raw_value).to_vec();
    text.truncate(broken_words_end(&text));
    // Without the line end the parser would forget the last address.
    text.extend_from_slice(b"\r\n");
    let parsed = MessageStream::new(&text).parse_address();
    let Some(list) = parsed.as_address() else { return Vec::new() };
    list.iter()
        .filter_map(|entry| Some((entry.name.as_deref().unwrap_or_default(), entry.address.as_deref()?)))
        .take(ADDRESSES_MAX)
        .map(|(name, address)| (sanitize(name, ADDRESS_OCTETS_MAX), sanitize(address, ADDRESS_OCTETS_MAX)))
        .collect()
}

/// Where the text has to be cut so that it holds few starts of encoded words that are none.
fn broken_words_end(text: &[u8]) -> usize {
    memchr::memmem::find_iter(text, b"=?")
        .filter(|start| encoded_word_len(text.get(*start..).unwrap_or_default()).is_none())
        .nth(BROKEN_WORDS_MAX)
        .unwrap_or(text.len())
}

/// Octets of the encoded word at the start of `text`: `=?charset?B?data?=` or with `Q` (RFC 2047 2).
fn encoded_word_len(text: &[u8]) -> Option<usize> {
    let charset_end = 2 + memchr::memchr(b'?', text.get(2..)?)?;
    let data_start = match text.get(charset_end + 1..charset_end + 3)? {
        [b'b' | b'B' | b'q' | b'Q', b'?'] => charset_end + 3,
        _ => return None,
    };
    let data_end = data_start + memchr::memchr(b'?', text.get(data_start..)?)?;
    (*text.get(data_end + 1)? == b'=').then_some(data_end + 2)
}

/// Decodes one complete encoded word without its first octet.
fn decode_word(word: &[u8]) -> Option<String> {
    MessageStream::new(word).decode_rfc2047()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unfolded_and_decoded() {
        assert_eq!(decode(b" a\r\n b"), "a b");
        assert_eq!(
            decode(b" =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?B?IGF1cyBL?= =?iso-8859-1?q?=F6ln?="),
            "Grüße aus Köln"
        );
        assert_eq!(decode(b"x =?utf-8?Q?a?= y =?utf-8?Q?b?="), "x a y b");
        assert_eq!(decode(b"=?utf-8?Q?broken"), "=?utf-8?Q?broken");
        assert_eq!(decode("Grüße".as_bytes()), "Grüße");
    }

    #[test]
    fn encoded_control_characters_are_harmless() {
        assert_eq!(decode(b"=?utf-8?Q?a=0D=0AX:_y=00?="), "a  X: y");
        assert_eq!(decode(b"a\0b\tc"), "a b c");
    }

    #[test]
    fn address_lists_are_read() {
        let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        assert_eq!(addresses(b" a@x.example"), [pair("", "a@x.example")]);
        assert_eq!(
            addresses(b"\"B, b\" <b@x.example>, =?utf-8?Q?J=C3=BC?= <j@x.example>,\r\n G: c@x.example;"),
            [pair("B, b", "b@x.example"), pair("Jü", "j@x.example"), pair("", "c@x.example")]
        );
        assert_eq!(addresses(b""), []);
        assert_eq!(addresses(b"undisclosed-recipients:;"), []);
    }

    #[test]
    fn floods_of_addresses_and_broken_words_are_cut() {
        assert_eq!(addresses("a@b.example,".repeat(5_000).as_bytes()).len(), ADDRESSES_MAX);
        let broken = "=?aa?b?A".repeat(10_000);
        assert_eq!(broken_words_end(broken.as_bytes()), BROKEN_WORDS_MAX * 8);
        assert!(decode(broken.as_bytes()).starts_with("=?aa"));
        for flood in ["(", "<", "\"", ":", ";", "=?", "\\", "a:b,"] {
            addresses(flood.repeat(100_000).as_bytes());
        }
    }
}
