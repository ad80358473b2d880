//! Scripted policies in a real relay: a folder, an edit, a mistake.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use baton_tests::pki::{Issued, Pki};
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::zone::Zone;
use baton_tests::{message, program, wait};

const REFUSES_EVIL: &str = "export function onRcpt(rcpt) {\n  if (rcpt.local === 'evil') return reject('not him');\n  return next();\n}\n";
const COUNTS: &str = "export function onData(): DataDecision {\n  const seen: number = kv('seen').increment('n');\n  message.setHeader('X-Seen', seen);\n  return next();\n}\n";

/// A relay with a folder of these scripts.
fn relay_with(sink: &Sink, scripts: &[(&str, &str)]) -> Result<Relay> {
    with_scripts(Settings::new().all_to(sink.address()), scripts)
}

fn with_scripts(settings: Settings, scripts: &[(&str, &str)]) -> Result<Relay> {
    let grants = "[policies]\nfolder = 'policy'\ngrants = { kv = ['seen'], edit = ['headers'] }\n";
    let mut relay = Relay::prepare(settings.with(grants))?;
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

const KNOWS_ANN: &str = "\
export function onRcpt() {
  if (session.iprev !== 'pass') return reject(`no way back: ${session.iprev}`);
  if (session.tls?.verifiedSubject === 'ann.example') return next();
  return reject(`not ann: ${session.tls?.certificate?.distrust ?? session.tls?.version ?? 'plain text'}`);
}
";

/// What protects a session and whose name it has, as a script sees it of a client that people really use.
#[test]
fn a_script_refuses_by_certificate_and_by_name() -> Result<()> {
    let zone =
        Zone::serve("1.0.0.127.in-addr.arpa. 60 IN PTR ann.example.\nann.example. 60 IN A 127.0.0.1\n")?;
    let (sink, pki) = (Sink::start()?, Pki::make()?);
    let settings = Settings::new()
        .all_to(sink.address())
        .names_from(zone.address())
        .set("listeners.smtp.client_certificates", "offered")
        .set("listeners.smtp.client_ca_file", pki.authority().display().to_string());
    let relay = with_scripts(settings, &[("ann.js", KNOWS_ANN)])?;
    let (ann, bob, nobody) =
        (pki.issue(&["ann.example"])?, pki.issue(&["bob.example"])?, pki.self_signed(&["ann.example"])?);
    let swaks = |issued: Option<&Issued>, more: &[&str]| -> Result<String> {
        let mut command = Command::new("swaks");
        command.args(["--server", &relay.smtp()?.to_string(), "--helo", "client.example"]);
        command.args(["--from", "ann@sender.example", "--to", "bo@dest.example"]).args(more);
        if let Some(issued) = issued {
            command.arg("--tls").arg("--tls-cert").arg(&issued.chain).arg("--tls-key").arg(&issued.key);
        }
        let output = output_within(command, wait::LONG)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (issued, more, wanted) in [
        (None, &[][..], "not ann: plain text"),
        (None, &["--tls"], "not ann: TLSv1.3"),
        (Some(&bob), &[], "not ann: TLSv1.3"),
        (Some(&nobody), &[], "not ann: "),
        (Some(&ann), &["--local-interface", "127.0.0.2"], "no way back: "),
        (Some(&ann), &[], "<~  250 2.0.0 "),
    ] {
        let said = swaks(issued, more)?;
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    sink.wait_for(1)?;
    Ok(())
}

/// What `baton policy` prints.
fn policy(words: &[&str]) -> Result<String> {
    let output = Command::new(program::relay()?).arg("policy").args(words).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
