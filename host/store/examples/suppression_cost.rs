//! What it costs to ask about an address: `suppression_cost ENTRIES [FOLDER]` makes so many entries, then asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::{Mailbox, SystemClock};
use baton_store::suppression::{Change, NewEntry, Reason, Scope, Sender, Suppress};
use baton_store::{Metrics, Store, StoreSettings};
use tokio::time::Instant;

/// Questions of each kind.
const QUESTIONS: u32 = 200_000;

fn mailbox(kind: &str, number: u64) -> Mailbox {
    format!("{kind}{number}@dest{}.example", number % 100).parse().expect("an address")
}

async fn ask(store: &Store, kind: &str, entries: u64) {
    let lists = store.suppression();
    let sender = Sender { tenant: Some("acme"), stream: Some("news"), ignores_unsubscribe: false };
    let asked: Vec<Mailbox> =
        (0..u64::from(QUESTIONS)).map(|number| mailbox(kind, number % entries.max(1))).collect();
    let begun = Instant::now();
    let mut found = 0;
    for address in &asked {
        found += u32::from(lists.find(sender, address).await.expect("it can be read").is_some());
    }
    let each = begun.elapsed() / QUESTIONS;
    println!("{kind}: {} ns each, {found} of {QUESTIONS} found", each.as_nanos());
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let entries: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let folder = arguments.next().map_or_else(|| PathBuf::from("suppression-cost"), PathBuf::from);
    let open =
        || Store::open(StoreSettings::new(&folder), Arc::new(SystemClock), Arc::new(Metrics::default()));
    let store = open().expect("the store opens");
    while store.suppression().may_hold(&mailbox("nobody", 0)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ask(&store, "before-any", 1_000).await;
    let begun = Instant::now();
    for first in (0..entries).step_by(1_000) {
        let one = |number| {
            let entry = NewEntry {
                reason: Reason::HardBounce,
                until: None,
                message: None,
                since: None,
                by: "550 5.1.1 no such user".to_owned(),
                note: String::new(),
            };
            Suppress {
                scope: Scope::tenant(Some("acme")),
                address: mailbox("kept", number),
                change: Change::Add(entry),
            }
        };
        let changes = (first..(first + 1_000).min(entries)).map(one).collect();
        store.suppression().change(changes, Vec::new()).await.expect("it can be written");
    }
    let rate = entries as f64 / begun.elapsed().as_secs_f64();
    println!("{entries} entries made, {rate:.0} each second");
    ask(&store, "unknown", 1_000_000).await;
    ask(&store, "kept", entries).await;
    store.close().await;
    let begun = Instant::now();
    let store = open().expect("the store opens");
    while store.suppression().count() < entries {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("filter of {entries} entries made at start in {:?}", begun.elapsed());
    store.close().await;
}
