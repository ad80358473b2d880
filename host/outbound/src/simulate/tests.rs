//! What must hold whatever comes, from seeds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::shaping::{Limits, Provider, ProviderMatch, Rule, RuleAction, RuleScope, ShapingSettings};
use crate::sources::{Pool, Source, SourceSettings, WarmupPlan};

const LIFETIME: Duration = Duration::from_secs(2 * 86_400);

fn settings(site: Limits) -> OutboundSettings {
    let mut settings = OutboundSettings::new("relay.test".parse().unwrap());
    settings.shaping = Arc::new(ShapingSettings { site, ..ShapingSettings::default() });
    settings
}

fn limited(rate: &str) -> OutboundSettings {
    settings(Limits { message_rate: Some(rate.parse().unwrap()), ..Limits::default() })
}

const ONE: &str = r#"
days = 1
[[traffic]]
per_day = 2700
hours = 1
domains = { "big.test" = 1.0 }
[[providers]]
name = "big"
domains = ["big.test"]
mx_hosts = ["mx.big.test"]
"#;

fn play(settings: &OutboundSettings, scenario: &Scenario, seed: u64) -> Report {
    let report = simulate(settings, scenario, LIFETIME, seed);
    let sum = report.delivered + report.failed + report.queued;
    assert_eq!(report.offered, sum, "seed {seed}: nothing is lost: {report:?}");
    report
}

#[test]
fn a_limit_is_kept_within_two_percent_over_ten_minutes() {
    let mut scenario = Scenario::parse(ONE).unwrap();
    for seed in 0..100 {
        let per_minute = [20_u32, 30, 60][seed as usize % 3];
        scenario.traffic[0].per_day = per_minute * 60 * 3 / 2;
        let report = play(&limited(&format!("{per_minute}/m")), &scenario, seed);
        let tens = &report.days[0].tens;
        // More comes than may go from the beginning until an hour and a half has passed.
        for (number, count) in tens.iter().enumerate().take(8).skip(1) {
            let off = (f64::from(*count) - f64::from(per_minute * 10)).abs() / f64::from(per_minute * 10);
            assert!(off <= 0.02, "seed {seed}, {per_minute}/m: {count} in ten minutes {number}: {tens:?}");
        }
        assert_eq!(report.queued, 0, "seed {seed}");
    }
}

#[test]
fn nobody_starves_behind_a_flood_and_what_is_urgent_goes_first() {
    let scenario = r#"
days = 1
[[traffic]]
per_day = 3000
hours = 1
tenant = "flood"
domains = { "big.test" = 1.0 }
[[traffic]]
per_day = 60
hours = 1
tenant = "small"
domains = { "big.test" = 1.0 }
[[traffic]]
per_day = 60
hours = 1
tenant = "flood"
stream = "codes"
priority = 6
domains = { "big.test" = 1.0 }
[[providers]]
name = "big"
domains = ["big.test"]
mx_hosts = ["mx.big.test"]
"#;
    let scenario = Scenario::parse(scenario).unwrap();
    for seed in 0..60 {
        let report = play(&limited("30/m"), &scenario, seed);
        let [flood, small, codes] = &report.kinds[..] else { panic!("{report:?}") };
        assert!(flood.p50_s > 300, "seed {seed}: the flood waits: {flood:?}");
        assert!(codes.p99_s <= 60, "seed {seed}: {codes:?}");
        assert!(small.p99_s <= 60, "seed {seed}: {small:?} behind {flood:?}");
        assert_eq!(report.delivered, report.offered, "seed {seed}");
    }
}

/// Settings and a scenario in which everything may happen.
fn anything(random: &mut StdRng) -> (OutboundSettings, Scenario) {
    let rate = |random: &mut StdRng| format!("{}/m", random.random_range(5..60)).parse().ok();
    let site = Limits {
        message_rate: random.random_bool(0.5).then(|| rate(random)).flatten(),
        connections: random.random_bool(0.5).then(|| random.random_range(1..5)),
        messages_per_connection: random.random_bool(0.5).then(|| random.random_range(1..50)),
        ..Limits::default()
    };
    let rule = |name: &str, action| {
        Arc::new(Rule {
            name: name.to_owned(),
            codes: vec![421, 450],
            enhanced: None,
            classes: Vec::new(),
            text: None,
            threshold: 3,
            within: Duration::from_secs(600),
            action,
            lasts: Duration::from_secs(1_800),
        })
    };
    let actions = [
        RuleAction::SlowDown(4.0),
        RuleAction::OtherSource,
        RuleAction::Suspend(RuleScope::Site),
        RuleAction::Suspend(RuleScope::Tenant),
    ];
    let big = Provider {
        name: "big".to_owned(),
        matches: vec![ProviderMatch::MxSuffix("big.test".parse().unwrap())],
        site,
        total: Default::default(),
        rules: vec![rule("rule", actions[random.random_range(0..4)])],
    };
    let mut settings = settings(Limits::default());
    settings.limits.ready_max = random.random_range(5..2_000);
    let shaping = ShapingSettings { site, providers: vec![Arc::new(big)], ..ShapingSettings::default() };
    settings.shaping = Arc::new(shaping);
    let source = |name: &str| Arc::new(Source { name: name.to_owned(), ..Source::unnamed(Vec::new()) });
    let pool = Pool::new("default", vec![(source("a"), 2), (source("b"), 1)]);
    let mut sources = SourceSettings { default: Arc::new(pool), ..SourceSettings::default() };
    let plan = WarmupPlan {
        name: "slow".to_owned(),
        days: vec![50, 100],
        by_provider: HashMap::new(),
        deferred_share_max: 0.1,
        complaints_share_max: 0.1,
    };
    sources.warmups.insert("b".to_owned(), Arc::new(plan));
    settings.sources = Arc::new(sources);
    let mut scenario = Scenario::parse(ONE).unwrap();
    let [model] = &mut scenario.providers[..] else { panic!("one") };
    model.greylist_s = if random.random_bool(0.3) { 300 } else { 0 };
    model.refuses = random.random_range(0.0..0.1);
    model.accepts = random.random_bool(0.5).then(|| format!("{}/m", random.random_range(5..40)));
    model.connections = random.random_bool(0.3).then(|| random.random_range(1..4));
    if random.random_bool(0.3) {
        model.outages.push(Outage { from_hour: random.random_range(0.0..2.0), hours: 3.0 });
    }
    if random.random_bool(0.3) {
        model.trust = vec![20, 40];
    }
    scenario.days = random.random_range(1..4);
    scenario.traffic[0].per_day = random.random_range(10..600);
    scenario.traffic[0].hours = random.random_range(1..25);
    scenario.traffic[0].tenant = Some("acme".to_owned());
    (settings, scenario)
}

#[test]
fn nothing_is_lost_whatever_happens_and_a_seed_is_a_story() {
    let mut delivered = 0;
    for seed in 0..200 {
        // Pools remember whose turn it is, so each play has settings of its own.
        let play_anew = || {
            let (settings, scenario) = anything(&mut StdRng::seed_from_u64(seed));
            play(&settings, &scenario, seed)
        };
        let report = play_anew();
        delivered += report.delivered;
        if seed % 20 == 0 {
            assert_eq!(report, play_anew(), "seed {seed}");
        }
    }
    assert!(delivered > 10_000, "{delivered}");
}

#[test]
fn a_rule_rests_a_source_and_its_mail_goes_by_the_other() {
    let (mut settings, mut scenario) = anything(&mut StdRng::seed_from_u64(1));
    let source = |name: &str| Arc::new(Source { name: name.to_owned(), ..Source::unnamed(Vec::new()) });
    let pool = Pool::new("default", vec![(source("a"), 1), (source("b"), 1)]);
    settings.sources = Arc::new(SourceSettings { default: Arc::new(pool), ..SourceSettings::default() });
    let mut shaping = ShapingSettings::clone(&settings.shaping);
    let mut provider = Provider::clone(&shaping.providers[0]);
    let mut rule = Rule::clone(&provider.rules[0]);
    (rule.action, rule.threshold) = (RuleAction::OtherSource, 1);
    provider.rules = vec![Arc::new(rule)];
    shaping.providers = vec![Arc::new(provider)];
    settings.shaping = Arc::new(shaping);
    scenario = Scenario { days: 1, ..scenario };
    scenario.traffic[0].per_day = 400;
    scenario.traffic[0].hours = 24;
    scenario.providers[0] = Model {
        accepts: None,
        connections: None,
        trust: vec![50],
        greylist_s: 0,
        refuses: 0.0,
        outages: Vec::new(),
        ..scenario.providers[0].clone()
    };
    let report = play(&settings, &scenario, 7);
    assert!(report.days[0].rules.contains_key("rule"), "{report:?}");
    assert_eq!(report.days[0].sources.len(), 2);
}

#[test]
fn mistakes_in_a_scenario_are_named() {
    for (from, to, named) in [
        ("big.test\" = 1.0", "small.test\" = 1.0", "traffic[0].domains"),
        ("hours = 1", "hours = 25", "traffic[0].hours"),
        ("days = 1", "days = 0", "days"),
        ("name = \"big\"", "name = \"big\"\naccepts = \"fast\"", "providers[0].accepts"),
        ("name = \"big\"", "name = \"big\"\nover = \"no\"", "providers[0].over"),
        ("per_day", "perday", "perday"),
    ] {
        let problem = Scenario::parse(&ONE.replace(from, to)).unwrap_err().to_string();
        assert!(problem.contains(named), "{problem}");
    }
}
