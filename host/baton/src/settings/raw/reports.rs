//! Reports of others.

use crate::settings::field::section;

section! {
    /// Reports of others about mail in the names of your domains: aggregate reports of DMARC (RFC 9990) and of TLS (RFC 8460). `baton reports` shows them.
    RawReports {
        /// The mailboxes that the records of your domains name (`rua=mailto:`). Mail for them is read for reports and goes on as all mail does; a route to a next hop with `discard` ends it.
        mailboxes: Vec<String> = Vec::new(),
        /// How long a report is kept, in days.
        keep_days: u64 = 400,
    }
}
