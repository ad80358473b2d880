//! Scripted policies in a real relay: a folder, an edit, a mistake.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{message, program};

const REFUSES_EVIL: &str = "export function onRcpt(rcpt) {\n  if (rcpt.local === 'evil') return reject('not him');\n  return next();\n}\n";
const COUNTS: &str = "export function onData(): DataDecision {\n  const seen: number = kv('seen').increment('n');\n  message.setHeader('X-Seen', seen);\n  return next();\n}\n";

/// A relay with a folder of these scripts.
fn relay_with(sink: &Sink, scripts: &[(&str, &str)]) -> Result<Relay> {
    let settings = Settings::new()
        .all_to(sink.address())
        .with("[policies]\nfolder = 'policy'\ngrants = { kv = ['seen'], edit = ['headers'] }\n");
    let mut relay = Relay::prepare(settings)?;
    let folder = policies(&relay)?;
    fs::create_dir_all(&folder)?;
    for (name, text) in scripts {
        fs::write(folder.join(name), text)?;
    }
    relay.start_again()?;
    Ok(relay)
}

fn policies(relay: &Relay) -> Result<std::path::PathBuf> {
    let settings = relay.settings_path();
    Ok(settings.parent().map(Path::to_path_buf).context("the settings are in a folder")?.join("policy"))
}

/// The answer to RCPT.
fn rcpt(relay: &Relay, local: &str) -> Result<String> {
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    Ok(client.command(&format!("RCPT TO:<{local}@dest.example>"))?.text())
}

#[test]
fn scripts_of_a_folder_decide_and_an_edit_serves_after_a_reload() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay_with(&sink, &[("guard.js", REFUSES_EVIL), ("seen.ts", COUNTS)])?;
    assert!(rcpt(&relay, "evil")?.contains("not him"));
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("counted"))?;
    relay.wait_until_empty()?;
    assert!(format!("{:?}", relay.story(&id)?).contains("seen@"), "the story names the script");
    fs::write(policies(&relay)?.join("guard.js"), REFUSES_EVIL.replace("not him", "edited"))?;
    relay.said(&["reload"])?;
    assert!(rcpt(&relay, "evil")?.contains("edited"));
    Ok(())
}

#[test]
fn one_bad_script_among_good_ones_goes_on_in_its_last_version() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay_with(&sink, &[("guard.js", REFUSES_EVIL), ("other.js", REFUSES_EVIL)])?;
    let folder = policies(&relay)?;
    fs::write(folder.join("guard.js"), "export function onRcpt( {")?;
    fs::write(folder.join("other.js"), REFUSES_EVIL.replace("evil", "odd"))?;
    let said = relay.run(&["reload"])?;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(rcpt(&relay, "evil")?.contains("not him"), "the last version of guard.js");
    assert!(rcpt(&relay, "odd")?.contains("not him"), "the new version of other.js");
    assert!(relay.log().contains("guard.js:1:"), "the error has its place");
    Ok(())
}

#[test]
fn at_the_start_every_script_must_load() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = relay_with(&sink, &[("guard.js", REFUSES_EVIL)])?;
    relay.stop()?;
    fs::write(policies(&relay)?.join("bad.js"), "const a = ;")?;
    let output = relay.start_in_vain()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &relay.log();
    assert!(said.contains("bad.js:1:11"), "{said}");
    Ok(())
}

#[test]
fn a_policy_is_tried_without_a_server() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay_with(&sink, &[("guard.js", REFUSES_EVIL)])?;
    let script = policies(&relay)?.join("guard.js");
    let mail = relay.folder().join("mail.eml");
    fs::write(&mail, "Subject: x\n\nbody\n")?;
    let (script, mail) = (script.display().to_string(), mail.display().to_string());
    let said = policy(&["run", &script, &mail, "--rcpt", "evil@x.example", "--rcpt", "good@x.example"])?;
    assert!(said.contains("rcpt evil@x.example: reject 550 5.7.1 not him"), "{said}");
    assert!(said.contains("rcpt good@x.example: next"), "{said}");
    assert!(policy(&["check", &script])?.contains("guard.js: rcpt"));
    assert!(policy(&["types"])?.contains("declare function reject"));
    Ok(())
}

/// What `baton policy` prints.
fn policy(words: &[&str]) -> Result<String> {
    let output = Command::new(program::relay()?).arg("policy").args(words).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
