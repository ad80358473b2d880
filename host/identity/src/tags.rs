//! Lists of `tag=value` (RFC 6376 3.2), as DKIM signatures, DKIM keys and DMARC records are written.

/// A list without mistakes: names that can be names, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    /// Reads a list; none when it is not one. Values keep the folding inside them.
    pub(crate) fn read(text: &'a str) -> Option<Tags<'a>> {
        let mut tags: Vec<(&str, &str)> = Vec::new();
        let mut rest = text.split(';').peekable();
        while let Some(piece) = rest.next() {
            // The last semicolon ends the list.
            if rest.peek().is_none() && piece.trim_matches(is_blank).is_empty() {
                break;
            }
            let (name, value) = piece.split_once('=')?;
            let name = name.trim_matches(is_blank);
            let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
            let is_name =
                name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(fits);
            let is_known = tags.iter().any(|(known, _)| *known == name);
            if !is_name || is_known || tags.len() == TAGS_MAX {
                return None;
            }
            tags.push((name, value.trim_matches(is_blank)));
        }
        Some(Tags(tags))
    }

    /// The value of a tag. Names are case-sensitive.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    /// The first tag.
    pub(crate) fn first(&self) -> Option<(&'a str, &'a str)> {
        self.0.first().copied()
    }
}

/// The items of a value with colons between them.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').map(|item| item.trim_matches(is_blank))
}

/// The value without any blank or line end, as base64 may be folded.
pub(crate) fn without_blanks(value: &str) -> String {
    value.chars().filter(|character| !is_blank(*character)).collect()
}

/// What folding is made of.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// More tags than any standard knows.
const TAGS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_their_folding() {
        let tags = Tags::read(" v=1; a = rsa-sha256;\r\n\tb=ab\r\n cd=;").unwrap();
        assert_eq!(tags.first(), Some(("v", "1")));
        assert_eq!(tags.get("a"), Some("rsa-sha256"));
        assert_eq!(tags.get("b").map(without_blanks).as_deref(), Some("abcd="));
        assert_eq!(tags.get("A"), None);
        assert_eq!(items("a : b:c").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["v", "v=1;;a=b", "=x", "v=1; v=2", "a b=c", "1=2", &"a=b;".repeat(2)] {
            assert_eq!(Tags::read(bad), None, "{bad}");
        }
        let flood: String = (0..100).map(|number| format!("a{number}=x;")).collect();
        assert_eq!(Tags::read(&flood), None);
    }
}
