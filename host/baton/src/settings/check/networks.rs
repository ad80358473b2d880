//! Parameters of a listener by the client's network.

use std::collections::HashSet;

use baton_inbound::{NetworkSettings, TlsMode};
use ipnet::IpNet;

use super::Checker;
use super::clients::HELD_MS_MAX;
use super::inbound::NETWORKS_REMEDY;
use crate::settings::raw::RawNetwork;

impl Checker<'_> {
    /// All networks of the listener at `key`; `mode` is how it speaks TLS.
    pub(super) fn networks(
        &mut self,
        key: &str,
        raw: &[RawNetwork],
        mode: Option<TlsMode>,
    ) -> Vec<NetworkSettings> {
        let mut seen = HashSet::new();
        let read = |(index, network): (usize, &RawNetwork)| {
            let key = format!("{key}.networks[{index}]");
            let network = self.network(&key, network, mode);
            for member in &network.members {
                if !seen.insert(*member) {
                    let remedy = "leave it in one of them";
                    let value = Some(member.to_string());
                    self.problems.push(&format!("{key}.members"), value, "it is there already", remedy);
                }
            }
            network
        };
        raw.iter().enumerate().map(read).collect()
    }

    fn network(&mut self, key: &str, raw: &RawNetwork, mode: Option<TlsMode>) -> NetworkSettings {
        let at = |name: &str| format!("{key}.{name}");
        let members: Vec<IpNet> = self.parse_all(&at("members"), &raw.members, NETWORKS_REMEDY);
        if raw.members.is_empty() {
            self.problems.push(&at("members"), None, "there is none", NETWORKS_REMEDY);
        }
        for (name, value) in
            [("greet_delay_ms", raw.greet_delay_ms), ("mistake_delay_ms", raw.mistake_delay_ms)]
        {
            self.bound(&at(name), value.unwrap_or(0), 0, HELD_MS_MAX);
        }
        NetworkSettings {
            members: members.iter().map(IpNet::trunc).collect(),
            exempt: raw.exempt,
            tls: self.network_tls(&at("tls"), raw.tls.as_deref(), mode),
            auth: raw.auth,
            auth_without_tls: raw.auth_without_tls,
            size_octets_max: raw.size_octets_max,
            recipients_max: raw
                .recipients_max
                .map(|count| self.bound(&at("recipients_max"), count, 1, 1_000_000)),
            errors_max: raw.errors_max.map(|count| self.bound(&at("errors_max"), count, 1, u32::MAX)),
            junk_commands_max: raw.junk_commands_max,
            connections_per_address_max: raw.connections_per_address_max,
            limits: raw.changes(),
        }
    }

    /// STARTTLS can be wanted where the listener has it.
    fn network_tls(&mut self, key: &str, text: Option<&str>, mode: Option<TlsMode>) -> Option<TlsMode> {
        let text = text?;
        let modes = [("off", TlsMode::Off), ("offered", TlsMode::Offered), ("required", TlsMode::Required)];
        let chosen = self.choose(key, text, &modes)?;
        if matches!(mode, Some(TlsMode::Off | TlsMode::Implicit)) && Some(chosen) != mode {
            let remedy = "leave it out, or set `tls` of the listener to \"offered\"";
            self.problems.push(key, Some(text.to_owned()), "the listener has no STARTTLS", remedy);
        }
        Some(chosen)
    }
}
