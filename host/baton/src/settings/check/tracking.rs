//! Tracked links.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use baton_inbound::ReturnSettings;
use baton_mail::{Domain, Mailbox};
use url::Url;

use super::inbound::MAILBOX_REMEDY;
use super::{ADDRESS_REMEDY, Checker};
use crate::settings::raw::{Raw, RawListener, RawTracking};
use crate::wiring::TrackingSettings;

/// Octets of the beginning of all links at most: mail programs cut long ones.
const BASE_OCTETS_MAX: usize = 200;
const DAY_S: u64 = 86_400;
const BASE_REMEDY: &str = "write scheme and host alone, such as \"https://links.example.org\"";

impl Checker<'_> {
    pub(super) fn tracking(
        &mut self,
        raw: &Raw,
        state_path: &Path,
        local: &HashSet<Domain>,
        returns: &ReturnSettings,
    ) -> TrackingSettings {
        let tracking = &raw.tracking;
        let base_url = tracking.base_url.as_deref().and_then(|text| self.base_url(text));
        if tracking.listen.is_some() && tracking.base_url.is_none() {
            let reason = "is missing: nobody would know where the listener is";
            self.problems.push("tracking.base_url", None, reason, BASE_REMEDY);
        }
        if tracking.listen.is_none() && tracking.base_url.is_some() {
            let reason = "is missing: nobody would answer the links";
            self.problems.push("tracking.listen", None, reason, ADDRESS_REMEDY);
        }
        let days = |checker: &mut Self, key: &str, days: u64| {
            Duration::from_secs(checker.bound(key, days, 1, 36_500) * DAY_S)
        };
        TrackingSettings {
            base_url,
            listen: tracking
                .listen
                .as_deref()
                .and_then(|text| self.parse("tracking.listen", text, ADDRESS_REMEDY)),
            link_lifetime: days(self, "tracking.link_days", tracking.link_days),
            unsubscribe_lifetime: days(self, "tracking.unsubscribe_days", tracking.unsubscribe_days),
            unsubscribe_mailbox: self.unsubscribe_mailbox(tracking, local, returns),
            keys_file: match &tracking.keys_file {
                Some(path) => self.folder.join(path),
                None => state_path.join("tracking.keys"),
            },
            tls: tracking
                .tls
                .then(|| self.tls_server("tracking.tls", &RawListener::default(), &raw.tls))
                .flatten(),
            connections_max: self.bound("tracking.connections_max", tracking.connections_max, 1, 100_000),
            connection_lifetime: Duration::from_secs(self.bound(
                "tracking.connection_s",
                tracking.connection_s,
                1,
                3_600,
            )),
        }
    }

    /// A mailbox that strangers can reach, and that is for nothing else.
    fn unsubscribe_mailbox(
        &mut self,
        raw: &RawTracking,
        local: &HashSet<Domain>,
        returns: &ReturnSettings,
    ) -> Option<Mailbox> {
        let key = "tracking.unsubscribe_address";
        let text = raw.unsubscribe_address.as_deref()?;
        let mailbox: Mailbox = self.parse(key, text, MAILBOX_REMEDY)?;
        self.check_reachable(key, &mailbox, local);
        let given = || Some(mailbox.to_string());
        if raw.base_url.is_none() {
            let reason = "is of no use: without tracking.base_url no message has a way to unsubscribe";
            self.problems.push(
                key,
                given(),
                reason,
                "set tracking.base_url and tracking.listen, or leave it out",
            );
        }
        if returns.bounces.iter().chain(&returns.complaints).any(|other| *other == mailbox) {
            let reason =
                "is in bounces.addresses or complaints.addresses, and mail to it can only be one of them";
            self.problems.push(key, given(), reason, "write an address of its own");
        }
        Some(mailbox)
    }

    /// Without the slash at its end.
    fn base_url(&mut self, text: &str) -> Option<String> {
        let reason = match Url::parse(text) {
            Err(error) => error.to_string(),
            Ok(url) if !matches!(url.scheme(), "https" | "http") => {
                "only https and http lead to pages".to_owned()
            }
            Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
                "the pages stand at the root of their host".to_owned()
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "everybody reads the links, with name and password".to_owned()
            }
            Ok(url) if url.as_str().len() > BASE_OCTETS_MAX => {
                format!("it has {BASE_OCTETS_MAX} octets at most")
            }
            Ok(url) => return Some(url.as_str().trim_end_matches('/').to_owned()),
        };
        self.problems.push("tracking.base_url", Some(text.to_owned()), reason, BASE_REMEDY);
        None
    }
}
