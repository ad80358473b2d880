//! Plugins that look at the message, or change it.

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;

use super::shipped;

/// A message with a text, its HTML form, and a file of that name.
fn with_file(subject: &str, filename: &str) -> Vec<u8> {
    let text = format!(
        "From: Ada <ada@sender.example>\nTo: Bo <bo@dest.example>\nSubject: {subject}\nMessage-ID: <{subject}@sender.example>\n\
         MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=outer\n\n\
         --outer\nContent-Type: multipart/alternative; boundary=inner\n\n\
         --inner\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n\
         --inner\nContent-Type: text/html; charset=utf-8\n\n<html><body>Hello</body></html>\n--inner--\n\
         --outer\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename=\"{filename}\"\n\
         Content-Transfer-Encoding: base64\n\nTVqQ\n--outer--\n"
    );
    text.replace('\n', "\r\n").into_bytes()
}

#[test]
fn attachment_policy_refuses_programs_and_marks_the_rest() -> Result<()> {
    let sink = Sink::start()?;
    let config = "\
[[plugins.attachment-policy.config.rules]]
name = 'programs'
match = { extension = ['@executable'] }
then = { reject = '550 5.7.1 attachment {filename} is not accepted' }
[[plugins.attachment-policy.config.rules]]
name = 'any'
then = { tag = { file = '{filename}' } }
";
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "attachment-policy", config)?)?;
    let mut client = relay.client()?;
    let refused =
        client.send("a@sender.example", &["b@dest.example"], &with_file("exe", "Invoice.pdf.EXE"))?;
    assert_eq!(refused.code, 550, "{refused}");
    assert!(refused.text().contains("5.7.1 attachment Invoice.pdf.EXE is not accepted"), "{refused}");
    let taken = client.send("a@sender.example", &["b@dest.example"], &with_file("pdf", "plan.pdf"))?;
    let id = taken.message_id()?;
    relay.wait_for_event(&id, "delivered")?;
    assert!(relay.said(&["explain", &id])?.contains("plan.pdf"));
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("no-file"))?;
    Ok(())
}

#[test]
fn banner_is_added_to_text_and_html_and_to_nothing_signed() -> Result<()> {
    let sink = Sink::start()?;
    let config = "grants.edit = ['body']\nconfig = { text = 'Example Ltd, Büro 7', clients = 'all' }";
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "banner", config)?)?;
    relay.send("a@sender.example", &["b@dest.example"], &with_file("footer", "plan.pdf"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?.text();
    let plain = "Gr=C3=BC=C3=9Fe\r\n--=20\r\nExample Ltd, B=C3=BCro 7\r\n--inner\r\n";
    assert!(received.contains(plain), "{received}");
    let html =
        "<html><body>Hello\r\n<div><hr>Example Ltd, B&#252;ro 7</div>\r\n</body></html>\r\n--inner--\r\n";
    assert!(received.contains(html), "{received}");
    assert!(received.ends_with("\r\n\r\nTVqQ\r\n--outer--\r\n"), "{received}");
    let signed = "From: a@sender.example\r\nSubject: signed\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; \
                  boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n\
                  Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";
    relay.send("a@sender.example", &["b@dest.example"], signed.as_bytes())?;
    let received = sink.wait_for(2)?.pop().context("a message")?.text();
    let (_, body) = signed.split_once("\r\n\r\n").context("a body")?;
    assert!(received.ends_with(body), "{received}");
    Ok(())
}

#[test]
fn header_privacy_removes_what_tells_too_much() -> Result<()> {
    let sink = Sink::start()?;
    let config = "grants.edit = ['headers', 'trace']\nconfig = { clients = 'all', mask = ['Received'] }";
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "header-privacy", config)?)?;
    let telling = [
        b"Received: from mx.out.example ([192.0.2.77]) by gate.example; Thu, 1 Jan 2026 10:00:02 +0000\r\n\
          User-Agent: Mailer 7\r\n\
          Received: from pc7 ([10.1.2.3]) by mail.example with ESMTPSA id 1; Thu, 1 Jan 2026 10:00:01 +0000\r\n\
          X-Originating-IP: [10.1.2.3]\r\n"
            .to_vec(),
        message::plain("private"),
    ]
    .concat();
    relay.send("a@sender.example", &["b@dest.example"], &telling)?;
    let received = sink.wait_for(1)?.pop().context("a message")?.text();
    assert!(!received.contains("10.1.2.3") && !received.contains("Mailer 7"), "{received}");
    assert!(received.contains("from mx.out.example ([192.0.2.0]) by gate.example"), "{received}");
    let names: Vec<_> = message::headers(&received).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.get(..3).unwrap_or_default(), ["Received", "Received", "From"], "{received}");
    Ok(())
}

#[test]
fn otp_priority_raises_codes_and_nothing_else() -> Result<()> {
    let sink = Sink::start()?;
    let config = "config.stream = 'otp'";
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "otp-priority", config)?)?;
    let mail = |subject: &str, text: &str| {
        format!("From: a@sender.example\r\nSubject: {subject}\r\n\r\n{text}\r\n").into_bytes()
    };
    let code = mail("Your verification code", "Your verification code is 482913. It expires in 10 minutes.");
    let code = relay.send("a@sender.example", &["b@dest.example"], &code)?;
    let order = mail("Your order 48291377 has shipped", "Order number 48291377, tracking number 992817.");
    let order = relay.send("a@sender.example", &["b@dest.example"], &order)?;
    relay.wait_for_event(&code, "delivered")?;
    relay.wait_for_event(&order, "delivered")?;
    let told = relay.said(&["explain", &code])?;
    assert!(told.contains("priority") && told.contains("otp") && !told.contains("482913"), "{told}");
    let told = relay.said(&["explain", &order])?;
    assert!(!told.contains("priority"), "{told}");
    Ok(())
}

#[test]
fn spf_dmarc_policy_does_as_the_domain_says() -> Result<()> {
    let sink = Sink::start()?;
    let config = "config = { trusted = ['mx.us.example'], from_networks = ['127.0.0.0/8'] }";
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "spf-dmarc-policy", config)?)?;
    let mail = |host: &str, policy: &str| {
        let field =
            format!("Authentication-Results: {host}; dmarc=fail (p={policy}) header.from=bank.example\r\n");
        [field.into_bytes(), message::plain("bank")].concat()
    };
    let mut client = relay.client()?;
    let refused = client.send("a@bank.example", &["b@dest.example"], &mail("mx.us.example", "REJECT"))?;
    assert!(refused.code == 550 && refused.text().contains("5.7.26"), "{refused}");
    let stranger = client.send("a@bank.example", &["b@dest.example"], &mail("mx.evil.example", "REJECT"))?;
    assert_eq!(stranger.code, 250, "{stranger}");
    let held = client.send("a@bank.example", &["b@dest.example"], &mail("mx.us.example", "QUARANTINE"))?;
    let held = relay.wait_for_event(&held.message_id()?, "held")?;
    assert!(held.to_string().contains("bank.example"), "{held}");
    Ok(())
}
