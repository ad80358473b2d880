//! Damaged files and records: what was acknowledged is there, or the store refuses to open; it never forgets.

use std::fs;

use super::*;
use crate::wal_check::check_logs;
use crate::{Refusal, StoreError};

/// Puts a value past the store, as a fault of disk or program would.
pub(super) fn overwrite(store: &Store, family: Family, key: &[u8], value: &[u8]) {
    let db = store.core().db().unwrap();
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(db.family(family), key, value);
    db.write(batch).unwrap();
}

/// After the message's damage was met, at the latest in this run: it is out of the queue, its record is kept.
pub(super) fn assert_set_aside(folder: &Path, id: MessageId) {
    block_on(async {
        let bench = Bench::open(folder);
        assert!(bench.claim_all().await.is_empty());
        let story = bench.store.story(id).await.unwrap();
        assert!(matches!(story.last().unwrap().what, What::Damaged { .. }));
        let db = bench.store.core().db().unwrap();
        let aside = crate::format::corrupt_key("envelope", &crate::format::envelope_key(id));
        assert_eq!(&db.get(Family::Corrupt, &aside).unwrap().unwrap()[..], b"\x01nonsense");
        // The queue goes on.
        let _ = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap();
        assert_eq!(bench.claim_all().await.len(), 1);
    });
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The log in use.
fn newest_log(folder: &Path) -> std::path::PathBuf {
    let logs = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    logs.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap()
}

/// A store of three acknowledged messages, each with a sync of its own, and the length of its log before the last.
fn three_messages(folder: &Path) -> (Vec<MessageId>, usize) {
    block_on(async {
        let bench = Bench::open(folder);
        let mut ids = Vec::new();
        let mut before_last = 0;
        for _ in 0..3 {
            before_last = fs::metadata(newest_log(folder)).unwrap().len() as usize;
            let mut new = message(&["x@b.example"], b"m");
            new.events.clear();
            ids.push(bench.store.accept(new).await.unwrap().id());
        }
        bench.store.close().await;
        (ids, before_last)
    })
}

/// Opens and tells which messages are there.
fn open_and_list(folder: &Path) -> Result<Vec<MessageId>, OpenError> {
    let bench = Bench::try_open(settings(folder))?;
    Ok(block_on(async {
        assert_consistent(&bench.store);
        bench.jobs().await.iter().map(|job| job.key.message).collect()
    }))
}

#[test]
fn a_log_cut_at_any_octet_of_its_last_record_loses_only_that_record() {
    let origin = tempfile::tempdir().unwrap();
    let (mut ids, before_last) = three_messages(origin.path());
    ids.truncate(2);
    ids.sort();
    let log = newest_log(origin.path());
    let whole = fs::read(&log).unwrap();
    for len in before_last..whole.len() {
        let folder = tempfile::tempdir().unwrap();
        copy(origin.path(), folder.path());
        fs::write(folder.path().join(log.file_name().unwrap()), &whole[..len]).unwrap();
        assert_eq!(open_and_list(folder.path()).unwrap(), ids, "cut at {len}");
    }
}

#[test]
fn a_hole_in_the_last_record_loses_only_that_record() {
    let origin = tempfile::tempdir().unwrap();
    let (mut ids, before_last) = three_messages(origin.path());
    ids.truncate(2);
    ids.sort();
    let log = newest_log(origin.path());
    let whole = fs::read(&log).unwrap();
    for hole in
        [before_last..before_last + 20, before_last + 20..before_last + 60, whole.len() - 9..whole.len()]
    {
        let folder = tempfile::tempdir().unwrap();
        copy(origin.path(), folder.path());
        let mut holed = whole.clone();
        holed[hole.clone()].fill(0);
        let path = folder.path().join(log.file_name().unwrap());
        fs::write(&path, &holed).unwrap();
        assert_eq!(open_and_list(folder.path()).unwrap(), ids, "a hole at {hole:?}");
        let aside = fs::read(path.with_extension("unfinished")).unwrap();
        assert_eq!(aside, holed[before_last..], "what was cut off is kept");
    }
}

#[test]
fn a_flipped_octet_in_the_middle_of_a_log_refuses_to_open() {
    let folder = tempfile::tempdir().unwrap();
    let (_, before_last) = three_messages(folder.path());
    let log = newest_log(folder.path());
    let whole = fs::read(&log).unwrap();
    for at in 0..before_last {
        for mask in [0x01, 0x04, 0x80] {
            let mut flipped = whole.clone();
            flipped[at] ^= mask;
            fs::write(&log, &flipped).unwrap();
            assert!(check_logs(folder.path()).is_err(), "octet {at} with {mask:#x} was not noticed");
        }
    }
    assert_eq!(fs::read(&log).unwrap().len(), whole.len(), "a damaged log is left as it is");
    let error = open_and_list(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(
        error.to_string().contains("damaged at octet") && error.to_string().contains("restore"),
        "{error}"
    );
    fs::write(&log, &whole).unwrap();
    assert_eq!(open_and_list(folder.path()).unwrap().len(), 3, "the undamaged log is fine");
}

#[test]
fn a_missing_file_refuses_to_open() {
    let origin = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(origin.path());
        let _ = bench.store.accept(message(&["x@b.example"], &[b'x'; 9_000])).await.unwrap();
        bench.store.core().db().unwrap().compact_bodies().unwrap();
        bench.store.close().await;
    });
    let mut tried = HashSet::new();
    for entry in fs::read_dir(origin.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let kind = name.split(['-', '.']).next_back().unwrap().to_owned();
        let is_needed = [".sst", ".blob", ".log"].iter().any(|end| name.ends_with(end));
        if !is_needed && !name.starts_with("MANIFEST") && name != "CURRENT" {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        copy(origin.path(), folder.path());
        fs::remove_file(folder.path().join(&name)).unwrap();
        let error = open_and_list(folder.path()).expect_err(&name);
        assert!(matches!(error, OpenError::Damaged { .. }), "{name}: {error}");
        assert!(error.to_string().contains("restore the missing files"), "{error}");
        tried.insert(kind);
    }
    assert!(["sst", "blob", "log", "CURRENT"].iter().all(|kind| tried.contains(*kind)), "{tried:?}");
}

#[test]
fn a_second_store_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let error = Bench::try_open(settings(folder.path())).err().unwrap();
        assert!(matches!(error, OpenError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("in use by another process"));
        let _ = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap();
    });
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path());
    overwrite(&bench.store, Family::Meta, crate::format::FORMAT_KEY, &crate::format::encode(&7_u32));
    drop(bench);
    let error = Bench::try_open(settings(folder.path())).err().unwrap();
    assert!(matches!(error, OpenError::NewerFormat { .. }), "{error}");
    assert!(
        error.to_string().contains("has format 7")
            && error.to_string().contains(&format!("up to {}", crate::format::DATABASE_FORMAT)),
        "{error}"
    );
}

#[test]
fn a_folder_that_can_not_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Bench::try_open(settings(&file.join("spool"))).err().unwrap();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("file/spool"), "{error}");
}

#[test]
fn a_damaged_message_is_set_aside_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let id = block_on(async {
        let bench = Bench::open(folder.path());
        let bad = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap().id();
        overwrite(&bench.store, Family::Envelope, &crate::format::envelope_key(bad), b"\x01nonsense");
        bench.store.close().await;
        bad
    });
    assert_set_aside(folder.path(), id);
}

#[test]
fn a_job_without_message_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let lost = crate::JobKey { message: MessageId::new(START), job: 0 };
        let value = crate::format::encode(&DueRecord { size: 1, queue: "q" });
        overwrite(
            &bench.store,
            Family::Due,
            &crate::format::due_key(crate::shelf::Shelf::HELD, START, lost),
            &value,
        );
        assert!(bench.claim_all().await.is_empty());
        let story = bench.store.story(lost.message).await.unwrap();
        assert!(matches!(&story[0].what, What::Damaged { detail } if detail.contains("missing")));
        assert_eq!(bench.metrics.damaged.get(), 1);
        assert_consistent(&bench.store);
    });
}

#[test]
fn a_damaged_body_is_told_to_the_delivery() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let id = bench.store.accept(message(&["x@b.example"], b"m")).await.unwrap().id();
        overwrite(&bench.store, Family::Body, &crate::format::body_key(id, 0), b"\x07m");
        let error = bench.store.body(id).await.unwrap_err();
        assert!(matches!(&error, StoreError::Damaged(detail) if detail.contains("body record")), "{error}");
        let claim = bench.claim_all().await.remove(0);
        let hold = Some("its body is damaged".to_owned());
        bench.store.settle(claim, Settlement { hold, ..Settlement::default() }).await.unwrap();
        assert_eq!(bench.jobs().await[0].state, crate::JobState::Held);
        let story = bench.store.story(id).await.unwrap();
        assert!(story.iter().any(|event| matches!(event.what, What::Damaged { .. })));
    });
}

/// Set for the child of [`a_failed_write_poisons_the_store`]; names its folder.
const POISON_FOLDER: &str = "BATON_STORE_POISON_FOLDER";

#[test]
fn a_failed_write_poisons_the_store() {
    let folder = tempfile::tempdir().unwrap();
    // The system itself fails the write: no file of the child may grow beyond 300 KiB (the shell counts in halves
    // of a KiB), and the signal that would come with it is ignored.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 600; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "tests::damage::poison_child", "--ignored", "--nocapture"])
        .env(POISON_FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut acknowledged = crash::acknowledged(&output);
    acknowledged.sort();
    assert!(!acknowledged.is_empty());
    let found = open_and_list(folder.path()).unwrap();
    assert!(acknowledged.iter().all(|id| found.contains(id)), "acknowledged mail is lost");
}

#[test]
#[ignore = "played by a_failed_write_poisons_the_store in a process of its own"]
fn poison_child() {
    let Ok(folder) = std::env::var(POISON_FOLDER) else { return };
    block_on(async {
        let bench = Bench::open(Path::new(&folder));
        let refused = loop {
            match bench.store.accept(message(&["x@b.example"], &[b'x'; 9_000])).await {
                Ok(accepted) => println!("acknowledged {}", accepted.id()),
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, crate::AcceptError::Poisoned(_)), "{refused}");
        assert_eq!(refused.reply().code(), 421);
        assert!(matches!(bench.store.check_space(), Err(Refusal::Poisoned(_))));
        let again = bench.store.accept(message(&["x@b.example"], b"small")).await.unwrap_err();
        assert!(matches!(again, crate::AcceptError::Poisoned(_)), "nothing is tried a second time");
        assert!(bench.store.claim(1).await.is_err(), "nothing is delivered whose outcome could not be kept");
        assert!(bench.store.kv().set("a", "k", b"v", None).await.is_err());
        assert_eq!(bench.metrics.poisoned.get(), 1);
    });
}
