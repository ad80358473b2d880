//! Texts with macros in them (RFC 7208 7): read once, with every mistake found, and expanded when they are needed.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;

/// A text whose macros wait to be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MacroText(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Macro(Macro),
}

/// One `%{...}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Macro {
    /// In lower case.
    letter: char,
    /// Parts that are kept, from the right; all when none.
    keep: Option<usize>,
    reversed: bool,
    delimiters: String,
    /// The letter was in upper case: the value is made fit for a URL.
    escaped: bool,
}

/// Which texts may hold which characters and macros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// The text that explains a failure: blanks, and all macros.
    Explanation,
    /// Everything else.
    Term,
}

/// What macros stand for.
#[derive(Clone, Debug)]
pub(crate) struct Values<'a> {
    /// `s`: local part and domain.
    pub(crate) sender: Cow<'a, str>,
    /// `d`: the domain whose record is read.
    pub(crate) domain: &'a str,
    /// `i`, `c`, `v`.
    pub(crate) client: IpAddr,
    /// `h`.
    pub(crate) helo: &'a str,
    /// `p`: a confirmed name of the client.
    pub(crate) client_name: &'a str,
    /// `r`.
    pub(crate) receiver: &'a str,
    /// `t`: seconds since 1970.
    pub(crate) now_s: i64,
}

impl MacroText {
    /// Reads a text; none when it does not fit the grammar.
    pub(crate) fn read(text: &str, grammar: Grammar) -> Option<MacroText> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '%' => match rest.next()? {
                    '%' => literal.push('%'),
                    '_' => literal.push(' '),
                    '-' => literal.push_str("%20"),
                    '{' => {
                        let (inside, after) = rest.as_str().split_once('}')?;
                        if !literal.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut literal)));
                        }
                        pieces.push(Piece::Macro(Macro::read(inside, grammar)?));
                        rest = after.chars();
                    }
                    _ => return None,
                },
                ' ' if grammar == Grammar::Explanation => literal.push(' '),
                '!'..='~' => literal.push(character),
                _ => return None,
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Some(MacroText(pieces))
    }

    /// Reads a name with macros: it ends with a macro, or with a dot and a label that a top-level domain can have
    /// (RFC 7208 7.1: `domain-spec`).
    pub(crate) fn read_name(text: &str) -> Option<MacroText> {
        let read = MacroText::read(text, Grammar::Term)?;
        let ends_with_macro = text.ends_with('}') && matches!(read.0.last(), Some(Piece::Macro(_)));
        let ends_with_escape = ends_with_escape(text);
        (ends_with_macro || ends_with_escape || ends_with_label(text)).then_some(read)
    }

    /// True when the client's confirmed name is asked for, which costs look-ups.
    pub(crate) fn needs_client_name(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Macro(one) if one.letter == 'p'))
    }

    /// The text with its macros replaced.
    pub(crate) fn expand(&self, values: &Values<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Macro(one) => one.expand(values, &mut text),
            }
            if text.len() > EXPANDED_OCTETS_MAX {
                break;
            }
        }
        text
    }

    /// The text as a name. One that is too long loses labels on its left (RFC 7208 7.3).
    pub(crate) fn expand_name(&self, values: &Values<'_>) -> String {
        let text = self.expand(values);
        let mut name = text.as_str();
        while name.len() > NAME_OCTETS_MAX {
            let Some((_, shorter)) = name.split_once('.') else { break };
            name = shorter;
        }
        name.to_owned()
    }
}

impl Macro {
    /// Reads what stands between the braces: a letter, digits, `r`, delimiters.
    fn read(inside: &str, grammar: Grammar) -> Option<Macro> {
        let mut characters = inside.chars();
        let letter = characters.next()?;
        let known = match grammar {
            Grammar::Term => "slodipvh",
            // c, r and t are for people to read only (RFC 7208 7.2).
            Grammar::Explanation => "slodipvhcrt",
        };
        if !known.contains(letter.to_ascii_lowercase()) {
            return None;
        }
        let rest = characters.as_str();
        let after_digits = rest.trim_start_matches(|character: char| character.is_ascii_digit());
        let digits = rest.strip_suffix(after_digits)?;
        let keep = match digits {
            "" => None,
            // More parts than any name has are as many as it has.
            digits => Some(digits.parse().unwrap_or(usize::MAX)).filter(|keep| *keep > 0).map(Some)?,
        };
        let delimiters = after_digits.trim_start_matches(['r', 'R']);
        let reversed = after_digits.len() - delimiters.len();
        if reversed > 1 || !delimiters.chars().all(|character| ".-+,/_=".contains(character)) {
            return None;
        }
        let delimiters = if delimiters.is_empty() { "." } else { delimiters };
        Some(Macro {
            letter: letter.to_ascii_lowercase(),
            keep,
            reversed: reversed == 1,
            delimiters: delimiters.to_owned(),
            escaped: letter.is_ascii_uppercase(),
        })
    }

    fn expand(&self, values: &Values<'_>, text: &mut String) {
        let value = values.of(self.letter);
        let mut parts: Vec<&str> = value.split(|character| self.delimiters.contains(character)).collect();
        if self.reversed {
            parts.reverse();
        }
        let kept = parts.len() - self.keep.unwrap_or(parts.len()).min(parts.len());
        let joined = parts.split_off(kept).join(".");
        if self.escaped { escape(&joined, text) } else { text.push_str(&joined) }
    }
}

impl Values<'_> {
    fn of(&self, letter: char) -> Cow<'_, str> {
        let (local, sender_domain) = self.sender.rsplit_once('@').unwrap_or(("postmaster", &self.sender));
        match letter {
            's' => Cow::Borrowed(&*self.sender),
            'l' => Cow::Borrowed(local),
            'o' => Cow::Borrowed(sender_domain),
            'd' => Cow::Borrowed(self.domain),
            'i' => Cow::Owned(dotted(self.client)),
            'p' => Cow::Borrowed(self.client_name),
            'v' => Cow::Borrowed(if self.client.is_ipv4() { "in-addr" } else { "ip6" }),
            'h' => Cow::Borrowed(self.helo),
            'c' => Cow::Owned(self.client.to_string()),
            'r' => Cow::Borrowed(self.receiver),
            _ => Cow::Owned(self.now_s.to_string()),
        }
    }
}

/// The address as names of the reverse zones have it, most significant part first (RFC 7208 7.3).
fn dotted(address: IpAddr) -> String {
    let IpAddr::V6(address) = address else { return address.to_string() };
    let nibbles = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
    nibbles.map(|nibble| format!("{nibble:X}")).collect::<Vec<_>>().join(".")
}

/// RFC 3986 2.1, 2.3.
fn escape(value: &str, text: &mut String) {
    for octet in value.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(octet.into()),
            // Writing to a string can not fail.
            _ => drop(write!(text, "%{octet:02X}")),
        }
    }
}

/// True when the text ends with `%%`, `%_` or `%-`, which count as macros where a name may end with one.
fn ends_with_escape(text: &str) -> bool {
    let Some(before) = text.strip_suffix(['%', '_', '-']) else { return false };
    let percents = before.len() - before.trim_end_matches('%').len();
    percents % 2 == 1
}

/// RFC 7208 7.1: `"." toplabel [ "." ]`.
fn ends_with_label(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let Some((_, label)) = text.rsplit_once('.') else { return false };
    let fits = label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let is_number = label.bytes().all(|octet| octet.is_ascii_digit());
    fits && !is_number && !label.starts_with('-') && !label.ends_with('-')
}

/// A name as the DNS takes it (RFC 1035 3.1), without the dot at its end.
const NAME_OCTETS_MAX: usize = 253;
/// No text grows further, however often a record repeats a long macro.
const EXPANDED_OCTETS_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, client: &str) -> Option<String> {
        let values = Values {
            sender: Cow::Borrowed("strong-bad@email.example.com"),
            domain: "email.example.com",
            client: client.parse().unwrap(),
            helo: "mx.example.org",
            client_name: "mx.example.org",
            receiver: "us.example",
            now_s: 7,
        };
        MacroText::read(text, Grammar::Explanation).map(|text| text.expand(&values))
    }

    /// RFC 7208 7.4.
    #[test]
    fn the_examples_of_the_standard_are_expanded() {
        for (text, expected) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr}", "strong-bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("%{S}", "strong-bad%40email.example.com"),
            ("%%%_%-", "% %20"),
            ("%{c} %{r} %{t}", "192.0.2.3 us.example 7"),
        ] {
            assert_eq!(expand(text, "192.0.2.3").as_deref(), Some(expected), "{text}");
        }
        let six = "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6";
        assert_eq!(expand("%{ir}.%{v}", "2001:db8::cb01").as_deref(), Some(six));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in ["%", "%a", "%{", "%{}", "%{x}", "%{d0}", "%{drr}", "%{d2r:}", "a\tb", "ü"] {
            assert_eq!(expand(text, "192.0.2.3"), None, "{text}");
        }
        for text in
            ["%{c}.a.example", "a b.example", "example", "example.", "a.1", "a.-b", "a.b-", "a.b:1", ""]
        {
            assert_eq!(MacroText::read_name(text), None, "{text}");
        }
        for text in ["%{d}", "a.b", "a.b.", "a:b/c.example", "a.%%", "x.xn--zckzah", "%{i}.a-b.c3"] {
            assert!(MacroText::read_name(text).is_some(), "{text}");
        }
    }

    #[test]
    fn long_names_lose_labels_and_long_texts_end() {
        let values = Values {
            sender: Cow::Owned(format!("{}@e.example", "x".repeat(60))),
            domain: "e.example",
            client: "192.0.2.3".parse().unwrap(),
            helo: "",
            client_name: "",
            receiver: "",
            now_s: 0,
        };
        let name = MacroText::read_name(&format!("{}%{{d}}", "%{l}.".repeat(6))).unwrap();
        let expanded = name.expand_name(&values);
        assert!(
            expanded.len() <= NAME_OCTETS_MAX
                && expanded.starts_with('x')
                && expanded.ends_with(".e.example")
        );
        let flood = MacroText::read(&"%{s}".repeat(10_000), Grammar::Term).unwrap();
        assert!(flood.expand(&values).len() < EXPANDED_OCTETS_MAX + 100);
    }
}
