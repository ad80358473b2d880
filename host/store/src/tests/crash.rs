//! Each row of the README's table: the process is killed at that step, and the store is opened again.

use std::process::{Command, Output};

use super::*;
use crate::catalog::{Edit, Key, Kind};
use crate::suppression::{Reason, Scope, Sender};
use crate::{Action, Assignment, JobState};

/// Names the scenario that the child plays.
const SCENARIO: &str = "BATON_STORE_CRASH_SCENARIO";
/// Names the folder that it plays in.
const FOLDER: &str = "BATON_STORE_CRASH_FOLDER";
/// Names the operation and the step at which it is killed: `accept:built`.
const POINT: &str = "BATON_STORE_CRASH_POINT";

/// Called by the commit thread: kills the process when this is the wanted place.
pub(crate) fn point<'a>(mut ops: impl Iterator<Item = &'a str>, step: &str) {
    let Ok(wanted) = std::env::var(POINT) else { return };
    if wanted
        .strip_suffix(step)
        .and_then(|rest| rest.strip_suffix(':'))
        .is_some_and(|op| ops.any(|name| name == op))
    {
        kill_self();
    }
}

/// As a power cut is: no destructor, no flush.
fn kill_self() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// Plays a scenario in a process of its own; it must end at the wanted place. Returns what the child printed:
/// the ids of the messages that were acknowledged.
fn play(folder: &Path, scenario: &str, crash: &str) -> Vec<MessageId> {
    let output = run_child(folder, scenario, crash);
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(
        killed,
        Some(9),
        "the child did not reach {crash}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    acknowledged(&output)
}

fn run_child(folder: &Path, scenario: &str, crash: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(SCENARIO, scenario)
        .env(FOLDER, folder)
        .env(POINT, crash)
        .output()
        .unwrap()
}

/// The ids that a child printed.
pub(super) fn acknowledged(output: &Output) -> Vec<MessageId> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split_once("acknowledged ")?.1.parse().ok()).collect()
}

#[test]
#[ignore = "played by the crash tests in a process of its own"]
fn child() {
    let (Ok(scenario), Ok(folder)) = (std::env::var(SCENARIO), std::env::var(FOLDER)) else { return };
    block_on(async {
        let bench = Bench::open(Path::new(&folder));
        act(&bench, &scenario).await;
        // The operation may be lazy: this waits for its group.
        let _ = bench.store.story(MessageId::new(START)).await;
    });
}

async fn accept(bench: &Bench, new: NewMessage) {
    println!("acknowledged {}", bench.store.accept(new).await.unwrap().id());
}

/// One message is acknowledged, then the operation of the scenario is begun.
async fn act(bench: &Bench, scenario: &str) {
    let store = &bench.store;
    if scenario == "beside" {
        let edit = Edit::put(record("beside"), vec![1]).unwrap();
        return drop(store.accept_with(two_recipients(), &[edit]).await);
    }
    accept(bench, two_recipients()).await;
    let all = Filter::default();
    match scenario {
        "accept" => accept(bench, message(&["y@b.example"], b"second")).await,
        "large" => accept(bench, message(&["y@b.example"], &[b'x'; 300_000])).await,
        "hold" => drop(store.hold(&all, "me").await),
        "release" => {
            store.hold(&all, "me").await.unwrap();
            println!("held");
            drop(store.release(&all, "me").await);
        }
        "remove" => drop(store.remove(&all, "me").await),
        "move-out" => {
            let id = bench.jobs().await[0].key.message;
            store.pack(id, movers()).await.unwrap();
            drop(store.forget_moved(id, movers()).await);
        }
        "bounce" => drop(store.operate(Action::Bounce("no".to_owned()), &all, "me").await),
        "suppress" => {
            let one = suppression::suppress(Scope::GLOBAL, "x@b.example", Reason::Manual);
            drop(store.suppression().change(vec![one], Vec::new()).await);
        }
        "route" => drop(store.operate(Action::Route(Some("b".to_owned())), &all, "me").await),
        "assign" => drop(store.operate(Action::Assign(urgent()), &all, "me").await),
        "retry" => {
            let claim = bench.claim_all().await.remove(0);
            let settlement = deferred(&claim, in_seconds(300));
            store.settle(claim, settlement).await.unwrap();
            drop(store.retry(&all, "me").await);
        }
        "catalog" => {
            let edit = |name: &str| Edit::put(record(name), vec![1]).unwrap();
            drop(store.catalog().apply(vec![edit("kept"), edit("gone")]).await);
        }
        "damage" => {
            let key = crate::format::envelope_key(bench.jobs().await[0].key.message);
            drop(bench.claim_all().await);
            damage::overwrite(store, Family::Envelope, &key, b"\x01nonsense");
            bench.clock.advance(Duration::from_secs(61));
            drop(bench.claim_all().await);
        }
        _ => settle(bench, scenario).await,
    }
}

/// The scenarios that begin with a claim.
async fn settle(bench: &Bench, scenario: &str) {
    let claim = bench.claim_all().await.remove(0);
    match scenario {
        "claimed" => kill_self(),
        "finish" => {
            let settlement = delivered(&claim);
            bench.store.settle(claim, settlement).await.unwrap();
        }
        "defer" => {
            let settlement = deferred(&claim, in_seconds(300));
            bench.store.settle(claim, settlement).await.unwrap();
        }
        "report" => {
            let report = message(&["sender@a.example"], b"report");
            let outcomes = vec![(0, Outcome::Failed(status(5))), (1, Outcome::Failed(status(5)))];
            let settlement = Settlement { outcomes, reports: vec![report], ..Settlement::default() };
            bench.store.settle(claim, settlement).await.unwrap();
        }
        "suppressing" => {
            let outcomes = vec![(0, Outcome::Failed(status(5))), (1, Outcome::Failed(status(5)))];
            let suppress = vec![suppression::suppress(Scope::GLOBAL, "x@b.example", Reason::HardBounce)];
            let settlement = Settlement { outcomes, suppress, ..Settlement::default() };
            bench.store.settle(claim, settlement).await.unwrap();
        }
        "split" => drop(bench.store.split(claim, vec![vec![0], vec![1]]).await.unwrap()),
        other => panic!("no such scenario: {other}"),
    }
}

fn movers() -> crate::Movers {
    crate::Movers { from: "a".to_owned(), to: "b".to_owned(), by: "me".to_owned() }
}

fn record(name: &str) -> Key {
    Key::new(Kind::new("thing", 9), None, name).unwrap()
}

fn urgent() -> Assignment {
    Assignment { priority: Some(9), ..Assignment::default() }
}

fn two_recipients() -> NewMessage {
    message(&["x@b.example", "y@c.example"], b"first")
}

/// Plays, opens again, and checks that no row of the table is broken. Returns the jobs found.
fn after_crash(scenario: &str, crash: &str) -> (Vec<MessageId>, Vec<crate::JobView>, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let acknowledged = play(folder.path(), scenario, crash);
    block_on(async {
        let bench = Bench::open(folder.path());
        wait_for_orphans(&bench).await;
        assert_consistent(&bench.store);
        feed::assert_feed_complete(&bench.store);
        let jobs = bench.jobs().await;
        let mut bodies = Vec::new();
        for job in &jobs {
            bodies.push(bench.store.body(job.key.message).await.unwrap().to_bytes().to_vec());
        }
        let claimable = bench.claim_all().await.len();
        let ready = jobs.iter().filter(|job| job.state == JobState::Ready).count();
        assert_eq!(claimable, ready, "what is due is claimable at once");
        (acknowledged, jobs, bodies)
    })
}

/// Orphans are removed in the background.
async fn wait_for_orphans(bench: &Bench) {
    let prefix = [&[FORMAT], crate::format::PARTIAL_PREFIX].concat();
    loop {
        let db = bench.store.core().db().unwrap();
        let mut marks = db.iterate(Family::Meta, &prefix, None);
        marks.seek_to_first();
        if !marks.key().is_some_and(|key| key.starts_with(&prefix)) {
            return;
        }
        drop(marks);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn accept_built() {
    let (acknowledged, jobs, _) = after_crash("accept", "accept:built");
    assert_eq!((acknowledged.len(), jobs.len()), (0, 0), "the first accept is the one that is hit");
}

#[test]
fn accept_written() {
    let (acknowledged, jobs, bodies) = after_crash("accept", "accept:written");
    assert_eq!((acknowledged.len(), jobs.len()), (0, 1), "stored, although nobody was told");
    assert_eq!(bodies, [b"first"]);
}

#[test]
fn chunk_built() {
    let (acknowledged, jobs, bodies) = after_crash("large", "chunk:built");
    assert_eq!((acknowledged.len(), jobs.len()), (1, 1));
    assert_eq!(bodies, [b"first"]);
}

#[test]
fn chunk_written() {
    let (acknowledged, jobs, bodies) = after_crash("large", "chunk:written");
    assert_eq!((acknowledged.len(), jobs.len()), (1, 1));
    assert_eq!(bodies, [b"first"]);
}

#[test]
fn claimed() {
    let (acknowledged, jobs, _) = after_crash("claimed", "");
    assert_eq!(jobs[0].key.message, acknowledged[0]);
    assert_eq!(jobs[0].attempt, 0);
}

#[test]
fn finish_built() {
    let (acknowledged, jobs, _) = after_crash("finish", "finish:built");
    assert_eq!(jobs[0].key.message, acknowledged[0], "the delivery is repeated");
}

#[test]
fn finish_written() {
    let (acknowledged, jobs, _) = after_crash("finish", "finish:written");
    assert_eq!((acknowledged.len(), jobs.len()), (1, 0));
}

#[test]
fn defer_built() {
    let (_, jobs, _) = after_crash("defer", "defer:built");
    assert_eq!((jobs[0].state, jobs[0].attempt), (JobState::Ready, 0));
}

#[test]
fn defer_written() {
    let (_, jobs, _) = after_crash("defer", "defer:written");
    assert_eq!((jobs[0].state, jobs[0].attempt, jobs[0].due), (JobState::Waiting, 1, Some(in_seconds(300))));
}

#[test]
fn report_built() {
    let (acknowledged, jobs, _) = after_crash("report", "report:built");
    assert_eq!(
        (jobs.len(), jobs[0].key.message),
        (1, acknowledged[0]),
        "the failure is found again, then reported"
    );
}

#[test]
fn report_written() {
    let (acknowledged, jobs, bodies) = after_crash("report", "report:written");
    assert_eq!(bodies, [b"report"]);
    assert_ne!(jobs[0].key.message, acknowledged[0]);
}

#[test]
fn split_built() {
    let (_, jobs, _) = after_crash("split", "split:built");
    assert_eq!((jobs.len(), jobs[0].recipients.len()), (1, 2));
}

#[test]
fn split_written() {
    let (_, jobs, _) = after_crash("split", "split:written");
    assert_eq!(jobs.iter().map(|job| job.recipients.len()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn hold_built() {
    let (_, jobs, _) = after_crash("hold", "hold:built");
    assert_eq!(jobs[0].state, JobState::Ready);
}

#[test]
fn hold_written() {
    let (_, jobs, _) = after_crash("hold", "hold:written");
    assert_eq!(jobs[0].state, JobState::Held);
}

#[test]
fn release_built() {
    let (_, jobs, _) = after_crash("release", "release:built");
    assert_eq!(jobs[0].state, JobState::Held);
}

#[test]
fn release_written() {
    let (_, jobs, _) = after_crash("release", "release:written");
    assert_eq!(jobs[0].state, JobState::Ready);
}

#[test]
fn retry_built() {
    let (_, jobs, _) = after_crash("retry", "retry:built");
    assert_eq!(jobs[0].state, JobState::Waiting);
}

#[test]
fn retry_written() {
    let (_, jobs, _) = after_crash("retry", "retry:written");
    assert_eq!((jobs[0].state, jobs[0].attempt), (JobState::Ready, 1));
}

#[test]
fn remove_built() {
    let (acknowledged, jobs, _) = after_crash("remove", "remove:built");
    assert_eq!(jobs[0].key.message, acknowledged[0]);
}

#[test]
fn remove_written() {
    assert_eq!(after_crash("remove", "remove:written").1, []);
}

#[test]
fn move_out_built() {
    let (acknowledged, jobs, _) = after_crash("move-out", "move-out:built");
    assert_eq!((jobs[0].key.message, jobs[0].state), (acknowledged[0], JobState::Held));
}

#[test]
fn move_out_written() {
    assert_eq!(after_crash("move-out", "move-out:written").1, []);
}

#[test]
fn set_aside_built() {
    let folder = tempfile::tempdir().unwrap();
    let id = play(folder.path(), "damage", "set-aside:built")[0];
    damage::assert_set_aside(folder.path(), id);
}

#[test]
fn set_aside_written() {
    let folder = tempfile::tempdir().unwrap();
    let id = play(folder.path(), "damage", "set-aside:written")[0];
    damage::assert_set_aside(folder.path(), id);
}

#[test]
fn bounce_built() {
    assert_eq!(after_crash("bounce", "bounce:built").1[0].give_up, None);
}

#[test]
fn bounce_written() {
    assert_eq!(after_crash("bounce", "bounce:written").1[0].give_up.as_deref(), Some("no"));
}

#[test]
fn route_built() {
    assert_eq!(after_crash("route", "route:built").1[0].route, None);
}

#[test]
fn route_written() {
    assert_eq!(after_crash("route", "route:written").1[0].route.as_deref(), Some("b"));
}

#[test]
fn assign_built() {
    assert_eq!(after_crash("assign", "assign:built").1[0].priority, 0);
}

#[test]
fn assign_written() {
    assert_eq!(after_crash("assign", "assign:written").1[0].priority, 9);
}

/// The records that are there after a crash.
fn records_after_crash(scenario: &str, crash: &str) -> (usize, Vec<Option<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    play(folder.path(), scenario, crash);
    block_on(async {
        let bench = Bench::open(folder.path());
        assert_consistent(&bench.store);
        let mut found = Vec::new();
        for name in ["kept", "gone", "beside"] {
            let record = bench.store.catalog().get(&record(name)).await.unwrap();
            found.push(record.map(|record| record.value[0]));
        }
        (bench.jobs().await.len(), found)
    })
}

#[test]
fn catalog_built() {
    // The first change is the one that is hit.
    assert_eq!(records_after_crash("catalog", "catalog:built").1, [None, None, None]);
}

#[test]
fn catalog_written() {
    let (_, found) = records_after_crash("catalog", "catalog:written");
    assert_eq!(found, [Some(1), Some(1), None], "both, although nobody was told");
}

#[test]
fn catalog_with_accept_built() {
    assert_eq!(records_after_crash("beside", "accept:built"), (0, vec![None; 3]));
}

#[test]
fn catalog_with_accept_written() {
    let (jobs, found) = records_after_crash("beside", "accept:written");
    assert_eq!((jobs, found), (1, vec![None, None, Some(1)]), "the message and its record, or neither");
}

/// Whether `x@b.example` gets no mail after the crash, and how many jobs there are.
fn suppressed_after(scenario: &str, crash: &str) -> (bool, usize) {
    let folder = tempfile::tempdir().unwrap();
    play(folder.path(), scenario, crash);
    block_on(async {
        let bench = Bench::open(folder.path());
        let address = "x@b.example".parse().unwrap();
        let found = bench.store.suppression().find(Sender::default(), &address).await.unwrap();
        while bench.store.suppression().count() != u64::from(found.is_some()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        suppression::assert_lists_agree(&bench.store);
        (found.is_some(), bench.jobs().await.len())
    })
}

#[test]
fn suppress_built() {
    assert_eq!(suppressed_after("suppress", "suppress:built"), (false, 1));
}

#[test]
fn suppress_written() {
    assert_eq!(suppressed_after("suppress", "suppress:written"), (true, 1));
}

#[test]
fn finish_built_suppressing() {
    assert_eq!(suppressed_after("suppressing", "finish:built"), (false, 1), "neither of both");
}

#[test]
fn finish_written_suppressing() {
    assert_eq!(suppressed_after("suppressing", "finish:written"), (true, 0), "both");
}
