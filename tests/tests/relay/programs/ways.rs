//! The way in and the way out: the API over TLS, and the sources by which a stream leaves.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use baton_tests::api::Api;
use baton_tests::pki::Pki;
use baton_tests::relay::{Relay, output_within};
use baton_tests::sink::Sink;
use baton_tests::wait;
use serde_json::{Value, json};

use super::{message, settings};

#[test]
fn the_api_speaks_tls_and_nothing_else_where_it_is_asked_to() -> Result<()> {
    let (sink, pki) = (Sink::start()?, Pki::make()?);
    let issued = pki.issue(&["relay.example"])?;
    let shown = format!("[[tls.certificates]]\nchain = {:?}\nkey = {:?}", issued.chain, issued.key);
    let relay = Relay::start(settings(&sink).set("api.tls.enabled", true).with(&shown))?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    let made = relay.said(&["token", "add", "--tenant", "acme", "--scope", "send", "--json"])?;
    let made: Value = serde_json::from_str(&made)?;
    let token = made.get("token").and_then(Value::as_str).context("a token")?;
    let mail =
        json!({"from": "shop@acme.example", "to": ["ann@dest.example"], "text": "over TLS"}).to_string();
    // The request waits in a file: openssl sends it and then what it reads ends.
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: relay.example\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{mail}",
        mail.len()
    );
    let path = relay.folder().join("request");
    std::fs::write(&path, request)?;
    let address = relay.listener("api")?.to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &address, "-servername", "relay.example"]);
    command
        .args(["-verify_hostname", "relay.example", "-verify_return_error", "-CAfile"])
        .arg(pki.authority());
    let child =
        command.stdin(std::fs::File::open(&path)?).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let output = child.wait_with_output()?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(answer.starts_with("HTTP/1.1 202"), "{answer} {}", String::from_utf8_lossy(&output.stderr));
    let received = sink.wait_for(1)?.pop().context("a message")?;
    ensure!(received.text().contains("over TLS"));
    // Who speaks plain HTTP there is answered nothing of it.
    ensure!(Api::of(&relay)?.get("/v1/openapi.json").is_err());
    let mut wrong = Command::new("openssl");
    wrong.args(["s_client", "-brief", "-connect", &address, "-tls1_1"]).stdin(Stdio::null());
    let wrong = output_within(wrong, wait::LONG)?;
    ensure!(!wrong.status.success(), "no version that is broken");
    Ok(())
}

#[test]
fn a_stream_leaves_by_the_pool_that_its_operator_chose() -> Result<()> {
    let sink = Sink::start()?;
    let pools = "[sources.a]\naddresses = [\"127.0.0.2\"]\nehlo = \"out1.example\"\n\
         [sources.b]\naddresses = [\"127.0.0.3\"]\nehlo = \"out2.example\"\n\
         [pools.default]\nsources = { a = 1 }\n[pools.codes]\nsources = { b = 1 }";
    let relay = Relay::start(settings(&sink).with(pools))?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    for (stream, pool) in [("receipts", ""), ("codes", "codes")] {
        relay.said(&["stream", "add", stream, "--tenant", "acme", "--pool", pool])?;
    }
    let api = Api::with_token(&relay, &["--tenant", "acme", "--scope", "admin"])?;
    let send = |stream: &str| {
        let mut mail = message();
        mail.as_object_mut()
            .context("an object")?
            .extend([("stream".to_owned(), json!(stream)), ("subject".to_owned(), json!(stream))]);
        api.send(&mail)
    };
    send("receipts")?;
    send("codes")?;
    let left = |count: usize| -> Result<Vec<(String, String)>> {
        let received = sink.wait_for(count)?;
        let one = |message: &baton_tests::sink::Received| {
            Ok((message.header("Subject").context("a subject")?, message.helo.clone()))
        };
        let mut left = received.iter().map(one).collect::<Result<Vec<_>>>()?;
        left.sort();
        Ok(left)
    };
    let of = |stream: &str, helo: &str| (stream.to_owned(), helo.to_owned());
    ensure!(left(2)? == [of("codes", "out2.example"), of("receipts", "out1.example")], "{:?}", left(2)?);
    // It is the operator's to choose, and followed at once.
    let reply = api.ask("PATCH", "/v1/streams/receipts", &[], br#"{"pool": "codes"}"#)?;
    ensure!(reply.status == 422 && reply.fields()? == ["pool"], "{reply:?}");
    relay.said(&["stream", "set", "receipts", "--tenant", "acme", "--pool", "codes"])?;
    send("receipts")?;
    let moved = left(3)?.into_iter().filter(|one| *one == of("receipts", "out2.example")).count();
    ensure!(moved == 1);
    Ok(())
}
