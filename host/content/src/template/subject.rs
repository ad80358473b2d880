//! A rendered subject as it may stand in a header field.

use baton_mail::text::is_unsafe;

/// Octets of a subject at most; the rest is cut. More than two lines of a mail program show nobody anything.
const SUBJECT_OCTETS_MAX: usize = 1_000;

/// One line: control characters and blanks in a row become one space, at the ends none.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|character: char| character.is_whitespace() || is_unsafe(character)) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line.truncate(line.floor_char_boundary(SUBJECT_OCTETS_MAX));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_starts_a_new_header_field() {
        assert_eq!(one_line("Your code\r\nBcc: x@evil.example"), "Your code Bcc: x@evil.example");
        assert_eq!(one_line("\n  Hello,\u{2028} \0you\u{202e} \t"), "Hello, you");
        assert_eq!(one_line(&"ä".repeat(2_000)).len(), SUBJECT_OCTETS_MAX);
    }
}
