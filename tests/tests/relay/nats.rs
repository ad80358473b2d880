//! Events published to a real NATS server, where JetStream stores them.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use async_nats::ConnectOptions;
use baton_tests::api::Api;
use baton_tests::message;
use baton_tests::nats::{Credentials, NatsServer};
use baton_tests::pki::Pki;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;
use nkeys::KeyPair;
use serde_json::{Value, json};

fn settings(sink: &Sink, address: &str) -> Settings {
    Settings::new()
        .all_to(sink.address())
        .set("events.nats.all.servers", vec![format!("nats://{address}")])
        .set("events.nats.all.retry_first_ms", 100)
        .set("events.nats.all.retry_max_ms", 500)
}

/// What the relay itself tells, in order.
fn told(relay: &Relay) -> Result<Vec<Value>> {
    relay.said(&["events"])?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn follower(relay: &Relay) -> Result<String> {
    let said = relay.said(&["followers"])?;
    Ok(said.lines().find(|line| line.starts_with("nats/all ")).context(said.clone())?.to_owned())
}

/// Waits until the follower says this.
fn until_it_says(relay: &Relay, words: &str) -> Result<String> {
    wait::until(words, || Ok(Some(follower(relay)?).filter(|line| line.contains(words))))
        .with_context(|| format!("{:?}\n{}", follower(relay), relay.log()))
}

/// Waits until all that happened is in the stream, and compares: nothing is lost, nothing is there twice, all is in order.
fn compare(relay: &Relay, server: &NatsServer) -> Result<()> {
    relay.wait_until_empty()?;
    let told = wait::until("all events in the stream", || {
        let told = told(relay)?;
        Ok((server.count()? >= told.len() as u64).then_some(told))
    })
    .with_context(|| format!("{:?}\n{}", follower(relay), relay.log()))?;
    let stored = server.messages()?;
    ensure!(!told.is_empty() && told.len() == stored.len(), "{} told, {} stored", told.len(), stored.len());
    for (event, stored) in told.iter().zip(&stored) {
        assert_eq!(stored.event, *event);
        let kind = event["type"].as_str().context("a type")?;
        assert!(stored.subject.ends_with(&format!(".{kind}")), "{stored:?}");
    }
    Ok(())
}

#[test]
fn events_are_stored_by_jetstream_under_their_subjects() -> Result<()> {
    let (sink, server) = (Sink::start()?, NatsServer::start()?);
    server.make_stream("baton.>")?;
    let relay = Relay::start(settings(&sink, &server.address()).set("api.listen", "127.0.0.1:0"))?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    relay.said(&["stream", "add", "news", "--tenant", "acme"])?;
    let api = Api::with_token(&relay, &["--tenant", "acme", "--scope", "send"])?;
    let mail = json!({"from": "a@acme.example", "to": ["ann@dest.example"], "stream": "news", "subject": "s", "text": "t"});
    api.send(&mail)?;
    relay.send("a@sender.example", &["b@dest.example", "c@dest.example"], &message::plain("x"))?;
    compare(&relay, &server)?;
    let messages = server.messages()?;
    let subjects: Vec<_> = messages.iter().map(|one| one.subject.as_str()).collect();
    assert!(subjects.contains(&"baton.acme.news.delivered"), "{subjects:?}");
    assert!(subjects.contains(&"baton.-.-.accepted"), "{subjects:?}");
    let line = follower(&relay)?;
    assert!(line.contains("well; ") && line.contains(" taken since the start, 0 records behind"), "{line}");
    let metrics = relay.metrics()?;
    let count = format!("baton_nats_published_total{{name=\"all\"}} {}", messages.len());
    assert!(
        metrics.contains(&count) && metrics.contains("baton_nats_connected{name=\"all\"} 1"),
        "{metrics}"
    );
    // Another relay counts its events by the same numbers; to the stream they are others.
    let other = Relay::start(settings(&sink, &server.address()))?;
    other.send("a@sender.example", &["b@dest.example"], &message::plain("x"))?;
    other.wait_until_empty()?;
    let wanted = messages.len() + told(&other)?.len();
    wait::until("the events of both", || Ok((server.count()? >= wanted as u64).then_some(())))?;
    Ok(())
}

#[test]
fn a_server_that_restarts_amid_mail_misses_nothing_and_stores_nothing_twice() -> Result<()> {
    let (sink, mut server) = (Sink::start()?, NatsServer::start()?);
    server.make_stream("baton.>")?;
    let mut relay = Relay::start(settings(&sink, &server.address()))?;
    let send = |relay: &Relay, from: usize, to: usize| -> Result<()> {
        let mut client = relay.client()?;
        for number in from..to {
            let answer =
                client.send("a@sender.example", &["b@dest.example"], &message::plain(&number.to_string()))?;
            ensure!(answer.code == 250, "{answer}");
        }
        Ok(())
    };
    for round in 0..3 {
        std::thread::scope(|scope| -> Result<()> {
            let relay = &relay;
            let sending = scope.spawn(move || send(relay, round * 100, (round + 1) * 100));
            wait::until("some events in the stream", || {
                Ok((server.count()? > round as u64 * 200 + 20).then_some(()))
            })?;
            server.stop()?;
            std::thread::sleep(wait::QUIET);
            server.start_again()?;
            sending.join().map_err(|_| anyhow::anyhow!("sending panicked"))?
        })?;
    }
    compare(&relay, &server)?;
    // And the relay itself, with events that the server has not seen.
    server.stop()?;
    send(&relay, 300, 320)?;
    relay.wait_until_empty()?;
    relay.kill()?;
    relay.start_again()?;
    server.start_again()?;
    compare(&relay, &server)?;
    assert!(relay.log().contains("events are published again"), "{}", relay.log());
    assert_eq!(sink.messages().len(), 320);
    Ok(())
}

#[test]
fn a_server_that_is_away_or_has_no_stream_costs_mail_nothing_and_is_told() -> Result<()> {
    let (sink, mut server) = (Sink::start()?, NatsServer::start()?);
    server.stop()?;
    // One of the servers is never there: the other will do.
    let both = vec!["nats://127.0.0.1:9".to_owned(), format!("nats://{}", server.address())];
    let relay = Relay::start(settings(&sink, &server.address()).set("events.nats.all.servers", both))?;
    let begun = Instant::now();
    for number in 0..20 {
        relay.send("a@sender.example", &["b@dest.example"], &message::plain(&number.to_string()))?;
    }
    relay.wait_until_empty()?;
    ensure!(begun.elapsed() < wait::LONG / 4, "{:?}", begun.elapsed());
    assert!(until_it_says(&relay, "refused")?.contains("FAILING since"));
    assert!(relay.metrics()?.contains("baton_nats_connected{name=\"all\"} 0"));
    server.start_again()?;
    until_it_says(&relay, "baton.-.-.accepted: no stream of the server takes the subject")?;
    server.make_stream("baton.>")?;
    compare(&relay, &server)?;
    // Also while there is nothing to publish.
    server.stop()?;
    until_it_says(&relay, "FAILING since")?;
    server.start_again()?;
    until_it_says(&relay, "well; ")?;
    Ok(())
}

#[test]
fn what_the_server_does_not_allow_is_told() -> Result<()> {
    let sink = Sink::start()?;
    let rights = "authorization { users: [
        { user: all, password: s3cret }
        { user: relay, password: s3cret, permissions: { publish: \"other.>\", subscribe: \"_INBOX.>\" } }
    ] }";
    let all = || ConnectOptions::with_user_and_password("all".into(), "s3cret".into());
    let server = NatsServer::with(rights, all)?;
    server.make_stream("baton.>")?;
    let relay = Relay::prepare(Settings::new())?;
    fs::write(relay.folder().join("secret"), "s3cret\n")?;
    let login = "[events.nats.all]\nuser = \"relay\"\npassword = { file = \"secret\" }\n";
    relay.write_settings(settings(&sink, &server.address()).with(login))?;
    let mut relay = relay;
    relay.start_again()?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("x"))?;
    let line = until_it_says(&relay, "ermissions")?;
    assert!(line.contains("baton.-.-.accepted"), "{line}");
    Ok(())
}

/// One way to log in: what the server is set to, how a test gets in, the keys of the relay, and what its file `secret` has.
struct Way {
    name: &'static str,
    server: String,
    options: Box<dyn Fn() -> ConnectOptions>,
    keys: &'static str,
    wrong: String,
    right: String,
}

fn ways() -> Result<Vec<Way>> {
    let (pki, other) = (Pki::make()?, Pki::make()?);
    let own = pki.issue(&["localhost", "127.0.0.1"])?;
    let tls =
        format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", own.chain.display(), own.key.display());
    let (key, accounts) = (KeyPair::new_user(), Credentials::make()?);
    let (seed, text, authority) = (key.seed()?, accounts.text.clone(), fs::read_to_string(pki.authority())?);
    Ok(vec![
        Way {
            name: "password",
            server: "authorization { user: relay, password: s3cret }".to_owned(),
            options: Box::new(|| ConnectOptions::with_user_and_password("relay".into(), "s3cret".into())),
            keys: "user = \"relay\"\npassword = { file = \"secret\" }\n",
            wrong: "gu3ssed\n".to_owned(),
            right: "s3cret\n".to_owned(),
        },
        Way {
            name: "token",
            server: "authorization { token: s3cret }".to_owned(),
            options: Box::new(|| ConnectOptions::with_token("s3cret".into())),
            keys: "token = { file = \"secret\" }\n",
            wrong: "gu3ssed\n".to_owned(),
            right: "s3cret\n".to_owned(),
        },
        Way {
            name: "nkey",
            server: format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key()),
            options: Box::new(move || ConnectOptions::with_nkey(seed.clone())),
            keys: "nkey = { file = \"secret\" }\n",
            wrong: KeyPair::new_user().seed()?,
            right: key.seed()?,
        },
        Way {
            name: "credentials",
            server: accounts.server,
            options: Box::new(move || ConnectOptions::with_credentials(&text).expect("they were just made")),
            keys: "credentials_file = \"secret\"\n",
            wrong: Credentials::make()?.text,
            right: accounts.text,
        },
        Way {
            name: "tls",
            server: tls,
            options: Box::new(move || ConnectOptions::new().add_root_certificates(pki.authority())),
            keys: "tls_ca_file = \"secret\"\n",
            wrong: fs::read_to_string(other.authority())?,
            right: authority,
        },
    ])
}

#[test]
fn logins_and_certificates() -> Result<()> {
    let sink = Sink::start()?;
    for Way { name, server, options, keys, wrong, right } in ways()? {
        let server = NatsServer::with(&server, options)?;
        server.make_stream("baton.>")?;
        let scheme = if name == "tls" { "tls" } else { "nats" };
        let servers = vec![format!("{scheme}://{}", server.address())];
        let keys = format!("[events.nats.all]\n{keys}");
        let mut relay =
            Relay::prepare(settings(&sink, "").set("events.nats.all.servers", servers).with(&keys))?;
        fs::write(relay.folder().join("secret"), &wrong)?;
        relay.start_again()?;
        relay.send("a@sender.example", &["b@dest.example"], &message::plain(name))?;
        let reason = if name == "tls" { "certificate" } else { "the server does not accept the login" };
        let line = until_it_says(&relay, reason)?;
        let log = relay.log();
        assert!(line.contains("FAILING") && log.contains(reason), "{name}: {line} {log}");
        let is_told = |secret: &str| line.contains(secret) || log.contains(secret);
        assert!(!wrong.lines().any(|secret| secret.len() > 5 && is_told(secret)), "{name}: {line} {log}");
        assert_eq!(server.count()?, 0, "{name}");
        // The right one is read without a restart, but for authorities.
        fs::write(relay.folder().join("secret"), right)?;
        if name == "tls" {
            relay.stop()?;
            relay.start_again()?;
        }
        compare(&relay, &server).with_context(|| name.to_owned())?;
    }
    Ok(())
}

#[test]
fn settings_that_can_not_work_are_refused_by_key() -> Result<()> {
    let relay = Relay::prepare(Settings::new())?;
    for (keys, wanted) in [
        ("", ["events.nats.all.servers", "is missing"]),
        ("servers = [\"http://a.example\"]", ["events.nats.all.servers", "only nats:// and tls://"]),
        ("servers = [\"nats://u:s3cret@127.0.0.1\"]", ["events.nats.all.servers", "keys of their own"]),
        ("subject = \"a..{type}\"", ["events.nats.all.subject", "is empty"]),
        ("subject = \"a.*\"", ["events.nats.all.subject", "no blank"]),
        ("subject = \"a.{recipient}\"", ["events.nats.all.subject", "{recipient}"]),
        ("user = \"relay\"", ["events.nats.all", "one way to log in"]),
        ("token = { file = \"t\" }\nnkey = { file = \"n\" }", ["events.nats.all", "one way to log in"]),
        ("token = { file = \"t\", env = \"T\" }", ["events.nats.all.token", "exactly one source"]),
        (
            "servers = [\"nats://nats.example\"]\ntoken = { file = \"t\" }",
            ["events.nats.all.servers", "plain text"],
        ),
        ("tls_ca_file = \"nowhere.pem\"", ["events.nats.all.tls_ca_file", "nowhere.pem"]),
        ("tls_key = \"key.pem\"", ["events.nats.all.tls_certificate", "with its key"]),
        ("kinds = [\"explosions\"]", ["events.nats.all.kinds", "explosions"]),
        ("streams = [\"news\"]", ["events.nats.all.streams", "set tenant too"]),
        ("unacknowledged_max = 0", ["events.nats.all.unacknowledged_max", "0"]),
        ("sbject = \"a\"", ["events.nats.all.sbject", "subject"]),
    ] {
        let servers = if keys.is_empty() || keys.contains("servers") {
            ""
        } else {
            "servers = [\"nats://127.0.0.1\"]\n"
        };
        relay.write_settings(Settings::new().with(&format!("[events.nats.all]\n{servers}{keys}\n")))?;
        let output = relay.run(&["check"])?;
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && !said.contains("s3cret"), "{keys}: {said}");
        for words in wanted {
            assert!(said.contains(words), "{keys}: {said}");
        }
    }
    Ok(())
}
