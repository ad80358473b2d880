//! The structure of a chain: which fields belong to which set, and what seals say about the chain before them.

use baton_mail::header::HeaderIndex;

use super::SETS_MAX;
use crate::dkim::{Flaw, Own, number, value_of};
use crate::tags::Tags;

/// One set. Each field is told by its place in the header.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) results: usize,
    pub(super) signature: usize,
    pub(super) seal: usize,
    /// What the seal says.
    pub(super) sealed: Seal,
}

/// A seal that could be read (RFC 8617 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) own: Own,
    /// What its maker found out about the chain before it.
    chain: ChainState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChainState {
    None,
    Pass,
    Fail,
}

/// A chain without the right structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The highest place that any field claims.
    pub(super) highest: u32,
    /// The last seal says that the chain failed, or there is no place left.
    pub(super) is_closed: bool,
    pub(super) flaw: Flaw,
}

/// Fields of one kind, by their place in the chain.
type Places = Vec<(Option<u32>, usize)>;

/// Reads the chain of a header, the oldest set first; none when there is no field of one.
pub(super) fn read(header: &HeaderIndex) -> Option<Result<Vec<Set>, Broken>> {
    let fields: Vec<(&str, &[u8])> = header.fields().collect();
    let places = |name: &str, place: fn(&[u8]) -> Option<u32>| -> Places {
        let own = fields.iter().enumerate().filter(|(_, (own, _))| own.eq_ignore_ascii_case(name));
        own.map(|(at, (_, field))| (place(value_of(field)), at)).collect()
    };
    let results = places(RESULTS, results_place);
    let signatures = places(SIGNATURE, place);
    let seals = places(SEAL, place);
    let all = || results.iter().chain(&signatures).chain(&seals);
    all().next()?;
    let highest = all().filter_map(|(place, _)| *place).max().unwrap_or(0);
    let seal_at =
        |at: usize| Seal::read(fields.get(at).map(|(_, field)| value_of(field)).unwrap_or_default());
    let last = seals.iter().find(|(place, _)| *place == Some(highest)).and_then(|(_, at)| seal_at(*at).ok());
    let is_closed = highest >= SETS_MAX || last.is_some_and(|seal| seal.chain == ChainState::Fail);
    let broken = |flaw| Broken { highest, is_closed, flaw };
    if all().any(|(place, _)| place.is_none()) {
        return Some(Err(broken("a field of the chain has no place in it")));
    }
    let sets = (1..=highest.min(SETS_MAX)).map(|number| {
        let sealed = seal_at(only(&seals, number)?)?;
        if sealed.chain != if number == 1 { ChainState::None } else { ChainState::Pass } {
            return Err("a seal says that the chain before it does not hold");
        }
        Ok(Set {
            results: only(&results, number)?,
            signature: only(&signatures, number)?,
            seal: only(&seals, number)?,
            sealed,
        })
    });
    let sets: Result<Vec<Set>, Flaw> = sets.collect();
    match sets {
        _ if highest > SETS_MAX => Some(Err(broken("the chain is too long"))),
        Err(flaw) => Some(Err(broken(flaw))),
        Ok(sets) => Some(Ok(sets)),
    }
}

/// The one field at a place.
fn only(places: &Places, number: u32) -> Result<usize, Flaw> {
    let mut found = places.iter().filter(|(place, _)| *place == Some(number));
    match (found.next(), found.next()) {
        (Some((_, at)), None) => Ok(*at),
        (None, _) => Err("a field of the chain is missing"),
        (Some(_), Some(_)) => Err("a field of the chain is there twice"),
    }
}

/// The place that a signature or seal claims (`i=`).
fn place(value: &[u8]) -> Option<u32> {
    let tags = Tags::read(std::str::from_utf8(value).ok()?)?;
    instance(tags.get("i")?)
}

/// The place that results claim: `i=` comes first and a semicolon ends it (RFC 8617 4.1.1).
fn results_place(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    let (first, _) = text.split_once(';')?;
    let (name, number) = first.split_once('=')?;
    if name.trim() == "i" { instance(number.trim()) } else { None }
}

/// 1 and more; how many there may be is another question.
fn instance(text: &str) -> Option<u32> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number > 0)
}

impl Seal {
    fn read(value: &[u8]) -> Result<Seal, Flaw> {
        let text = std::str::from_utf8(value).map_err(|_| "octets that are no text")?;
        let tags = Tags::read(text).ok_or("no list of tags")?;
        // RFC 8617 4.1.3: what a seal covers is fixed.
        if tags.get("h").is_some() {
            return Err("a seal has a list of fields");
        }
        tags.get("t").map(number).transpose()?;
        let chain = match tags.get("cv") {
            Some("none") => ChainState::None,
            Some("pass") => ChainState::Pass,
            Some("fail") => ChainState::Fail,
            _ => return Err("a seal does not say what was found"),
        };
        Ok(Seal { own: Own::read(&tags)?, chain })
    }
}

/// RFC 8617 4.1.1.
pub(super) const RESULTS: &str = "ARC-Authentication-Results";
/// RFC 8617 4.1.2.
pub(super) const SIGNATURE: &str = "ARC-Message-Signature";
/// RFC 8617 4.1.3.
pub(super) const SEAL: &str = "ARC-Seal";

#[cfg(test)]
mod tests {
    use baton_mail::header::HeaderLimits;

    use super::*;

    fn set(number: u32, state: &str) -> String {
        format!(
            "ARC-Seal: i={number}; a=rsa-sha256; cv={state}; d=a.example; s=s; b=YWI=\r\n\
             ARC-Message-Signature: i={number}; a=rsa-sha256\r\n\
             ARC-Authentication-Results: i={number}; a.example; none\r\n"
        )
    }

    fn flaw(header: &str) -> Option<Flaw> {
        let header = HeaderIndex::scan(&header.to_owned().into(), &HeaderLimits::default()).unwrap();
        read(&header).unwrap().err().map(|broken| broken.flaw)
    }

    #[test]
    fn sets_follow_one_another_without_a_gap() {
        let (first, second) = (set(1, "none"), set(2, "pass"));
        assert_eq!(flaw(&format!("{first}{second}")), None);
        assert_eq!(flaw(&second), Some("a field of the chain is missing"));
        assert_eq!(flaw(&format!("{first}{first}")), Some("a field of the chain is there twice"));
        assert_eq!(flaw(&set(1, "pass")), Some("a seal says that the chain before it does not hold"));
        assert_eq!(
            flaw(&first.replace("i=1; a.example", "a.example; i=1")),
            Some("a field of the chain has no place in it")
        );
        let long: String =
            (1..=51).map(|number| set(number, if number == 1 { "none" } else { "pass" })).collect();
        assert_eq!(flaw(&long), Some("the chain is too long"));
    }

    #[test]
    fn a_failed_chain_is_closed() {
        let text = format!("{}{}", set(1, "none"), set(2, "fail"));
        let header = HeaderIndex::scan(&text.into(), &HeaderLimits::default()).unwrap();
        let broken = read(&header).unwrap().unwrap_err();
        assert!(broken.is_closed && broken.highest == 2, "{broken:?}");
    }
}
