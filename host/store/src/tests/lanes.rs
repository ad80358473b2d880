//! What is urgent goes first, in memory and on disk, and nothing else starves.

use baton_mail::requests::timing::{ByMode, DeliverBy};

use super::*;
use crate::LaneRoom;

async fn accept(bench: &Bench, priority: i8) -> MessageId {
    let mut new = message(&["x@b.example"], b"m");
    new.envelope.priority = priority;
    bench.store.accept(new).await.unwrap().id()
}

async fn accept_many(bench: &Bench, priority: i8, count: usize) {
    for _ in 0..count {
        accept(bench, priority).await;
    }
}

fn lanes(claims: &[Claim]) -> Vec<Lane> {
    claims.iter().map(|claim| claim.envelope.lane()).collect()
}

fn count(lanes: &[Lane], lane: Lane) -> usize {
    lanes.iter().filter(|other| **other == lane).count()
}

/// After the first claim it is known that nothing of before the start waits on disk.
async fn look_around(bench: &Bench) {
    assert!(bench.claim_all().await.is_empty());
}

#[test]
fn an_urgent_message_overtakes_what_waits_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        accept_many(&bench, 0, 20).await;
        let urgent = accept(&bench, 9).await;
        let first = bench.store.claim(1).await.unwrap();
        assert_eq!(first[0].key.message, urgent);
    });
}

#[test]
fn an_urgent_message_overtakes_what_waits_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        accept_many(&bench, 0, 20).await;
        accept_many(&bench, -9, 20).await;
        let urgent = accept(&bench, 9).await;
        bench.store.close().await;
        // After the start nothing is in memory: all is read from the due index.
        let bench = Bench::open(folder.path());
        let first = bench.store.claim(1).await.unwrap();
        assert_eq!(first[0].key.message, urgent);
        let rest = lanes(&bench.store.claim(10).await.unwrap());
        assert_eq!((count(&rest, Lane::Normal), count(&rest, Lane::Low)), (8, 2), "by their weights, 4 to 1");
        assert_eq!(bench.claim_all().await.len(), 30);
        assert_consistent(&bench.store);
    });
}

#[test]
fn no_lane_starves() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        look_around(&bench).await;
        for priority in [9, 0, -9] {
            accept_many(&bench, priority, 40).await;
        }
        let mut first = Vec::new();
        for _ in 0..21 {
            first.extend(bench.store.claim(1).await.unwrap());
        }
        let first = lanes(&first);
        let counts = Lane::ALL.map(|lane| count(&first, lane));
        assert_eq!(counts, [16, 4, 1]);
    });
}

#[test]
fn a_full_window_has_room_for_what_is_urgent() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::try_open(StoreSettings { claimed_max: 16, ..settings(folder.path()) }).unwrap();
        look_around(&bench).await;
        accept_many(&bench, 0, 40).await;
        let mut burst = Vec::new();
        while let claims = bench.store.claim(LaneRoom::left(16, burst.len())).await.unwrap()
            && !claims.is_empty()
        {
            burst.extend(claims);
        }
        assert_eq!(burst.len(), 14, "an eighth is kept free");
        let room = LaneRoom::left(16, burst.len());
        assert!(!room.is_open() && !room.is_empty());
        assert_eq!(bench.store.claim(room).await.unwrap().len(), 0);
        let urgent = accept(&bench, 4).await;
        bench.store.wait_for_work_in(room).await;
        let claims = bench.store.claim(room).await.unwrap();
        assert_eq!((claims.len(), claims[0].key.message), (1, urgent));
        assert!(claims[0].body().is_some(), "from memory");
    });
}

#[test]
fn a_job_keeps_its_lane_through_all_that_becomes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let mut new = message(&["x@b.example", "y@c.example"], b"m");
        new.envelope.priority = 9;
        let _ = bench.store.accept(new).await.unwrap();
        let claim = bench.claim_all().await.remove(0);
        let parts = bench.store.split(claim, vec![vec![0], vec![1]]).await.unwrap();
        for part in parts {
            let settlement = deferred(&part, in_seconds(10));
            bench.store.settle(part, settlement).await.unwrap();
        }
        let all = Filter::default();
        assert_eq!(bench.store.hold(&all, "me").await, Ok(2));
        assert_consistent(&bench.store);
        assert_eq!(bench.store.release(&all, "me").await, Ok(2));
        assert_consistent(&bench.store);
        let claims = bench.claim_all().await;
        assert_eq!((lanes(&claims), claims[0].attempt), (vec![Lane::High; 2], 1));
        for claim in claims {
            let settlement = delivered(&claim);
            bench.store.settle(claim, settlement).await.unwrap();
        }
        assert_eq!(bench.jobs().await, []);
        assert_consistent(&bench.store);
    });
}

#[test]
fn dropped_claims_and_later_attempts_come_back_in_their_lane() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        accept_many(&bench, -9, 1).await;
        accept_many(&bench, 9, 1).await;
        drop(bench.claim_all().await);
        bench.clock.advance(Duration::from_secs(61));
        assert_eq!(lanes(&bench.claim_all().await), [Lane::High, Lane::Low]);
    });
}

async fn accept_of(bench: &Bench, tenant: &str, count: usize) {
    for _ in 0..count {
        let mut new = message(&["x@b.example"], b"m");
        new.envelope.tenant = Some(tenant.to_owned());
        let _ = bench.store.accept(new).await.unwrap();
    }
}

fn count_of(claims: &[Claim], tenant: &str) -> usize {
    claims.iter().filter(|claim| claim.envelope.tenant.as_deref() == Some(tenant)).count()
}

#[test]
fn in_a_lane_tenants_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        look_around(&bench).await;
        accept_of(&bench, "large", 60).await;
        accept_of(&bench, "small", 5).await;
        let first = bench.store.claim(10).await.unwrap();
        assert_eq!((count_of(&first, "large"), count_of(&first, "small")), (5, 5));
        assert_eq!(bench.claim_all().await.len(), 55);
    });
}

#[test]
fn a_backlog_leaves_places_in_memory_to_other_tenants() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let settings = StoreSettings { claimed_max: 80, ..settings(folder.path()) };
        let bench = Bench::try_open(settings).unwrap();
        look_around(&bench).await;
        accept_of(&bench, "large", 200).await;
        accept_of(&bench, "small", 5).await;
        let first = bench.store.claim(20).await.unwrap();
        assert_eq!(count_of(&first, "small"), 5, "they did not go behind the backlog on disk");
        assert_consistent(&bench.store);
    });
}

#[test]
fn on_disk_tenants_take_turns_too() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        accept_of(&bench, "large", 200).await;
        accept_of(&bench, "small", 5).await;
        bench.store.close().await;
        // After the start nothing is in memory. The places there are fewer than what one tenant has queued.
        let small = StoreSettings { claimed_max: 160, ..settings(folder.path()) };
        let bench = Bench::try_open(small).unwrap();
        let mut first = Vec::new();
        while first.len() < 20 {
            first.extend(bench.store.claim(20 - first.len()).await.unwrap());
        }
        assert_eq!(count_of(&first, "small"), 5, "they did not wait behind what was queued before them");
        assert_consistent(&bench.store);
    });
}

#[test]
fn a_backlog_from_disk_leaves_places_in_memory_to_new_mail() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        accept_many(&bench, 0, 40).await;
        bench.store.close().await;
        let bench = Bench::try_open(StoreSettings { claimed_max: 16, ..settings(folder.path()) }).unwrap();
        let mut backlog = Vec::new();
        while let claims = bench.store.claim(16).await.unwrap()
            && !claims.is_empty()
        {
            backlog.extend(claims);
        }
        assert_eq!(backlog.len(), 7, "half of the places, but for the eighth of the high lane");
        let new = accept(&bench, 0).await;
        let claims = bench.store.claim(16).await.unwrap();
        assert_eq!((claims.len(), claims[0].key.message), (1, new));
        assert!(claims[0].body().is_some(), "it did not go behind the backlog");
        drop(backlog);
        assert_consistent(&bench.store);
    });
}

#[test]
fn new_mail_that_finds_no_place_does_not_go_behind_the_backlog() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        accept_many(&bench, 0, 100).await;
        bench.store.close().await;
        let settings = StoreSettings { claimed_max: 16, backlog_per_s: 10, ..settings(folder.path()) };
        let bench = Bench::try_open(settings).unwrap();
        let mut new = HashSet::new();
        for _ in 0..40 {
            new.insert(accept(&bench, 0).await);
        }
        let mut old = 0;
        while !new.is_empty() {
            bench.clock.advance(Duration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(1)).await;
            for claim in bench.claim_all().await {
                old += usize::from(!new.remove(&claim.key.message));
                let settlement = delivered(&claim);
                bench.store.settle(claim, settlement).await.unwrap();
            }
            assert!(old < 20, "{} of the new wait still", new.len());
        }
        while !bench.jobs().await.is_empty() {
            bench.clock.advance(Duration::from_secs(1));
            bench.store.wait_for_work().await;
            for claim in bench.claim_all().await {
                let settlement = delivered(&claim);
                bench.store.settle(claim, settlement).await.unwrap();
            }
        }
        assert_consistent(&bench.store);
    });
}

#[test]
fn held_and_future_mail_ends_when_its_sender_said() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let by = DeliverBy { at: in_seconds(60), mode: ByMode::Return, trace: false };
        let mut future = message(&["x@b.example"], b"m");
        future.envelope.requests.deliver_by = Some(by);
        future.jobs[0].due = in_seconds(3_600);
        let mut held = message(&["x@b.example"], b"m");
        held.envelope.requests.deliver_by = Some(by);
        held.envelope.hold = Some("look".to_owned());
        for new in [future, held] {
            let _ = bench.store.accept(new).await.unwrap();
        }
        assert!(bench.claim_all().await.is_empty());
        bench.clock.advance(Duration::from_secs(61));
        assert_eq!(bench.claim_all().await.len(), 1, "what was to leave later is due at its end");
        let held = crate::format::expired_held_range(in_seconds(61));
        let db = bench.store.core().db().unwrap();
        let mut entries = db.iterate(Family::Due, &held.0, Some(&held.1));
        entries.seek_to_first();
        assert!(entries.key().is_some(), "the upkeep finds the held one");
    });
}

#[test]
fn a_queue_that_nobody_takes_from_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::try_open(StoreSettings { claimed_max: 8, ..settings(folder.path()) }).unwrap();
        accept_many(&bench, 0, 20).await;
        let claims = bench.store.claim(8).await.unwrap();
        let mut watchdog = crate::watchdog::Watchdog::default();
        watchdog.look(bench.store.core());
        assert_eq!((bench.metrics.stuck.get(), bench.metrics.oldest_due_s.get()), (0, 0));
        bench.clock.advance(Duration::from_secs(301));
        watchdog.look(bench.store.core());
        watchdog.look(bench.store.core());
        assert_eq!((bench.metrics.stuck.get(), bench.metrics.oldest_due_s.get()), (1, 301));
        let mut told = 0;
        for job in bench.jobs().await {
            let story = bench.store.story(job.key.message).await.unwrap();
            told += story.iter().filter(|event| matches!(&event.what, What::Stuck { reason, .. } if reason.contains("store.claimed_max"))).count();
        }
        assert_eq!(told, 1);
        drop(claims);
    });
}
