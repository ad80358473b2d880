//! What is kept of a person, for how long, and how it is forgotten.

use baton_mail::Mailbox;
use baton_mail::tenant::{Retention, Stream};

use super::*;
use crate::catalog::{Edit, Key, STREAM};
use crate::suppression::{Change, NewEntry, Reason, Scope, Sender, Suppress};
use crate::{SearchFilter, StoreError};

const ANN: &str = "unique-ann@b.example";
const BOB: &str = "unique-bob@b.example";

fn mailbox(text: &str) -> Mailbox {
    text.parse().unwrap()
}

/// A message of acme's to these, in its stream `news`.
fn news(at: UnixMs, recipients: &[&str]) -> NewMessage {
    let mut new = message_at(at, recipients, b"Subject: s\r\n\r\nunique-content\r\n");
    new.envelope.tenant = Some("acme".to_owned());
    new.envelope.stream = Some("news".to_owned());
    new
}

async fn accept(bench: &Bench, new: NewMessage) -> MessageId {
    let id = new.envelope.id;
    let _ = bench.store.accept(new).await.unwrap();
    id
}

async fn deliver_all(bench: &Bench) {
    for claim in bench.claim_all().await {
        let settlement = delivered(&claim);
        bench.store.settle(claim, settlement).await.unwrap();
    }
    bench.store.summary().await.unwrap();
    let mut indexer = bench.store.indexer().await.unwrap();
    while bench.store.core().index.done() < bench.store.feed().head() {
        indexer.step().await.unwrap();
    }
}

async fn told(bench: &Bench, message: MessageId) -> String {
    format!("{:?}", bench.store.story(message).await.unwrap())
}

async fn found(bench: &Bench, recipient: &str) -> usize {
    let filter = SearchFilter { recipient: Some(recipient.to_owned()), ..SearchFilter::default() };
    bench.store.search(filter, None, 10).await.unwrap().messages.len()
}

/// The files of the store that have these octets.
fn on_disk(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let has_it = |path: &std::path::PathBuf| {
        let octets = std::fs::read(path).unwrap_or_default();
        memchr::memmem::find(&octets, text.as_bytes()).is_some()
    };
    files.filter(has_it).collect()
}

/// What the hourly round does.
async fn clean_up(bench: &Bench) {
    let store = bench.store.clone();
    tokio::task::spawn_blocking(move || crate::retention::apply(store.core(), || false)).await.unwrap();
}

async fn keep(bench: &Bench, retention: Retention) {
    let key = Key::new(STREAM, Some("acme"), "news").unwrap();
    let stream = Stream { retention, ..Stream::default() };
    bench.store.catalog().apply(vec![Edit::put_json(key, &stream).unwrap()]).await.unwrap();
}

#[test]
fn a_person_is_told_all_and_forgotten_but_for_what_keeps_mail_from_it() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let message = accept(&bench, news(START, &["Unique-Ann@b.example", BOB])).await;
        deliver_all(&bench).await;
        let waiting = accept(&bench, news(in_seconds(1), &[ANN])).await;
        let entry = NewEntry {
            reason: Reason::Complaint,
            until: None,
            message: None,
            since: None,
            by: "test".to_owned(),
            note: String::new(),
        };
        let scope = Scope::tenant(Some("acme"));
        let listed = Suppress { scope, address: mailbox(ANN), change: Change::Add(entry) };
        bench.store.suppression().change(vec![listed], Vec::new()).await.unwrap();
        bench.store.kv().set("plugin/seen", ANN, b"1", None).await.unwrap();

        let ann = bench.store.person(mailbox(ANN), None);
        let traces = ann.traces().await.unwrap();
        assert_eq!((traces.jobs.len(), traces.suppressions.len()), (1, 1));
        assert_eq!(traces.kv, [format!("plugin/seen/{ANN}")]);
        assert!(traces.events.len() == 2 && !traces.is_cut, "{traces:?}");
        assert_eq!(found(&bench, ANN).await, 1);

        let done = ann.forget("test").await.unwrap();
        assert_eq!((done.jobs, done.jobs_left, done.suppressions, done.kv), (1, 0, 1, 1));
        assert!(done.records >= 3, "{done:?}");
        for message in [message, waiting] {
            assert!(!told(&bench, message).await.to_lowercase().contains("unique-ann"));
        }
        assert!(told(&bench, message).await.contains(BOB), "others stay");
        assert_eq!((found(&bench, ANN).await, found(&bench, BOB).await), (0, 1));
        let page = bench.store.feed().read(0, 100).await.unwrap();
        assert!(!format!("{:?}", page.told).to_lowercase().contains("unique-ann"));
        let acme = Sender { tenant: Some("acme"), ..Sender::default() };
        assert!(bench.store.suppression().find(acme, &mailbox(ANN)).await.unwrap().is_some());
        let again = bench.store.person(mailbox(ANN), None).traces().await.unwrap();
        assert!(again.events.is_empty() && again.jobs.is_empty() && again.kv.is_empty(), "{again:?}");
        bench.store.close().await;
    });
    // The database's own journal has keys of tables; it begins anew at each start.
    block_on(async { Bench::open(folder.path()).store.close().await });
    for text in [ANN, "Unique-Ann"] {
        assert_eq!(on_disk(folder.path(), text), Vec::<std::path::PathBuf>::new(), "{text}");
    }
    assert!(!on_disk(folder.path(), "unique-bob").is_empty(), "else the look above shows nothing");
}

#[test]
fn a_tenant_forgets_in_its_own_mail_alone() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let own = accept(&bench, news(START, &[ANN])).await;
        let mut others = message_at(in_seconds(1), &[ANN], b"x");
        others.envelope.tenant = Some("bolt".to_owned());
        let others = accept(&bench, others).await;
        deliver_all(&bench).await;
        let held = accept(&bench, news(in_seconds(2), &[ANN, BOB])).await;
        let done = bench.store.person(mailbox(ANN), Some("acme".to_owned())).forget("test").await.unwrap();
        assert_eq!((done.jobs, done.jobs_left), (0, 1), "who waits with others stays until it is done");
        assert!(!told(&bench, own).await.contains(ANN));
        assert!(told(&bench, others).await.contains(ANN));
        assert_eq!(found(&bench, ANN).await, 1);
        assert_eq!(bench.jobs().await.len(), 1);
        assert_eq!(&bench.store.content(held).await.unwrap().to_bytes()[..11], b"Subject: s\r");
    });
}

#[test]
fn stories_and_addresses_go_when_their_stream_says_so() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let days = |events_days, addresses_days| Retention { bodies_days: None, events_days, addresses_days };
        keep(&bench, days(Some(3), Some(1))).await;
        let of_stream = accept(&bench, news(START, &[ANN, BOB])).await;
        let other = accept(&bench, message_at(in_seconds(1), &[ANN], b"x")).await;
        deliver_all(&bench).await;
        let queued = accept(&bench, news(in_seconds(2), &[ANN])).await;
        clean_up(&bench).await;
        assert!(told(&bench, of_stream).await.contains(ANN), "it is not old");
        bench.clock.advance(Duration::from_secs(2 * 86_400));
        clean_up(&bench).await;
        let story = told(&bench, of_stream).await;
        assert!(!story.contains(ANN) && !story.contains(BOB) && story.contains("erased-"), "{story}");
        assert!(told(&bench, other).await.contains(ANN), "it is of no stream");
        assert!(told(&bench, queued).await.contains(ANN), "it is not done");
        assert_eq!((found(&bench, ANN).await, found(&bench, BOB).await), (1, 0));
        deliver_all(&bench).await;
        bench.clock.advance(Duration::from_secs(2 * 86_400));
        clean_up(&bench).await;
        assert_eq!(told(&bench, of_stream).await, "[]");
        assert!(told(&bench, other).await.contains(ANN));
        assert_eq!(found(&bench, ANN).await, 1);
        let page = bench.store.feed().read(0, 100).await.unwrap();
        assert_eq!(page.next, bench.store.feed().head(), "the feed passes over what is gone");
    });
}

#[test]
fn addresses_of_mail_without_a_stream_go_when_the_settings_say_so() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let settings = StoreSettings { addresses_days: 5, ..settings(folder.path()) };
        let bench = Bench::try_open(settings).unwrap();
        keep(&bench, Retention { addresses_days: Some(10), ..Retention::default() }).await;
        let own = accept(&bench, message_at(START, &[ANN], b"x")).await;
        let of_stream = accept(&bench, news(in_seconds(1), &[ANN])).await;
        deliver_all(&bench).await;
        bench.clock.advance(Duration::from_secs(6 * 86_400));
        clean_up(&bench).await;
        assert!(!told(&bench, own).await.contains(ANN));
        assert!(told(&bench, of_stream).await.contains(ANN), "the stream says itself how long");
        bench.clock.advance(Duration::from_secs(5 * 86_400));
        clean_up(&bench).await;
        assert!(!told(&bench, of_stream).await.contains(ANN));
    });
}

#[test]
fn content_stays_as_long_as_its_stream_says_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        keep(&bench, Retention { bodies_days: Some(2), ..Retention::default() }).await;
        let kept = accept(&bench, news(START, &[BOB])).await;
        let gone = accept(&bench, message_at(in_seconds(1), &[BOB], b"x")).await;
        let of_ann = accept(&bench, news(in_seconds(2), &[ANN])).await;
        deliver_all(&bench).await;
        assert!(bench.store.content(kept).await.unwrap().to_bytes().ends_with(b"unique-content\r\n"));
        assert!(matches!(bench.store.content(gone).await, Err(StoreError::NotFound)));
        assert!(bench.jobs().await.is_empty(), "it is not in the queue");
        bench.store.person(mailbox(ANN), None).forget("test").await.unwrap();
        assert!(matches!(bench.store.content(of_ann).await, Err(StoreError::NotFound)));
        bench.clock.advance(Duration::from_secs(86_400));
        clean_up(&bench).await;
        assert!(bench.store.content(kept).await.is_ok());
        bench.clock.advance(Duration::from_secs(2 * 86_400));
        clean_up(&bench).await;
        assert!(matches!(bench.store.content(kept).await, Err(StoreError::NotFound)));
        assert_consistent(&bench.store);
    });
}
