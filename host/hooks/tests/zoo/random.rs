//! Whatever a plugin does with the functions that it has, no malformed message and no malformed reply comes out.

use baton_hooks::{DataAnswer, Generation, Hook, MessageContent};
use baton_mail::Reply;
use baton_mail::body::Content;
use baton_mail::envelope::PRIORITY_MAX;
use baton_mail::header::{HeaderIndex, HeaderLimits, LINE_OCTETS_MAX};
use baton_mail::lines::has_stray;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Host, call_at, zoo};

/// Octets that a reply has on the wire: code, text, line end (RFC 5321 4.5.3.1.5).
const REPLY_LINE_OCTETS_MAX: usize = 512;

/// A letter with parts, on which the dice of the plugin (see `dice.rs` of the zoo) stand in two fields.
fn letter(dice: &[u8], words: &str) -> Vec<u8> {
    let digits: String = dice.iter().map(|octet| format!("{octet:02x}")).collect();
    let folded: Vec<String> =
        digits.as_bytes().chunks(70).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let reply = if words.is_empty() { String::new() } else { format!("X-Reply: {words}\r\n") };
    format!(
        "Received: from a\r\nSubject: x\r\nTo: Ann <ann@us.example>\r\nX-Dice:\r\n {}\r\n{reply}\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\n\r\n.\r\n..dots\r\n--b--\r\n",
        folded.join("")
    )
    .into_bytes()
}

fn check_content(content: &Content) -> Result<(), TestCaseError> {
    prop_assert!(!has_stray(&content.header) && !has_stray(&content.rest));
    prop_assert!(content.header.is_empty() || content.header.ends_with(b"\r\n"));
    prop_assert!(content.rest.starts_with(b"\r\n"), "the empty line is there");
    prop_assert!(!content.rest.contains(&0) && !content.header.contains(&0));
    let whole = content.clone().into_body(Bytes::new()).to_bytes();
    prop_assert_eq!(&Content::split(whole.clone()), content, "header and body end where they should");
    let longest = whole.split(|octet| *octet == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    prop_assert!(longest <= LINE_OCTETS_MAX.max(2_000) + 1);
    let index = HeaderIndex::scan(&content.header, &HeaderLimits::default()).unwrap();
    prop_assert!(index.names().all(|name| !name.eq_ignore_ascii_case("X-Injected")));
    prop_assert_eq!(index.count("Received"), 1);
    Ok(())
}

fn check_reply(reply: &Reply) -> Result<(), TestCaseError> {
    let wire = reply.to_string();
    prop_assert!(!wire.chars().any(char::is_control), "{:?}", wire);
    prop_assert!(matches!(reply.code(), 400..=599) && wire.starts_with(&reply.code().to_string()));
    prop_assert!(wire.len() + 2 <= REPLY_LINE_OCTETS_MAX, "{}", wire.len());
    if let Some(enhanced) = reply.enhanced() {
        prop_assert_eq!(u16::from(enhanced.0), reply.code() / 100);
    }
    Ok(())
}

async fn check_call(generation: &Generation, dice: &[u8], words: &str) -> Result<(), TestCaseError> {
    let mut call = call_at(Hook::Data);
    let letter = letter(dice, words);
    // As the session sees to before any plugin is asked.
    let was_ascii = letter.is_ascii();
    call.envelope.eight_bit = !was_ascii;
    call.content = Some(MessageContent::new(Content::split(letter.into())));
    let verdict = generation.data(&mut call).await;
    let content = call.content.as_ref().map(MessageContent::content).unwrap();
    check_content(content)?;
    let is_ascii = content.header.is_ascii() && content.rest.is_ascii();
    prop_assert!(
        is_ascii || call.envelope.eight_bit,
        "the next hop would get octets that it was not told of"
    );
    prop_assert!(
        call.envelope.eight_bit != is_ascii || !was_ascii,
        "no next hop is asked for more than it needs"
    );
    prop_assert!(!call.envelope.recipients.is_empty());
    prop_assert!((-PRIORITY_MAX..=PRIORITY_MAX).contains(&call.envelope.priority));
    let texts = call.envelope.tags.iter().map(|(name, value)| format!("{name}{value}"));
    let texts = texts.chain(call.envelope.stream.clone()).chain(call.quarantine.clone());
    let mut texts = texts.chain(verdict.decisions.iter().flat_map(|decision| decision.edits.clone()));
    prop_assert!(texts.all(|text| !text.chars().any(char::is_control)));
    match verdict.answer {
        DataAnswer::Reject(reply) | DataAnswer::Tempfail(reply) | DataAnswer::Disconnect(reply) => {
            check_reply(&reply)
        }
        _ => Ok(()),
    }
}

#[test]
fn random_edits_and_answers_never_yield_a_malformed_message_or_reply() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let generation = runtime.block_on(async {
        let host = Host::new();
        host.load(&[zoo(json!({ "data": "dice" }))]).await
    });
    let words = prop_oneof![Just(String::new()), "[ -~é\u{2028}]{1,700}"];
    let strategy = (prop::collection::vec(any::<u8>(), 0..400), words);
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let run = runner.run(&strategy, |(dice, words)| runtime.block_on(check_call(&generation, &dice, &words)));
    run.unwrap();
}
