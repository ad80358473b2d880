//! What we write is what we read.

use baton_mail::body::Content;
use baton_mail::mime::MimeLimits;
use baton_mail::tls::TlsFlaw;
use baton_mail::{Mailbox, ReversePath, UnixMs};

use super::*;
use crate::reports::{PublishedPolicy, Report, read};
use crate::{
    DkimOutcome, DmarcOutcome, Evaluated, IprevOutcome, Results, SenderResults, SpfOutcome, Verdict, Wish,
};

fn heading() -> Heading {
    Heading {
        submitter: "relay.example".parse().unwrap(),
        contact: "postmaster@relay.example".to_owned(),
        domain: "dest.example".parse().unwrap(),
        begin_s: 1_795_651_200,
        end_s: 1_795_737_599,
        id: "r1".to_owned(),
    }
}

fn fault(kind: TlsFlaw, host: &str) -> TlsFault {
    TlsFault { kind, from: None, host: host.to_owned(), to: None, detail: String::new() }
}

/// Writes the report as a message, and reads that.
fn read_back(kind: Kind, text: &[u8]) -> (Report, String) {
    let (from, to): (Mailbox, Mailbox) =
        ("reports@relay.example".parse().unwrap(), "reader@dest.example".parse().unwrap());
    let text = compose(kind, &heading(), &pack(text), (&from, &to), UnixMs(1_795_740_000_000));
    let shown = String::from_utf8(text.clone()).unwrap();
    assert!(shown.lines().all(|line| line.len() < 998) && !shown.replace("\r\n", "").contains(['\r', '\n']));
    (read(&Content::split(text.into()), &MimeLimits::default()).unwrap(), shown)
}

#[test]
fn a_report_about_tls_is_read_back() {
    let lines = ["version: STSv1", "mode: testing"].map(str::to_owned);
    let policy = TlsPolicyName::new(TlsPolicyKind::Sts, "dest.example").with_text(lines, ["mx.dest.example"]);
    let expired = fault(TlsFlaw::CertificateExpired, "mx.dest.example");
    let mut counts = TlsCounts::default();
    counts.add(&policy, None, true);
    let mut more = TlsCounts::default();
    more.add(&policy, Some(expired.clone()), true);
    more.add(&policy, Some(expired), true);
    counts.merge(more);
    let (report, shown) = read_back(Kind::Tls, &counts.to_json(&heading()));
    let Report::Tls(report) = report else { panic!("a report of TLS") };
    assert_eq!((report.sessions(), report.begin_s, report.end_s), ((1, 2), 1_795_651_200, 1_795_737_599));
    let policy = &report.policies[0];
    assert_eq!((policy.kind.as_str(), policy.domain.as_str()), ("sts", "dest.example"));
    assert_eq!((policy.failures[0].kind.as_str(), policy.failures[0].count), ("certificate-expired", 2));
    assert!(
        shown.contains("TLS-Report-Domain: dest.example\r\n") && shown.contains("report-type=\"tlsrpt\""),
        "{shown}"
    );
    assert!(
        shown.contains("filename=\"relay.example!dest.example!1795651200!1795737599!r1.json.gz\""),
        "{shown}"
    );
}

#[test]
fn what_is_counted_of_tls_is_bounded() {
    let mut counts = TlsCounts::default();
    let long = || std::iter::repeat_n("x".repeat(1_000), 100);
    let names: Vec<String> = long().collect();
    for number in 0..1_000 {
        let policy = |number| {
            TlsPolicyName::new(TlsPolicyKind::Sts, &format!("{number}.example"))
                .with_text(long(), names.iter().map(String::as_str))
        };
        counts.add(&policy(number), None, true);
        let host = format!("mx{number}.{}", "x".repeat(300));
        let fault = TlsFault { detail: "y".repeat(1_000), ..fault(TlsFlaw::ValidationFailure, &host) };
        counts.add(&policy(0), Some(fault), true);
    }
    let json = String::from_utf8(counts.to_json(&heading())).unwrap();
    assert_eq!(json.matches("policy-domain").count(), POLICIES_MAX);
    assert_eq!(json.matches("receiving-mx-hostname").count(), FAILURES_MAX);
    assert!(json.contains("\"total-failure-session-count\":1000"), "all are counted");
    assert!(serde_json::to_vec(&counts).unwrap().len() < 64 << 10, "it fits into a value of the store");
}

/// Results of a message in the name of a domain that wants failures refused.
fn results(source: &str, is_aligned: bool) -> Results {
    let spf = SpfOutcome {
        verdict: Verdict::Fail,
        domain: "a<b&c.example".to_owned(),
        reason: String::new(),
        explanation: None,
    };
    let dkim = DkimOutcome {
        verdict: if is_aligned { Verdict::Pass } else { Verdict::Fail },
        domain: "dest.example".to_owned(),
        selector: "s1".to_owned(),
        identity: None,
        algorithm: "ed25519-sha256",
        mark: String::new(),
        reason: None,
    };
    let published = PublishedPolicy { p: "reject".to_owned(), testing: "n".to_owned(), ..Default::default() };
    let evaluated =
        Evaluated { published, wish: Wish::Reject, wants_reports: true, spf: false, dkim: is_aligned };
    Results {
        sender: SenderResults {
            client: source.parse().unwrap(),
            iprev: IprevOutcome { verdict: Verdict::Pass, name: None, reason: None },
            helo: None,
            mail: Some(spf),
        },
        dkim: vec![dkim],
        dmarc: DmarcOutcome {
            verdict: if is_aligned { Verdict::Pass } else { Verdict::Fail },
            author: Some("news.dest.example".parse().unwrap()),
            record_at: Some("dest.example".to_owned()),
            wish: Some(Wish::Reject),
            reason: None,
            evaluated: Some(evaluated),
        },
        arc: None,
    }
}

fn seen(source: &str, is_aligned: bool) -> DmarcSeen {
    let sender = ReversePath::Mailbox("bo@else.example".parse().unwrap());
    DmarcSeen::of(&results(source, is_aligned), &sender).unwrap()
}

/// All parts, merged one by one as the store does.
fn kept(rounds: impl IntoIterator<Item = DmarcCounts>) -> Vec<DmarcPart> {
    let mut parts: std::collections::BTreeMap<u8, DmarcPart> = Default::default();
    for (number, part) in rounds.into_iter().flat_map(DmarcCounts::into_parts) {
        parts.entry(number).or_default().merge(part);
    }
    parts.into_values().collect()
}

#[test]
fn a_report_of_dmarc_is_read_back() {
    let round = || {
        let mut counts = DmarcCounts::default();
        assert!(counts.add(seen("192.0.2.1", true), Wish::None, true));
        assert!(!counts.add(seen("192.0.2.1", true), Wish::None, true), "the same again");
        assert!(counts.add(seen("192.0.2.1", false), Wish::Reject, true));
        assert!(counts.add(seen("192.0.2.1", false), Wish::None, true));
        assert!(!counts.add(seen("2001:db8::1", false), Wish::None, false), "there is no room");
        counts
    };
    let parts = kept([round(), round()]);
    let (report, shown) = read_back(Kind::Dmarc, &dmarc_xml(&heading(), &parts).unwrap());
    let Report::Dmarc(report) = report else { panic!("a report of DMARC") };
    assert_eq!((report.policy.p.as_str(), report.domain.as_str()), ("reject", "dest.example"));
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|row| (row.count, row.disposition.as_str(), row.dkim.as_str(), row.reason.as_str()))
        .collect();
    assert_eq!(rows.len(), 3, "{report:?}");
    for row in [(4, "pass", "pass", ""), (2, "reject", "fail", ""), (2, "none", "fail", "local_policy")] {
        assert!(rows.contains(&row), "{row:?} is not in {rows:?}");
    }
    let row = &report.rows[0];
    assert_eq!((row.header_from.as_str(), row.envelope_from.as_str()), ("news.dest.example", "else.example"));
    assert_eq!(
        (row.dkim_results.as_str(), row.spf_results.as_str()),
        ("pass dest.example (s1)", "fail a<b&c.example")
    );
    assert!(
        shown.contains("filename=\"relay.example!dest.example!1795651200!1795737599!r1.xml.gz\""),
        "{shown}"
    );
    assert!(
        shown.contains("Subject: Report Domain: dest.example\r\n Submitter: relay.example\r\n"),
        "{shown}"
    );
}

#[test]
fn what_is_counted_of_dmarc_is_bounded() {
    let mut counts = DmarcCounts::default();
    for number in 0..30_000_u32 {
        let source = std::net::Ipv4Addr::from(number).to_string();
        counts.add(seen(&source, false), Wish::None, true);
    }
    let parts = kept([counts]);
    assert!(parts.iter().all(|part| serde_json::to_vec(part).unwrap().len() < 64 << 10));
    assert!(dmarc_xml(&heading(), &parts).is_some_and(|xml| pack(&xml).len() < 1 << 20));
    assert_eq!(dmarc_xml(&heading(), &[]), None);
}

#[test]
fn domains_that_ask_for_nothing_are_told_nothing() {
    let mut results = results("192.0.2.1", true);
    results.dmarc.evaluated.as_mut().unwrap().wants_reports = false;
    assert_eq!(DmarcSeen::of(&results, &ReversePath::Null), None);
}
