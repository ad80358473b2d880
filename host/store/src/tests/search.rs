//! Finding messages by what is known of them.

use super::*;
use crate::{FoundMessages, SearchFilter};

fn about(second: u64, recipient: &str, change: impl FnOnce(&mut Envelope)) -> NewMessage {
    let at = in_seconds(second);
    let body = format!("Message-ID: <{second}@a.example>\r\n\r\nx\r\n");
    let mut new = message_at(at, &[recipient], body.as_bytes());
    change(&mut new.envelope);
    new
}

/// Indexes all that happened so far.
async fn index(store: &Store) {
    // All that was asked for is written.
    store.summary().await.unwrap();
    let mut indexer = store.indexer().await.unwrap();
    while store.core().index.done() < store.feed().head() {
        indexer.step().await.unwrap();
    }
}

async fn found(store: &Store, filter: SearchFilter) -> Vec<u64> {
    let mut seconds = Vec::new();
    let mut older_than = None;
    loop {
        let page = store.search(filter.clone(), older_than, 2).await.unwrap();
        assert_eq!(page.behind, 0);
        let second = |found: &crate::FoundMessage| found.message.time().since(START).as_secs();
        seconds.extend(page.messages.iter().map(second));
        older_than = page.next;
        if older_than.is_none() {
            return seconds;
        }
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn messages_are_found_by_each_thing_that_is_known_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for second in 0..9 {
            let recipient = ["x@b.example", "Y@c.example"][second as usize % 2];
            let new = about(second, recipient, |envelope| {
                envelope.tenant = text(["acme", "bolt"][second as usize % 2]);
                envelope.stream = text(["news", "codes", "orders"][second as usize % 3]);
                envelope.tags = vec![("campaign".to_owned(), (second % 4).to_string())];
            });
            let _ = bench.store.accept(new).await.unwrap();
        }
        index(&bench.store).await;
        let all = SearchFilter::default;
        let cases = [
            (all(), vec![8, 7, 6, 5, 4, 3, 2, 1, 0]),
            (SearchFilter { recipient: text("X@B.example"), ..all() }, vec![8, 6, 4, 2, 0]),
            (SearchFilter { domain: "c.example".parse().ok(), ..all() }, vec![7, 5, 3, 1]),
            (SearchFilter { sender: text("sender@a.example"), ..all() }, vec![8, 7, 6, 5, 4, 3, 2, 1, 0]),
            (SearchFilter { sender: text(""), ..all() }, vec![]),
            (SearchFilter { message_id: text("<3@a.example>"), ..all() }, vec![3]),
            (SearchFilter { tenant: text("bolt"), ..all() }, vec![7, 5, 3, 1]),
            (SearchFilter { stream: text("news"), ..all() }, vec![6, 3, 0]),
            (SearchFilter { tenant: text("acme"), stream: text("news"), ..all() }, vec![6, 0]),
            (SearchFilter { tag: Some(("campaign".to_owned(), "3".to_owned())), ..all() }, vec![7, 3]),
            (SearchFilter { tag: Some(("other".to_owned(), "3".to_owned())), ..all() }, vec![]),
            // One tenant never sees another's, whatever else is asked for.
            (SearchFilter { tenant: text("bolt"), recipient: text("x@b.example"), ..all() }, vec![]),
            (
                SearchFilter {
                    recipient: text("x@b.example"),
                    since: Some(in_seconds(2)),
                    until: Some(in_seconds(6)),
                    ..all()
                },
                vec![4, 2],
            ),
            (SearchFilter { since: Some(in_seconds(7)), ..all() }, vec![8, 7]),
            (SearchFilter { until: Some(in_seconds(1)), ..all() }, vec![0]),
        ];
        for (filter, expected) in cases {
            assert_eq!(found(&bench.store, filter.clone()).await, expected, "{filter:?}");
        }
    });
}

#[test]
fn refused_and_discarded_mail_is_found_by_its_recipients() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let new = about(1, "x@b.example", |envelope| envelope.tenant = text("acme"));
        let recipients = vec!["z@d.example".parse().unwrap()];
        let what = What::Discarded { by: "x".to_owned(), reason: String::new(), recipients };
        let event = Event { message: new.envelope.id, at: in_seconds(1), what };
        bench.store.record_of(&new.envelope, vec![event]).await;
        index(&bench.store).await;
        let filter = SearchFilter { recipient: text("z@d.example"), ..SearchFilter::default() };
        let page = bench.store.search(filter, None, 10).await.unwrap();
        assert_eq!(page.messages[0].facts.tenant.as_deref(), Some("acme"));
    });
}

#[test]
fn a_crash_of_the_index_writes_no_event_off() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for second in 0..5 {
            let _ = bench.store.accept(about(second, "x@b.example", |_| ())).await.unwrap();
        }
        index(&bench.store).await;
        let _ = bench.store.accept(about(5, "x@b.example", |_| ())).await.unwrap();
        bench.store.close().await;
        // Not indexed before the end: it is by the next, and nothing twice.
        let bench = Bench::open(folder.path());
        let filter = SearchFilter { recipient: text("x@b.example"), ..SearchFilter::default() };
        let before: FoundMessages = bench.store.search(filter.clone(), None, 10).await.unwrap();
        assert_eq!((before.messages.len(), before.behind), (5, 6), "nobody has opened the index");
        index(&bench.store).await;
        assert_eq!(found(&bench.store, filter).await, [5, 4, 3, 2, 1, 0]);
    });
}
