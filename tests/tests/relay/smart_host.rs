//! Smart hosts that want to know who we are: by a login, by a certificate.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use baton_tests::message;
use baton_tests::pki::Pki;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use toml::Value;

/// A smart host for users and for who shows a certificate.
pub(crate) fn smart_host(pki: &Pki, sink: &Sink) -> Result<Relay> {
    let issued = pki.issue(&["smart.example"])?;
    let (chain, key, authority) = (&issued.chain, &issued.key, pki.authority());
    let relay = Relay::start(Settings::new().all_to(sink.address()).with(&format!(
        "[[tls.certificates]]\nchain = {chain:?}\nkey = {key:?}\n\
         [listeners.users]\naddress = \"127.0.0.1:0\"\nkind = \"submission\"\n\
         [listeners.known]\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\n\
         client_certificates = \"required\"\nclient_ca_file = {authority:?}\n\
         [accounts]\nhash_memory_kib = 64\nhash_passes = 1\nscram_iterations = 4096"
    )))?;
    let mut command = relay.command(&["user", "add", "out", "--password-file", "-", "--sender", "*"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    writeln!(child.stdin.take().context("a pipe")?, "open sesame")?;
    ensure!(child.wait()?.success(), "no account");
    Ok(relay)
}

/// All mail goes to that smart host.
pub(crate) fn settings(pki: &Pki, smart: &Relay, listener: &str, tls: &str) -> Result<Settings> {
    Ok(Settings::new()
        .all_to(smart.listener(listener)?)
        .set("next_hops.sink.tls", tls)
        .set("next_hops.sink.tls_name", "smart.example")
        .set("next_hops.sink.tls_ca_file", pki.authority().display().to_string()))
}

fn send(relay: &Relay) -> Result<String> {
    relay.send(
        "ada@sender.example",
        &["bo@dest.example"],
        b"From: ada@sender.example\r\nSubject: x\r\n\r\nbody\r\n",
    )
}

#[test]
fn a_login_by_each_mechanism_is_let_in_and_a_wrong_one_waits() -> Result<()> {
    let pki = Pki::make()?;
    let sink = Sink::start()?;
    let smart = smart_host(&pki, &sink)?;
    let folder = tempfile::tempdir()?;
    let password = folder.path().join("password");
    fs::write(&password, "open sesame\n")?;
    let settings = settings(&pki, &smart, "users", "required")?
        .set("next_hops.sink.login.user", "out")
        .set("next_hops.sink.login.password.file", password.display().to_string());
    for (count, mechanism) in (1..).zip(["SCRAM-SHA-256", "PLAIN", "LOGIN"]) {
        let one = settings.clone().set("next_hops.sink.login.mechanisms", vec![Value::from(mechanism)]);
        let relay = Relay::start(one)?;
        let id = send(&relay)?;
        relay.wait_for_event(&id, "delivered").with_context(|| mechanism.to_owned())?;
        assert_eq!(sink.wait_for(count)?.len(), count);
    }
    // A password that is wrong, and put right while the mail waits.
    fs::write(&password, "shut sesame\n")?;
    let relay = Relay::start(settings.clone())?;
    let id = send(&relay)?;
    let deferred = relay.wait_for_event(&id, "deferred")?;
    assert!(deferred.to_string().contains("the peer refuses the login: 535"), "{deferred}");
    assert!(!relay.log().contains("sesame"), "no secret is told");
    fs::write(&password, "open sesame\n")?;
    relay.wait_for_event(&id, "delivered")?;
    // No word of it without TLS.
    let refused = Relay::prepare(settings.set("next_hops.sink.tls", "opportunistic"))?.start_in_vain()?;
    let said =
        String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && said.contains("a login needs TLS"), "{said}");
    Ok(())
}

#[test]
fn a_certificate_opens_the_door() -> Result<()> {
    let pki = Pki::make()?;
    let sink = Sink::start()?;
    let smart = smart_host(&pki, &sink)?;
    let plain = settings(&pki, &smart, "known", "implicit")?;
    let relay = Relay::start(plain.clone())?;
    let id = send(&relay)?;
    relay.wait_for_event(&id, "deferred")?;
    let issued = pki.issue(&["relay.example"])?;
    let known = plain
        .set("next_hops.sink.tls_certificate", issued.chain.display().to_string())
        .set("next_hops.sink.tls_key", issued.key.display().to_string());
    let relay = Relay::start(known)?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("known"))?;
    relay.wait_for_event(&id, "delivered")?;
    assert_eq!(sink.wait_for(1)?.len(), 1);
    Ok(())
}
