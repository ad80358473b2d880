//! What holds for one client, by where it comes from.

use std::net::IpAddr;

use baton_mail::bucket::Bucket;
use tokio::time::Instant;

use crate::clients::Places;
use crate::limits::ConnectionLimits;
use crate::networks::Profile;
use crate::rates::{Deed, Rates, Whose};
use crate::{ClientLimits, Policy};

/// The bounds of one client. They are found anew for each use, so that a reload holds at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// No bound on clients holds: it is one of ours.
    pub(crate) is_exempt: bool,
    /// The bounds.
    pub(crate) limits: ClientLimits,
    /// The bounds on open sessions.
    pub(crate) connections: ConnectionLimits,
    /// As whom it counts.
    pub(crate) places: Places,
}

impl Standing {
    /// What holds for a client at this address.
    pub(crate) fn of(
        policy: &Policy,
        address: IpAddr,
        profile: &Profile,
        connections: ConnectionLimits,
    ) -> Standing {
        let limits = profile.limits.apply(policy.clients);
        let network_max = usize::try_from(limits.connections_per_network_max).unwrap_or(usize::MAX);
        Standing {
            is_exempt: profile.exempt.unwrap_or_else(|| policy.is_relay_network(address)),
            limits,
            connections: ConnectionLimits {
                client_max: profile.connections_per_address_max,
                network_max,
                ..connections
            },
            places: limits.places(address),
        }
    }

    /// As whom its sessions count; none when they do not.
    pub(crate) fn counted(&self) -> Option<Places> {
        (!self.is_exempt).then_some(self.places)
    }

    /// Counts a connection.
    pub(crate) fn take_connection(&self, rates: &Rates) -> Result<(), Whose> {
        let limits = &self.limits;
        let most = (limits.connections_per_minute_max, limits.network_connections_per_minute_max);
        self.take(rates, Deed::Connect, most)
    }

    /// Counts a transaction.
    pub(crate) fn take_message(&self, rates: &Rates) -> Result<(), Whose> {
        let limits = &self.limits;
        self.take(rates, Deed::Mail, (limits.messages_per_minute_max, limits.network_messages_per_minute_max))
    }

    /// Counts a recipient.
    pub(crate) fn take_recipient(&self, rates: &Rates) -> Result<(), Whose> {
        let limits = &self.limits;
        let most = (limits.recipients_per_minute_max, limits.network_recipients_per_minute_max);
        self.take(rates, Deed::Recipient, most)
    }

    /// Counts a recipient that was refused for good.
    pub(crate) fn note_refused(&self, rates: &Rates) {
        rates.note(Instant::now(), Deed::Refused, self.places.address, self.refusals());
    }

    /// True when so many recipients were refused that no more are looked at.
    pub(crate) fn is_harvester(&self, rates: &Rates) -> bool {
        rates.is_spent(Instant::now(), Deed::Refused, self.places.address, self.refusals())
    }

    fn refusals(&self) -> Bucket {
        Bucket { burst: self.limits.refused_recipients_per_hour_max, period_ns: HOUR_NS }
    }

    fn take(&self, rates: &Rates, deed: Deed, (address, network): (u32, u32)) -> Result<(), Whose> {
        let now = Instant::now();
        rates.take(now, deed, self.places, Bucket::per_minute(address), Bucket::per_minute(network))
    }
}

/// Nanoseconds of an hour.
const HOUR_NS: u128 = 3_600_000_000_000;
