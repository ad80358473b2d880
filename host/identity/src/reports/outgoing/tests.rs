//! What we write is what we read.

use baton_mail::body::Content;
use baton_mail::mime::MimeLimits;
use baton_mail::tls::TlsFlaw;
use baton_mail::{Mailbox, UnixMs};

use super::*;
use crate::reports::{Report, read};

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

#[test]
fn a_report_about_tls_is_read_back() {
    let lines = ["version: STSv1", "mode: testing"].map(str::to_owned);
    let policy = TlsPolicyName::new(TlsPolicyKind::Sts, "dest.example").with_text(lines, ["mx.dest.example"]);
    let expired = fault(TlsFlaw::CertificateExpired, "mx.dest.example");
    let mut counts = TlsCounts::default();
    counts.add(&policy, None);
    let mut more = TlsCounts::default();
    more.add(&policy, Some(expired.clone()));
    more.add(&policy, Some(expired));
    counts.merge(more);
    let (from, to): (Mailbox, Mailbox) =
        ("reports@relay.example".parse().unwrap(), "tls@dest.example".parse().unwrap());
    let packed = pack(&counts.to_json(&heading()));
    let text = compose(&heading(), &packed, &from, &to, UnixMs(1_795_740_000_000));
    let shown = String::from_utf8(text.clone()).unwrap();
    assert!(shown.lines().all(|line| line.len() < 998) && !shown.replace("\r\n", "").contains(['\r', '\n']));
    let Report::Tls(report) = read(&Content::split(text.into()), &MimeLimits::default()).unwrap() else {
        panic!("a report of TLS")
    };
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
fn what_is_counted_is_bounded() {
    let mut counts = TlsCounts::default();
    let long = || std::iter::repeat_n("x".repeat(1_000), 100);
    let names: Vec<String> = long().collect();
    for number in 0..1_000 {
        let policy = |number| {
            TlsPolicyName::new(TlsPolicyKind::Sts, &format!("{number}.example"))
                .with_text(long(), names.iter().map(String::as_str))
        };
        counts.add(&policy(number), None);
        let host = format!("mx{number}.{}", "x".repeat(300));
        let fault = TlsFault { detail: "y".repeat(1_000), ..fault(TlsFlaw::ValidationFailure, &host) };
        counts.add(&policy(0), Some(fault));
    }
    let json = String::from_utf8(counts.to_json(&heading())).unwrap();
    assert_eq!(json.matches("policy-domain").count(), POLICIES_MAX);
    assert_eq!(json.matches("receiving-mx-hostname").count(), FAILURES_MAX);
    assert!(json.contains("\"total-failure-session-count\":1000"), "all are counted");
    assert!(serde_json::to_vec(&counts).unwrap().len() < 64 << 10, "it fits into a value of the store");
}
