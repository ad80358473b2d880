//! Changes: applied with a grant and an answer, refused without the grant, remarks only when the mail was refused.

use baton_hooks::{Grants, Hook, MessageContent};
use baton_mail::edit::RouteEdit;
use baton_mail::{FailureClass, ReversePath, UnixMs};

use crate::support::{Host, ask, call_at, everywhere, mailbox, zoo};

#[tokio::test]
async fn data_edits_are_applied() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("edit"))]).await;
    let mut call = call_at(Hook::Data);
    call.envelope.recipients.push(mailbox("bob@us.example").into());
    let verdict = generation.data(&mut call).await;
    let content = call.content.as_ref().map(MessageContent::content).unwrap();
    let header = String::from_utf8(content.header.to_vec()).unwrap();
    assert_eq!(
        header,
        "X-Zoo-Top: inserted\r\nReceived: from a\r\nSubject: the zoo\r\nTo: Ann <ann@us.example>\r\nX-Zoo: added\r\n"
    );
    assert_eq!(&content.rest[..], b"\r\na needle\r\n");
    let recipients: Vec<String> =
        call.envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
    assert_eq!(recipients, ["bob@us.example", "lion@zoo.example"]);
    assert_eq!(call.recipient_parameters.len(), 2);
    assert_eq!(call.envelope.sender, ReversePath::Null);
    assert_eq!(call.envelope.tags, [("zoo".to_owned(), "was here".to_owned())]);
    assert_eq!(call.envelope.stream.as_deref(), Some("zoo"));
    assert_eq!(call.envelope.total_score(), 1.5);
    assert_eq!(call.envelope.notes, [("zoo/seen".to_owned(), b"data".to_vec())]);
    assert_eq!(call.quarantine.as_deref(), Some("looks wild"));
    let [decision] = verdict.decisions.as_slice() else { panic!("{:?}", verdict.decisions) };
    assert!(decision.plugin.starts_with("zoo@") && decision.plugin.ends_with("#1"), "{}", decision.plugin);
    assert_eq!((decision.hook.as_str(), decision.answer.as_str()), ("data", "next"));
    assert!(decision.edits.contains(&"header+X-Zoo".to_owned()), "{:?}", decision.edits);
}

#[tokio::test]
async fn rcpt_edits_change_the_recipient_at_hand() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("edit"))]).await;
    let mut call = call_at(Hook::Rcpt);
    call.envelope.recipients.insert(0, mailbox("first@us.example").into());
    call.recipient_parameters.insert(0, Vec::new());
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call).await, "Next");
    let recipients: Vec<String> =
        call.envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
    assert_eq!(recipients, ["first@us.example", "lion@zoo.example", "tiger@zoo.example"]);
    assert_eq!(call.envelope.recipients[2].original, Some(mailbox("ann@us.example")));
    assert_eq!(call.recipient_parameters[2], call.recipient_parameters[1]);
    assert_eq!(call.envelope.sender, ReversePath::Mailbox(mailbox("keeper@zoo.example")));
}

#[tokio::test]
async fn route_and_bounce_edits_are_results() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("edit"))]).await;
    let mut call = call_at(Hook::Route);
    assert_eq!(ask(&generation, Hook::Route, &mut call).await, "Next");
    let expected = [
        RouteEdit::MxOf("zoo.example".parse().unwrap()),
        RouteEdit::Host("mx.zoo.example".to_owned(), 2525),
        RouteEdit::Fallback("192.0.2.9".to_owned(), 25),
        RouteEdit::Lmtp("unix:/run/zoo".to_owned()),
        RouteEdit::Named("archive".to_owned()),
        RouteEdit::Queue("zoo".to_owned()),
        RouteEdit::NotBefore(UnixMs(5_000)),
        RouteEdit::ExpireAfterMs(60_000),
    ];
    assert_eq!(call.routes, expected);
    assert!(call.envelope.tags.is_empty(), "the envelope of a queued message is fixed");
    let mut call = call_at(Hook::Bounce);
    assert_eq!(ask(&generation, Hook::Bounce, &mut call).await, "Next");
    assert_eq!(call.class, Some(FailureClass::Quota));
}

#[tokio::test]
async fn nothing_is_changed_without_a_grant() {
    let host = Host::new();
    let mut plugin = zoo(everywhere("edit"));
    plugin.grants = Grants::default();
    let generation = host.load(&[plugin]).await;
    for hook in Hook::ALL {
        let mut call = call_at(hook);
        assert_eq!(ask(&generation, hook, &mut call).await, "Next", "{hook}");
        let before = call_at(hook);
        assert_eq!(call.envelope.sender, before.envelope.sender, "{hook}");
        assert_eq!(call.envelope.recipients, before.envelope.recipients, "{hook}");
        let octets =
            |message: &Option<MessageContent>| message.as_ref().map(|message| message.content().clone());
        assert_eq!(octets(&call.content), octets(&before.content), "{hook}");
        let needs_no_grant = |edit: &RouteEdit| {
            matches!(edit, RouteEdit::Queue(_) | RouteEdit::NotBefore(_) | RouteEdit::ExpireAfterMs(_))
        };
        assert!(call.routes.iter().all(needs_no_grant), "{:?}", call.routes);
    }
    assert!(host.metric("baton_hooks_refused_edits_total{plugin=\"zoo\"}") > 10.0);
}

#[tokio::test]
async fn a_refusal_leaves_remarks_only() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("edit-then-reject"))]).await;
    for hook in [Hook::Rcpt, Hook::Data] {
        let mut call = call_at(hook);
        assert!(ask(&generation, hook, &mut call).await.starts_with("Reject"), "{hook}");
        assert_eq!(call.envelope.recipients, call_at(hook).envelope.recipients);
        assert_eq!(call.envelope.sender, call_at(hook).envelope.sender);
        assert_eq!(call.envelope.stream, None);
        assert_eq!(call.envelope.tags.len(), 1);
        assert_eq!(call.envelope.notes.len(), 1);
        assert_eq!(call.quarantine, None);
    }
}
