//! What plugins reach beyond header fields and the envelope: parts, digests, new bodies, HTTP, secrets, questions.

use std::collections::BTreeMap;

use baton_hooks::{Grants, Hook, MessageContent, OnFailure, PluginSettings, SecretSource};
use baton_mail::body::Content;
use serde_json::json;

use crate::support::{Host, MESSAGE, ask, call_at, everywhere, image, zoo};

const LETTER: &str = "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>See <a href=\"http://a.example/\">this</a></p>\r\n\
    --b\r\nContent-Disposition: attachment; filename=\"run.exe\"\r\nContent-Type: application/octet-stream\r\n\
    Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n";

async fn ask_about(host: &Host, plugin: PluginSettings, message: &str) -> String {
    let generation = host.load(&[plugin]).await;
    let mut call = call_at(Hook::Data);
    call.content = Some(MessageContent::new(Content::split(message.to_owned().into())));
    ask(&generation, Hook::Data, &mut call).await
}

#[tokio::test]
async fn parts_are_shown_decoded() {
    let host = Host::new();
    let answer = ask_about(&host, zoo(everywhere("parts")), LETTER).await;
    let html = r#"text/html None None Some(\"utf-8\") 7bit mixed true 47 \"p>S\" \"See this\" [\"http://a.example/\"] 32"#;
    let program = r#"application/octet-stream Some(\"attachment\") Some(\"run.exe\") None base64 mixed true 5 \"ell\" \"hello\" [] 32"#;
    assert!(answer.contains(html), "{answer}");
    assert!(answer.contains(program), "{answer}");
    assert!(answer.contains("2 parts|") && answer.contains("|true"), "{answer}");
}

#[tokio::test]
async fn a_message_that_is_too_complex_has_no_parts() {
    let host = Host::new();
    let bomb = "Content-Type:message/rfc822\r\n\r\n".repeat(5_000);
    let answer = ask_about(&host, zoo(everywhere("parts")), &bomb).await;
    assert!(answer.contains("0 parts|true"), "{answer}");
    // A large message is read on a thread of its own, with the same result.
    let large = format!("{LETTER}{}", "epilogue\r\n".repeat(20_000));
    let answer = ask_about(&host, zoo(everywhere("parts")), &large).await;
    assert!(answer.contains("2 parts|"), "{answer}");
}

#[tokio::test]
async fn parts_are_handles_and_handles_are_bounded() {
    let host = Host::new();
    let mut plugin = zoo(everywhere("hoard-parts"));
    plugin.on_failure = OnFailure::Closed;
    assert!(ask_about(&host, plugin, LETTER).await.starts_with("Reject"));
    assert_eq!(host.metric("baton_hooks_failures_total{plugin=\"zoo\",hook=\"data\",kind=\"handles\"}"), 1.0);
}

#[tokio::test]
async fn digests_are_of_the_raw_message() {
    let host = Host::new();
    let answer = ask_about(&host, zoo(everywhere("digest")), "A: b\r\n\r\nc\r\n").await;
    // sha1sum and md5sum of these octets.
    assert!(
        answer
            .contains("a4bc7ef5071eba81cc16883db4805ae662a1eac0 9c46f9263e94c7028ba7be3db3c247f4 there are"),
        "{answer}"
    );
}

#[tokio::test]
async fn work_is_bounded() {
    let host = Host::new();
    let mut plugin = zoo(everywhere("digest"));
    plugin.limits.work_octets_max = 2 * MESSAGE.len() as u64 - 1;
    plugin.on_failure = OnFailure::Closed;
    assert!(ask_about(&host, plugin, MESSAGE).await.starts_with("Reject"));
    assert_eq!(
        host.metric("baton_hooks_failures_total{plugin=\"zoo\",hook=\"data\",kind=\"host-calls\"}"),
        1.0
    );
}

#[tokio::test]
async fn a_finished_body_takes_the_place_of_the_old_one() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("new-body"))]).await;
    let mut call = call_at(Hook::Data);
    let verdict = generation.data(&mut call).await;
    let content = call.content.as_ref().map(MessageContent::content).unwrap();
    assert_eq!(&content.rest[..], "\r\nGrüße\r\nfirst\r\na needle\r\nlast\r\n".as_bytes());
    assert!(content.header.ends_with(b"X-Old: 1\r\nX-Zoo: new body\r\n"), "{content:?}");
    assert!(call.envelope.eight_bit, "the next hop must know 8BITMIME");
    let edits = &verdict.decisions[0].edits;
    assert!(edits.contains(&"body replaced, 32 octets".to_owned()), "{edits:?}");
}

#[tokio::test]
async fn a_body_that_was_not_finished_or_not_granted_changes_nothing() {
    let host = Host::new();
    let mut trapped = zoo(everywhere("new-body-then-trap"));
    trapped.on_failure = OnFailure::Open;
    let mut denied = zoo(everywhere("new-body"));
    denied.grants.edit.clear();
    denied.on_failure = OnFailure::Open;
    for (plugin, header_changes) in
        [(zoo(everywhere("unfinished-body")), true), (trapped, false), (denied, false)]
    {
        let generation = host.load(&[plugin]).await;
        let mut call = call_at(Hook::Data);
        generation.data(&mut call).await;
        let content = call.content.as_ref().map(MessageContent::content).unwrap();
        assert_eq!(&content.rest[..], b"\r\na needle\r\n");
        assert_eq!(content.header.ends_with(b"X-Zoo: new body\r\n"), header_changes);
        assert!(!call.envelope.eight_bit);
    }
    let generation = host.load(&[zoo(everywhere("new-body"))]).await;
    let mut call = call_at(Hook::Route);
    let answer = ask(&generation, Hook::Route, &mut call).await;
    assert!(answer.contains("can not be changed at the route hook"), "{answer}");
}

#[tokio::test]
async fn no_bad_octet_gets_into_a_body() {
    let host = Host::new();
    let mut plugin = zoo(everywhere("bad-body"));
    plugin.limits.body_octets_max = 1 << 20;
    assert_eq!(ask_about(&host, plugin, MESSAGE).await, "Next");
}

#[tokio::test]
async fn later_plugins_read_the_parts_that_earlier_ones_left() {
    let host = Host::new();
    let mut second = zoo(everywhere("parts"));
    second.name = "second".to_owned();
    let generation =
        host.load(&[zoo(json!({ "data": "edit" })), zoo_named("third", "new-body"), second]).await;
    let mut call = call_at(Hook::Data);
    call.envelope.recipients.push("bob@us.example".parse::<baton_mail::Mailbox>().unwrap().into());
    let answer = ask(&generation, Hook::Data, &mut call).await;
    assert!(answer.contains("1 parts|text/plain") && answer.contains("Grüße"), "{answer}");
}

fn zoo_named(name: &str, behaviour: &str) -> PluginSettings {
    PluginSettings { name: name.to_owned(), ..zoo(everywhere(behaviour)) }
}

async fn fetched(host: &Host, config: serde_json::Value, change: impl FnOnce(&mut PluginSettings)) -> String {
    let mut plugin = zoo(config);
    change(&mut plugin);
    let generation = host.load(&[plugin]).await;
    ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await
}

#[tokio::test]
async fn urls_are_asked_by_grant() {
    let host = Host::new();
    let config = |url: &str| json!({ "data": "fetch", "url": url, "field": "secret value", "method": "post", "body": "b" });
    let answer = fetched(&host, config("http://API.example/v1/x"), |_| ()).await;
    assert!(
        answer.contains("200: zoo POST http://api.example/v1/x [(\\\"x-field\\\", \\\"secret value\\\")] b"),
        "{answer}"
    );
    for outside in ["http://api.example/v2/", "https://api.example/v1/", "http://other.example/v1/"] {
        let answer = fetched(&host, config(outside), |_| ()).await;
        assert!(answer.contains("Error::Denied"), "{outside}: {answer}");
    }
    let answer = fetched(&host, config("http://api.example/v1/"), |plugin| plugin.grants.http.clear()).await;
    assert!(answer.contains("Error::Denied"), "{answer}");
    assert_eq!(host.metric("baton_hooks_http_requests_total{plugin=\"zoo\",outcome=\"answered\"}"), 1.0);
    assert_eq!(host.metric("baton_hooks_http_requests_total{plugin=\"zoo\",outcome=\"denied\"}"), 4.0);
}

#[tokio::test]
async fn requests_are_bounded() {
    let host = Host::new();
    let many = json!({ "data": "fetch-many", "url": "http://api.example/v1/" });
    let answer = fetched(&host, many, |plugin| plugin.limits.http_requests_max = 7).await;
    assert!(answer.contains("7 answered; failed: more than 7 requests"), "{answer}");
    let slow = json!({ "data": "fetch", "url": "http://api.example/v1/slow" });
    let answer = fetched(&host, slow, |plugin| plugin.limits.wall_ms = 2_000).await;
    assert!(answer.contains("Error::Timeout"), "the plugin has time left to decide: {answer}");
    let large = json!({ "data": "fetch", "url": "http://api.example/v1/", "max_response": "5" });
    assert!(fetched(&host, large, |_| ()).await.contains("Error::TooLarge"));
    let body = json!({ "data": "fetch", "url": "http://api.example/v1/", "body": "12345" });
    let answer = fetched(&host, body, |plugin| plugin.limits.http_request_octets_max = 4).await;
    assert!(answer.contains("at most 4 octets"), "{answer}");
    let tunnel = json!({ "data": "fetch", "url": "http://api.example/v1/", "method": "CONNECT" });
    assert!(fetched(&host, tunnel, |_| ()).await.contains("the method is one of"));
}

#[tokio::test]
async fn the_raw_message_is_posted_with_its_edits() {
    let host = Host::new();
    let config = json!({ "data": "post", "url": "http://api.example/v1/" });
    let answer = fetched(&host, config.clone(), |_| ()).await;
    let posted = "X-Old: 1  X-Zoo: posted    a needle";
    assert!(answer.contains(posted), "{answer}");
    let denied = fetched(&host, config, |plugin| plugin.grants = Grants::default()).await;
    assert!(denied.contains("Error::Denied"), "{denied}");
}

#[tokio::test]
async fn secrets_are_for_calls_and_not_for_init() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "hunter2\n").unwrap();
    let bound = |plugin: &mut PluginSettings| {
        plugin.secrets = BTreeMap::from([("token".to_owned(), SecretSource::File(path.clone()))]);
        plugin.grants.secrets = vec!["token".to_owned()];
    };
    // With `init = capabilities`, the plugin is refused when a secret is answered during init.
    let config = json!({ "data": "secret", "init": "capabilities", "url": "http://api.example/v1/" });
    assert!(fetched(&host, config.clone(), bound).await.contains("Some(\\\"hunter2\\\")"));
    let not_requested = |plugin: &mut PluginSettings| {
        bound(plugin);
        plugin.grants.secrets.clear();
    };
    assert!(fetched(&host, config.clone(), not_requested).await.contains("None"));
    // A reload reads it again.
    std::fs::write(&path, "correct horse").unwrap();
    assert!(fetched(&host, config.clone(), bound).await.contains("correct horse"));
    std::fs::remove_file(&path).unwrap();
    let mut plugin = zoo(config);
    bound(&mut plugin);
    let errors = host.errors(&[plugin], &Default::default()).await;
    assert!(errors.len() == 1 && errors[0].starts_with("plugins.zoo.secrets.token: "), "{errors:?}");
}

#[tokio::test]
async fn a_bad_http_grant_is_an_error_of_the_load() {
    let host = Host::new();
    let mut plugin = zoo(json!({}));
    plugin.grants.http = vec!["api.example".to_owned()];
    let errors = host.errors(&[plugin], &Default::default()).await;
    assert!(
        errors.len() == 1 && errors[0].starts_with("plugins.zoo.grants.http: \"api.example\""),
        "{errors:?}"
    );
}

#[tokio::test]
async fn next_hops_are_asked_at_rcpt_by_grant() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("verify"))]).await;
    let answer = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert!(answer.contains("mx.example says 250 ok; failed: not an address"), "{answer}");
    assert!(answer.contains("more than 4 questions"), "{answer}");
    let answer = ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await;
    assert!(answer.contains("Error::Denied"), "{answer}");
    let mut denied = zoo(everywhere("verify"));
    denied.grants.verify = false;
    let denied = host.load(&[denied]).await;
    let answer = ask(&denied, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert!(answer.contains("Error::Denied"), "{answer}");
}

#[tokio::test]
async fn a_priority_is_set_within_its_range() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("priority"))]).await;
    for hook in [Hook::Rcpt, Hook::Data] {
        let mut call = call_at(hook);
        assert_eq!(ask(&generation, hook, &mut call).await, "Next", "{hook}");
        assert_eq!(call.envelope.priority, 7);
    }
    let mut call = call_at(Hook::Route);
    let before = image(&call);
    assert!(ask(&generation, Hook::Route, &mut call).await.contains("[false, false, false]"));
    assert_eq!(image(&call), before);
}
