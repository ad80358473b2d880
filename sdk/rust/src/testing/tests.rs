use super::*;
use crate::{Digest, KvError};

#[test]
fn a_rate_limit_gives_its_burst_back_over_the_period() {
    let host = TestHost::new().kv("rate");
    let bucket = host.context().kv("rate").unwrap();
    let take = || bucket.take("a", 1, 3, Duration::from_secs(60)).unwrap();
    let remaining: Vec<u32> = (0..3).map(|_| take().remaining).collect();
    assert_eq!(remaining, [2, 1, 0]);
    let refused = take();
    assert_eq!((refused.allowed, refused.retry_after_ms), (false, 20_000));
    host.advance(Duration::from_millis(19_999));
    assert!(!take().allowed);
    host.advance(Duration::from_millis(1));
    assert!(take().allowed);
    assert!(!take().allowed);
    assert!(bucket.take("b", 3, 3, Duration::from_secs(60)).unwrap().allowed);
    assert!(!bucket.take("c", 4, 3, Duration::from_secs(60)).unwrap().allowed);
}

#[test]
fn keys_expire_and_counters_keep_their_window() {
    let host = TestHost::new().kv("seen");
    let bucket = host.context().kv("seen").unwrap();
    let minute = Some(Duration::from_secs(60));
    assert!(bucket.set_if_absent("k", b"1", minute).unwrap());
    assert!(!bucket.set_if_absent("k", b"2", minute).unwrap());
    assert_eq!(bucket.increment("n", 2, minute).unwrap(), 2);
    host.advance(Duration::from_secs(59));
    assert_eq!(bucket.increment("n", 2, minute).unwrap(), 4);
    host.advance(Duration::from_secs(1));
    assert_eq!(bucket.get("k").unwrap(), None);
    assert_eq!(bucket.increment("n", 2, minute).unwrap(), 2);
}

#[test]
fn a_listing_is_cut_into_pages() {
    let host = TestHost::new().kv("b");
    let bucket = host.context().kv("b").unwrap();
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        bucket.set(key, b"", None).unwrap();
    }
    let first = bucket.scan("a/", None, 2).unwrap();
    assert_eq!((first.keys.len(), first.cursor.as_deref()), (2, Some("a/3")));
    let second = bucket.scan("a/", first.cursor.as_deref(), 2).unwrap();
    assert_eq!((second.keys, second.cursor), (vec!["a/3".to_owned()], None));
}

#[test]
fn what_was_not_granted_is_denied() {
    let host = TestHost::new().refuse_edits("not granted: headers");
    assert_eq!(host.context().kv("rate").err(), Some(KvError::Denied));
    assert!(host.context().message().add_header("X-A", "b").is_err());
    assert!(host.edits().is_empty());
}

#[test]
fn blocklists_are_asked_by_the_reversed_address() {
    let host = TestHost::new().dns("1.2.0.192.bl.example", rr_type::A, &["127.0.0.2"]).blocklisted(
        "bl.example",
        "2001:db8::1",
        "127.0.0.3",
    );
    let ask =
        |address: &str| host.context().dns().blocklists(&["bl.example".to_owned()], address.parse().unwrap());
    assert_eq!(ask("192.0.2.1"), [Ok(vec!["127.0.0.2".to_owned()])]);
    assert_eq!(ask("2001:db8::1"), [Ok(vec!["127.0.0.3".to_owned()])]);
    assert_eq!(ask("192.0.2.2"), [Ok(Vec::new())]);
}

#[test]
fn the_message_reads_as_raw_octets() {
    let host = TestHost::new().header("Subject", "hi").body("text\r\n");
    let cx = host.context();
    assert_eq!(cx.message().read(0, 64), b"Subject: hi\r\n\r\ntext\r\n");
    assert_eq!(cx.message().header_size(), 13);
    assert_eq!(cx.message().find(b"text", 0), Some(15));
    assert_eq!(cx.message().find(b"text", 16), None);
}

#[test]
fn scores_of_this_call_count_in_the_total() {
    let host = TestHost::new().score(1.5);
    let cx = host.context();
    cx.envelope().score("A", 2.0).unwrap();
    assert_eq!(cx.envelope().total_score(), 3.5);
}

#[test]
fn a_message_is_taken_apart() {
    let host = TestHost::new().message(include_str!("mixed.eml"));
    let cx = host.context();
    let parts: Vec<_> = cx.message().parts().collect();
    let types: Vec<_> = parts.iter().map(|part| part.content_type()).collect();
    assert_eq!(types, ["text/plain", "text/html", "application/pdf"]);
    assert_eq!(cx.message().header("Subject").as_deref(), Some("größe über alles"));
    let text = &parts[0];
    assert_eq!(
        (text.charset().as_deref(), text.transfer_encoding().as_str()),
        (Some("iso-8859-1"), "quoted-printable")
    );
    assert_eq!(text.text(100), "Gr\u{fc}\u{df}e\r\n");
    assert_eq!(text.read(0, 3), b"Gr\xfc");
    assert_eq!(text.within(), ["mixed", "alternative"]);
    let raw = host.raw_message();
    let range = text.raw_range();
    assert_eq!(&raw[range.start as usize..range.end as usize], b"Gr=FC=DFe\r\n");
    assert_eq!(parts[1].plain_text(100).trim(), "Hello there");
    assert_eq!(parts[1].urls(9), ["https://shop.example/a"]);
    let file = &parts[2];
    assert_eq!(
        (file.filename().as_deref(), file.disposition().as_deref()),
        (Some("plan.pdf"), Some("attachment"))
    );
    assert_eq!((file.decoded_size(), file.within()), (4, vec!["mixed".to_owned()]));
    let digest = file.digest(Digest::Sha256).unwrap();
    assert_eq!(digest[..4], [0x9f, 0x86, 0xd0, 0x81], "of `test`");
}

#[test]
fn a_forwarded_message_is_taken_apart_too() {
    let text = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee below\n--b\nContent-Type: message/rfc822\n\n\
                Subject: inner\nContent-Type: text/plain; charset=utf-8\n\nhello\n--b--\n";
    let host = TestHost::new().message(text);
    let cx = host.context();
    let inner = cx.message().parts().nth(1).unwrap();
    assert_eq!(
        (inner.within(), inner.text(9)),
        (vec!["mixed".to_owned(), "rfc822".to_owned()], "hello".to_owned())
    );
    assert_eq!(inner.header("Subject").as_deref(), Some("inner"));
}

#[test]
fn a_new_body_is_made_of_old_and_new_octets() {
    let host = TestHost::new().message("Subject: x\n\nold\n");
    let cx = host.context();
    cx.message().replace_body().unwrap().write("dropped").unwrap();
    let body = cx.message().replace_body().unwrap();
    body.copy(14..19).unwrap();
    body.write("new\r\n").unwrap();
    assert!(body.copy(14..20).is_err());
    body.finish().unwrap();
    assert_eq!(host.edits(), [Edit::Body(b"old\r\nnew\r\n".to_vec())]);
}

#[test]
fn requests_are_answered_as_prepared() {
    let url = "https://api.example/v1";
    let host = TestHost::new().header("Subject", "x").body("y\r\n");
    let host = host.http("POST", url, Response::new(500, "")).http("POST", url, Response::new(200, "ok"));
    let cx = host.context();
    let statuses = [1, 2, 3].map(|_| cx.message().post_raw(&Request::post(url, "")).unwrap().status);
    assert_eq!(statuses, [500, 200, 200]);
    assert_eq!(cx.http().fetch(&Request::get(url)), Err(HttpError::Denied));
    assert_eq!(host.requests()[0].body, b"Subject: x\r\n\r\ny\r\n");
}

#[test]
fn next_hops_answer_and_secrets_are_there() {
    let host = TestHost::new()
        .verify("a@b.example", "250 2.1.5 ok")
        .verify("c@b.example", "550 no")
        .secret("k", "v");
    let cx = host.context();
    let ask = |rcpt: &str| cx.verify().recipient(&rcpt.parse().unwrap());
    assert!(ask("a@b.example").unwrap().reply.is_positive());
    assert_eq!(ask("c@b.example").unwrap().reply.to_string(), "550 no");
    assert_eq!(ask("d@b.example"), Err(VerifyError::Denied));
    assert_eq!((cx.secret("k").as_deref(), cx.secret("other")), (Some("v"), None));
}
