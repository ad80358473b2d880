//! Text that crosses a border: one place where remote, plugin and operator text is made harmless.

/// Returns `text` with every control character replaced by a space and cut to at most `octets_max` octets.
///
/// The cut never splits a character. Used for text that must not fail, such as remote replies (RFC 5321 4.2).
pub fn sanitize(text: &str, octets_max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(octets_max));
    for character in text.chars() {
        let character = if is_unsafe(character) { ' ' } else { character };
        if clean.len() + character.len_utf8() > octets_max {
            break;
        }
        clean.push(character);
    }
    clean
}

/// As [`sanitize`], for octets that may not be UTF-8: what is not becomes U+FFFD.
pub fn sanitize_octets(octets: &[u8], octets_max: usize) -> String {
    let cut = octets.get(..octets_max.saturating_mul(2)).unwrap_or(octets);
    sanitize(&String::from_utf8_lossy(cut), octets_max)
}

/// True for characters that may not stand in a reply, a log line, an address or a header value.
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// True when the words and numbers of `wanted` stand in `text` in their order, whatever is between them. Nothing stands
/// nowhere.
pub fn contains_words(text: &str, wanted: &str) -> bool {
    let plain = |text: &str| {
        let words =
            text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        format!(" {} ", words.map(str::to_lowercase).collect::<Vec<_>>().join(" "))
    };
    !wanted.trim().is_empty() && plain(text).contains(&plain(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(sanitize("a\r\nb\0c\u{7f}d", 100), "a  b c d");
    }

    #[test]
    fn the_cut_respects_character_borders() {
        assert_eq!(sanitize("äää", 3), "ä");
    }

    #[test]
    fn words_are_found_however_they_are_set() {
        let text = "ACME Inc.\r\n1 Long  Road \u{b7} Town";
        assert!(contains_words(text, "Acme Inc, 1 Long Road, Town"));
        assert!(!contains_words(text, "Acme Inc, 1 Long Road, Tow") && !contains_words(text, " \n"));
        assert!(!contains_words("11 Long Road", "1 Long Road"));
    }
}
