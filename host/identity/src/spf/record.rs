//! An SPF record (RFC 7208 4.5, 4.6, 5, 6): read as a whole before anything of it is done, so that a mistake anywhere counts.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::macros::{Grammar, MacroText};
use crate::Verdict;

/// A record without mistakes.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) directives: Vec<Directive>,
    pub(super) redirect: Option<MacroText>,
    pub(super) explanation: Option<MacroText>,
}

/// A mechanism, and what it means when it matches.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) verdict: Verdict,
    pub(super) mechanism: Mechanism,
    /// As it stands in the record.
    pub(super) text: String,
}

/// What is compared with the client.
#[derive(Debug)]
pub(super) enum Mechanism {
    All,
    Include(MacroText),
    A(Target),
    Mx(Target),
    Ptr(Option<MacroText>),
    Ip4(Ipv4Addr, u32),
    Ip6(Ipv6Addr, u32),
    Exists(MacroText),
}

/// A name, or the domain itself, and how many bits of an address count.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: Option<MacroText>,
    pub(super) four_bits: u32,
    pub(super) six_bits: u32,
}

impl Mechanism {
    /// The text with macros that it holds.
    pub(super) fn name(&self) -> Option<&MacroText> {
        match self {
            Mechanism::Include(name) | Mechanism::Exists(name) => Some(name),
            Mechanism::A(target) | Mechanism::Mx(target) => target.name.as_ref(),
            Mechanism::Ptr(name) => name.as_ref(),
            Mechanism::All | Mechanism::Ip4(..) | Mechanism::Ip6(..) => None,
        }
    }
}

/// True when a text is a record of this version (RFC 7208 4.5).
pub(super) fn is_record(octets: &[u8]) -> bool {
    match octets.split_at_checked(VERSION.len()) {
        Some((version, rest)) => {
            version.eq_ignore_ascii_case(VERSION) && (rest.is_empty() || rest.starts_with(b" "))
        }
        None => false,
    }
}

impl Record {
    /// Reads a record; the error is the term that is wrong.
    pub(super) fn read(octets: &[u8]) -> Result<Record, String> {
        let rest = octets.get(VERSION.len()..).unwrap_or_default();
        let text = std::str::from_utf8(rest).map_err(|_| "octets beyond ASCII".to_owned())?;
        let mut record = Record { directives: Vec::new(), redirect: None, explanation: None };
        for term in text.split(' ').filter(|term| !term.is_empty()) {
            record.read_term(term).ok_or_else(|| term.to_owned())?;
        }
        Ok(record)
    }

    fn read_term(&mut self, term: &str) -> Option<()> {
        match modifier(term) {
            Some((name, value)) if name.eq_ignore_ascii_case("redirect") => {
                // Each of these two stands once at most (RFC 7208 6).
                let is_first = self.redirect.replace(MacroText::read_name(value)?).is_none();
                is_first.then_some(())
            }
            Some((name, value)) if name.eq_ignore_ascii_case("exp") => {
                let is_first = self.explanation.replace(MacroText::read_name(value)?).is_none();
                is_first.then_some(())
            }
            // What is not known is ignored, as long as it is well-formed.
            Some((_, value)) => MacroText::read(value, Grammar::Term).map(drop),
            None => {
                self.directives.push(Directive::read(term)?);
                Some(())
            }
        }
    }
}

/// `name=value`, where nothing before the `=` belongs to a mechanism (RFC 7208 12: `name`).
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    (name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(fits))
        .then_some((name, value))
}

impl Directive {
    fn read(term: &str) -> Option<Directive> {
        let (verdict, mechanism) = match term.split_at_checked(1)? {
            ("+", rest) => (Verdict::Pass, rest),
            ("-", rest) => (Verdict::Fail, rest),
            ("~", rest) => (Verdict::SoftFail, rest),
            ("?", rest) => (Verdict::Neutral, rest),
            _ => (Verdict::Pass, term),
        };
        let end = mechanism.find([':', '/']).unwrap_or(mechanism.len());
        let (name, rest) = mechanism.split_at_checked(end)?;
        let argument = rest.strip_prefix(':');
        let mechanism = match name.to_ascii_lowercase().as_str() {
            "all" if rest.is_empty() => Mechanism::All,
            "include" => Mechanism::Include(MacroText::read_name(argument?)?),
            "a" => Mechanism::A(Target::read(rest)?),
            "mx" => Mechanism::Mx(Target::read(rest)?),
            "ptr" if rest.is_empty() => Mechanism::Ptr(None),
            "ptr" => Mechanism::Ptr(Some(MacroText::read_name(argument?)?)),
            "ip4" => {
                let (address, bits) = network(argument?, 32)?;
                Mechanism::Ip4(address.parse().ok()?, bits)
            }
            "ip6" => {
                let (address, bits) = network(argument?, 128)?;
                Mechanism::Ip6(address.parse().ok()?, bits)
            }
            "exists" => Mechanism::Exists(MacroText::read_name(argument?)?),
            _ => return None,
        };
        Some(Directive { verdict, mechanism, text: term.to_owned() })
    }
}

impl Target {
    /// Reads `[":" domain-spec] ["/" bits] ["//" bits]` (RFC 7208 5.3, 5.4).
    fn read(text: &str) -> Option<Target> {
        let (text, six_bits) = match text.rsplit_once("//") {
            Some((before, digits)) => (before, bits(digits, 128)?),
            None => (text, 128),
        };
        let (text, four_bits) = match text.rsplit_once('/') {
            // A slash may belong to the name: then letters follow it.
            Some((before, digits)) if is_digits(digits) => (before, bits(digits, 32)?),
            _ => (text, 32),
        };
        let name = match text {
            "" => None,
            text => Some(MacroText::read_name(text.strip_prefix(':')?)?),
        };
        Some(Target { name, four_bits, six_bits })
    }
}

/// `address ["/" bits]`.
fn network(text: &str, bits_max: u32) -> Option<(&str, u32)> {
    match text.split_once('/') {
        Some((address, digits)) => Some((address, bits(digits, bits_max)?)),
        None => Some((text, bits_max)),
    }
}

/// A number without leading zeros (RFC 7208 12).
fn bits(digits: &str, max: u32) -> Option<u32> {
    if !is_digits(digits) || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    digits.parse().ok().filter(|bits| *bits <= max)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

const VERSION: &[u8] = b"v=spf1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_version_is_a_record() {
        for text in ["v=spf1", "V=SPF1 -all", "v=spf1 "] {
            assert!(is_record(text.as_bytes()), "{text}");
        }
        for text in ["", "v=spf", "v=spf10 -all", "v=spf1-all", "v=spf2.0/pra", " v=spf1"] {
            assert!(!is_record(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn one_mistake_anywhere_spoils_the_record() {
        for term in [
            "all:x.example",
            "all/8",
            "include",
            "include:",
            "ip4:1.2.3",
            "ip4:1.2.3.4/33",
            "ip4:1.2.3.4/032",
            "ip6:::1/129",
            "ip4",
            "ptr:",
            "ptr/8",
            "exists:x.example/8",
            "a:example",
            "a/",
            "a/24/",
            "a//129",
            "a:x.example:8080",
            "mx:x.example/a",
            "nothing",
            "=x",
            "redirect=",
            "redirect=a.example redirect=b.example",
            "exp=a.example exp=a.example",
            "x=%",
            "moo.cow/x=y",
            "-\tall",
            "ü",
        ] {
            let text = format!("v=spf1 -all {term}");
            assert!(Record::read(text.as_bytes()).is_err(), "{term}");
        }
    }

    #[test]
    fn every_form_is_read() {
        let text = "v=spf1 +A -mx/24//64 ~a:b.example/30 ?ptr ptr:a.example ip4:192.0.2.0/24 IP6:2001:db8::/32 \
                    include:%{d}._spf.example exists:%{i}.x.example moo.cow-far_out=man:dog/cat a:c/d.example//0 \
                    exp=e.example redirect=r.example";
        let record = Record::read(text.as_bytes()).unwrap();
        assert_eq!(record.directives.len(), 10);
        assert!(record.redirect.is_some() && record.explanation.is_some());
        let Mechanism::Mx(target) = &record.directives[1].mechanism else { panic!("{record:?}") };
        assert_eq!((target.four_bits, target.six_bits), (24, 64));
        assert_eq!(record.directives[1].verdict, Verdict::Fail);
    }
}
