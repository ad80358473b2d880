//! The key-value store of the plugins.

use super::*;
use crate::{Kv, KvError};

/// Waits until all changes are in the database, so that reads do not come from memory.
async fn settle_down(bench: &Bench) {
    let id = MessageId::new(START);
    let event = Event { message: id, at: START, what: What::Released { by: "me".to_owned() } };
    bench.store.record(vec![event]).await;
    bench.store.story(id).await.unwrap();
}

#[test]
fn values_are_read_from_memory_and_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let kv = bench.store.kv();
        kv.set("a", "key", b"value", None).await.unwrap();
        assert_eq!(kv.get("a", "key").await, Ok(Some(b"value".to_vec())));
        assert_eq!(kv.get("b", "key").await, Ok(None), "buckets are apart");
        settle_down(&bench).await;
        assert_eq!(kv.get("a", "key").await, Ok(Some(b"value".to_vec())));
        drop(kv);
        bench.store.close().await;
        let bench = Bench::open(folder.path());
        assert_eq!(bench.store.kv().get("a", "key").await, Ok(Some(b"value".to_vec())));
        bench.store.kv().delete("a", "key").await.unwrap();
        assert_eq!(bench.store.kv().get("a", "key").await, Ok(None));
        settle_down(&bench).await;
        assert_eq!(bench.store.kv().get("a", "key").await, Ok(None));
    });
}

#[test]
fn what_expired_is_absent_and_swept() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let kv = bench.store.kv();
        kv.set("a", "short", b"1", Some(1_000)).await.unwrap();
        kv.set("a", "long", b"1", Some(9_000)).await.unwrap();
        settle_down(&bench).await;
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(kv.get("a", "short").await, Ok(None));
        assert_eq!(kv.set_if_absent("a", "short2", b"2", None).await, Ok(true));
        bench.store.core().kv.sweep(bench.store.core(), || false);
        settle_down(&bench).await;
        let db = bench.store.core().db().unwrap();
        let mut entries = db.iterate(Family::Kv, &[], None);
        entries.seek_to_first();
        let mut count = 0;
        while entries.valid() {
            count += 1;
            entries.next();
        }
        assert_eq!(count, 2);
    });
}

#[test]
fn changes_are_atomic() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let kv = bench.store.kv();
        let count = |kv: Kv| async move {
            for _ in 0..500 {
                kv.increment("a", "n", 1, None).await.unwrap();
            }
        };
        let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(count(kv.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(kv.get("a", "n").await, Ok(Some(b"2000".to_vec())));
        settle_down(&bench).await;
        assert_eq!(kv.increment("a", "n", -1, None).await, Ok(1_999));
        assert_eq!(kv.compare_and_set("a", "n", Some(b"7"), Some(b"8"), None).await, Ok(false));
        assert_eq!(kv.compare_and_set("a", "n", Some(b"1999"), Some(b"x"), None).await, Ok(true));
        assert_eq!(kv.increment("a", "n", 1, None).await, Err(KvError::NotANumber));
        assert_eq!(kv.compare_and_set("a", "n", Some(b"x"), None, None).await, Ok(true));
        assert_eq!(kv.get("a", "n").await, Ok(None));
    });
}

#[test]
fn a_fixed_window_keeps_its_end() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let kv = bench.store.kv();
        assert_eq!(kv.increment("a", "n", 5, Some(1_000)).await, Ok(5));
        bench.clock.advance(Duration::from_millis(999));
        assert_eq!(kv.increment("a", "n", 5, Some(1_000)).await, Ok(10));
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!(kv.increment("a", "n", 5, Some(1_000)).await, Ok(5));
        assert!(kv.take("a", "t", 2, 2, 1_000).await.unwrap().allowed);
        assert!(!kv.take("a", "t", 1, 2, 1_000).await.unwrap().allowed);
    });
}

#[test]
fn bounds_hold() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench =
            Bench::try_open(StoreSettings { kv_octets_per_bucket_max: 1_000, ..settings(folder.path()) })
                .unwrap();
        let kv = bench.store.kv();
        assert_eq!(kv.set("a", &"k".repeat(513), b"", None).await, Err(KvError::TooLarge));
        assert_eq!(kv.set("a", "", b"", None).await, Err(KvError::TooLarge));
        assert_eq!(kv.set("", "k", b"", None).await, Err(KvError::TooLarge));
        assert_eq!(kv.set("a", "k", &[0; 65_537], None).await, Err(KvError::TooLarge));
        kv.set("a", "k", &[0; 900], None).await.unwrap();
        assert_eq!(kv.set("a", "other", &[0; 900], None).await, Err(KvError::Quota));
        kv.set("b", "other", &[0; 900], None).await.unwrap();
        kv.set("a", "k", &[0; 10], None).await.unwrap();
        kv.set("a", "other", &[0; 900], None).await.unwrap();
        drop(kv);
        bench.store.close().await;
        // After a start the bucket is counted again.
        let bench =
            Bench::try_open(StoreSettings { kv_octets_per_bucket_max: 1_000, ..settings(folder.path()) })
                .unwrap();
        loop {
            match bench.store.kv().set("a", "third", &[0; 200], None).await {
                Err(KvError::Quota) => break,
                Ok(()) => bench.store.kv().delete("a", "third").await.unwrap(),
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_scan_sees_memory_and_disk_in_order() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let kv = bench.store.kv();
        for key in ["p1", "p3", "p5", "q1"] {
            kv.set("a", key, b"v", None).await.unwrap();
        }
        settle_down(&bench).await;
        for key in ["p2", "p4"] {
            kv.set("a", key, b"v", None).await.unwrap();
        }
        kv.delete("a", "p3").await.unwrap();
        kv.set("b", "p9", b"v", None).await.unwrap();
        let first = kv.scan("a", "p", None, 3).await.unwrap();
        assert_eq!(
            (first.keys, first.cursor.as_deref()),
            (vec!["p1".into(), "p2".into(), "p4".into()], Some("p4"))
        );
        let rest = kv.scan("a", "p", Some("p4"), 3).await.unwrap();
        assert_eq!((rest.keys, rest.cursor), (vec!["p5".to_owned()], None));
    });
}
