//! Bounds on clients, and as whom a client counts: by its address, and by the network around it.

use std::net::IpAddr;

use ipnet::IpNet;

/// How much strangers may ask for. 0 is no limit wherever a number ends in `_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Leading bits of an IPv4 address that make its network.
    pub ipv4_network_bits: u8,
    /// Leading bits of an IPv6 address that make its network.
    pub ipv6_network_bits: u8,
    /// Sessions open at once from one network; more are told 421.
    pub connections_per_network_max: u32,
    /// Connections of one address in a minute; more are told 421.
    pub connections_per_minute_max: u32,
    /// Connections of one network in a minute.
    pub network_connections_per_minute_max: u32,
    /// Transactions of one address in a minute; more are told 450.
    pub messages_per_minute_max: u32,
    /// Transactions of one network in a minute.
    pub network_messages_per_minute_max: u32,
    /// Recipients named by one address in a minute; more are told 450.
    pub recipients_per_minute_max: u32,
    /// Recipients named by one network in a minute.
    pub network_recipients_per_minute_max: u32,
    /// Recipients that are refused for good in one session before the client is told 421.
    pub refused_recipients_max: u32,
    /// Recipients of one address that are refused for good in an hour; then its recipients are told 450 unseen.
    pub refused_recipients_per_hour_max: u32,
    /// How long the greeting is held back, in milliseconds.
    pub greet_delay_ms: u64,
    /// A client that talks before the greeting is refused (RFC 5321 4.3.1).
    pub refuse_early_talkers: bool,
    /// A client that sends more without waiting for a reply it must wait for is cut off (RFC 2920 3.1).
    pub refuse_early_commands: bool,
    /// Mistakes that are answered at once: errors, and recipients refused for good.
    pub mistakes_free: u32,
    /// How long the answer to each further mistake is held back, in milliseconds.
    pub mistake_delay_ms: u64,
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits {
            ipv4_network_bits: 24,
            ipv6_network_bits: 48,
            connections_per_network_max: 200,
            connections_per_minute_max: 600,
            network_connections_per_minute_max: 2_400,
            messages_per_minute_max: 6_000,
            network_messages_per_minute_max: 24_000,
            recipients_per_minute_max: 30_000,
            network_recipients_per_minute_max: 120_000,
            refused_recipients_max: 50,
            refused_recipients_per_hour_max: 1_000,
            greet_delay_ms: 0,
            refuse_early_talkers: true,
            refuse_early_commands: true,
            mistakes_free: 5,
            mistake_delay_ms: 1_000,
        }
    }
}

impl ClientLimits {
    /// As whom a client at this address counts.
    pub(crate) fn places(&self, address: IpAddr) -> Places {
        let address = address.to_canonical();
        let (own, network) = match address {
            IpAddr::V4(_) => (IPV4_BITS, self.ipv4_network_bits),
            // One customer gets a /64 at least, so that is one client.
            IpAddr::V6(_) => (IPV6_CLIENT_BITS, self.ipv6_network_bits.min(IPV6_CLIENT_BITS)),
        };
        Places { address: cut(address, own), network: cut(address, network) }
    }
}

/// As whom a client counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Places {
    /// Its IPv4 address, or its IPv6 /64.
    pub(crate) address: IpNet,
    /// The network around it.
    pub(crate) network: IpNet,
}

/// The network of so many leading bits.
fn cut(address: IpAddr, bits: u8) -> IpNet {
    IpNet::new(address, bits).map_or_else(|_| IpNet::from(address), |network| network.trunc())
}

const IPV4_BITS: u8 = 32;
/// The smallest network that a customer gets.
const IPV6_CLIENT_BITS: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn places(address: &str) -> (String, String) {
        let places = ClientLimits::default().places(address.parse().unwrap());
        (places.address.to_string(), places.network.to_string())
    }

    #[test]
    fn a_client_counts_for_itself_and_for_its_network() {
        let four = ("192.0.2.77/32".to_owned(), "192.0.2.0/24".to_owned());
        assert_eq!(places("192.0.2.77"), four);
        assert_eq!(places("::ffff:192.0.2.77"), four);
        let six = ("2001:db8:1:2::/64".to_owned(), "2001:db8:1::/48".to_owned());
        assert_eq!(places("2001:db8:1:2:3:4:5:6"), six);
    }

    #[test]
    fn a_network_is_never_smaller_than_a_client() {
        let limits = ClientLimits { ipv6_network_bits: 128, ..ClientLimits::default() };
        let places = limits.places("2001:db8::1".parse().unwrap());
        assert_eq!(places.address, places.network);
    }
}
