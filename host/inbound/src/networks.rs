//! Parameters of a listener by the client's network: the most specific network that holds a client counts, alone.

use std::net::IpAddr;
use std::sync::Arc;

use baton_mail::Domain;
use baton_smtp::server::{Mechanisms, ServerSettings};
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::settings::Judges;
use crate::{LimitChanges, ListenerSettings, TlsMode};

/// What holds for clients of some networks. What is not given is as elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// The networks.
    pub members: Vec<IpNet>,
    /// No bound on strangers holds for them, or all do, whether they may relay or not.
    pub exempt: Option<bool>,
    /// When TLS begins: never, or by STARTTLS.
    pub tls: Option<TlsMode>,
    /// AUTH is offered.
    pub auth: Option<bool>,
    /// AUTH is offered without TLS.
    pub auth_without_tls: Option<bool>,
    /// Octets of one message.
    pub size_octets_max: Option<u64>,
    /// Recipients of one message.
    pub recipients_max: Option<usize>,
    /// Mistakes of the client before it is told 421.
    pub errors_max: Option<u32>,
    /// Commands that move no mail before it is told 421.
    pub junk_commands_max: Option<u32>,
    /// Sessions open at once from one address.
    pub connections_per_address_max: Option<usize>,
    /// Other bounds.
    pub limits: LimitChanges,
}

/// What holds for some clients of a listener.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Whether bounds on strangers hold, when that does not hang on who may relay.
    pub(crate) exempt: Option<bool>,
    /// Sessions open at once from one address.
    pub(crate) connections_per_address_max: usize,
    /// Other bounds.
    pub(crate) limits: LimitChanges,
    listener: ListenerSettings,
    hostname: Domain,
    /// The protocol settings that were needed so far: under TLS or not, with these mechanisms.
    servers: Mutex<Vec<(bool, Mechanisms, Arc<ServerSettings>)>>,
}

impl Profile {
    fn new(listener: &ListenerSettings, hostname: &Domain, network: &NetworkSettings) -> Profile {
        Profile {
            exempt: network.exempt,
            connections_per_address_max: listener.connections_per_address_max,
            limits: network.limits,
            listener: listener.clone(),
            hostname: hostname.clone(),
            servers: Mutex::default(),
        }
    }

    /// The protocol settings of a session: AUTH is offered where it is allowed and somebody can judge it.
    pub(crate) fn server(&self, is_protected: bool, judges: Judges) -> Arc<ServerSettings> {
        let mechanisms = self.listener.mechanisms(judges);
        let mut servers = self.servers.lock();
        let is_it = |(other, with, _): &&(bool, Mechanisms, _)| *other == is_protected && *with == mechanisms;
        if let Some((.., known)) = servers.iter().find(is_it) {
            return Arc::clone(known);
        }
        let made = Arc::new(self.listener.to_server(&self.hostname, is_protected, mechanisms));
        servers.push((is_protected, mechanisms, Arc::clone(&made)));
        made
    }
}

/// The profiles of a listener.
#[derive(Debug)]
pub(crate) struct Profiles {
    /// Of everybody else.
    others: Profile,
    /// By network, the most specific first.
    networks: Vec<(IpNet, Arc<Profile>)>,
}

impl Profiles {
    /// The profiles of a listener.
    pub(crate) fn new(listener: &ListenerSettings, hostname: &Domain) -> Profiles {
        let mut networks = Vec::new();
        for network in &listener.networks {
            let profile = Arc::new(Profile::new(&listener.within(network), hostname, network));
            networks.extend(network.members.iter().map(|member| (*member, Arc::clone(&profile))));
        }
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        Profiles { others: Profile::new(listener, hostname, &NetworkSettings::default()), networks }
    }

    /// What holds for a client at this address.
    pub(crate) fn find(&self, address: IpAddr) -> &Profile {
        let address = address.to_canonical();
        let found = self.networks.iter().find(|(network, _)| network.contains(&address));
        found.map_or(&self.others, |(_, profile)| profile)
    }
}

impl ListenerSettings {
    /// The settings for clients of these networks.
    fn within(&self, network: &NetworkSettings) -> ListenerSettings {
        ListenerSettings {
            tls: network.tls.unwrap_or(self.tls),
            auth: network.auth.unwrap_or(self.auth),
            auth_without_tls: network.auth_without_tls.unwrap_or(self.auth_without_tls),
            size_octets_max: network.size_octets_max.unwrap_or(self.size_octets_max),
            recipients_max: network.recipients_max.unwrap_or(self.recipients_max),
            errors_max: network.errors_max.unwrap_or(self.errors_max),
            junk_commands_max: network.junk_commands_max.unwrap_or(self.junk_commands_max),
            connections_per_address_max: network
                .connections_per_address_max
                .unwrap_or(self.connections_per_address_max),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientLimits;
    use crate::ListenerKind;

    fn network(members: &[&str], size_octets_max: u64) -> NetworkSettings {
        let members = members.iter().map(|text| text.parse().unwrap()).collect();
        NetworkSettings { members, size_octets_max: Some(size_octets_max), ..NetworkSettings::default() }
    }

    #[test]
    fn the_most_specific_network_counts_whatever_the_order() {
        let mut listener = ListenerSettings::new("test", ([127, 0, 0, 1], 0).into(), ListenerKind::Mx);
        let networks = [
            network(&["192.0.2.0/24"], 1),
            network(&["192.0.0.0/16", "2001:db8::/32"], 2),
            network(&["192.0.2.7/32"], 3),
            network(&["::/0"], 4),
        ];
        for turn in 0..networks.len() {
            listener.networks = networks.to_vec();
            listener.networks.rotate_left(turn);
            let profiles = Profiles::new(&listener, &"mx.example".parse().unwrap());
            let size = |address: &str| {
                profiles.find(address.parse().unwrap()).server(false, Judges::default()).size_octets_max
            };
            let found = ["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8", "192.0.3.1", "2001:db8::1", "fe80::1"]
                .map(size);
            assert_eq!(found, [3, 3, 1, 2, 2, 4]);
            assert_eq!(size("198.51.100.1"), listener.size_octets_max);
        }
    }

    #[test]
    fn what_is_not_given_is_as_elsewhere() {
        let all = ClientLimits::default();
        let changes = LimitChanges { greet_delay_ms: Some(7), ..LimitChanges::default() };
        assert_eq!(changes.apply(all), ClientLimits { greet_delay_ms: 7, ..all });
        let listener = ListenerSettings::new("test", ([127, 0, 0, 1], 0).into(), ListenerKind::Mx);
        let within = listener.within(&network(&[], 9));
        assert_eq!((within.size_octets_max, within.recipients_max), (9, listener.recipients_max));
    }
}
