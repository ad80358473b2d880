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
        ClientLimits {
            ipv4_network_bits: u8::try_from(four).unwrap_or(32),
            ipv6_network_bits: u8::try_from(six).unwrap_or(64),
            connections_per_network_max: raw.connections_per_network_max,
            connections_per_minute_max: raw.connections_per_minute_max,
            network_connections_per_minute_max: raw.network_connections_per_minute_max,
            messages_per_minute_max: raw.messages_per_minute_max,
            network_messages_per_minute_max: raw.network_messages_per_minute_max,
            recipients_per_minute_max: raw.recipients_per_minute_max,
            network_recipients_per_minute_max: raw.network_recipients_per_minute_max,
            refused_recipients_max: raw.refused_recipients_max,
            refused_recipients_per_hour_max: raw.refused_recipients_per_hour_max,
            greet_delay_ms: self.bound(&at("greet_delay_ms"), raw.greet_delay_ms, 0, HELD_MS_MAX),
            refuse_early_talkers: self
                .choose(&at("early_talkers"), &raw.early_talkers, &words)
                .unwrap_or(true),
            refuse_early_commands: self
                .choose(&at("early_commands"), &raw.early_commands, &words)
                .unwrap_or(true),
            mistakes_free: raw.mistakes_free,
            mistake_delay_ms: self.bound(&at("mistake_delay_ms"), raw.mistake_delay_ms, 0, HELD_MS_MAX),
        }
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
