use super::*;
use baton_sdk::testing::{Edit, TestHost, Value, json};

fn host(config: Value, message: &str) -> TestHost {
    let mut all =
        json!({ "text": "Gr\u{fc}\u{df}e von Example\nHRB 1234", "text_ascii": "Example", "clients": "all" });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    TestHost::new().config(all).message(message).sender("ann@example.org").recipient("b@dest.example")
}

/// The new body; none when the message stays.
fn body(host: &TestHost) -> Option<String> {
    let plugin: Banner = host.plugin().unwrap();
    assert_eq!(plugin.on_data(&host.context()).unwrap(), DataDecision::Next);
    match host.edits().as_slice() {
        [] => None,
        [Edit::Body(body)] => Some(String::from_utf8_lossy(body).into_owned()),
        other => panic!("{other:?}"),
    }
}

fn text(config: Value, header: &str, content: &str) -> Option<String> {
    body(&host(config, &format!("Subject: x\n{header}\n{content}")))
}

#[test]
fn plain_text_keeps_charset_and_encoding() {
    let utf8 = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n";
    assert_eq!(
        text(json!({}), utf8, "hello\n").unwrap(),
        "hello\r\n-- \r\nGr\u{fc}\u{df}e von Example\r\nHRB 1234\r\n"
    );
    let quoted =
        "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n";
    assert_eq!(
        text(json!({}), quoted, "h=E9llo").unwrap(),
        "h=E9llo\r\n--=20\r\nGr=FC=DFe von Example\r\nHRB 1234\r\n"
    );
    let base64 = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n";
    let encoded = text(json!({ "text": "F" }), base64, "aGVsbG8=\n").unwrap();
    assert_eq!(encoded, "aGVsbG8NCi0tIA0KRg0K\r\n", "hello, separator, F");
}

#[test]
fn where_the_charset_does_not_hold_it_the_plain_form_is_taken() {
    assert_eq!(text(json!({}), "", "hello\n").unwrap(), "hello\r\n-- \r\nExample\r\n");
    assert_eq!(text(json!({ "text_ascii": null }), "", "hello\n"), None);
    let utf16 = "Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n";
    assert_eq!(text(json!({}), utf16, "AGgAaQ==\n"), None);
    let utf7bit = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n";
    assert_eq!(text(json!({}), utf7bit, "hello\n").unwrap(), "hello\r\n-- \r\nExample\r\n");
}

#[test]
fn html_gets_it_before_its_end() {
    let html = "Content-Type: text/html; charset=utf-8\n";
    let footer = "<div><hr>Gr&#252;&#223;e von Example<br>\r\nHRB 1234</div>";
    assert_eq!(
        text(json!({}), html, "<body>hello</BODY>\n").unwrap(),
        format!("<body>hello\r\n{footer}\r\n</BODY>\r\n")
    );
    assert_eq!(text(json!({}), html, "hello\n").unwrap(), format!("hello\r\n{footer}\r\n"));
    assert_eq!(
        text(json!({ "html": "<p>\u{20ac}</p>" }), html, "hello\n").unwrap(),
        "hello\r\n<p>&#8364;</p>\r\n"
    );
}

#[test]
fn both_texts_of_a_message_get_it_and_the_rest_is_copied() {
    let changed = body(&host(json!({}), include_str!("../fixtures/alternative.eml"))).unwrap();
    let expected = include_str!("../fixtures/alternative.expected").replace('\n', "\r\n");
    assert_eq!(changed, expected);
}

#[test]
fn it_is_added_once() {
    let first = text(json!({}), "", "hello\n").unwrap();
    assert_eq!(text(json!({}), "", &first), None);
    let quoted = format!("> {}", first.replace("\r\n", "\n> "));
    assert!(text(json!({}), "", &quoted).is_some(), "what is quoted is not the footer of this message");
    let html = "Content-Type: text/html\n";
    let first = text(json!({}), html, "<body>hello</body>\n").unwrap();
    assert_eq!(text(json!({}), html, &first), None);
}

#[test]
fn what_is_signed_or_encrypted_stays() {
    let signed = "Content-Type: multipart/signed; boundary=b\n";
    assert_eq!(
        text(json!({}), signed, "--b\n\nhello\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n"),
        None
    );
    assert_eq!(text(json!({}), "Content-Type: application/pkcs7-mime\n", "x\n"), None);
    assert_eq!(text(json!({}), "", "-----BEGIN PGP SIGNED MESSAGE-----\n\nhello\n"), None);
    assert_eq!(text(json!({}), "DKIM-Signature: v=1\n", "hello\n"), None);
    assert!(text(json!({ "even_if_dkim_signed": true }), "DKIM-Signature: v=1\n", "hello\n").is_some());
    assert_eq!(body(&host(json!({}), "Subject: x\n\nhello\n").too_complex("deep")), None);
    let report = "Content-Type: multipart/report; boundary=b\n";
    assert_eq!(text(json!({}), report, "--b\n\nhello\n--b--\n"), None);
}

#[test]
fn only_what_is_meant_gets_it() {
    let mail = "Subject: x\n\nhello\n";
    assert_eq!(body(&host(json!({ "clients": "authenticated" }), mail)), None);
    assert!(body(&host(json!({ "clients": "authenticated" }), mail).account("ann")).is_some());
    assert_eq!(body(&host(json!({ "senders": ["other.example"] }), mail)), None);
    assert!(body(&host(json!({ "senders": ["example.org"] }), mail)).is_some());
    assert_eq!(body(&host(json!({ "not_only_to": ["dest.example"] }), mail)), None);
    assert!(
        body(&host(json!({ "not_only_to": ["dest.example"] }), mail).recipient("c@else.example")).is_some()
    );
    assert_eq!(
        body(&host(json!({ "octets_max": 1024 }), &format!("Subject: x\n\n{}\n", "x".repeat(2_000)))),
        None
    );
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "text": " " }), "text"),
        (json!({ "text": "x", "text_ascii": "\u{fc}" }), "text_ascii"),
        (json!({ "text": "x", "separator": "a\nb" }), "separator"),
        (json!({ "text": "x", "octets_max": 10 }), "octets_max"),
    ] {
        let problems = TestHost::new().config(config).plugin::<Banner>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
