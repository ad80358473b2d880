//! DKIM: messages that others signed, from the tests of dkimpy by Scott Kitterman and others, and what may not pass.

use anyhow::{Context, Result};
use baton_identity::{DkimOutcome, Verdict};
use baton_mail::ReversePath;
use baton_tests::dns::{DnsServer, Fault};
use baton_tests::suite;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{Name, RData, Record};

use super::{check, vectors};

/// Where the signers of those messages publish their keys: a name, and the file with the record.
const KEYS: &[(&str, &str)] =
    &[("sed._domainkey.test.ex", "eximtest.dns"), ("test._domainkey.football.example.com", "test.txt")];
/// The key of RFC 8463 appendix A.
const RFC_8463_KEY: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// A file, what is replaced in it, and the verdicts of its signatures from the top.
type Case = (&'static str, Option<(&'static str, &'static str)>, &'static [Verdict]);

const CASES: &[Case] = &[
    ("rfc6376.signed.msg", None, &[Verdict::Pass, Verdict::Pass]),
    ("rfc6376.signed.rsa.msg", None, &[Verdict::Pass]),
    ("ed25519test2.msg", None, &[Verdict::Pass]),
    ("rfc6376.msg", None, &[Verdict::None]),
    // Something changed on the way.
    ("rfc6376.signed.msg", Some(("hungry", "thirsty")), &[Verdict::Fail, Verdict::Fail]),
    ("rfc6376.signed.msg", Some(("Is dinner", "Is lunch")), &[Verdict::Fail, Verdict::Fail]),
    (
        "rfc6376.signed.msg",
        Some(("\nFrom: Joe", "\nFrom: Eve <eve@evil.example>\r\nFrom: Joe")),
        &[Verdict::Fail, Verdict::Fail],
    ),
    (
        "rfc6376.signed.msg",
        Some(("\nSubject: Is", "\nSubject: Buy now\r\nSubject: Is")),
        &[Verdict::Fail, Verdict::Fail],
    ),
    (
        "rfc6376.signed.msg",
        Some(("v=1; a=ed25519-sha256; c=simple", "v=1; a=ed25519-sha256; c=relaxed")),
        &[Verdict::Fail, Verdict::Pass],
    ),
    // Unsigned fields may come in between.
    (
        "rfc6376.signed.msg",
        Some(("\nTo: Suzie", "\nX-Scanned: yes\r\nTo: Suzie")),
        &[Verdict::Pass, Verdict::Pass],
    ),
    // Broken signatures.
    ("rfc6376.signed.rsa.msg", Some(("v=1;", "v=2;")), &[Verdict::PermError]),
    ("rfc6376.signed.rsa.msg", Some(("a=rsa-sha256", "a=rsa-sha1")), &[Verdict::PermError]),
    ("rfc6376.signed.rsa.msg", Some(("s=test;", "s=nokey;")), &[Verdict::PermError]),
    (
        "rfc6376.signed.rsa.msg",
        Some(("d=football.example.com", "d=legitimate.com(.attacker.com")),
        &[Verdict::PermError],
    ),
    ("rfc6376.signed.rsa.msg", Some(("i=@football", "i=@evil.example; x=@football")), &[Verdict::PermError]),
    ("rfc6376.signed.rsa.msg", Some(("t=1527915362", "t=1527915362; x=1527915363")), &[Verdict::Fail]),
];

#[tokio::test]
async fn messages_signed_by_others() -> Result<()> {
    let mut records = vec![text("brisbane._domainkey.football.example.com", RFC_8463_KEY)?];
    for (name, file) in KEYS {
        records.push(text(name, std::fs::read_to_string(vectors("dkim")?.join(file))?.trim())?);
    }
    let server = DnsServer::start_records(records).await?;
    let (mut passed, mut failed) = (0, Vec::new());
    for (file, change, expected) in CASES {
        let mut message = wire(&std::fs::read_to_string(vectors("dkim")?.join(file))?);
        if let Some((from, to)) = change {
            assert!(message.contains(from), "{file} has no {from}");
            message = message.replacen(from, to, 1);
        }
        let outcomes = signatures(&server, &message).await?;
        let verdicts: Vec<_> = outcomes.iter().map(|outcome| outcome.verdict).collect();
        if verdicts == *expected {
            passed += 1
        } else {
            failed.push(format!("{file} {change:?}: {outcomes:?}"))
        }
    }
    suite::conclude("DKIM, messages of dkimpy", passed, &failed)
}

#[tokio::test]
async fn a_key_that_can_not_be_had_is_no_verdict() -> Result<()> {
    let message = wire(&std::fs::read_to_string(vectors("dkim")?.join("rfc6376.signed.rsa.msg"))?);
    let server = DnsServer::start("").await?;
    server.set_fault("test._domainkey.football.example.com", Some(Fault::Failure));
    assert_eq!(signatures(&server, &message).await?[0].verdict, Verdict::TempError);
    Ok(())
}

/// Keys as operators damage them.
#[tokio::test]
async fn damaged_keys_are_permanent_errors() -> Result<()> {
    let message = wire(&std::fs::read_to_string(vectors("dkim")?.join("rfc6376.signed.rsa.msg"))?);
    let good = std::fs::read_to_string(vectors("dkim")?.join("test.txt"))?;
    let name = "test._domainkey.football.example.com";
    let long = "x".repeat(4_000);
    for damaged in
        ["", "v=DKIM1; p=", "v=DKIM1; k=rsa", "\u{fc}", "p=AAAA", "v=DKIM1; k=ed25519; p=AAAA", long.as_str()]
    {
        let server = DnsServer::start_records(vec![text(name, damaged)?]).await?;
        let outcome = signatures(&server, &message).await?.pop().context("an outcome")?;
        assert!(matches!(outcome.verdict, Verdict::PermError | Verdict::Fail), "{damaged}: {outcome:?}");
        // A good key beside it still counts.
        let server = DnsServer::start_records(vec![text(name, "other")?, text(name, good.trim())?]).await?;
        assert_eq!(signatures(&server, &message).await?[0].verdict, Verdict::Pass);
    }
    Ok(())
}

/// Work is bounded, whatever a message claims.
#[tokio::test]
async fn a_flood_of_signatures_is_not_looked_through() -> Result<()> {
    let server = DnsServer::start("").await?;
    let field = "DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=b; h=from; bh=YWI=; b=YWI=\r\n";
    let message = format!("{}From: a@a.example\r\n\r\nbody\r\n", field.repeat(500));
    let outcomes = signatures(&server, &message).await?;
    assert_eq!(outcomes.len(), 10);
    assert!(outcomes.iter().all(|outcome| outcome.verdict == Verdict::PermError), "{outcomes:?}");
    let message = format!("{}From: a@a.example\r\n\r\nbody\r\n", "X: y\r\n".repeat(100_000));
    let outcomes = signatures(&server, &message).await?;
    assert_eq!(outcomes[0].reason.as_deref(), Some("the header is too complex to be read"));
    Ok(())
}

async fn signatures(server: &DnsServer, message: &str) -> Result<Vec<DkimOutcome>> {
    Ok(check(server.address(), ReversePath::Null, message.as_bytes()).await?.dkim)
}

/// As it goes over the wire.
pub(super) fn wire(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

pub(super) fn text(name: &str, text: &str) -> Result<Record> {
    let pieces: Vec<&[u8]> = if text.is_empty() { vec![b""] } else { text.as_bytes().chunks(255).collect() };
    Ok(Record::from_rdata(Name::from_ascii(format!("{name}."))?, 60, RData::TXT(TXT::from_bytes(pieces))))
}
