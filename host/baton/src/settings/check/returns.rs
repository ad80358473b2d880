//! What comes back.

use std::collections::HashSet;

use baton_inbound::ReturnSettings;
use baton_mail::classify::Classes;
use baton_mail::{Domain, Mailbox};

use super::Checker;
use super::inbound::MAILBOX_REMEDY;
use crate::settings::raw::Raw;

impl Checker<'_> {
    /// Where bounces and feedback come in.
    pub(super) fn returns(
        &mut self,
        raw: &Raw,
        local: &HashSet<Domain>,
        verp_domains: &HashSet<Domain>,
        classes: &Classes,
    ) -> ReturnSettings {
        let days = self.bound("bounces.attach_days", raw.bounces.attach_days, 0, 60);
        ReturnSettings {
            bounces: self.return_addresses("bounces.addresses", &raw.bounces.addresses, local),
            complaints: self.return_addresses("complaints.addresses", &raw.complaints.addresses, local),
            verp_domains: verp_domains.clone(),
            classes: classes.clone(),
            attach_ms: days * 86_400_000,
        }
    }

    /// Mailboxes that strangers can reach.
    fn return_addresses(&mut self, key: &str, texts: &[String], local: &HashSet<Domain>) -> Vec<Mailbox> {
        let addresses: Vec<Mailbox> = self.parse_all(key, texts, MAILBOX_REMEDY);
        for address in &addresses {
            self.check_reachable(key, address, local);
        }
        addresses
    }

    pub(super) fn check_reachable(&mut self, key: &str, address: &Mailbox, local: &HashSet<Domain>) {
        if !local.contains(address.domain()) {
            let reason = "nobody outside can write to it: its domain is not local";
            let remedy = format!("add \"{}\" to local_domains", address.domain());
            self.problems.push(key, Some(address.to_string()), reason, remedy);
        }
    }
}
