//! Links in text and HTML, as a mail program would show them.

use std::borrow::Cow;
use std::collections::HashSet;

/// Links of one part at most.
pub const LINKS_MAX: usize = 1_000;
/// Octets of one link; a longer one is cut.
const LINK_OCTETS_MAX: usize = 2_048;
/// Octets of a character reference with its ampersand, such as `&#x0000003A;`.
const REFERENCE_OCTETS_MAX: usize = 16;
const SCHEMES: [&str; 3] = ["https", "http", "ftp"];

/// The links in `text`, each once, in order. In HTML, character references are resolved before: `http&#58;//x` is a
/// link to every browser.
pub(super) fn links(text: &str, is_html: bool, links_max: usize) -> Vec<String> {
    let text = if is_html { resolve_references(text) } else { Cow::Borrowed(text) };
    let mut seen = HashSet::new();
    text.split(is_border)
        .filter_map(link)
        .filter(|link| seen.insert(link.clone()))
        .take(links_max.min(LINKS_MAX))
        .collect()
}

/// What no link contains (RFC 3986 2; `'` is legal there, but ends attributes).
fn is_border(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character, '"' | '\'' | '<' | '>' | '`' | '{' | '}' | '|' | '^')
}

/// The link in a word: from a scheme on, or a name that begins with `www.`.
fn link(word: &str) -> Option<String> {
    let (prefix, found) = match word.find("://") {
        Some(at) => ("", word.get(scheme_start(word.get(..at)?)?..)?),
        None => {
            let bare = word.trim_start_matches(['(', '[', '*', '_']);
            let begins = bare.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."));
            ("http://", begins.then_some(bare)?)
        }
    };
    let cut = found.get(..found.floor_char_boundary(LINK_OCTETS_MAX)).unwrap_or(found);
    let cut = without_end_signs(cut);
    let host_follows = cut.split_once("://").is_none_or(|(_, rest)| !rest.is_empty());
    host_follows.then(|| format!("{prefix}{cut}"))
}

/// Where the scheme begins at the end of `before`.
fn scheme_start(before: &str) -> Option<usize> {
    SCHEMES.iter().find_map(|scheme| {
        let start = before.len().checked_sub(scheme.len())?;
        before.get(start..)?.eq_ignore_ascii_case(scheme).then_some(start)
    })
}

/// Signs at the end belong to the sentence; a closing bracket to the link only when one opened there.
fn without_end_signs(link: &str) -> &str {
    let mut link = link;
    while let Some(last) = link.chars().next_back() {
        let belongs_to_sentence = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '*' | '_' => true,
            ')' => link.matches(')').count() > link.matches('(').count(),
            ']' => link.matches(']').count() > link.matches('[').count(),
            _ => false,
        };
        if !belongs_to_sentence {
            break;
        }
        link = link.get(..link.len() - last.len_utf8()).unwrap_or_default();
    }
    link
}

/// Character references that can stand in a link: numbers, and the few names of signs.
fn resolve_references(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        resolved.push_str(before);
        let window = from.get(..from.floor_char_boundary(REFERENCE_OCTETS_MAX)).unwrap_or(from);
        let end = window.find(';');
        match end.and_then(|end| character(window.get(1..end)?)) {
            Some(character) => {
                resolved.push(character);
                rest = from.get(end.unwrap_or_default() + 1..).unwrap_or_default();
            }
            None => {
                resolved.push('&');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    resolved.push_str(rest);
    Cow::Owned(resolved)
}

fn character(name: &str) -> Option<char> {
    if let Some(digits) = name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
        return char::from_u32(u32::from_str_radix(digits, 16).ok()?);
    }
    if let Some(digits) = name.strip_prefix('#') {
        return char::from_u32(digits.parse().ok()?);
    }
    Some(match name {
        "amp" => '&',
        "colon" => ':',
        "sol" => '/',
        "period" => '.',
        "quest" => '?',
        "equals" => '=',
        "num" => '#',
        "percnt" => '%',
        "lowbar" => '_',
        "commat" => '@',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_text_end_where_the_sentence_goes_on() {
        let text = "See https://a.example/x?y=1. Or (http://b.example/(z)), HTTP://c.example!\nwww.d.example, \
            https://a.example/x?y=1 again; no link: x://y, http://, mailto:a@b.example";
        let expected =
            ["https://a.example/x?y=1", "http://b.example/(z)", "HTTP://c.example", "http://www.d.example"];
        assert_eq!(links(text, false, 100), expected);
        assert_eq!(links(text, false, 1).len(), 1);
    }

    #[test]
    fn links_in_html_are_found_in_disguise() {
        let html = "<a href=\"http&#58;//a.example/?b=1&amp;c=2\">x</a><img src='https&colon;//b.example/i'>\
            <a href=http://c.example/d>http://e.example</a>&&#xZZ;&unknown;";
        let expected =
            ["http://a.example/?b=1&c=2", "https://b.example/i", "http://c.example/d", "http://e.example"];
        assert_eq!(links(html, true, 100), expected);
    }

    #[test]
    fn floods_stay_within_the_bound() {
        let flood: String = (0..5_000).map(|number| format!("http://{number}.example ")).collect();
        assert_eq!(links(&flood, false, usize::MAX).len(), LINKS_MAX);
        for noise in ["&", "&#", "://", "www.", "http://", "(", ")", "&amp;"] {
            links(&format!("www.{}", noise.repeat(200_000)), true, 10);
        }
    }
}
