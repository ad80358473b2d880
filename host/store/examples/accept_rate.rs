//! How many messages a second are accepted and settled, and what they cost: to be run by hand.
//!
//! `cargo run -p baton-store --example accept_rate -- [TASKS] [MESSAGES] [OCTETS] [FOLDER]`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_mail::clock::SystemClock;
use baton_mail::event::{Event, What};
use baton_mail::{
    Body, Clock, EnhancedCode, Envelope, FailureClass, MessageId, Origin, Outcome, Phase, ReversePath, Status,
};
use baton_store::{Metrics, NewJob, NewMessage, Settlement, Store, StoreSettings};
use bytes::Bytes;

fn argument(index: usize, default: u64) -> u64 {
    std::env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(argument(1, 50), argument(2, 20_000), argument(3, 4_096)))
}

async fn run(tasks: u64, messages: u64, octets: u64) -> Result<(), Box<dyn std::error::Error>> {
    let temporary = std::env::temp_dir().join(format!("baton-accept-rate-{}", std::process::id()));
    let folder = std::env::args().nth(4).map_or(temporary, Into::into);
    let metrics = Arc::new(Metrics::default());
    let store = Store::open(StoreSettings::new(&folder), Arc::new(SystemClock), Arc::clone(&metrics))?;
    let body = Bytes::from(vec![b'x'; usize::try_from(octets)?]);
    let left = Arc::new(AtomicU64::new(messages));
    let (begun, cpu) = (tokio::time::Instant::now(), cpu_seconds()?);
    let sessions: Vec<_> = (0..tasks)
        .map(|_| {
            let (store, left, body) = (store.clone(), Arc::clone(&left), body.clone());
            tokio::spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    let _ = store.accept(new_message(&body)).await?;
                }
                Ok::<(), baton_store::AcceptError>(())
            })
        })
        .collect();
    let settled = settle_all(&store, messages);
    let accepted = async {
        for session in sessions {
            session.await??;
        }
        Ok::<Duration, Box<dyn std::error::Error>>(begun.elapsed())
    };
    let (accepted, settled) = tokio::join!(accepted, settled);
    let (accepted, took) = (accepted?, begun.elapsed());
    settled?;
    let groups = metrics.groups.get();
    println!(
        "{messages} messages of {octets} octets, {tasks} tasks: accepted {:.0}/s, settled {:.0}/s, \
         {groups} syncs, {:.1} messages each, CPU {:.3} s per 1,000",
        messages as f64 / accepted.as_secs_f64(),
        messages as f64 / took.as_secs_f64(),
        messages as f64 / groups as f64,
        (cpu_seconds()? - cpu) * 1_000.0 / messages as f64,
    );
    store.close().await;
    if std::env::args().nth(4).is_none() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// Claims and settles like a delivery that succeeds at once.
async fn settle_all(store: &Store, messages: u64) -> Result<(), baton_store::StoreError> {
    let mut done = 0;
    while done < messages {
        store.wait_for_work().await;
        for claim in store.claim(256).await? {
            done += 1;
            let now = SystemClock.now();
            let status = Status::ours(Phase::Data, FailureClass::Unknown, EnhancedCode(2, 0, 0), "ok");
            let outcomes = vec![(0, Outcome::Delivered(status.clone()))];
            let what = What::Delivered { recipients: Vec::new(), status, attempt: 1, took_ms: 1 };
            let events = vec![Event { message: claim.key.message, at: now, what }];
            store.settle(claim, Settlement { outcomes, events, ..Settlement::default() }).await?;
        }
    }
    Ok(())
}

fn new_message(body: &Bytes) -> NewMessage {
    let now = SystemClock.now();
    let id = MessageId::new(now);
    let sender = ReversePath::Mailbox("sender@a.example".parse().expect("a valid address"));
    let mut envelope = Envelope::new(id, now, Duration::from_secs(86_400), sender, Origin::internal());
    envelope.recipients.push("x@b.example".parse::<baton_mail::Mailbox>().expect("a valid address").into());
    envelope.size = body.len() as u64;
    let what = What::Accepted {
        origin: Origin::internal(),
        sender: envelope.sender.clone(),
        recipients: envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
        size: envelope.size,
        decisions: Vec::new(),
    };
    NewMessage {
        jobs: vec![NewJob { queue: "b.example".to_owned(), recipients: vec![0], due: now }],
        body: Body::from(body.clone()),
        events: vec![Event { message: id, at: now, what }],
        envelope,
    }
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64)
}
