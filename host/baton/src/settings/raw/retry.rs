//! `[retry]`: what a failure is, and when it is tried again.

use std::path::PathBuf;

use crate::settings::field::{Named, section};

section! {
    /// What kind of failure a reply means, and what is different for failures of one kind. The schedule for all is `delivery.retry_first_s` and its neighbours.
    RawRetry {
        /// A TOML file of rules that are asked before those that are built in: `[[rule]]` with `class` and any of `code` ("55x"), `enhanced` ("x.7.1"), `phase` ("rcpt"), `pattern` (a regular expression), `host` (".example.net").
        classes_file: Option<PathBuf> = None,
        /// Schedules by class: unknown, bad-mailbox, bad-domain, quota, content, too-large, policy, block-source, rate, greylist, tls, network, protocol, dns, loop, expired. With the defaults for all, greylisted mail is tried after 5, 7 and 11 minutes and every hour at the latest; mail refused for its pace after 15 minutes; for its source, content or policy after 30; for a full mailbox after 60 minutes and every 12 hours at the latest.
        class: Named<RawClassRetry> = Named(Vec::new()),
    }
}

section! {
    /// What is different for failures of one class.
    RawClassRetry {
        /// The wait after the first failed attempt, in seconds. Unset: as built in.
        first_s: Option<f64> = None,
        /// By how much each wait is longer than the one before. Unset: as built in.
        factor: Option<f64> = None,
        /// The longest wait, in seconds. Unset: as built in.
        max_s: Option<f64> = None,
        /// A message that still fails so is given up this long after its acceptance, in seconds. Unset: at the end of its lifetime.
        lifetime_s: Option<u64> = None,
    }
}
