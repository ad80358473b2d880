//! Which addresses belong to everybody, and which to a network of somebody's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for an address that the whole Internet reaches under this number (IANA special-purpose registries, RFC 6890).
/// An IPv6 address that stands for an IPv4 address is judged by that one.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(Embedded::Whole(inner)) => is_public_v4(inner),
            Some(Embedded::Interface(inner)) => is_public_v4(inner) && is_public_v6(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // This network, private, shared (carriers' NAT), loopback, link-local (where clouds keep metadata).
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // Protocol assignments, documentation, 6to4 relays, benchmarks.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            // Multicast, reserved, broadcast.
            | (224..=255, _, _)
    )
}

/// Global unicast is 2000::/3 (RFC 4291 2.4); all else is loopback, link-local, unique local, multicast or nothing.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_global_unicast = a & 0xe000 == 0x2000;
    // Teredo and other protocol assignments (2001::/23), documentation (2001:db8::/32, 3fff::/20).
    let is_special = matches!((a, b), (0x2001, 0..0x200 | 0xdb8) | (0x3fff, 0..0x1000));
    is_global_unicast && !is_special
}

/// An IPv4 address within an IPv6 address.
enum Embedded {
    /// The one stands for the other.
    Whole(Ipv4Addr),
    /// It names the machine in a network that counts too.
    Interface(Ipv4Addr),
}

/// The IPv4 address in an IPv6 address, by its form.
fn embedded(address: Ipv6Addr) -> Option<Embedded> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        // Mapped (RFC 4291 2.5.5.2), compatible (2.5.5.1), translated (RFC 7915, ::ffff:0:0:0/96), NAT64 (RFC 6052 2.1).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0, high, low] => Some(Embedded::Whole(from(high, low))),
        // 6to4 (RFC 3056 2).
        [0x2002, high, low, ..] => Some(Embedded::Whole(from(high, low))),
        // ISATAP (RFC 5214 6.1).
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(Embedded::Interface(from(high, low))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_not_public_in_any_spelling() {
        for own in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:db8::1",
            "3fff::1",
            "fe80::1",
            "fe80::5efe:8.8.8.8",
            "2600::5efe:10.0.0.1",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!is_public(own.parse().unwrap()), "{own}");
        }
        for public in
            ["1.1.1.1", "8.8.8.8", "100.63.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1", "223.255.255.254"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for public in ["2606:4700::1111", "2a00::1", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
