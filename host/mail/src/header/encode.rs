//! From text to a header field as it goes into a message: folded and, where needed, in encoded words.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::HeaderName;

/// Octets in a folded line that we aim at (RFC 5322 2.1.1).
pub const FOLD_OCTETS: usize = 78;
/// Octets in a line that nothing exceeds (RFC 5322 2.1.1).
pub const LINE_OCTETS_MAX: usize = 998;
/// Octets of text in one encoded word: 60 of base64, 72 in all, at most 75 (RFC 2047 2).
const WORD_TEXT_OCTETS: usize = 45;
/// An ASCII word longer than this can not be folded and is encoded.
const PLAIN_WORD_OCTETS_MAX: usize = 900;
/// Fields whose quoted strings are display names, not text.
const ADDRESS_FIELDS: [&str; 7] =
    ["From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Disposition-Notification-To"];
/// What separates addresses and their pieces (RFC 5322 3.2.3): a word with one of them is no display name by itself.
const ADDRESS_SPECIALS: [char; 12] = ['(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '"'];

/// The field as octets with CRLF at the end; no line exceeds [`LINE_OCTETS_MAX`] and none is blank.
///
/// Words beyond ASCII become encoded words (RFC 2047) unless `utf8_allowed` (RFC 6532). `value` should have passed
/// [`super::check_value`]; a control character that comes anyway becomes a space.
pub fn encode_field(name: &HeaderName, value: &str, utf8_allowed: bool) -> Vec<u8> {
    if value.chars().any(char::is_control) {
        encode(name.as_str(), &value.replace(char::is_control, " "), utf8_allowed, Charset::Utf8)
    } else {
        encode(name.as_str(), value, utf8_allowed, Charset::Utf8)
    }
}

/// A field that came with octets beyond ASCII, in ASCII, as [`encode_field`] makes one; what is not valid UTF-8 is said to
/// be `unknown-8bit` (RFC 1428 3). None for addresses when the octets are not in a display name by itself.
pub(crate) fn encode_octets(name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let is_break = |octet: &u8| matches!(octet, b'\r' | b'\n');
    let line: Vec<u8> = value.iter().filter(|octet| !is_break(octet)).copied().collect();
    let blank = |character: char| if character.is_ascii_control() { ' ' } else { character };
    let (text, charset): (String, _) = match std::str::from_utf8(&line) {
        Ok(text) => (text.chars().map(blank).collect(), Charset::Utf8),
        // One character stands for each octet.
        Err(_) => (line.iter().map(|octet| blank(char::from(*octet))).collect(), Charset::Unknown),
    };
    let is_name = |word: &&str| quoted_len(word) == Some(word.len()) || !word.contains(ADDRESS_SPECIALS);
    let fits = !is_address_field(name)
        || split_words(&text, true).iter().filter(|word| needs_encoding(word, false)).all(is_name);
    fits.then(|| encode(name, &text, false, charset))
}

/// What encoded words are said to be in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    /// Characters up to U+00FF stand for octets.
    Unknown,
}

impl Charset {
    fn word(self, chunk: &str) -> String {
        match self {
            Charset::Utf8 => format!("=?utf-8?B?{}?=", STANDARD.encode(chunk)),
            Charset::Unknown => {
                let octets: Vec<u8> = chunk.chars().filter_map(|one| u8::try_from(one).ok()).collect();
                format!("=?unknown-8bit?B?{}?=", STANDARD.encode(octets))
            }
        }
    }
}

fn is_address_field(name: &str) -> bool {
    ADDRESS_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn needs_encoding(word: &str, utf8_allowed: bool) -> bool {
    word.len() > PLAIN_WORD_OCTETS_MAX || !(utf8_allowed || word.is_ascii())
}

fn encode(name: &str, text: &str, utf8_allowed: bool, charset: Charset) -> Vec<u8> {
    let mut field = Folded::new(name, charset);
    let is_address = is_address_field(name);
    let mut pending = String::new();
    for word in split_words(text, is_address && !utf8_allowed) {
        if needs_encoding(word, utf8_allowed) {
            // Blanks between encoded words vanish when they are read (RFC 2047 6.2), so they go into the word.
            if !pending.is_empty() {
                pending.push(' ');
            }
            pending.push_str(word);
            continue;
        }
        field.push_encoded(&std::mem::take(&mut pending), is_address);
        field.push(word);
    }
    field.push_encoded(&pending, is_address);
    field.finish()
}

/// Splits at blanks; with `keep_quoted`, a quoted string beyond ASCII stays one word.
fn split_words(text: &str, keep_quoted: bool) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while !rest.is_empty() {
        let quoted =
            if keep_quoted { quoted_len(rest).filter(|len| !is_ascii_start(rest, *len)) } else { None };
        let len = quoted.unwrap_or_else(|| rest.find(' ').unwrap_or(rest.len()));
        let (word, tail) = rest.split_at_checked(len).unwrap_or((rest, ""));
        words.push(word);
        rest = tail.trim_start_matches(' ');
    }
    words
}

fn is_ascii_start(text: &str, len: usize) -> bool {
    text.as_bytes().iter().take(len).all(u8::is_ascii)
}

/// Octets of the quoted string at the start of `text`, its quotes included.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, octet) in text.bytes().enumerate() {
        match octet {
            b'"' if index == 0 => {}
            _ if index == 0 => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// A field under construction.
struct Folded {
    octets: Vec<u8>,
    column: usize,
    charset: Charset,
}

impl Folded {
    fn new(name: &str, charset: Charset) -> Folded {
        let mut octets = Vec::with_capacity(name.len() + 80);
        octets.extend_from_slice(name.as_bytes());
        octets.push(b':');
        Folded { column: octets.len(), octets, charset }
    }

    /// Appends a blank and a word, on a new line when the word does not fit. The name never stands alone unless
    /// it must.
    fn push(&mut self, word: &str) {
        if self.column + 1 + word.len() > FOLD_OCTETS {
            self.octets.extend_from_slice(b"\r\n");
            self.column = 0;
        }
        self.octets.push(b' ');
        self.octets.extend_from_slice(word.as_bytes());
        self.column += 1 + word.len();
    }

    fn push_encoded(&mut self, text: &str, is_address: bool) {
        if text.is_empty() {
            return;
        }
        let unquoted = if is_address { unquote(text) } else { None };
        let mut rest = unquoted.as_deref().unwrap_or(text);
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(rest.floor_char_boundary(WORD_TEXT_OCTETS));
            self.push(&self.charset.word(chunk));
            rest = tail;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.octets.extend_from_slice(b"\r\n");
        self.octets
    }
}

/// The content of a quoted string; none when `text` is not exactly one.
fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (quoted_len(text)? == text.len()).then(|| inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::decode;

    fn field(name: &str, value: &str, utf8_allowed: bool) -> String {
        String::from_utf8(encode_field(&name.parse().unwrap(), value, utf8_allowed)).unwrap()
    }

    #[test]
    fn short_ascii_stays_as_it_is() {
        assert_eq!(field("X-A", "some text", false), "X-A: some text\r\n");
        assert_eq!(field("X-A", "", false), "X-A:\r\n");
    }

    #[test]
    fn long_text_is_folded_at_blanks() {
        let value = "word ".repeat(60);
        let wire = field("Subject", value.trim(), false);
        assert!(wire.lines().all(|line| line.len() <= FOLD_OCTETS), "{wire}");
        assert_eq!(decode(wire.strip_prefix("Subject:").unwrap().as_bytes()), value.trim());
    }

    #[test]
    fn text_beyond_ascii_is_encoded_unless_allowed() {
        assert_eq!(field("Subject", "Grüße", true), "Subject: Grüße\r\n");
        let wire = field("Subject", "Viele Grüße aus München und Köln heute", false);
        assert!(wire.is_ascii());
        assert_eq!(
            decode(wire.strip_prefix("Subject:").unwrap().as_bytes()),
            "Viele Grüße aus München und Köln heute"
        );
    }

    #[test]
    fn octets_that_came_beyond_ascii_are_named_for_what_they_are() {
        let made = |name: &str, value: &[u8]| {
            encode_octets(name, value).map(|field| String::from_utf8(field).unwrap())
        };
        assert_eq!(
            made("Subject", "a Gr\u{fc}n\r\n b".as_bytes()).unwrap(),
            "Subject: a =?utf-8?B?R3LDvG4=?= b\r\n"
        );
        assert_eq!(made("Subject", b" Gr\xfcn \x80").unwrap(), "Subject: =?unknown-8bit?B?R3L8biCA?=\r\n");
        assert_eq!(
            made("From", b" J\xfcrgen M\xfcller <j@x.example>").unwrap(),
            "From: =?unknown-8bit?B?SvxyZ2VuIE38bGxlcg==?= <j@x.example>\r\n"
        );
        assert_eq!(
            made("To", "\"M\u{fc}ller, J\" <j@x.example>, a@x.example".as_bytes()).unwrap(),
            "To: =?utf-8?B?TcO8bGxlciwgSg==?= <j@x.example>, a@x.example\r\n"
        );
        for no_name in
            ["J\u{fc}@x.example", "J\u{fc}<j@x.example>", "J\u{fc}, a@x.example", "a@x.example (J\u{fc})"]
        {
            assert_eq!(made("Cc", no_name.as_bytes()), None, "{no_name}");
        }
    }

    #[test]
    fn addresses_stay_addresses() {
        let wire = field("To", "\"Jürgen M\" <j@x.example>, b@x.example", false);
        assert!(wire.is_ascii());
        assert_eq!(
            crate::header::addresses(wire.strip_prefix("To:").unwrap().as_bytes())[0],
            ("Jürgen M".to_owned(), "j@x.example".to_owned())
        );
    }

    #[test]
    fn one_endless_word_is_cut_into_lines() {
        let wire = field("X-A", &"x".repeat(5_000), true);
        assert!(wire.lines().all(|line| line.len() <= LINE_OCTETS_MAX));
        assert_eq!(decode(wire.strip_prefix("X-A:").unwrap().as_bytes()), "x".repeat(5_000));
    }
}
