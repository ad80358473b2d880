//! When reports are due, on a clock of our own.

use baton_dns::DnsSettings;
use baton_hooks::host::{HttpBackend, HttpError, HttpRequest, HttpResponse};
use baton_identity::reports::outgoing::{TlsPolicyKind, TlsPolicyName};
use baton_mail::UnixMs;
use baton_mail::clock::ManualClock;
use baton_store::StoreSettings;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;

/// Nothing can be asked.
struct NoWeb;

impl HttpBackend for NoWeb {
    fn fetch<'a>(&'a self, _: &'a str, _: HttpRequest) -> BoxFuture<'a, Result<HttpResponse, HttpError>> {
        std::future::ready(Err(HttpError::Denied)).boxed()
    }
}

fn reporter(folder: &std::path::Path, clock: &Arc<ManualClock>) -> Reporter {
    let clock: Arc<dyn Clock> = clock.clone();
    let store = Store::open(StoreSettings::new(folder.join("queue")), clock.clone(), Arc::default()).unwrap();
    let web: Arc<dyn HttpBackend> = Arc::new(NoWeb);
    let deps = ReporterDeps {
        store,
        resolver: Resolver::new(&DnsSettings::default()).unwrap(),
        signer: Signer::default(),
        http: Arc::new(ArcSwap::from_pointee(web)),
        clock,
    };
    let settings = ReportingSettings {
        tls: true,
        dmarc: false,
        from: "reports@relay.example".parse().unwrap(),
        submitter: "relay.example".parse().unwrap(),
        sign: true,
    };
    Reporter::new(settings, deps, &mut Registry::default())
}

fn count(reporter: &Reporter, domain: &str) {
    let policy = TlsPolicyName::new(TlsPolicyKind::Missing, domain);
    reporter.0.tls.count(&domain.parse().unwrap(), |counts, is_room| counts.add(&policy, None, is_room));
}

#[tokio::test]
async fn a_day_is_reported_within_four_hours_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let hours = |count: u64| Duration::from_secs(count * 3_600);
    let clock = Arc::new(ManualClock::new(UnixMs(0).plus(hours(20_000 * 24 - 1))));
    let reporter = reporter(folder.path(), &clock);
    let names: Vec<String> = (0..50).map(|number| format!("d{number}.example")).collect();
    for _ in 0..2 {
        names.iter().for_each(|name| count(&reporter, name));
        reporter.keep().await;
    }
    assert_eq!(reporter.due(Kind::Tls, false).await, []);
    let all = reporter.due(Kind::Tls, true).await;
    assert_eq!((all.len(), all[0].day), (50, 19_999));
    let counts = reporter.parts::<TlsCounts>(&all[0].keys).await;
    assert!(serde_json::to_string(&counts).unwrap().contains("\"good\":2"), "{counts:?}");
    clock.advance(hours(3));
    let early = reporter.due(Kind::Tls, false).await.len();
    assert!((1..50).contains(&early), "{early} of them in the first half");
    clock.advance(hours(2));
    assert_eq!(reporter.due(Kind::Tls, false).await.len(), 50);
    // What could not be sent for a day is given up.
    clock.advance(hours(20));
    assert_eq!(reporter.due(Kind::Tls, true).await, []);
}
