//! The resolver against a real DNS server on loopback, fed with zone text.

use std::net::IpAddr;

use baton_dns::{
    ADDRESSES_MAX, DnsError, DnsSettings, Dnssec, MAIL_HOSTS_MAX, MailHost, MailHosts, Resolver,
};
use baton_mail::Domain;
use hickory_proto::rr::RecordType;

#[path = "../../../tests/src/dns.rs"]
#[allow(dead_code, unreachable_pub)]
mod server;
use server::{DnsServer, Fault};

const ZONE: &str = r#"
$ORIGIN .
$TTL 300
both.test.        IN MX 20 mx2.both.test.
both.test.        IN MX 10 MX1.both.test.
both.test.        IN MX 30 mx1.both.test.
mx1.both.test.    IN A 192.0.2.1
mx1.both.test.    IN AAAA 2001:db8::1
mx2.both.test.    IN A 192.0.2.2
address.test.     IN A 192.0.2.3
null.test.        IN MX 0 .
mixed.test.       IN MX 0 .
mixed.test.       IN MX 5 mx1.both.test.
numeric.test.     IN MX 5 192.0.2.9.
numeric.test.     IN MX 6 mx1.both.test.
text.test.        IN TXT "v=spf1 " "-all"
alias.test.       IN CNAME both.test.
lame.test.        IN CNAME nowhere.test.
one.test.         IN CNAME two.test.
two.test.         IN CNAME one.test.
1.2.0.192.in-addr.arpa.  IN PTR mx1.both.test.
2.2.0.192.in-addr.arpa.  IN PTR mx1.both.test.
"#;

async fn start(zone: &str) -> (DnsServer, Resolver) {
    let server = DnsServer::start(zone).await.expect("a loopback port is free");
    let settings =
        DnsSettings { servers: vec![server.address()], timeout_ms: 400, attempts: 1, ..Default::default() };
    let resolver = Resolver::new(&settings).expect("the settings name a server");
    (server, resolver)
}

fn domain(name: &str) -> Domain {
    name.parse().expect("the test names a domain")
}

async fn mail_hosts(resolver: &Resolver, name: &str) -> Result<MailHosts, DnsError> {
    resolver.mail_hosts(&domain(name)).await.map(|found| found.hosts)
}

fn hosts(list: &[(u16, &str)]) -> MailHosts {
    MailHosts::Hosts(
        list.iter()
            .map(|(preference, name)| MailHost { preference: *preference, name: (*name).to_owned() })
            .collect(),
    )
}

#[tokio::test]
async fn mail_hosts_come_by_preference_each_once() {
    let (_server, resolver) = start(ZONE).await;
    let expected = hosts(&[(10, "mx1.both.test"), (20, "mx2.both.test")]);
    assert_eq!(mail_hosts(&resolver, "both.test").await, Ok(expected.clone()));
    assert_eq!(mail_hosts(&resolver, "alias.test").await, Ok(expected), "an alias is followed");
}

#[tokio::test]
async fn a_domain_without_mx_is_its_own_host_when_it_has_an_address() {
    let (_server, resolver) = start(ZONE).await;
    assert_eq!(mail_hosts(&resolver, "address.test").await, Ok(hosts(&[(0, "address.test")])));
    assert_eq!(
        mail_hosts(&resolver, "text.test").await,
        Ok(MailHosts::NoSuchDomain),
        "neither MX nor address"
    );
    assert_eq!(mail_hosts(&resolver, "[192.0.2.7]").await, Ok(hosts(&[(0, "192.0.2.7")])));
}

#[tokio::test]
async fn domains_that_take_no_mail_are_told_apart() {
    let (_server, resolver) = start(ZONE).await;
    assert_eq!(mail_hosts(&resolver, "null.test").await, Ok(MailHosts::NullMx));
    assert_eq!(mail_hosts(&resolver, "mixed.test").await, Ok(hosts(&[(5, "mx1.both.test")])));
    assert_eq!(mail_hosts(&resolver, "numeric.test").await, Ok(hosts(&[(6, "mx1.both.test")])));
    for missing in ["nowhere.test", "lame.test"] {
        assert_eq!(mail_hosts(&resolver, missing).await, Ok(MailHosts::NoSuchDomain), "{missing}");
    }
}

#[tokio::test]
async fn alias_loops_end() {
    let (_server, resolver) = start(ZONE).await;
    let found = mail_hosts(&resolver, "one.test").await;
    assert!(matches!(found, Ok(MailHosts::NoSuchDomain) | Err(_)), "{found:?}");
}

#[tokio::test]
async fn trouble_is_never_an_answer() {
    let (server, resolver) = start(ZONE).await;
    server.set_fault("both.test", Some(Fault::Failure));
    assert!(matches!(mail_hosts(&resolver, "both.test").await, Err(DnsError::Failed(_))));
    server.set_fault("both.test", Some(Fault::Silence));
    assert_eq!(mail_hosts(&resolver, "both.test").await, Err(DnsError::Timeout));
    server.set_fault("both.test", Some(Fault::Refusal));
    assert!(matches!(mail_hosts(&resolver, "both.test").await, Err(DnsError::Failed(_))));
    server.set_fault("both.test", Some(Fault::Cut));
    assert!(mail_hosts(&resolver, "both.test").await.is_err(), "an answer that was cut off is none");
    server.set_fault("both.test", None);
    assert!(mail_hosts(&resolver, "both.test").await.is_ok(), "failures are not remembered");
}

#[tokio::test]
async fn addresses_of_both_families() {
    let (_server, resolver) = start(ZONE).await;
    let both: Vec<IpAddr> = vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    assert_eq!(resolver.addresses("mx1.both.test").await, Ok(both));
    assert_eq!(resolver.addresses("nowhere.test").await, Ok(Vec::new()));
    assert_eq!(resolver.addresses("192.0.2.8").await, Ok(vec!["192.0.2.8".parse().unwrap()]));
    assert_eq!(resolver.addresses("a b").await, Err(DnsError::BadName));
}

#[tokio::test]
async fn floods_of_records_are_cut() {
    let mut zone = String::from("$ORIGIN .\n$TTL 60\n");
    for number in 0..1_000 {
        zone.push_str(&format!("flood.test. IN MX {} mx{number}.test.\n", number % 7));
    }
    for number in 0..200 {
        zone.push_str(&format!("many.test. IN A 198.51.100.{number}\n"));
    }
    let (_server, resolver) = start(&zone).await;
    let Ok(MailHosts::Hosts(found)) = mail_hosts(&resolver, "flood.test").await else {
        panic!("the answer is too large for UDP and comes by TCP")
    };
    assert_eq!(found.len(), MAIL_HOSTS_MAX);
    assert!(found.iter().all(|host| host.preference == 0), "the most preferred ones are kept");
    assert_eq!(resolver.addresses("many.test").await.unwrap().len(), ADDRESSES_MAX);
}

#[tokio::test]
async fn reverse_names_count_only_when_they_lead_back() {
    let (_server, resolver) = start(ZONE).await;
    let name = |address: &str| resolver.reverse_name(address.parse().unwrap());
    assert_eq!(name("192.0.2.1").await, Ok(Some("mx1.both.test".to_owned())));
    assert_eq!(name("192.0.2.2").await, Ok(None), "it names a host that has another address");
    assert_eq!(name("192.0.2.77").await, Ok(None));
}

#[tokio::test]
async fn plugins_get_records_as_text() {
    let (_server, resolver) = start(ZONE).await;
    let found = resolver.lookup("text.test", 16).await.unwrap();
    assert_eq!((found.rcode, found.records), (0, vec!["v=spf1 -all".to_owned()]));
    let missing = resolver.lookup("nowhere.test", 16).await.unwrap();
    assert_eq!((missing.rcode, missing.records.len()), (3, 0));
    let other = resolver.lookup("text.test", 1).await.unwrap();
    assert_eq!((other.rcode, other.records.len()), (0, 0));
}

#[tokio::test]
async fn equal_questions_at_once_go_out_once_and_answers_are_remembered() {
    let (server, resolver) = start(ZONE).await;
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.lookup("text.test", 16).await })
        })
        .collect();
    for one in asked {
        assert!(one.await.unwrap().is_ok());
    }
    assert_eq!(server.questions("text.test", RecordType::TXT), 1);
    for _ in 0..2 {
        assert_eq!(mail_hosts(&resolver, "nowhere.test").await, Ok(MailHosts::NoSuchDomain));
    }
    assert_eq!(server.questions("nowhere.test", RecordType::MX), 1, "negative answers are remembered too");
}

const SIGNED: &str = r#"
$ORIGIN .
$TTL 0
good.test.        IN MX 10 mx.good.test.
mx.good.test.     IN A 192.0.2.1
_25._tcp.mx.good.test. IN TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
alone.test.       IN A 192.0.2.2
mixed.test.       IN MX 10 mx.open.test.
open.test.        IN MX 10 mx.open.test.
mx.open.test.     IN A 192.0.2.3
_25._tcp.mx.open.test. IN TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
out.test.         IN CNAME mx.open.test.
in.open.test.     IN CNAME mx.good.test.
"#;

async fn start_signed(dnssec: Dnssec, is_known: bool) -> (DnsServer, Resolver, tempfile::NamedTempFile) {
    let server = DnsServer::start_signed(SIGNED, &["open.test"]).await.expect("a loopback port is free");
    let anchor = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(anchor.path(), server.trust_anchor()).expect("it is written");
    let settings = DnsSettings {
        servers: vec![server.address()],
        timeout_ms: 400,
        attempts: 1,
        dnssec,
        trust_anchor_file: is_known.then(|| anchor.path().to_owned()),
        ..Default::default()
    };
    (server, Resolver::new(&settings).expect("the settings name a server"), anchor)
}

/// Whether the mail hosts of a domain, and the addresses of a host, are proved.
async fn is_secure(resolver: &Resolver, name: &str) -> Result<bool, DnsError> {
    resolver.mail_hosts(&domain(name)).await.map(|found| found.secure)
}

#[tokio::test]
async fn what_is_signed_is_proved_and_what_is_not_is_not() {
    let (_server, resolver, _anchor) = start_signed(Dnssec::Validate, true).await;
    assert_eq!(is_secure(&resolver, "good.test").await, Ok(true));
    assert_eq!(is_secure(&resolver, "alone.test").await, Ok(true), "without MX records");
    assert_eq!(is_secure(&resolver, "mixed.test").await, Ok(true), "the name of the host is proved");
    assert_eq!(is_secure(&resolver, "open.test").await, Ok(false));
    let addresses =
        async |host: &str| resolver.host_addresses(host).await.map(|found| (found.secure, found.name));
    assert_eq!(addresses("mx.good.test").await, Ok((true, "mx.good.test".to_owned())));
    assert!(matches!(addresses("mx.open.test").await, Ok((false, _))));
    assert!(matches!(addresses("out.test").await, Ok((false, _))), "an alias into a zone without signatures");
    assert!(matches!(addresses("in.open.test").await, Ok((false, _))), "an alias out of one");
    assert_eq!(resolver.tlsa("mx.good.test", 25).await.map(|records| records.len()), Ok(1));
    assert_eq!(resolver.tlsa("alone.test", 25).await, Ok(Vec::new()), "proved to be none");
    assert_eq!(resolver.tlsa("mx.open.test", 25).await, Ok(Vec::new()), "not proved, so not there");
}

#[tokio::test]
async fn forged_answers_are_trouble() {
    let (server, resolver, _anchor) = start_signed(Dnssec::Validate, true).await;
    for fault in [Fault::Forgery, Fault::Strip] {
        for name in ["good.test", "_25._tcp.mx.good.test", "mx.good.test", "_25._tcp.alone.test"] {
            server.set_fault(name, Some(fault));
        }
        assert_eq!(is_secure(&resolver, "good.test").await, Err(DnsError::Bogus), "{fault:?}");
        assert_eq!(resolver.host_addresses("mx.good.test").await, Err(DnsError::Bogus), "{fault:?}");
        assert_eq!(resolver.tlsa("mx.good.test", 25).await, Err(DnsError::Bogus), "{fault:?}");
        assert_eq!(
            resolver.tlsa("alone.test", 25).await,
            Err(DnsError::Bogus),
            "{fault:?}: nothing is not proved"
        );
    }
}

#[tokio::test]
async fn where_signatures_do_not_come_through_nothing_is_proved_and_mail_goes_on() {
    let (_server, resolver) = start(ZONE).await;
    assert_eq!(is_secure(&resolver, "both.test").await, Ok(false), "a name server without signatures");
    assert!(!resolver.validates().await);
    // Signed, but by nobody that is known.
    let (_server, resolver, _anchor) = start_signed(Dnssec::Auto, false).await;
    assert_eq!(is_secure(&resolver, "good.test").await, Ok(false));
    let (_server, resolver, _anchor) = start_signed(Dnssec::Validate, false).await;
    assert_eq!(is_secure(&resolver, "good.test").await, Err(DnsError::Bogus));
    let (_server, resolver, _anchor) = start_signed(Dnssec::Off, true).await;
    assert_eq!(is_secure(&resolver, "good.test").await, Ok(false));
    // Once they came through, they must.
    let (server, resolver, _anchor) = start_signed(Dnssec::Auto, true).await;
    assert_eq!(is_secure(&resolver, "good.test").await, Ok(true));
    server.set_fault("good.test", Some(Fault::Strip));
    server.set_fault(".", Some(Fault::Strip));
    assert_eq!(is_secure(&resolver, "good.test").await, Err(DnsError::Bogus));
}
