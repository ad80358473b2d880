//! TLS towards next hops.

use baton_outbound::{NextHop, TlsPolicy, TlsSettings, TlsUse};
use baton_tls::Authorities;

use super::Checker;
use crate::settings::raw::{Raw, RawNextHop};

impl Checker<'_> {
    pub(super) fn outbound_tls(&mut self, raw: &Raw, mut tls: TlsSettings) -> TlsSettings {
        let uses =
            [("off", TlsUse::Off), ("opportunistic", TlsUse::Opportunistic), ("required", TlsUse::Required)];
        let mode = self.choose("delivery.tls", &raw.delivery.tls, &uses).unwrap_or_default();
        tls.default = TlsPolicy { authorities: Some(Authorities::System), ..TlsPolicy::with_mode(mode) };
        for (name, one) in &raw.next_hops.0 {
            let key = format!("next_hops.{name}");
            let Some(policy) = self.tls_policy(&key, one, mode) else { continue };
            if let Some(Authorities::File(_)) = &policy.authorities
                && let Some(authorities) = &policy.authorities
                && let Err(error) = tls.client.prepare(authorities)
            {
                self.problems.push(
                    &format!("{key}.tls_ca_file"),
                    None,
                    error,
                    "correct the file or the path",
                );
            }
            let Some(next_hop) = self.protected_next_hop(&key, one) else { continue };
            match tls.by_next_hop.insert(next_hop, policy.clone()) {
                Some(other) if other != policy => {
                    let reason = "another next hop has the same hosts and other settings for TLS";
                    self.problems.push(&format!("{key}.tls"), one.tls.clone(), reason, "make them equal");
                }
                _ => {}
            }
        }
        tls
    }

    /// The policy of a next hop that has a word of its own; none when it has not.
    fn tls_policy(&mut self, key: &str, raw: &RawNextHop, default: TlsUse) -> Option<TlsPolicy> {
        let uses = [
            ("off", TlsUse::Off),
            ("opportunistic", TlsUse::Opportunistic),
            ("required", TlsUse::Required),
            ("implicit", TlsUse::Implicit),
        ];
        let is_silent = raw.tls_ca_file.is_none() && raw.tls_name.is_none() && raw.tls_verify;
        let mode = match raw.tls.as_deref() {
            Some(text) => self.choose(&format!("{key}.tls"), text, &uses)?,
            None if is_silent => return None,
            None => default,
        };
        if !is_silent && !matches!(mode, TlsUse::Required | TlsUse::Implicit) {
            let reason = "certificates are checked only where TLS is needed";
            self.problems.push(
                &format!("{key}.tls"),
                raw.tls.clone(),
                reason,
                "write \"required\" or \"implicit\", or remove tls_ca_file, tls_name and tls_verify",
            );
        }
        let authorities = match &raw.tls_ca_file {
            Some(path) => Authorities::File(self.folder.join(path)),
            None => Authorities::System,
        };
        Some(TlsPolicy {
            mode,
            authorities: raw.tls_verify.then_some(authorities),
            name: raw.tls_name.clone(),
        })
    }

    /// The next hop that a policy is for; mistakes in it are told elsewhere.
    fn protected_next_hop(&mut self, key: &str, raw: &RawNextHop) -> Option<NextHop> {
        let next_hop = self.quietly(|checker| checker.next_hop(key, raw))?;
        if matches!(next_hop, NextHop::Mx(_) | NextHop::Hosts(_) | NextHop::Lmtp(_)) {
            return Some(next_hop);
        }
        self.problems.push(&format!("{key}.tls"), raw.tls.clone(), "there is no connection", "remove it");
        None
    }

    /// Does work whose problems were told already.
    fn quietly<T>(&mut self, work: impl FnOnce(&mut Checker<'_>) -> T) -> T {
        work(&mut Checker { problems: Default::default(), folder: self.folder })
    }
}
