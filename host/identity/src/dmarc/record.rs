//! A DMARC policy record (RFC 9989 4.7).

use super::Wish;
use crate::reports::PublishedPolicy;
use crate::tags::Tags;

/// What a record says. What is not valid in it counts as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// `p`.
    pub(super) policy: Option<Wish>,
    /// `sp`: for names below.
    pub(super) subdomains: Option<Wish>,
    /// `np`: for names below that do not exist.
    pub(super) missing: Option<Wish>,
    /// `psd`.
    pub(super) suffix: Suffix,
    /// `t`.
    pub(super) is_test: bool,
    /// `aspf`.
    pub(super) spf: Alignment,
    /// `adkim`.
    pub(super) dkim: Alignment,
    /// `rua`, when there is an address in it.
    pub(super) reports_to: Option<String>,
}

/// Whether a domain is one under which others are registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suffix {
    Yes,
    No,
    Unsaid,
}

/// How near a domain must be to the author's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alignment {
    Relaxed,
    Strict,
}

impl Record {
    /// Reads a text; none when it is no DMARC record.
    pub(super) fn read(text: &[u8]) -> Option<Record> {
        let text = std::str::from_utf8(text).ok()?;
        let tags = Tags::read(text).or_else(|| Tags::read(valid_part(text)))?;
        // The version comes first and is matched exactly.
        if tags.first() != Some(("v", "DMARC1")) {
            return None;
        }
        let flag = |name: &str| tags.get(name).map(str::to_ascii_lowercase);
        let alignment = |name: &str| match flag(name).as_deref() {
            Some("s") => Alignment::Strict,
            _ => Alignment::Relaxed,
        };
        Some(Record {
            policy: tags.get("p").and_then(wish),
            subdomains: tags.get("sp").and_then(wish),
            missing: tags.get("np").and_then(wish),
            suffix: match flag("psd").as_deref() {
                Some("y") => Suffix::Yes,
                Some("n") => Suffix::No,
                _ => Suffix::Unsaid,
            },
            is_test: flag("t").as_deref() == Some("y"),
            spf: alignment("aspf"),
            dkim: alignment("adkim"),
            reports_to: tags.get("rua").filter(|uris| has_address(uris)).map(str::to_owned),
        })
    }

    /// As reports tell it, with the defaults of what it leaves out (RFC 9990 3.1.1.5).
    pub(super) fn published(&self) -> PublishedPolicy {
        let own = self.policy.unwrap_or(Wish::None);
        let below = self.subdomains.unwrap_or(own);
        let letter = |alignment| if alignment == Alignment::Strict { "s" } else { "r" };
        PublishedPolicy {
            p: own.to_string(),
            sp: below.to_string(),
            np: self.missing.unwrap_or(below).to_string(),
            adkim: letter(self.dkim).to_owned(),
            aspf: letter(self.spf).to_owned(),
            testing: if self.is_test { "y" } else { "n" }.to_owned(),
        }
    }
}

/// The record up to the first thing that is no tag: the rest of it is lost, what stands before it is still meant.
fn valid_part(text: &str) -> &str {
    let mut end = 0;
    for piece in text.split_inclusive(';') {
        let candidate = text.get(..end + piece.len()).unwrap_or_default();
        if Tags::read(candidate).is_none() {
            break;
        }
        end += piece.len();
    }
    text.get(..end).unwrap_or_default()
}

fn wish(word: &str) -> Option<Wish> {
    let wishes = [("none", Wish::None), ("quarantine", Wish::Quarantine), ("reject", Wish::Reject)];
    wishes.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, wish)| *wish)
}

/// True when one of the URIs could be mailed to.
fn has_address(uris: &str) -> bool {
    uris.split(',').any(|uri| {
        let uri = uri.trim().to_ascii_lowercase();
        uri.strip_prefix("mailto:")
            .is_some_and(|address| address.split('@').filter(|half| !half.is_empty()).count() == 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read() {
        let record = Record::read(b"v=DMARC1; p=Reject; sp = quarantine ;np=none; psd=y; t=y; adkim=S; pct=5; rua=mailto:a@b.example!10m");
        let expected = Record {
            policy: Some(Wish::Reject),
            subdomains: Some(Wish::Quarantine),
            missing: Some(Wish::None),
            suffix: Suffix::Yes,
            is_test: true,
            spf: Alignment::Relaxed,
            dkim: Alignment::Strict,
            reports_to: Some("mailto:a@b.example!10m".to_owned()),
        };
        assert_eq!(record, Some(expected));
    }

    #[test]
    fn only_this_version_counts() {
        for text in ["v=dmarc1; p=none", "v=DMARC1x; p=none", "p=none; v=DMARC1", "", "v=spf1", "\u{fc}"] {
            assert_eq!(Record::read(text.as_bytes()), None, "{text}");
        }
        assert!(Record::read(b"v = DMARC1").is_some());
    }

    #[test]
    fn what_is_wrong_counts_as_absent() {
        let record = Record::read(b"v=DMARC1; p=maybe; rua=nonsense; broken; sp=reject").unwrap();
        assert_eq!((record.policy, record.subdomains, record.reports_to), (None, None, None));
    }
}
