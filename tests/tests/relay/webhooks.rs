//! Webhooks: what is posted to whom, how that is signed, and that nothing is lost when an endpoint is in trouble.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;
use baton_tests::web::{Asked, Web};
use serde_json::Value;

fn relay(sink: &Sink) -> Result<Relay> {
    let settings = Settings::new()
        .all_to(sink.address())
        .set("webhooks.allowed_networks", vec![toml::Value::from("127.0.0.0/8")])
        .set("webhooks.retry_first_ms", 50)
        .set("webhooks.retry_max_ms", 200)
        .set("webhooks.batch_ms", 20);
    Relay::start(settings)
}

/// Adds an endpoint; returns its secret.
fn add(relay: &Relay, name: &str, url: &str) -> Result<String> {
    let body = format!("{{\"url\":\"{url}\"}}");
    let (status, answer) = relay.admin_raw("PUT", &format!("/v1/webhooks/{name}"), &body)?;
    ensure!(status == 201, "{status} {answer}");
    let view: Value = serde_json::from_str(&answer)?;
    Ok(view.get("secret").and_then(Value::as_str).context("the secret")?.to_owned())
}

/// The events of a post, after a signature of this secret was checked.
fn posted(asked: &Asked, secret: &str) -> Result<Vec<Value>> {
    let header = |name: &str| asked.header(name).context(format!("no {name}"));
    let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
    let signed = [format!("{id}.{time}.").as_bytes(), &asked.body].concat();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").context("whsec_")?)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let is_of_key = |one: &str| {
        let code = one.strip_prefix("v1,").and_then(|code| STANDARD.decode(code).ok());
        code.is_some_and(|code| hmac::verify(&key, &signed, &code).is_ok())
    };
    ensure!(header("webhook-signature")?.split(' ').any(is_of_key), "no signature of the secret");
    let body: Value = serde_json::from_slice(&asked.body)?;
    Ok(body.get("data").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn all_posted(web: &Web, secret: &str) -> Result<Vec<Value>> {
    let mut events = Vec::new();
    for asked in web.asked() {
        events.extend(posted(&asked, secret)?);
    }
    Ok(events)
}

fn ids(events: &[Value]) -> HashSet<String> {
    events.iter().filter_map(|event| Some(event["id"].as_str()?.to_owned())).collect()
}

#[test]
fn events_are_posted_signed_and_by_the_filter() -> Result<()> {
    let (sink, web) = (Sink::start()?, Web::start(|_, _| (204, String::new()))?);
    let relay = relay(&sink)?;
    relay.send("ada@sender.example", &["before@dest.example"], &message::plain("x"))?;
    relay.wait_until_empty()?;
    let secret = add(&relay, "all", &web.url("/hook"))?;
    let id =
        relay.send("ada@sender.example", &["bo@dest.example", "cy@dest.example"], &message::plain("x"))?;
    let events = wait::until("four events", || {
        Ok(Some(all_posted(&web, &secret)?).filter(|events| events.len() >= 4))
    })?;
    let told: Vec<_> =
        events.iter().map(|event| (event["type"].clone(), event["recipient"].clone())).collect();
    for (kind, recipient) in [("accepted", "bo@dest.example"), ("delivered", "cy@dest.example")] {
        assert!(told.contains(&(kind.into(), recipient.into())), "{told:?}");
    }
    assert!(events.iter().all(|event| event["message"] == id.as_str()), "only what came after it: {told:?}");
    let (status, _) = relay.admin_raw("PATCH", "/v1/webhooks/all", "{\"kinds\":[\"delivered\"]}")?;
    assert_eq!(status, 200);
    relay.send("ada@sender.example", &["dee@dest.example"], &message::plain("x"))?;
    let events =
        wait::until("the fifth", || Ok(Some(all_posted(&web, &secret)?).filter(|events| events.len() > 4)))?;
    assert_eq!(
        (&events[4]["type"], &events[4]["recipient"]),
        (&"delivered".into(), &"dee@dest.example".into())
    );
    assert_eq!(ids(&events).len(), events.len());
    Ok(())
}

#[test]
fn nothing_is_lost_while_an_endpoint_is_in_trouble_and_mail_does_not_wait() -> Result<()> {
    let sink = Sink::start()?;
    let answer = Arc::new(AtomicU16::new(500));
    let script = Arc::clone(&answer);
    let web = Web::start(move |_, _| (script.load(Ordering::SeqCst), String::new()))?;
    let well = Web::start(|_, _| (200, String::new()))?;
    let mut relay = relay(&sink)?;
    let secret = add(&relay, "ill", &web.url("/"))?;
    let well_secret = add(&relay, "well", &well.url("/"))?;
    for _ in 0..20 {
        relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("x"))?;
    }
    relay.wait_until_empty()?;
    wait::until("the one that is well", || {
        Ok((ids(&all_posted(&well, &well_secret)?).len() >= 40).then_some(()))
    })?;
    let view = wait::until("failures", || {
        let view = relay.admin("GET", "/v1/webhooks/ill", "")?;
        Ok((view["status"]["failures"].as_u64() >= Some(6)).then_some(view))
    })?;
    assert_eq!(view["status"]["last_error"], "HTTP 500");
    assert!(!view.to_string().contains("whsec_"), "a secret is shown once: {view}");
    relay.kill()?;
    relay.start_again()?;
    let before = web.asked().len();
    answer.store(202, Ordering::SeqCst);
    let taken = || -> Result<Vec<Value>> {
        let mut events = Vec::new();
        for asked in web.asked().iter().skip(before) {
            events.extend(posted(asked, &secret)?);
        }
        Ok(events)
    };
    wait::until("all of them", || Ok((ids(&taken()?).len() >= 40).then_some(())))?;
    assert_eq!(ids(&taken()?).len(), 40);
    let said = relay.said(&["webhook", "ls"])?;
    assert!(said.contains("ill") && said.contains("well;"), "{said}");
    Ok(())
}

#[test]
fn secrets_are_replaced_without_a_gap_and_what_was_told_is_told_again_on_demand() -> Result<()> {
    let (sink, web) = (Sink::start()?, Web::start(|_, _| (200, String::new()))?);
    let relay = relay(&sink)?;
    let old = add(&relay, "a", &web.url("/"))?;
    let rotated = relay.admin("POST", "/v1/webhooks/a/secret", "")?;
    let new = rotated["secret"].as_str().context("the new secret")?.to_owned();
    assert_ne!(old, new);
    relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("x"))?;
    wait::until("both events by the new secret", || {
        Ok((ids(&all_posted(&web, &new)?).len() == 2).then_some(()))
    })?;
    let first = ids(&all_posted(&web, &old)?);
    assert_eq!(first.len(), 2, "the old one counts as well");
    let count = web.asked().len();
    relay.admin("POST", "/v1/webhooks/a/replay?since=1h", "")?;
    let again = wait::until("the same again", || {
        let mut events = Vec::new();
        for asked in web.asked().iter().skip(count) {
            events.extend(posted(asked, &new)?);
        }
        Ok(Some(ids(&events)).filter(|ids| ids.len() == 2))
    })?;
    assert_eq!(again, first, "by the same names");
    let tested = relay.admin("POST", "/v1/webhooks/a/test", "")?;
    assert_eq!(tested, serde_json::json!({ "taken": true, "answer": "HTTP 200" }));
    let last = web.asked().pop().context("the test")?;
    assert!(posted(&last, &new)?.is_empty() && last.text().contains("\"type\":\"test\""));
    Ok(())
}

#[test]
fn bad_endpoints_are_refused_and_leave_their_neighbours_alone() -> Result<()> {
    let sink = Sink::start()?;
    let web = Web::start(|asked, _| match asked.target.as_str() {
        "/gone" => (410, String::new()),
        "/garbage" => (200, "x".repeat(100_000)),
        _ => (302, String::new()),
    })?;
    let settings = Settings::new().all_to(sink.address()).set("webhooks.retry_first_ms", 50);
    // Loopback is not allowed here: whoever names an endpoint may be anybody.
    let closed = Relay::start(settings)?;
    add(&closed, "private", &web.url("/"))?;
    let tested = closed.admin("POST", "/v1/webhooks/private/test", "")?;
    assert_eq!(tested["taken"], false);
    assert!(tested["answer"].as_str().is_some_and(|why| why.contains("allowed_networks")), "{tested}");
    assert!(web.asked().is_empty());
    let relay = relay(&sink)?;
    for (name, path) in [("gone", "/gone"), ("garbage", "/garbage"), ("moved", "/moved")] {
        add(&relay, name, &web.url(path))?;
    }
    relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("x"))?;
    wait::until("the one that is gone to be paused", || {
        let view = relay.admin("GET", "/v1/webhooks/gone", "")?;
        Ok(view["paused"].as_str().is_some_and(|why| why.contains("410")).then_some(()))
    })?;
    for (name, why) in [("garbage", "too large"), ("moved", "redirects are not followed")] {
        wait::until(name, || {
            let view = relay.admin("GET", &format!("/v1/webhooks/{name}"), "")?;
            let error = view["status"]["last_error"].as_str().unwrap_or_default().to_owned();
            Ok(error.contains(why).then_some(()))
        })?;
    }
    for (body, field) in [
        ("{\"url\":\"ftp://x.example/\"}", "url"),
        ("{\"url\":7}", "url"),
        ("{\"url\":\"https://x.example/\",\"kinds\":[\"lost\"]}", "kinds[0]"),
        ("{\"url\":\"https://x.example/\",\"secrets\":[]}", "secrets"),
        ("{}", "url"),
    ] {
        let (status, answer) = relay.admin_raw("PUT", "/v1/webhooks/new", body)?;
        assert!(status == 400 && answer.contains(&format!("\"field\":\"{field}\"")), "{body}: {answer}");
    }
    assert_eq!(relay.admin_raw("PUT", "/v1/webhooks/gone", "{\"url\":\"https://x.example/\"}")?.0, 409);
    assert_eq!(relay.admin_raw("PUT", "/v1/webhooks/A_b", "{\"url\":\"https://x.example/\"}")?.0, 400);
    assert_eq!(relay.admin_raw("DELETE", "/v1/webhooks/none", "")?.0, 404);
    assert_eq!(relay.admin_raw("DELETE", "/v1/webhooks/gone", "")?.0, 204);
    Ok(())
}

#[test]
fn why_and_since_when_an_endpoint_fails_outlives_a_restart() -> Result<()> {
    let sink = Sink::start()?;
    let answer = Arc::new(AtomicU16::new(500));
    let script = Arc::clone(&answer);
    let web = Web::start(move |_, _| (script.load(Ordering::SeqCst), String::new()))?;
    let mut relay = relay(&sink)?;
    add(&relay, "ill", &web.url("/"))?;
    relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("x"))?;
    let status =
        |relay: &Relay| -> Result<Value> { Ok(relay.admin("GET", "/v1/webhooks/ill", "")?["status"].take()) };
    let failing = |relay: &Relay| wait::until("a failure", || Ok(status(relay)?["failing_since"].as_u64()));
    let since = failing(&relay)?;
    let follower = |relay: &Relay| -> Result<Option<String>> {
        let said = relay.said(&["followers"])?;
        Ok(said.lines().find(|line| line.starts_with("webhook//ill ")).map(str::to_owned))
    };
    let line = follower(&relay)?.context("a line")?;
    assert!(line.contains("FAILING since") && line.contains("HTTP 500"), "{line}");
    relay.stop()?;
    relay.start_again()?;
    assert_eq!(failing(&relay)?, since, "{line} {:?}", follower(&relay));
    answer.store(200, Ordering::SeqCst);
    wait::until("it is well", || Ok(follower(&relay)?.filter(|line| line.contains("well; "))))?;
    relay.stop()?;
    relay.start_again()?;
    let status = wait::until("its place", || Ok(Some(status(&relay)?).filter(|status| status["at"] != 0)))?;
    assert_eq!((&status["failing_since"], &status["last_error"]), (&Value::Null, &Value::Null));
    relay.said(&["webhook", "remove", "ill"])?;
    wait::until("nothing is left of it", || Ok(follower(&relay)?.is_none().then_some(())))
}
