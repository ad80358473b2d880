//! Bounds on strangers, and on what the relay takes.

use baton_inbound::{ClientLimits, PressureLimits, process_octets_allowed};

use super::Checker;
use crate::settings::raw::{RawClients, RawPressure};

impl Checker<'_> {
    pub(super) fn clients(&mut self, raw: &RawClients) -> ClientLimits {
        let at = |name: &str| format!("clients.{name}");
        let words = [("refuse", true), ("allow", false)];
        let four = self.bound(&at("ipv4_network_bits"), raw.ipv4_network_bits, 1, 32);
        let six = self.bound(&at("ipv6_network_bits"), raw.ipv6_network_bits, 1, 64);
        let limits = ClientLimits {
            ipv4_network_bits: u8::try_from(four).unwrap_or(32),
            ipv6_network_bits: u8::try_from(six).unwrap_or(64),
            refuse_early_talkers: self
                .choose(&at("early_talkers"), &raw.early_talkers, &words)
                .unwrap_or(true),
            refuse_early_commands: self
                .choose(&at("early_commands"), &raw.early_commands, &words)
                .unwrap_or(true),
            ..ClientLimits::default()
        };
        self.bound(&at("greet_delay_ms"), raw.greet_delay_ms, 0, HELD_MS_MAX);
        self.bound(&at("mistake_delay_ms"), raw.mistake_delay_ms, 0, HELD_MS_MAX);
        raw.bounds(limits)
    }

    pub(super) fn pressure(&mut self, raw: &RawPressure) -> PressureLimits {
        PressureLimits {
            process_octets_max: raw.process_octets_max.unwrap_or_else(process_octets_allowed),
            queue_jobs_max: raw.queue_jobs_max,
        }
    }
}

/// Clients do not wait for ever, and a stop must not wait for them.
pub(super) const HELD_MS_MAX: u64 = 30_000;
