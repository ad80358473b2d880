//! TLS with programs that people really use, and between two relays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{message, program, wait};
use tempfile::TempDir;

/// Runs a program to its end; what it printed, if it succeeded.
fn said(mut command: Command) -> Result<String> {
    command.stdin(Stdio::null());
    let shown = format!("{command:?}");
    let output = output_within(command, wait::LONG)?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {said}");
    Ok(said)
}

/// A self-signed certificate for `localhost`, which is also the authority that vouches for it.
struct Certificate {
    folder: TempDir,
}

impl Certificate {
    fn make() -> Result<Certificate> {
        let made = Certificate { folder: tempfile::tempdir()? };
        made.renew("localhost")?;
        Ok(made)
    }

    /// Puts another certificate in the place of this one, as a deployment does: whole files by rename.
    fn renew(&self, name: &str) -> Result<()> {
        let (chain, key) = (self.folder.path().join("new.crt"), self.folder.path().join("new.key"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-days", "90", "-subj", &format!("/CN={name}")]);
        command.args(["-addext", &format!("subjectAltName=DNS:{name},DNS:localhost")]);
        // A server whose certificate is an authority's is refused.
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.arg("-keyout").arg(&key).arg("-out").arg(&chain);
        said(command)?;
        fs::rename(key, self.key())?;
        Ok(fs::rename(chain, self.chain())?)
    }

    fn chain(&self) -> PathBuf {
        self.folder.path().join("relay.crt")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("relay.key")
    }

    /// Settings of a relay that shows it, with a listener for each way to begin TLS.
    fn settings(&self) -> Settings {
        let (chain, key) = (self.chain(), self.key());
        Settings::new().with(&format!(
            "[[tls.certificates]]\nchain = {chain:?}\nkey = {key:?}\n\
             [listeners.implicit]\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\n\
             [listeners.required]\naddress = \"127.0.0.1:0\"\ntls = \"required\"\n"
        ))
    }

    fn relay(&self, sink: &Sink) -> Result<Relay> {
        Relay::start(self.settings().all_to(sink.address()))
    }
}

/// The protocol by which the only message at the sink came in, as its trace field tells.
fn protocol_at(sink: &Sink) -> Result<String> {
    let text = sink.wait_for(1)?.pop().context("a message")?.text();
    let (_, rest) = text.split_once(" with ").context("a trace field")?;
    ensure!(text.contains("\ttls TLS_"), "no cipher in {text}");
    Ok(rest.split(' ').next().unwrap_or_default().to_owned())
}

const SMTPLIB: &str = "\
import smtplib, ssl, sys
way, port, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=ca)
if way == 'implicit':
    server = smtplib.SMTP_SSL('localhost', port, context=context)
else:
    server = smtplib.SMTP('localhost', port)
    server.ehlo()
    assert server.has_extn('starttls'), server.esmtp_features
    server.starttls(context=context)
    server.ehlo()
assert not server.has_extn('starttls'), server.esmtp_features
assert server.sock.version() == 'TLSv1.3', server.sock.version()
server.sendmail('ada@sender.example', ['bo@dest.example'], 'Subject: hello\\r\\n\\r\\nbody\\r\\n')
server.quit()
";

#[test]
fn smtplib_of_python_verifies_and_sends() -> Result<()> {
    let certificate = Certificate::make()?;
    for (way, listener) in [("starttls", "smtp"), ("starttls", "required"), ("implicit", "implicit")] {
        let sink = Sink::start()?;
        let relay = certificate.relay(&sink)?;
        let mut command = Command::new("python3");
        command.args(["-c", SMTPLIB, way, &relay.listener(listener)?.port().to_string()]);
        command.arg(certificate.chain());
        said(command)?;
        assert_eq!(protocol_at(&sink)?, "ESMTPS");
    }
    Ok(())
}

#[test]
fn swaks_sends_over_tls() -> Result<()> {
    let certificate = Certificate::make()?;
    for (flag, listener) in [("--tls", "smtp"), ("--tls-on-connect", "implicit")] {
        let sink = Sink::start()?;
        let relay = certificate.relay(&sink)?;
        let mut command = Command::new("swaks");
        command.args([flag, "--server", &relay.listener(listener)?.to_string(), "--helo", "client.example"]);
        command.args(["--from", "ada@sender.example", "--to", "bo@dest.example"]);
        let shown = said(command)?;
        assert!(shown.contains("TLS started") && shown.contains("/CN=localhost"), "{shown}");
        assert_eq!(protocol_at(&sink)?, "ESMTPS");
    }
    Ok(())
}

#[test]
fn curl_verifies_and_sends() -> Result<()> {
    let certificate = Certificate::make()?;
    for (scheme, listener) in [("smtp", "required"), ("smtps", "implicit")] {
        let sink = Sink::start()?;
        let relay = certificate.relay(&sink)?;
        let mail = relay.folder().join("mail.eml");
        fs::write(&mail, message::plain("curl"))?;
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "50", "--ssl-reqd", "--cacert"]);
        command.arg(certificate.chain());
        command.arg(format!("{scheme}://localhost:{}/client.example", relay.listener(listener)?.port()));
        command.args([
            "--mail-from",
            "ada@sender.example",
            "--mail-rcpt",
            "bo@dest.example",
            "--upload-file",
        ]);
        command.arg(mail);
        said(command)?;
        assert_eq!(protocol_at(&sink)?, "ESMTPS");
    }
    Ok(())
}

/// What `openssl s_client` tells of a handshake by STARTTLS.
fn s_client(relay: &Relay, more: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-starttls", "smtp", "-connect", &relay.smtp()?.to_string()]);
    command.args(more).stdin(Stdio::null());
    let output = output_within(command, wait::LONG)?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), said))
}

/// T9: what is broken is not spoken.
#[test]
fn only_sound_versions_and_suites_are_spoken() -> Result<()> {
    let relay = Relay::start(Settings::new())?;
    for good in [&["-tls1_2"][..], &["-tls1_3"], &["-tls1_2", "-cipher", "ECDHE+CHACHA20"]] {
        let (is_good, said) = s_client(&relay, good)?;
        assert!(is_good && said.contains("BEGIN CERTIFICATE"), "{good:?}: {said}");
    }
    for bad in [
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA"],
    ] {
        let (is_good, said) = s_client(&relay, bad)?;
        assert!(!is_good && !said.contains("BEGIN CERTIFICATE"), "{bad:?}: {said}");
    }
    let metrics = relay.metrics()?;
    assert!(
        metrics.contains("baton_session_tls_handshakes_total{listener=\"smtp\",result=\"incompatible\"} 4"),
        "{metrics}"
    );
    Ok(())
}

/// The self-signed certificate of a relay that was given none.
#[test]
fn a_relay_makes_its_own_certificate() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mut relay = Relay::start(Settings::new())?;
    let subject = |relay: &Relay| -> Result<String> {
        let (_, said) = s_client(relay, &[])?;
        Ok(said.lines().find(|line| line.contains("subject=")).unwrap_or_default().to_owned())
    };
    assert!(subject(&relay)?.contains("relay.example"), "{}", subject(&relay)?);
    let key = relay.spool().join("tls/self-signed.key");
    assert_eq!(fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
    let before = fs::read(&key)?;
    relay.stop()?;
    relay.start_again()?;
    assert_eq!(fs::read(&key)?, before);
    Ok(())
}

/// A renewed certificate is shown without a restart and without being asked; one that can not be used changes nothing.
#[test]
fn a_renewed_certificate_is_shown_by_itself() -> Result<()> {
    let certificate = Certificate::make()?;
    let sink = Sink::start()?;
    let relay = certificate.relay(&sink)?;
    let shows = |name: &str| -> Result<Option<()>> {
        Ok(s_client(&relay, &[])?.1.contains(&format!("CN = {name}")).then_some(()))
    };
    assert!(shows("localhost")?.is_some());
    fs::write(certificate.key(), "this is no key")?;
    wait::until("the new key to be refused", || {
        Ok(relay.log().contains("new certificates refused").then_some(()))
    })?;
    assert!(shows("localhost")?.is_some(), "the old one stays");
    certificate.renew("renewed.example")?;
    wait::until("the new certificate", || shows("renewed.example"))?;
    let reload = relay.run(&["reload"])?;
    assert!(reload.status.success());
    fs::write(certificate.key(), "this is no key")?;
    let reload = relay.run(&["reload"])?;
    let complaint =
        String::from_utf8_lossy(&reload.stdout).into_owned() + &String::from_utf8_lossy(&reload.stderr);
    assert!(!reload.status.success() && complaint.contains("tls.certificates"), "{complaint}");
    assert!(shows("renewed.example")?.is_some());
    Ok(())
}

/// Mail between two relays is protected; each tells of it.
#[test]
fn two_relays_protect_what_they_exchange() -> Result<()> {
    let certificate = Certificate::make()?;
    let sink = Sink::start()?;
    let second = certificate.relay(&sink)?;
    let first = Relay::start(Settings::new().all_to(second.smtp()?))?;
    let id = first.send("ada@sender.example", &["bo@dest.example"], &message::plain("exchange"))?;
    first.wait_for_event(&id, "delivered")?;
    let told = first.said(&["explain", &id])?;
    assert!(
        told.contains("TLSv1.3 TLS_") && told.contains("certificate of localhost not verified"),
        "{told}"
    );
    let text = sink.wait_for(1)?.pop().context("a message")?.text();
    assert!(text.contains(" with ESMTPS (TLSv1.3) id "), "{text}");
    let recent = second.said(&["explain", "--recent"])?;
    assert!(recent.contains("ESMTPS (TLSv1.3 TLS_"), "{recent}");
    Ok(())
}

/// T5: a smart host that must prove who it is, with the right certificate and with another one.
#[test]
fn a_smart_host_proves_who_it_is() -> Result<()> {
    let (certificate, other) = (Certificate::make()?, Certificate::make()?);
    let sink = Sink::start()?;
    let second = certificate.relay(&sink)?;
    let smart_host = |listener: &str, tls: &str, ca: &Path| -> Result<Settings> {
        let settings = Settings::new().all_to(second.listener(listener)?);
        Ok(settings
            .set("next_hops.sink.tls", tls)
            .set("next_hops.sink.tls_ca_file", ca.display().to_string())
            .set("next_hops.sink.tls_name", "localhost"))
    };
    for (listener, tls) in [("smtp", "required"), ("required", "required"), ("implicit", "implicit")] {
        let first = Relay::start(smart_host(listener, tls, &certificate.chain())?)?;
        let id = first.send("ada@sender.example", &["bo@dest.example"], &message::plain("smart"))?;
        first.wait_for_event(&id, "delivered")?;
        let told = first.said(&["explain", &id])?;
        assert!(told.contains("certificate of localhost verified"), "{told}");
    }
    let first = Relay::start(smart_host("smtp", "required", &other.chain())?)?;
    let id = first.send("ada@sender.example", &["bo@dest.example"], &message::plain("wary"))?;
    first.wait_for_event(&id, "deferred")?;
    let told = first.said(&["explain", &id])?;
    assert!(
        told.contains("4.7.5 TLS handshake: certificate not accepted: a signature is not by the key"),
        "{told}"
    );
    assert!(!told.contains("Error") && !told.contains("BadSignature"), "words of programmers: {told}");
    assert_eq!(sink.wait_for(3)?.len(), 3, "the fourth waits");
    Ok(())
}

/// An authority that runs in a process of its own; it ends with this.
struct Authority {
    folder: TempDir,
    child: std::process::Child,
}

impl Authority {
    fn start(ports_file: &Path, more: &[&str]) -> Result<Authority> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("python3");
        command.arg(baton_tests::program::repository().join("tests/lab/acme.py")).args(more);
        command.arg("--folder").arg(folder.path()).arg("--ports-file").arg(ports_file);
        let authority = Authority { folder, child: command.stdin(Stdio::null()).spawn()? };
        wait::until("the authority", || Ok(authority.address().ok().map(drop)))?;
        Ok(authority)
    }

    fn address(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("address"))?)
    }

    fn settings(&self) -> Result<Settings> {
        let ca_file = self.folder.path().join("server.pem");
        Ok(Settings::new()
            .set("tls.acme.directory", format!("{}/directory", self.address()?))
            .set("tls.acme.agree_to_terms", true)
            .set(
                "tls.acme.names",
                vec![toml::Value::from("relay.example"), toml::Value::from("mx.relay.example")],
            )
            .set("tls.acme.listen", "127.0.0.1:0")
            .set("tls.acme.retry_s", 1)
            .set("tls.acme.ca_file", ca_file.display().to_string()))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate is ordered, tried again after a refusal, shown without a restart, and kept over one.
#[test]
fn a_certificate_is_obtained_by_acme() -> Result<()> {
    let mut relay = Relay::prepare(Settings::new())?;
    let authority = Authority::start(&relay.ports_path(), &["--refuse", "1"])?;
    relay.write_settings(authority.settings()?)?;
    relay.start_again()?;
    let is_shown = |relay: &Relay| Ok(s_client(relay, &[])?.1.contains("test authority").then_some(()));
    wait::until("the authority's certificate", || is_shown(&relay)).with_context(|| relay.log())?;
    let metrics = relay.metrics()?;
    assert!(
        metrics.contains("baton_acme_failed_total 1") && metrics.contains("baton_acme_obtained_total 1"),
        "{metrics}"
    );
    relay.stop()?;
    relay.start_again()?;
    assert!(is_shown(&relay)?.is_some(), "kept over a restart");
    assert!(relay.metrics()?.contains("baton_acme_obtained_total 0"), "and not ordered again");
    Ok(())
}

/// A short-lived certificate is renewed in its last third, whatever the settings say, and not again and again.
#[test]
fn a_short_lived_certificate_is_not_ordered_again_at_once() -> Result<()> {
    let mut relay = Relay::prepare(Settings::new())?;
    let authority = Authority::start(&relay.ports_path(), &["--days", "6"])?;
    relay.write_settings(authority.settings()?.set("tls.acme.renew_days", 30))?;
    relay.start_again()?;
    let obtained = |count: usize| format!("baton_acme_obtained_total {count}");
    wait::until("the certificate", || Ok(relay.metrics()?.contains(&obtained(1)).then_some(())))?;
    wait::quiet();
    assert!(relay.metrics()?.contains(&obtained(1)), "{}", relay.metrics()?);
    Ok(())
}

/// The other proof: a handshake at port 443, which shows nothing to who does not ask for proofs.
#[test]
fn a_certificate_is_obtained_by_a_proof_in_tls() -> Result<()> {
    let mut relay = Relay::prepare(Settings::new())?;
    let authority = Authority::start(&relay.ports_path(), &["--challenge", "tls-alpn-01"])?;
    relay.write_settings(authority.settings()?.set("tls.acme.challenge", "tls-alpn-01"))?;
    relay.start_again()?;
    wait::until("the authority's certificate", || {
        Ok(s_client(&relay, &[])?.1.contains("test authority").then_some(()))
    })
    .with_context(|| relay.log())?;
    let mut browser = Command::new("openssl");
    browser.args([
        "s_client",
        "-servername",
        "relay.example",
        "-connect",
        &relay.listener("acme")?.to_string(),
    ]);
    let refused = output_within(browser, wait::LONG)?;
    assert!(
        !refused.status.success() && !String::from_utf8_lossy(&refused.stdout).contains("BEGIN CERTIFICATE")
    );
    // An authority that does not offer the proof is told about.
    let mut other = Relay::prepare(Settings::new())?;
    let authority = Authority::start(&other.ports_path(), &[])?;
    other.write_settings(authority.settings()?.set("tls.acme.challenge", "tls-alpn-01"))?;
    other.start_again()?;
    wait::until("a failed order", || Ok(other.log().contains("no tls-alpn-01 challenge").then_some(())))
}

/// An order that fails leaves the relay as it is: it shows what it showed before.
#[test]
fn without_the_authority_the_relay_serves() -> Result<()> {
    let relay = Relay::prepare(Settings::new())?;
    let authority = Authority::start(&relay.ports_path(), &[])?;
    let settings = authority.settings()?;
    drop(authority);
    drop(relay);
    let relay = Relay::start(settings.set("tls.acme.ca_file", "/nowhere.pem"))?;
    wait::until("a failed order", || Ok(relay.log().contains("no certificate by ACME").then_some(())))?;
    assert!(s_client(&relay, &[])?.1.contains("relay.example"));
    Ok(())
}

#[test]
fn the_own_generator_and_sink_speak_tls_both_ways() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for how in ["starttls", "implicit"] {
        let (ports, summary) = (folder.path().join(how), folder.path().join(format!("{how}.json")));
        let mut sink = Command::new(program::relay()?);
        sink.args(["sink", "--count", "--listen", "127.0.0.1:0", "--until", "3", "--tls", how]);
        sink.arg("--ports-file").arg(&ports).arg("--summary-file").arg(&summary);
        let mut sink = sink.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let address = wait::until("the sink to listen", || {
            Ok(fs::read_to_string(&ports)
                .ok()
                .and_then(|text| Some(text.split_whitespace().nth(1)?.to_owned())))
        })?;
        let mut send = Command::new(program::relay()?);
        send.args(["send", "--count", "3", "--to", &address, "--tls", how]);
        let sent = said(send);
        // It ends by itself after the third message, and not before.
        let ended = if sent.is_ok() { sink.wait()? } else { sink.kill().and_then(|()| sink.wait())? };
        assert!(sent?.contains("3 of 3 messages accepted") && ended.success(), "{how}");
        let counted = fs::read_to_string(&summary)?;
        assert!(counted.contains("\"messages\": 3"), "{counted}");
    }
    // Who asks for STARTTLS does not go on without it.
    let sink = Sink::start()?;
    let mut send = Command::new(program::relay()?);
    send.args(["send", "--to", &sink.address().to_string(), "--tls", "starttls"]);
    let refused = said(send).err().context("it was sent in plain text")?.to_string();
    assert!(refused.contains("the server offers no STARTTLS"), "{refused}");
    Ok(())
}
