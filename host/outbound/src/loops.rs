//! Loop guards (RFC 5321 5.1): the relay never delivers to itself, or to this machine, because the DNS says so.

use std::net::{IpAddr, SocketAddr};

use baton_dns::MailHost;
use baton_mail::Domain;

use crate::settings::LoopSettings;

/// The hosts that are more preferred than ourselves. Empty when we are the best host: a loop.
///
/// A host that is us, and every host of equal or worse preference, is dropped: they would only send it back here.
pub(crate) fn hosts_before_us(
    hosts: Vec<MailHost>,
    hostname: &Domain,
    loops: &LoopSettings,
) -> Vec<MailHost> {
    let is_us = |host: &MailHost| {
        host.name == hostname.as_str() || loops.own_names.iter().any(|own| host.name == own.as_str())
    };
    match hosts.iter().filter(|host| is_us(host)).map(|host| host.preference).min() {
        Some(ours) => hosts.into_iter().filter(|host| host.preference < ours).collect(),
        None => hosts,
    }
}

/// Why an address is not connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is this relay, this machine, or none of one host.
    Loop(&'static str),
    /// It lies in this network, which the settings prohibit.
    Prohibited(String),
}

/// Why an address that the DNS, a recipient or a plugin named is not connected to; `None` when it may be.
pub(crate) fn check_address(target: SocketAddr, loops: &LoopSettings) -> Option<Unfit> {
    let address = target.ip().to_canonical();
    if loops.own_addresses.iter().any(|own| own.port() == target.port() && own.ip().to_canonical() == address)
    {
        return Some(Unfit::Loop("this is the relay itself"));
    }
    let points_here = address.is_loopback() || address.is_unspecified() || is_broadcast(address);
    if points_here {
        let unfit = Unfit::Loop("the address is not one of another host");
        return (!loops.allow_loopback_next_hops).then_some(unfit);
    }
    let network = loops.prohibited.iter().find(|network| network.contains(&address))?;
    Some(Unfit::Prohibited(network.to_string()))
}

fn is_broadcast(address: IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(four) if four.is_broadcast())
}

/// True when a connection that is open leads to a listener of ours: both its ends are this machine.
pub(crate) fn is_own_listener(local: SocketAddr, peer: SocketAddr, loops: &LoopSettings) -> bool {
    local.ip() == peer.ip()
        && !loops.allow_loopback_next_hops
        && loops.own_addresses.iter().any(|own| own.port() == peer.port() && own.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[(u16, &str)]) -> Vec<MailHost> {
        list.iter()
            .map(|(preference, name)| MailHost { preference: *preference, name: (*name).to_owned() })
            .collect()
    }

    fn loops() -> LoopSettings {
        LoopSettings {
            own_names: vec!["alias.example.org".parse().unwrap()],
            own_addresses: vec!["192.0.2.1:25".parse().unwrap()],
            allow_loopback_next_hops: false,
            prohibited: vec!["10.0.0.0/8".parse().unwrap(), "fc00::/7".parse().unwrap()],
        }
    }

    fn before_us(list: &[(u16, &str)]) -> Vec<MailHost> {
        hosts_before_us(hosts(list), &"relay.example.org".parse().unwrap(), &loops())
    }

    #[test]
    fn hosts_of_equal_or_worse_preference_than_us_are_dropped() {
        let list = [(5, "a.example"), (10, "b.example"), (10, "relay.example.org"), (20, "c.example")];
        assert_eq!(before_us(&list), hosts(&[(5, "a.example")]));
        assert_eq!(before_us(&[(10, "alias.example.org"), (20, "c.example")]), []);
        assert_eq!(before_us(&[(10, "a.example")]), hosts(&[(10, "a.example")]));
    }

    #[test]
    fn addresses_of_this_machine_are_refused() {
        for bad in
            ["127.0.0.1:25", "127.9.9.9:2525", "0.0.0.0:25", "[::1]:25", "[::]:25", "[::ffff:127.0.0.1]:25"]
        {
            assert!(check_address(bad.parse().unwrap(), &loops()).is_some(), "{bad}");
        }
        assert!(check_address("192.0.2.1:25".parse().unwrap(), &loops()).is_some());
        assert!(
            check_address("192.0.2.1:2525".parse().unwrap(), &loops()).is_none(),
            "another server of this address"
        );
        assert!(check_address("198.51.100.1:25".parse().unwrap(), &loops()).is_none());
        for bad in ["10.1.2.3:25", "[::ffff:10.1.2.3]:25", "[fd00::1]:25"] {
            let found = check_address(bad.parse().unwrap(), &loops());
            assert!(matches!(found, Some(Unfit::Prohibited(_))), "{bad}: {found:?}");
        }
        let allowed = LoopSettings { allow_loopback_next_hops: true, ..loops() };
        assert!(check_address("127.0.0.1:25".parse().unwrap(), &allowed).is_none());
    }

    #[test]
    fn a_listener_on_all_addresses_is_known_by_the_open_connection() {
        let loops =
            LoopSettings { own_addresses: vec!["0.0.0.0:25".parse().unwrap()], ..LoopSettings::default() };
        let (local, peer) = ("198.51.100.1:40000".parse().unwrap(), "198.51.100.1:25".parse().unwrap());
        assert!(is_own_listener(local, peer, &loops));
        assert!(!is_own_listener("198.51.100.2:40000".parse().unwrap(), peer, &loops));
    }
}
