//! Our reports about others.

use baton_mail::{Domain, Mailbox};

use super::Checker;
use super::inbound::MAILBOX_REMEDY;
use crate::reporting::ReportingSettings;
use crate::settings::raw::Raw;

impl Checker<'_> {
    /// Our reports, from `from` unless the settings say otherwise.
    pub(super) fn reporting(&mut self, raw: &Raw, hostname: &Domain, from: &Mailbox) -> ReportingSettings {
        let given = raw.reports.from.as_deref();
        let given = given.and_then(|text| self.parse("reports.from", text, MAILBOX_REMEDY));
        ReportingSettings {
            tls: raw.reports.send_tls,
            dmarc: raw.reports.send_dmarc,
            from: given.unwrap_or_else(|| from.clone()),
            submitter: hostname.clone(),
            sign: raw.signing.enabled,
        }
    }
}
