//! Keys of the store: what of a sender counts, and how long a key may be.

use baton_sdk::prelude::*;

/// Octets of a key at most; the store takes 512.
const KEY_OCTETS_MAX: usize = 480;

/// What of the sender counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SenderKey {
    /// The address without what changes from mail to mail: a `+extension`, and digits, which are counters in the
    /// return paths of lists (VERP) and of forwarders (SRS).
    #[default]
    Normal,
    /// The whole address.
    Address,
    /// The domain.
    Domain,
}

impl SenderKey {
    /// The sender's part of the key; `<>` for the null sender.
    pub(crate) fn of(self, sender: Option<&Address>) -> String {
        let Some(sender) = sender else { return "<>".to_owned() };
        let domain = sender.domain().to_ascii_lowercase();
        match self {
            SenderKey::Domain => domain,
            SenderKey::Address => [&sender.local().to_ascii_lowercase(), "@", &domain].concat(),
            SenderKey::Normal => [&normal(sender.local()), "@", &domain].concat(),
        }
    }
}

/// The local part without extension, each run of digits as one `#`.
fn normal(local: &str) -> String {
    let base = local.split('+').next().filter(|base| !base.is_empty()).unwrap_or(local);
    let mut text = String::with_capacity(base.len());
    for character in base.chars() {
        if character.is_ascii_digit() {
            if !text.ends_with('#') {
                text.push('#');
            }
        } else {
            text.push(character.to_ascii_lowercase());
        }
    }
    text
}

/// The key itself, or its beginning with a hash of all of it when it is longer than the store takes.
pub(crate) fn bounded(key: &str) -> String {
    if key.len() <= KEY_OCTETS_MAX {
        return key.to_owned();
    }
    let end = (0..=KEY_OCTETS_MAX - 17).rev().find(|&at| key.is_char_boundary(at)).unwrap_or(0);
    let hash = format!("/{:016x}", fnv1a(key.as_bytes()));
    [key.get(..end).unwrap_or_default(), &hash].concat()
}

/// FNV-1a, 64 bits: two long keys with one hash only share a delay.
fn fnv1a(octets: &[u8]) -> u64 {
    octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_mail_to_mail_does_not_count() {
        let key = |text: &str| SenderKey::Normal.of(Some(&text.parse().unwrap()));
        assert_eq!(
            key("bounce-12345-ann=dest.example@list.example"),
            "bounce-#-ann=dest.example@list.example"
        );
        assert_eq!(key("Ann+shop17@Example.org"), "ann@example.org");
        assert_eq!(key("+x@example.org"), "+x@example.org");
        assert_eq!(SenderKey::Normal.of(None), "<>");
        let address = "Ann+7@example.org".parse().unwrap();
        assert_eq!(SenderKey::Address.of(Some(&address)), "ann+7@example.org");
        assert_eq!(SenderKey::Domain.of(Some(&address)), "example.org");
    }

    #[test]
    fn long_keys_stay_apart_and_short_enough() {
        let (one, other) = (format!("{}1", "ö".repeat(300)), format!("{}2", "ö".repeat(300)));
        assert!(bounded(&one).len() <= KEY_OCTETS_MAX);
        assert_ne!(bounded(&one), bounded(&other));
        assert_eq!(bounded("short"), "short");
    }
}
