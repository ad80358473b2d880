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
    let failed = [FailedRecipient { recipient, status: &status() }];
    let report = write_report(&settings(), NOW, envelope, &failed, &Bytes::from_static(header))?;
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
fn the_header_is_cut_at_a_line() {
    assert_eq!(&cut_header(&Bytes::from_static(b"A: 1\r\nB: 2\r\n"), 9)[..], b"A: 1\r\n");
}

#[test]
fn our_own_reasons_are_told_without_a_peer() {
    let status =
        Status::ours(Phase::Dns, FailureClass::BadDomain, EnhancedCode(5, 1, 2), "there is no such domain");
    assert_eq!(reason(&status), "5.1.2 there is no such domain");
}
