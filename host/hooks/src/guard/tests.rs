use std::sync::Arc;

use baton_mail::body::Content;
use baton_mail::{FailureClass, Origin, Phase, ReversePath, SessionId};

use super::*;
use crate::call::{AttemptFacts, FailureFacts, MessageContent};
use crate::{NameCheck, SessionFacts, SessionNotes};

fn call() -> Call {
    let mut session = SessionFacts::new(SessionId(7), "smtp".to_owned(), "192.0.2.9".parse().unwrap(), 4_000);
    session.helo = Some("Client.example".to_owned());
    session.name_check = Some(NameCheck::Fail);
    let mut call = Call::new(Arc::new(session), SessionNotes::default());
    call.envelope.sender = ReversePath::Mailbox("Ann@Them.example".parse().unwrap());
    call.envelope.recipients.push("bob@us.example".parse::<Mailbox>().unwrap().into());
    call.envelope.scores.push(("A".to_owned(), 2.5));
    call.envelope.tags.push(("kind".to_owned(), "news".to_owned()));
    call.envelope.tenant = Some("acme".to_owned());
    call.envelope.origin = Origin::internal();
    call.content =
        Some(MessageContent::new(Content::split("Subject: Invoice 7\r\nX-A: b\r\n\r\nbody\r\n".into())));
    call.attempt = Some(AttemptFacts { attempt: 3, age_ms: 60_000, last: None });
    call.failure = Some(FailureFacts {
        permanent: true,
        phase: Phase::Rcpt,
        class: FailureClass::BadMailbox,
        remote_host: Some("mx.example".to_owned()),
        reply: None,
    });
    call
}

/// The value at the bounce hook, where everything is known.
fn value(expression: &str) -> Result<bool, String> {
    let tree = check_expression(expression, Hook::Bounce)?;
    let (call, rcpt) = (call(), "bob@us.example".parse().unwrap());
    tree.is_true(&Facts { call: &call, rcpt: Some(&rcpt) }).map_err(|error| error.to_string())
}

#[test]
fn true_expressions() {
    for expression in [
        "true",
        "client in cidr('192.0.2.0/24', '2001:db8::/32')",
        "!(session.ip in cidr('10.0.0.0/8', '192.0.2.1'))",
        "session.ip == '192.0.2.9' && session.ip in ['192.0.2.9', '::1']",
        "session.helo.lowerAscii() == 'client.example' && session.account == ''",
        "session.listener != 'submission' && session.port >= 1024",
        "session.iprev == 'fail' && session.name == '' && tls.server_name == '' && tls.fingerprint == ''",
        "sender.domain.lowerAscii().endsWith('.example') && sender.local.size() == 3",
        "rcpt.domain in ['us.example', 'them.example'] && rcpt.address.startsWith('bob@')",
        "recipients.count == 1 && size > 10 && size < 1000",
        "header('subject').contains('Invoice') && header('Subject').matches('^Invoice [0-9]+$')",
        "header('X-None') == '' && tag('kind') == 'news' && tag('none') == ''",
        "tenant == 'acme' && stream == '' && priority == 0",
        "score >= 2 && score < 2.6 && score + 1.0 > 3.0",
        "attempt * 2 - 1 == 5 && age_ms / 1000 == 60 && attempt % 2 == 1 && -attempt < 0",
        "failure.permanent && failure.class == 'bad-mailbox' && failure.phase == 'rcpt' && failure.code == 0",
        "failure.host == 'mx.example' ? size(failure.host) == 10 : false",
        "1 / 0 == 1 || true",
        "!(false && 1 / 0 == 1)",
        "!(1 / 0 == 1 && false)",
    ] {
        assert_eq!(value(expression), Ok(true), "{expression}");
    }
}

#[test]
fn what_has_no_value_is_an_error() {
    assert_eq!(value("1 / (attempt - 3) == 1"), Err("division by zero".to_owned()));
    assert_eq!(value("9223372036854775807 + attempt > 0"), Err("a number goes beyond 64 bits".to_owned()));
    assert!(value("1 / 0 == 1 || false").is_err());
}

#[test]
fn errors_are_found_at_load_and_say_what_to_do() {
    for (expression, part) in [
        (
            "sender.domian == 'a'",
            "`sender.domian` is not known; at the bounce hook there are client, session.ip",
        ),
        ("size", "is of type int, and must be true or false"),
        ("size == 'a'", "compares a int with a string"),
        ("size + 1.5 > 2", "does not go with a int and a double"),
        ("header(tenant) == ''", "header(..) needs a string constant"),
        ("client in cidr('10.0.0.0/99')", "is not a network"),
        ("client == 'nowhere'", "is not an IP address"),
        ("tenant in cidr('10.0.0.0/8')", "needs an address"),
        ("tenant.matches('(')", "matches:"),
        ("tenant.frobnicate()", "is not a function"),
        ("tenant in [1]", "looks for a string in a list with a int"),
        ("has(session.ip)", "selects a field"),
        ("[1, 2].exists(x, x == 1)", "do not have"),
        ("size >", "is not a CEL expression: column"),
        ("", "is not a CEL expression"),
        ("'a' && true", "`&&` needs a bool, not a string"),
    ] {
        let error = check_expression(expression, Hook::Bounce).unwrap_err();
        assert!(error.contains(part), "{expression}: {error}");
    }
    let long = format!("tenant == '{}'", "x".repeat(EXPRESSION_OCTETS_MAX));
    assert!(check_expression(&long, Hook::Data).unwrap_err().contains("octets"));
    let deep = format!("{}true{}", "(".repeat(500), ")".repeat(500));
    assert!(check_expression(&deep, Hook::Data).is_err());
}

#[test]
fn what_a_hook_does_not_know_is_refused_there() {
    let guard = |hook, when: &str| GuardSettings { hook, when: when.to_owned() };
    let hooks = [Hook::Connect, Hook::Rcpt];
    let errors = Guards::check_all(&[guard(None, "rcpt.domain == 'a'")], &hooks).err().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0]
            .to_string()
            .starts_with("when: `rcpt.domain` is not known at the connect hook, only at rcpt"),
        "{}",
        errors[0]
    );
    let split = [guard(Some(Hook::Rcpt), "rcpt.domain == 'us.example'"), guard(None, "session.port > 0")];
    let guards = Guards::check_all(&split, &hooks).ok().unwrap();
    let (call, rcpt) = (call(), "bob@other.example".parse().unwrap());
    assert!(matches!(guards.evaluate(Hook::Rcpt, &call, Some(&rcpt)), Guarded::LeaveOut));
    assert!(matches!(guards.evaluate(Hook::Connect, &call, None), Guarded::Ask));
    assert!(matches!(guards.evaluate(Hook::Data, &call, None), Guarded::Ask), "no guard, no question");
    let errors = Guards::check_all(&[guard(Some(Hook::Data), "true")], &hooks).err().unwrap();
    assert!(errors[0].to_string().starts_with("when.data: the plugin is not asked"), "{}", errors[0]);
}
