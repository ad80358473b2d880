//! Who sent what arrives, and signatures on what leaves.

use crate::settings::field::section;

section! {
    /// SPF, DKIM, DMARC and the client's name, for mail of strangers: clients outside of `session.relay_networks` that did not authenticate. What is found stands in `Authentication-Results`; what is done about it is a plugin's matter.
    RawChecks {
        /// Whether mail is checked at all.
        enabled: bool = true,
        /// The listeners where it is checked. Unset: all that take mail of strangers.
        listeners: Option<Vec<String>> = None,
        /// The name under which results are written (RFC 8601 2.5); results of strangers under it are removed. Unset: the hostname.
        authserv_id: Option<String> = None,
        /// How long the checks may take while the content comes in, and again when it is there, in seconds. What is not known then is `temperror` (RFC 7208 4.6.4 asks for 20 at least).
        deadline_s: u64 = 20,
        /// Signatures of one message that are checked, from the top.
        signatures_max: usize = 10,
        /// Checks chains of custody too (ARC, RFC 8617). Off: the working group moves ARC to Historic.
        arc: bool = false,
    }
}

section! {
    /// DKIM signatures on mail of users and of `session.relay_networks`, with the keys of `baton domain`.
    RawSigning {
        /// Signs where the domain in `From`, or one above it, has keys.
        enabled: bool = true,
        /// Users (listeners of the kind `submission`, and whoever authenticated) send only in the name of domains whose records `baton domain check` saw in the DNS: by the return path and by `From`.
        verified_senders: bool = false,
        /// What is signed is put into 7 bits before (quoted-printable or base64), so that no relay further on has to do so and break the signature (RFC 6376 5.3). Mail that brings a signature along stays as it is.
        seven_bit: bool = true,
        /// Adds a set to the chain of custody (ARC, RFC 8617) of mail of strangers that is relayed, with the RSA key that `baton domain` holds for this domain. Needs `checks.arc`. Unset: nothing is sealed.
        seal: Option<String> = None,
    }
}
