//! Templates: kept, versioned and owned by tenants; rendered, checked and sent.

use anyhow::{Context, Result, ensure};
use baton_tests::api::{Api, Reply};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use serde_json::{Value, json};

/// A relay with an API and the tenants acme and bolt, each with a domain of its name.
fn start(sink: &Sink) -> Result<Relay> {
    let relay = Relay::start(Settings::new().all_to(sink.address()).set("api.listen", "127.0.0.1:0"))?;
    for tenant in ["acme", "bolt"] {
        relay.said(&["tenant", "add", tenant, "--domain", &format!("{tenant}.example")])?;
    }
    Ok(relay)
}

/// A token of that tenant for sending, reading and templates.
fn token(relay: &Relay, tenant: &str) -> Result<Api> {
    let words = ["--tenant", tenant, "--scope", "send", "--scope", "read", "--scope", "templates"];
    Api::with_token(relay, &words)
}

fn put(api: &Api, name: &str, template: &Value) -> Result<Reply> {
    let kind = [("Content-Type", "application/json")];
    api.ask("PUT", &format!("/v1/templates/{name}"), &kind, template.to_string().as_bytes())
}

/// What a template becomes with these data; it must become something.
fn preview(api: &Api, name: &str, request: &Value) -> Result<Value> {
    let reply = api.post(&format!("/v1/templates/{name}/preview"), request)?;
    ensure!(reply.status == 200, "{reply:?}");
    reply.json()
}

#[test]
fn a_template_is_written_looked_at_checked_sent_and_forgotten() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    assert!(relay.said(&["template", "ls"])?.starts_with("There is no template yet"));
    let ready = relay.said(&["template", "ls", "--ready"])?;
    assert!(ready.lines().count() >= 14 && ready.contains("ready/one-time-code"), "{ready}");

    let page = "<p>Hi {{ name }}, <a href=\"{{ url }}\">here</a></p>";
    std::fs::write(relay.folder().join("page.html"), page)?;
    let data = r#"{"name": "<Jane>", "url": "https://x.example/?a=1&b=2"}"#;
    std::fs::write(relay.folder().join("data.json"), data)?;
    let words = ["template", "add", "hello", "--subject", "Hi {{ name }}", "--html", "page.html"];
    let added = relay.said(&[&words[..], &["--sample", "data.json"]].concat())?;
    assert!(added.starts_with("hello version 1\n"), "{added}");
    let html = relay.said(&["template", "preview", "hello", "--part", "html"])?;
    assert_eq!(html, "<p>Hi &lt;Jane&gt;, <a href=\"https://x.example/?a=1&amp;b=2\">here</a></p>");
    assert!(relay.said(&["template", "lint", "hello"])?.contains("[text-made]"));

    // What is not given stays.
    let second = relay.said(&["template", "add", "hello", "--subject", "Hello {{ name }}"])?;
    assert!(second.starts_with("hello version 2"), "{second}");
    let looked = relay.said(&["template", "preview", "hello"])?;
    assert!(looked.starts_with("Subject: Hello <Jane>\n"), "{looked}");
    let old = relay.said(&["template", "preview", "hello", "--version", "1"])?;
    assert!(old.starts_with("Subject: Hi <Jane>\n"), "{old}");
    assert_eq!(relay.said(&["template", "versions", "hello"])?.lines().count(), 2);

    let from_to = ["--from", "a@sender.example", "--to", "bo@dest.example"];
    let sent = relay.said(&[&["template", "test-send", "hello"], &from_to[..]].concat())?;
    assert!(sent.contains("is in the queue"), "{sent}");
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("Subject").as_deref(), Some("Hello <Jane>"));
    let texts = received.texts()?;
    assert!(texts[0].contains("Hi <Jane>, here <https://x.example/?a=1&b=2>"), "{texts:?}");
    assert_eq!(texts[1].trim_end(), html);

    relay.said(&["template", "rm", "hello"])?;
    assert!(!relay.run(&["template", "show", "hello"])?.status.success());
    Ok(())
}

#[test]
fn each_of_a_batch_gets_its_own_data_and_mistakes_name_their_field() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let api = token(&relay, "acme")?;
    let order = json!({
        "subject": "Order {{ order.number }}",
        "html": "<p>Dear {{ name }},<br>{{ order.total | money(\"EUR\") }} for {{ shop }}.</p>",
    });
    assert_eq!(put(&api, "order", &order)?.status, 201);
    let own = |name: &str, number: u32| {
        let to = format!("{name}@dest.example");
        json!({"to": [to], "data": {"name": name, "order": {"number": number, "total": "9.5"}}})
    };
    let mut lacking = own("cy", 3);
    lacking["data"]["order"] = json!({"number": 3});
    let batch = json!({
        "common": {"from": "shop@acme.example", "template": "order", "data": {"shop": "A & B"}},
        "messages": [own("ann", 1), own("bo", 2), lacking],
    });
    let reply = api.post("/v1/messages/batch", &batch)?;
    let answer = reply.json()?;
    assert_eq!((reply.status, &answer["accepted"], &answer["refused"]), (202, &json!(2), &json!(1)));
    assert_eq!(answer["messages"][2]["problem"]["errors"][0]["field"], "data.order.total", "{answer}");
    for received in sink.wait_for(2)? {
        let name =
            received.recipients.first().and_then(|to| to.split('@').next()).unwrap_or_default().to_owned();
        let number = if name == "ann" { "1" } else { "2" };
        assert_eq!(received.header("Subject").as_deref(), Some(format!("Order {number}").as_str()));
        let texts = received.texts()?;
        assert!(texts[0].contains(&format!("Dear {name},")) && texts[0].contains("for A & B."), "{texts:?}");
        assert!(texts[1].contains("9.50") && texts[1].contains("A &amp; B"), "{texts:?}");
    }
    let one = |fields: Value| -> Result<Vec<String>> {
        let mut message = json!({"from": "shop@acme.example", "to": ["ann@dest.example"]});
        if let (Some(all), Value::Object(fields)) = (message.as_object_mut(), fields) {
            all.extend(fields);
        }
        let reply = api.post("/v1/messages", &message)?;
        ensure!(matches!(reply.status, 400 | 422), "{message} {reply:?}");
        reply.fields()
    };
    for (fields, field) in [
        (json!({"template": "none"}), "template"),
        (json!({"template": "../x\r\nBcc: y"}), "template"),
        (json!({"template": "ready/layout"}), "data"),
        (json!({"template": "order", "template_version": 7}), "template_version"),
        (json!({"template": "order", "html": "<p>"}), "html"),
        (json!({"template": "order", "data": "x"}), "data"),
        (json!({"template": "order", "data": {"shop": 1, "name": 2}}), "data.order.number"),
        (json!({"data": {}, "text": "x"}), "data"),
        (json!({"template_version": 1, "text": "x"}), "template_version"),
    ] {
        let told = one(fields.clone())?;
        ensure!(told.iter().any(|name| name.starts_with(field)), "{fields}: {told:?}");
    }
    // The template is a dimension of reports and searches.
    let found = relay.said(&["search", "--recipient", "ann@dest.example", "--json"])?;
    assert!(found.contains("order@1"), "{found}");
    Ok(())
}

#[test]
fn no_value_gets_out_of_its_place() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let api = token(&relay, "acme")?;
    let template = json!({"subject": "Hi {{ name }}", "html": "<p title=\"{{ name }}\">{{ name }}</p>", "text": "{{ name }}"});
    put(&api, "hi", &template)?;
    let evil =
        "x\r\nBcc: eve@evil.example\r\n\r\n\"><script>alert(1)</script>\r\n.\r\nMAIL FROM:<a@b.example>\r\n";
    api.send(&json!({
        "from": "shop@acme.example", "to": ["ann@dest.example"], "template": "hi",
        "data": {"name": evil, "deep": [[[[[]]]]]},
    }))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.recipients, ["ann@dest.example"]);
    assert!(received.header("Bcc").is_none() && received.bare_line_ends() == 0, "{}", received.text());
    let subject = received.header("Subject").unwrap_or_default();
    assert!(subject.starts_with("Hi x Bcc: eve@evil.example"), "{subject}");
    let texts = received.texts()?;
    assert!(!texts[1].contains("<script") && texts[1].contains("&lt;script&gt;"), "{texts:?}");
    Ok(())
}

#[test]
fn tenants_see_their_own_templates_and_those_that_ship() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let (acme, bolt) = (token(&relay, "acme")?, token(&relay, "bolt")?);
    let page = json!({"subject": "x", "html": "{% extends 'layout' %}{% block b %}words{% endblock %}"});
    for (api, mark) in [(&acme, "A"), (&bolt, "B")] {
        put(api, "layout", &json!({"html": format!("{mark}:{{% block b %}}{{% endblock %}}")}))?;
        put(api, "page", &page)?;
        assert_eq!(preview(api, "page", &json!({}))?["html"], format!("{mark}:words"));
    }
    // A new layout is in force for all that extend it, and for nobody else.
    put(&acme, "layout", &json!({"html": "new:{% block b %}{% endblock %}"}))?;
    assert_eq!(preview(&acme, "page", &json!({}))?["html"], "new:words");
    assert_eq!(preview(&bolt, "page", &json!({}))?["html"], "B:words");
    put(&acme, "only", &page)?;
    for (api, path, status) in [
        (&acme, "/v1/templates/only", 200),
        (&bolt, "/v1/templates/only", 404),
        (&bolt, "/v1/templates/only?tenant=acme", 404),
        (&bolt, "/v1/templates?tenant=acme", 404),
        (&acme, "/v1/templates/only?tenant=acme", 200),
    ] {
        assert_eq!(api.get(path)?.status, status, "{path}");
    }
    let foreign = json!({"from": "x@bolt.example", "to": ["ann@dest.example"], "template": "only"});
    assert_eq!(bolt.post("/v1/messages", &foreign)?.fields()?, ["template"]);
    let listed = acme.get("/v1/templates?limit=2")?.json()?;
    assert_eq!((listed["templates"].as_array().map(Vec::len), &listed["next"]), (Some(2), &json!("only")));
    let receipt = preview(&bolt, "ready%2Freceipt", &json!({}))?;
    assert_eq!(receipt["subject"], "Your receipt from Acme Bank (A-10293)");
    // Who may only send uses templates and reads none; who is bound to a stream changes none.
    let sender = Api::with_token(&relay, &["--tenant", "acme", "--scope", "send"])?;
    assert_eq!(sender.get("/v1/templates/only")?.status, 403);
    relay.said(&["stream", "add", "news", "--tenant", "acme"])?;
    let bound = Api::with_token(&relay, &["--tenant", "acme", "--stream", "news", "--scope", "templates"])?;
    assert_eq!((bound.get("/v1/templates/only")?.status, put(&bound, "only", &page)?.status), (200, 403));
    let audit = relay.admin("GET", "/v1/audit?tenant=acme", "")?.to_string();
    assert!(audit.contains("template.put") && audit.contains("\"only\""), "{audit}");
    Ok(())
}

#[test]
fn versions_outlive_the_relay_and_nobody_overwrites_unseen() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = start(&sink)?;
    for number in 1..=22 {
        let template = json!({"subject": format!("v{number}"), "text": "x"}).to_string();
        let (status, answer) = relay.admin_raw("PUT", "/v1/templates/note", &template)?;
        ensure!(status == if number == 1 { 201 } else { 200 }, "{status} {answer}");
    }
    let words =
        |version: &'static str| ["template", "add", "note", "--subject", "v23", "--if-version", version];
    let refused = relay.run(&words("2"))?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("the newest version of template `note` is 22"), "{told}");
    relay.kill()?;
    relay.start_again()?;
    let old = |version: u32| -> Result<(u16, String)> {
        relay.admin_raw("POST", "/v1/templates/note/preview", &json!({"version": version}).to_string())
    };
    assert!(old(3)?.1.contains("\"v3\""));
    // Twenty versions are kept, and no version is yet to come.
    assert_eq!((old(2)?.0, old(99)?.0), (404, 404));
    let added = relay.said(&words("22"))?;
    assert!(added.contains("version 23"), "{added}");
    Ok(())
}

#[test]
fn faults_are_told_with_template_part_line_and_variable() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let api = token(&relay, "acme")?;
    let fault = |template: Value| -> Result<(String, String)> {
        let reply = put(&api, "bad", &template)?;
        ensure!(reply.status == 422 || reply.status == 400, "{reply:?}");
        let field = reply.fields()?.first().cloned().unwrap_or_default();
        Ok((field, reply.json()?["detail"].as_str().unwrap_or_default().to_owned()))
    };
    let (field, detail) = fault(json!({"html": "<p>\n{% if %}"}))?;
    assert!(field == "html" && detail.contains("template bad, html, line 2"), "{field} {detail}");
    assert_eq!(fault(json!({"body": "x"}))?.0, "body");
    assert_eq!(fault(json!({"subject": 3}))?.0, "subject");
    assert_eq!(fault(json!({"text": "x", "sample": [1]}))?.0, "sample");
    put(&api, "good", &json!({"subject": "{{ code }}", "text": "x"}))?;
    let reply = api.post("/v1/templates/good/preview", &json!({"data": {}}))?;
    assert_eq!((reply.status, reply.fields()?), (422, vec!["subject".to_owned()]));
    assert!(reply.body.contains("`code` is not in the data"), "{reply:?}");
    let lint = api
        .post("/v1/templates/x/lint", &json!({"template": {"subject": "s", "html": "<b>x", "bulk": true}}))?;
    for rule in ["tag-unclosed", "unsubscribe", "postal-address"] {
        assert!(lint.body.contains(rule), "{rule}: {lint:?}");
    }
    for (name, body) in [("UPPER", "{}"), ("a%2Fb", "{}"), ("ready%2Freceipt", "{}"), ("a%00b", "{}")] {
        let reply = api.ask("PUT", &format!("/v1/templates/{name}"), &[], body.as_bytes())?;
        assert_eq!(reply.status, 400, "{name} {reply:?}");
    }
    let large = json!({"text": "x".repeat(600 << 10)});
    assert_eq!(put(&api, "large", &large)?.status, 422);
    Ok(())
}

#[test]
fn loops_without_end_and_endless_pages_end() -> Result<()> {
    let sink = Sink::start()?;
    let relay = start(&sink)?;
    let api = token(&relay, "acme")?;
    let range = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}";
    let double = "{% macro f(x) %}{{ x }}{{ f(x ~ x) }}{% endmacro %}{{ f('x') }}";
    for (name, source) in [
        ("work", range),
        ("grow", double),
        ("own", "{% include 'own' %}"),
        ("ping", "{% include 'pong' %}"),
        ("pong", "{% include 'ping' %}"),
        ("heir", "{% extends 'heir' %}"),
        ("long", "{{ 'x' * 2000000 }}"),
        ("data", "{% for a in list %}{% for b in list %}{{ a }}{{ b }}{% endfor %}{% endfor %}"),
    ] {
        let kept = put(&api, name, &json!({"subject": "x", "text": source}))?;
        ensure!(matches!(kept.status, 200 | 201 | 422), "{kept:?}");
    }
    let list = vec!["x".repeat(1_000); 2_000];
    for name in ["work", "grow", "own", "ping", "heir", "long", "data"] {
        let message = json!({
            "from": "shop@acme.example", "to": ["ann@dest.example"], "template": name, "data": {"list": list},
        });
        let reply = api.post("/v1/messages", &message)?;
        assert_eq!((reply.status, reply.fields()?), (422, vec!["template".to_owned()]), "{name} {reply:?}");
    }
    // And the relay is at work as before.
    put(&api, "fine", &json!({"subject": "fine", "text": "x"}))?;
    api.send(&json!({"from": "shop@acme.example", "to": ["ann@dest.example"], "template": "fine"}))?;
    assert_eq!(sink.wait_for(1)?.pop().and_then(|one| one.header("Subject")).as_deref(), Some("fine"));
    Ok(())
}

#[test]
fn the_bounds_are_settings_and_follow_a_reload() -> Result<()> {
    let sink = Sink::start()?;
    let settings = || Settings::new().all_to(sink.address()).set("api.listen", "127.0.0.1:0");
    let relay = Relay::start(settings())?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    let api = token(&relay, "acme")?;
    let many = json!({"subject": "s", "text": "{% for i in range(2000) %}x{% endfor %}"});
    put(&api, "many", &many)?;
    for number in 1..=5 {
        put(&api, "note", &json!({"subject": "s", "text": "t".repeat(1_000 * number)}))?;
    }
    let status = |template: &str| -> Result<(u16, String)> {
        let reply = api.post(&format!("/v1/templates/{template}/preview"), &json!({}))?;
        Ok((reply.status, reply.body))
    };
    assert_eq!((status("many")?.0, status("note")?.0), (200, 200));
    let narrow = settings().with(
        "[templates]\nwork_max = 1000\noutput_octets_max = 4096\nsource_octets_max = 4096\ntemplates_max = 2\n\
         versions_kept = 2\ntenant_octets_max = 6000\ncompiled_octets_max = 12000\n",
    );
    relay.write_settings(narrow)?;
    let said = relay.said(&["reload"])?;
    assert!(said.contains("templates.work_max") && !said.contains("restart"), "{said}");
    // What is kept stays, within the new bounds of rendering.
    let (spent, detail) = status("many")?;
    assert!(spent == 422 && detail.contains("templates.work_max"), "{detail}");
    let (large, detail) = status("note")?;
    assert!(large == 422 && detail.contains("more than 4096 octets"), "{detail}");
    let refused = |name: &str, octets: usize, words: &str| -> Result<()> {
        let reply = put(&api, name, &json!({"subject": "s", "text": "t".repeat(octets)}))?;
        ensure!(reply.status == 422 && reply.body.contains(words), "{name}: {reply:?}");
        Ok(())
    };
    refused("note", 4_500, "at most 4096")?;
    refused("more", 1, "templates.templates_max")?;
    // A smaller one is taken, and then only two versions are left.
    assert_eq!(put(&api, "note", &json!({"subject": "s", "text": "small"}))?.status, 200);
    let versions = relay.said(&["template", "versions", "note", "--tenant", "acme"])?;
    assert_eq!(versions.lines().count(), 2, "{versions}");
    put(&api, "many", &json!({"subject": "s", "text": "t".repeat(4_000)}))?;
    refused("note", 2_040, "templates.tenant_octets_max")?;
    let wrong = settings().with("[templates]\nversions_kept = 0\nsource_octets_max = 10_000_000\n");
    relay.write_settings(wrong)?;
    let told = String::from_utf8_lossy(&relay.run(&["reload"])?.stderr).into_owned();
    assert!(
        told.contains("templates.versions_kept") && told.contains("templates.source_octets_max"),
        "{told}"
    );
    Ok(())
}

#[test]
fn the_lint_asks_for_the_address_that_the_stream_asks_for_in_the_words_of_the_refusal() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().all_to(sink.address()).set("api.listen", "127.0.0.1:0").with(
        "[streams.notes]\nrequire_postal_address = true\npostal_address = \"Acme Inc, 1 Long Road, Town 12345\"",
    );
    let relay = Relay::start(settings)?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    relay.said(&["stream", "add", "codes", "--tenant", "acme"])?;
    relay.said(&["stream", "add", "notes", "--tenant", "acme"])?;
    let address = ["--postal-address", "Acme Ltd, 7 Short Lane, City 54321"];
    relay.said(&[&["stream", "add", "news", "--tenant", "acme", "--kind", "bulk"], &address[..]].concat())?;
    let api = token(&relay, "acme")?;
    let out = "<a href=\"https://acme.example/out\">Unsubscribe</a>";
    let page = |address: &str| json!({"subject": "n", "html": format!("<p>Hi</p>{out}<p>{address}</p>"), "bulk": true, "sample": {"unsubscribe_url": "https://acme.example/out"}});
    let kept = put(&api, "news", &page("Acme Ltd<br>8 Short Lane<br>City 54321"))?;
    let lack = "Mail of the stream news needs the postal address of the sender in its text: Acme Ltd, 7 Short Lane, City 54321";
    // It may be for another stream: a warning, unless the stream is named.
    assert!(kept.status == 201 && kept.body.contains(lack) && kept.body.contains("\"warning\""), "{kept:?}");
    let lint =
        |stream: &str| relay.run(&["template", "lint", "news", "--tenant", "acme", "--stream", stream]);
    let told = |stream: &str| -> Result<(bool, String)> {
        let output = lint(stream)?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let (is_fit, words) = told("news")?;
    assert!(!is_fit && words.contains(&format!("error: html: {lack} [postal-address]")), "{words}");
    let (is_fit, words) = told("notes")?;
    assert!(
        !is_fit && words.contains("Mail of the stream notes") && words.contains("1 Long Road"),
        "{words}"
    );
    let (is_fit, words) = told("codes")?;
    assert!(is_fit && !words.contains("postal-address"), "{words}");
    let unknown = String::from_utf8_lossy(&lint("gone")?.stderr).into_owned();
    assert!(unknown.contains("there is no stream `gone`"), "{unknown}");
    // The same words when it is sent.
    let message = json!({"from": "shop@acme.example", "to": ["ann@dest.example"], "stream": "news", "template": "news", "data": {"unsubscribe_url": "https://acme.example/out"}});
    let refused = api.post("/v1/messages", &message)?;
    assert!(refused.status == 403 && refused.body.contains(lack), "{refused:?}");
    // What the lint lets pass is sent: line ends in place of commas are the same address.
    put(&api, "news", &page("Acme Ltd<br>7 Short Lane<br>City 54321"))?;
    let (is_fit, words) = told("news")?;
    assert!(is_fit && !words.contains("postal-address"), "{words}");
    api.send(&message)?;
    sink.wait_for(1)?;
    Ok(())
}
