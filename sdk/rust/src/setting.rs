//! Shapes that settings like to have.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A text or a list of texts: `to = "a"` and `to = ["a", "b"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<OneOrMany, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = sequence.next_element()? {
            texts.push(text);
        }
        if texts.is_empty() { Err(A::Error::custom("the list is empty")) } else { Ok(OneOrMany(texts)) }
    }
}

/// True for what can name a stream, a tag or a symbol: 1 to 64 letters, digits, `-`, `_`, `.`.
pub fn is_name(text: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        assert!(is_name("dnsbl.bl-1.example_x"));
        assert!(!is_name("") && !is_name("a b") && !is_name("ä") && !is_name(&"x".repeat(65)));
    }

    #[test]
    fn one_and_many_are_read_and_the_rest_is_refused() {
        let read = |json: &str| serde_json::from_str::<OneOrMany>(json).ok().map(|texts| texts.0.join(","));
        assert_eq!(read(r#""a""#).as_deref(), Some("a"));
        assert_eq!(read(r#"["a", "b"]"#).as_deref(), Some("a,b"));
        assert_eq!(read("[]"), None);
        assert_eq!(read("1"), None);
    }
}
