//! Tracked links: what goes into messages, what a visit does, and who can not make it do anything else.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_content::link::{Action, Claim, LinkKey, LinkKeys};
use baton_tests::api::Api;
use baton_tests::client::Client;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Received, Sink};
use baton_tests::wait;
use baton_tests::zone::Zone;
use serde_json::{Value, json};

use super::signing::{dkimpy_verdicts, zone_lines};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

pub(super) fn settings(sink: &Sink) -> Settings {
    Settings::new()
        .all_to(sink.address())
        .with("[listeners.users]\naddress = \"127.0.0.1:0\"\nkind = \"submission\"\ntls = \"off\"\nauth_without_tls = true")
        .set("accounts.hash_memory_kib", 64)
        .set("accounts.hash_passes", 1)
        .set("tracking.base_url", "https://links.example/")
        .set("tracking.listen", "127.0.0.1:0")
}

/// A relay with the account `ann` of the tenant `acme`, stream `news`.
fn start(sink: &Sink) -> Result<Relay> {
    let relay = Relay::start(settings(sink))?;
    add_user(&relay)?;
    Ok(relay)
}

pub(super) fn add_user(relay: &Relay) -> Result<()> {
    let words =
        ["user", "add", "ann@acme.example", "--password-file", "-", "--tenant", "acme", "--stream", "news"];
    let mut command = relay.command(&words);
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn()?;
    writeln!(child.stdin.take().context("a pipe")?, "secret")?;
    ensure!(child.wait()?.success());
    Ok(())
}

/// Sends as ann, to these; returns the message's id.
pub(super) fn send(relay: &Relay, recipients: &[&str], message: &str) -> Result<String> {
    let mut client = Client::greeted(relay.listener("users")?)?;
    client.expect(&format!("AUTH PLAIN {}", STANDARD.encode("\0ann@acme.example\0secret")), 235)?;
    let answer = client.send("ann@acme.example", recipients, message.as_bytes())?;
    ensure!(answer.code == 250, "{answer}");
    answer.message_id()
}

pub(super) fn message(track: &str, body: &str) -> String {
    format!(
        "From: ann@acme.example\r\nTo: bo@dest.example\r\nSubject: hello\r\nX-Baton-Track: {track}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/html; charset=utf-8\r\n\r\n{body}\r\n"
    )
}

pub(super) const PAGE: &str = "<html><body><p>Grüße <a href=\"https://shop.example/?a=1&amp;b=2\">shop</a> \
    <a href=\"https://unsubscribe.baton.invalid/\">leave</a></p></body></html>";

/// Its fields, and its texts decoded.
pub(super) fn decoded(received: &Received) -> String {
    let text = received.text().replace("\r\n ", "").replace("\r\n\t", "");
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    format!("{header}\r\n\r\n{}", received.texts().unwrap_or_default().concat())
}

/// The paths of the links of that kind, as the listener knows them.
fn links(text: &str, kind: &str) -> Vec<String> {
    let start = format!("https://links.example/{kind}/");
    let ends = |character: char| !(character.is_ascii_alphanumeric() || "-_".contains(character));
    let token = |rest: &str| rest.split(ends).next().unwrap_or_default().to_owned();
    text.split(&start).skip(1).map(|rest| format!("/{kind}/{}", token(rest))).collect()
}

/// One request to the listener of links: status, header, body.
fn ask(relay: &Relay, method: &str, path: &str, agent: &str, body: &str) -> Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(relay.listener("links")?)?;
    stream.set_read_timeout(Some(wait::LONG))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: links.example\r\nConnection: close\r\nUser-Agent: {agent}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
    Ok((status, head.to_ascii_lowercase(), body.to_owned()))
}

/// The events of that kind in the story of a message.
pub(super) fn events(relay: &Relay, id: &str, kind: &str) -> Result<Vec<Value>> {
    Ok(relay.story(id)?.iter().filter_map(|event| event.get("what")?.get(kind)).cloned().collect())
}

#[test]
fn opens_and_clicks_are_seen_and_told_apart_from_machines() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let log = relay.log();
    let begun = log.lines().find(|line| line.contains("tracked links and pages to unsubscribe answer"));
    let address = relay.listener("links")?.to_string();
    assert!(begun.is_some_and(|line| line.contains(&address)), "{log}");
    let id = send(&relay, &["bo@dest.example"], &message("opens, clicks", PAGE))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let text = decoded(&received);
    assert!(received.header("X-Baton-Track").is_none() && received.header("List-Unsubscribe").is_none());
    assert!(!text.contains("shop.example") && !text.contains("baton.invalid"), "{text}");
    let (pixel, click) = (links(&text, "o"), links(&text, "c"));
    assert_eq!((pixel.len(), click.len(), links(&text, "u").len()), (1, 1, 1));

    // A scanner looks, twice; then the person's program, by way of Gmail; then the person clicks.
    ask(&relay, "HEAD", &click[0], BROWSER, "")?;
    ask(&relay, "HEAD", &click[0], BROWSER, "")?;
    let (status, head, _) =
        ask(&relay, "GET", &pixel[0], "Mozilla/5.0 (via ggpht.com GoogleImageProxy)", "")?;
    assert!(status == 200 && head.contains("content-type: image/gif") && head.contains("no-store"), "{head}");
    let (status, head, _) = ask(&relay, "GET", &click[0], BROWSER, "")?;
    assert_eq!(status, 302);
    assert!(head.contains("location: https://shop.example/?a=1&b=2\r\n"), "{head}");

    let opened = relay.wait_for_event(&id, "opened")?;
    assert_eq!(
        (&opened["recipient"], &opened["visitor"]["automatic"]),
        (&json!("bo@dest.example"), &json!("GoogleImageProxy"))
    );
    wait::until("both clicks", || Ok((events(&relay, &id, "clicked")?.len() == 2).then_some(())))?;
    let clicked = events(&relay, &id, "clicked")?;
    assert_eq!(
        (&clicked[0]["visitor"]["automatic"], &clicked[1]["visitor"]["automatic"]),
        (&json!("scanner"), &Value::Null)
    );
    assert_eq!(clicked[1]["url"], "https://shop.example/?a=1&b=2");
    let told = relay.said(&["explain", &id])?;
    assert!(told.contains("tracked: 1 link, a pixel"), "{told}");
    Ok(())
}

#[test]
fn one_click_unsubscribes_and_the_stream_is_closed_for_that_recipient() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let id = send(&relay, &["bo@dest.example"], &message("unsubscribe", PAGE))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("List-Unsubscribe-Post").as_deref(), Some("List-Unsubscribe=One-Click"));
    let link = links(&decoded(&received), "u").pop().context("a link")?;

    // Looking changes nothing, however often machines look.
    for method in ["GET", "HEAD", "GET"] {
        assert_eq!(ask(&relay, method, &link, "Barracuda Sentinel", "")?.0, 200);
    }
    let (_, head, page) = ask(&relay, "GET", &link, BROWSER, "")?;
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(
        page.contains("Unsubscribe?") && page.contains("b•••@dest.example") && !page.contains("bo@dest"),
        "{page}"
    );
    assert!(send(&relay, &["bo@dest.example"], &message("none", "<p>still")).is_ok());

    assert_eq!(ask(&relay, "POST", &link, BROWSER, "List-Unsubscribe=One-Click")?.0, 200);
    let event = relay.wait_for_event(&id, "unsubscribed")?;
    assert_eq!((&event["recipient"], &event["how"]), (&json!("bo@dest.example"), &json!("one-click")));
    let refused = send(&relay, &["bo@dest.example"], &message("none", "<p>no more"));
    ensure!(refused.is_err(), "mail of the stream is still taken");
    assert!(send(&relay, &["cy@dest.example"], &message("none", "<p>others")).is_ok());

    // The person changes their mind.
    let (_, _, page) = ask(&relay, "GET", &link, BROWSER, "")?;
    assert!(page.contains("You are unsubscribed"), "{page}");
    assert_eq!(ask(&relay, "POST", &link, BROWSER, "do=undo")?.0, 200);
    assert!(send(&relay, &["bo@dest.example"], &message("none", "<p>again")).is_ok());
    Ok(())
}

#[test]
fn forged_and_changed_links_lead_nowhere_and_do_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let id = send(&relay, &["bo@dest.example"], &message("opens, clicks, unsubscribe", PAGE))?;
    let text = decoded(&sink.wait_for(1)?.pop().context("a message")?);
    let (pixel, click, leave) = (links(&text, "o"), links(&text, "c"), links(&text, "u"));
    let (pixel, click, leave) = (&pixel[0], &click[0], leave.last().context("a link")?);
    let flipped = |path: &str| {
        let mut octets = path.to_owned().into_bytes();
        if let Some(octet) = octets.get_mut(40) {
            *octet = if *octet == b'A' { b'B' } else { b'A' };
        }
        String::from_utf8(octets).unwrap_or_default()
    };
    let swapped = |path: &str, kind: &str| format!("/{kind}/{}", path.get(3..).unwrap_or_default());
    for path in [
        flipped(click),
        click.get(..click.len() - 1).unwrap_or_default().to_owned(),
        swapped(pixel, "c"),
        swapped(leave, "c"),
        swapped(click, "o"),
        swapped(click, "u"),
        "/c/https://evil.example/".to_owned(),
        "/c/?url=https://evil.example/".to_owned(),
        format!("{}?url=https://evil.example/", flipped(click)),
        format!("/c/{}", "A".repeat(20_000)),
        "/c/%00%0d%0aLocation:%20https://evil.example".to_owned(),
        "/".to_owned(),
    ] {
        for method in ["GET", "POST"] {
            let (status, head, _) = ask(&relay, method, &path, BROWSER, "List-Unsubscribe=One-Click")?;
            let is_refused = matches!(status, 400 | 404 | 405 | 414 | 431);
            ensure!(is_refused && !head.contains("location:"), "{method} {path}: {status} {head}");
        }
    }
    // A target beside the sealed one is ignored.
    let (_, head, _) = ask(&relay, "GET", &format!("{click}?url=https://evil.example/"), BROWSER, "")?;
    assert!(head.contains("location: https://shop.example/"), "{head}");
    assert_eq!(ask(&relay, "POST", leave, BROWSER, &"x".repeat(100_000))?.0, 413);
    assert_eq!(ask(&relay, "POST", leave, BROWSER, "do=everything")?.0, 400);
    assert_eq!((events(&relay, &id, "opened")?.len(), events(&relay, &id, "unsubscribed")?.len()), (0, 0));
    Ok(())
}

#[test]
fn keys_rotate_and_links_of_before_work_on() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = start(&sink)?;
    send(&relay, &["bo@dest.example"], &message("clicks", PAGE))?;
    let old = links(&decoded(&sink.wait_for(1)?.pop().context("a message")?), "c");
    assert!(relay.said(&["tracking", "rotate"])?.contains("key 2"));
    send(&relay, &["bo@dest.example"], &message("clicks", PAGE))?;
    let new = links(&decoded(&sink.wait_for(2)?.pop().context("a message")?), "c");
    for link in [&old[0], &new[0]] {
        assert_eq!(ask(&relay, "GET", link, BROWSER, "")?.0, 302);
    }
    relay.stop()?;
    std::fs::remove_file(relay.folder().join("spool/tracking.keys"))
        .or_else(|_| std::fs::remove_file(relay.spool().join("tracking.keys")))?;
    relay.start_again()?;
    assert_eq!(ask(&relay, "GET", &new[0], BROWSER, "")?.0, 404, "without its key a link is nobody's");
    Ok(())
}

#[test]
fn only_what_was_asked_for_is_tracked() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let plain = message("none", "<p><a href=\"https://shop.example/\">shop</a>");
    send(&relay, &["bo@dest.example"], &plain)?;
    let several = plain.replace("none", "opens, clicks");
    let id = send(&relay, &["bo@dest.example", "cy@dest.example"], &several)?;
    let received = sink.wait_for(2)?;
    for one in &received {
        assert!(
            one.text().contains("<a href=\"https://shop.example/\">")
                && one.header("X-Baton-Track").is_none()
        );
    }
    assert!(
        relay.said(&["explain", &id])?.contains("not tracked (opens, clicks): it has several recipients")
    );
    // A stranger's field is no wish.
    relay.send("x@other.example", &["bo@dest.example"], several.as_bytes())?;
    let stranger = sink.wait_for(3)?.pop().context("a message")?;
    assert_eq!(stranger.header("X-Baton-Track").as_deref(), Some("opens, clicks"));
    for (bad, why) in
        [(message("everything", "<p>x"), "X-Baton-Track"), (message("none, opens", "<p>x"), "X-Baton-Track")]
    {
        let refused = send(&relay, &["bo@dest.example"], &bad).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    let refused = send(&relay, &["bo@dest.example", "cy@dest.example"], &message("none", PAGE)).unwrap_err();
    assert!(refused.to_string().contains("one recipient at a time"), "{refused}");
    Ok(())
}

/// A relay with an API, whose tenant acme has the bulk stream `letters` and the stream `codes`.
fn start_api(sink: &Sink, settings: Settings) -> Result<(Relay, Api)> {
    let relay = Relay::start(settings.all_to(sink.address()).set("api.listen", "127.0.0.1:0"))?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    relay.said(&["stream", "add", "codes", "--tenant", "acme"])?;
    let bulk =
        ["stream", "add", "letters", "--tenant", "acme", "--kind", "bulk", "--require-unsubscribe", "true"];
    relay.said(&[&bulk[..], &["--postal-address", "1 Market Street, Springfield, 12345"]].concat())?;
    let words = ["--tenant", "acme", "--scope", "send", "--scope", "read", "--scope", "templates"];
    let api = Api::with_token(&relay, &words)?;
    Ok((relay, api))
}

fn linked() -> Settings {
    Settings::new().set("tracking.base_url", "https://links.example").set("tracking.listen", "127.0.0.1:0")
}

/// A message of acme in that stream, of the digest that ships.
fn digest(stream: &str) -> Value {
    json!({
        "from": "news@acme.example", "to": ["bo@dest.example"], "stream": stream, "template": "ready/digest",
        "data": {
            "brand": {"name": "Acme", "address": "1 Market Street, Springfield, 12345"}, "headline": "Your week",
            "articles": [{"title": "One", "summary": "Two.", "url": "https://acme.example/one?a=1&b=2"}],
        },
    })
}

#[test]
fn a_bulk_stream_of_the_api_lets_each_recipient_out() -> Result<()> {
    let sink = Sink::start()?;
    let (relay, api) = start_api(&sink, linked())?;
    let id = api.send(&digest("letters"))?["id"].as_str().context("an id")?.to_owned();
    let text = decoded(&sink.wait_for(1)?.pop().context("a message")?);
    // In the field, in the HTML and in the text made from it: the recipient's own link, and no placeholder.
    assert_eq!(links(&text, "u").len(), 3, "{text}");
    assert!(text.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{text}");
    assert!(
        !text.contains("baton.invalid") && !text.contains("X-Baton-Track") && links(&text, "c").is_empty()
    );
    let link = links(&text, "u").pop().context("a link")?;
    assert_eq!(ask(&relay, "POST", &link, "mailer", "List-Unsubscribe=One-Click")?.0, 200);
    // The mail program asks once more: nothing is told twice.
    assert_eq!(ask(&relay, "POST", &link, "mailer", "List-Unsubscribe=One-Click")?.0, 200);
    relay.wait_for_event(&id, "unsubscribed")?;
    assert_eq!(events(&relay, &id, "unsubscribed")?.len(), 1);
    let listed = relay.said(&["suppression", "show", "bo@dest.example"])?;
    assert!(listed.contains("acme/letters") && listed.contains("unsubscribe"), "{listed}");
    let reply = api.post("/v1/messages", &digest("letters"))?;
    assert!(reply.status == 422 && reply.body.contains("unsubscribe"), "{reply:?}");
    // Other streams go on.
    let code = json!({"from": "a@acme.example", "to": ["bo@dest.example"], "stream": "codes", "subject": "1", "text": "1"});
    api.send(&code)?;
    let fed = relay.said(&["events", "--kind", "unsubscribed"])?;
    assert!(fed.contains("one-click") && fed.contains(&id), "{fed}");
    Ok(())
}

#[test]
fn a_stream_that_asks_for_a_way_out_or_an_address_refuses_mail_without() -> Result<()> {
    let sink = Sink::start()?;
    let (_relay, api) = start_api(&sink, Settings::new())?;
    // Without links the relay has no way out to offer, and a template that shows one can not be sent.
    let reply = api.post("/v1/messages", &digest("letters"))?;
    assert!(reply.status == 422 && reply.body.contains("tracking.base_url"), "{reply:?}");
    assert_eq!(api.post("/v1/messages", &digest("codes"))?.fields()?, ["data.unsubscribe_url"]);
    let own = |way_out: &str, text: &str| {
        let headers = json!([{"name": "List-Unsubscribe", "value": way_out}]);
        json!({"from": "news@acme.example", "to": ["bo@dest.example"], "stream": "letters", "subject": "x",
            "headers": headers, "text": text})
    };
    let address = "1 market street,\nSpringfield, 12345";
    let reply = api.post("/v1/messages", &own("by hand", address))?;
    assert!(reply.status == 403 && reply.body.contains("List-Unsubscribe"), "{reply:?}");
    let reply = api.post("/v1/messages", &own("<mailto:leave@acme.example>", "no address"))?;
    assert!(reply.status == 403 && reply.body.contains("postal address"), "{reply:?}");
    api.send(&own("<mailto:leave@acme.example>", address))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("List-Unsubscribe").as_deref(), Some("<mailto:leave@acme.example>"));
    Ok(())
}

#[test]
fn a_message_goes_before_its_stream_and_each_of_a_batch_has_links_of_its_own() -> Result<()> {
    let sink = Sink::start()?;
    let (relay, api) = start_api(&sink, linked())?;
    relay.said(&[
        "stream",
        "set",
        "codes",
        "--tenant",
        "acme",
        "--track-opens",
        "true",
        "--track-clicks",
        "true",
    ])?;
    let html = "<p><a href=\"https://shop.example/\">shop</a>";
    let one = |to: &str, tracking: Value| json!({"to": [to], "tracking": tracking});
    let batch = json!({
        "common": {"from": "a@acme.example", "stream": "codes", "subject": "x", "html": html},
        "messages": [
            {"to": ["ann@dest.example"]},
            one("bo@dest.example", json!({})),
            one("cy@dest.example", json!({"opens": false})),
            one("di@dest.example", json!({"opens": false, "clicks": false})),
            one("ed@dest.example", json!({"unsubscribe": true})),
        ],
    });
    let answer = api.post("/v1/messages/batch", &batch)?.json()?;
    assert_eq!(answer["accepted"], 5, "{answer}");
    let mut clicks = Vec::new();
    for received in sink.wait_for(5)? {
        let (text, name) = (decoded(&received), received.recipients.concat());
        let counts = (links(&text, "o").len(), links(&text, "c").len(), links(&text, "u").len());
        let expected = match name.get(..2) {
            Some("cy") => (0, 1, 0),
            Some("di") => (0, 0, 0),
            Some("ed") => (1, 1, 1),
            _ => (1, 1, 0),
        };
        assert_eq!(counts, expected, "{name}: {text}");
        clicks.extend(links(&text, "c"));
    }
    clicks.sort();
    clicks.dedup();
    assert_eq!(clicks.len(), 4, "two recipients have one link");
    let wrong = json!({"from": "a@acme.example", "to": ["x@dest.example"], "text": "x", "tracking": {"opened": true}});
    assert_eq!(api.post("/v1/messages", &wrong)?.fields()?, ["tracking.opened"]);
    Ok(())
}

#[test]
fn links_of_before_are_too_old_and_one_visit_is_told_once() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let id = send(&relay, &["bo@dest.example"], &message("clicks", PAGE))?;
    let click =
        links(&decoded(&sink.wait_for(1)?.pop().context("a message")?), "c").pop().context("a link")?;
    for _ in 0..20 {
        assert_eq!(ask(&relay, "GET", &click, BROWSER, "")?.0, 302);
    }
    relay.wait_for_event(&id, "clicked")?;
    assert_eq!(events(&relay, &id, "clicked")?.len(), 1);
    assert!(relay.metrics()?.contains("baton_link_visits_total{kind=\"click\",outcome=\"repeated\"} 19"));

    // What the relay itself would have made, had it been long ago.
    let keys = std::fs::read_to_string(relay.spool().join("tracking.keys"))?;
    let secret = STANDARD.decode(keys.split_whitespace().nth(1).context("a key")?)?;
    let keys = LinkKeys::new(vec![LinkKey::new(1, &secret).context("a key")?]).context("keys")?;
    let claim = |ends_s: u64, action: Action| Claim {
        message: id.parse().expect("the relay's own name"),
        recipient: "bo@dest.example".parse().expect("an address"),
        tenant: "acme".into(),
        stream: "news".into(),
        ends_s,
        action,
    };
    let token = |claim: &Claim| keys.seal(claim).context("a token");
    let target = || Action::Click { target: "https://shop.example/".to_owned() };
    let now = 4_000_000_000;
    assert_eq!(ask(&relay, "GET", &format!("/c/{}", token(&claim(now, target()))?), BROWSER, "")?.0, 302);
    for (kind, action, status) in
        [("c", target(), 410), ("u", Action::Unsubscribe, 410), ("o", Action::Open, 200)]
    {
        let path = format!("/{kind}/{}", token(&claim(1_000_000_000, action))?);
        let (got, head, _) = ask(&relay, "GET", &path, BROWSER, "")?;
        assert!(got == status && !head.contains("location:"), "{kind} {got} {head}");
        if kind == "u" {
            assert_eq!(ask(&relay, "POST", &path, BROWSER, "List-Unsubscribe=One-Click")?.0, 410);
        }
    }
    let none = (events(&relay, &id, "opened")?.len(), events(&relay, &id, "unsubscribed")?.len());
    assert_eq!(none, (0, 0));
    assert!(send(&relay, &["bo@dest.example"], &message("none", "<p>still")).is_ok());
    Ok(())
}

#[test]
fn the_signature_covers_the_way_out() -> Result<()> {
    let sink = Sink::start()?;
    let settings = |sink| {
        let address = "leave@bounces.example";
        settings(sink)
            .set("local_domains", vec!["bounces.example"])
            .set("tracking.unsubscribe_address", address)
    };
    let relay = Relay::prepare(settings(&sink))?;
    let keys = zone_lines(&relay.said(&["domain", "add", "acme.example"])?);
    let zone = Zone::serve(&keys)?;
    relay.write_settings(settings(&sink).names_from(zone.address()))?;
    let mut relay = relay;
    relay.start_again()?;
    relay.run(&["domain", "check", "acme.example"])?;
    add_user(&relay)?;
    send(&relay, &["bo@dest.example"], &message("opens, clicks, unsubscribe", PAGE))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let verdicts = dkimpy_verdicts(&received.content, &keys)?;
    assert!(verdicts.starts_with("True True"), "{verdicts}: {}", received.text());
    let text = received.text();
    for (old, new) in [
        ("\r\nList-Unsubscribe:", "\r\nList-Unsubscribe: x"),
        ("\r\nList-Unsubscribe-Post:", "\r\nList-Unsubscribe-Post: x"),
        ("<mailto:leave@", "<mailto:other@"),
    ] {
        let changed = text.replace(old, new);
        assert_ne!(changed, text, "{old}");
        let verdicts = dkimpy_verdicts(changed.as_bytes(), &keys)?;
        assert!(verdicts.starts_with("False False"), "{old}: {verdicts}");
    }
    Ok(())
}

#[test]
fn the_pages_speak_https_with_the_certificates_of_the_relay() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink).set("tracking.tls", true))?;
    let address = relay.listener("links")?;
    let url = format!("https://{address}/u/none");
    let output = std::process::Command::new("curl")
        .args(["-ks", "-o", "/dev/null", "-w", "%{http_code}", &url])
        .output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "404");
    Ok(())
}
