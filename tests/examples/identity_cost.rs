//! What SPF, DKIM, DMARC and ARC cost: processor time for checking and signing a message of 4 KiB, answers cached.
//!
//! `make bench-relay` builds it optimised, and `tests/bench/run.py identity` runs it.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use baton_dns::{DnsSettings, Resolver};
use baton_identity::domains::{Domains, KeyState};
use baton_identity::{Arrival, CheckSettings, Checker, Results, Seal, Signer, Verdict};
use baton_mail::body::Content;
use baton_mail::header::HeaderLimits;
use baton_mail::{Clock, Domain, ReversePath, SystemClock};
use baton_tests::dns::DnsServer;
use bytes::Bytes;

/// Rounds of each measurement.
const ROUNDS: u32 = 4_000;
/// Octets of the message.
const MESSAGE_OCTETS: usize = 4_096;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let domains = Domains::new(folder.path().join("domains"));
    let domain: Domain = "sender.example".parse()?;
    let now = SystemClock.now();
    let added = domains.add(&domain, now)?;
    let keys: Vec<String> =
        added.key_records(KeyState::New).iter().map(|record| record.zone_line()).collect();
    domains.activate(&domain, now)?;
    let server = DnsServer::start(&format!("{ZONE}{}\n", keys.join("\n"))).await?;
    let signer = Signer::default();
    signer.load(&domains)?;
    let message = message();
    let signed = sign(&signer, &message).await?;
    let per_signing = measure(async || sign(&signer, &message).await.map(drop)).await?;
    println!("sign, RSA-2048 and Ed25519: {per_signing:.0} µs of processor time");
    let both = [signed.as_ref(), message.as_ref()].concat();
    // The first field is the one by RSA.
    let rsa_end =
        signed.windows(16).skip(1).position(|part| part == b"\r\nDKIM-Signature").context("two fields")? + 3;
    let rsa = [signed.get(..rsa_end).context("a field")?, message.as_ref()].concat();
    let settings = CheckSettings::new("relay.example".parse()?);
    let checker = Checker::new(resolver(&server)?, Arc::new(SystemClock));
    for (name, message) in [("RSA-2048", rsa.clone()), ("RSA-2048 and Ed25519", both)] {
        let message = Bytes::from(message);
        let results = check(&checker, &settings, &message).await?;
        ensure!(results.dmarc.verdict == Verdict::Pass, "{}", results.statements().summary());
        let per_check = measure(async || check(&checker, &settings, &message).await.map(drop)).await?;
        println!("check, iprev, SPF twice, DMARC, {name}: {per_check:.0} µs of processor time");
    }
    let settings = CheckSettings { arc: true, ..settings };
    let sealed = seal(&signer, &checker, &settings, &domain, &Bytes::from(rsa)).await?;
    let results = check(&checker, &settings, &sealed).await?;
    let verdict = results.arc.as_ref().map(|arc| arc.verdict);
    ensure!(verdict == Some(Verdict::Pass), "{}", results.statements().summary());
    let per_check = measure(async || check(&checker, &settings, &sealed).await.map(drop)).await?;
    println!("check, iprev, SPF twice, DMARC, RSA-2048, ARC of one set: {per_check:.0} µs of processor time");
    Ok(())
}

async fn sign(signer: &Signer, message: &Bytes) -> Result<Bytes> {
    let content = Content::split(message.clone());
    let signed =
        signer.sign(&Bytes::new(), &content, &HeaderLimits::default(), SystemClock.now().seconds()).await?;
    Ok(signed.context("no signature")?.fields)
}

/// The message with one set of a chain of custody before it.
async fn seal(
    signer: &Signer,
    checker: &Checker,
    settings: &CheckSettings,
    domain: &Domain,
    message: &Bytes,
) -> Result<Bytes> {
    let results = check(checker, settings, message).await?;
    let outcome = results.arc.as_ref().context("chains are checked")?;
    let (name, value) = results.statements().field(&settings.authserv_id);
    let statements = format!("{name}: {value}\r\n");
    let seal = Seal { domain, authserv_id: &settings.authserv_id, outcome };
    let content = Content::split(Bytes::from([statements.as_bytes(), message].concat()));
    let now_s = SystemClock.now().seconds();
    let sealed = signer.seal(&seal, &Bytes::new(), &content, &HeaderLimits::default(), now_s).await?;
    let sealed = sealed.context("no set")?;
    Ok(Bytes::from([&sealed.fields[..], &content.header[..], &content.rest[..]].concat()))
}

async fn check(checker: &Checker, settings: &CheckSettings, message: &Bytes) -> Result<Results> {
    let sender = ReversePath::Mailbox("ada@sender.example".parse()?);
    let arrival =
        Arrival { client: "192.0.2.1".parse()?, helo: Some("mail.sender.example".to_owned()), sender };
    let begun = checker.begin(settings, arrival);
    let content = Content::split(message.clone());
    Ok(checker.finish(settings, begun, &content, &HeaderLimits::default()).await)
}

/// Microseconds of processor time of this process for one round.
async fn measure(mut round: impl AsyncFnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..ROUNDS / 10 {
        round().await?;
    }
    let before = processor_ticks()?;
    for _ in 0..ROUNDS {
        round().await?;
    }
    let ticks = processor_ticks()? - before;
    Ok(ticks as f64 * TICK_MICROS / f64::from(ROUNDS))
}

/// Ticks that this process spent, all threads and the kernel included (proc(5): utime, stime).
fn processor_ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').context("no name in /proc/self/stat")?.1;
    let times: Vec<u64> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(times.iter().sum())
}

fn resolver(server: &DnsServer) -> Result<Resolver> {
    let settings =
        DnsSettings { servers: vec![server.address()], timeout_ms: 10_000, ..DnsSettings::default() };
    Ok(Resolver::new(&settings)?)
}

fn message() -> Bytes {
    let mut text = "Received: from a.example ([192.0.2.9])\r\n\tby b.example with ESMTP id 1; Tue, 03 Nov 2026 09:00:00 +0100\r\n\
        From: Ada <ada@sender.example>\r\nTo: Bo <bo@dest.example>\r\nSubject: An ordinary message\r\n\
        Date: Tue, 03 Nov 2026 09:00:00 +0100\r\nMessage-ID: <1@sender.example>\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        .to_owned();
    while text.len() < MESSAGE_OCTETS {
        text.push_str("Seventy-six octets of text in each line, with blanks between the words of it.\r\n");
    }
    Bytes::from(text)
}

/// A usual domain: its own addresses, and those of a provider behind two includes.
const ZONE: &str = "\
sender.example. 3600 IN TXT \"v=spf1 include:_spf.provider.example include:_more.provider.example ip4:192.0.2.0/28 -all\"
_spf.provider.example. 3600 IN TXT \"v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 ~all\"
_more.provider.example. 3600 IN TXT \"v=spf1 ip4:203.0.113.0/24 a:mail.provider.example ~all\"
mail.provider.example. 3600 IN A 203.0.113.9
mail.sender.example. 3600 IN TXT \"v=spf1 a -all\"
mail.sender.example. 3600 IN A 192.0.2.1
1.2.0.192.in-addr.arpa. 3600 IN PTR mail.sender.example.
_dmarc.sender.example. 3600 IN TXT \"v=DMARC1; p=reject; rua=mailto:d@sender.example\"
";
/// USER_HZ is 100 on Linux.
const TICK_MICROS: f64 = 10_000.0;
