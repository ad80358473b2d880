//! Bounds on clients, and as whom a client counts: by its address, and by the network around it.

use std::net::IpAddr;

use ipnet::IpNet;

/// The bounds on clients in one list: what may differ by network, and what does not.
macro_rules! client_limits {
    (
        for all { $($(#[$all_doc:meta])* $all:ident: $all_type:ty = $all_default:expr,)* }
        by network { $($(#[$doc:meta])* $name:ident: $type:ty = $default:expr,)* }
    ) => {
        /// How much strangers may ask for. 0 is no limit wherever a number ends in `_max`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct ClientLimits {
            $($(#[$all_doc])* pub $all: $all_type,)*
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Default for ClientLimits {
            fn default() -> ClientLimits {
                ClientLimits { $($all: $all_default,)* $($name: $default,)* }
            }
        }

        /// The bounds that differ from those of all clients.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct LimitChanges {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl LimitChanges {
            /// The bounds with these changes.
            pub(crate) fn apply(&self, all: ClientLimits) -> ClientLimits {
                ClientLimits { $($name: self.$name.unwrap_or(all.$name),)* ..all }
            }
        }
    };
}

client_limits! {
    for all {
        /// Leading bits of an IPv4 address that make its network.
        ipv4_network_bits: u8 = 24,
        /// Leading bits of an IPv6 address that make its network.
        ipv6_network_bits: u8 = 48,
        /// A client that talks before the greeting is refused (RFC 5321 4.3.1).
        refuse_early_talkers: bool = true,
        /// A client that sends more without waiting for a reply it must wait for is cut off (RFC 2920 3.1).
        refuse_early_commands: bool = true,
    }
    by network {
        /// Sessions open at once from one network; more are told 421.
        connections_per_network_max: u32 = 200,
        /// Connections of one address in a minute; more are told 421.
        connections_per_minute_max: u32 = 600,
        /// Connections of one network in a minute.
        network_connections_per_minute_max: u32 = 2_400,
        /// Transactions of one address in a minute; more are told 450.
        messages_per_minute_max: u32 = 6_000,
        /// Transactions of one network in a minute.
        network_messages_per_minute_max: u32 = 24_000,
        /// Recipients named by one address in a minute; more are told 450.
        recipients_per_minute_max: u32 = 30_000,
        /// Recipients named by one network in a minute.
        network_recipients_per_minute_max: u32 = 120_000,
        /// Recipients that are refused for good in one session before the client is told 421.
        refused_recipients_max: u32 = 50,
        /// Recipients of one address that are refused for good in an hour; then its recipients are told 450 unseen.
        refused_recipients_per_hour_max: u32 = 1_000,
        /// How long the greeting is held back, in milliseconds.
        greet_delay_ms: u64 = 0,
        /// Mistakes that are answered at once: errors, and recipients refused for good.
        mistakes_free: u32 = 5,
        /// How long the answer to each further mistake is held back, in milliseconds.
        mistake_delay_ms: u64 = 1_000,
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
