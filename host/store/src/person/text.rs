//! An address in octets and texts, in any case, and in return paths that name it; and what stands in its place.

use baton_mail::Mailbox;
use serde_json::Value;

/// The forms of an address that are looked for, and what is put in their place.
#[derive(Clone, Debug)]
pub struct Needles {
    /// `ann@b.example`, `ann=b.example`, in lower case, each with its stand-in.
    forms: [(String, String); 2],
}

impl Needles {
    /// The forms of an address. `stand_in` is a local part.
    pub(crate) fn of(address: &Mailbox, stand_in: &str) -> Needles {
        let local = address.local().to_ascii_lowercase();
        let form = |mark: char| {
            (format!("{local}{mark}{}", address.domain()), format!("{stand_in}{mark}{STAND_IN_DOMAIN}"))
        };
        Needles { forms: [form('@'), form('=')] }
    }

    /// False when octets certainly do not name the person: whoever finds true looks closer.
    pub fn may_be_in(&self, octets: &[u8]) -> bool {
        let lower = octets.to_ascii_lowercase();
        self.forms.iter().any(|(form, _)| memchr::memmem::find(&lower, form.as_bytes()).is_some())
    }

    /// True when a text names the person.
    pub fn names(&self, text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        self.forms.iter().any(|(form, _)| find(lower.as_bytes(), form.as_bytes(), 0).is_some())
    }

    /// The text with the stand-in wherever the person was named.
    pub fn replaced(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (form, stand_in) in &self.forms {
            let mut from = 0;
            while let Some(at) = find(text.to_ascii_lowercase().as_bytes(), form.as_bytes(), from) {
                text.replace_range(at..at + form.len(), stand_in);
                from = at + stand_in.len();
            }
        }
        text
    }

    /// The same for all texts of a value.
    pub fn replace_in(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.names(text) => *text = self.replaced(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.replace_in(value)),
            Value::Object(members) => members.values_mut().for_each(|value| self.replace_in(value)),
            _ => {}
        }
    }
}

/// Where `needle` stands as a whole address: not as the end of a longer local part, nor before more of a domain.
fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let at = from + memchr::memmem::find(haystack.get(from..)?, needle)?;
        let end = at + needle.len();
        let before = at.checked_sub(1).and_then(|before| haystack.get(before));
        // A return path that names it has a plus there.
        let is_start = before.is_none_or(|octet| *octet == b'+' || !is_atom(*octet));
        let is_label =
            |octet: Option<&u8>| octet.is_some_and(|octet| octet.is_ascii_alphanumeric() || *octet == b'-');
        let goes_on = is_label(haystack.get(end))
            || (haystack.get(end) == Some(&b'.') && is_label(haystack.get(end + 1)));
        if is_start && !goes_on {
            return Some(at);
        }
        from = at + 1;
    }
}

fn is_atom(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet >= 0x80 || b"!#$%&'*+-/=?^_`{|}~.".contains(&octet)
}

/// A domain that never is (RFC 2606 2).
const STAND_IN_DOMAIN: &str = "erased.invalid";

#[cfg(test)]
mod tests {
    use super::*;

    fn needles() -> Needles {
        Needles::of(&"Ann@b.example".parse().unwrap(), "e1")
    }

    #[test]
    fn the_address_is_found_as_a_whole_and_nothing_else() {
        let needles = needles();
        for yes in ["ann@b.example", "<ANN@B.Example>", "x ann@b.example.", "news+ann=b.example@us.example"] {
            assert!(needles.names(yes), "{yes}");
            assert!(!needles.names(&needles.replaced(yes)), "{}", needles.replaced(yes));
        }
        for no in
            ["joann@b.example", "ann@b.example.org", "ann@b.examples", "x.ann@b.example", "ann at b.example"]
        {
            assert!(!needles.names(no), "{no}");
            assert_eq!(needles.replaced(no), no);
        }
        assert_eq!(
            needles.replaced("<Ann@b.example> and ann@b.example"),
            "<e1@erased.invalid> and e1@erased.invalid"
        );
    }

    #[test]
    fn octets_before_it_do_not_hide_it() {
        // Records have the length of a text before it, which may be any octet.
        for length in [13_u8, b'a', b'.', 0x80] {
            assert!(needles().may_be_in(&[&[length][..], b"Ann@b.example"].concat()), "{length}");
        }
        assert!(!needles().may_be_in(b"bob@b.example"));
    }
}
