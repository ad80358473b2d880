//! What domains publish about the TLS of their mail hosts: MTA-STS and DANE, and what REQUIRETLS makes of them.

use std::fmt::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::pki::{Issued, Pki, sha256_hex};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Sink};
use baton_tests::vault::{Page, Vault};
use baton_tests::wait;
use baton_tests::zone::Zone;
use toml::Value;

/// Mail hosts at one port: a relay that shows a certificate for each name, and a sink that knows no TLS.
pub(crate) struct MailHosts {
    /// At 127.0.0.1.
    relay: Relay,
    /// Where the relay delivers.
    pub(crate) kept: Sink,
    /// At 127.0.0.3.
    pub(crate) plain: Sink,
}

impl MailHosts {
    pub(crate) fn start(issued: &[&Issued]) -> Result<MailHosts> {
        let kept = Sink::start()?;
        let mut text = String::new();
        for one in issued {
            writeln!(text, "[[tls.certificates]]\nchain = {:?}\nkey = {:?}", one.chain, one.key)?;
        }
        let relay = Relay::start(Settings::new().all_to(kept.address()).with(&text))?;
        let port = relay.smtp()?.port();
        let plain = Sink::at(SocketAddr::new("127.0.0.3".parse()?, port), Behaviour::default())?;
        Ok(MailHosts { relay, kept, plain })
    }

    /// Settings of a relay that finds them by this DNS server.
    pub(crate) fn settings(&self, zone: &Zone, pki: &Pki) -> Result<Settings> {
        Ok(Settings::new()
            .names_from(zone.address())
            .set("delivery.smtp_port", i64::from(self.relay.smtp()?.port()))
            .set("delivery.tls_ca_file", pki.authority().display().to_string()))
    }
}

/// Settings with policies from this server.
fn with_policies(settings: Settings, vault: &Vault, pki: &Pki) -> Settings {
    settings
        .set("delivery.mta_sts.port", i64::from(vault.address().port()))
        .set("delivery.mta_sts.check_ms", 200)
        .set("http.ca_file", pki.authority().display().to_string())
        .set("http.allowed_networks", vec![Value::from("127.0.0.0/8")])
}

fn policy(mode: &str, hosts: &[&str]) -> Page {
    let hosts: String = hosts.iter().map(|host| format!("mx: {host}\r\n")).collect();
    Page::text(&format!("version: STSv1\r\nmode: {mode}\r\n{hosts}max_age: 86400\r\n"))
}

/// Sends a message to somebody in the domain; tells its id.
fn send(relay: &Relay, domain: &str) -> Result<String> {
    relay.send("ada@sender.example", &[&format!("bo@{domain}")], &message::plain(domain))
}

/// Why the message waits.
fn reason(relay: &Relay, id: &str) -> Result<String> {
    let deferred = relay.wait_for_event(id, "deferred")?;
    Ok(deferred.pointer("/status/text").and_then(|text| text.as_str()).context("a reason")?.to_owned())
}

/// Names of a domain with a policy: its mail host and the addresses.
fn sts_zone(domains: &[(&str, &str, &str)]) -> String {
    let mut text = String::from("$ORIGIN .\n$TTL 0\n");
    for (domain, host, address) in domains {
        let _ = writeln!(
            text,
            "{domain}. IN MX 10 {host}.\n{host}. IN A {address}\n_mta-sts.{domain}. IN TXT \"v=STSv1; id=1;\"\n\
             mta-sts.{domain}. IN A 127.0.0.1"
        );
    }
    text
}

/// What the domains of the next test publish.
fn vault_of_policies(pki: &Pki) -> Result<Vault> {
    let vault = Vault::start()?;
    let serve = |domain: &str, page: Page| -> Result<()> {
        let name = format!("mta-sts.{domain}");
        vault.host(&name, &pki.issue(&[&name])?, page)
    };
    serve("good.test", policy("enforce", &["mx.good.test"]))?;
    serve("wild.test", policy("enforce", &["*.below.wild.test", "*.wild.test"]))?;
    serve("deep.test", policy("enforce", &["*.wild.test"]))?;
    serve("other.test", policy("enforce", &["mx.another.test"]))?;
    serve("own.test", policy("enforce", &["mx.own.test"]))?;
    serve("expired.test", policy("enforce", &["mx.expired.test"]))?;
    serve("name.test", policy("enforce", &["mx.name.test"]))?;
    serve("plain.test", policy("enforce", &["mx.plain.test"]))?;
    serve("tried.test", policy("testing", &["mx.nobody.test"]))?;
    serve("none.test", policy("none", &[]))?;
    // Policies that do not count, as they are not to be had as they must be.
    let page = policy("enforce", &["mx.nobody.test"]);
    vault.host("mta-sts.wrong.test", &pki.issue(&["mta-sts.else.test"])?, page.clone())?;
    let moved = Page {
        head: "HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.good.test/".to_owned(),
        ..page.clone()
    };
    serve("moved.test", moved)?;
    serve(
        "html.test",
        Page { head: "HTTP/1.1 200 OK\r\nContent-Type: text/html".to_owned(), ..page.clone() },
    )?;
    serve("large.test", Page { body: [page.body.clone(), vec![b'\n'; 65 << 10]].concat(), ..page })?;
    Ok(vault)
}

#[test]
fn mail_for_a_domain_with_an_enforced_policy_goes_safely_or_waits() -> Result<()> {
    let pki = Pki::make()?;
    let good = pki.issue(&[
        "mx.good.test",
        "mx.below.wild.test",
        "a.b.wild.test",
        "mx.other.test",
        "mx.tried.test",
    ])?;
    let own = pki.self_signed(&["mx.own.test"])?;
    let expired = pki.issue_expired(&["mx.expired.test"])?;
    let hosts = MailHosts::start(&[&good, &own, &expired])?;
    let zone = Zone::serve(&sts_zone(&[
        ("good.test", "mx.good.test", "127.0.0.1"),
        ("wild.test", "mx.below.wild.test", "127.0.0.1"),
        ("deep.test", "a.b.wild.test", "127.0.0.1"),
        ("other.test", "mx.other.test", "127.0.0.1"),
        ("own.test", "mx.own.test", "127.0.0.1"),
        ("expired.test", "mx.expired.test", "127.0.0.1"),
        ("name.test", "mx.name.test", "127.0.0.1"),
        ("plain.test", "mx.plain.test", "127.0.0.3"),
        ("tried.test", "mx.plain.tried.test", "127.0.0.3"),
        ("none.test", "mx.plain.none.test", "127.0.0.3"),
        ("wrong.test", "mx.plain.wrong.test", "127.0.0.3"),
        ("moved.test", "mx.plain.moved.test", "127.0.0.3"),
        ("html.test", "mx.plain.html.test", "127.0.0.3"),
        ("large.test", "mx.plain.large.test", "127.0.0.3"),
        ("dead.test", "mx.plain.dead.test", "127.0.0.3"),
    ]))?;
    let vault = vault_of_policies(&pki)?;
    let relay = Relay::start(with_policies(hosts.settings(&zone, &pki)?, &vault, &pki))?;

    for domain in ["good.test", "wild.test"] {
        let id = send(&relay, domain)?;
        relay.wait_for_event(&id, "delivered")?;
        let told = relay.said(&["explain", &id])?;
        assert!(told.contains("verified") && !told.contains("not verified"), "{domain}: {told}");
    }
    for (domain, why) in [
        ("other.test", "the MTA-STS policy of other.test lists none of its mail hosts: mx.other.test"),
        ("deep.test", "the MTA-STS policy of deep.test lists none of its mail hosts"),
        ("own.test", "TLS handshake: certificate not accepted"),
        ("expired.test", "expired"),
        ("name.test", "not valid for name"),
        ("plain.test", "the peer offers no STARTTLS; the MTA-STS policy of the domain demands it"),
    ] {
        let told = reason(&relay, &send(&relay, domain)?)?;
        assert!(told.contains(why), "{domain}: {told}");
    }
    let open =
        ["tried.test", "none.test", "wrong.test", "moved.test", "html.test", "large.test", "dead.test"];
    for domain in open {
        relay.wait_for_event(&send(&relay, domain)?, "delivered")?;
    }
    wait::quiet();
    let recipients: Vec<String> =
        hosts.plain.messages().into_iter().flat_map(|message| message.recipients).collect();
    let expected: Vec<String> = open.iter().map(|domain| format!("bo@{domain}")).collect();
    assert_eq!(recipients, expected, "nothing else went in plain text");
    assert_eq!(hosts.kept.messages().len(), 2);
    Ok(())
}

#[test]
fn a_policy_outlives_the_process_and_gives_way_to_the_next() -> Result<()> {
    let pki = Pki::make()?;
    let hosts = MailHosts::start(&[&pki.issue(&["mx.good.test"])?])?;
    let zone =
        |id: &str| Zone::serve(&sts_zone(&[("a.test", "mx.plain.test", "127.0.0.3")]).replace("id=1", id));
    let first = zone("id=1")?;
    let vault = Vault::start()?;
    vault.host("mta-sts.a.test", &pki.issue(&["mta-sts.a.test"])?, policy("enforce", &["mx.good.test"]))?;
    let settings =
        |zone: &Zone| -> Result<Settings> { Ok(with_policies(hosts.settings(zone, &pki)?, &vault, &pki)) };
    let mut relay = Relay::start(settings(&first)?)?;
    assert!(reason(&relay, &send(&relay, "a.test")?)?.contains("MTA-STS policy of a.test"));
    relay.stop()?;
    // Who can change the DNS and nothing else does not get rid of it.
    let without =
        Zone::serve("$ORIGIN .\n$TTL 0\na.test. IN MX 10 mx.plain.test.\nmx.plain.test. IN A 127.0.0.3\n")?;
    relay.write_settings(settings(&without)?)?;
    relay.start_again()?;
    assert!(reason(&relay, &send(&relay, "a.test")?)?.contains("MTA-STS policy of a.test"));
    assert_eq!(vault.asked("mta-sts.a.test").len(), 1, "it was kept, not fetched again");
    relay.stop()?;
    // A new id, and the owner's web server: now there is another one.
    vault.say("mta-sts.a.test", policy("none", &[]));
    let second = zone("id=2")?;
    relay.write_settings(settings(&second)?)?;
    relay.start_again()?;
    relay.wait_until_empty()?;
    assert_eq!(hosts.plain.wait_for(2)?.len(), 2, "all mail goes");
    Ok(())
}

/// The zone of a domain whose mail host has these TLSA records at this port.
fn dane_zone(domains: &[(&str, &str, &str)], port: u16) -> String {
    let mut text = String::from("$ORIGIN .\n$TTL 0\n");
    for (domain, address, records) in domains {
        let _ = writeln!(text, "{domain}. IN MX 10 mx.{domain}.\nmx.{domain}. IN A {address}");
        for record in records.split(',').filter(|record| !record.is_empty()) {
            let _ = writeln!(text, "_{port}._tcp.mx.{domain}. IN TLSA {record}");
        }
    }
    text
}

#[test]
fn mail_for_a_host_with_tlsa_records_goes_by_them_or_waits() -> Result<()> {
    use baton_tests::dns::Fault;

    let pki = Pki::make()?;
    let own = pki.self_signed(&["nobody.test"])?;
    let issued = pki.issue(&["mx.authority.test", "next.test"])?;
    let hosts = MailHosts::start(&[&own, &issued])?;
    let port = hosts.relay.smtp()?.port();
    let key = format!("3 1 1 {}", sha256_hex(&own.spki));
    let wrong = format!("3 1 1 {}", "00".repeat(32));
    let authority = format!("2 0 1 {}", sha256_hex(&pki.authority_der()));
    let either = format!("{wrong},{key}");
    let useless = format!("1 1 1 {}", "00".repeat(32));
    let text = dane_zone(
        &[
            ("key.test", "127.0.0.1", &key),
            ("either.test", "127.0.0.1", &either),
            ("authority.test", "127.0.0.1", &authority),
            ("wrong.test", "127.0.0.1", &wrong),
            ("name.test", "127.0.0.1", &authority),
            ("plain.test", "127.0.0.3", &key),
            ("useless.test", "127.0.0.1", &useless),
            ("useless-plain.test", "127.0.0.3", &useless),
            ("without.test", "127.0.0.3", ""),
            ("unsigned.test", "127.0.0.3", &key),
            ("forged.test", "127.0.0.1", &key),
            ("stripped.test", "127.0.0.1", &key),
            ("failing.test", "127.0.0.3", ""),
            ("silent.test", "127.0.0.3", ""),
        ],
        port,
    );
    let zone = Zone::serve_signed(&text, &["unsigned.test"])?;
    zone.server().set_fault("forged.test", Some(Fault::Forgery));
    zone.server().set_fault("stripped.test", Some(Fault::Strip));
    zone.server().set_fault(&format!("_{port}._tcp.mx.failing.test"), Some(Fault::Failure));
    zone.server().set_fault(&format!("_{port}._tcp.mx.silent.test"), Some(Fault::Silence));
    let anchor = tempfile::NamedTempFile::new()?;
    std::fs::write(anchor.path(), zone.server().trust_anchor())?;
    let settings =
        hosts.settings(&zone, &pki)?.set("dns.trust_anchor_file", anchor.path().display().to_string());
    let relay = Relay::start(settings)?;

    for domain in ["key.test", "either.test", "authority.test"] {
        let id = send(&relay, domain)?;
        relay.wait_for_event(&id, "delivered").with_context(|| domain.to_owned())?;
        let told = relay.said(&["explain", &id])?;
        assert!(told.contains("verified") && !told.contains("not verified"), "{domain}: {told}");
    }
    let id = send(&relay, "useless.test")?;
    relay.wait_for_event(&id, "delivered")?;
    assert!(relay.said(&["explain", &id])?.contains("not verified"), "TLS that proves nothing");
    for (domain, why) in [
        ("wrong.test", "none of the host's TLSA records is about it"),
        ("name.test", "certificate not accepted"),
        ("plain.test", "the peer offers no STARTTLS; the TLSA records of the host demand it (DANE)"),
        ("useless-plain.test", "the peer offers no STARTTLS; the host has TLSA records (DANE)"),
        ("forged.test", "signatures do not prove it"),
        ("stripped.test", "signatures do not prove it"),
        ("failing.test", "TLSA records of mx.failing.test: the DNS failed"),
        ("silent.test", "TLSA records of mx.silent.test: the DNS did not answer in time"),
    ] {
        let told = reason(&relay, &send(&relay, domain)?)?;
        assert!(told.contains(why), "{domain}: {told}");
    }
    for domain in ["without.test", "unsigned.test"] {
        relay.wait_for_event(&send(&relay, domain)?, "delivered")?;
    }
    wait::quiet();
    assert_eq!(hosts.plain.messages().len(), 2, "nothing else went in plain text");
    Ok(())
}

/// Sends with REQUIRETLS over TLS to the listener that shows the certificate; tells the message's id.
fn send_safely(relay: &Relay, authority: &std::path::Path, domain: &str) -> Result<String> {
    let mut command = std::process::Command::new("python3");
    command.args(["-c", crate::extensions::SENDER, &relay.smtp()?.port().to_string()]);
    command.arg(authority).arg(domain);
    let output = baton_tests::relay::output_within(command, wait::LONG)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(said.split("queued as ").nth(1).context("an id")?.trim().to_owned())
}

#[test]
fn required_tls_goes_to_mail_hosts_that_are_vouched_for() -> Result<()> {
    let pki = Pki::make()?;
    let own = pki.self_signed(&["nobody.test"])?;
    let good =
        pki.issue(&["mx.signed.test", "mx.policy.unsigned.test", "mx.lone.unsigned.test", "localhost"])?;
    let hosts = MailHosts::start(&[&own, &good])?;
    let port = hosts.relay.smtp()?.port();
    let key = format!("3 1 1 {}", sha256_hex(&own.spki));
    let mut text = dane_zone(
        &[
            ("signed.test", "127.0.0.1", ""),
            ("dane.test", "127.0.0.1", &key),
            ("stranger.test", "127.0.0.1", ""),
            ("lone.unsigned.test", "127.0.0.1", ""),
        ],
        port,
    );
    text += &sts_zone(&[("policy.unsigned.test", "mx.policy.unsigned.test", "127.0.0.1")]);
    let zone = Zone::serve_signed(&text, &["unsigned.test"])?;
    let anchor = tempfile::NamedTempFile::new()?;
    std::fs::write(anchor.path(), zone.server().trust_anchor())?;
    let vault = Vault::start()?;
    let name = "mta-sts.policy.unsigned.test";
    vault.host(name, &pki.issue(&[name])?, policy("testing", &["mx.policy.unsigned.test"]))?;
    let settings = with_policies(hosts.settings(&zone, &pki)?, &vault, &pki)
        .set("dns.trust_anchor_file", anchor.path().display().to_string())
        .with(&format!("[[tls.certificates]]\nchain = {:?}\nkey = {:?}\n", good.chain, good.key));
    let relay = Relay::start(settings)?;
    for domain in ["signed.test", "dane.test", "policy.unsigned.test"] {
        let id = send_safely(&relay, &pki.authority(), domain)?;
        relay.wait_for_event(&id, "delivered").with_context(|| domain.to_owned())?;
    }
    for (domain, why) in [
        ("lone.unsigned.test", "neither DNSSEC nor MTA-STS vouches for the mail hosts of the domain"),
        ("stranger.test", "certificate not accepted"),
    ] {
        let failed = relay.wait_for_event(&send_safely(&relay, &pki.authority(), domain)?, "failed")?;
        let told = failed.to_string();
        assert!(told.contains(why) && told.contains("[5,7,30]"), "{domain}: {told}");
    }
    Ok(())
}

#[test]
fn mail_that_waives_tls_goes_all_the_same() -> Result<()> {
    let pki = Pki::make()?;
    let hosts = MailHosts::start(&[&pki.issue(&["mx.good.test"])?])?;
    let port = hosts.relay.smtp()?.port();
    let wrong = format!("3 1 1 {}", "00".repeat(32));
    let text = dane_zone(&[("dane.test", "127.0.0.3", &wrong)], port)
        + &sts_zone(&[
            ("plain.test", "mx.plain.test", "127.0.0.3"),
            ("other.test", "mx.other.test", "127.0.0.3"),
        ]);
    let zone = Zone::serve_signed(&text, &[])?;
    let anchor = tempfile::NamedTempFile::new()?;
    std::fs::write(anchor.path(), zone.server().trust_anchor())?;
    let vault = Vault::start()?;
    for (domain, host) in [("plain.test", "mx.plain.test"), ("other.test", "mx.nobody.test")] {
        let name = format!("mta-sts.{domain}");
        vault.host(&name, &pki.issue(&[&name])?, policy("enforce", &[host]))?;
    }
    let settings = with_policies(hosts.settings(&zone, &pki)?, &vault, &pki)
        .set("dns.trust_anchor_file", anchor.path().display().to_string());
    let relay = Relay::start(settings)?;
    let waiving = |value: &str| format!("TLS-Required: {value}\r\nSubject: x\r\n\r\nbody\r\n").into_bytes();
    for domain in ["dane.test", "plain.test", "other.test"] {
        let to = format!("bo@{domain}");
        let id = relay.send("ada@sender.example", &[&to], &waiving("No"))?;
        relay.wait_for_event(&id, "delivered").with_context(|| domain.to_owned())?;
        let id = relay.send("ada@sender.example", &[&to], &waiving("Yes"))?;
        relay.wait_for_event(&id, "deferred").with_context(|| domain.to_owned())?;
    }
    assert_eq!(hosts.plain.wait_for(3)?.len(), 3);
    Ok(())
}

#[test]
fn mail_hosts_at_private_addresses_are_not_connected_to() -> Result<()> {
    let text = "$ORIGIN .\n$TTL 0\nprivate.test. IN MX 10 mx.private.test.\nmx.private.test. IN A 10.1.2.3\n\
                mapped.test. IN MX 10 mx.mapped.test.\nmx.mapped.test. IN AAAA ::ffff:192.168.1.1\n\
                document.test. IN MX 10 mx.document.test.\nmx.document.test. IN AAAA 2001:db8::1\n";
    let zone = Zone::serve(text)?;
    let relay = Relay::start(Settings::new().names_from(zone.address()))?;
    for (domain, network) in [
        ("private.test", "10.0.0.0/8"),
        ("mapped.test", "192.168.0.0/16"),
        ("document.test", "2001:db8::/32"),
    ] {
        let failed = relay.wait_for_event(&send(&relay, domain)?, "failed")?.to_string();
        assert!(failed.contains(&format!("in the prohibited network {network}")), "{domain}: {failed}");
    }
    Ok(())
}
