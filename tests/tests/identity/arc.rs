//! ARC: the test suite of ValiMail, put to the check of chains and to the making of seals.

use anyhow::{Context, Result, ensure};
use baton_identity::domains::Domains;
use baton_identity::{ArcOutcome, Seal, Signer, Verdict};
use baton_mail::body::Content;
use baton_mail::header::HeaderLimits;
use baton_mail::{ReversePath, UnixMs};
use baton_tests::dns::{DnsServer, Fault};
use baton_tests::message;
use baton_tests::suite;
use bytes::Bytes;
use hickory_proto::rr::Record;
use serde_json::Value;

use super::dkim::{text, wire};
use super::{NOW_MS, check, vectors};

/// Cases that the suite has at least: those of validation, and those of signing.
const CASES_MIN: (usize, usize) = (170, 17);

/// The package that carries the suite has an early state of it. Where the author's last one differs, it holds.
const CORRECTED: &[(&str, &str, &str)] = &[
    ("ams_fields_a_sha1", "Fail", "RFC 8301 3.1: no SHA-1"),
    ("as_fields_a_sha1", "Fail", "RFC 8301 3.1: no SHA-1"),
    ("ams_fields_c_na", "Pass", "c= may be left out"),
];

#[tokio::test]
async fn the_suite_checks_chains() -> Result<()> {
    let (mut passed, mut failed) = (0, Vec::new());
    for scenario in scenarios("arc-validation.json")? {
        let server = serve(&scenario).await?;
        for (name, test) in scenario["tests"].as_object().context("tests")? {
            let outcome = chain(&server, &wire(test["message"].as_str().unwrap_or_default())).await?;
            let corrected = CORRECTED.iter().find(|(own, ..)| own == name).map(|(_, verdict, _)| *verdict);
            // What fails because a seal says so has no word in the suite; RFC 8617 5.2 calls it a failure.
            let word = test["cv"].as_str().unwrap_or_default().trim();
            let expected = corrected.unwrap_or(if word.is_empty() { "Fail" } else { word });
            if outcome.verdict.as_str().eq_ignore_ascii_case(expected) {
                passed += 1;
            } else {
                failed.push(format!("{name} ({}): {outcome:?} instead of {expected}", test["description"]));
            }
        }
    }
    ensure!(passed + failed.len() >= CASES_MIN.0, "only {} cases", passed + failed.len());
    suite::conclude("ARC, validation", passed, &failed)
}

/// The sets that we add say what the suite's do, and hold. Its key has 1,024 bits, with which we never sign: signatures
/// themselves, the selector and the list of signed fields are our own, all else is compared.
#[tokio::test]
async fn the_suite_checks_seals() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut passed, mut failed) = (0, Vec::new());
    for scenario in scenarios("arc-signing.json")? {
        let domain = scenario["domain"].as_str().context("domain")?.parse()?;
        let domains = Domains::new(folder.path());
        let file = match domains.add(&domain, UnixMs(NOW_MS)) {
            Ok(file) => file,
            Err(_) => domains.get(&domain)?,
        };
        domains.activate(&domain, UnixMs(NOW_MS))?;
        let signer = Signer::default();
        signer.load(&domains)?;
        let mut records = records(&scenario)?;
        let key = file.keys.iter().find(|key| key.algorithm == "rsa-sha256").context("a key")?;
        let name = format!("{}._domainkey.{domain}", key.selector);
        records.push(text(&name, &format!("v=DKIM1; k=rsa; p={}", key.public))?);
        let server = DnsServer::start_records(records).await?;
        for (name, test) in scenario["tests"].as_object().context("tests")? {
            let original = wire(test["message"].as_str().unwrap_or_default());
            let checked = chain(&server, &original).await?;
            let outcome = ArcOutcome { verdict: stamped(&original), ..checked.clone() };
            let seal = Seal {
                domain: &domain,
                authserv_id: &test["srv-id"].as_str().context("srv-id")?.parse()?,
                outcome: &outcome,
            };
            let content = Content::split(Bytes::from(original.clone()));
            let now_s = test["t"].as_i64().context("t")?;
            let limits = HeaderLimits::default();
            let made = signer.seal(&seal, &Bytes::new(), &content, &limits, now_s).await?;
            let fields = made.map(|made| String::from_utf8_lossy(&made.fields).into_owned());
            match compare(test, fields.as_deref()) {
                Ok(()) if holds(&server, &checked, fields.as_deref(), &original).await? => {
                    passed += 1;
                }
                Ok(()) => failed.push(format!("{name}: our own set does not hold")),
                Err(found) => failed.push(format!("{name}: {found}")),
            }
        }
    }
    ensure!(passed + failed.len() >= CASES_MIN.1, "only {} cases", passed + failed.len());
    suite::conclude("ARC, sealing", passed, &failed)
}

/// The suite writes into each message what was found about its chain; not all of those chains hold in truth.
fn stamped(message: &str) -> Verdict {
    let word = message.split_once("arc=").map(|(_, rest)| rest.split([';', ' ', '\r']).next());
    match word.flatten() {
        Some("pass") => Verdict::Pass,
        Some("fail") => Verdict::Fail,
        _ => Verdict::None,
    }
}

/// True when the sealed message is judged as it must be: nothing is added to a closed chain, and no seal mends one.
async fn holds(
    server: &DnsServer,
    before: &ArcOutcome,
    fields: Option<&str>,
    original: &str,
) -> Result<bool> {
    let Some(fields) = fields else { return Ok(before.is_closed) };
    let after = chain(server, &format!("{fields}{original}")).await?;
    Ok(match before.verdict {
        Verdict::Fail => after.verdict == Verdict::Fail,
        _ => after.verdict == Verdict::Pass && after.sets == before.sets + 1,
    })
}

/// Compares a set with what the suite expects.
fn compare(test: &Value, fields: Option<&str>) -> std::result::Result<(), String> {
    let made = message::headers(&format!("{}\r\n", fields.unwrap_or_default()));
    for (name, key, left_out) in [
        ("ARC-Authentication-Results", "AAR", &[][..]),
        ("ARC-Message-Signature", "AMS", &["b", "h", "s"][..]),
        ("ARC-Seal", "AS", &["b", "s"][..]),
    ] {
        let own = made.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let (own, expected) = (
            pieces(own.unwrap_or_default(), left_out),
            pieces(test[key].as_str().unwrap_or_default(), left_out),
        );
        if own != expected {
            return Err(format!("{name}: {own:?} instead of {expected:?}"));
        }
    }
    Ok(())
}

/// What stands between semicolons, without blanks, in the order of the alphabet.
fn pieces(value: &str, left_out: &[&str]) -> Vec<String> {
    let compact: String = value.chars().filter(|character| !character.is_whitespace()).collect();
    let is_wanted = |piece: &&str| {
        let name = piece.split_once('=').map_or(*piece, |(name, _)| name);
        !piece.is_empty() && !left_out.contains(&name)
    };
    let mut pieces: Vec<String> = compact.split(';').filter(is_wanted).map(str::to_owned).collect();
    pieces.sort();
    pieces
}

/// What the package lacks of the author's last state: the list of fields that no seal may have (RFC 8617 4.1.3).
#[tokio::test]
async fn a_seal_with_a_list_of_fields_fails() -> Result<()> {
    let (server, message) = passing().await?;
    let listed = message.replacen("ARC-Seal: ", "ARC-Seal: h=from; ", 1);
    let outcome = chain(&server, &listed).await?;
    assert_eq!(
        (outcome.verdict, outcome.reason.as_deref()),
        (Verdict::Fail, Some("a seal has a list of fields"))
    );
    Ok(())
}

#[tokio::test]
async fn a_key_that_can_not_be_had_is_no_failure() -> Result<()> {
    let (server, message) = passing().await?;
    server.set_fault("dummy._domainkey.example.org", Some(Fault::Failure));
    assert_eq!(chain(&server, &message).await?.verdict, Verdict::TempError);
    Ok(())
}

/// A long chain costs no more questions than it has keys, and one too long costs none.
#[tokio::test]
async fn work_for_a_chain_is_bounded() -> Result<()> {
    let server = DnsServer::start("").await?;
    let set = |number: usize| {
        let state = if number == 1 { "none" } else { "pass" };
        format!(
            "ARC-Seal: i={number}; a=rsa-sha256; cv={state}; d=a.example; s=s; b=YWI=\r\n\
             ARC-Message-Signature: i={number}; a=rsa-sha256; d=a.example; s=s; h=from; bh=YWI=; b=YWI=\r\n\
             ARC-Authentication-Results: i={number}; a.example; none\r\n"
        )
    };
    for (sets, questions) in [(50, 1), (51, 1), (300, 1)] {
        let chain_text: String = (1..=sets).map(set).collect();
        let outcome = chain(&server, &format!("{chain_text}From: a@a.example\r\n\r\nbody\r\n")).await?;
        assert_eq!(outcome.verdict, Verdict::Fail, "{outcome:?}");
        let asked = server.questions("s._domainkey.a.example", hickory_proto::rr::RecordType::TXT);
        assert_eq!(asked, questions, "{sets} sets");
    }
    Ok(())
}

/// A message of the suite whose chain holds, and its keys.
async fn passing() -> Result<(DnsServer, String)> {
    let scenario = scenarios("arc-validation.json")?.into_iter().next().context("a scenario")?;
    let message = scenario.pointer("/tests/cv_pass_i1_1/message").and_then(Value::as_str);
    let message = wire(message.context("a message")?);
    let server = serve(&scenario).await?;
    let outcome = chain(&server, &message).await?;
    ensure!(outcome.verdict == Verdict::Pass, "{outcome:?}");
    Ok((serve(&scenario).await?, message))
}

async fn chain(server: &DnsServer, message: &str) -> Result<ArcOutcome> {
    check(server.address(), ReversePath::Null, message.as_bytes()).await?.arc.context("ARC is on")
}

fn scenarios(file: &str) -> Result<Vec<Value>> {
    Ok(serde_json::from_str(&std::fs::read_to_string(vectors(file)?)?)?)
}

async fn serve(scenario: &Value) -> Result<DnsServer> {
    DnsServer::start_records(records(scenario)?).await
}

fn records(scenario: &Value) -> Result<Vec<Record>> {
    let records = scenario["txt-records"].as_object().context("txt-records")?;
    records.iter().map(|(name, value)| text(name, value.as_str().unwrap_or_default())).collect()
}
