//! `[streams.NAME]`: what holds for mail of one stream.

use crate::settings::field::section;

section! {
    /// What mail of a stream must have, whoever sends it and by whatever way it comes; mail without it is refused (550 5.7.1). The stream is that of the account or token, or what a plugin says.
    RawStreamRules {
        /// A List-Unsubscribe field with an address (RFC 2369).
        require_unsubscribe: bool = false,
        /// The text of the message names `postal_address`.
        require_postal_address: bool = false,
        /// The sender's postal address. Only its words and numbers count, in their order.
        postal_address: Option<String> = None,
    }
}
