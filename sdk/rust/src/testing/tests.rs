use super::*;
use crate::KvError;

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
