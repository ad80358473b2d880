//! Delivery to a web server: what it is sent, how that is signed, and what its answers come to.

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_tests::message;
use baton_tests::pki::Pki;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::vault::{Page, Vault};
use baton_tests::web::{Asked, Web};
use baton_tests::zone::Zone;
use serde_json::Value;

const KEY: [u8; 24] = [7; 24];

/// A relay whose mail all goes to this URL.
fn posting_to(url: &str, settings: Settings) -> Result<Relay> {
    let mut relay = Relay::prepare(Settings::new())?;
    std::fs::write(relay.folder().join("secret"), format!("whsec_{}\n", STANDARD.encode(KEY)))?;
    let settings = settings
        .set("next_hops.app.http", url)
        .set("next_hops.app.http_secret.file", "secret")
        .route("*", "app");
    relay.write_settings(settings)?;
    relay.start_again()?;
    Ok(relay)
}

/// The parts of the form, after the signature was checked.
fn parts(asked: &Asked) -> Result<(Value, String)> {
    let header = |name: &str| asked.header(name).context(format!("no {name}"));
    let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
    let signed = [format!("{id}.{time}.").as_bytes(), &asked.body].concat();
    let signature = header("webhook-signature")?.strip_prefix("v1,").context("v1")?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &KEY);
    hmac::verify(&key, &signed, &STANDARD.decode(signature)?).context("the signature")?;
    let (_, boundary) = header("content-type")?.split_once("boundary=").context("a boundary")?;
    let (text, line) = (asked.text(), format!("--{boundary}"));
    let mut parts = text.split(&line);
    let mut content = |name: &str| {
        let part = parts.find(|part| part.contains(&format!("name=\"{name}\""))).context("a part")?;
        let (_, content) = part.split_once("\r\n\r\n").context("content")?;
        Ok::<_, anyhow::Error>(content.strip_suffix("\r\n").context("its end")?.to_owned())
    };
    Ok((serde_json::from_str(&content("envelope")?)?, content("message")?))
}

#[test]
fn a_message_is_posted_with_its_envelope_and_signed() -> Result<()> {
    let web = Web::start(|_, _| (202, String::new()))?;
    let relay = posting_to(&web.url("/mail?team=a"), Settings::new())?;
    let id = relay.send(
        "ada@sender.example",
        &["bo@dest.example", "cy@dest.example"],
        &message::plain("posted"),
    )?;
    let delivered = relay.wait_for_event(&id, "delivered")?;
    assert_eq!(delivered.pointer("/status/text").and_then(Value::as_str), Some("HTTP 202"), "{delivered}");
    let asked = web.wait_for(1)?;
    let [asked] = asked.as_slice() else { anyhow::bail!("{asked:?}") };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/mail?team=a"));
    let (envelope, content) = parts(asked)?;
    assert_eq!(envelope["sender"], "ada@sender.example");
    assert_eq!(envelope["recipients"], serde_json::json!(["bo@dest.example", "cy@dest.example"]));
    assert_eq!((&envelope["id"], &envelope["attempt"]), (&Value::from(id.as_str()), &Value::from(1)));
    assert!(content.starts_with("Received: ") && content.contains("\r\nSubject: posted\r\n"), "{content}");
    Ok(())
}

#[test]
fn what_the_server_refuses_for_good_goes_back_and_the_rest_is_tried_again() -> Result<()> {
    let web = Web::start(|asked, before| match (asked.text().contains("refused"), before) {
        (true, _) => (422, "{}".to_owned()),
        (false, 0..=1) => (429, "{}".to_owned()),
        (false, _) => (200, "{}".to_owned()),
    })?;
    let relay = posting_to(&web.url("/"), Settings::new())?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("later"))?;
    relay.wait_for_event(&id, "delivered")?;
    let asked = web.asked();
    assert_eq!(asked.len(), 3);
    // The same delivery has the same name each time, so that the server can tell.
    assert!(asked.iter().all(|one| one.header("webhook-id") == asked[0].header("webhook-id")));
    let id = relay.send("", &["bo@dest.example"], &message::plain("refused"))?;
    let failed = relay.wait_for_event(&id, "failed")?;
    assert_eq!(failed.pointer("/status/text").and_then(Value::as_str), Some("HTTP 422"), "{failed}");
    Ok(())
}

#[test]
fn over_https_the_certificate_counts_and_so_does_the_time_that_the_server_names() -> Result<()> {
    let (pki, vault) = (Pki::make()?, Vault::start()?);
    let page = Page {
        head: "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Type: text/plain".to_owned(),
        body: b"not now".to_vec(),
    };
    vault.host("app.test", &pki.issue(&["app.test"])?, page.clone())?;
    vault.host("wrong.test", &pki.issue(&["other.test"])?, page)?;
    let zone = Zone::serve("app.test. 60 IN A 127.0.0.1\nwrong.test. 60 IN A 127.0.0.1\n")?;
    let settings = || {
        Settings::new()
            .names_from(zone.address())
            .set("http.ca_file", pki.authority().display().to_string())
            .set("http.allowed_networks", vec![toml::Value::from("127.0.0.0/8")])
    };
    let relay = posting_to(&format!("https://app.test:{}/", vault.address().port()), settings())?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("busy"))?;
    let deferred = relay.wait_for_event(&id, "deferred")?;
    assert_eq!(
        deferred.pointer("/status/text").and_then(Value::as_str),
        Some("HTTP 503 not now"),
        "{deferred}"
    );
    let story = relay.story(&id)?;
    let first = story.iter().find_map(|event| event.get("at")?.as_u64()).context("a time")?;
    let next = deferred.get("next_attempt").and_then(Value::as_u64).context("a next attempt")?;
    assert!(next >= first + 3_600_000, "{deferred}");
    drop(relay);
    let relay = posting_to(&format!("https://wrong.test:{}/", vault.address().port()), settings())?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("wrong"))?;
    let deferred = relay.wait_for_event(&id, "deferred")?;
    assert!(deferred.to_string().contains("certificate"), "{deferred}");
    assert!(vault.asked("wrong.test").is_empty());
    Ok(())
}

#[test]
fn without_secret_or_protection_the_settings_are_refused() -> Result<()> {
    let relay = Relay::prepare(
        Settings::new()
            .set("next_hops.bare.http", "https://app.example/")
            .set("next_hops.plain.http", "http://app.example/")
            .set("next_hops.plain.http_secret.env", "SECRET"),
    )?;
    let output = relay.run(&["check"])?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("next_hops.bare.http_secret") && said.contains("there is no secret"), "{said}");
    assert!(said.contains("next_hops.plain.http") && said.contains("write https://"), "{said}");
    Ok(())
}
