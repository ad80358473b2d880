//! What operators do, also to jobs that are in somebody's hands.

use super::*;
use crate::{Action, Assignment, JobState};

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
        assert!(matches!(bench.store.story(id).await.unwrap().last().unwrap().what, What::Removed(_)));
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

#[test]
fn what_operators_change_is_seen_by_delivery_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let id = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap().id();
        let assignment = Assignment {
            tenant: Some("acme".to_owned()),
            stream: Some("codes".to_owned()),
            priority: Some(9),
        };
        assert_eq!(bench.store.operate(Action::Assign(assignment.clone()), &all(), "me").await, Ok(1));
        assert_eq!(
            bench.store.operate(Action::Assign(assignment), &all(), "me").await,
            Ok(0),
            "it is so already"
        );
        let route = Action::Route(Some("backup".to_owned()));
        assert_eq!(bench.store.operate(route, &all(), "me").await, Ok(1));
        assert_consistent(&bench.store);
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        let of_tenant = Filter { tenant: Some("acme".to_owned()), ..Filter::default() };
        let at_backup = Filter { site: Some("backup".to_owned()), ..Filter::default() };
        for filter in [of_tenant, at_backup] {
            assert_eq!(bench.store.find(&filter, None, 9).await.unwrap().len(), 1);
        }
        let claim = bench.claim_all().await.remove(0);
        assert_eq!((claim.route(), claim.envelope.lane()), (Some("backup"), Lane::High));
        assert_eq!(claim.envelope.stream.as_deref(), Some("codes"));
        // Parts of a job keep what was changed; so does what waits for another attempt.
        let settlement = deferred(&claim, in_seconds(5));
        bench.store.settle(claim, settlement).await.unwrap();
        let nobody = Assignment { tenant: Some(String::new()), ..Assignment::default() };
        assert_eq!(bench.store.operate(Action::Assign(nobody), &all(), "me").await, Ok(1));
        let view = bench.jobs().await.remove(0);
        assert_eq!((view.tenant, view.stream.as_deref(), view.priority), (None, Some("codes"), 9));
        assert_consistent(&bench.store);
        let story = bench.store.story(id).await.unwrap();
        assert!(story.iter().any(|event| matches!(&event.what, What::Rerouted { by, .. } if by == "me")));
        assert!(
            story.iter().any(|event| matches!(&event.what, What::Reassigned { to, .. } if to.len() == 3))
        );
    });
}

#[test]
fn a_job_to_be_bounced_is_due_at_once_in_whatever_state_it_was() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for _ in 0..3 {
            let _ = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap();
        }
        let mut claims = bench.claim_all().await;
        let waiting = claims.remove(0);
        let (settlement, held) = (deferred(&waiting, in_seconds(900)), Filter::of(claims[0].key.message));
        bench.store.settle(waiting, settlement).await.unwrap();
        let settlement = Settlement { hold: Some("look".to_owned()), ..Settlement::default() };
        bench.store.settle(claims.remove(0), settlement).await.unwrap();
        assert_eq!(bench.store.find(&held, None, 1).await.unwrap()[0].state, JobState::Held);
        // One waits, one is held, one is being delivered.
        assert_eq!(bench.store.operate(Action::Bounce("full".to_owned()), &all(), "me").await, Ok(3));
        let last = claims.remove(0);
        let settlement = deferred(&last, in_seconds(900));
        bench.store.settle(last, settlement).await.unwrap();
        assert_eq!(bench.jobs().await.iter().filter(|job| job.state == JobState::Ready).count(), 3);
        assert_consistent(&bench.store);
        let mut given_up = bench.claim_all().await;
        // On a busy machine they may be given out one after the other.
        while given_up.len() < 3 {
            bench.store.wait_for_work().await;
            given_up.extend(bench.claim_all().await);
        }
        for claim in given_up {
            let give_up = claim.give_up().unwrap();
            assert_eq!((give_up.by.as_str(), give_up.reason.as_str()), ("me", "full"));
        }
    });
}

#[test]
fn jobs_are_found_by_age_and_by_what_the_last_attempt_said() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let old = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap().id();
        let claim = bench.claim_all().await.remove(0);
        let settlement = deferred(&claim, in_seconds(900));
        bench.store.settle(claim, settlement).await.unwrap();
        bench.clock.advance(Duration::from_secs(60));
        let _ = bench.store.accept(message_at(in_seconds(60), &["y@c.example"], b"m")).await.unwrap();
        let filters = [
            Filter { older_ms: Some(60_000), ..Filter::default() },
            Filter { error: Some("AS scripted".to_owned()), ..Filter::default() },
            Filter { site: Some(".b.example".to_owned()), ..Filter::default() },
            Filter { site: Some("MX.b.example".to_owned()), ..Filter::default() },
            Filter { class: Some(FailureClass::Unknown), ..Filter::default() },
            Filter { recipient: Some("@b.example".to_owned()), ..Filter::default() },
        ];
        for filter in filters {
            let found = bench.store.find(&filter, None, 9).await.unwrap();
            assert_eq!(found.iter().map(|job| job.key.message).collect::<Vec<_>>(), [old], "{filter:?}");
        }
        let young = Filter { younger_ms: Some(60_000), ..Filter::default() };
        assert_eq!(bench.store.find(&young, None, 9).await.unwrap()[0].queue, "b.example");
        let first = bench.store.find_for(&all(), None, 1, Duration::ZERO).await.unwrap();
        let rest = bench.store.find_for(&all(), first.next, 9, Duration::ZERO).await.unwrap();
        assert_eq!((first.jobs.len(), rest.jobs.len(), rest.next), (1, 1, None), "it goes on where it ended");
    });
}
