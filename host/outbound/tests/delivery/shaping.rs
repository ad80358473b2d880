//! How much goes where: limits that hold mail back, rules that follow replies, new sources.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::MessageId;
use baton_mail::event::What;
use baton_outbound::{
    Limits, OutboundSettings, Pool, Provider, ProviderMatch, Rule, RuleAction, RuleScope, ShapingSettings,
    Source, SourceSettings, TotalLimits, WarmupPlan,
};
use baton_store::{Filter, JobKey, JobView};

use crate::peer::{Line, Peer, Repeat, Say, Step, hello, script, take_one};
use crate::relay::{Relay, host, routes, settings, short};

async fn taking() -> Peer {
    Peer::start(vec![script([hello(), vec![Repeat(take_one())]])]).await
}

fn shaped(peer: &Peer, shaping: ShapingSettings) -> OutboundSettings {
    let mut settings = settings(host(peer.address));
    settings.shaping = Arc::new(shaping);
    settings
}

fn hourly() -> ShapingSettings {
    let site = Limits { message_rate: Some("1/h".parse().unwrap()), ..Limits::default() };
    ShapingSettings { site, ..ShapingSettings::default() }
}

/// Waits until something is so.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), search).await.expect("it comes in time")
}

/// The job of a message once it was handed back for a reason.
async fn put_off(relay: &Relay, id: MessageId) -> JobView {
    until(async || {
        let filter = Filter { message: Some(id), ..Filter::default() };
        let job = relay.store.find(&filter, None, 1).await.unwrap().pop()?;
        job.last.is_some().then_some(job)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_a_rate_waits_and_holds_up_nobody_else() {
    let (peer, other) = (taking().await, taking().await);
    let mut settings = shaped(&peer, hourly());
    settings.routes = routes(host(peer.address), &[("other.test", host(other.address))]);
    let relay = Relay::start(settings);
    let first = relay.submit("s@a.test", &["r@b.test"], "x\r\n").await;
    assert_eq!(short(&relay.outcome(first).await), "delivered data 2.0.0");
    let second = relay.submit("s@a.test", &["r@b.test"], "x\r\n").await;
    let key = JobKey { message: second, job: 0 };
    let (text, end) =
        until(async || relay.view.waits(&HashSet::from([key])).remove(&key).filter(|(_, end)| end.is_some()))
            .await;
    assert_eq!(text, format!("waits for the message rate of {} (1/h)", peer.address));
    assert!(end.is_some());
    let elsewhere = relay.submit("s@a.test", &["r@other.test"], "x\r\n").await;
    assert_eq!(short(&relay.outcome(elsewhere).await), "delivered data 2.0.0");
    assert_eq!(peer.heard(|heard| heard.contents.len()), 1);
    let sites = relay.view.sites();
    let full = sites.iter().find(|site| site.ready > 0).expect("one waits");
    assert_eq!((full.ready, full.connections), (1, 1));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_its_share_over_all_sites() {
    let peer = taking().await;
    let tenants = HashMap::from([("acme".to_owned(), "1/h".parse().unwrap())]);
    let relay = Relay::start(shaped(&peer, ShapingSettings { tenants, ..ShapingSettings::default() }));
    let submit = async |tenant: &str| {
        let set = |envelope: &mut baton_mail::Envelope| envelope.tenant = Some(tenant.to_owned());
        relay.submit_with("s@a.test", &["r@b.test"], b"x\r\n", set).await
    };
    let first = submit("acme").await;
    relay.outcome(first).await;
    let second = submit("acme").await;
    let job = put_off(&relay, second).await;
    let last = job.last.unwrap();
    assert_eq!(last.text, "waits for the message rate of tenant acme (1/h)");
    assert_eq!((last.code, job.attempt), (None, 0), "it was not tried");
    let other = submit("other").await;
    assert_eq!(short(&relay.outcome(other).await), "delivered data 2.0.0");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_has_no_more_connections_than_it_takes_over_all_sites() {
    let (one, other) = (taking().await, taking().await);
    let provider = Provider {
        name: "big".to_owned(),
        matches: vec![ProviderMatch::MxHost("127.0.0.1".parse().unwrap())],
        site: Limits::default(),
        total: TotalLimits { connections: Some(1), ..TotalLimits::default() },
        rules: Vec::new(),
    };
    let shaping = ShapingSettings { providers: vec![Arc::new(provider)], ..ShapingSettings::default() };
    let mut settings = shaped(&one, shaping);
    settings.routes = routes(host(one.address), &[("other.test", host(other.address))]);
    let relay = Relay::start(settings);
    let mut all = Vec::new();
    for number in 0..60 {
        let domain = if number % 2 == 0 { "b.test" } else { "other.test" };
        all.push(relay.submit("s@a.test", &[&format!("r@{domain}")], "x\r\n").await);
    }
    for id in all {
        assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
        let open: usize = relay.view.sites().iter().filter(|site| site.provider.is_some()).count();
        assert!(open <= 2 && relay.metrics.connections_open.get() <= 1, "{open}");
    }
    relay.stop().await;
}

fn rule(action: RuleAction) -> Arc<Rule> {
    Arc::new(Rule {
        name: "blocked".to_owned(),
        codes: vec![421, 554],
        enhanced: None,
        classes: Vec::new(),
        text: None,
        threshold: 1,
        within: Duration::from_secs(60),
        action,
        lasts: Duration::from_secs(3_600),
    })
}

fn source(name: &str, address: &str) -> Arc<Source> {
    let addresses = vec![address.parse().unwrap()];
    Arc::new(Source { name: name.to_owned(), addresses, ..Source::unnamed(Vec::new()) })
}

fn two_sources(settings: &mut OutboundSettings) -> SourceSettings {
    settings.limits.deliveries_per_connection_max = 1;
    let members = vec![(source("a", "127.0.0.2"), 1), (source("b", "127.0.0.3"), 1)];
    SourceSettings { default: Arc::new(Pool::new("default", members)), ..SourceSettings::default() }
}

/// The first connection is refused; what comes later is welcome.
async fn refusing_once() -> Peer {
    let refused: Vec<Step> = vec![Say("554 5.7.1 your address is blocked here\r\n"), Line];
    Peer::start(vec![refused, script([hello(), vec![Repeat(take_one())]])]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_source_rests_and_its_mail_goes_by_another() {
    let peer = refusing_once().await;
    let rules = vec![rule(RuleAction::OtherSource)];
    let mut settings = shaped(&peer, ShapingSettings { rules, ..ShapingSettings::default() });
    settings.sources = Arc::new(two_sources(&mut settings));
    let relay = Relay::start(settings);
    let id = relay.submit("s@a.test", &["r@b.test"], "x\r\n").await;
    let delivered = relay.events(id, 1, |what| matches!(what, What::Delivered { .. })).await;
    assert!(format!("{delivered:?}").contains("\"b\""), "{delivered:?}");
    let measures = relay.store.measures().now();
    let [measure] = &*measures else { panic!("{measures:?}") };
    assert_eq!(measure.scope.to_string(), format!("site {}, source a", peer.address));
    assert!(measure.reason.contains("your address is blocked here"), "{}", measure.reason);
    for _ in 0..3 {
        let id = relay.submit("s@a.test", &["r@b.test"], "x\r\n").await;
        assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    }
    let clients = peer.heard(|heard| heard.clients.clone());
    let by_a = clients.iter().filter(|client| **client == IpAddr::from([127, 0, 0, 2])).count();
    assert_eq!((by_a, clients.len()), (1, 5), "{clients:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_site_is_told_of_and_left_alone_until_the_measure_is_lifted() {
    let peer = refusing_once().await;
    let rules = vec![rule(RuleAction::Suspend(RuleScope::Site))];
    let relay = Relay::start(shaped(&peer, ShapingSettings { rules, ..ShapingSettings::default() }));
    let id = relay.submit("s@a.test", &["r@b.test"], "x\r\n").await;
    assert!(short(&relay.outcome(id).await).starts_with("deferred connect"));
    let measure = until(async || relay.store.measures().now().first().cloned()).await;
    let held = relay.submit("s@a.test", &["r@b.test"], "x\r\n").await;
    let last = put_off(&relay, held).await.last.unwrap();
    assert!(last.text.contains(&format!("by rule blocked ({})", measure.id)), "{}", last.text);
    assert_eq!(peer.heard(|heard| heard.connections), 1);
    relay.store.measures().lift(&measure.id).await.unwrap();
    let id = relay.submit("s@a.test", &["r@b.test"], "x\r\n").await;
    assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_source_sends_its_share_and_the_others_take_the_rest() {
    let peer = taking().await;
    let mut settings = settings(host(peer.address));
    let mut sources = two_sources(&mut settings);
    let plan = WarmupPlan {
        name: "slow".to_owned(),
        days: vec![1, 1],
        by_provider: HashMap::new(),
        deferred_share_max: 0.1,
        complaints_share_max: 0.1,
    };
    sources.warmups.insert("a".to_owned(), Arc::new(plan));
    settings.sources = Arc::new(sources);
    let relay = Relay::start(settings);
    for _ in 0..6 {
        let id = relay.submit("s@a.test", &["r@b.test"], "x\r\n").await;
        assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    }
    let by_a = |clients: &[IpAddr]| clients.iter().filter(|at| **at == IpAddr::from([127, 0, 0, 2])).count();
    assert_eq!(peer.heard(|heard| (by_a(&heard.clients), heard.clients.len())), (1, 6));
    let rows = relay.view.warmups();
    let row = rows.first().expect("it has sent");
    assert_eq!((row.source.as_str(), row.provider.as_str(), row.position.sent), ("a", "other", 1));
    let (store, _folder) = relay.stop().await;
    let kept = store.kv().get("#warmup", "a/other").await.unwrap().unwrap();
    assert!(String::from_utf8(kept).unwrap().starts_with("0 "), "it outlives a restart");
}
