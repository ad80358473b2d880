//! To whom no mail is sent.

use baton_mail::{Clock, Mailbox};

use super::*;
use crate::suppression::{Change, Entry, Listed, NewEntry, Reason, Scope, Sender, Suppress, Wanted};

fn mailbox(text: &str) -> Mailbox {
    text.parse().unwrap()
}

fn entry(reason: Reason) -> NewEntry {
    NewEntry {
        reason,
        until: None,
        message: None,
        since: None,
        by: "test".to_owned(),
        note: "a note".to_owned(),
    }
}

pub(super) fn suppress(scope: Scope, address: &str, reason: Reason) -> Suppress {
    Suppress { scope, address: mailbox(address), change: Change::Add(entry(reason)) }
}

async fn add(bench: &Bench, scope: Scope, address: &str, reason: Reason) {
    bench.store.suppression().change(vec![suppress(scope, address, reason)], Vec::new()).await.unwrap();
}

async fn found(bench: &Bench, sender: Sender<'_>, address: &str) -> Option<(Scope, Reason)> {
    let listed = bench.store.suppression().find(sender, &mailbox(address)).await.unwrap();
    listed.map(|listed| (listed.scope, listed.entry.reason))
}

const ACME: Sender<'static> =
    Sender { tenant: Some("acme"), stream: Some("news"), ignores_unsubscribe: false };

/// The filter is made in the background.
async fn wait_for_filter(bench: &Bench) {
    while bench.store.suppression().may_hold(&mailbox("nobody@nowhere.example")) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn the_narrowest_scope_that_holds_stops_mail() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        assert_eq!(found(&bench, ACME, "ann@b.example").await, None);
        add(&bench, Scope::GLOBAL, "Ann@B.example", Reason::Manual).await;
        assert_eq!(found(&bench, ACME, "ann@b.example").await, Some((Scope::GLOBAL, Reason::Manual)));
        let tenant = Scope::tenant(Some("acme"));
        add(&bench, tenant.clone(), "ann@b.example", Reason::Complaint).await;
        assert_eq!(found(&bench, ACME, "ann@b.example").await, Some((tenant.clone(), Reason::Complaint)));
        let stream = Scope::stream(Some("acme"), "news");
        add(&bench, stream.clone(), "ann@b.example", Reason::Unsubscribe).await;
        assert_eq!(found(&bench, ACME, "ann@b.example").await, Some((stream, Reason::Unsubscribe)));
        let codes = Sender { stream: Some("codes"), ..ACME };
        assert_eq!(found(&bench, codes, "ann@b.example").await, Some((tenant, Reason::Complaint)));
        let other = Sender { tenant: Some("other"), ..Sender::default() };
        assert_eq!(found(&bench, other, "ann@b.example").await, Some((Scope::GLOBAL, Reason::Manual)));
        assert_eq!(found(&bench, other, "bob@b.example").await, None);
    });
}

#[test]
fn a_stream_of_codes_heeds_all_but_unsubscriptions_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let codes = Sender { tenant: Some("acme"), stream: Some("codes"), ignores_unsubscribe: true };
        add(&bench, Scope::tenant(Some("acme")), "ann@b.example", Reason::Unsubscribe).await;
        assert_eq!(found(&bench, codes, "ann@b.example").await, None);
        assert!(found(&bench, ACME, "ann@b.example").await.is_some());
        add(&bench, Scope::GLOBAL, "ann@b.example", Reason::HardBounce).await;
        assert_eq!(found(&bench, codes, "ann@b.example").await, Some((Scope::GLOBAL, Reason::HardBounce)));
        add(&bench, Scope::stream(Some("acme"), "codes"), "bob@b.example", Reason::Unsubscribe).await;
        assert!(found(&bench, codes, "bob@b.example").await.is_some());
    });
}

#[test]
fn entries_outlive_the_process_are_counted_and_end_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let week = Duration::from_secs(7 * 86_400);
    block_on(async {
        let bench = Bench::open(folder.path());
        wait_for_filter(&bench).await;
        assert!(!bench.store.suppression().may_hold(&mailbox("ann@b.example")), "nothing is kept of anybody");
        add(&bench, Scope::GLOBAL, "ann@b.example", Reason::Manual).await;
        let until = Some(bench.clock.now().plus(week));
        let change = Change::Add(NewEntry { until, ..entry(Reason::HardBounce) });
        let brief = Suppress { scope: Scope::GLOBAL, address: mailbox("bob@b.example"), change };
        bench.store.suppression().change(vec![brief], Vec::new()).await.unwrap();
        assert!(bench.store.suppression().may_hold(&mailbox("ann@b.example")));
        assert_eq!(bench.store.suppression().count(), 2);
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        wait_for_filter(&bench).await;
        assert_eq!(bench.store.suppression().count(), 2);
        assert!(found(&bench, ACME, "ann@b.example").await.is_some());
        assert!(found(&bench, ACME, "bob@b.example").await.is_some());
        bench.clock.advance(week);
        assert_eq!(found(&bench, ACME, "bob@b.example").await, None);
        crate::suppression::sweep(bench.store.core(), || false);
        bench.store.core().barrier().await.unwrap();
        assert_eq!(bench.store.suppression().count(), 1);
        assert_lists_agree(&bench.store);
    });
}

#[test]
fn an_outcome_and_its_entry_are_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for round in 0..3_u64 {
            let _ = bench.store.accept(message_at(in_seconds(round), &["x@b.example"], b"x")).await.unwrap();
            let claim = bench.claim_all().await.remove(0);
            let change = Change::SoftBounce {
                count: 3,
                within: Duration::from_secs(60),
                entry: entry(Reason::SoftBounce),
            };
            let soft = Suppress { scope: Scope::GLOBAL, address: mailbox("x@b.example"), change };
            let outcomes = vec![(0, Outcome::Failed(status(4)))];
            let settlement = Settlement { outcomes, suppress: vec![soft], ..Settlement::default() };
            bench.store.settle(claim, settlement).await.unwrap();
            bench.store.core().barrier().await.unwrap();
            let is_stopped = found(&bench, Sender::default(), "x@b.example").await.is_some();
            assert_eq!(is_stopped, round == 2, "the third makes an entry");
        }
        let removal =
            Suppress { change: Change::Remove, ..suppress(Scope::GLOBAL, "X@b.example", Reason::Manual) };
        bench.store.suppression().change(vec![removal], Vec::new()).await.unwrap();
        assert_eq!(found(&bench, Sender::default(), "x@b.example").await, None);
        assert_lists_agree(&bench.store);
    });
}

#[test]
fn lists_are_read_page_by_page_and_by_scope() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let tenant = Scope::tenant(Some("acme"));
        for number in 0..25 {
            add(&bench, tenant.clone(), &format!("user{number}@b.example"), Reason::HardBounce).await;
            bench.clock.advance(Duration::from_secs(1));
        }
        add(&bench, Scope::stream(Some("acme"), "news"), "ann@c.example", Reason::Unsubscribe).await;
        add(&bench, Scope::tenant(Some("acme2")), "bob@c.example", Reason::Manual).await;
        let lists = bench.store.suppression();
        let wanted = Wanted { tenant: Some("acme".to_owned()), ..Wanted::default() };
        let (mut seen, mut after): (Vec<Listed>, _) = (Vec::new(), None);
        loop {
            let page = lists.list(wanted.clone(), after, 10).await.unwrap();
            seen.extend(page.entries);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 26);
        assert_eq!(seen[0].entry.address.as_deref(), Some("user24@b.example"), "the newest is first");
        let unsubscribed = Wanted { reason: Some(Reason::Unsubscribe), ..Wanted::default() };
        let page = lists.list(unsubscribed, None, 10).await.unwrap();
        assert_eq!(page.entries.len(), 1);
        let text = Wanted { text: Some("USER3@".to_owned()), scope: Some(tenant), ..Wanted::default() };
        assert_eq!(lists.list(text, None, 10).await.unwrap().entries.len(), 1);
        let foreign = Wanted { tenant: Some("acme2".to_owned()), ..Wanted::default() };
        let cursor = lists.list(wanted, None, 5).await.unwrap().next;
        assert!(lists.list(foreign, cursor, 5).await.is_err(), "a cursor leads into no other list");
    });
}

#[test]
fn an_erased_person_stays_suppressed_and_is_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for scope in [Scope::GLOBAL, Scope::tenant(Some("acme"))] {
            add(&bench, scope, "unique-ann@b.example", Reason::Complaint).await;
        }
        let scopes = vec![Scope::GLOBAL, Scope::tenant(Some("acme"))];
        assert_eq!(
            bench.store.suppression().erase(&mailbox("Unique-Ann@b.example"), scopes).await.unwrap(),
            2
        );
        assert!(found(&bench, ACME, "unique-ann@b.example").await.is_some());
        let entries = bench.store.suppression().of_person(&mailbox("unique-ann@b.example")).await.unwrap();
        let known = |entry: &Entry| entry.address.is_some() || !entry.note.is_empty();
        assert!(entries.len() == 2 && !entries.iter().any(|listed| known(&listed.entry)));
        add(&bench, Scope::GLOBAL, "unique-ann@b.example", Reason::Complaint).await;
        let again =
            bench.store.suppression().get(&Scope::GLOBAL, &mailbox("unique-ann@b.example")).await.unwrap();
        assert_eq!(again.unwrap().entry.address, None, "it is not learnt again");
        assert_lists_agree(&bench.store);
    });
}

#[test]
fn more_changes_than_a_batch_takes_are_refused_and_names_too_long_too() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let one = suppress(Scope::GLOBAL, "a@b.example", Reason::Manual);
        let many = vec![one; crate::suppression::CHANGES_MAX + 1];
        assert!(bench.store.suppression().change(many, Vec::new()).await.is_err());
        let long = suppress(Scope::tenant(Some(&"x".repeat(300))), "a@b.example", Reason::Manual);
        assert!(bench.store.suppression().change(vec![long], Vec::new()).await.is_err());
        let long = "x".repeat(300);
        let sender = Sender { tenant: Some(&long), ..Sender::default() };
        assert_eq!(found(&bench, sender, "a@b.example").await, None);
    });
}

/// Each entry has exactly one place in the list, and each place leads to an entry.
pub(super) fn assert_lists_agree(store: &Store) {
    let db = store.core().db().unwrap();
    let count = |family: Family| {
        let mut found = db.iterate(family, &[FORMAT], None);
        found.seek_to_first();
        let (mut all, mut entries) = (0, 0);
        while let Some((_, value)) = found.item() {
            all += 1;
            if family == Family::Suppression {
                entries += u64::from(crate::suppression::decode_record(value).unwrap().entry.is_some());
            }
            found.next();
        }
        (all, entries)
    };
    let (places, _) = count(Family::SuppressionList);
    assert_eq!(places, count(Family::Suppression).1);
    assert_eq!(places, store.suppression().count());
}
