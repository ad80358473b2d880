//! The window: who gets what, when, and how often.

use super::*;
use crate::JobState;

#[test]
fn a_dropped_claim_comes_back_after_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap();
        drop(bench.claim_all().await);
        bench.clock.advance(Duration::from_secs(59));
        assert!(bench.claim_all().await.is_empty());
        bench.clock.advance(Duration::from_secs(1));
        bench.store.wait_for_work().await;
        let claims = bench.claim_all().await;
        assert_eq!((claims.len(), claims[0].attempt), (1, 0));
        assert_eq!(bench.metrics.handed_back.get(), 1);
    });
}

#[test]
fn what_finds_no_place_in_the_window_is_found_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::try_open(StoreSettings { claimed_max: 3, ..settings(folder.path()) }).unwrap();
        let mut waiting = HashSet::new();
        for _ in 0..10 {
            waiting.insert(bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap().id());
        }
        while !waiting.is_empty() {
            bench.store.wait_for_work().await;
            let claims = bench.claim_all().await;
            assert!(claims.len() <= 3, "the window is bounded");
            for claim in claims {
                assert!(waiting.remove(&claim.key.message), "given out twice");
                let settlement = delivered(&claim);
                bench.store.settle(claim, settlement).await.unwrap();
            }
        }
        assert_eq!(bench.jobs().await, []);
        assert_consistent(&bench.store);
    });
}

#[test]
fn fresh_work_does_not_starve_what_is_due() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let mut old = Vec::new();
        for _ in 0..4 {
            old.push(bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap().id());
        }
        for claim in bench.claim_all().await {
            let settlement = deferred(&claim, in_seconds(10));
            bench.store.settle(claim, settlement).await.unwrap();
        }
        assert_eq!(bench.jobs().await.len(), 4);
        bench.clock.advance(Duration::from_secs(10));
        for _ in 0..32 {
            let _ = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap();
        }
        // The first claim begins to read the index, and does not wait for it.
        let before = bench.store.claim(1).await.unwrap();
        while bench.metrics.jobs_in_memory.get() < 36 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(before.iter().all(|claim| !old.contains(&claim.key.message)));
        let first = bench.store.claim(31).await.unwrap();
        assert_eq!(first.iter().filter(|claim| old.contains(&claim.key.message)).count(), 2);
    });
}

#[test]
fn states_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["x@b.example"], b"1")).await.unwrap();
        let claim = bench.claim_all().await;
        let mut later = message(&["x@b.example"], b"2");
        later.jobs[0].due = in_seconds(60);
        let _ = bench.store.accept(later).await.unwrap();
        let mut held = message(&["x@b.example"], b"3");
        held.envelope.hold = Some("suspicious".to_owned());
        let _ = bench.store.accept(held).await.unwrap();
        let _ = bench.store.accept(message(&["x@b.example"], b"44")).await.unwrap();
        let states: HashSet<JobState> = bench.jobs().await.iter().map(|view| view.state).collect();
        assert_eq!(states.len(), 4);
        let summary = bench.store.summary().await.unwrap();
        assert_eq!((summary.ready, summary.waiting, summary.held, summary.claimed), (1, 1, 1, 1));
        assert_eq!((summary.octets, summary.queues[0].jobs), (5, 4));
        assert_eq!((bench.metrics.jobs.get(), bench.metrics.jobs_held.get()), (4, 1));
        drop(claim);
    });
}

#[test]
fn the_figures_at_start_are_those_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let mut held = message(&["x@b.example"], b"3");
        held.envelope.hold = Some("suspicious".to_owned());
        let _ = bench.store.accept(held).await.unwrap();
        let _ = bench.store.accept(message(&["x@b.example"], b"44")).await.unwrap();
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["x@b.example"], b"5")).await.unwrap();
        while bench.metrics.jobs.get() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((bench.metrics.jobs.get(), bench.metrics.jobs_held.get()), (3, 1));
    });
}

#[test]
fn a_waiter_wakes_for_fresh_work_and_for_a_moved_clock() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        assert!(bench.claim_all().await.is_empty());
        let store = bench.store.clone();
        let waiter = tokio::spawn(async move { store.wait_for_work().await });
        tokio::task::yield_now().await;
        let mut later = message(&["x@b.example"], b"2");
        later.jobs[0].due = in_seconds(3_600);
        let _ = bench.store.accept(later).await.unwrap();
        assert!(!waiter.is_finished());
        bench.clock.advance(Duration::from_secs(3_600));
        bench.store.poke();
        waiter.await.unwrap();
        assert_eq!(bench.claim_all().await.len(), 1);
    });
}

#[test]
fn many_accepts_share_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let accept = |_| {
            let store = bench.store.clone();
            tokio::spawn(
                async move { store.accept(message(&["x@b.example"], &[b'x'; 4_096])).await.map(drop) },
            )
        };
        let tasks: Vec<_> = (0..200).map(accept).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let groups = bench.metrics.groups.get();
        assert!(groups <= 100, "200 accepts took {groups} syncs");
        assert_eq!(bench.jobs().await.len(), 200);
        assert_consistent(&bench.store);
    });
}
