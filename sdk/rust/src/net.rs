//! Networks in settings, such as `192.0.2.0/24`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::Error;

/// A network: an address and the number of its leading bits that count. A plain address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// The network of that size around an address. More bits than the address has are taken as all of them.
    pub fn around(address: IpAddr, prefix_bits: u8) -> Network {
        let address = address.to_canonical();
        match address {
            IpAddr::V4(v4) => {
                let bits = prefix_bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Network { base: IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask)), prefix_bits: bits }
            }
            IpAddr::V6(v6) => {
                let bits = prefix_bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Network { base: IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)), prefix_bits: bits }
            }
        }
    }

    /// True when the address is in this network. IPv4 in IPv6 form counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.base.is_ipv4()
            && Network::around(address, self.prefix_bits).base == self.base
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.base, self.prefix_bits)
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Network, Error> {
        let invalid =
            || Error::new(["not a network: ", text, " (write 192.0.2.0/24 or 2001:db8::/32)"].concat());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        let network = Network::around(address, bits);
        if bits > width || network.base != address {
            return Err(invalid());
        }
        Ok(network)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_belong_to_their_networks() {
        assert!(contains("192.0.2.0/24", "192.0.2.255"));
        assert!(!contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("192.0.2.7", "::ffff:192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.8"));
    }

    #[test]
    fn networks_with_host_bits_or_nonsense_are_refused() {
        for bad in ["192.0.2.1/24", "192.0.2.0/33", "x/8", "", "192.0.2.0/", "2001:db8::/129"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_network_has_a_written_form() {
        assert_eq!(
            Network::around("2001:db8:1:2:3::4".parse().unwrap(), 64).to_string(),
            "2001:db8:1:2::/64"
        );
    }
}
