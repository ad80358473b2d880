//! Fills a queue for measurements: messages for many domains, every second of them `dN.dead.example`, due at once.
//!
//! `cargo run -p baton-store --example fill -- FOLDER MESSAGES DOMAINS OCTETS [dead]`: with `dead` all are for one domain,
//! `provider.dead.example`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_mail::clock::SystemClock;
use baton_mail::{Body, Clock, Envelope, MessageId, Origin, ReversePath};
use baton_store::{Metrics, NewJob, NewMessage, Store, StoreSettings};
use bytes::Bytes;

/// Tasks that accept at once: enough for large groups.
const TASKS: u64 = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(fill())
}

async fn fill() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |index: usize| arguments.get(index).ok_or("give FOLDER MESSAGES DOMAINS OCTETS [dead]");
    let (folder, messages) = (text(0)?, text(1)?.parse::<u64>()?);
    let (domains, octets) = (text(2)?.parse::<u64>()?.max(1), text(3)?.parse::<usize>()?);
    let one_dead = arguments.get(4).is_some_and(|word| word == "dead");
    std::fs::create_dir_all(folder)?;
    let store = Store::open(StoreSettings::new(folder), Arc::new(SystemClock), Arc::new(Metrics::default()))?;
    let body = Bytes::from(vec![b'x'; octets]);
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (store, next, body) = (store.clone(), Arc::clone(&next), body.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= messages {
                        return Ok::<(), baton_store::AcceptError>(());
                    }
                    let domain = number % domains;
                    let name = match domain % 2 {
                        _ if one_dead => "provider.dead.example".to_owned(),
                        0 => format!("d{domain}.dead.example"),
                        _ => format!("d{domain}.live.example"),
                    };
                    let _ = store.accept(new_message(&name, number, &body)).await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    store.close().await;
    Ok(())
}

fn new_message(domain: &str, number: u64, body: &Bytes) -> NewMessage {
    let now = SystemClock.now();
    let sender = ReversePath::Mailbox("sender@a.example".parse().expect("a valid address"));
    let lifetime = Duration::from_secs(432_000);
    let mut envelope = Envelope::new(MessageId::new(now), now, lifetime, sender, Origin::internal());
    let address = format!("r{number}@{domain}").parse::<baton_mail::Mailbox>().expect("a valid address");
    envelope.recipients.push(address.into());
    envelope.size = body.len() as u64;
    let job = NewJob { queue: domain.to_owned(), recipients: vec![0], due: now };
    NewMessage { envelope, body: Body::from(body.clone()), jobs: vec![job], events: Vec::new() }
}
