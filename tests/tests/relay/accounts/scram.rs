//! SCRAM-SHA-256, bound to its connection and not, by a client of our own and by others'.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::{digest, hmac, pbkdf2};
use baton_tests::client::{Answer, Client};
use baton_tests::relay::Relay;
use baton_tests::sink::Sink;
use rsasl::prelude::{Mechname, SASLClient, SASLConfig, State};

use super::*;

/// What a client knows between its two messages.
struct Exchange {
    header: String,
    bare: String,
    channel: Vec<u8>,
}

impl Exchange {
    fn begin(flag: &str, name: &str, channel: &[u8]) -> Exchange {
        Exchange {
            header: format!("{flag},,"),
            bare: format!("n={name},r=fyko+d2lbbFgONRv9qkxdawL"),
            channel: channel.to_vec(),
        }
    }

    fn first(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }

    /// The last message, and what the server must answer to it.
    fn proof(&self, server_first: &str, password: &str) -> Result<(String, String)> {
        let field = |name: &str| {
            let found = server_first.split(',').find_map(|field| field.strip_prefix(name));
            found.with_context(|| format!("no {name} in {server_first}"))
        };
        let salt = STANDARD.decode(field("s=")?)?;
        let mut salted = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            field("i=")?.parse()?,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let sign = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
        };
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let bound = base64([self.header.as_bytes(), &self.channel].concat());
        let without_proof = format!("c={bound},r={}", field("r=")?);
        let message = format!("{},{server_first},{without_proof}", self.bare);
        let signature = sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(one, other)| one ^ other).collect();
        let server = sign(&sign(&salted, b"Server Key"), message.as_bytes());
        Ok((format!("{without_proof},p={}", base64(proof)), format!("v={}", base64(server))))
    }
}

fn decoded(answer: &Answer) -> Result<String> {
    ensure!(answer.code == 334, "{answer}");
    Ok(String::from_utf8(STANDARD.decode(answer.text())?)?)
}

/// The whole exchange; the answer that ends it. `say` sends a line and reads the answer.
fn authenticate(
    mut say: impl FnMut(&str) -> Result<Answer>,
    mechanism: &str,
    exchange: &Exchange,
    password: &str,
) -> Result<Answer> {
    let answer = say(&format!("AUTH {mechanism} {}", base64(exchange.first())))?;
    if answer.code != 334 {
        return Ok(answer);
    }
    let (last, expected) = exchange.proof(&decoded(&answer)?, password)?;
    let answer = say(&base64(last))?;
    if answer.code != 334 {
        return Ok(answer);
    }
    let proof = decoded(&answer)?;
    ensure!(proof == expected, "the server proves nothing: {proof}");
    say("")
}

fn over(client: &mut Client) -> impl FnMut(&str) -> Result<Answer> + '_ {
    |line| client.command(line)
}

#[test]
fn scram_proves_both_sides() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink).set("session.auth_failures_max", 100))?;
    add(&relay, "ann,=@one.example", "tanst\u{e4}af", &["--sender", "*"])?;
    let mut client = client(&relay)?;
    let ann = Exchange::begin("n", "Ann=2C=3D@one.example", b"");
    let answer = authenticate(over(&mut client), "SCRAM-SHA-256", &ann, "tanst\u{e4}af")?;
    assert_eq!(answer.code, 235, "{answer}");
    let sent = client.send("a@one.example", &["bo@dest.example"], &message("a@one.example"))?;
    assert_eq!(sent.code, 250, "{sent}");
    assert!(sink.wait_for(1)?[0].text().contains(" with ESMTPA "));
    let metrics = relay.metrics()?;
    assert!(metrics.contains("{mechanism=\"SCRAM-SHA-256\",result=\"ok\"} 1"), "{metrics}");
    // A new password has new keys, and a disabled account proves nothing.
    assert!(user(&relay, &["passwd", "ann,=@one.example", "--password-file", "-"], "new")?.status.success());
    for (password, code) in [("tanst\u{e4}af", 535), ("new", 235)] {
        let answer = authenticate(over(&mut super::client(&relay)?), "SCRAM-SHA-256", &ann, password)?;
        assert_eq!(answer.code, code, "{answer}");
    }
    relay.said(&["user", "disable", "ann,=@one.example"])?;
    let answer = authenticate(over(&mut super::client(&relay)?), "SCRAM-SHA-256", &ann, "new")?;
    assert!(answer.code == 535 && answer.text().starts_with("5.7.8"), "{answer}");
    Ok(())
}

#[test]
fn nobody_learns_which_accounts_there_are() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::start(settings(&sink).set("session.auth_failures_max", 100))?;
    add(&relay, "ann", "tanstaaf", &["--sender", "*"])?;
    let salt = |relay: &Relay, name: &str| -> Result<String> {
        let first = Exchange::begin("n", name, b"").first();
        let answer = client(relay)?.command(&format!("AUTH SCRAM-SHA-256 {}", base64(first)))?;
        let said = decoded(&answer)?;
        let fields: Vec<_> = said.split(',').skip(1).map(str::to_owned).collect();
        Ok(fields.join(","))
    };
    let (ann, nobody) = (salt(&relay, "ann")?, salt(&relay, "nobody")?);
    assert_eq!(ann.len(), nobody.len(), "{ann} {nobody}");
    assert!(nobody != salt(&relay, "somebody")? && nobody.ends_with(",i=4096"));
    // The salt of nobody stays, as ann's does, also over a restart.
    relay.stop()?;
    relay.start_again()?;
    assert_eq!((salt(&relay, "ann")?, salt(&relay, "NOBODY")?), (ann, nobody));
    let mut client = client(&relay)?;
    let (nobody, ann) = (Exchange::begin("n", "nobody", b""), Exchange::begin("n", "ann", b""));
    let unknown = authenticate(over(&mut client), "SCRAM-SHA-256", &nobody, "tanstaaf")?;
    let wrong = authenticate(over(&mut client), "SCRAM-SHA-256", &ann, "wrong")?;
    assert_eq!(unknown, wrong);
    assert_eq!(wrong.code, 535);
    Ok(())
}

#[test]
fn scram_messages_that_are_none() -> Result<()> {
    let sink = Sink::start()?;
    let relay =
        Relay::start(settings(&sink).set("session.auth_failures_max", 100).set("session.errors_max", 100))?;
    add(&relay, "ann", "tanstaaf", &["--sender", "*"])?;
    let mut client = client(&relay)?;
    for (first, code) in [
        ("", 501),
        ("n", 501),
        ("n,,n=ann", 501),
        ("n,,n=,r=abc", 501),
        ("n,,n=a=nn,r=abc", 501),
        ("n,,n=ann,r=", 501),
        ("x,,n=ann,r=abc", 501),
        ("n,,m=must,n=ann,r=abc", 535),
        ("n,a=root,n=ann,r=abc", 535),
        ("p=tls-unique,,n=ann,r=abc", 535),
        ("p=tls-exporter,,n=ann,r=abc", 535),
    ] {
        client.expect("AUTH SCRAM-SHA-256", 334)?;
        let answer = client.command(&base64(first))?;
        assert_eq!(answer.code, code, "{first:?}: {answer}");
    }
    for (last, code) in [
        ("", 501),
        ("c=biws", 501),
        ("c=biws,r=abc,p=eA==", 501),
        ("c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 535),
    ] {
        let first = Exchange::begin("n", "ann", b"").first();
        client.expect(&format!("AUTH SCRAM-SHA-256 {}", base64(first)), 334)?;
        let answer = client.command(&base64(last))?;
        assert_eq!(answer.code, code, "{last:?}: {answer}");
    }
    // Cancelled in the middle, too long in the middle, and then as it should be.
    let ann = Exchange::begin("n", "ann", b"");
    client.expect(&format!("AUTH SCRAM-SHA-256 {}", base64(ann.first())), 334)?;
    client.expect("*", 501)?;
    client.expect(&format!("AUTH SCRAM-SHA-256 {}", base64(ann.first())), 334)?;
    assert_eq!(client.command(&"A".repeat(13_000))?.code, 500);
    // Not offered without TLS.
    assert_eq!(client.command(&format!("AUTH SCRAM-SHA-256-PLUS {}", base64(ann.first())))?.code, 504);
    assert_eq!(authenticate(over(&mut client), "SCRAM-SHA-256", &ann, "tanstaaf")?.code, 235);
    // The proof is right, and the client does not end the exchange as it should.
    let mut client = super::client(&relay)?;
    let first = decoded(&client.command(&format!("AUTH SCRAM-SHA-256 {}", base64(ann.first())))?)?;
    client.expect(&base64(ann.proof(&first, "tanstaaf")?.0), 334)?;
    client.expect(&base64("more"), 501)?;
    client.expect("MAIL FROM:<a@one.example>", 530)?;
    Ok(())
}

#[test]
fn the_client_of_rsasl_authenticates() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    add(&relay, "ann@one.example", "tanstaaf", &[])?;
    for (password, expected) in [("tanstaaf", 235), ("wrong", 535)] {
        let config = SASLConfig::with_credentials(None, "ann@one.example".to_owned(), password.to_owned())?;
        let offered = [Mechname::parse(b"SCRAM-SHA-256")?];
        let mut session = SASLClient::new(config).start_suggested(&offered)?;
        let mut client = client(&relay)?;
        let mut said = Vec::new();
        session.step(None, &mut said)?;
        let mut answer = client.command(&format!("AUTH SCRAM-SHA-256 {}", base64(&said)))?;
        while answer.code == 334 {
            said.clear();
            let challenge = STANDARD.decode(answer.text())?;
            let state = session.step(Some(&challenge), &mut said)?;
            ensure!(matches!(state, State::Running | State::Finished(_)), "unexpected state");
            answer = client.command(&base64(&said))?;
        }
        assert_eq!(answer.code, expected, "{answer}");
    }
    Ok(())
}

/// A client in Python around OpenSSL's s_client, which tells what the connection exports; argv: port, version of TLS, user,
/// password. It prints the offer and the last answer.
const BOUND: &str = include_str!("bound.py");

#[test]
fn scram_plus_is_bound_to_tls_1_3_by_openssl() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(
        settings(&sink).with("[listeners.tls]\naddress = \"127.0.0.1:0\"\nkind = \"submissions\""),
    )?;
    add(&relay, "ann@one.example", "tanstaaf", &[])?;
    let port = relay.listener("tls")?.port().to_string();
    let run = |version: &str, way: &str| -> Result<String> {
        let mut command = Command::new("python3");
        command.args(["-c", BOUND, &port, version, "ann@one.example", "tanstaaf", way]);
        let output = baton_tests::relay::output_within(command, baton_tests::wait::LONG)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let said = run("-tls1_3", "bound")?;
    assert!(
        said.contains("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN") && said.contains("235 2.7.0"),
        "{said}"
    );
    // The keys of another connection, and a client that was made to believe that we know no binding.
    assert!(run("-tls1_3", "other")?.contains("535 5.7.8"));
    assert!(run("-tls1_3", "downgraded")?.contains("535 5.7.8"));
    // One that knows none itself may go on without.
    assert!(run("-tls1_3", "unbound")?.contains("235 2.7.0"));
    // Below TLS 1.3 there is nothing to be bound to.
    let said = run("-tls1_2", "downgraded")?;
    assert!(!said.contains("PLUS") && said.contains("235 2.7.0"), "{said}");
    Ok(())
}
