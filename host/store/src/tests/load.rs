//! Killed under load: what was acknowledged is there, whole.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Names the folder of the child.
const FOLDER: &str = "BATON_STORE_LOAD_FOLDER";
/// How often the child is killed.
const KILLS: usize = 5;
/// Acknowledged messages before each kill.
const MESSAGES: usize = 150;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: HashSet<MessageId> = HashSet::new();
    for _ in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::load::child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ids = lines.filter_map(|line| line.split_once("acknowledged ")?.1.parse().ok());
        let mut ids = ids.inspect(|id: &MessageId| {
            acknowledged.insert(*id);
        });
        ids.by_ref().take(MESSAGES).for_each(drop);
        child.kill().unwrap();
        // What was told before the kill counts, too.
        ids.for_each(drop);
        child.wait().unwrap();
    }
    assert!(acknowledged.len() >= KILLS * MESSAGES);
    block_on(async {
        let bench = Bench::open(folder.path());
        let mut found = HashSet::new();
        let mut after = None;
        loop {
            let page = bench.store.find(&Filter::default(), after, 500).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.key);
            found.extend(page.iter().map(|view| view.key.message));
        }
        assert_eq!(acknowledged.difference(&found).count(), 0, "acknowledged mail is lost");
        for id in acknowledged {
            let body = bench.store.body(id).await.unwrap().to_bytes();
            assert!(body == pattern(id), "the body of {id} is not whole");
        }
    });
}

/// A body that can be checked: some of one chunk, some of several.
fn pattern(id: MessageId) -> Vec<u8> {
    let octets = id.to_octets();
    let len = if octets[15].is_multiple_of(8) { 150_000 } else { 2_000 };
    octets.iter().copied().cycle().take(len).collect()
}

#[test]
#[ignore = "played by the kill test in a process of its own"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    block_on(async {
        let bench = Bench::open(Path::new(&folder));
        let session = |_| {
            let store = bench.store.clone();
            tokio::spawn(async move {
                loop {
                    let mut new = message(&["x@b.example"], b"");
                    new.body = Body::from(Bytes::from(pattern(new.envelope.id)));
                    let Ok(accepted) = store.accept(new).await else { break };
                    println!("acknowledged {}", accepted.id());
                }
            })
        };
        let sessions: Vec<_> = (0..20).map(session).collect();
        for session in sessions {
            session.await.unwrap();
        }
    });
}
