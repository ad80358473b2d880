//! Commands and settings: what is wrong is said with its key, file or plugin; a running relay is never harmed.

use std::fs;
use std::process::Output;

use anyhow::Result;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{message, program};

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn check_names_every_mistake_with_its_key() -> Result<()> {
    let relay = Relay::prepare(
        Settings::new()
            .set("delivery.retry_frist_s", 1)
            .set("store.chunk_octets", "large")
            .set("listeners.smtp.kind", "smtps")
            .set("session.bare_line_endings", "ignore")
            .route("dest.example", "nowhere"),
    )?;
    let output = relay.run(&["check"])?;
    let said = words(&output);
    assert!(!output.status.success(), "{said}");
    for key in [
        "delivery.retry_frist_s",
        "store.chunk_octets",
        "listeners.smtp.kind",
        "session.bare_line_endings",
        "nowhere",
    ] {
        assert!(said.contains(key), "no {key} in {said}");
    }
    let output = relay.start_in_vain()?;
    assert!(
        !output.status.success() && words(&output).contains("delivery.retry_frist_s"),
        "{}",
        words(&output)
    );
    Ok(())
}

#[test]
fn check_accepts_what_serve_accepts() -> Result<()> {
    let relay = Relay::prepare(Settings::new())?;
    relay.said(&["check"])?;
    Ok(())
}

#[test]
fn mistakes_in_the_settings_do_not_keep_the_operator_out() -> Result<()> {
    let relay = Relay::start(Settings::new())?;
    let path = relay.settings_path();
    let good = fs::read_to_string(&path)?;
    fs::write(&path, format!("{good}\n[nonsense]\nkey = 1\n"))?;
    relay.said(&["queue", "ls"])?;
    let refused = relay.run(&["reload"])?;
    assert!(!refused.status.success() && words(&refused).contains("nonsense"), "{}", words(&refused));
    fs::write(&path, "store = 5\n")?;
    let refused = words(&relay.run(&["queue", "ls"])?);
    assert!(refused.contains("store") && refused.contains("--socket"), "{refused}");
    Ok(())
}

#[test]
fn a_plugin_that_is_none_is_told_apart() -> Result<()> {
    let relay = Relay::prepare(Settings::new())?;
    let module = relay.folder().join("module.wasm");
    // The smallest core module: magic and version.
    fs::write(&module, b"\0asm\x01\0\0\0")?;
    let text = relay.folder().join("text.wasm");
    fs::write(&text, "no wasm at all")?;
    let missing = relay.folder().join("missing.wasm");
    for (path, remedy) in [(&module, "component"), (&text, "component"), (&missing, "missing.wasm")] {
        relay.write_settings(Settings::new().plugin("odd", path))?;
        let output = relay.run(&["check"])?;
        let said = words(&output);
        assert!(
            !output.status.success() && said.contains("odd") && said.contains(remedy),
            "{}: {said}",
            path.display()
        );
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert!(!relay.start_in_vain()?.status.success());
    }
    Ok(())
}

#[test]
fn a_hook_that_the_plugin_lacks_is_an_error() -> Result<()> {
    let settings = Settings::new()
        .plugin("headers", &program::plugin("baton-plugin-header-rules")?)
        .set("plugins.headers.hooks", vec!["route"]);
    let relay = Relay::prepare(settings)?;
    let output = relay.run(&["check"])?;
    let said = words(&output);
    assert!(!output.status.success() && said.contains("headers") && said.contains("route"), "{said}");
    Ok(())
}

#[test]
fn a_reload_takes_the_new_settings_and_keeps_the_session_alive() -> Result<()> {
    let sink = Sink::start()?;
    let settings =
        || Settings::new().all_to(sink.address()).set("session.relay_networks", Vec::<String>::new());
    let relay = Relay::start(settings())?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    assert_eq!(client.command("RCPT TO:<b@dest.example>")?.code / 100, 5);
    relay.write_settings(settings().set("local_domains", vec!["dest.example"]))?;
    relay.said(&["reload"])?;
    let answer =
        relay.client()?.send("a@sender.example", &["b@dest.example"], &message::plain("reloaded"))?;
    assert_eq!(answer.code, 250, "{answer}");
    client.expect("NOOP", 250)?;
    sink.wait_for(1)?;
    Ok(())
}

#[test]
fn the_next_attempt_goes_by_what_a_reload_says_of_its_next_hop() -> Result<()> {
    let sink = Sink::start()?;
    let settings = |tls: &str| {
        Settings::new()
            .all_to(sink.address())
            .set("next_hops.sink.tls", tls)
            .set("delivery.site_cache_ms", 600_000)
    };
    let relay = Relay::start(settings("required"))?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("mended"))?;
    let deferred = relay.wait_for_event(&id, "deferred")?;
    assert!(deferred.to_string().contains("offers no STARTTLS"), "{deferred}");
    relay.write_settings(settings("off"))?;
    relay.said(&["reload"])?;
    relay.wait_for_event(&id, "delivered")?;
    Ok(())
}

#[test]
fn sighup_is_a_reload() -> Result<()> {
    let settings = || Settings::new().set("session.relay_networks", Vec::<String>::new());
    let relay = Relay::start(settings())?;
    relay.write_settings(settings().set("local_domains", vec!["dest.example"]))?;
    relay.signal(rustix::process::Signal::HUP)?;
    baton_tests::wait::until("the new settings", || {
        let mut client = relay.client()?;
        client.expect("MAIL FROM:<a@sender.example>", 250)?;
        Ok((client.command("RCPT TO:<b@dest.example>")?.code == 250).then_some(()))
    })
}

#[test]
fn a_bad_file_changes_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let settings = || Settings::new().all_to(sink.address());
    let relay = Relay::start(settings())?;
    for bad in
        [settings().set("session.nonsense", 1), settings().plugin("gone", &relay.folder().join("gone.wasm"))]
    {
        relay.write_settings(bad)?;
        let output = relay.run(&["reload"])?;
        assert!(!output.status.success(), "{}", words(&output));
        assert!(
            words(&output).contains("session.nonsense") || words(&output).contains("gone"),
            "{}",
            words(&output)
        );
    }
    fs::write(relay.settings_path(), "this is [ no toml")?;
    assert!(!relay.run(&["reload"])?.status.success());
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("unharmed"))?;
    sink.wait_for(1)?;
    Ok(())
}

#[test]
fn send_and_sink_are_a_pair() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let mut command = std::process::Command::new(program::relay()?);
    command.args(["send", "--to"]).arg(relay.smtp()?.to_string());
    command.args(["--from", "a@sender.example", "--rcpt", "b@dest.example"]);
    command.arg(program::repository().join("tests/corpus/plain.eml"));
    let output = baton_tests::relay::output_within(command, baton_tests::wait::LONG)?;
    assert!(output.status.success(), "{}", words(&output));
    sink.wait_for(1)?;
    Ok(())
}

#[test]
fn without_a_relay_the_commands_say_so() -> Result<()> {
    let relay = Relay::prepare(Settings::new())?;
    for command in [&["queue", "ls"][..], &["reload"], &["queue", "summary"]] {
        let output = relay.run(command)?;
        let said = words(&output);
        assert!(!output.status.success() && said.contains("admin.sock"), "{command:?}: {said}");
    }
    Ok(())
}
