//! Plugins that are switched while the relay runs: watched only, or with a new version that serves, until it is cleared.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use baton_tests::api::Api;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use serde_json::{Value, json};

const GUARD: &str = "export function onRcpt(rcpt) {\n  if (rcpt.local === 'evil') return reject('the old one refuses');\n  return next();\n}\n";

/// A relay with a guard, a new version as its shadow, and a second plugin without one.
fn start(sink: &Sink) -> Result<Relay> {
    let settings = Settings::new().all_to(sink.address()).set("api.listen", "127.0.0.1:0").with(
        "[plugins.guard]\nsource = 'guard.js'\nnext = { source = 'guard-next.js', mode = 'shadow' }\n\
         [plugins.plain]\nsource = 'plain.js'\n",
    );
    let mut relay = Relay::prepare(settings)?;
    let folder = relay.settings_path().parent().map(Path::to_path_buf).context("a folder")?;
    fs::write(folder.join("guard.js"), GUARD)?;
    fs::write(folder.join("guard-next.js"), GUARD.replace("old", "new"))?;
    fs::write(folder.join("plain.js"), "export function onRcpt() { return next(); }\n")?;
    relay.start_again()?;
    Ok(relay)
}

/// What becomes of a recipient that the guard does not like.
fn evil(relay: &Relay) -> Result<String> {
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    Ok(client.command("RCPT TO:<evil@dest.example>")?.text())
}

#[test]
fn a_switch_holds_over_reload_and_restart_until_it_is_cleared() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = start(&sink)?;
    ensure!(evil(&relay)?.contains("the old one refuses"));
    let told = relay.said(&["plugin", "switch", "guard", "--mode", "monitor"])?;
    ensure!(told.starts_with("guard: monitor (by operator; settings: enforce)"), "{told}");
    for again in ["at once", "after a reload", "after a restart"] {
        match again {
            "after a reload" => drop(relay.said(&["reload"])?),
            "after a restart" => {
                relay.stop()?;
                relay.start_again()?;
            }
            _ => {}
        }
        let id = relay.send("a@sender.example", &["evil@dest.example"], &message::plain("x"))?;
        let story = relay.said(&["explain", &id])?;
        ensure!(story.contains("monitor by operator: would have answered reject"), "{again}: {story}");
        let listed = relay.said(&["plugin", "ls"])?;
        ensure!(listed.contains("monitor (by operator; settings: enforce)"), "{again}: {listed}");
    }
    // Each part is switched by itself, and a settings file that is broken meanwhile is not looked at.
    let settings = fs::read_to_string(relay.settings_path())?;
    fs::write(relay.settings_path(), "nonsense = [")?;
    let socket = relay.spool().join("admin.sock");
    let by = ["--socket", socket.to_str().context("a path")?];
    let say = |words: &[&str]| relay.said(&[words, &by].concat());
    ensure!(say(&["plugin", "switch", "guard", "--next", "canary", "--percent", "100"])?.contains("monitor"));
    say(&["plugin", "switch", "guard", "--mode", "enforce"])?;
    ensure!(evil(&relay)?.contains("the new one refuses"), "the canary serves");
    say(&["plugin", "switch", "guard", "--next", "canary", "--percent", "0"])?;
    ensure!(evil(&relay)?.contains("the old one refuses"), "the canary rests");
    say(&["plugin", "clear", "guard"])?;
    fs::write(relay.settings_path(), settings)?;
    let listed = relay.said(&["plugin", "ls"])?;
    ensure!(!listed.contains("settings:") && listed.contains("shadow"), "{listed}");
    ensure!(!relay.run(&["plugin", "clear", "guard"])?.status.success(), "nothing is switched any more");
    let audit = relay.admin("GET", "/v1/audit", "")?.to_string();
    for part in ["plugin.switch", "plugin.clear", r#""mode":"monitor""#, r#""percent":100"#] {
        ensure!(audit.contains(part), "no {part} in {audit}");
    }
    Ok(())
}

#[test]
fn a_mistake_in_a_switch_names_its_field_and_changes_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let api = Api::with_token(&relay, &["--scope", "admin"])?;
    let before = api.get("/v1/plugins")?.body;
    let put = |name: &str, body: Value| {
        let path = format!("/v1/plugins/{name}/switch");
        api.ask("PUT", &path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    };
    for (name, body, status, field) in [
        ("guard", json!({}), 422, "mode"),
        ("guard", json!({"mode": "watch"}), 400, "mode"),
        ("guard", json!({"modes": "monitor"}), 400, "modes"),
        ("guard", json!({"next": {"mode": "canary", "percent": 101}}), 422, "next.percent"),
        ("guard", json!({"next": {"mode": "canary", "percent": 300}}), 400, "next.percent"),
        ("guard", json!({"next": {"mode": "shadow", "percent": 1}}), 422, "next.percent"),
        ("guard", json!({"next": {"mode": "canary", "tenant": "No Tenant"}}), 400, "next.tenant"),
        ("plain", json!({"next": {"mode": "shadow"}}), 422, "next"),
    ] {
        let reply = put(name, body.clone())?;
        ensure!(reply.status == status && reply.fields()? == [field], "{body}: {reply:?}");
    }
    ensure!(put("nobody", json!({"mode": "monitor"}))?.status == 404);
    ensure!(api.get("/v1/plugins")?.body == before);
    Ok(())
}

#[test]
fn what_was_switched_of_a_plugin_that_is_gone_is_told_and_can_be_cleared() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    relay.said(&["plugin", "switch", "plain", "--mode", "monitor"])?;
    let settings = fs::read_to_string(relay.settings_path())?;
    let without = settings.replace("[plugins.plain]", "[plugins.other]");
    ensure!(without != settings);
    fs::write(relay.settings_path(), without)?;
    let told = relay.said(&["reload"])?;
    ensure!(told.contains("plugins.plain: it is switched, and not loaded"), "{told}");
    relay.said(&["plugin", "clear", "plain"])?;
    ensure!(!relay.said(&["reload"])?.contains("it is switched"));
    Ok(())
}
