//! Users with the programs that people have: msmtp, curl and swaks, by each mechanism and each way to TLS that they speak.
//! What must not work is a case too: an old TLS, a mechanism that is not offered, a wrong password, an unknown certificate.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use baton_tests::certificate::Certificate;
use baton_tests::message;
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{suite, wait};
use tempfile::TempDir;

use super::add;
use super::tokens::published_and_token;

const PASSWORD: &str = "correct horse battery";
const ANN: &str = "ann@one.example";

/// Ports for users, as on the Internet, an account and a provider of tokens.
struct Front {
    relay: Relay,
    sink: Sink,
    certificate: Certificate,
    folder: TempDir,
    token: String,
    cases: usize,
}

impl Front {
    fn open() -> Result<Front> {
        let folder = tempfile::tempdir()?;
        let certificate = Certificate::make(folder.path())?;
        let (keys, token) = published_and_token()?;
        let key_file = folder.path().join("keys.json");
        std::fs::write(&key_file, keys.to_string())?;
        std::fs::write(folder.path().join("token"), &token)?;
        std::fs::write(folder.path().join("password"), PASSWORD)?;
        std::fs::write(folder.path().join("wrong"), "incorrect")?;
        std::fs::write(folder.path().join("mail"), message::plain("from a program"))?;
        let sink = Sink::start()?;
        let settings = certificate
            .shown_by(Settings::new().all_to(sink.address()))
            .with(&format!(
                "[listeners.users]\naddress = \"127.0.0.1:0\"\nkind = \"submission\"\n\
                 [listeners.users-tls]\naddress = \"127.0.0.1:0\"\nkind = \"submissions\"\n\
                 [accounts.issuers.id]\nissuer = \"https://id.example\"\njwks_file = {key_file:?}\naudiences = [\"mail\"]\n"
            ))
            .set("accounts.hash_memory_kib", 64)
            .set("accounts.hash_passes", 1)
            .set("accounts.failures_per_account_max", 1_000)
            .set("session.auth_failure_delay_ms", 0);
        let relay = Relay::start(settings)?;
        add(&relay, ANN, PASSWORD, &["--sender", "*"])?;
        Ok(Front { relay, sink, certificate, folder, token, cases: 0 })
    }

    fn port(&self, listener: &str) -> Result<u16> {
        Ok(self.relay.listener(listener)?.port())
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs a program to its end; its message must arrive protected, from a user, or it must fail.
    fn check(&mut self, mut command: Command, works: bool, case: &str) -> Result<()> {
        let before = self.sink.messages().len();
        command.stdin(std::fs::File::open(self.file("mail"))?);
        let output = output_within(command, wait::LONG)?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() == works, "{case}: {said}");
        if works {
            let received = self.sink.wait_for(before + 1)?.pop().context("a message")?;
            ensure!(received.text().contains(" with ESMTPSA "), "{case}: {}", received.text());
        }
        self.cases += 1;
        Ok(())
    }

    fn end(self, program: &str, cases: usize) -> Result<()> {
        let Front { cases: passed, .. } = self;
        ensure!(passed == cases, "{passed} of {cases}");
        suite::conclude(&format!("{program}, mechanisms and ways to TLS"), passed, &[])
    }
}

#[test]
fn msmtp_sends_by_each_mechanism() -> Result<()> {
    let mut front = Front::open()?;
    for (listener, starttls) in [("users", "on"), ("users-tls", "off")] {
        let command = |front: &Front, mechanism: &str, secret: &str, authority: &str| -> Result<Command> {
            let mut command = Command::new("msmtp");
            command.args(["--file=/dev/null", "--host=127.0.0.1", "--domain=client.example", "--tls=on"]);
            command.arg(format!("--port={}", front.port(listener)?));
            command.arg(format!("--tls-starttls={starttls}")).arg("--tls-host-override=localhost");
            command.arg(format!("--tls-trust-file={authority}"));
            command.arg(format!("--auth={mechanism}")).arg(format!("--user={ANN}"));
            command.arg(format!("--passwordeval=cat {}", front.file(secret)));
            command.args([&format!("--from={ANN}"), "--", "bo@dest.example"]);
            Ok(command)
        };
        let authority = front.certificate.chain.display().to_string();
        for (mechanism, secret, works) in [
            ("plain", "password", true),
            ("login", "password", true),
            ("scram-sha-256", "password", true),
            ("oauthbearer", "token", true),
            ("xoauth2", "token", true),
            ("plain", "wrong", false),
            ("scram-sha-256", "wrong", false),
            ("oauthbearer", "wrong", false),
            ("cram-md5", "password", false),
        ] {
            let command = command(&front, mechanism, secret, &authority)?;
            front.check(command, works, &format!("msmtp {mechanism} {secret} at {listener}"))?;
        }
        // It is no authority that vouches for this certificate.
        let command = command(&front, "plain", "password", "/etc/ssl/certs/ca-certificates.crt")?;
        front.check(command, false, "msmtp with other authorities")?;
    }
    front.end("msmtp", 20)
}

#[test]
fn curl_sends_by_each_mechanism() -> Result<()> {
    let mut front = Front::open()?;
    for (listener, scheme) in [("users", "smtp"), ("users-tls", "smtps")] {
        for (mechanism, secret, early, works) in [
            ("PLAIN", PASSWORD, false, true),
            ("PLAIN", PASSWORD, true, true),
            ("LOGIN", PASSWORD, false, true),
            ("LOGIN", PASSWORD, true, true),
            ("OAUTHBEARER", "", true, true),
            ("XOAUTH2", "", true, true),
            ("PLAIN", "wrong", true, false),
            ("CRAM-MD5", PASSWORD, false, false),
        ] {
            let mut command = Command::new("curl");
            command.args(["--silent", "--show-error", "--max-time", "50", "--ssl-reqd", "--cacert"]);
            command.arg(&front.certificate.chain).args(early.then_some("--sasl-ir"));
            command.arg(format!("{scheme}://localhost:{}/client.example", front.port(listener)?));
            command.args(["--resolve", &format!("localhost:{}:127.0.0.1", front.port(listener)?)]);
            command.args(["--user", &format!("{ANN}:{secret}")]);
            if secret.is_empty() {
                command.args(["--oauth2-bearer", &front.token]);
            }
            command.args(["--login-options", &format!("AUTH={mechanism}"), "--mail-from", ANN]);
            command.args(["--mail-rcpt", "bo@dest.example", "--upload-file", &front.file("mail")]);
            front.check(command, works, &format!("curl {mechanism} at {listener}, early: {early}"))?;
        }
    }
    front.end("curl", 16)
}

#[test]
fn swaks_sends_by_each_mechanism_and_each_way_to_tls() -> Result<()> {
    let mut front = Front::open()?;
    let authority = front.certificate.chain.display().to_string();
    let verified = ["--tls", "--tls-verify", "--tls-ca-path", &authority];
    let ways: [(&str, &[&str], bool); 9] = [
        ("users", &["--tls"], true),
        ("users", &["--tls-optional"], true),
        ("users", &["--tls-optional-strict"], true),
        ("users", &["--tls", "--tls-protocol", "tlsv1_2"], true),
        ("users", &["--tls", "--tls-protocol", "tlsv1_3"], true),
        ("users", &verified, true),
        ("users", &["--tls", "--tls-protocol", "tlsv1_1"], false),
        ("users-tls", &["--tls-on-connect"], true),
        // No password goes over a connection without TLS.
        ("users", &[], false),
    ];
    for (listener, way, is_way) in ways {
        for (mechanism, password, works) in [
            ("PLAIN", PASSWORD, true),
            ("LOGIN", PASSWORD, true),
            ("LOGIN", "wrong", false),
            ("CRAM-MD5", PASSWORD, false),
        ] {
            let mut command = Command::new("swaks");
            command.args([
                "--server",
                &format!("localhost:{}", front.port(listener)?),
                "--helo",
                "client.example",
            ]);
            command.args(["--auth", mechanism, "--auth-user", ANN, "--auth-password", password]);
            command.args(["--from", ANN, "--to", "bo@dest.example"]).args(way);
            front.check(command, works && is_way, &format!("swaks {way:?} {mechanism} {password}"))?;
        }
    }
    front.end("swaks", 36)
}
