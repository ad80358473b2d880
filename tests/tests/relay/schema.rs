//! The API against its own description: schemathesis asks each route what the description allows, and what it does not.
#![allow(clippy::indexing_slicing, reason = "a report of schemathesis")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::suite;
use serde_json::Value;

/// For how long it asks, in seconds; what it asks first is the same each time.
const ASKING_S: u64 = 80;
/// Until when it must have ended.
const BOUND: Duration = Duration::from_secs(240);

fn program() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let program = cache.context("no HOME")?.join("baton/vectors/schemathesis/bin/schemathesis");
    ensure!(program.exists(), "{} is missing; fetch it: .ci/vectors", program.display());
    Ok(program)
}

#[test]
fn no_answer_is_a_failure_of_ours_or_contradicts_the_description() -> Result<()> {
    let settings = Settings::new()
        .set("api.listen", "127.0.0.1:0")
        .set("api.requests_per_minute", 10_000_000)
        .set("accounts.hash_memory_kib", 64)
        .set("accounts.hash_passes", 1)
        .with("[next_hops.nowhere]\ndiscard = true\n[[routes]]\ndomain = \"*\"\nnext_hop = \"nowhere\"\n");
    let relay = Relay::start(settings)?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    relay.said(&["stream", "add", "news", "--tenant", "acme", "--kind", "bulk"])?;
    relay.said(&["template", "add", "hello", "--tenant", "acme", "--subject", "Hi"])?;
    let made: Value = serde_json::from_str(&relay.said(&["token", "add", "--scope", "admin", "--json"])?)?;
    let token = made["token"].as_str().context("a token")?;
    let api = format!("http://{}/v1/openapi.json", relay.listener("api")?);
    // Who waits for what happens next asks nothing meanwhile.
    let waiting = "[[operations]]\ninclude-path = \"/v1/events\"\nparameters = { \"query.wait_s\" = 0 }\n";
    std::fs::write(relay.folder().join("schemathesis.toml"), waiting)?;
    let mut command = Command::new(program()?);
    command.args(["run", &api, "--header", &format!("Authorization: Bearer {token}"), "--seed", "1"]);
    command.args(["--phases", "coverage,fuzzing", "--max-examples", "10", "--continue-on-failure"]);
    command.args(["--max-time", &ASKING_S.to_string(), "--generation-database", "none"]);
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    command.args(["--checks", checks, "--request-timeout", "60", "--workers", "1"]);
    command.current_dir(relay.folder()).stdin(Stdio::null());
    let output = output_within(command, BOUND)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let log = relay.log();
    ensure!(!log.contains("panicked"), "{log}");
    let count = |after: &str| -> Result<u64> {
        let rest = said.split(after).nth(1).with_context(|| said.clone())?;
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    };
    // A run that asks nothing finds nothing.
    let (routes, cases) = (count("Tested:")?, count("Test cases:")?);
    ensure!(routes > 70 && cases > 1_000, "{said}");
    suite::conclude("schemathesis, questions to the API without a finding", cases as usize, &[])
}
