//! Every function that a script finds, at a hook where it works.

use std::sync::Arc;

use baton_hooks::Hook;
use baton_mail::TlsFacts;
use baton_mail::tls::Certificate;

use crate::support::{Stage, ask, call_at};

/// A check that names what differs; it stands in front of each script.
const IS: &str = "function is(got, wanted) { const [a, b] = [got, wanted].map((value) => JSON.stringify(value)); \
    if (a !== b) throw new Error(`${a} is not ${b}`); }\n";

async fn passes(hook: Hook, body: &str) {
    let stage = Stage::new();
    let name = ["onConnect", "onAuth", "onRcpt", "onData", "onRoute", "onBounce"][hook as usize];
    let script = format!("{IS}export function {name}(a, b) {{\n{body}\n}}");
    let generation = stage.load(&script).await;
    for tier in ["evaluated in the call", "from the snapshot"] {
        let (answer, _) = ask(&generation, hook, &mut call_at(hook)).await;
        assert!(!answer.contains("failed"), "{tier}: {answer}");
        generation.settled().await;
    }
}

#[tokio::test]
async fn session_and_language() {
    passes(
        Hook::Connect,
        r#"is(session.remoteIp, "192.0.2.1"); is(session.remotePort, 4000); is(session.listener, "relay");
        is(session.helo, "client.example"); is(session.authenticatedAs, undefined); is(typeof session.id, "string");
        is(session.remoteName, undefined); is(session.iprev, "permerror"); is(session.tls, undefined);
        session.notes.set("a", "text"); session.notes.setJson("b", { c: 1 }); session.notes.delete("gone");
        is(config, { name: "value", nested: { list: [1, 2] } }); is(Object.isFrozen(config.nested.list), true);
        is(clock.now(), 1767225600000); is(Date.now(), 1767225600000); is(new Date().getUTCFullYear(), 2026);
        is(new Date(0).toISOString(), "1970-01-01T00:00:00.000Z"); is(clock.remaining() > 0, true);
        is(secret("none"), undefined); is(crypto.randomUUID().length, 36);
        const drawn = [Math.random(), Math.random()]; is(drawn[0] !== drawn[1] && drawn.every((x) => x >= 0 && x < 1), true);
        is(crypto.getRandomValues(new Uint8Array(4)).length, 4);
        is(new TextDecoder().decode(new TextEncoder().encode("grüße")), "grüße");
        log.trace("t"); log.debug("d"); log.info("i", { a: 1 }); log.warn("w"); log.error("e"); console.log("c", { d: 1 });
        metrics.count("seen"); metrics.gauge("level", 0.5, { of: "x" }); metrics.observe("took", 2);
        return next();"#,
    )
    .await;
}

#[tokio::test]
async fn what_protects_the_session() {
    let certificate = |distrust: Option<&str>| Certificate {
        subject: "ann".to_owned(),
        sha256: "00ff".to_owned(),
        distrust: distrust.map(str::to_owned),
    };
    let facts = TlsFacts {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        server_name: Some("mx.example".to_owned()),
        ..TlsFacts::default()
    };
    let stage = Stage::new();
    let generation =
        stage.load("export function onConnect() { return reject(JSON.stringify(session.tls)); }").await;
    for (shown, wanted) in [
        (None, ""),
        (
            Some(certificate(None)),
            r#","verifiedSubject":"ann","certificate":{"subject":"ann","sha256":"00ff"}"#,
        ),
        (
            Some(certificate(Some("expired"))),
            r#","certificate":{"subject":"ann","sha256":"00ff","distrust":"expired"}"#,
        ),
    ] {
        let mut call = call_at(Hook::Connect);
        let tls = TlsFacts { certificate: shown, ..facts.clone() };
        Arc::make_mut(&mut call.session).tls = Some(Arc::new(tls));
        let (answer, _) = ask(&generation, Hook::Connect, &mut call).await;
        let first = r#"{"version":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384","serverName":"mx.example""#;
        assert_eq!(answer, format!("reject 550 5.7.1 {first}{wanted}}}"));
    }
}

#[tokio::test]
async fn notes_are_there_in_the_next_call() {
    let stage = Stage::new();
    let generation = stage
        .load("export function onConnect() { const seen = session.notes.getJson('n') ?? 0; session.notes.setJson('n', seen + 1); return seen ? reject(`seen ${seen}`) : next(); }")
        .await;
    let mut call = call_at(Hook::Connect);
    assert_eq!(ask(&generation, Hook::Connect, &mut call).await.0, "next");
    assert_eq!(ask(&generation, Hook::Connect, &mut call).await.0, "reject 550 5.7.1 seen 1");
}

#[tokio::test]
async fn credentials() {
    passes(
        Hook::Auth,
        r#"is(a, { mechanism: "PLAIN", user: "ann", password: "secret" }); return allow("ann");"#,
    )
    .await;
}

#[tokio::test]
async fn recipient_envelope_and_services() {
    passes(
        Hook::Rcpt,
        r#"is(String(a), "ann@us.example"); is([a.local, a.domain], ["ann", "us.example"]); is({ a }, { a: "ann@us.example" });
        is(b.NOTIFY, "NEVER"); is(envelope.recipientParams(a).NOTIFY, "NEVER"); is(envelope.recipientCount, 1);
        is(envelope.sender, "from@them.example"); is(envelope.recipients, ["ann@us.example"]); is(envelope.priority, 0);
        is(envelope.tenant, undefined); is(envelope.stream, undefined); is(Object.keys(envelope.senderParams), []);
        is(envelope.id.length > 8, true); is(Address.parse("X@Y.Example").domain, "y.example");
        envelope.score("A", 1.5); is(envelope.totalScore, 1.5); envelope.tag("t", 1); envelope.setPriority(3);
        envelope.notes.set("n", "v"); envelope.setStream("bulk"); envelope.setSender("new@them.example");
        envelope.redirect(a, ["bob@us.example", "carl@us.example"]);
        const bucket = kv("rate");
        is(bucket.get("none"), undefined); bucket.set("k", "v", "1h"); is(bucket.get("k"), "v");
        bucket.setJson("j", { x: [1] }); is(bucket.getJson("j"), { x: [1] });
        bucket.set("o", new Uint8Array([0, 255])); is([...bucket.getBytes("o")], [0, 255]);
        is(bucket.setIfAbsent("k", "w"), false); is(bucket.compareAndSet("k", "v", "w"), true); is(bucket.get("k"), "w");
        bucket.delete("k"); is(bucket.get("k"), undefined); is(bucket.increment("n" + clock.now() + Math.random(), 2), 2);
        is(bucket.take("t" + Math.random(), 1, 2, "1m"), { allowed: true, remaining: 1, retryAfterMs: 0 });
        is(bucket.scan("j").keys, ["j"]);
        is(dns.a("none.example"), []); is(dns.mx("none.example"), []); is(dns.txt("none.example"), []); is(dns.ptr("2001:db8::1"), []);
        is(dns.aaaa("none.example"), []); is(dns.lookup("none.example", "TLSA").rcode, 3);
        is(dns.lookupMany([["a.example", "A"], ["b.example", 28]]).length, 2);
        is(dns.blocklists(["zen.example"], "192.0.2.1"), [{ zone: "zen.example", listed: false, addresses: [] }]);
        const response = http.fetch("http://api.example/v1/x", { method: "PUT", headers: { "X-A": "b" }, body: "four", timeout: "1s" });
        is([response.status, response.ok, response.header("X-Name")], [200, true, "value"]);
        is(response.json(), { plugin: "policy", method: "PUT", octets: 4 });
        const both = http.fetchMany(["http://api.example/v1/a", ["http://other.example/", {}]]);
        is([both[0].status, both[1].code], [200, "denied"]);
        is(verify(a), { code: 250, enhanced: "2.1.5", text: "ok", host: "mx.example" }); is(verify("bob@us.example").code, 550);
        try { kv("other").get("k"); is(1, 2); } catch (error) { is(error.code, "denied"); }
        return accept();"#,
    )
    .await;
}

#[tokio::test]
async fn message_and_parts() {
    passes(
        Hook::Data,
        r#"is(message.header("subject"), "café"); is(message.headers("x-old"), ["1"]); is(message.headerNames.length, 6);
        is(message.rawHeader("subject").trim(), "=?utf-8?q?caf=C3=A9?="); is(message.tooComplex, undefined);
        is(message.addresses("to"), [{ name: "Ann", address: "ann@us.example" }]);
        is(message.size > message.headerSize, true); is(message.find("needle") > 0, true); is(message.find("nowhere"), undefined);
        is(message.readText(0, 8), "Received"); is(message.read(0, 2).length, 2); is(message.digest().length, 64);
        const [html, file] = message.parts();
        is([html.contentType, html.text().includes("needle"), html.urls()], ["text/html", true, ["http://x.example/y"]]);
        is(html.text({ html: true }).includes("<p>"), true); is(html.within, ["mixed"]); is(html.range.length > 0, true);
        is([file.filename, file.disposition, file.transferEncoding, file.size], ["a.exe", "attachment", "base64", 5]);
        is(file.digest("md5"), "5d41402abc4b2a76b9719d911017c592"); is([...file.read()].length, 5); is(file.charset, undefined);
        is(file.header("content-disposition"), "attachment");
        message.addHeader("X-A", 1); message.insertHeader(0, "X-B", "b"); is(message.setHeader("X-Old", "2"), 1);
        is(message.removeHeader("X-None"), 0);
        is(message.postRaw("http://api.example/v1/scan").json().method, "POST");
        envelope.quarantine("why"); envelope.addRecipient("more@us.example");
        return next();"#,
    )
    .await;
}

#[tokio::test]
async fn edits_reach_the_message() {
    let stage = Stage::new();
    let generation = stage
        .load("export function onData() { message.setHeader('X-Old', 'new'); message.replaceBody('one\\ntwo\\n', message.range(0, 8), [new Uint8Array([10])].length ? '\\n' : ''); return next(); }")
        .await;
    let mut call = call_at(Hook::Data);
    let (answer, edits) = ask(&generation, Hook::Data, &mut call).await;
    assert!(!answer.contains("failed"), "{answer}");
    assert!(edits.iter().any(|edit| edit.contains("X-Old")), "{edits:?}");
    let content = call.content.unwrap().into_content();
    assert!(String::from_utf8_lossy(&content.header).contains("X-Old: new"));
    assert_eq!(String::from_utf8_lossy(&content.rest), "\r\none\r\ntwo\r\nReceived\r\n");
}

#[tokio::test]
async fn routing_and_failure() {
    passes(
        Hook::Route,
        r#"is([routing.attempt, routing.ageMs, routing.lastError], [2, 5000, undefined]);
        routing.useHost("mx.example"); routing.useMxOf("other.example"); routing.useLmtp("127.0.0.1:24");
        routing.addFallback("mx2.example", 26); routing.setQueue("slow"); routing.notBefore(new Date(clock.now() + 1000));
        routing.expireAfter("1d");
        return routed();"#,
    )
    .await;
    passes(
        Hook::Bounce,
        r#"is([failure.permanent, failure.phase, failure.remoteHost], [true, "rcpt", "mx.example"]);
        is(failure.remoteReply, { code: 550, enhanced: "5.1.1", text: "no such user" }); is(typeof failure.class, "string");
        failure.setClass("bad-mailbox");
        return retry("5m");"#,
    )
    .await;
}

#[tokio::test]
async fn decisions() {
    let stage = Stage::new();
    let cases = [
        (Hook::Rcpt, "reject()", "reject 550 5.7.1 Refused by policy"),
        (Hook::Rcpt, "reject('no')", "reject 550 5.7.1 no"),
        (Hook::Rcpt, "reject(554, 'no')", "reject 554 5.7.1 no"),
        (Hook::Rcpt, "reject(554, '5.1.1', 'no')", "reject 554 5.1.1 no"),
        (Hook::Rcpt, "tempfail(450, '4.2.1', 'later')", "tempfail 450 4.2.1 later"),
        (Hook::Rcpt, "disconnect('bye')", "disconnect 421 4.7.0 bye"),
        (Hook::Rcpt, "discard()", "discard"),
        (Hook::Rcpt, "accept()", "accept"),
        (Hook::Data, "quarantine('odd')", "quarantine: odd"),
        (Hook::Data, "discard('spam')", "discard: spam"),
        (Hook::Auth, "deny()", "deny 535 5.7.8 Authentication failed"),
        (Hook::Auth, "allow('ann')", "allow ann"),
        (Hook::Route, "hold('wait')", "hold: wait"),
        (Hook::Route, "fail('no')", "fail 550 5.7.1 no"),
        (Hook::Bounce, "notify()", "notify"),
        (Hook::Bounce, "silent()", "silent"),
        (Hook::Bounce, "reroute()", "reroute"),
        (Hook::Bounce, "retry(1000)", "retry in 1000 ms"),
    ];
    for (hook, answer, wanted) in cases {
        let name = ["onConnect", "onAuth", "onRcpt", "onData", "onRoute", "onBounce"][hook as usize];
        let got = stage.decide(hook, &format!("export const {name} = () => {answer};")).await;
        assert_eq!(got, wanted, "{answer}");
    }
}
