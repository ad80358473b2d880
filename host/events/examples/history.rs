//! Searching and reporting over a month of events: to be run by hand.
//!
//! `cargo run --release -p baton-events --example history -- [EVENTS] [FOLDER]` writes that many events of thirty days into a
//! store, lets index and sums catch up, opens the store anew and asks. Three events make a message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baton_events::report::{Group, ProviderOf, ReportQuery, ReportSettings, Reports, Step};
use baton_mail::clock::SystemClock;
use baton_mail::event::{Event, What};
use baton_mail::status::Remote;
use baton_mail::{
    Clock, EnhancedCode, Envelope, FailureClass, Mailbox, MessageId, Origin, Phase, ReversePath, Status,
    UnixMs,
};
use baton_store::{Metrics, SearchFilter, Store, StoreSettings};
use tokio::time::Instant;

type Failed = Box<dyn std::error::Error>;

const DAYS: u64 = 30;
const RECIPIENTS: u64 = 500_000;
const DOMAINS: u64 = 2_000;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Failed> {
    let events: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let temporary = std::env::temp_dir().join(format!("baton-history-{}", std::process::id()));
    let folder = std::env::args().nth(2).map_or(temporary, Into::into);
    let now = SystemClock.now();
    let store = open(&folder)?;
    let begun = Instant::now();
    write(&store, events / 3, now).await?;
    println!("{events} events written in {:.0} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let counting = tokio::spawn(reports(&store).run());
    let mut indexer = store.indexer().await?;
    while store.feed().cursor(&"index".parse()?).await? < Some(store.feed().head()) {
        indexer.step().await?;
    }
    println!("indexed after {:.0} s", begun.elapsed().as_secs_f64());
    while store.feed().cursor(&"reports".parse()?).await? < Some(store.feed().head()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("counted after {:.0} s, beside the index", begun.elapsed().as_secs_f64());
    counting.abort();
    // It holds the store; that it was stopped is no news.
    let _ = counting.await;
    drop(indexer);
    store.close().await;
    // Nothing of what was written is in the memory of the process any more.
    let store = open(&folder)?;
    let mut indexer = store.indexer().await?;
    tokio::spawn(async move { while indexer.step().await.is_ok() {} });
    search(&store).await?;
    ask(&store, now).await?;
    store.close().await;
    if std::env::args().nth(2).is_none() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn open(folder: &std::path::Path) -> Result<Store, Failed> {
    let settings = StoreSettings { history_days: 60, events_days: 60, ..StoreSettings::new(folder) };
    Ok(Store::open(settings, Arc::new(SystemClock), Arc::new(Metrics::default()))?)
}

fn reports(store: &Store) -> Reports {
    let provider_of: ProviderOf = Arc::new(|_| None);
    Reports::new(store.clone(), Arc::new(SystemClock), ReportSettings::default(), provider_of)
}

/// A sequence that is the same each time.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn recipient(number: u64) -> Result<Mailbox, Failed> {
    let who = mix(number) % RECIPIENTS;
    // Half of the mail is for three domains.
    let domain = if who.is_multiple_of(2) { who % 3 } else { who % DOMAINS };
    Ok(format!("customer{who}@d{domain}.example").parse()?)
}

async fn write(store: &Store, messages: u64, now: UnixMs) -> Result<(), Failed> {
    let begin = now.0 - DAYS * 86_400_000;
    for number in 0..messages {
        let at = UnixMs(begin + number * (DAYS * 86_400_000) / messages.max(1));
        let sender = ReversePath::Mailbox("news@sender.example".parse()?);
        let id = MessageId::new(at);
        let mut envelope =
            Envelope::new(id, at, Duration::from_secs(86_400), sender.clone(), Origin::internal());
        envelope.tenant = Some(format!("tenant{}", mix(number) % 20));
        let stream = match mix(number) % 3 {
            0 => "codes",
            1 => "orders",
            _ => "news",
        };
        envelope.stream = Some(stream.to_owned());
        envelope.tags = vec![("template".to_owned(), format!("t{}", mix(number) % 12))];
        let recipients = vec![recipient(number)?];
        let domain = recipients.first().map(|one| one.domain().to_string()).unwrap_or_default();
        let status = |class, code| {
            let remote = Remote::named(format!("mx.{domain}")).at([192, 0, 2, 7].into());
            Status::ours(Phase::Data, class, EnhancedCode(code, 0, 0), "so be it").at(remote)
        };
        let accepted = What::Accepted {
            origin: Origin::internal(),
            sender,
            recipients: recipients.clone(),
            size: 4_096,
            decisions: Vec::new(),
        };
        let deferred = What::Deferred {
            recipients: recipients.clone(),
            status: status(FailureClass::Greylist, 4),
            attempt: 1,
            next_attempt: UnixMs(at.0 + 60_000),
            decisions: Vec::new(),
        };
        let end = if mix(number).is_multiple_of(50) {
            let status = status(FailureClass::BadMailbox, 5);
            What::Failed { recipients, status, attempt: 2, decisions: Vec::new() }
        } else {
            What::Delivered { recipients, status: status(FailureClass::Unknown, 2), attempt: 2, took_ms: 9 }
        };
        let event = |ms, what| Event { message: id, at: UnixMs(at.0 + ms), what };
        store.record_of(&envelope, vec![event(0, accepted)]).await;
        store.record(vec![event(500, deferred)]).await;
        store.record(vec![event(60_000 + mix(number) % 1_000, end)]).await;
    }
    // All that was asked for is written.
    store.summary().await?;
    Ok(())
}

async fn search(store: &Store) -> Result<(), Failed> {
    let mut took = Vec::new();
    for number in 0..200 {
        let wanted = recipient(mix(number ^ 0xbeef) % 1_000_000)?.to_string();
        let filter = SearchFilter { recipient: Some(wanted), ..SearchFilter::default() };
        let begun = Instant::now();
        let found = store.search(filter, None, 100).await?;
        took.push(begun.elapsed());
        if number == 0 {
            println!("the first search finds {} messages in {:?}", found.messages.len(), begun.elapsed());
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    println!("search by recipient: p50 {:?}, p99 {:?}, most {:?}", at(50), at(99), took.last());
    Ok(())
}

async fn ask(store: &Store, now: UnixMs) -> Result<(), Failed> {
    let reports = reports(store);
    let whole =
        ReportQuery { since: UnixMs(now.0 - DAYS * 86_400_000), until: now, ..ReportQuery::default() };
    let only = BTreeMap::from([(Group::Tenant, "tenant7".to_owned())]);
    let asked = [
        ("all", whole.clone()),
        ("by tenant and stream", ReportQuery { by: vec![Group::Tenant, Group::Stream], ..whole.clone() }),
        ("by domain", ReportQuery { by: vec![Group::Domain], ..whole.clone() }),
        ("by provider and reason", ReportQuery { by: vec![Group::Provider, Group::Reason], ..whole.clone() }),
        (
            "by template and day",
            ReportQuery { by: vec![Group::Template], step: Some(Step::Day), ..whole.clone() },
        ),
        ("by hour, one tenant", ReportQuery { step: Some(Step::Hour), only, ..whole }),
    ];
    for (name, query) in asked {
        let begun = Instant::now();
        let report = reports.answer(query).await?;
        println!("a report over {DAYS} days, {name}: {} rows in {:?}", report.rows.len(), begun.elapsed());
    }
    Ok(())
}
