//! Databases that released formats wrote are opened (house rule 22). `write` makes a new one, by hand.

use std::fs;
use std::path::PathBuf;

use baton_mail::requests::{Notify, RecipientRequests};

use super::*;
use crate::format::{RESHELVING_KEY, due_key};
use crate::shelf::Shelf;
use crate::{Action, Assignment, JobState};

fn fixture(format: u32) -> PathBuf {
    PathBuf::from(
        std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder when it runs tests"),
    )
    .join(format!("tests/fixtures/format-{format}"))
}

/// A copy of a fixture, opened.
pub(super) fn opened(format: u32) -> (Bench, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(format)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    (Bench::open(folder.path()), folder)
}

#[test]
fn format_1_is_opened_and_understood() {
    let (bench, folder) = opened(1);
    block_on(async {
        assert_consistent(&bench.store);
        let jobs = bench.jobs().await;
        let found: Vec<_> = jobs.iter().map(|job| (job.state, job.attempt, job.recipients.len())).collect();
        // In the order of their making: in the tables, deferred, held, with two jobs; and one in the log.
        assert_eq!(
            found,
            [
                (JobState::Waiting, 1, 1),
                (JobState::Held, 0, 1),
                (JobState::Ready, 0, 1),
                (JobState::Ready, 0, 1),
                (JobState::Ready, 0, 1),
            ]
        );
        assert_eq!(jobs[0].last, Some(status(4)));
        assert_eq!(jobs[1].hold.as_deref(), Some("suspicious"));
        let first = jobs[0].key.message;
        assert_eq!(&bench.store.body(first).await.unwrap().to_bytes()[..], b"Subject: 1\r\n\r\nfirst\r\n");
        let large = bench.store.body(jobs[2].key.message).await.unwrap().to_bytes();
        assert!(large.len() == 3_000 && large.iter().all(|octet| *octet == b'x'), "from a blob file");
        assert!(matches!(bench.store.story(first).await.unwrap()[0].what, What::Accepted { .. }));
        assert_eq!(bench.store.kv().get("bucket", "key").await, Ok(Some(b"value".to_vec())));
        assert_eq!(bench.store.kv().increment("bucket", "count", 1, None).await, Ok(42));
        let claims = bench.claim_all().await;
        assert_eq!(claims.len(), 3);
        assert!(claims.iter().all(|claim| claim.envelope.priority == 0), "the field came later");
        let db = bench.store.core().db().unwrap();
        let format = db.get(Family::Meta, crate::format::FORMAT_KEY).unwrap().unwrap();
        assert_eq!(
            decode::<u32>(&format),
            Ok(crate::format::DATABASE_FORMAT),
            "it is of this format from now on"
        );
        drop(folder);
    });
}

#[test]
fn format_2_is_opened_and_understood() {
    let (bench, folder) = opened(2);
    block_on(async {
        assert_consistent(&bench.store);
        let claims = bench.store.claim(1).await.unwrap();
        assert_eq!(claims[0].envelope.priority, 5, "the urgent one, although it came later");
        let rest: Vec<i8> = bench.claim_all().await.iter().map(|claim| claim.envelope.priority).collect();
        assert_eq!(rest, [0, 0, 0, -9]);
        drop(folder);
    });
}

#[test]
fn format_3_is_opened_and_understood() {
    let (bench, folder) = opened(3);
    block_on(async {
        assert_consistent(&bench.store);
        bench.clock.advance(Duration::from_secs(10));
        let claims = bench.claim_all().await;
        let wishes = claims.iter().find(|claim| claim.envelope.tenant.is_some()).unwrap();
        assert!(wishes.envelope.requests.require_tls && wishes.route().is_none());
        assert_eq!(wishes.envelope.recipients[0].notify(), Notify::default());
        bench.clock.advance(Duration::from_secs(600));
        assert!(bench.claim_all().await.iter().any(|claim| claim.delay_told));
        drop(folder);
    });
}

#[test]
fn format_4_is_opened_and_understood() {
    let (bench, folder) = opened(4);
    block_on(async {
        // What is somebody's is on the shelves from now on, also what operators made somebody's.
        assert_consistent(&bench.store);
        let jobs = bench.jobs().await;
        let tenants: Vec<_> = jobs.iter().filter_map(|job| job.tenant.as_deref()).collect();
        assert_eq!(tenants, ["acme", "given"]);
        bench.clock.advance(Duration::from_secs(600));
        assert_eq!(bench.claim_all().await.len(), jobs.len() - 1, "all but the held one");
        drop(folder);
    });
}

#[test]
fn putting_the_index_on_shelves_goes_on_after_an_interrupted_start() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        for tenant in ["acme", "other"] {
            let mut new = message(&["x@b.example"], b"m");
            new.envelope.tenant = Some(tenant.to_owned());
            let _ = bench.store.accept(new).await.unwrap();
        }
        let first = bench.jobs().await.remove(0).key;
        let db = bench.store.core().db().unwrap();
        let job = load_job(&db, first).unwrap().unwrap();
        let was = due_key(job.shelf(), job.due, first);
        let value = db.get(Family::Due, &was).unwrap().unwrap().to_vec();
        let mut batch = rocksdb::WriteBatch::default();
        batch.delete_cf(db.family(Family::Due), &*was);
        batch.put_cf(db.family(Family::Due), &*due_key(Shelf::HELD, job.due, first), value);
        batch.put_cf(db.family(Family::Meta), RESHELVING_KEY, [FORMAT]);
        db.write(batch).unwrap();
        drop(db);
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        assert_consistent(&bench.store);
        assert_eq!(bench.claim_all().await.len(), 2);
        let db = bench.store.core().db().unwrap();
        assert!(db.get(Family::Meta, RESHELVING_KEY).unwrap().is_none(), "it is done");
    });
}

/// A message whose sender asked for something: format 3 came with that.
fn with_wishes() -> NewMessage {
    let mut new = message_at(in_seconds(6), &["x@b.example"], b"wishes");
    new.envelope.tenant = Some("acme".to_owned());
    new.envelope.stream = Some("orders".to_owned());
    new.envelope.requests.require_tls = true;
    let requests = RecipientRequests { notify: Some(Notify::default()), original: None };
    new.envelope.recipients[0].requests = Some(Box::new(requests));
    new
}

#[test]
#[ignore = "writes the fixture of the current format; run by hand when the format changes"]
fn write() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let _ = bench.store.accept(message(&["x@b.example"], b"Subject: 1\r\n\r\nfirst\r\n")).await.unwrap();
        let claim = bench.claim_all().await.remove(0);
        let settlement = deferred(&claim, in_seconds(300));
        bench.store.settle(claim, settlement).await.unwrap();
        let mut held = message_at(in_seconds(1), &["x@b.example"], b"Subject: 2\r\n\r\nheld\r\n");
        held.envelope.hold = Some("suspicious".to_owned());
        let _ = bench.store.accept(held).await.unwrap();
        let mut two = message_at(in_seconds(2), &["x@b.example", "y@c.example"], &[b'x'; 3_000]);
        two.jobs = vec![job("b.example", [0]), job("c.example", [1])];
        let _ = bench.store.accept(two).await.unwrap();
        let kv = bench.store.kv();
        kv.set("bucket", "key", b"value", None).await.unwrap();
        kv.increment("bucket", "count", 41, None).await.unwrap();
        drop(kv);
        bench.jobs().await;
        bench.store.core().db().unwrap().compact_bodies().unwrap();
        for (seconds, priority) in [(3, 0), (4, -9), (5, 5)] {
            let mut last = message_at(in_seconds(seconds), &["x@b.example"], b"last");
            last.envelope.priority = priority;
            let _ = bench.store.accept(last).await.unwrap();
        }
        let _ = bench.store.accept(with_wishes()).await.unwrap();
        let mut late = message_at(in_seconds(7), &["x@b.example"], b"late");
        late.envelope.priority = 9;
        let _ = bench.store.accept(late).await.unwrap();
        let claim = bench.store.claim(1).await.unwrap().remove(0);
        let settlement = Settlement { delay_told: true, ..deferred(&claim, in_seconds(600)) };
        bench.store.settle(claim, settlement).await.unwrap();
        // Format 4 came with changes of operators.
        let given = message_at(in_seconds(8), &["x@b.example"], b"given");
        let only = Filter { message: Some(given.envelope.id), ..Filter::default() };
        let _ = bench.store.accept(given).await.unwrap();
        let to = Assignment { tenant: Some("given".to_owned()), ..Assignment::default() };
        assert_eq!(bench.store.operate(Action::Assign(to), &only, "me").await, Ok(1));
        bench.store.close().await;
    });
    let to = fixture(crate::format::DATABASE_FORMAT);
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // Locks are made anew, and options are only notes.
        if !name.starts_with("OPTIONS") && name != "LOCK" && name != "store.lock" {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
