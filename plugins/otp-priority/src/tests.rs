use super::*;
use crate::recognise::{Mail, points};
use baton_sdk::testing::{Edit, TestHost, Value, json};

fn corpus(kind: &str) -> Vec<Mail> {
    let corpus: toml::Table = include_str!("../fixtures/corpus.toml").parse().unwrap();
    let mails = corpus[kind].as_array().unwrap().iter();
    let text = |mail: &toml::Value, key: &str| mail[key].as_str().unwrap().to_owned();
    mails
        .map(|mail| Mail {
            subject: text(mail, "subject"),
            texts: vec![text(mail, "text")],
            ..Mail::default()
        })
        .collect()
}

#[test]
fn precision_and_recall_on_the_corpus() {
    let threshold = Config::default().threshold;
    let recognised = |mail: &&Mail| points(mail, &[]) >= threshold;
    let (codes, others) = (corpus("code"), corpus("other"));
    let missed: Vec<_> = codes.iter().filter(|mail| !recognised(mail)).map(|mail| &mail.subject).collect();
    let wrong: Vec<_> = others.iter().filter(recognised).map(|mail| &mail.subject).collect();
    println!(
        "{} of {} codes missed: {missed:?}; {} of {} others taken for codes: {wrong:?}",
        missed.len(),
        codes.len(),
        wrong.len(),
        others.len()
    );
    assert!(wrong.is_empty(), "taken for codes: {wrong:?}");
    assert!(missed.is_empty(), "missed: {missed:?}");
}

fn ask(config: Value, message: &str, change: impl FnOnce(TestHost) -> TestHost) -> Vec<Edit> {
    let host = change(TestHost::new().config(config).message(message));
    let plugin: OtpPriority = host.plugin().unwrap();
    assert_eq!(plugin.on_data(&host.context()).unwrap(), DataDecision::Next);
    host.edits()
}

const CODE: &str =
    "Subject: Your verification code\n\nYour verification code is 482913. It expires in 10 minutes.\n";

#[test]
fn a_code_is_raised_and_nothing_tells_it() {
    let edits = ask(json!({}), CODE, |host| host);
    assert!(
        matches!(edits.as_slice(), [Edit::Priority(6), Edit::Tag(name, points)] if name == "otp" && !points.contains("482913")),
        "{edits:?}"
    );
    let edits = ask(json!({ "tag": false, "stream": "otp", "priority": 9 }), CODE, |host| host);
    assert_eq!(edits, [Edit::Priority(9), Edit::Stream("otp".into())]);
}

#[test]
fn a_priority_is_never_lowered() {
    assert_eq!(ask(json!({ "tag": false }), CODE, |host| host.priority(8)), []);
    assert_eq!(ask(json!({ "tag": false }), CODE, |host| host.priority(-3)), [Edit::Priority(6)]);
}

#[test]
fn html_is_read_as_its_reader_sees_it() {
    let html = "Subject: Welcome\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<style>.c1234 { }</style><p>Your security code:</p><table><tr><td><b>551 920</b></td></tr></table><p>It expires in 5 minutes.</p>\n";
    assert!(!ask(json!({}), html, |host| host).is_empty());
}

#[test]
fn mail_to_many_and_mail_with_files_are_no_codes() {
    let news = CODE.replace("Your verification code\n\nYour verification code is", "News\n\nThe code is");
    assert!(ask(json!({}), &format!("List-Id: <news.example>\n{news}"), |host| host).is_empty());
    let files = include_str!("../fixtures/with-file.eml");
    assert!(ask(json!({}), files, |host| host).is_empty());
}

#[test]
fn strangers_are_left_out_when_so_set() {
    let config = json!({ "clients": "authenticated", "tag": false });
    assert!(ask(config.clone(), CODE, |host| host).is_empty());
    assert_eq!(ask(config, CODE, |host| host.account("ann")), [Edit::Priority(6)]);
}

#[test]
fn own_words_count() {
    let mail = "Subject: Acme\n\nSesamwort: 551920, 5 minutes\n";
    assert!(ask(json!({}), mail, |host| host).is_empty());
    assert!(!ask(json!({ "more_words": ["Sesamwort"] }), mail, |host| host).is_empty());
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "priority": 10 }), "priority"),
        (json!({ "threshold": 0 }), "threshold"),
        (json!({ "stream": "a b" }), "stream"),
        (json!({ "more_words": ["x"] }), "more_words[0]"),
    ] {
        let problems = TestHost::new().config(config).plugin::<OtpPriority>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
