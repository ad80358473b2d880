//! Results in our own name that we did not write (RFC 8601 5): they are taken out before anybody reads them.
//!
//! Works on every header, however large or damaged, in one pass. Readers disagree about comments and quotes, so a field
//! is taken for ours when any of the usual ways to read it says so, and when it says nobody's name at all.

use baton_mail::Domain;
use baton_mail::body::Content;
use baton_mail::header::HeaderIndex;
use bytes::Bytes;

use super::FIELD_NAME;

/// The content without fields that claim to be ours, and how many there were.
pub fn without_forged(content: Content, authserv_id: &Domain) -> (Content, usize) {
    let mut kept = Vec::new();
    let mut forged = 0;
    let mut copied = 0;
    let header = &content.header;
    for (start, end) in units(header) {
        let unit = header.get(start..end).unwrap_or_default();
        if field_value(unit).is_some_and(|value| claims(value, authserv_id)) {
            kept.extend_from_slice(header.get(copied..start).unwrap_or_default());
            copied = end;
            forged += 1;
        }
    }
    if forged == 0 {
        return (content, 0);
    }
    kept.extend_from_slice(header.get(copied..).unwrap_or_default());
    (Content { header: Bytes::from(kept), rest: content.rest }, forged)
}

/// The statements of all fields in the name of `own`, from the top, without that name. After [`without_forged`] they are
/// what the relay and its plugins wrote.
pub(crate) fn own_results(header: &HeaderIndex, own: &Domain) -> Vec<String> {
    let fields = header.all(FIELD_NAME);
    let claimed = fields.iter().filter(|value| claims(value, own));
    let statements = claimed.filter_map(|value| {
        let text = String::from_utf8_lossy(value).into_owned();
        let (_, statements) = text.split_once(';')?;
        let words: Vec<&str> = statements.split_ascii_whitespace().collect();
        Some(words.join(" ").trim_matches([';', ' ']).to_owned())
    });
    statements.filter(|statements| !statements.is_empty()).collect()
}

/// Where the lines with their continuations begin and end.
fn units(header: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = header.get(start..).filter(|rest| !rest.is_empty())?;
        let continues = |at: &usize| !matches!(rest.get(at + 1), Some(b' ' | b'\t'));
        let length = memchr::memchr_iter(b'\n', rest).find(continues).map_or(rest.len(), |at| at + 1);
        let begun = start;
        start += length;
        Some((begun, start))
    })
}

/// The value, when the field is one of results.
fn field_value(unit: &[u8]) -> Option<&[u8]> {
    let (name, rest) = unit.split_at_checked(NAME.len())?;
    let rest = rest.trim_ascii_start();
    if name.eq_ignore_ascii_case(NAME) { rest.strip_prefix(b":") } else { None }
}

/// True when a reader could take the value for one of `own`.
fn claims(value: &[u8], own: &Domain) -> bool {
    let value = String::from_utf8_lossy(value);
    let names = [first_word(&value, ' '), first_word(&value, '\0')];
    names.iter().any(|name| {
        let name = name.strip_suffix('.').unwrap_or(name);
        name.is_empty()
            || name.eq_ignore_ascii_case(own.as_str())
            || name.parse::<Domain>().as_ref() == Ok(own)
    })
}

/// The first word before the first semicolon. A comment is a blank to some readers and nothing to others: `comment` is
/// what stands for it, and a zero vanishes.
fn first_word(value: &str, comment: char) -> String {
    let mut text = String::new();
    let mut characters = value.chars();
    let (mut depth, mut is_quoted) = (0_usize, false);
    while let Some(character) = characters.next() {
        match character {
            '\\' if depth > 0 => drop(characters.next()),
            '\\' if is_quoted => text.extend(characters.next()),
            '"' if depth == 0 => is_quoted = !is_quoted,
            '(' if !is_quoted => {
                depth += 1;
                text.push(comment);
            }
            ')' if depth > 0 => depth -= 1,
            ';' if depth == 0 && !is_quoted => break,
            _ if depth > 0 => {}
            other => text.push(other),
        }
        if text.len() > WORD_OCTETS_MAX {
            break;
        }
    }
    let text: String = text.chars().filter(|character| *character != '\0').collect();
    text.split_ascii_whitespace().next().unwrap_or_default().to_owned()
}

const NAME: &[u8] = FIELD_NAME.as_bytes();
/// No name is longer than a domain with some blanks before it.
const WORD_OCTETS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(header: &str) -> (String, usize) {
        let message = Bytes::from(format!("{header}\r\nbody"));
        let (content, forged) = without_forged(Content::split(message), &"mx.example.org".parse().unwrap());
        assert_eq!(&content.rest[..], b"\r\nbody");
        (String::from_utf8(content.header.to_vec()).unwrap(), forged)
    }

    #[test]
    fn fields_in_our_name_go_in_every_spelling() {
        for field in [
            "Authentication-Results: mx.example.org; dmarc=pass",
            "authentication-results : MX.Example.ORG 1; none",
            "Authentication-Results:\r\n\tmx.example.org;\r\n\tspf=pass",
            "Authentication-Results: (a (nested) \\) comment) mx.example.org; spf=pass",
            "Authentication-Results: \"mx.example.org\"; spf=pass",
            "Authentication-Results: mx.exam(c)ple.org; spf=pass",
            "Authentication-Results: mx.\"example\".org; spf=pass",
            "Authentication-Results: mx.example.org.; spf=pass",
            "Authentication-Results: mx.example.org(open; spf=pass",
            "Authentication-Results: mx.example.org",
            "Authentication-Results: ; spf=pass",
            "Authentication-Results:",
        ] {
            let header = format!("A: 1\r\n{field}\r\nB: 2\r\n");
            assert_eq!(kept(&header), ("A: 1\r\nB: 2\r\n".to_owned(), 1), "{field}");
        }
    }

    #[test]
    fn what_is_of_others_stays() {
        for field in [
            "Authentication-Results: other.example.org; spf=pass",
            "Authentication-Results: example.org; spf=pass (mx.example.org)",
            "Authentication-Results: mx.example.org.evil.example; spf=pass",
            "Authentication-Results-Old: mx.example.org; spf=pass",
            "ARC-Authentication-Results: i=1; mx.example.org; spf=pass",
            "X-Authentication-Results: mx.example.org; spf=pass",
        ] {
            let header = format!("A: 1\r\n{field}\r\nB: 2\r\n");
            assert_eq!(kept(&header), (header, 0));
        }
        assert_eq!(kept(""), (String::new(), 0));
    }
}
