//! `[suppression]`: to whom nothing is sent.

use crate::settings::field::section;

section! {
    /// To whom nothing is sent: lists of everybody, of a tenant, of a stream, kept with `baton suppression` and by these rules. They are asked at RCPT for clients that send out through this relay, and before each attempt; never about domains of `local_domains`, nor about reports.
    RawSuppression {
        /// What RCPT is told of a recipient on a list: `refuse` is 550 with list and reason; `accept` takes the message, and the copy ends before its first attempt.
        at_rcpt: String = "refuse".to_owned(),
        /// Whose failures and complaints make entries: `tenants` is mail of a tenant, `all` is all mail that goes out, `off` is none's.
        automatic: String = "tenants".to_owned(),
        /// How far an entry by a bounce reaches: `stream`, `tenant` or `global`. Mail that is no tenant's makes global ones.
        bounce_scope: String = "tenant".to_owned(),
        /// How far an entry by a complaint reaches: `stream`, `tenant` or `global`.
        complaint_scope: String = "tenant".to_owned(),
        /// Failures for good (5xx) of these classes make an entry at once. What says something about us or the message never does: unknown, content, too-large, policy, block-source, rate, tls, protocol, loop, expired.
        hard_classes: Vec<String> = vec!["bad-mailbox".to_owned()],
        /// Failures of these classes are counted, and those of hard_classes that were not for good; of a message that came too late, what its last attempt met.
        soft_classes: Vec<String> = vec!["quota".to_owned(), "bad-domain".to_owned()],
        /// So many counted failures make an entry, unless mail arrives in between.
        soft_bounces: u32 = 3,
        /// When they come within so many days.
        soft_days: u64 = 14,
        /// Streams that bring what the recipient asked for, such as codes: unsubscriptions from a whole tenant, or from everybody, do not stop them. Those from the stream itself do, and every other reason too.
        ignore_unsubscribe_streams: Vec<String> = Vec::new(),
        /// For how long entries hold, by reason, in days.
        days: RawSuppressionDays = RawSuppressionDays::default(),
    }
}

section! {
    /// For how long entries hold that are made from now on, in days; 0 is for ever.
    RawSuppressionDays {
        /// The mailbox is not there. A year later it may be somebody else's.
        hard_bounce: u64 = 365,
        /// Failures that may pass came too often.
        soft_bounce: u64 = 30,
        /// The recipient called mail unwanted.
        complaint: u64 = 0,
        /// The recipient wants no more.
        unsubscribe: u64 = 0,
        /// Somebody said so.
        manual: u64 = 0,
        /// Nobody reads it but those who look for senders without consent.
        spam_trap: u64 = 0,
    }
}
