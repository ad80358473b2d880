//! Addresses in log lines become keyed hashes where that is set: whatever part of the relay wrote the line, and whatever a
//! remote host said in it. Done by the thread that writes the log, so it costs mail nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use baton_mail::Mailbox;

/// Names an address by its keyed hash.
pub(crate) type NameOf = Box<dyn Fn(&Mailbox) -> String + Send + Sync>;

/// Whether and how addresses are hidden. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Hider(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_on: AtomicBool,
    name_of: OnceLock<NameOf>,
}

impl Hider {
    /// From now on addresses are hidden, or not.
    pub(crate) fn set(&self, is_on: bool) {
        self.0.is_on.store(is_on, Ordering::Release);
    }

    /// The names of addresses, known from when the store is open. Until then they are left out.
    pub(crate) fn name_by(&self, name_of: NameOf) {
        // One store is opened in a process.
        let _ = self.0.name_of.set(name_of);
    }

    /// Lines with no address in them but the parts behind `@`.
    pub(super) fn hide(&self, lines: &mut Vec<u8>) {
        if !self.0.is_on.load(Ordering::Acquire) || !lines.contains(&b'@') {
            return;
        }
        let mut hidden = Vec::with_capacity(lines.len());
        let mut done = 0;
        for at in memchr::memchr_iter(b'@', lines) {
            let Some((start, end)) = around(lines, at).filter(|(start, _)| *start >= done) else { continue };
            hidden.extend_from_slice(lines.get(done..start).unwrap_or_default());
            let address =
                String::from_utf8_lossy(lines.get(start..end).unwrap_or_default()).replace('\\', "");
            hidden.extend_from_slice(b"h:");
            hidden.extend_from_slice(self.name(&address).as_bytes());
            // The domain is where mail goes, which operators must see; the log has it elsewhere too.
            done = at;
        }
        if done > 0 {
            hidden.extend_from_slice(lines.get(done..).unwrap_or_default());
            *lines = hidden;
        }
    }

    fn name(&self, address: &str) -> String {
        let named = self.0.name_of.get().zip(address.parse::<Mailbox>().ok());
        named.map_or_else(|| "hidden".to_owned(), |(name_of, mailbox)| name_of(&mailbox))
    }
}

/// Where the address begins and ends whose `@` stands there. A domain has a dot or is a literal, else it is none.
fn around(lines: &[u8], at: usize) -> Option<(usize, usize)> {
    let before = lines.get(..at)?;
    let is_atom = |octet: &u8| {
        octet.is_ascii_alphanumeric() || !octet.is_ascii() || b"!#$%&*+-/=?^_`{|}~.'".contains(octet)
    };
    let start = match before.last()? {
        b'"' => {
            let quoted = before.get(..at - 1)?;
            quoted.iter().rposition(|octet| *octet == b'"')?
        }
        _ => before.iter().rposition(|octet| !is_atom(octet)).map_or(0, |found| found + 1),
    };
    let start = start + field_octets(lines.get(start..at)?);
    let after = lines.get(at + 1..)?;
    let is_domain = |octet: &u8| octet.is_ascii_alphanumeric() || !octet.is_ascii() || b"-._".contains(octet);
    let len = match after.first()? {
        b'[' => after.iter().position(|octet| *octet == b']')? + 1,
        _ => after.iter().position(|octet| !is_domain(octet)).unwrap_or(after.len()),
    };
    let domain = after.get(..len)?;
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    let is_named = domain.contains(&b'.') || domain.starts_with(b"[");
    (start < at && is_named).then_some((start, at + 1 + domain.len()))
}

/// The words that the log puts before an address: `sender=ann@b.example`.
const FIELDS: [&[u8]; 12] = [
    b"sender=",
    b"recipient=",
    b"recipients=",
    b"address=",
    b"account=",
    b"name=",
    b"from=",
    b"to=",
    b"user=",
    b"by=",
    b"domain=",
    b"mailbox=",
];

fn field_octets(text: &[u8]) -> usize {
    FIELDS.iter().find(|field| text.starts_with(field)).map_or(0, |field| field.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        let hider = Hider::default();
        hider.set(true);
        hider.name_by(Box::new(|mailbox| format!("{}", mailbox.local().len())));
        let mut lines = text.as_bytes().to_vec();
        hider.hide(&mut lines);
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn addresses_are_hidden_wherever_they_stand() {
        for (text, expected) in [
            ("recipients=ann@b.example,bob.x@c.example sent", "recipients=h:3@b.example,h:5@c.example sent"),
            ("550 5.1.1 <ann@b.example>: no", "550 5.1.1 <h:3@b.example>: no"),
            ("{\"sender\":\"ann@b.example\"}", "{\"sender\":\"h:3@b.example\"}"),
            ("news+ann=b.example@us.example.", "h:18@us.example."),
            ("\"a b\"@b.example x", "h:5@b.example x"),
            ("to=\u{e4}nn@b.example", "to=h:4@b.example"),
            ("plugin=guard@3fa9#2 and @alone", "plugin=guard@3fa9#2 and @alone"),
            ("ann@[192.0.2.1] ", "h:3@[192.0.2.1] "),
        ] {
            assert_eq!(hidden(text), expected);
        }
    }

    #[test]
    fn before_the_names_are_known_addresses_are_left_out() {
        let hider = Hider::default();
        hider.set(true);
        let mut lines = b"from ann@b.example\n".to_vec();
        hider.hide(&mut lines);
        assert_eq!(lines, b"from h:hidden@b.example\n");
        hider.set(false);
        let mut lines = b"from ann@b.example\n".to_vec();
        hider.hide(&mut lines);
        assert_eq!(lines, b"from ann@b.example\n");
    }
}
