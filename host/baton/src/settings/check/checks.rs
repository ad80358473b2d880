//! The checks of strangers' mail.

use std::time::Duration;

use baton_identity::CheckSettings;
use baton_inbound::{Checks, InboundSettings};
use baton_mail::Domain;

use super::Checker;
use crate::settings::raw::Raw;

impl Checker<'_> {
    pub(super) fn checks(
        &mut self,
        raw: &Raw,
        hostname: &Domain,
        inbound: &InboundSettings,
    ) -> Option<Checks> {
        let checks = &raw.checks;
        let authserv_id = checks.authserv_id.as_deref().and_then(|text| {
            self.parse("checks.authserv_id", text, "write a name such as \"mx.example.org\"")
        });
        let mut settings = CheckSettings::new(authserv_id.unwrap_or_else(|| hostname.clone()));
        settings.deadline = Duration::from_secs(self.bound("checks.deadline_s", checks.deadline_s, 1, 300));
        settings.signatures_max = self.bound("checks.signatures_max", checks.signatures_max, 1, 100);
        settings.arc = checks.arc;
        for (index, name) in checks.listeners.iter().flatten().enumerate() {
            if !inbound.listeners.iter().any(|listener| listener.name == *name) {
                let key = format!("checks.listeners[{index}]");
                let remedy = "name a listener of these settings";
                self.problems.push(&key, Some(name.clone()), "there is no such listener", remedy);
            }
        }
        checks.enabled.then(|| Checks { settings, listeners: checks.listeners.clone() })
    }

    /// In whose name relayed mail is sealed.
    pub(super) fn seal(&mut self, raw: &Raw) -> Option<Domain> {
        let text = raw.signing.seal.as_deref()?;
        if !(raw.checks.enabled && raw.checks.arc) {
            let reason = "a seal tells what was found about the chain before it, and chains are not checked";
            self.problems.push("signing.seal", Some(text.to_owned()), reason, "set checks.arc = true");
        }
        self.parse(
            "signing.seal",
            text,
            "write a domain that `baton domain list` shows, such as \"example.org\"",
        )
    }
}
