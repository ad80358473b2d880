//! `[bounces]` and `[complaints]`: what comes back.

use crate::settings::field::section;

section! {
    /// Reports of others that mail could not be delivered after all. They are read at these addresses, and at return paths that name a recipient (`bounce.verp_domains`); the domains must be among `local_domains`. What they are about is found by our own name of the message in the part that came back, by its Message-ID, or by recipient and time; the failure stands in the message's story and counts for `[suppression]`. Reports about no message of ours are counted (`baton_session_returned`), and nothing follows from them. The mail itself goes on as all mail does; a route to a next hop with `discard` ends it.
    RawBounces {
        /// The mailboxes for bounces.
        addresses: Vec<String> = Vec::new(),
        /// A report that names no message may be about the last one to its recipient within so many days. Since anybody could write such a report, it counts as a failure that may pass.
        attach_days: u64 = 7,
    }
}

section! {
    /// Feedback of recipients who call mail unwanted (ARF, RFC 5965). It is found what it is about as for bounces; the complaint stands in the message's story, makes an entry of the suppression list and slows down warm-up.
    RawComplaints {
        /// The mailboxes for feedback, which are registered with providers.
        addresses: Vec<String> = Vec::new(),
    }
}
