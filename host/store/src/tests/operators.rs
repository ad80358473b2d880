//! What operators do, also to jobs that are in somebody's hands.

use super::*;
use crate::JobState;

fn all() -> Filter {
    Filter::default()
}

#[test]
fn hold_and_release() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let id = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap().id();
        // It stands in the ready list; the hold takes it out.
        assert_eq!(bench.store.hold(&all(), "me").await, Ok(1));
        assert!(bench.claim_all().await.is_empty());
        let view = bench.jobs().await.remove(0);
        assert_eq!((view.state, view.due, view.hold.as_deref()), (JobState::Held, None, Some("held by me")));
        assert_eq!(bench.store.hold(&all(), "me").await, Ok(0));
        assert_eq!(bench.store.retry(&all(), "me").await, Ok(0), "held jobs stay held");
        assert_eq!(bench.store.release(&all(), "me").await, Ok(1));
        bench.store.wait_for_work().await;
        assert_eq!(bench.claim_all().await.len(), 1);
        let story = bench.store.story(id).await.unwrap();
        assert!(matches!(story[1].what, What::Held { .. }) && matches!(story[2].what, What::Released { .. }));
        assert_consistent(&bench.store);
    });
}

#[test]
fn retry_makes_a_waiting_job_due() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap();
        let claim = bench.claim_all().await.remove(0);
        let settlement = deferred(&claim, in_seconds(9_000));
        bench.store.settle(claim, settlement).await.unwrap();
        assert_eq!(bench.store.retry(&all(), "me").await, Ok(1));
        bench.store.wait_for_work().await;
        let claim = bench.claim_all().await.remove(0);
        assert_eq!((claim.attempt, claim.last.clone()), (1, Some(status(4))));
    });
}

#[test]
fn a_job_in_delivery_is_held_or_removed_when_it_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for _ in 0..4 {
            let _ = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap();
        }
        let mut claims = bench.claim_all().await;
        let key = |claim: &Claim| Filter { message: Some(claim.key.message), ..Filter::default() };
        assert_eq!(bench.store.hold(&key(&claims[0]), "me").await, Ok(1));
        assert_eq!(bench.store.hold(&key(&claims[1]), "me").await, Ok(1));
        assert_eq!(bench.store.remove(&key(&claims[2]), "me").await, Ok(1));
        let settlement = delivered(&claims[0]);
        bench.store.settle(claims.remove(0), settlement).await.unwrap();
        for claim in claims {
            let settlement = deferred(&claim, in_seconds(10));
            bench.store.settle(claim, settlement).await.unwrap();
        }
        let mut states: Vec<JobState> = bench.jobs().await.iter().map(|view| view.state).collect();
        states.sort_by_key(|state| *state as u8);
        assert_eq!(states, [JobState::Waiting, JobState::Held]);
        assert_eq!(bench.metrics.jobs_held.get(), 1);
        assert_consistent(&bench.store);
    });
}

#[test]
fn remove_takes_one_job_or_the_whole_message() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let mut new = message(&["x@b.example", "y@c.example"], b"m");
        new.jobs = vec![job("b.example", [0]), job("c.example", [1])];
        let id = bench.store.accept(new).await.unwrap().id();
        let domain = |text: &str| Filter { domain: Some(text.parse().unwrap()), ..Filter::default() };
        assert_eq!(bench.store.remove(&domain("d.example"), "me").await, Ok(0));
        assert_eq!(bench.store.remove(&domain("b.example"), "me").await, Ok(1));
        assert_eq!(bench.jobs().await[0].queue, "c.example");
        assert_consistent(&bench.store);
        let by_recipient = Filter { recipient: Some("Y@c.example".to_owned()), ..Filter::default() };
        assert_eq!(bench.store.remove(&by_recipient, "me").await, Ok(1));
        assert_eq!(bench.jobs().await, []);
        assert_consistent(&bench.store);
        assert!(matches!(bench.store.story(id).await.unwrap().last().unwrap().what, What::Removed { .. }));
        assert!(bench.claim_all().await.is_empty(), "what was removed is not given out");
    });
}

#[test]
fn pages_cover_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for _ in 0..5 {
            let mut new = message(&["x@b.example", "y@c.example"], b"m");
            new.jobs = vec![job("b.example", [0]), job("c.example", [1])];
            let _ = bench.store.accept(new).await.unwrap();
        }
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = bench.store.find(&all(), after, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.key);
            seen.extend(page.iter().map(|view| view.key));
        }
        let unique: HashSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), unique.len()), (10, 10));
        let null = Filter { sender: Some(String::new()), ..Filter::default() };
        assert_eq!(bench.store.find(&null, None, 10).await.unwrap(), []);
        assert_eq!(bench.store.hold(&all(), "me").await, Ok(10));
        let held = Filter { state: Some(JobState::Held), ..Filter::default() };
        assert_eq!(bench.store.find(&held, None, 100).await.unwrap().len(), 10);
    });
}
