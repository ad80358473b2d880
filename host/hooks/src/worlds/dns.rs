//! DNS from a table: names with records, names that do not exist, names whose servers do not answer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use crate::NameCheck;
use crate::host::{DnsAnswer, DnsBackend, DnsError};

/// Names of record types and their IANA numbers; other types are written `TYPE65` (RFC 3597 5).
const TYPES: [(&str, u16); 12] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("TLSA", 52),
    ("SPF", 99),
    ("CAA", 257),
];
/// How long answers are good, in seconds.
const TTL_S: u32 = 300;
/// The response codes of a server that fails and of a name that does not exist (RFC 1035 4.1.1).
const SERVER_FAILURE: u16 = 2;
const NO_SUCH_NAME: u16 = 3;

/// The IANA number of a record type.
pub fn rr_type_number(name: &str) -> Option<u16> {
    let upper = name.to_ascii_uppercase();
    let known = TYPES.into_iter().find(|(known, _)| *known == upper).map(|(_, number)| number);
    known.or_else(|| upper.strip_prefix("TYPE")?.parse().ok())
}

/// A DNS that knows what is put into it. A name that is not in it does not exist.
#[derive(Debug, Default)]
pub struct DnsTable(Mutex<BTreeMap<String, Name>>);

#[derive(Clone, Debug)]
enum Name {
    Records(BTreeMap<u16, Vec<String>>),
    Missing,
    Timeout,
    ServerFailure,
}

impl DnsTable {
    /// Records of one type, in presentation form; other types of the name stay as they are.
    pub fn put(&self, name: &str, rr_type: u16, records: Vec<String>) {
        let mut names = self.0.lock();
        let name = names.entry(normal(name)).or_insert(Name::Missing);
        match name {
            Name::Records(types) => drop(types.insert(rr_type, records)),
            _ => *name = Name::Records([(rr_type, records)].into()),
        }
    }

    /// The name does not exist.
    pub fn put_missing(&self, name: &str) {
        self.0.lock().insert(normal(name), Name::Missing);
    }

    /// Nobody answers for the name.
    pub fn put_timeout(&self, name: &str) {
        self.0.lock().insert(normal(name), Name::Timeout);
    }

    /// The name's server answers with a failure.
    pub fn put_failure(&self, name: &str) {
        self.0.lock().insert(normal(name), Name::ServerFailure);
    }

    fn answer(&self, name: &str, rr_type: u16) -> Result<DnsAnswer, DnsError> {
        let name = normal(name);
        if !is_name(&name) {
            return Err(DnsError::BadName);
        }
        let names = self.0.lock();
        let with = |rcode, records| DnsAnswer { rcode, authenticated: false, ttl_s: TTL_S, records };
        match names.get(&name) {
            None | Some(Name::Missing) => Ok(with(NO_SUCH_NAME, Vec::new())),
            Some(Name::Timeout) => Err(DnsError::Timeout),
            Some(Name::ServerFailure) => Ok(with(SERVER_FAILURE, Vec::new())),
            Some(Name::Records(types)) => Ok(with(0, types.get(&rr_type).cloned().unwrap_or_default())),
        }
    }

    /// The first name of an address, when one of its addresses is that one.
    fn confirmed_name(&self, address: IpAddr) -> (Option<String>, NameCheck) {
        let address = address.to_canonical();
        let records = |name: &str, rr_type| match self.answer(name, rr_type) {
            Ok(answer) if answer.rcode != SERVER_FAILURE => Some(answer.records),
            _ => None,
        };
        let Some(pointers) = records(&reverse(address), 12) else { return (None, NameCheck::TempError) };
        let Some(pointer) = pointers.first() else { return (None, NameCheck::PermError) };
        let rr_type = if address.is_ipv4() { 1 } else { 28 };
        match records(pointer, rr_type) {
            None => (None, NameCheck::TempError),
            Some(addresses) if addresses.iter().any(|text| text.parse() == Ok(address)) => {
                (Some(normal(pointer)), NameCheck::Pass)
            }
            Some(_) => (None, NameCheck::Fail),
        }
    }
}

/// Lower case, without the final dot.
fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Labels of 1 to 63 octets, 253 in all (RFC 1035 2.3.4).
fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len()) && !label.contains(|c: char| c.is_whitespace() || c.is_control())
        })
}

/// The name under which an address has its pointer (RFC 1035 3.5, RFC 3596 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

impl DnsBackend for DnsTable {
    fn lookup<'a>(&'a self, name: &'a str, rr_type: u16) -> BoxFuture<'a, Result<DnsAnswer, DnsError>> {
        ready(self.answer(name, rr_type)).boxed()
    }

    fn reverse(&self, address: IpAddr) -> BoxFuture<'_, (Option<String>, NameCheck)> {
        ready(self.confirmed_name(address)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_table_answers_for_what_is_in_it() {
        let dns = DnsTable::default();
        dns.put("X.example.", 1, vec!["192.0.2.1".to_owned()]);
        dns.put_timeout("slow.example");
        assert_eq!(dns.lookup("x.example", 1).await.unwrap().records, ["192.0.2.1"]);
        let other_type = dns.lookup("x.example", 28).await.unwrap();
        assert_eq!((other_type.rcode, other_type.records.len()), (0, 0));
        assert_eq!(dns.lookup("y.example", 1).await.unwrap().rcode, NO_SUCH_NAME);
        assert_eq!(dns.lookup("slow.example", 1).await, Err(DnsError::Timeout));
        assert_eq!(dns.lookup("a..b", 1).await, Err(DnsError::BadName));
    }

    #[tokio::test]
    async fn a_reverse_name_is_confirmed() {
        let dns = DnsTable::default();
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(dns.reverse(address).await, (None, NameCheck::PermError));
        dns.put("1.2.0.192.in-addr.arpa", 12, vec!["mx.example.".to_owned()]);
        assert_eq!(dns.reverse(address).await, (None, NameCheck::Fail), "nobody confirms it");
        dns.put_timeout("mx.example");
        assert_eq!(dns.reverse(address).await, (None, NameCheck::TempError));
        dns.put("mx.example", 1, vec!["192.0.2.1".to_owned()]);
        assert_eq!(dns.reverse(address).await, (Some("mx.example".to_owned()), NameCheck::Pass));
    }

    #[test]
    fn types_have_names_or_numbers() {
        assert_eq!([rr_type_number("mx"), rr_type_number("TYPE65")], [Some(15), Some(65)]);
        assert_eq!(rr_type_number("WHAT"), None);
    }
}
