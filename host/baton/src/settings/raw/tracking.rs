//! Opens, clicks, unsubscribing.

use std::path::PathBuf;

use crate::settings::field::section;

section! {
    /// Tracked links: the pixel, the links and the page to unsubscribe of messages for which a stream, a message (`X-Baton-Track: opens, clicks, unsubscribe`) or the API asks for them. Nothing is tracked without asking.
    RawTracking {
        /// Where the world reaches `listen`, such as `https://links.example.org`: the beginning of all links. Better a domain of its own, and HTTPS: mail programs offer one-click unsubscribing for HTTPS only (RFC 8058 3.1). Unset: nothing is tracked.
        base_url: Option<String> = None,
        /// The address and port that answer.
        listen: Option<String> = None,
        /// `listen` speaks HTTPS, with the certificates, versions and cipher suites of [tls]. Otherwise HTTP: for HTTPS a proxy stands in front.
        tls: bool = false,
        /// How long links and pixels work, in days.
        link_days: u64 = 365,
        /// How long one can unsubscribe, in days. Laws ask for 30 and more (CAN-SPAM).
        unsubscribe_days: u64 = 1_825,
        /// Where one unsubscribes by mail (RFC 2369): `List-Unsubscribe` then has a mailto: address beside the link, with the sealed token as its subject. Mail to it ends here: it unsubscribes, or is refused (550) when the token is forged or has ended; answers that no person wrote do nothing. The domain must be among `local_domains`, and nobody else's mailbox. Unset: by the web only.
        unsubscribe_address: Option<String> = None,
        /// The file of the keys that seal links: made at the first start, readable by its owner only. A new first line by `baton tracking rotate`. Unset: `tracking.keys` below `store.path`.
        keys_file: Option<PathBuf> = None,
        /// Open connections at most.
        connections_max: usize = 1_024,
        /// How long a connection may be open, in seconds, whatever it does.
        connection_s: u64 = 30,
    }
}
