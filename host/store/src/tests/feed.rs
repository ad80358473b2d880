//! The feed: nothing is missing in it, nothing doubled, whatever happens in between.

use baton_mail::event::Removal;

use super::*;
use crate::feed::{ConsumerName, Pointer, Trouble, decode_pointers, number_of};
use crate::{Action, Told};

/// Every record of the history is in the feed once, nothing else is, and the numbers have no gaps.
pub(super) fn assert_feed_complete(store: &Store) {
    let db = store.core().db().expect("the database is open");
    let mut records = db.iterate(Family::Feed, &[FORMAT], None);
    records.seek_to_first();
    let (mut pointers, mut next): (Vec<Pointer>, Option<u64>) = (Vec::new(), None);
    while let Some((key, value)) = records.item() {
        let number = number_of(key).expect("a feed key");
        assert!(next.is_none_or(|next| next == number), "a gap before {number}");
        let here = decode_pointers(value).expect("a sound record of the feed");
        next = Some(number + here.len() as u64);
        pointers.extend(here);
        records.next();
    }
    assert_eq!(store.feed().head(), next.unwrap_or(0));
    let mut keys: Vec<[u8; 29]> = pointers.iter().map(Pointer::key).collect();
    keys.sort_unstable();
    let mut history = db.iterate(Family::History, &[FORMAT], None);
    history.seek_to_first();
    let mut found = Vec::new();
    while let Some(key) = history.key() {
        found.push(<[u8; 29]>::try_from(key).expect("a history key"));
        history.next();
    }
    assert_eq!(keys, found, "the feed has what the history has");
}

async fn all(store: &Store, from: u64) -> Vec<Arc<Told>> {
    let feed = store.feed();
    let (mut told, mut next) = (Vec::new(), from);
    while next < feed.head() {
        let page = feed.read(next, 3).await.unwrap();
        told.extend(page.told);
        next = page.next;
    }
    told
}

fn kinds(told: &[Arc<Told>]) -> Vec<String> {
    let kind = |event: &Event| {
        let text = format!("{:?}", event.what);
        text.split([' ', '(']).next().unwrap_or_default().to_owned()
    };
    told.iter().flat_map(|told| told.events.iter().map(kind)).collect()
}

fn with_facts() -> NewMessage {
    let mut new = message(&["x@b.example", "y@c.example"], b"Message-ID: <1@a.example>\r\n\r\nfirst\r\n");
    new.envelope.tenant = Some("acme".to_owned());
    new.envelope.stream = Some("orders".to_owned());
    new.envelope.tags = vec![("template".to_owned(), "receipt".to_owned())];
    new
}

#[test]
fn every_event_is_told_in_order_with_what_is_known_of_its_message() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let id = bench.store.accept(with_facts()).await.unwrap().id();
        let claim = bench.claim_all().await.remove(0);
        let event = Event { message: id, at: in_seconds(1), what: What::RetryAsked { by: "x".to_owned() } };
        let settlement = Settlement { events: vec![event], ..deferred(&claim, in_seconds(300)) };
        bench.store.settle(claim, settlement).await.unwrap();
        bench.store.remove(&Filter::default(), "me").await.unwrap();
        let told = all(&bench.store, 0).await;
        assert_eq!(kinds(&told), ["Accepted", "RetryAsked", "Removed"]);
        let numbers: Vec<u64> = told.iter().map(|told| told.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        for told in &told {
            let facts = &told.facts;
            assert_eq!((facts.tenant.as_deref(), facts.stream.as_deref()), (Some("acme"), Some("orders")));
            assert_eq!(facts.message_id.as_deref(), Some("<1@a.example>"));
            assert_eq!(facts.tags, [("template".to_owned(), "receipt".to_owned())]);
            assert!(facts.sender.as_ref().is_some_and(|sender| sender.to_string() == "sender@a.example"));
        }
        let recipients: Vec<_> = ["x@b.example", "y@c.example"].map(|one| one.parse().unwrap()).into();
        assert_eq!(told[2].events[0].what, What::Removed(Removal { by: "me".to_owned(), recipients }));
        assert_feed_complete(&bench.store);
        bench.store.close().await;
        // The same from the disk, where the facts stand with the first record only.
        let bench = Bench::open(folder.path());
        assert_eq!(all(&bench.store, 0).await, told);
        assert_eq!(all(&bench.store, 2).await, told[2..]);
    });
}

#[test]
fn a_removal_names_only_who_was_left() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(with_facts()).await.unwrap();
        let claim = bench.claim_all().await.remove(0);
        // Asked for while it is in delivery: one recipient is done with it, the other is removed.
        bench.store.remove(&Filter::default(), "me").await.unwrap();
        let outcomes = vec![(0, Outcome::Delivered(status(2))), (1, Outcome::Deferred(status(4)))];
        let next_due = Some(in_seconds(300));
        bench.store.settle(claim, Settlement { outcomes, next_due, ..Settlement::default() }).await.unwrap();
        assert_eq!(bench.jobs().await, []);
        let told = all(&bench.store, 1).await;
        let What::Removed(removal) = &told[0].events[0].what else { panic!("{told:?}") };
        assert_eq!(removal.recipients, ["y@c.example".parse().unwrap()]);
    });
}

#[test]
fn cursors_outlive_a_restart_and_name_their_consumers() {
    let folder = tempfile::tempdir().unwrap();
    let name: ConsumerName = "webhook/acme/orders".parse().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let feed = bench.store.feed();
        assert_eq!(feed.cursor(&name).await, Ok(None));
        feed.acknowledge(&name, 5).unwrap();
        feed.acknowledge(&name, 7).unwrap();
        assert_eq!(feed.cursor(&name).await, Ok(Some(7)));
        drop(feed);
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        let feed = bench.store.feed();
        assert_eq!(feed.consumers("webhook/acme/").await, Ok(vec![(name.clone(), 7)]));
        assert_eq!(feed.consumers("webhook/b").await, Ok(vec![]));
        feed.forget(&name).unwrap();
        assert_eq!(feed.cursor(&name).await, Ok(None));
        for bad in ["", "a b", "ä", &"x".repeat(201)] {
            assert!(bad.parse::<ConsumerName>().is_err(), "{bad}");
        }
    });
}

#[test]
fn trouble_is_kept_with_the_cursor_until_one_is_kept_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let name: ConsumerName = "webhook/acme/orders".parse().unwrap();
    let trouble = Trouble { since: START, why: "HTTP 500".to_owned() };
    block_on(async {
        let bench = Bench::open(folder.path());
        bench.store.feed().acknowledge_in_trouble(&name, 5, Some(&trouble)).unwrap();
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        let feed = bench.store.feed();
        assert_eq!(feed.standing(&name).await, Ok(Some((5, Some(trouble)))));
        assert_eq!(feed.cursor(&name).await, Ok(Some(5)));
        assert_eq!(feed.consumers("").await, Ok(vec![(name.clone(), 5)]));
        feed.acknowledge(&name, 6).unwrap();
        assert_eq!(feed.standing(&name).await, Ok(Some((6, None))));
    });
}

#[test]
fn who_waits_is_told_of_the_next_event() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let feed = bench.store.feed();
        let waiting = tokio::spawn({
            let feed = feed.clone();
            async move {
                feed.wait(0).await;
                feed.read(0, 10).await
            }
        });
        assert!(feed.read(0, 10).await.unwrap().told.is_empty());
        let _ = bench.store.accept(with_facts()).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().told.len(), 1);
    });
}

/// More events than a record of the feed has pointers to, a batch each or all in one.
async fn many(bench: &Bench, count: u64) {
    let event = |second| {
        let at = in_seconds(second);
        Event { message: MessageId::first_at(at), at, what: What::Released { by: second.to_string() } }
    };
    for second in 0..count / 2 {
        bench.store.record(vec![event(second)]).await;
    }
    bench.store.record((count / 2..count).map(event).collect()).await;
    bench.jobs().await;
}

#[test]
fn any_number_and_any_time_is_found_in_records_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        many(&bench, 1_000).await;
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        let feed = bench.store.feed();
        assert_eq!(feed.head(), 1_000);
        for from in [0, 1, 499, 500, 501, 755, 756, 757, 999] {
            let page = feed.read(from, 300).await.unwrap();
            let numbers: Vec<u64> = page.told.iter().map(|told| told.number).collect();
            assert_eq!(numbers, (from..(from + 300).min(1_000)).collect::<Vec<_>>());
            assert_eq!((page.next, page.missed), ((from + 300).min(1_000), 0));
            assert_eq!(feed.at(in_seconds(from)).await, Ok(from));
        }
        assert_eq!(feed.at(in_seconds(5_000)).await, Ok(1_000));
        assert_feed_complete(&bench.store);
    });
}

#[test]
fn old_parts_are_forgotten_and_who_wanted_them_is_told() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        many(&bench, 1_000).await;
        bench.clock.advance(Duration::from_secs(14 * 86_400 + 600));
        crate::upkeep::forget_feed(bench.store.core());
        bench.jobs().await;
        let feed = bench.store.feed();
        // Whole records go; the one that has the first event that is young enough stays.
        let first = feed.first();
        assert!((344..=600).contains(&first), "{first}");
        let page = feed.read(0, 10).await.unwrap();
        assert_eq!((page.missed, page.told[0].number), (first, first));
        // When all is old, the newest record stays, and numbers go on behind it.
        bench.clock.advance(Duration::from_secs(30 * 86_400));
        crate::upkeep::forget_feed(bench.store.core());
        bench.jobs().await;
        assert!(feed.first() < 1_000);
        drop(feed);
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        assert_eq!(bench.store.feed().head(), 1_000);
        bench
            .store
            .record(vec![Event {
                message: MessageId::first_at(START),
                at: START,
                what: What::Released { by: "x".to_owned() },
            }])
            .await;
        bench.jobs().await;
        assert_eq!(all(&bench.store, 0).await.last().unwrap().number, 1_000);
    });
}

#[test]
fn random_work_is_told_once_each() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let mut chance = 7_u64;
        let mut next = move |bound: u64| {
            // A fixed sequence: the same run each time.
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) % bound
        };
        for round in 0..60 {
            for _ in 0..next(4) {
                let _ = bench.store.accept(with_facts()).await.unwrap();
            }
            let everything = Filter::default();
            match next(6) {
                0 => drop(bench.store.hold(&everything, "me").await.unwrap()),
                1 => drop(bench.store.release(&everything, "me").await.unwrap()),
                2 => drop(
                    bench
                        .store
                        .operate(Action::Route(Some("b".to_owned())), &everything, "me")
                        .await
                        .unwrap(),
                ),
                3 => drop(bench.store.remove(&everything, "me").await.unwrap()),
                _ => {}
            }
            for claim in bench.claim_all().await {
                let id = claim.key.message;
                let event = Event {
                    message: id,
                    at: in_seconds(round),
                    what: What::RetryAsked { by: "x".to_owned() },
                };
                let settlement = match next(3) {
                    0 => deferred(&claim, in_seconds(0)),
                    1 => delivered(&claim),
                    _ if claim.recipients.len() > 1 => {
                        let parts = claim.recipients.iter().map(|index| vec![*index]).collect();
                        drop(bench.store.split(claim, parts).await.unwrap());
                        continue;
                    }
                    _ => delivered(&claim),
                };
                bench.store.settle(claim, Settlement { events: vec![event], ..settlement }).await.unwrap();
            }
        }
        bench.jobs().await;
        assert_feed_complete(&bench.store);
        assert_consistent(&bench.store);
    });
}
