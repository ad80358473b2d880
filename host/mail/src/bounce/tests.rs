//! What comes back in the real world, against what Sisimai finds in it.

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;

use super::*;
use crate::classify::tests::same_as;

/// Real bounces, feedback and absences; see `corpus.tsv` for where they are from.
const CORPUS: &[u8] = include_bytes!("corpus.gz");
/// What Sisimai finds.
const FOUND: &str = include_str!("corpus.tsv");

/// The messages by their names, with the line ends that mail has.
fn messages() -> BTreeMap<String, Content> {
    let mut octets = Vec::new();
    GzDecoder::new(CORPUS).read_to_end(&mut octets).unwrap();
    let mut rest = octets.as_slice();
    let mut messages = BTreeMap::new();
    while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        let (name, len) = line.rsplit_once(' ').unwrap();
        let (message, behind) = rest[end + 1..].split_at(len.parse().unwrap());
        let mut canonical = Vec::with_capacity(message.len() * 2);
        for line in message.split_inclusive(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            canonical.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            canonical.extend_from_slice(b"\r\n");
        }
        messages.insert(name.to_owned(), Content::split(Bytes::from(canonical)));
        rest = behind;
    }
    messages
}

fn read_one(content: &Content) -> Incoming {
    read(content, &ReversePath::Null, &MimeLimits::default(), &Classes::default()).unwrap()
}

/// Files that nobody looked at while the first rules were written: every fourth. Later ones saw all.
fn is_unseen(name: &str) -> bool {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let number: u32 = name.rsplit(['-', '.']).nth(1).and_then(|part| part.parse().ok()).unwrap_or(0);
    !digits.is_empty() && number % 4 == 1
}

#[derive(Default)]
struct Score {
    facts: u32,
    reasons: u32,
    digits: u32,
}

impl Score {
    fn share(&self, part: u32) -> f64 {
        f64::from(part) * 100.0 / f64::from(self.facts.max(1))
    }

    fn with(&self, other: &Score) -> Score {
        Score {
            facts: self.facts + other.facts,
            reasons: self.reasons + other.reasons,
            digits: self.digits + other.digits,
        }
    }

    fn reaches(&self, reasons: f64, digits: f64) -> bool {
        self.share(self.reasons) >= reasons && self.share(self.digits) >= digits
    }
}

/// Sisimai's reason for nine of ten and its class digit for 98 of 100; of those that the first rules did not see, little less.
#[test]
fn real_bounces_are_read_as_sisimai_reads_them() {
    let messages = messages();
    let mut scores = [Score::default(), Score::default()];
    let mut others = Vec::new();
    let mut feedback = (0, 0);
    for line in FOUND.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, recipient, reason, digit] = fields[..] else { panic!("{line}") };
        let incoming = read_one(&messages[name]);
        match (reason, &incoming) {
            ("-", _) => continue,
            ("feedback", incoming) => {
                feedback.0 += 1;
                feedback.1 += u32::from(matches!(incoming, Incoming::Feedback(_)));
                continue;
            }
            _ => {}
        }
        let copies = if let Incoming::Bounce(bounce) = &incoming { bounce.copies.as_slice() } else { &[] };
        let is_its = |copy: &&ReturnedCopy| {
            let named = [&copy.recipient, &copy.original].into_iter().flatten();
            named.into_iter().any(|one| one.to_string().eq_ignore_ascii_case(recipient))
        };
        let found = copies.iter().find(is_its).or(match copies {
            [only] => Some(only),
            _ => None,
        });
        let score = &mut scores[usize::from(is_unseen(name))];
        score.facts += 1;
        let Some(copy) = found else {
            others.push(format!("{name}: {recipient} is not found, {} is", incoming.kind()));
            continue;
        };
        let agrees = match reason {
            "delivered" => matches!(copy.action, Action::Delivered | Action::Relayed | Action::Expanded),
            "undefined" => true,
            reason => same_as(reason).contains(&copy.status.class),
        };
        score.reasons += u32::from(agrees);
        let has_digit = digit == "-" || copy.status.enhanced.0.to_string() == digit;
        score.digits += u32::from(has_digit);
        if !has_digit {
            others
                .push(format!("{name}: {} instead of {digit}.: {}", copy.status.enhanced, copy.status.text));
        }
        if !agrees {
            others.push(format!("{name}: {} instead of {reason}: {}", copy.status.class, copy.status.text));
        }
    }
    let [seen, unseen] = &scores;
    let told = format!(
        "seen while writing: {} facts, reason {:.1} %, digit {:.1} %; not seen: {} facts, reason {:.1} %, digit {:.1} %; \
         feedback {} of {}",
        seen.facts,
        seen.share(seen.reasons),
        seen.share(seen.digits),
        unseen.facts,
        unseen.share(unseen.reasons),
        unseen.share(unseen.digits),
        feedback.1,
        feedback.0
    );
    println!("{told}\n{}", others.join("\n"));
    assert!(seen.with(unseen).reaches(90.0, 98.0), "{told}\n{}", others.join("\n"));
    assert!(unseen.reaches(92.0, 98.0), "{told}\n{}", others.join("\n"));
    assert!(feedback.1 * 10 >= feedback.0 * 9, "{told}");
}

/// No absence is a bounce.
#[test]
fn answers_that_no_person_wrote_are_no_bounces() {
    for (name, content) in messages()
        .iter()
        .filter(|(name, _)| name.starts_with("bsd/rfc3834") || name.starts_with("not/is-not"))
    {
        let incoming = read_one(content);
        assert!(matches!(incoming, Incoming::AutoReply(_) | Incoming::Other), "{name}: {incoming:?}");
    }
}

/// Cut anywhere, a bounce is still read without harm.
#[test]
fn whatever_is_left_of_a_bounce_is_read() {
    for (name, content) in messages().iter().take(40) {
        let whole = [&content.header[..], &content.rest[..]].concat();
        for end in (0..whole.len()).step_by(257) {
            let cut = Content::split(Bytes::copy_from_slice(&whole[..end]));
            let incoming = read_one(&cut);
            assert!(!incoming.kind().is_empty(), "{name}");
        }
    }
}

fn read_text(text: &str) -> Incoming {
    read_one(&Content::split(Bytes::from(text.replace('\n', "\r\n"))))
}

/// Amazon's notification with such a body.
fn notified(body: &str) -> Incoming {
    read_text(&format!(
        "From: <no-reply@sns.amazonaws.com>\nSubject: AWS Notification Message\n\n{body}\n\n--\nBye.\n"
    ))
}

#[test]
fn a_notification_of_late_mail_names_the_message() {
    let incoming = notified(
        r#"{"eventType":"DeliveryDelay","mail":{"messageId":"0101-x","commonHeaders":{"messageId":"<17@acme.example>"}},"deliveryDelay":{"delayType":"MailboxFull","delayedRecipients":[{"emailAddress":"ann@b.example","status":"4.2.2"}]}}"#,
    );
    let Incoming::Bounce(Bounce { copies, clues }) = incoming else { panic!("{incoming:?}") };
    assert_eq!(clues.message_ids, ["17@acme.example"]);
    assert_eq!(copies.len(), 1);
    let ReturnedCopy { recipient, action, status, .. } = &copies[0];
    assert_eq!(recipient.as_ref().map(ToString::to_string).as_deref(), Some("ann@b.example"));
    assert_eq!((*action, status.enhanced.to_string().as_str()), (Action::Delayed, "4.2.2"));
    assert_eq!(status.class, crate::FailureClass::Quota);
}

#[test]
fn a_passing_bounce_without_a_status_is_none_for_good() {
    let incoming = notified(
        r#"{"notificationType":"Bounce","bounce":{"bounceType":"Transient","bounceSubType":"General","bouncedRecipients":[{"emailAddress":"ann@b.example"}]}}"#,
    );
    let Incoming::Bounce(Bounce { copies, .. }) = incoming else { panic!("{incoming:?}") };
    assert_eq!((copies[0].action, copies[0].status.enhanced.0), (Action::Failed, 4));
    assert_eq!(copies[0].status.text, "Transient General");
    let unknown = notified(r#"{"notificationType":"Open","mail":{}}"#);
    assert!(!matches!(unknown, Incoming::Feedback(_)), "{unknown:?}");
}

/// Whom a message was for that names several, its reporter would have to say.
#[test]
fn only_the_one_recipient_of_what_came_back_is_taken_from_it() {
    let report = |to: &str| {
        read_text(&format!(
            "From: MAILER-DAEMON@b.example\nTo: us@a.example\nSubject: Returned mail: no space\n\nIt could not be delivered, sorry.\n\n\
             --- Original message follows.\n\nReceived: from a by b\nFrom: us@a.example\n{to}\n\nTo: nobody@c.example\n"
        ))
    };
    for (to, taken) in [
        ("To: Ann\n <ann@b.example>", Some("ann@b.example")),
        ("To: ann@b.example, bo@b.example", None),
        ("To: ann@b.example\nCc: bo@b.example", None),
    ] {
        let incoming = report(to);
        let Incoming::Bounce(Bounce { copies, .. }) = incoming else { panic!("{incoming:?}") };
        let recipients: Vec<_> =
            copies.iter().map(|copy| copy.recipient.as_ref().map(ToString::to_string)).collect();
        assert_eq!(recipients, [taken.map(str::to_owned)]);
    }
}
