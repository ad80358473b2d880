//! Bodies sealed on disk.

use super::*;
use crate::BodyKeys;

const SECRET: &[u8] = b"Subject: x\r\n\r\na secret that nobody may find\r\n";

/// Keys of these numbers, 1 to 9.
fn keys(numbers: &[u8]) -> BodyKeys {
    let line = |number: &u8| {
        let letter = char::from(b'A' + number);
        // 42 letters, one without bits to spare, and a mark are 32 octets in base64.
        format!("{number} {}A=\n", String::from(letter).repeat(42))
    };
    BodyKeys::parse(&numbers.iter().map(line).collect::<String>()).unwrap()
}

fn bench(folder: &Path, numbers: &[u8]) -> Bench {
    Bench::try_open(StoreSettings { body_keys: keys(numbers), ..settings(folder) }).unwrap()
}

fn is_on_disk(folder: &Path, text: &[u8]) -> bool {
    let mut files =
        std::fs::read_dir(folder).unwrap().filter_map(|entry| std::fs::read(entry.unwrap().path()).ok());
    files.any(|octets| octets.windows(text.len()).any(|part| part == text))
}

#[test]
fn content_lies_sealed_and_is_read_by_an_older_key() {
    let folder = tempfile::tempdir().unwrap();
    let large = [SECRET, &[b'x'; 300_000]].concat();
    block_on(async {
        let bench = bench(folder.path(), &[1]);
        for body in [SECRET, &large] {
            let _ = bench.store.accept(message(&["x@b.example"], body)).await.unwrap();
        }
        bench.jobs().await;
        bench.store.core().db().unwrap().compact_bodies().unwrap();
        bench.store.close().await;
    });
    assert!(!is_on_disk(folder.path(), b"nobody may find"));
    block_on(async {
        let bench = bench(folder.path(), &[2, 1]);
        for job in bench.jobs().await {
            let body = bench.store.body(job.key.message).await.unwrap().to_bytes();
            assert!(body == SECRET || body == large);
        }
        bench.store.close().await;
    });
}

#[test]
fn without_its_key_a_message_waits_and_is_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = bench(folder.path(), &[1]);
        let _ = bench.store.accept(message(&["x@b.example"], SECRET)).await.unwrap();
        bench.store.close().await;
    });
    let id = block_on(async {
        let bench = bench(folder.path(), &[2]);
        let job = bench.jobs().await.remove(0);
        let error = bench.store.body(job.key.message).await.unwrap_err().to_string();
        assert!(error.contains("key 1"), "{error}");
        bench.store.close().await;
        job.key.message
    });
    block_on(async {
        let bench = bench(folder.path(), &[1]);
        assert!(bench.store.body(id).await.unwrap().to_bytes() == SECRET);
    });
}
