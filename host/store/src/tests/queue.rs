//! Accept, claim, settle.

use super::*;
use crate::{AcceptError, StoreError};

#[test]
fn a_message_is_delivered_from_memory_and_leaves_only_its_story() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let new = message(&["x@b.example"], b"Subject: a\r\n\r\nbody\r\n");
        let id = new.envelope.id;
        let accepted = bench.store.accept(new).await.unwrap();
        assert_eq!(accepted.reply().to_string(), format!("250 2.0.0 queued as {id}"));
        let mut claims = bench.claim_all().await;
        assert_eq!(claims.len(), 1);
        assert!(bench.claim_all().await.is_empty(), "a job is given out once");
        let claim = claims.remove(0);
        assert_eq!(&claim.body().unwrap().to_bytes()[..], b"Subject: a\r\n\r\nbody\r\n");
        let mut settlement = delivered(&claim);
        let event = What::Delivered { recipients: Vec::new(), status: status(2), attempt: 1, took_ms: 5 };
        settlement.events.push(Event { message: id, at: START, what: event });
        bench.store.settle(claim, settlement).await.unwrap();
        assert_eq!(bench.jobs().await, []);
        let story = bench.store.story(id).await.unwrap();
        assert!(
            matches!(story[0].what, What::Accepted { .. }) && matches!(story[1].what, What::Delivered { .. })
        );
        assert_eq!(bench.store.recent(10).await.unwrap()[0].0, id);
        assert_eq!(
            bench.store.body(id).await,
            Err(StoreError::Damaged("envelope record: missing".to_owned()))
        );
        assert_consistent(&bench.store);
        assert_eq!(bench.metrics.jobs.get(), 0);
    });
}

#[test]
fn a_queue_survives_closing() {
    let folder = tempfile::tempdir().unwrap();
    let id = block_on(async {
        let bench = Bench::open(folder.path());
        let accepted = bench.store.accept(message(&["x@b.example"], b"kept")).await.unwrap();
        bench.store.close().await;
        accepted.id()
    });
    block_on(async {
        let bench = Bench::open(folder.path());
        bench.store.wait_for_work().await;
        let claims = bench.claim_all().await;
        assert_eq!(claims[0].key.message, id);
        assert!(claims[0].body().is_none(), "memory is empty after a start");
        assert_eq!(&bench.store.body(id).await.unwrap().to_bytes()[..], b"kept");
    });
}

#[test]
fn a_deferred_job_comes_back_when_it_is_due() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["x@b.example", "y@b.example"], b"m")).await.unwrap();
        let claim = bench.claim_all().await.remove(0);
        let mut settlement = deferred(&claim, in_seconds(300));
        settlement.outcomes[0].1 = Outcome::Delivered(status(2));
        settlement.queue = Some("other".to_owned());
        bench.store.settle(claim, settlement).await.unwrap();
        let view = bench.jobs().await.remove(0);
        assert_eq!((view.state, view.due), (crate::JobState::Waiting, Some(in_seconds(300))));
        assert!(bench.claim_all().await.is_empty(), "not due yet");
        bench.clock.advance(Duration::from_secs(300));
        bench.store.wait_for_work().await;
        let claim = bench.claim_all().await.remove(0);
        assert_eq!((&claim.recipients[..], claim.attempt, &*claim.queue), (&[1][..], 1, "other"));
        assert_eq!(claim.last, Some(status(4)));
        bench
            .store
            .settle(
                claim_body(&bench, claim).await,
                Settlement { outcomes: vec![(1, Outcome::Failed(status(5)))], ..Settlement::default() },
            )
            .await
            .unwrap();
        assert_eq!(bench.jobs().await, []);
        assert_consistent(&bench.store);
    });
}

/// Reads the body back, as a delivery does.
async fn claim_body(bench: &Bench, claim: Claim) -> Claim {
    assert_eq!(&bench.store.body(claim.key.message).await.unwrap().to_bytes()[..], b"m");
    claim
}

#[test]
fn the_last_of_several_jobs_takes_the_message_with_it() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let mut new = message(&["x@b.example", "y@c.example", "z@c.example"], b"m");
        new.jobs = vec![job("b.example", [0]), job("c.example", [1, 2])];
        let id = bench.store.accept(new).await.unwrap().id();
        let mut claims = bench.claim_all().await;
        let (second, first) = (claims.pop().unwrap(), claims.pop().unwrap());
        let settlement = delivered(&first);
        bench.store.settle(first, settlement).await.unwrap();
        assert_eq!(bench.jobs().await.len(), 1);
        assert_eq!(&bench.store.body(id).await.unwrap().to_bytes()[..], b"m");
        let parts = bench.store.split(second, vec![vec![2], vec![1]]).await.unwrap();
        assert_eq!([&parts[0].recipients[..], &parts[1].recipients[..]], [[2], [1]]);
        assert_eq!(bench.jobs().await.len(), 2);
        assert_consistent(&bench.store);
        // Both in one group: only the later one may take the envelope.
        for part in parts {
            let settlement = delivered(&part);
            bench.store.settle(part, settlement).await.unwrap();
        }
        assert_eq!(bench.jobs().await, []);
        assert_consistent(&bench.store);
    });
}

#[test]
fn a_single_job_can_be_split_and_its_parts_split_again() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let to = ["a@b.example", "b@b.example", "c@b.example", "d@b.example"];
        let _ = bench.store.accept(message(&to, b"m")).await.unwrap();
        let claim = bench.claim_all().await.remove(0);
        let mut parts = bench.store.split(claim, vec![vec![1, 3], vec![0, 2]]).await.unwrap();
        let keeper = parts.pop().unwrap();
        let odd = bench.store.split(parts.pop().unwrap(), vec![vec![3], vec![1]]).await.unwrap();
        let names: HashSet<u16> = odd.iter().map(|claim| claim.key.job).chain([keeper.key.job]).collect();
        assert_eq!(names, HashSet::from([0, 1, 3]));
        drop((keeper, odd));
        assert_eq!(bench.jobs().await.len(), 3);
        assert_consistent(&bench.store);
        bench.clock.advance(Duration::from_secs(61));
        for claim in bench.claim_all().await {
            let settlement = delivered(&claim);
            bench.store.settle(claim, settlement).await.unwrap();
        }
        assert_eq!(bench.jobs().await, []);
        assert_consistent(&bench.store);
    });
}

#[test]
fn groups_that_are_not_the_recipients_are_refused_and_the_claim_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["a@b.example", "b@b.example"], b"m")).await.unwrap();
        for groups in [vec![vec![0]], vec![vec![0, 1], vec![]], vec![vec![0, 1], vec![1]]] {
            let claim = bench.claim_all().await.remove(0);
            assert!(matches!(bench.store.split(claim, groups).await, Err(StoreError::Misuse(_))));
            bench.clock.advance(Duration::from_secs(61));
        }
        let claim = bench.claim_all().await.remove(0);
        let result = bench.store.settle(claim, Settlement::default()).await;
        assert!(matches!(result, Err(StoreError::Misuse(_))), "{result:?}");
    });
}

#[test]
fn a_large_body_goes_ahead_in_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    block_on(async {
        let bench =
            Bench::try_open(StoreSettings { memory_body_octets_max: 1_000, ..settings(folder.path()) })
                .unwrap();
        let mut new = message(&["x@b.example"], &body);
        new.body = body.chunks(70_001).map(Bytes::copy_from_slice).collect();
        let id = bench.store.accept(new).await.unwrap().id();
        let claim = bench.claim_all().await.remove(0);
        assert!(claim.body().is_none(), "too large for memory");
        assert!(bench.store.body(id).await.unwrap().to_bytes() == body);
        assert_consistent(&bench.store);
        let settlement = delivered(&claim);
        bench.store.settle(claim, settlement).await.unwrap();
        assert_eq!(bench.jobs().await, []);
        assert_consistent(&bench.store);
    });
}

#[test]
fn a_report_is_queued_with_the_failure_that_it_tells_of() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap();
        let claim = bench.claim_all().await.remove(0);
        let mut report = message(&["sender@a.example"], b"report");
        report.envelope.sender = ReversePath::Null;
        let id = report.envelope.id;
        let failed = vec![(0, Outcome::Failed(status(5)))];
        bench
            .store
            .settle(claim, Settlement { outcomes: failed, reports: vec![report], ..Settlement::default() })
            .await
            .unwrap();
        bench.store.wait_for_work().await;
        let claim = bench.claim_all().await.remove(0);
        assert_eq!(claim.key.message, id);
        assert_eq!(&claim.body().unwrap().to_bytes()[..], b"report");
        assert_consistent(&bench.store);
    });
}

#[test]
fn jobs_that_do_not_cover_recipients_once_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for jobs in [vec![], vec![job("q", [])], vec![job("q", [0]), job("q", [0])], vec![job("q", [7])]] {
            let mut new = message(&["x@b.example"], b"m");
            new.jobs = jobs;
            let refused = bench.store.accept(new).await.unwrap_err();
            assert!(matches!(refused, AcceptError::Unschedulable(_)));
            assert_eq!(refused.reply().code(), 451);
        }
        assert_eq!(bench.jobs().await, []);
    });
}

#[test]
fn a_full_disk_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench =
            Bench::try_open(StoreSettings { free_octets_min: u64::MAX, ..settings(folder.path()) }).unwrap();
        let refusal = bench.store.check_space().unwrap_err();
        assert_eq!((refusal.clone(), refusal.reply().code()), (crate::Refusal::DiskFull, 452));
        let refused = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap_err();
        assert_eq!(refused.reply().to_string(), "452 4.3.1 insufficient system storage");
        assert_eq!(bench.jobs().await, []);
    });
}

#[test]
fn history_ends_after_its_days() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let old = UnixMs(START.0 - 15 * 24 * 3_600_000);
        let ids = [message_at(old, &["x@b.example"], b"m"), message(&["x@b.example"], b"m")]
            .map(|new| new.envelope.id);
        let event = |id: MessageId| Event {
            message: id,
            at: id.time(),
            what: What::Released { by: "me".to_owned() },
        };
        bench.store.record(ids.map(event).to_vec()).await;
        assert_eq!(bench.store.recent(10).await.unwrap().len(), 2);
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        while bench.store.recent(10).await.unwrap().len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(bench.store.story(ids[1]).await.unwrap().len(), 1);
        assert_eq!(bench.store.story(ids[0]).await.unwrap(), []);
    });
}

#[test]
fn a_watch_tells_of_what_is_on_disk_in_order() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["x@b.example"], b"before")).await.unwrap();
        let mut watch = bench.store.watch(100);
        let id = bench.store.accept(message(&["x@b.example"], b"after")).await.unwrap().id();
        let event = Event { message: id, at: START, what: What::Released { by: "me".to_owned() } };
        bench.store.record(vec![event.clone()]).await;
        let mut told = Vec::new();
        while told.len() < 2 {
            told.extend(watch.next().await);
        }
        assert!(told[0].message == id && matches!(told[0].what, What::Accepted { .. }), "{told:?}");
        assert_eq!((&told[1], told.len(), watch.missed()), (&event, 2, 0));
    });
}

#[test]
fn a_watch_that_nobody_reads_loses_the_oldest_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let mut watch = bench.store.watch(3);
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(bench.store.accept(message(&["x@b.example"], b"many")).await.unwrap().id());
        }
        bench.store.story(ids[9]).await.unwrap();
        let told: Vec<_> = watch.next().await.into_iter().map(|event| event.message).collect();
        assert_eq!((told, watch.missed()), (ids[7..].to_vec(), 7));
    });
}
