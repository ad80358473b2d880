//! What strangers may ask for, and when the relay has no room.

use baton_inbound::{ClientLimits, LimitChanges};

use crate::settings::field::section;

/// Makes [clients] and the networks of listeners of one list of bounds: what may differ by network stands there once.
macro_rules! sections {
    (
        for all { $($own:tt)* }
        of a network { $($network:tt)* }
        by network { $($(#[doc = $doc:literal])* $name:ident: $type:ty = $default:expr,)* }
    ) => {
        section! {
            /// How much strangers may ask for: clients outside of `session.relay_networks`. Those that authenticated are not counted by messages and recipients. One IPv6 client is a /64, the smallest network that a customer gets. Where a number ends in `_max`, 0 is no limit.
            RawClients {
                $($own)*
                $($(#[doc = $doc])* $name: $type = $default,)*
            }
        }

        section! {
            /// What holds on this listener for clients of some networks, instead of what holds for all. Of several that hold a client, the most specific network counts, alone. What is in [clients], too, is unset as there.
            RawNetwork {
                $($network)*
                $($(#[doc = $doc])* $name: Option<$type> = None,)*
            }
        }

        impl RawClients {
            /// The bounds that may differ by network; the others as in `all`.
            pub(crate) fn bounds(&self, all: ClientLimits) -> ClientLimits {
                ClientLimits { $($name: self.$name,)* ..all }
            }
        }

        impl RawNetwork {
            /// The bounds that differ.
            pub(crate) fn changes(&self) -> LimitChanges {
                LimitChanges { $($name: self.$name,)* }
            }
        }
    };
}

sections! {
    for all {
        /// Leading bits of an IPv4 address that make its network.
        ipv4_network_bits: u32 = 24,
        /// Leading bits of an IPv6 address that make its network; 64 at most.
        ipv6_network_bits: u32 = 48,
        /// A client that talks before the greeting (RFC 5321 4.3.1): `refuse` or `allow`.
        early_talkers: String = "refuse".to_owned(),
        /// A client that sends more without waiting for a reply that it must wait for, such as that to EHLO (RFC 2920 3.1): `refuse` or `allow`. Behind DATA and STARTTLS it is always refused.
        early_commands: String = "refuse".to_owned(),
    }
    of a network {
        /// The networks, such as `192.0.2.0/24` or `2001:db8::/32`.
        members: Vec<String> = Vec::new(),
        /// Whether the bounds of [clients] and `connections_per_address_max` are lifted for them. Unset: they are for `session.relay_networks`. It gives no right to relay.
        exempt: Option<bool> = None,
        /// `off`, `offered` or `required`, on a listener with STARTTLS.
        tls: Option<String> = None,
        /// Whether AUTH is offered.
        auth: Option<bool> = None,
        /// Whether AUTH is offered on connections without TLS.
        auth_without_tls: Option<bool> = None,
        /// Octets of one message; 0 is no limit.
        size_octets_max: Option<u64> = None,
        /// Recipients of one message.
        recipients_max: Option<usize> = None,
        /// Errors of a client before it is told 421.
        errors_max: Option<u32> = None,
        /// Commands that lead nowhere before a client is told 421.
        junk_commands_max: Option<u32> = None,
        /// Sessions open at once from one address. 0 is no limit.
        connections_per_address_max: Option<usize> = None,
    }
    by network {
        /// Sessions open at once from one network; more are told 421. For one address: `connections_per_address_max` of the listener.
        connections_per_network_max: u32 = 200,
        /// Connections of one address in a minute; more are told 421. As with all rates, as many are there at once, and grow again over the minute.
        connections_per_minute_max: u32 = 600,
        /// Connections of one network in a minute.
        network_connections_per_minute_max: u32 = 2_400,
        /// Transactions that one address begins in a minute; more are told 450.
        messages_per_minute_max: u32 = 6_000,
        /// Transactions that one network begins in a minute.
        network_messages_per_minute_max: u32 = 24_000,
        /// Recipients that one address names in a minute; more are told 450.
        recipients_per_minute_max: u32 = 30_000,
        /// Recipients that one network names in a minute.
        network_recipients_per_minute_max: u32 = 120_000,
        /// Recipients refused with 5xx in one session before it ends with 421: who tries one name after the other must not learn which exist.
        refused_recipients_max: u32 = 50,
        /// Recipients of one address refused with 5xx in an hour; then its recipients are told 450 without a look at them.
        refused_recipients_per_hour_max: u32 = 1_000,
        /// How long the greeting is held back, in milliseconds; 30,000 at most. Who can not wait for it talks too early.
        greet_delay_ms: u64 = 0,
        /// Mistakes since the last message that are answered at once: errors, and recipients refused with 5xx.
        mistakes_free: u32 = 5,
        /// How long the answer to each further mistake is held back, in milliseconds; 0 is not at all.
        mistake_delay_ms: u64 = 1_000,
    }
}

section! {
    /// When mail is refused because the relay itself is short of something, each time with a reply that lets the client try again later. The disk has its bounds in [store], content that is being received `session.memory_octets_max`.
    RawPressure {
        /// Octets of memory of the process at which MAIL is told 452 and strangers who connect are told 421. Unset: three quarters of what the control group allows, where it sets a bound. 0 is no limit.
        process_octets_max: Option<u64> = None,
        /// Jobs in the queue at which MAIL is told 452; one message has one for each domain of its recipients. 0 is no limit.
        queue_jobs_max: u64 = 10_000_000,
    }
}
