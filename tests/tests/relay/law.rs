//! What the law asks: content sealed on the disk, no addresses in the log, a way out of mail to many.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_tests::api::Api;
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;
use serde_json::{Value, json};

/// True when a file below the folder has these octets.
fn is_in(folder: &Path, text: &str) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = match path.is_dir() {
            true => is_in(&path, text)?,
            false => {
                path.is_file() && fs::read(&path)?.windows(text.len()).any(|part| part == text.as_bytes())
            }
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn write_keys(relay: &Relay, numbers: &[u8], mode: u32) -> Result<()> {
    let path = relay.folder().join("body.keys");
    let keys: Vec<_> = numbers.iter().map(|number| (*number, *number)).collect();
    write_keys_of(&path, &keys)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Writes keys, each with its number and what it is made of.
fn write_keys_of(path: &Path, keys: &[(u8, u8)]) -> Result<()> {
    let line = |(number, octet): &(u8, u8)| format!("{number} {}\n", STANDARD.encode([*octet; 32]));
    Ok(fs::write(path, keys.iter().map(line).collect::<String>())?)
}

#[test]
fn content_lies_sealed_and_arrives_after_a_change_of_keys() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new()
        .with("[next_hops.kept]\nhold = \"for the test\"")
        .hop("sink", sink.address())
        .route("dest.example", "kept")
        .set("store.body_keys_file", "body.keys");
    let mut relay = Relay::prepare(settings)?;
    write_keys(&relay, &[1], 0o644)?;
    let refused = String::from_utf8_lossy(&relay.start_in_vain()?.stderr).into_owned();
    assert!(refused.contains("store.body_keys_file") && refused.contains("others can read it"), "{refused}");
    write_keys(&relay, &[1], 0o600)?;
    relay.start_again()?;
    let secret = "Subject: s\r\n\r\nnobody-finds-this-on-the-disk\r\n";
    relay.send("ada@sender.example", &["ann@dest.example"], secret.as_bytes())?;
    relay.stop()?;
    assert!(!is_in(&relay.spool(), "nobody-finds-this")?);
    write_keys(&relay, &[2], 0o600)?;
    relay.start_again()?;
    relay.said(&["queue", "reroute", "--all", "--to", "sink"])?;
    relay.said(&["queue", "release", "--all"])?;
    let lacks = "the content can not be read: its body is sealed by key 1, which store.body_keys_file lacks";
    wait::until("the queue to say so", || Ok(relay.said(&["queue", "ls"])?.contains(lacks).then_some(())))?;
    ensure!(relay.log().contains("the content can not be read, the message waits"), "{}", relay.log());
    // Another key of that number opens nothing, and costs no mail.
    let path = relay.folder().join("body.keys");
    write_keys_of(&path, &[(2, 2), (1, 9)])?;
    relay.said(&["reload"])?;
    relay.said(&["queue", "retry", "--all"])?;
    let wrong = "key 1 of store.body_keys_file does not open its body";
    wait::until("the queue to say so", || Ok(relay.said(&["queue", "ls"])?.contains(wrong).then_some(())))?;
    write_keys_of(&path, &[(2, 3)])?;
    let refused = relay.run(&["reload"])?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && told.contains("key 2 is another one than before"), "{told}");
    // The keys follow a reload, as a key that is lacking must be.
    write_keys(&relay, &[2], 0o600)?;
    relay.said(&["reload"])?;
    write_keys(&relay, &[2, 1], 0o600)?;
    relay.said(&["reload"])?;
    relay.said(&["queue", "retry", "--all"])?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.text().contains("nobody-finds-this-on-the-disk"));
    relay.wait_until_empty()
}

#[test]
fn without_keys_content_lies_as_it_is() -> Result<()> {
    let settings =
        Settings::new().with("[next_hops.kept]\nhold = \"for the test\"").route("dest.example", "kept");
    let mut relay = Relay::start(settings)?;
    relay.send("ada@sender.example", &["ann@dest.example"], b"Subject: s\r\n\r\neverybody-finds-this\r\n")?;
    relay.stop()?;
    assert!(is_in(&relay.spool(), "everybody-finds-this")?, "else the other test shows nothing");
    Ok(())
}

#[test]
fn the_log_names_nobody_where_that_is_set() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match moment.step {
        Step::Rcpt if moment.argument.starts_with("unique") => {
            Say::Line("550 5.1.1 <unique-reader@dest.example>: no such user".into())
        }
        _ => Say::Yes,
    }))?;
    let settings = Settings::new().all_to(sink.address()).set("log.addresses", "hashed");
    let relay = Relay::start(settings)?;
    relay.send(
        "unique-writer@sender.example",
        &["unique-reader@dest.example", "bo@dest.example"],
        &message::plain("x"),
    )?;
    relay.wait_until_empty()?;
    let log = relay.log();
    assert!(log.contains("h:") && log.contains("no such user"), "{log}");
    assert!(!log.contains("unique-reader") && !log.contains("unique-writer"), "{log}");
    let shown = relay.said(&["suppression", "show", "unique-reader@dest.example", "--json"])?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let hash = shown["hash"].as_str().context("a hash")?;
    assert!(log.contains(&format!("h:{hash}@dest.example")), "{hash} is not in {log}");
    Ok(())
}

/// A client that sends mail of the stream `news`.
fn newsletter(relay: &Relay) -> Result<Client> {
    fs::write(relay.folder().join("pw"), "secret\n")?;
    relay.said(&["user", "add", "news", "--sender", "*", "--stream", "news", "--password-file", "pw"])?;
    let mut client = Client::greeted(relay.listener("users")?)?;
    let answer = client.command(&format!("AUTH PLAIN {}", STANDARD.encode("\0news\0secret")))?;
    ensure!(answer.code == 235, "{answer}");
    Ok(client)
}

#[test]
fn mail_to_many_needs_a_way_out_and_an_address() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new()
        .all_to(sink.address())
        .with("[listeners.users]\naddress = \"127.0.0.1:0\"\nkind = \"submission\"\ntls = \"off\"\nauth_without_tls = true")
        .with("[streams.news]\nrequire_unsubscribe = true\nrequire_postal_address = true\npostal_address = \"Acme Inc, 1 Long Road, Town\"")
        .set("accounts.hash_memory_kib", 64)
        .set("accounts.hash_passes", 1);
    let relay = Relay::start(settings)?;
    let mut client = newsletter(&relay)?;
    let send = |client: &mut Client, fields: &str, text: &str| {
        let content = format!(
            "From: news@acme.example\r\nTo: ann@dest.example\r\nSubject: n\r\n{fields}\r\n{text}\r\n"
        );
        client.send("news@acme.example", &["ann@dest.example"], content.as_bytes())
    };
    let way_out = "List-Unsubscribe: <https://acme.example/u/1>\r\n";
    let answer = send(&mut client, "", "ACME Inc,\r\n1 Long Road, Town")?;
    assert!(answer.code == 550 && answer.text().contains("List-Unsubscribe"), "{answer}");
    let answer = send(&mut client, "List-Unsubscribe: by hand\r\n", "ACME Inc,\r\n1 Long Road, Town")?;
    assert_eq!(answer.code, 550, "{answer}");
    let answer = send(&mut client, way_out, "ACME Inc, somewhere")?;
    assert!(answer.code == 550 && answer.text().contains("postal address"), "{answer}");
    let answer = send(&mut client, way_out, "Hello\r\n\r\nACME Inc,\r\n1 Long  Road, Town\r\n")?;
    assert_eq!(answer.code, 250, "{answer}");
    let html = "Content-Type: text/html\r\n\r\n<p>Acme Inc,<br>1 Long <b>Road</b>, Town</p>";
    let answer = send(&mut client, &format!("{way_out}MIME-Version: 1.0\r\n{html}\r\n"), "")?;
    assert_eq!(answer.code, 250, "{answer}");
    sink.wait_for(2)?;
    // Mail of others is not asked for it.
    relay.send("a@sender.example", &["ann@dest.example"], &message::plain("plain"))?;
    sink.wait_for(3)?;
    Ok(())
}

#[test]
fn a_person_is_told_what_is_kept_of_it_and_forgotten() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::start(Settings::new().all_to(sink.address()).set("api.listen", "127.0.0.1:0"))?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    let acme = Api::with_token(&relay, &["--tenant", "acme", "--scope", "admin"])?;
    let reader = Api::with_token(&relay, &["--tenant", "acme", "--scope", "read"])?;
    let ann = "unique-ann@dest.example";
    let mail = json!({"from": "shop@acme.example", "to": [ann, "unique-bob@dest.example"], "text": "x"});
    let id = acme.send(&mail)?["id"].as_str().context("an id")?.to_owned();
    let own = relay.send("ada@sender.example", &[ann], &message::plain("x"))?;
    relay.wait_until_empty()?;
    relay.said(&["suppression", "add", ann, "--tenant", "acme", "--note", "rang us"])?;
    let exported: Value = serde_json::from_str(&relay.said(&["person", "export", ann])?)?;
    let count = |name: &str| exported[name].as_array().map(Vec::len);
    assert!(count("events") >= Some(4) && count("suppressions") == Some(1), "{exported}");
    // A tenant sees and forgets its own part.
    assert_eq!(reader.get(&format!("/v1/persons/{ann}"))?.status, 403);
    let seen = acme.get(&format!("/v1/persons/{ann}"))?;
    assert!(seen.status == 200 && seen.body.contains(&id) && !seen.body.contains(&own), "{seen:?}");
    let gone = acme.ask("DELETE", &format!("/v1/persons/{ann}"), &[], b"")?;
    assert_eq!((gone.status, &gone.json()?["suppressions"]), (200, &json!(1)), "{gone:?}");
    let story = acme.get(&format!("/v1/messages/{id}"))?.body;
    assert!(
        !story.contains("unique-ann") && story.contains("unique-bob") && story.contains("erased-"),
        "{story}"
    );
    assert!(format!("{:?}", relay.story(&own)?).contains("unique-ann"));
    assert!(acme.post("/v1/messages", &mail)?.status == 202, "to the other one");
    let refused =
        acme.post("/v1/messages", &json!({"from": "shop@acme.example", "to": [ann], "text": "x"}))?;
    assert!(refused.status == 422 && refused.body.contains("Nothing is sent to"), "{refused:?}");
    relay.wait_until_empty()?;
    // The operator forgets the rest: nothing on the disk has the address.
    let said = relay.said(&["person", "erase", ann])?;
    assert!(said.contains("suppression lists that it stays on"), "{said}");
    assert!(!format!("{:?}", relay.story(&own)?).contains("unique-ann"));
    relay.stop()?;
    assert!(!is_in(&relay.spool(), "unique-ann@")?);
    assert!(is_in(&relay.spool(), "unique-bob@")?, "else the look shows nothing");
    Ok(())
}

#[test]
fn content_is_kept_for_streams_that_say_so_and_for_no_others() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()).set("api.listen", "127.0.0.1:0"))?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    relay.said(&["stream", "add", "kept", "--tenant", "acme", "--bodies-days", "3"])?;
    relay.said(&["stream", "add", "gone", "--tenant", "acme"])?;
    let acme = Api::with_token(&relay, &["--tenant", "acme", "--scope", "send", "--scope", "read"])?;
    let send = |stream: &str| -> Result<String> {
        let mail = json!({"from": "a@acme.example", "to": ["b@dest.example"], "stream": stream, "text": "what it said"});
        Ok(acme.send(&mail)?["id"].as_str().context("an id")?.to_owned())
    };
    let (kept, gone) = (send("kept")?, send("gone")?);
    relay.wait_until_empty()?;
    let content = |id: &str| acme.get(&format!("/v1/messages/{id}/content"));
    let found = content(&kept)?;
    assert!(found.status == 200 && found.header("content-type") == Some("message/rfc822"), "{found:?}");
    assert!(found.body.contains("what it said") && found.body.contains("From: a@acme.example"), "{found:?}");
    assert_eq!(content(&gone)?.status, 404);
    Ok(())
}
