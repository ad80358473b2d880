//! What kind of failure a reply means, by its codes alone. Finer rules, by the words, are for bounce plugins.

use baton_mail::{FailureClass, Phase, Status};

use FailureClass::*;

/// Subject and detail of an enhanced code (RFC 3463, and the registry that grew from it) and what they mean.
/// A detail of `None` stands for all others of the subject.
const BY_ENHANCED_CODE: &[(u16, Option<u16>, FailureClass)] = &[
    (1, Some(1), BadMailbox),
    (1, Some(2), BadDomain),
    (1, Some(3), BadMailbox),
    (1, Some(6), BadMailbox),
    (1, Some(10), BadDomain),
    (2, Some(1), BadMailbox),
    (2, Some(2), Quota),
    (2, Some(3), TooLarge),
    (3, Some(1), Quota),
    (3, Some(2), Network),
    (3, Some(4), TooLarge),
    (4, Some(1), Network),
    (4, Some(2), Network),
    (4, Some(3), Dns),
    (4, Some(4), Dns),
    (4, Some(5), Rate),
    (4, Some(6), Loop),
    (4, Some(7), Expired),
    (5, Some(3), Rate),
    (5, None, Protocol),
    (6, Some(7), Protocol),
    (6, None, Content),
    (7, Some(4), Protocol),
    (7, Some(10), Tls),
    (7, Some(11), Tls),
    (7, Some(25), BlockSource),
    (7, Some(28), Rate),
    (7, None, Policy),
];

/// The reply code, in which phase it came (`None`: any), and what it means without a telling enhanced code.
const BY_CODE: &[(u16, Option<Phase>, FailureClass)] = &[
    (421, Some(Phase::Connect), Rate),
    (450, Some(Phase::Rcpt), Greylist),
    (452, Some(Phase::Rcpt), Quota),
    (521, None, BadDomain),
    (550, Some(Phase::Rcpt), BadMailbox),
    (551, Some(Phase::Rcpt), BadMailbox),
    (553, Some(Phase::Rcpt), BadMailbox),
    (552, Some(Phase::Mail), TooLarge),
    (552, Some(Phase::Data), TooLarge),
    (552, Some(Phase::Rcpt), Quota),
    (554, Some(Phase::Connect), BlockSource),
    (554, Some(Phase::Data), Content),
    (556, None, BadDomain),
    (500, None, Protocol),
    (501, None, Protocol),
    (502, None, Protocol),
    (503, None, Protocol),
    (504, None, Protocol),
    (555, None, Protocol),
];

/// Gives a failure that came from a peer its class. What the relay itself found out keeps the class it has.
pub(crate) fn classify(status: &mut Status) {
    if status.class == Unknown
        && let Some(code) = status.code
    {
        status.class = class_of(status, code);
    }
}

fn class_of(status: &Status, code: u16) -> FailureClass {
    let (subject, detail) = (status.enhanced.1, status.enhanced.2);
    let by_enhanced = BY_ENHANCED_CODE
        .iter()
        .find(|row| row.0 == subject && row.1.is_none_or(|wanted| wanted == detail))
        .map(|row| row.2);
    let by_code = || {
        BY_CODE
            .iter()
            .find(|row| row.0 == code && row.1.is_none_or(|phase| phase == status.phase))
            .map(|row| row.2)
    };
    by_enhanced.or_else(by_code).unwrap_or(Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_mail::status::Remote;
    use baton_mail::{EnhancedCode, Reply};

    fn class(phase: Phase, reply: &Reply) -> FailureClass {
        let remote = Remote::named("mx.example.org");
        let mut status = Status::from_reply(phase, reply, remote);
        classify(&mut status);
        status.class
    }

    #[test]
    fn enhanced_codes_come_before_plain_ones() {
        assert_eq!(class(Phase::Rcpt, &Reply::new(550, EnhancedCode(5, 2, 2), "full")), Quota);
        assert_eq!(class(Phase::Rcpt, &Reply::new(550, EnhancedCode(5, 7, 1), "no")), Policy);
        assert_eq!(class(Phase::Rcpt, &Reply::bare(550, "no such user")), BadMailbox);
        assert_eq!(class(Phase::Data, &Reply::bare(554, "spam")), Content);
        assert_eq!(class(Phase::Data, &Reply::bare(451, "later")), Unknown);
        assert_eq!(class(Phase::Rcpt, &Reply::bare(450, "later")), Greylist);
    }

    #[test]
    fn our_own_findings_are_kept() {
        let mut status = Status::ours(Phase::Connect, Network, EnhancedCode(4, 4, 1), "no connection");
        classify(&mut status);
        assert_eq!(status.class, Network);
    }
}
