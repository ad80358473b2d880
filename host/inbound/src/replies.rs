//! Every reply in the relay's own words, in one place.

use baton_accounts::QuotaRefusal;
use baton_content::link::BadLink;
use baton_mail::header::TooComplex;
use baton_mail::submission::{Fault, Subject};
use baton_mail::tenant::Lack;
use baton_mail::{Domain, EnhancedCode, Mailbox, MessageId, Reply};

/// Why the relay itself refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many sessions.
    Crowded,
    /// The client connects too often.
    ConnectionRate,
    /// The relay is short of memory.
    Busy,
    /// The client talked before it was greeted (RFC 5321 4.3.1).
    EarlyTalk,
    /// The client begins too many transactions.
    MessageRate,
    /// The client names too many recipients.
    RecipientRate,
    /// Too many recipients of the client were refused.
    TooManyRefused,
    /// The queue takes no more.
    QueueFull,
    /// The relay is about to stop.
    Stopping,
    /// An answer of ours took too long.
    Late,
    /// Too many TLS handshakes are under way (RFC 3207 4).
    TlsUnavailable,
    /// The listener is for the relay networks only.
    NotForStrangers,
    /// MAIL without AUTH on a submission listener (RFC 4954 6).
    AuthenticationRequired,
    /// No plugin knows the credentials.
    BadCredentials,
    /// Nobody can judge credentials.
    AuthenticationUnavailable,
    /// One failed AUTH too many.
    TooManyFailures,
    /// A message of a mechanism does not follow its grammar.
    AuthMalformed,
    /// Somebody was wrong about this account too often.
    AccountBlocked,
    /// The account was changed since the client authenticated, such that it has to do so again.
    AccountChanged,
    /// A user's return path is not one of its own.
    SenderNotAllowed(Mailbox),
    /// `From` names somebody whose name this user may not send in.
    AuthorNotAllowed(Mailbox),
    /// The account sent all that it may.
    QuotaUsed(QuotaRefusal),
    /// One recipient more than the account may have now.
    TooManyForQuota(QuotaRefusal),
    /// The tenant may not send; why.
    TenantSuspended(String),
    /// Nothing is taken for the stream.
    StreamDisabled,
    /// All sessions together hold too much content.
    Memory,
    /// The recipient's domain is foreign and nothing allows it.
    RelayDenied,
    /// EXPN of a mailbox that stands for itself.
    NoList,
    /// The local part names a way on.
    RouteDenied,
    /// Plugins put more recipients in the place of few than the queue takes.
    TooManyRecipients,
    /// More `Received` fields than a message collects without a loop.
    Loop,
    /// The recipient's domain takes no mail, by its own word (RFC 7504 4, RFC 7505 4.1).
    NullMxRecipient(Domain),
    /// Nobody in the sender's domain could be answered (RFC 7505 4.2).
    NullMxSender(Domain),
    /// The recipient is on a suppression list; which, and why.
    Suppressed { recipient: Mailbox, why: String },
    /// Mail of the stream lacks what it must have.
    StreamLacks(Lack),
    /// Content that is not made of lines has a header that is not either.
    HeaderNotOfLines,
    /// The structure exceeds the bounds, and the policy says to refuse.
    TooComplex(TooComplex),
    /// A user sends in the name of a domain whose records nobody saw.
    DomainNotVerified(Domain),
    /// A user's message does not say in whose name it is.
    AuthorUnclear,
    /// The message is to be held for longer than the settings allow (RFC 4865 5).
    HeldTooLong,
    /// `X-Baton-Track` says nothing that could be tracked.
    TrackingUnclear,
    /// The message links to a page to unsubscribe, and there is none.
    TrackingOff,
    /// The message links to a page to unsubscribe, which is each recipient's own.
    TrackingForMany,
    /// Mail to the address for unsubscribing says nothing that this relay sealed, or no longer.
    NotUnsubscribed(BadLink),
    /// A step failed that never should; the client tries again.
    Internal,
}

/// What lets an account send in somebody's name.
const SENDER_REMEDY: &str = "a sender rule of the account, and a domain of its tenant if it has one, must allow that; ask \
                             the operator of this relay";

impl Refusal {
    /// What the client is told.
    #[allow(clippy::too_many_lines, reason = "a table: one refusal, one reply")]
    pub(crate) fn reply(&self) -> Reply {
        let (code, enhanced, text) = match self {
            Refusal::Crowded => (421, EnhancedCode(4, 7, 0), "Too many connections, try again later"),
            Refusal::ConnectionRate => (421, EnhancedCode(4, 7, 0), "Too many connections, slow down"),
            Refusal::Busy => (421, EnhancedCode(4, 3, 2), "Service is busy, try again later"),
            Refusal::EarlyTalk => (554, EnhancedCode(5, 5, 1), "Wait for the greeting before you talk"),
            Refusal::MessageRate => (450, EnhancedCode(4, 7, 1), "Too many messages, slow down"),
            Refusal::RecipientRate => (450, EnhancedCode(4, 7, 1), "Too many recipients, slow down"),
            Refusal::TooManyRefused => (421, EnhancedCode(4, 7, 1), "Too many refused recipients"),
            Refusal::QueueFull => (452, EnhancedCode(4, 3, 1), "The queue is full, try again later"),
            Refusal::Stopping => (421, EnhancedCode(4, 3, 2), "Service is stopping, try again later"),
            Refusal::Late => (421, EnhancedCode(4, 4, 5), "Service is too slow now, try again later"),
            Refusal::TlsUnavailable => (454, EnhancedCode(4, 7, 0), "TLS is not available now"),
            Refusal::NotForStrangers => {
                (554, EnhancedCode(5, 7, 1), "This listener serves its own networks only")
            }
            Refusal::AuthenticationRequired => (530, EnhancedCode(5, 7, 0), "Authentication required"),
            Refusal::BadCredentials => (535, EnhancedCode(5, 7, 8), "Authentication credentials invalid"),
            Refusal::AuthenticationUnavailable => {
                (454, EnhancedCode(4, 7, 0), "Authentication not available now")
            }
            Refusal::TooManyFailures => (421, EnhancedCode(4, 7, 0), "Too many failed authentications"),
            Refusal::AuthMalformed => {
                (501, EnhancedCode(5, 5, 2), "The message of the mechanism is not understood")
            }
            Refusal::AccountBlocked => {
                (454, EnhancedCode(4, 7, 0), "Too many failed authentications, try again later")
            }
            Refusal::AccountChanged => {
                (421, EnhancedCode(4, 7, 0), "The account was changed, authenticate again")
            }
            Refusal::SenderNotAllowed(sender) => {
                let text = format!("This account may not send as <{sender}>: {SENDER_REMEDY}");
                return Reply::new(553, EnhancedCode(5, 7, 1), text);
            }
            Refusal::AuthorNotAllowed(author) => {
                let text = format!("This account may not write <{author}> into From: {SENDER_REMEDY}");
                return Reply::new(550, EnhancedCode(5, 7, 1), text);
            }
            Refusal::QuotaUsed(used) => return Reply::new(451, EnhancedCode(4, 7, 1), used.to_string()),
            Refusal::TooManyForQuota(used) => {
                return Reply::new(452, EnhancedCode(4, 5, 3), used.to_string());
            }
            Refusal::TenantSuspended(reason) => {
                let text = format!("Sending is suspended: {reason}");
                return Reply::new(550, EnhancedCode(5, 7, 1), text);
            }
            Refusal::StreamDisabled => (550, EnhancedCode(5, 7, 1), "This stream is disabled"),
            Refusal::Memory => (452, EnhancedCode(4, 3, 1), "Too much mail at once, try again later"),
            Refusal::RelayDenied => (550, EnhancedCode(5, 7, 1), "Relaying denied"),
            Refusal::RouteDenied => {
                (550, EnhancedCode(5, 7, 1), "Relaying denied: the address names a route")
            }
            Refusal::NoList => (550, EnhancedCode(5, 2, 0), "That is a mailbox, not a list"),
            Refusal::TooManyRecipients => (452, EnhancedCode(4, 5, 3), "Too many recipients"),
            Refusal::Loop => (554, EnhancedCode(5, 4, 6), "Too many Received fields: a mail loop"),
            Refusal::NullMxRecipient(domain) => {
                let text = format!("The domain {domain} takes no mail (null MX)");
                return Reply::new(556, EnhancedCode(5, 1, 10), text);
            }
            Refusal::NullMxSender(domain) => {
                let text =
                    format!("The domain {domain} takes no mail (null MX), so nobody there can be answered");
                return Reply::new(550, EnhancedCode(5, 7, 27), text);
            }
            Refusal::Suppressed { recipient, why } => {
                let text = format!("Nothing is sent to <{recipient}>: {why}");
                return Reply::new(550, EnhancedCode(5, 7, 1), text);
            }
            Refusal::StreamLacks(lack) => {
                return Reply::new(550, EnhancedCode(5, 7, 1), lack.to_string());
            }
            Refusal::HeaderNotOfLines => {
                (550, EnhancedCode(5, 6, 11), "The header has a lone CR, a lone LF or a NUL")
            }
            Refusal::TooComplex(error) => {
                return Reply::new(554, EnhancedCode(5, 6, 0), format!("Message too complex: {error}"));
            }
            Refusal::NotUnsubscribed(bad) => {
                let what = "unsubscribing takes the subject of the mailto: address in List-Unsubscribe";
                return Reply::new(550, EnhancedCode(5, 7, 1), format!("{what}: {bad}"));
            }
            Refusal::DomainNotVerified(domain) => {
                let text = format!("The domain {domain} is not verified for sending here");
                return Reply::new(550, EnhancedCode(5, 7, 1), text);
            }
            Refusal::AuthorUnclear => {
                (550, EnhancedCode(5, 7, 1), "From must be there once and name whom this account may send as")
            }
            Refusal::HeldTooLong => {
                (501, EnhancedCode(5, 5, 4), "Mail is not held for so long here; EHLO tells how long")
            }
            Refusal::TrackingUnclear => {
                (554, EnhancedCode(5, 6, 0), "X-Baton-Track is a list of opens, clicks, unsubscribe, or none")
            }
            Refusal::TrackingOff => (
                554,
                EnhancedCode(5, 6, 0),
                "It links to the page to unsubscribe, and tracking.base_url is not set",
            ),
            Refusal::TrackingForMany => (
                554,
                EnhancedCode(5, 6, 0),
                "It links to a page to unsubscribe: send to one recipient at a time",
            ),
            Refusal::Internal => (451, EnhancedCode(4, 3, 0), "Local error, try again later"),
        };
        Reply::new(code, enhanced, text)
    }

    /// What it is about, for a program.
    pub(crate) fn fault(&self) -> Fault {
        let retry_after_s = match self {
            Refusal::QuotaUsed(used) | Refusal::TooManyForQuota(used) => used.retry_after_s(),
            _ => None,
        };
        let subject = match self {
            Refusal::SenderNotAllowed(_)
            | Refusal::AuthorNotAllowed(_)
            | Refusal::AuthorUnclear
            | Refusal::DomainNotVerified(_)
            | Refusal::NullMxSender(_) => Some(Subject::Sender),
            Refusal::TenantSuspended(_) => Some(Subject::Tenant),
            Refusal::StreamDisabled => Some(Subject::Stream),
            Refusal::HeldTooLong => Some(Subject::Times),
            Refusal::TrackingUnclear
            | Refusal::TrackingOff
            | Refusal::TrackingForMany
            | Refusal::StreamLacks(Lack::Unsubscribe { .. }) => Some(Subject::Tracking),
            Refusal::StreamLacks(Lack::PostalAddress { .. }) => Some(Subject::Text),
            Refusal::TooComplex(_) | Refusal::Loop | Refusal::HeaderNotOfLines => Some(Subject::Structure),
            _ => None,
        };
        Fault { subject, retry_after_s }
    }
}

/// The transaction begins, but with another priority than was asked for (RFC 6710 4.1).
pub(crate) fn priority_changed() -> Reply {
    Reply::new(250, EnhancedCode(2, 3, 6), "sender ok, with another priority than asked for")
}

/// What VRFY and EXPN are told: as many mailboxes as fit.
pub(crate) fn mailboxes(mailboxes: &[Mailbox]) -> Reply {
    let lines: Vec<String> = mailboxes.iter().map(|mailbox| format!("<{mailbox}>")).collect();
    Reply::from_lines(250, Some(EnhancedCode(2, 1, 5)), lines.iter().map(String::as_str))
}

/// A message that is thrown away on purpose: the client has done its part.
pub(crate) fn discarded(id: MessageId) -> Reply {
    Reply::new(250, EnhancedCode(2, 0, 0), format!("taken as {id}"))
}

/// A refusal that names the message, so that a person can ask for its story.
pub(crate) fn named(reply: &Reply, id: MessageId) -> Reply {
    let text = format!("{} ({id})", reply.text());
    Reply::from_lines(reply.code(), reply.enhanced(), text.split('\n'))
}

/// The same refusal in a code that a greeting may have: 554 or 421 (RFC 5321 4.3.2).
pub(crate) fn greeting(reply: &Reply) -> Reply {
    let code = if reply.is_permanent() { 554 } else { 421 };
    Reply::from_lines(code, reply.enhanced(), reply.text().split('\n'))
}

/// The same reply in the code that ends the session (RFC 5321 3.8).
pub(crate) fn closing(reply: &Reply) -> Reply {
    Reply::from_lines(421, reply.enhanced().filter(|code| code.0 == 4), reply.text().split('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_reply_keeps_code_and_lines() {
        let id: MessageId = "01KB3Z5Y8M2Q4R6S8T0V2W4X6Y".parse().unwrap();
        let reply = Reply::from_lines(550, Some(EnhancedCode(5, 7, 1)), ["one", "two"]);
        let named = named(&reply, id);
        assert_eq!(named.text(), "one\ntwo (01KB3Z5Y8M2Q4R6S8T0V2W4X6Y)");
        assert_eq!((named.code(), named.enhanced()), (550, Some(EnhancedCode(5, 7, 1))));
    }

    #[test]
    fn a_greeting_is_refused_in_its_own_codes() {
        assert_eq!(greeting(&Reply::new(550, EnhancedCode(5, 7, 1), "no")).code(), 554);
        assert_eq!(greeting(&Reply::new(451, EnhancedCode(4, 7, 1), "later")).code(), 421);
    }
}
