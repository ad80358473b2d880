//! Counting and asking, over a real store.

use baton_mail::clock::ManualClock;
use baton_mail::event::{Event, Visitor, What};
use baton_mail::status::Remote;
use baton_mail::{
    EnhancedCode, Envelope, FailureClass, MessageId, Origin, Phase, ReversePath, Status, UnixMs,
};
use baton_store::{Metrics, StoreSettings};

use super::*;

const START: UnixMs = UnixMs(1_800_000_000_000);

struct Bench {
    store: Store,
    reports: Reports,
    _folder: tempfile::TempDir,
}

fn bench(values_max: usize) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let settings = StoreSettings {
        free_octets_min: 0,
        free_inodes_min: 0,
        ..StoreSettings::new(folder.path().join("q"))
    };
    let store = Store::open(settings, clock.clone(), Arc::new(Metrics::default())).unwrap();
    let settings = ReportSettings { values_max, ..ReportSettings::default() };
    let provider_of: ProviderOf = Arc::new(|host| host.ends_with(".big.example").then(|| "big".to_owned()));
    let reports = Reports::new(store.clone(), clock, settings, provider_of);
    Bench { store, reports, _folder: folder }
}

fn status(class: FailureClass, host: &str) -> Status {
    Status::ours(Phase::Rcpt, class, EnhancedCode(4, 0, 0), "x").at(Remote::named(host))
}

/// A message of `tenant` at that time that is accepted and then has this happen to it, so many milliseconds later.
async fn message(bench: &Bench, at: UnixMs, tenant: &str, recipient: &str, then: Vec<(u64, What)>) {
    let id = MessageId::first_at(at);
    let sender = ReversePath::Null;
    let mut envelope = Envelope::new(id, at, Duration::from_secs(9), sender.clone(), Origin::internal());
    envelope.tenant = Some(tenant.to_owned());
    envelope.stream = Some("news".to_owned());
    envelope.tags = vec![("template".to_owned(), "offer".to_owned())];
    let recipients = vec![recipient.parse().unwrap()];
    let accepted =
        What::Accepted { origin: Origin::internal(), sender, recipients, size: 100, decisions: Vec::new() };
    let events = std::iter::once((0, accepted)).chain(then);
    let event = |(ms, what)| Event { message: id, at: UnixMs(at.0 + ms), what };
    bench.store.record_of(&envelope, events.map(event).collect()).await;
}

fn delivered(recipient: &str, host: &str) -> What {
    let status = status(FailureClass::Unknown, host);
    What::Delivered { recipients: vec![recipient.parse().unwrap()], status, attempt: 1, took_ms: 1 }
}

fn failed(recipient: &str, host: &str, class: FailureClass) -> What {
    let recipients = vec![recipient.parse().unwrap()];
    What::Failed { recipients, status: status(class, host), attempt: 1, decisions: Vec::new() }
}

async fn count_all(bench: &Bench) {
    // All that was asked for is written.
    bench.store.summary().await.unwrap();
    let mut counter = bench.reports.counter().await.unwrap();
    counter.count().await.unwrap();
}

async fn ask(bench: &Bench, query: ReportQuery) -> Report {
    let until = if query.until == UnixMs(0) { UnixMs(START.0 + 3_600_000) } else { query.until };
    let since = if query.since == UnixMs(0) { START } else { query.since };
    bench.reports.answer(ReportQuery { since, until, ..query }).await.unwrap()
}

fn by(groups: &[Group]) -> ReportQuery {
    ReportQuery { by: groups.to_vec(), ..ReportQuery::default() }
}

fn count(row: &ReportRow, name: &str) -> u64 {
    row.counts.get(name).copied().unwrap_or(0)
}

async fn some_mail(bench: &Bench) {
    for number in 0..10 {
        let at = UnixMs(START.0 + number * 1_000);
        let to = delivered("x@a.example", "mx1.big.example");
        message(bench, at, "acme", "x@a.example", vec![(200, to)]).await;
    }
    let at = UnixMs(START.0 + 20_000);
    let lost = failed("y@c.example", "mx.c.example", FailureClass::BadMailbox);
    message(bench, at, "acme", "y@c.example", vec![(5, lost)]).await;
    let visitor =
        |automatic: Option<&str>| Visitor { automatic: automatic.map(str::to_owned), ..Visitor::default() };
    let opened =
        |automatic| What::Opened { recipient: "x@a.example".parse().unwrap(), visitor: visitor(automatic) };
    let at = UnixMs(START.0 + 30_000);
    let then = vec![
        (9, delivered("x@a.example", "mx2.big.example")),
        (10, opened(None)),
        (11, opened(Some("scanner"))),
    ];
    message(bench, at, "bolt", "x@a.example", then).await;
}

#[tokio::test]
async fn sums_are_told_by_each_group_and_filter() {
    let bench = bench(100);
    some_mail(&bench).await;
    count_all(&bench).await;
    let all = ask(&bench, ReportQuery::default()).await;
    assert_eq!((all.rows.len(), all.behind), (1, 0));
    let row = &all.rows[0];
    assert_eq!((count(row, "accepted"), count(row, "delivered"), count(row, "bounced")), (12, 11, 1));
    assert_eq!((count(row, "opened"), count(row, "opened_by_program"), count(row, "octets")), (1, 1, 1_200));
    assert!(row.latency.p50_ms.is_some_and(|ms| ms.abs_diff(200) <= 6), "{:?}", row.latency);
    assert_eq!(row.rates.delivered, Some(11.0 / 12.0));
    let tenants = ask(&bench, by(&[Group::Tenant])).await;
    let named: Vec<_> =
        tenants.rows.iter().map(|row| (row.groups["tenant"].as_str(), count(row, "delivered"))).collect();
    assert_eq!(named, [("acme", 10), ("bolt", 1)]);
    let providers = ask(&bench, by(&[Group::Provider])).await;
    let named: Vec<_> = providers.rows.iter().map(|row| row.groups["provider"].as_str()).collect();
    assert_eq!(named, ["big", "c.example"]);
    let mut reasons = by(&[Group::Provider, Group::Reason]);
    reasons.only.insert(Group::Tenant, "acme".to_owned());
    let reasons = ask(&bench, reasons).await;
    assert_eq!(reasons.rows.len(), 1);
    assert_eq!(reasons.rows[0].groups["reason"], "bad-mailbox");
    let mut domain = by(&[Group::Stream]);
    domain.only.insert(Group::Domain, "c.example".to_owned());
    let domain = ask(&bench, domain).await;
    assert_eq!((domain.rows.len(), count(&domain.rows[0], "bounced")), (1, 1));
    let template = ask(&bench, by(&[Group::Template])).await;
    assert_eq!(
        (template.rows[0].groups["template"].as_str(), count(&template.rows[0], "accepted")),
        ("offer", 12)
    );
    let csv = tenants.to_csv(&[Group::Tenant]);
    assert!(
        csv.starts_with("time,tenant,accepted,rejected,delivered,") && csv.contains("\r\n,acme,11,0,10,"),
        "{csv}"
    );
}

#[tokio::test]
async fn hours_make_days() {
    let bench = bench(100);
    let hour = 3_600_000;
    for number in 0..72 {
        let at = UnixMs(START.0 + number * hour);
        message(&bench, at, "acme", "x@a.example", Vec::new()).await;
    }
    count_all(&bench).await;
    let until = UnixMs(START.0 + 72 * hour);
    let hours = ask(&bench, ReportQuery { step: Some(Step::Hour), until, ..ReportQuery::default() }).await;
    assert_eq!(hours.rows.len(), 72);
    assert_eq!(hours.rows[0].time.as_deref(), Some("2027-01-15T08:00:00.000Z"));
    let days = ask(&bench, ReportQuery { step: Some(Step::Day), until, ..ReportQuery::default() }).await;
    let counts: Vec<u64> = days.rows.iter().map(|row| count(row, "accepted")).collect();
    assert_eq!(counts, [16, 24, 24, 8]);
    let whole = ask(&bench, ReportQuery { until, ..ReportQuery::default() }).await;
    assert_eq!(count(&whole.rows[0], "accepted"), 72);
}

#[tokio::test]
async fn too_many_values_count_together_and_none_is_lost() {
    let bench = bench(5);
    for number in 0..40 {
        let at = UnixMs(START.0 + number);
        message(&bench, at, "acme", &format!("x@d{number}.example"), Vec::new()).await;
        if number % 10 == 0 {
            count_all(&bench).await;
        }
    }
    count_all(&bench).await;
    let domains = ask(&bench, by(&[Group::Domain])).await;
    assert_eq!(domains.rows.len(), 6);
    assert_eq!(domains.rows[0].groups["domain"], OTHER);
    assert_eq!(domains.rows.iter().map(|row| count(row, "accepted")).sum::<u64>(), 40);
}

#[tokio::test]
async fn what_was_counted_is_not_counted_again() {
    let bench = bench(100);
    some_mail(&bench).await;
    count_all(&bench).await;
    // Another counter, as after a restart: nothing of it knows what the first one did but the database.
    count_all(&bench).await;
    some_mail(&bench).await;
    count_all(&bench).await;
    let all = ask(&bench, ReportQuery::default()).await;
    assert_eq!(count(&all.rows[0], "accepted"), 24);
}
