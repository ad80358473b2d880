//! How listeners speak TLS follows a reload, and one that can not be used changes nothing.

use std::process::{Command, Stdio};

use anyhow::Result;
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::wait;

fn settings() -> Settings {
    Settings::new().set("listeners.smtp.tls", "implicit")
}

/// What a client tells that speaks so.
fn handshake(relay: &Relay, options: &[&str]) -> Result<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-brief", "-connect", &relay.smtp()?.to_string()]).args(options);
    command.stdin(Stdio::null());
    let output = output_within(command, wait::LONG)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

fn speaks(relay: &Relay, options: &[&str]) -> Result<bool> {
    Ok(handshake(relay, options)?.contains("CONNECTION ESTABLISHED"))
}

#[test]
fn versions_and_suites_follow_a_reload() -> Result<()> {
    let relay = Relay::start(settings())?;
    assert!(speaks(&relay, &["-tls1_2"])? && speaks(&relay, &["-tls1_3"])?);
    relay.write_settings(settings().set("tls.minimum_version", "1.3"))?;
    let report = relay.said(&["reload"])?;
    assert!(report.contains("tls.minimum_version") && !report.contains("restart"), "{report}");
    assert!(!speaks(&relay, &["-tls1_2"])? && speaks(&relay, &["-tls1_3"])?);
    let suite = "TLS_CHACHA20_POLY1305_SHA256";
    relay.write_settings(settings().set("tls.cipher_suites", vec![suite]))?;
    relay.said(&["reload"])?;
    let told = handshake(&relay, &["-tls1_3"])?;
    assert!(told.contains(suite), "{told}");
    assert!(!speaks(&relay, &["-ciphersuites", "TLS_AES_128_GCM_SHA256"])?);
    Ok(())
}

#[test]
fn client_certificates_follow_a_reload_and_a_bad_file_changes_nothing() -> Result<()> {
    let relay = Relay::start(settings())?;
    assert!(speaks(&relay, &["-tls1_2"])?);
    let asking = settings().set("listeners.smtp.client_certificates", "required");
    relay.write_settings(asking.clone().set("listeners.smtp.client_ca_file", "missing.pem"))?;
    assert!(!relay.run(&["reload"])?.status.success());
    assert!(speaks(&relay, &["-tls1_2"])?);
    // Any authority will do: the client has no certificate at all.
    relay.write_settings(asking.set("listeners.smtp.client_ca_file", "spool/tls/self-signed.crt"))?;
    relay.said(&["reload"])?;
    assert!(!speaks(&relay, &["-tls1_2"])?);
    Ok(())
}
