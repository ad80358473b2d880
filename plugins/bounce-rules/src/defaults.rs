//! Well-known replies of remote hosts, as a table.
//!
//! The words are what mail hosts are seen to say, in lower case. They come before the enhanced codes, because hosts
//! choose words with more care than codes. Most rows only name the class and leave the rest to the relay.

use baton_sdk::prelude::*;

use crate::rule::{Failed, Verdict};

/// One row: any of the phrases, a class, and what follows.
struct Row {
    name: &'static str,
    only: Only,
    phrases: &'static [&'static str],
    class: &'static str,
    follows: Follows,
}

/// Which failures a row is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    Any,
    Permanent,
    Transient,
}

/// What a row makes of it.
#[derive(Clone, Copy)]
enum Follows {
    /// Only the class.
    Class,
    /// Another attempt after so many seconds, for the first attempts.
    Retry { after_s: u64, attempts_max: u32 },
}

/// Greylisting lasts five minutes nearly everywhere; some hosts wrongly answer it with a 5xx code.
const GREYLIST: Follows = Follows::Retry { after_s: 360, attempts_max: 4 };
/// Limits by the hour are the common ones.
const RATE: Follows = Follows::Retry { after_s: 1_800, attempts_max: 8 };

const fn row(
    name: &'static str,
    only: Only,
    class: &'static str,
    follows: Follows,
    phrases: &'static [&'static str],
) -> Row {
    Row { name, only, phrases, class, follows }
}

const ROWS: &[Row] = &[
    row(
        "greylist",
        Only::Any,
        "greylist",
        GREYLIST,
        &["greylist", "graylist", "grey-list", "gray-list", "grey listed"],
    ),
    row(
        "mailbox-full",
        Only::Any,
        "quota",
        Follows::Class,
        &[
            "mailbox full",
            "mailbox is full",
            "mailbox for user is full",
            "over quota",
            "overquota",
            "quota exceeded",
            "exceeded storage",
            "exceeded his/her quota",
            "out of storage space",
            "inbox is full",
            "storage quota",
        ],
    ),
    row(
        "loop",
        Only::Any,
        "loop",
        Follows::Class,
        &["too many hops", "hop count exceeded", "mail loop", "routing loop", "loops back to myself"],
    ),
    row(
        "too-large",
        Only::Any,
        "too-large",
        Follows::Class,
        &[
            "message too large",
            "message too big",
            "message size exceeds",
            "exceeds size limit",
            "exceeded the size limit",
            "exceeds the maximum size",
            "maximum message size",
            "message length exceeds",
        ],
    ),
    row(
        "unexpected-volume",
        Only::Transient,
        "rate",
        RATE,
        &[
            "unexpected volume",
            "user complaints",
            "unusual rate of",
            "rate limited",
            "rate limit",
            "rate-limit",
            "throttl",
            "too many messages",
            "too many connections",
            "too many concurrent",
            "too much mail",
            "receiving mail at a rate",
            "reached its connection limit",
            "messages too fast",
            "slow down",
        ],
    ),
    row(
        "rate-refused",
        Only::Permanent,
        "rate",
        Follows::Class,
        &["rate limit", "rate-limit", "too many messages", "too much mail"],
    ),
    row(
        "blocklist",
        Only::Any,
        "block-source",
        Follows::Class,
        &[
            "spamhaus",
            "spamcop",
            "barracudacentral",
            "senderscore",
            "blocklist",
            "block list",
            "blacklist",
            "black list",
            "dnsbl",
            " rbl",
            "blocked using",
            "banned sending ip",
            "ip address is blocked",
            "poor reputation",
            "bad reputation",
            "low reputation",
            "ip reputation",
            "permanently deferred",
            "no reverse dns",
            "ptr record",
            "reverse dns",
            "unsolicited mail originating from your ip",
        ],
    ),
    row(
        "unauthenticated",
        Only::Any,
        "policy",
        Follows::Class,
        &[
            "dmarc",
            "spf check failed",
            "spf validation failed",
            "spf fail",
            "dkim",
            "unauthenticated email",
            "not authenticated",
            "sender policy framework",
        ],
    ),
    row(
        "no-such-user",
        Only::Permanent,
        "bad-mailbox",
        Follows::Class,
        &[
            "user unknown",
            "unknown user",
            "no such user",
            "no such mailbox",
            "no such recipient",
            "no such address",
            "does not exist",
            "doesn't exist",
            "user not found",
            "recipient not found",
            "mailbox not found",
            "mailbox unavailable",
            "mailbox disabled",
            "account disabled",
            "account has been disabled",
            "account is disabled",
            "account that you tried to reach is disabled",
            "invalid recipient",
            "invalid mailbox",
            "unknown recipient",
            "recipient unknown",
            "recipient address rejected",
            "address unknown",
            "unrouteable address",
            "not a valid mailbox",
            "no mailbox here",
            "doesn't have a",
            "adrnotfound",
            "recipnotfound",
            "recipientnotfound",
        ],
    ),
    row(
        "no-such-domain",
        Only::Permanent,
        "bad-domain",
        Follows::Class,
        &[
            "domain not found",
            "unknown domain",
            "no such domain",
            "host unknown",
            "domain is not hosted",
            "does not accept mail",
        ],
    ),
    row(
        "relay-denied",
        Only::Permanent,
        "policy",
        Follows::Class,
        &[
            "relay access denied",
            "relaying denied",
            "unable to relay",
            "relay not permitted",
            "relaying not allowed",
            "not permitted to relay",
        ],
    ),
    row(
        "content",
        Only::Any,
        "content",
        Follows::Class,
        &[
            "spam",
            "virus",
            "malware",
            "phish",
            "content rejected",
            "message content",
            "message rejected due to content",
            "attachment",
            "blocked for abuse",
            "unsolicited",
            "bulk mail",
        ],
    ),
    row(
        "tls-required",
        Only::Any,
        "tls",
        Follows::Class,
        &["must issue a starttls", "starttls first", "encryption required", "tls required", "requires tls"],
    ),
    row(
        "policy",
        Only::Any,
        "policy",
        Follows::Class,
        &["policy", "access denied", "not authorized", "not allowed to send"],
    ),
];

/// Subjects and details whose meaning RFC 3463 and its registry fix, for replies whose words say nothing.
const CODES: &[((u16, u16), &str)] = &[
    ((1, 0), "bad-mailbox"),
    ((1, 1), "bad-mailbox"),
    ((1, 2), "bad-domain"),
    ((1, 3), "bad-mailbox"),
    ((1, 6), "bad-mailbox"),
    ((1, 10), "bad-domain"),
    ((2, 1), "bad-mailbox"),
    ((2, 2), "quota"),
    ((2, 3), "too-large"),
    ((3, 4), "too-large"),
    ((4, 1), "network"),
    ((4, 2), "network"),
    ((4, 3), "dns"),
    ((4, 4), "dns"),
    ((4, 5), "rate"),
    ((4, 6), "loop"),
    ((4, 7), "expired"),
    ((5, 2), "protocol"),
    ((5, 3), "rate"),
    ((5, 4), "protocol"),
    ((6, 0), "content"),
    ((6, 1), "content"),
    ((6, 3), "protocol"),
    ((6, 7), "protocol"),
    ((7, 10), "tls"),
    ((7, 23), "policy"),
    ((7, 25), "block-source"),
    ((7, 26), "policy"),
    ((7, 27), "bad-domain"),
    ((7, 28), "rate"),
];

/// What the table says about a reply; nothing when no remote host spoke.
pub(crate) fn verdict(failed: &Failed) -> Option<Verdict<'static>> {
    failed.code?;
    let matching = |row: &&Row| {
        let meant = match row.only {
            Only::Any => true,
            Only::Permanent => failed.permanent,
            Only::Transient => !failed.permanent,
        };
        meant && row.phrases.iter().any(|phrase| failed.lower.contains(phrase))
    };
    if let Some(row) = ROWS.iter().find(matching) {
        let decision = match row.follows {
            Follows::Retry { after_s, attempts_max } if failed.attempts <= attempts_max => {
                BounceDecision::Retry(after_s * 1_000)
            }
            _ => BounceDecision::Next,
        };
        return Some(Verdict { rule: row.name, class: Some(row.class), decision });
    }
    let (_, subject, detail) = failed.enhanced?;
    let (_, class) = CODES.iter().find(|(code, _)| *code == (subject, detail))?;
    Some(Verdict { rule: "enhanced-code", class: Some(class), decision: BounceDecision::Next })
}
