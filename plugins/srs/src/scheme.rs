//! The shape of rewritten addresses: `SRS0=hash=day=domain=local`, and `SRS1=hash=domain==hash=day=domain=local` for an
//! address that another forwarder rewrote before.

use baton_sdk::prelude::*;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Days are counted modulo this: two characters of base 32.
const DAYS: u32 = 1_024;
/// Days that an address can be valid: half of what can be told apart.
pub(crate) const DAYS_MAX: u32 = 512;
/// Digits of hash and day: no case, so that a host which changes it does no harm (RFC 4648 6).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Why an address leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It does not have the shape.
    Malformed,
    /// It was not made with this secret.
    Forged,
    /// It is too old.
    Expired,
}

impl Denied {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Denied::Malformed => "malformed",
            Denied::Forged => "forged",
            Denied::Expired => "expired",
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Denied::Malformed => "not a rewritten address that can be read",
            Denied::Forged => "not a rewritten address of ours",
            Denied::Expired => "this rewritten address is too old",
        }
    }
}

/// What is needed to make and to read addresses.
pub(crate) struct Scheme {
    pub(crate) key: Vec<u8>,
    pub(crate) hash_characters: usize,
    pub(crate) valid_days: u32,
    /// See [`day`].
    pub(crate) today: u32,
}

/// The day of a time in milliseconds since 1970, modulo 1,024.
pub(crate) fn day(unix_ms: u64) -> u32 {
    (unix_ms / 86_400_000 % u64::from(DAYS)) as u32
}

/// True for what begins like a rewritten local part.
pub(crate) fn is_rewritten(local: &str) -> bool {
    is_srs(local, "SRS0") || is_srs(local, "SRS1")
}

impl Scheme {
    /// The local part that stands for the sender.
    pub(crate) fn rewritten(&self, sender: &Address) -> String {
        let (local, domain) = (sender.local(), sender.domain());
        if is_srs(local, "SRS0") {
            return self.chained(domain, local.get(4..).unwrap_or_default());
        }
        // An SRS1 address keeps the first forwarder and its part; only the hash becomes ours.
        if let Some((first, rest)) = is_srs(local, "SRS1").then(|| parts_of_chain(local)).flatten() {
            return self.chained(first, rest);
        }
        let day = self.written_day();
        ["SRS0=", &self.hash(&[&day, domain, local]), "=", &day, "=", domain, "=", local].concat()
    }

    /// `rest` is the first forwarder's local part without its `SRS0`, separator included.
    fn chained(&self, first: &str, rest: &str) -> String {
        ["SRS1=", &self.hash(&[first, rest]), "=", first, "=", rest].concat()
    }

    /// The address behind a rewritten local part.
    pub(crate) fn original(&self, local: &str) -> Result<Address, Denied> {
        if is_srs(local, "SRS1") {
            let (first, rest) = parts_of_chain(local).ok_or(Denied::Malformed)?;
            self.check(hash_of(local)?, &[first, rest])?;
            return Ok(Address::new(["SRS0", rest].concat(), first.to_ascii_lowercase()));
        }
        let mut parts = local.get(5..).unwrap_or_default().splitn(4, '=');
        let (Some(hash), Some(day), Some(domain), Some(user)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Denied::Malformed);
        };
        if domain.is_empty() || user.is_empty() {
            return Err(Denied::Malformed);
        }
        self.check(hash, &[day, domain, user])?;
        let made = read_day(day).ok_or(Denied::Malformed)?;
        let age_days = (self.today + DAYS - made) % DAYS;
        if age_days > self.valid_days {
            return Err(Denied::Expired);
        }
        Ok(Address::new(user, domain.to_ascii_lowercase()))
    }

    fn check(&self, hash: &str, parts: &[&str]) -> Result<(), Denied> {
        let right = self.hash(parts);
        let same = right.len() == hash.len()
            && right
                .bytes()
                .zip(hash.bytes())
                .fold(0, |difference, (a, b)| difference | (a ^ b.to_ascii_uppercase()))
                == 0;
        if same { Ok(()) } else { Err(Denied::Forged) }
    }

    /// The beginning of an HMAC-SHA-256 over the parts in lower case: hosts on the way may change the case.
    fn hash(&self, parts: &[&str]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        for part in parts {
            mac.update(part.to_ascii_lowercase().as_bytes());
            mac.update(b"\0");
        }
        let digest = mac.finalize().into_bytes();
        digest.iter().take(self.hash_characters).map(|octet| digit(u32::from(*octet))).collect()
    }

    fn written_day(&self) -> String {
        [digit(self.today / 32), digit(self.today)].iter().collect()
    }
}

/// True when the local part begins with the tag and a separator.
fn is_srs(local: &str, tag: &str) -> bool {
    local.get(..4).is_some_and(|own| own.eq_ignore_ascii_case(tag))
        && local.get(4..5).is_some_and(|mark| "=+-".contains(mark))
}

fn hash_of(local: &str) -> Result<&str, Denied> {
    local.get(5..).and_then(|rest| rest.split('=').next()).ok_or(Denied::Malformed)
}

/// The first forwarder and its local part without `SRS0`, separator included.
fn parts_of_chain(local: &str) -> Option<(&str, &str)> {
    let (_, behind_hash) = local.get(5..)?.split_once('=')?;
    let (first, rest) = behind_hash.split_once('=')?;
    let is_whole =
        !first.is_empty() && rest.get(..1).is_some_and(|mark| "=+-".contains(mark)) && rest.len() > 1;
    is_whole.then_some((first, rest))
}

/// The five lowest bits as a digit.
fn digit(number: u32) -> char {
    char::from(BASE32.get(number as usize % 32).copied().unwrap_or(b'A'))
}

fn read_day(text: &str) -> Option<u32> {
    let value =
        |octet: u8| BASE32.iter().position(|digit| *digit == octet.to_ascii_uppercase()).map(|at| at as u32);
    match text.as_bytes() {
        [high, low] => Some(value(*high)? * 32 + value(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(today: u32) -> Scheme {
        Scheme { key: b"secret".to_vec(), hash_characters: 6, valid_days: 21, today }
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_rewritten_leads_back() {
        for sender in ["ann@sender.example", "Bounce=7=x@list.example", "a@[192.0.2.1]"] {
            let local = scheme(5).rewritten(&address(sender));
            assert!(local.starts_with("SRS0="), "{local}");
            assert_eq!(scheme(20).original(&local).unwrap(), address(sender));
            assert_eq!(
                scheme(20).original(&local.to_ascii_uppercase()).unwrap().domain(),
                address(sender).domain()
            );
        }
    }

    #[test]
    fn a_chain_keeps_its_first_forwarder_and_grows_no_more() {
        let first = scheme(5).rewritten(&address("ann@sender.example"));
        let second = scheme(5).rewritten(&Address::new(first.as_str(), "first.example"));
        assert!(
            second.starts_with("SRS1=")
                && second.contains("=first.example==")
                && second.ends_with("=sender.example=ann"),
            "{second}"
        );
        let third = scheme(5).rewritten(&Address::new(second.as_str(), "second.example"));
        assert_eq!(third, second, "same secret, same hash: the second forwarder is left out");
        assert_eq!(scheme(900).original(&third).unwrap(), Address::new(first, "first.example"));
    }

    #[test]
    fn forged_old_and_broken_addresses_lead_nowhere() {
        let local = scheme(5).rewritten(&address("ann@sender.example"));
        assert_eq!(scheme(26).original(&local).map(|_| ()), Ok(()));
        assert_eq!(scheme(27).original(&local), Err(Denied::Expired));
        assert_eq!(scheme(4).original(&local), Err(Denied::Expired), "from the future");
        assert_eq!(scheme(5).original(&local.replace("=ann", "=bob")), Err(Denied::Forged));
        let other = Scheme { key: b"other".to_vec(), ..scheme(5) };
        assert_eq!(other.original(&local), Err(Denied::Forged));
        for broken in
            ["SRS0=", "SRS0=AAAAAA=BB=x", "SRS1=AAAAAA", "SRS1=AAAAAA=first.example=x", "SRS0=AAAAAA=BB==x"]
        {
            assert!(matches!(scheme(5).original(broken), Err(Denied::Malformed)), "{broken}");
        }
    }

    #[test]
    fn days_wrap_around() {
        assert_eq!(day(86_400_000 * 1_025 + 5), 1);
        let local = scheme(1_020).rewritten(&address("ann@sender.example"));
        assert!(scheme(10).original(&local).is_ok());
    }
}
