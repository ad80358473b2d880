use baton_mail::status::Remote;
use baton_mail::{EnhancedCode, FailureClass, Phase, Reply};
use std::time::Duration;

use super::*;

const NOW: UnixMs = UnixMs(1_790_000_000_000);

fn envelope(sender: &str) -> Envelope {
    let sender = match sender {
        "" => ReversePath::Null,
        text => ReversePath::Mailbox(text.parse().unwrap()),
    };
    Envelope::new(MessageId::new(NOW), NOW, Duration::from_secs(60), sender, Origin::internal())
}

fn settings() -> OutboundSettings {
    OutboundSettings::new("relay.example.org".parse().unwrap())
}

fn status() -> Status {
    let remote = Remote::named("mx.example.net");
    let reply = Reply::new(550, EnhancedCode(5, 1, 1), "no such user \u{2014} nobody");
    Status::from_reply(Phase::Rcpt, &reply, remote)
}

fn report(envelope: &Envelope, recipient: &Recipient, header: &'static [u8]) -> Option<String> {
    report_of(Action::Failed, envelope, recipient, header)
}

fn report_of(
    action: Action,
    envelope: &Envelope,
    recipient: &Recipient,
    message: &'static [u8],
) -> Option<String> {
    let told = [Told { recipient, status: &status(), action }];
    let body = Body::from(Bytes::from_static(message));
    let report = write_report(&settings(), NOW, envelope, &told, &body)?;
    assert_eq!(report.envelope.size, report.body.len());
    assert_eq!(report.envelope.sender, ReversePath::Null, "a report is never answered");
    Some(String::from_utf8(report.body.to_bytes().to_vec()).unwrap())
}

#[test]
fn a_report_names_recipient_reason_and_peer() {
    let mut recipient = Recipient::from("user@example.net".parse::<Mailbox>().unwrap());
    recipient.original = Some("alias@example.org".parse().unwrap());
    let text = report(&envelope("sender@example.com"), &recipient, b"Subject: hello\r\n").unwrap();
    for expected in [
        "To: <sender@example.com>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "report-type=delivery-status;",
        "Reporting-MTA: dns; relay.example.org\r\n",
        "Original-Recipient: rfc822; alias@example.org\r\nFinal-Recipient: rfc822; user@example.net\r\n",
        "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.net\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user ? nobody\r\n",
        "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: hello\r\n",
        "=E2=80=94 nobody",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(text.is_ascii());
}

#[test]
fn eight_bit_headers_of_plain_mail_are_quoted() {
    let recipient = Recipient::from("user@example.net".parse::<Mailbox>().unwrap());
    let text =
        report(&envelope("sender@example.com"), &recipient, "Subject: gr\u{fc}n\r\n".as_bytes()).unwrap();
    assert!(text.contains("quoted-printable\r\n\r\nSubject: gr=C3=BCn\r\n"), "{text}");
}

#[test]
fn internationalised_mail_gets_an_internationalised_report() {
    let mut envelope = envelope("j\u{fc}rgen@example.com");
    envelope.smtputf8 = true;
    let recipient = Recipient::from("\u{e4}@example.net".parse::<Mailbox>().unwrap());
    let text = report(&envelope, &recipient, "Subject: gr\u{fc}n\r\n".as_bytes()).unwrap();
    assert!(
        text.contains(
            "message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: gr\u{fc}n\r\n"
        )
    );
    assert!(text.contains("Final-Recipient: utf-8; \u{e4}@example.net\r\n"));
}

#[test]
fn a_message_without_return_path_gets_no_report() {
    let recipient = Recipient::from("user@example.net".parse::<Mailbox>().unwrap());
    assert_eq!(report(&envelope(""), &recipient, b""), None);
}

#[test]
fn a_report_names_what_the_sender_named() {
    let mut envelope = envelope("sender@example.com");
    envelope.requests.envelope_id = Some("QQ+2B314".parse().unwrap());
    let mut recipient = Recipient::from("user@example.net".parse::<Mailbox>().unwrap());
    let original = Some("rfc822;List+2Bme@example.com".parse().unwrap());
    recipient.requests = Some(Box::new(RecipientRequests { notify: None, original }));
    let until = NOW.plus(Duration::from_secs(3_600));
    for (action, lines) in [
        (Action::Failed, "Action: failed\r\n"),
        (Action::Delivered, "Action: delivered\r\n"),
        (Action::Relayed, "Action: relayed\r\n"),
        (Action::Delayed { until }, "Action: delayed\r\n"),
    ] {
        let text = report_of(action, &envelope, &recipient, b"Subject: x\r\n\r\nbody\r\n").unwrap();
        let told = "Original-Recipient: rfc822; List+me@example.com\r\nFinal-Recipient: rfc822; user@example.net\r\n";
        for expected in
            [lines, told, "\r\n\r\nOriginal-Envelope-Id: QQ+314\r\nReporting-MTA: dns; relay.example.org\r\n"]
        {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert_eq!(text.contains("Will-Retry-Until: "), matches!(action, Action::Delayed { .. }));
        assert!(!text.contains("\r\nbody\r\n"), "only the header comes back");
    }
}

#[test]
fn the_whole_message_comes_back_when_that_was_asked_and_it_failed() {
    let mut envelope = envelope("sender@example.com");
    envelope.requests.ret = Some(Ret::Full);
    let recipient = Recipient::from("user@example.net".parse::<Mailbox>().unwrap());
    let message = b"Subject: x\r\n\r\nthe body\r\n";
    let text = report(&envelope, &recipient, message).unwrap();
    let part = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: x\r\n\r\nthe body\r\n";
    assert!(text.contains(part), "{text}");
    let text = report_of(Action::Relayed, &envelope, &recipient, message).unwrap();
    assert!(!text.contains("the body"), "RFC 3461 4.3: only of a failure");
    let text = report(&envelope, &recipient, "Subject: x\r\n\r\ngr\u{fc}n\r\n".as_bytes()).unwrap();
    assert!(text.contains("Content-Transfer-Encoding: 7bit\r\n\r\nSubject") && text.is_ascii(), "{text}");
    assert!(text.contains("Content-Transfer-Encoding: base64\r\n\r\nZ3LDvG4NCg=="), "{text}");
    let large: &'static [u8] = vec![b'x'; 50_001].leak();
    let text = report(&envelope, &recipient, large).unwrap();
    assert!(text.contains("text/rfc822-headers"), "of a large one the header");
}

#[test]
fn only_the_header_is_taken_from_a_body() {
    let pieces = ["Received: x\r\n", "Subject: y\r\n", "\r\nbody body body\r\n"];
    let body: Body = pieces.into_iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
    assert_eq!(&header_of(&body, 1_000)[..], b"Received: x\r\nSubject: y\r\n");
    assert_eq!(header_of(&body, 10).len(), 14, "cut; the report cuts it to whole lines");
}

#[test]
fn the_header_is_cut_at_a_line() {
    assert_eq!(&cut_header(&Bytes::from_static(b"A: 1\r\nB: 2\r\n"), 9)[..], b"A: 1\r\n");
}

#[test]
fn our_own_reasons_are_told_without_a_peer() {
    let status =
        Status::ours(Phase::Dns, FailureClass::BadDomain, EnhancedCode(5, 1, 2), "there is no such domain");
    assert_eq!(reason(&status), "5.1.2 there is no such domain");
}
