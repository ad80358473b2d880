//! What scanners of others find at listeners that speak TLS: sslyze and testssl.sh.
#![allow(clippy::indexing_slicing, reason = "reports of the scanners")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use baton_tests::certificate::Certificate;
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::{suite, wait};
use serde_json::Value;
use tempfile::TempDir;

/// A relay that shows a certificate for `localhost`, at a listener with STARTTLS and one with implicit TLS.
fn relay() -> Result<(Relay, Certificate, TempDir)> {
    let folder = tempfile::tempdir()?;
    let certificate = Certificate::make(folder.path())?;
    let settings = certificate
        .shown_by(Settings::new())
        .with("[listeners.implicit]\naddress = \"127.0.0.1:0\"\nkind = \"submissions\"\n");
    Ok((Relay::start(settings)?, certificate, folder))
}

/// How each of the two is told to a scanner.
const LISTENERS: [(&str, bool); 2] = [("smtp", true), ("implicit", false)];

fn sslyze() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let program = cache.context("no HOME")?.join("baton/vectors/sslyze/bin/sslyze");
    ensure!(program.exists(), "{} is missing; fetch it: .ci/vectors", program.display());
    Ok(program)
}

/// Its own verdict is by Mozilla's "intermediate" profile: versions, suites, curves, certificate and known attacks.
#[test]
fn sslyze_finds_nothing_wrong() -> Result<()> {
    let (relay, certificate, folder) = relay()?;
    for (listener, by_starttls) in LISTENERS {
        let report = folder.path().join(format!("{listener}.json"));
        let mut command = Command::new(sslyze()?);
        command.args(by_starttls.then_some("--starttls=smtp")).arg("--mozilla_config=intermediate");
        command.arg("--certinfo_ca_file").arg(&certificate.chain).arg("--json_out").arg(&report);
        command.arg(format!("localhost:{}", relay.listener(listener)?.port())).stdin(Stdio::null());
        let output = output_within(command, wait::LONG)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success() && said.contains("OK - Compliant"), "{listener}: {said}");
        let report: Value = serde_json::from_slice(&std::fs::read(report)?)?;
        let results = &report["server_scan_results"][0]["scan_result"];
        for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
            let accepted = &results[format!("{version}_cipher_suites")]["result"]["accepted_cipher_suites"];
            ensure!(accepted.as_array().is_some_and(Vec::is_empty), "{listener}, {version}: {accepted}");
        }
    }
    suite::conclude("sslyze, listeners without a finding", 2, &[])
}

/// Only the slowest test is left out, of renegotiation, which sslyze makes too.
#[test]
fn testssl_finds_nothing_wrong() -> Result<()> {
    let (relay, _certificate, folder) = relay()?;
    // Both at once: it mostly waits.
    let reports = std::thread::scope(|scope| {
        let (relay, folder) = (&relay, folder.path());
        let scan = |listener, by_starttls| scope.spawn(move || testssl(relay, folder, listener, by_starttls));
        let scans = LISTENERS.map(|(listener, by_starttls)| (listener, scan(listener, by_starttls)));
        scans.map(|(listener, scan)| (listener, scan.join()))
    });
    let mut findings = 0;
    for (listener, report) in reports {
        let report = report.map_err(|_| anyhow!("the scan of {listener} ended early"))??;
        let is_bad = |one: &&Value| !matches!(one["severity"].as_str(), Some("OK" | "INFO"));
        let bad: Vec<&Value> = report.iter().filter(is_bad).collect();
        ensure!(bad.is_empty(), "{listener}: {bad:?}");
        let has = |id: &str, finding: &str| {
            let starts = |one: &Value| one["finding"].as_str().is_some_and(|text| text.starts_with(finding));
            report.iter().any(|one| one["id"] == id && starts(one))
        };
        ensure!(has("TLS1_2", "offered") && has("TLS1_3", "offered"), "{listener}: {report:?}");
        ensure!(has("TLS1", "not offered") && has("TLS1_1", "not offered"), "{listener}: {report:?}");
        findings += report.len();
    }
    ensure!(findings > 40, "{findings} findings are too few: were the tests run?");
    suite::conclude("testssl.sh, good findings at 2 listeners", findings, &[])
}

/// What it finds at a listener, without what it says of itself and of its own OpenSSL.
fn testssl(relay: &Relay, folder: &Path, listener: &str, by_starttls: bool) -> Result<Vec<Value>> {
    let report = folder.join(format!("{listener}.json"));
    let mut command = Command::new("testssl");
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1"]);
    command.args(by_starttls.then_some(["-t", "smtp"]).into_iter().flatten());
    command.args(["-p", "-s", "-H", "-I", "-BB", "-O", "-Z", "-W", "-F", "-J", "-A", "-L", "-4"]);
    command.arg("--jsonfile").arg(&report);
    command.arg(format!("localhost:{}", relay.listener(listener)?.port())).stdin(Stdio::null());
    let output = output_within(command, SCAN)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<Value> = serde_json::from_slice(&std::fs::read(&report).context(said)?)?;
    let is_its_own = |one: &Value| matches!(one["id"].as_str(), Some("engine_problem" | "service"));
    Ok(found.into_iter().filter(|one| !is_its_own(one)).collect())
}

/// A scan makes some hundred connections, one after the other.
const SCAN: Duration = Duration::from_secs(240);
