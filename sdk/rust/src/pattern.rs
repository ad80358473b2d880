//! Patterns of addresses and domains, as tables in settings use them.
//!
//! | pattern | matches |
//! |---|---|
//! | `user@example.org` | this address |
//! | `user@` | this local part at any domain |
//! | `example.org` | every address of this domain |
//! | `.example.org`, `*.example.org` | every address of every domain below it, not of itself |
//! | `*` | everything |
//!
//! Matching ignores ASCII case. Where several patterns of a [`Table`] match, the one further up in this list wins, and
//! among suffixes the longest.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::{Address, Error};

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// `user@example.org`, in lower case.
    Address(String),
    /// `user@`, in lower case and without the `@`.
    Local(String),
    /// `example.org`, in lower case.
    Domain(String),
    /// `.example.org`, in lower case and without the first dot.
    Below(String),
    /// `*`.
    Any,
}

impl Pattern {
    /// True when the address matches.
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Pattern::Address(text) => text.rsplit_once('@').is_some_and(|(local, domain)| {
                address.domain.eq_ignore_ascii_case(domain) && address.local.eq_ignore_ascii_case(local)
            }),
            Pattern::Local(local) => address.local.eq_ignore_ascii_case(local),
            Pattern::Domain(_) | Pattern::Below(_) | Pattern::Any => self.matches_domain(&address.domain),
        }
    }

    /// True when every address of the domain matches.
    pub fn matches_domain(&self, domain: &str) -> bool {
        match self {
            Pattern::Domain(exact) => domain.eq_ignore_ascii_case(exact),
            Pattern::Below(parent) => parents(&domain.to_ascii_lowercase()).any(|above| above == parent),
            Pattern::Any => true,
            Pattern::Address(_) | Pattern::Local(_) => false,
        }
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Pattern, Error> {
        let invalid = |why: &str| Error::new([text, ": ", why].concat());
        let lower = text.to_ascii_lowercase();
        if lower == "*" {
            return Ok(Pattern::Any);
        }
        if lower.chars().any(|character| character.is_control() || character == ' ') {
            return Err(invalid("a pattern has no spaces"));
        }
        if let Some((local, domain)) = lower.rsplit_once('@') {
            return match (local.is_empty(), domain.is_empty()) {
                (true, _) => Err(invalid("the part before the @ is missing")),
                (false, true) => Ok(Pattern::Local(local.to_owned())),
                (false, false) => {
                    check_domain(domain).map(|()| Pattern::Address(lower.clone())).map_err(invalid)
                }
            };
        }
        let below = lower.strip_prefix("*.").or_else(|| lower.strip_prefix('.'));
        check_domain(below.unwrap_or(&lower)).map_err(invalid)?;
        Ok(match below {
            Some(parent) => Pattern::Below(parent.to_owned()),
            None => Pattern::Domain(lower),
        })
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn check_domain(domain: &str) -> Result<(), &'static str> {
    if !domain.is_ascii() {
        return Err("write the domain in its ASCII form (xn--...), as it appears in DNS");
    }
    let literal = domain.starts_with('[') && domain.ends_with(']');
    if !literal && (domain.contains(['*', '[', ']', '/', ':']) || domain.split('.').any(str::is_empty)) {
        return Err("not a domain; patterns are user@example.org, user@, example.org, .example.org and *");
    }
    Ok(())
}

/// The domains above a domain, nearest first: `a.b.c` gives `b.c` and `c`.
fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, above)| above)).skip(1)
}

/// Values by pattern; the most specific pattern wins.
///
/// A lookup costs a handful of tree searches, however many patterns there are.
#[derive(Clone, Debug)]
pub struct Table<T> {
    addresses: BTreeMap<String, T>,
    locals: BTreeMap<String, T>,
    domains: BTreeMap<String, T>,
    below: BTreeMap<String, T>,
    any: Option<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            addresses: BTreeMap::new(),
            locals: BTreeMap::new(),
            domains: BTreeMap::new(),
            below: BTreeMap::new(),
            any: None,
        }
    }
}

impl<T> Table<T> {
    /// Adds a value; the value that the same pattern had before is returned.
    pub fn insert(&mut self, pattern: Pattern, value: T) -> Option<T> {
        match pattern {
            Pattern::Address(text) => self.addresses.insert(text, value),
            Pattern::Local(local) => self.locals.insert(local, value),
            Pattern::Domain(domain) => self.domains.insert(domain, value),
            Pattern::Below(parent) => self.below.insert(parent, value),
            Pattern::Any => self.any.replace(value),
        }
    }

    /// The value of the most specific pattern that matches.
    pub fn get(&self, address: &Address) -> Option<&T> {
        let domain = address.domain.to_ascii_lowercase();
        if !self.addresses.is_empty() || !self.locals.is_empty() {
            let local = address.local.to_ascii_lowercase();
            let exact = self.addresses.get(&[local.as_str(), "@", domain.as_str()].concat());
            if let Some(value) = exact.or_else(|| self.locals.get(&local)) {
                return Some(value);
            }
        }
        let by_domain = self.domains.get(&domain);
        by_domain.or_else(|| parents(&domain).find_map(|above| self.below.get(above))).or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(patterns: &[&'static str]) -> Table<&'static str> {
        let mut table = Table::default();
        for text in patterns {
            table.insert(text.parse().unwrap(), *text);
        }
        table
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        let table =
            table(&["*", ".example.org", "*.b.example.org", "example.org", "root@", "ann@example.org"]);
        let found = |address: &str| *table.get(&address.parse().unwrap()).unwrap();
        assert_eq!(found("ANN@Example.org"), "ann@example.org");
        assert_eq!(found("Root@elsewhere.example"), "root@");
        assert_eq!(found("bob@example.org"), "example.org");
        assert_eq!(found("bob@a.example.org"), ".example.org");
        assert_eq!(found("bob@a.b.example.org"), "*.b.example.org");
        assert_eq!(found("bob@badexample.org"), "*");
    }

    #[test]
    fn without_a_default_the_rest_is_not_found() {
        assert!(table(&["example.org"]).get(&Address::new("a", "a.example.org")).is_none());
    }

    #[test]
    fn a_pattern_alone_matches_like_in_a_table() {
        let address = Address::new("Ann", "a.example.org");
        for (pattern, expected) in [
            ("ann@a.example.org", true),
            ("ann@", true),
            (".example.org", true),
            ("example.org", false),
            ("*", true),
            (".org", true),
            (".a.example.org", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(&address), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in [
            "",
            "@",
            "@example.org",
            "a b",
            "example..org",
            "ex*mple.org",
            "münchen.example",
            ".",
            "a@*.org",
            "host:25",
        ] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }
}
