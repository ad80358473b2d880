//! Reports of others, and ours.

use crate::settings::field::section;

section! {
    /// Reports about mail and about TLS: those of others about your domains, by DMARC (RFC 9990) and TLS-RPT (RFC 8460), which `baton reports` shows; and ours about the domains of others.
    RawReports {
        /// The mailboxes that the records of your domains name (`rua=mailto:`). Mail for them is read for reports and goes on as all mail does; a route to a next hop with `discard` ends it.
        mailboxes: Vec<String> = Vec::new(),
        /// How long a report is kept, in days.
        keep_days: u64 = 400,
        /// Counts how connections to mail hosts were protected, and sends each day's counts (UTC) to the domains that ask for them (TLS-RPT, RFC 8460), by mail and over HTTPS, within four hours after the day.
        send_tls: bool = false,
        /// Counts what [checks] found about mail in the names of others, and sends each day's counts (UTC) to the domains that ask for them (DMARC aggregate reports, RFC 9990), by mail, within four hours after the day. Readers in other domains get them only when they agreed in the DNS.
        send_dmarc: bool = false,
        /// The address that our own reports come from, and where questions about them go. Its domain should have keys (`baton domain`), as readers leave out what is not signed. Unset: that of `bounce.from`.
        from: Option<String> = None,
    }
}
