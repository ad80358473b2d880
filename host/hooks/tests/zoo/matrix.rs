//! {what a plugin can do wrong} × {hook} × {failure policy} → the answer of the table, nothing changed, all else well.

use std::sync::Arc;

use baton_hooks::{Call, Generation, Hook, Instances, Limits, OnFailure};

use crate::support::{Host, ask, call_at, everywhere, image, limits, zoo};

const POLICIES: [OnFailure; 4] =
    [OnFailure::Tempfail, OnFailure::Open, OnFailure::Closed, OnFailure::Quarantine];

/// The table of the documentation, written down a second time.
fn expected(hook: Hook, policy: OnFailure) -> &'static str {
    match (hook, policy) {
        (Hook::Connect, OnFailure::Tempfail | OnFailure::Quarantine) => "Tempfail 421 4.3.0",
        (Hook::Connect, OnFailure::Closed) => "Reject 554 5.3.0",
        (Hook::Auth, OnFailure::Tempfail | OnFailure::Quarantine) => "Tempfail 454 4.3.0",
        (Hook::Auth, OnFailure::Closed) => "Deny 550 5.3.0",
        (Hook::Rcpt | Hook::Data, OnFailure::Tempfail) => "Tempfail 451 4.3.0",
        (Hook::Rcpt | Hook::Data, OnFailure::Closed) => "Reject 550 5.3.0",
        (Hook::Route, OnFailure::Tempfail) => "Retry 300000",
        (Hook::Route, OnFailure::Closed) => "Fail 550 5.3.0",
        (Hook::Route, OnFailure::Quarantine) => "Hold",
        (Hook::Bounce, OnFailure::Tempfail | OnFailure::Quarantine) => "Retry 300000",
        (Hook::Bounce, OnFailure::Closed) => "Fail",
        (Hook::Rcpt | Hook::Data, OnFailure::Quarantine) | (_, OnFailure::Open) => "Next",
        (Hook::Events, _) => panic!("observers are not asked"),
    }
}

/// The debug form of an answer, cut down to what the table says.
fn brief(answer: &str) -> String {
    let name: String = answer.chars().take_while(char::is_ascii_alphabetic).collect();
    let number = |key: &str| {
        let rest = answer.split_once(key)?.1;
        Some(rest.chars().take_while(char::is_ascii_digit).collect::<String>())
    };
    let enhanced = answer.split_once("EnhancedCode(").and_then(|(_, rest)| rest.split_once(')'));
    match (number("code: "), enhanced, number("after_ms: ").or_else(|| number("Retry("))) {
        (Some(code), Some((enhanced, _)), _) => format!("{name} {code} {}", enhanced.replace(", ", ".")),
        (_, _, Some(after_ms)) => format!("{name} {after_ms}"),
        _ => name,
    }
}

/// Every hook, failure policy and instance policy with one behaviour that must fail. Before each failure the instance is
/// warm where the policy keeps one; after it a tame plugin on the same engine is asked, and the same plugin again.
async fn check_failure(behaviour: &str, kind: &str, limits: Limits, hooks: &[Hook]) {
    let host = Host::new();
    let tame = host.load(&[zoo(everywhere("next"))]).await;
    let mut failures = 0.0;
    for instances in [Instances::Fresh, Instances::Session, Instances::Pool] {
        let mut spoilt = 0.0;
        for policy in POLICIES {
            let mut wild = zoo(everywhere(behaviour));
            wild.config["tame"] = "relay".into();
            wild.name = format!("wild-{}", instances.as_str());
            wild.on_failure = policy;
            wild.limits = limits;
            wild.run.instances = instances;
            let generation = host.load(&[wild]).await;
            for hook in hooks.iter().copied() {
                let told = format!("{behaviour} at {hook}, {policy:?}, {instances:?}");
                assert_eq!(ask(&generation, hook, &mut call_at(hook)).await, "Next", "tame before {told}");
                check_one_failure(&generation, hook, policy, &told).await;
                assert_eq!(ask(&generation, hook, &mut call_at(hook)).await, "Next", "tame after {told}");
                assert_eq!(ask(&tame, hook, &mut call_at(hook)).await, "Next", "another after {told}");
                failures += 1.0;
                spoilt += f64::from(u8::from(is_kept(instances, hook)));
            }
        }
        let line =
            format!("baton_hooks_instances_total{{plugin=\"wild-{}\",what=\"spoilt\"}}", instances.as_str());
        assert_eq!(host.metric(&line), spoilt, "each warm instance that failed is dropped: {behaviour}");
    }
    let counted = |hook: &Hook| {
        let of = |instances: Instances| {
            let plugin = format!("wild-{}", instances.as_str());
            host.metric(&format!(
                "baton_hooks_failures_total{{plugin=\"{plugin}\",hook=\"{hook}\",kind=\"{kind}\"}}"
            ))
        };
        of(Instances::Fresh) + of(Instances::Session) + of(Instances::Pool)
    };
    assert_eq!(hooks.iter().map(counted).sum::<f64>(), failures, "{behaviour} is counted as {kind}");
}

/// True where the tame call before left a warm instance.
fn is_kept(instances: Instances, hook: Hook) -> bool {
    match instances {
        Instances::Fresh => false,
        Instances::Session => !matches!(hook, Hook::Route | Hook::Bounce),
        Instances::Pool => true,
    }
}

async fn check_one_failure(generation: &Generation, hook: Hook, policy: OnFailure, told: &str) {
    let mut call = wild_call_at(hook);
    let before = image(&call);
    let answer = ask(generation, hook, &mut call).await;
    assert_eq!(brief(&answer), expected(hook, policy), "{told}: {answer}");
    let is_held = call.quarantine.take().is_some();
    let holds = policy == OnFailure::Quarantine && matches!(hook, Hook::Rcpt | Hook::Data | Hook::Route);
    assert_eq!(is_held, holds, "{told}");
    assert_eq!(image(&call), before, "{told} left something behind");
}

/// A call at a listener where the zoo is not tame.
fn wild_call_at(hook: Hook) -> Call {
    let mut call = call_at(hook);
    Arc::make_mut(&mut call.session).listener = "wild".to_owned();
    call
}

#[tokio::test]
async fn trap() {
    check_failure("trap", "trap", limits(), &Hook::ALL).await;
}

#[tokio::test]
async fn panic() {
    check_failure("panic", "trap", limits(), &Hook::ALL).await;
}

#[tokio::test]
async fn endless_loop() {
    check_failure("loop", "cpu-budget", Limits { cpu_ms: 5, ..limits() }, &Hook::ALL).await;
}

#[tokio::test]
async fn memory_bomb() {
    check_failure("memory", "memory", limits(), &Hook::ALL).await;
}

#[tokio::test]
async fn stack_overflow() {
    check_failure("stack", "trap", limits(), &Hook::ALL).await;
}

#[tokio::test]
async fn handle_leak() {
    check_failure("handles", "handles", limits(), &Hook::ALL).await;
}

#[tokio::test]
async fn host_call_flood() {
    check_failure("flood", "host-calls", Limits { cpu_ms: 10_000, ..limits() }, &Hook::ALL).await;
}

#[tokio::test]
async fn oversized_host_call() {
    check_failure("big", "host-calls", Limits { cpu_ms: 10_000, ..limits() }, &Hook::ALL).await;
}

#[tokio::test]
async fn a_text_that_is_none() {
    check_failure("invalid-text", "trap", limits(), &Hook::ALL).await;
}

#[tokio::test]
async fn a_length_beyond_all_memory() {
    check_failure("false-length", "trap", limits(), &Hook::ALL).await;
}

/// The bounce hook has no text in its answers.
#[tokio::test]
async fn huge_answer() {
    let hooks = [Hook::Connect, Hook::Auth, Hook::Rcpt, Hook::Data, Hook::Route];
    check_failure("huge-answer", "host-calls", Limits { cpu_ms: 10_000, ..limits() }, &hooks).await;
}

#[tokio::test]
async fn waiting_for_ever() {
    check_failure("sleep", "wall-time", Limits { wall_ms: 20, ..limits() }, &Hook::ALL).await;
}

/// A reply of the wrong class; at the bounce hook, which has no reply, a time that makes no sense.
#[tokio::test]
async fn bad_verdict() {
    check_failure("wrong-class", "bad-verdict", limits(), &Hook::ALL).await;
}

#[tokio::test]
async fn edits_before_a_trap() {
    check_failure("edit-then-trap", "trap", limits(), &Hook::ALL).await;
}

/// No failure: the reply is made harmless and counts.
#[tokio::test]
async fn line_breaks_in_a_reply() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("crlf"))]).await;
    for hook in [Hook::Connect, Hook::Auth, Hook::Rcpt, Hook::Data, Hook::Route] {
        let answer = ask(&generation, hook, &mut call_at(hook)).await;
        assert!(answer.contains("text: \"no  250 yes\""), "{hook}: {answer}");
    }
    assert_eq!(ask(&generation, Hook::Bounce, &mut call_at(Hook::Bounce)).await, "Fail");
}

/// No failure either: every forgery is refused, and the plugin is told so.
#[tokio::test]
async fn forged_fields() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("forge"))]).await;
    for hook in Hook::ALL {
        let mut call = call_at(hook);
        let before = image(&call);
        assert_eq!(ask(&generation, hook, &mut call).await, "Next", "{hook}");
        assert_eq!(image(&call), before, "{hook}");
    }
    assert_eq!(host.metric("baton_hooks_refused_edits_total{plugin=\"zoo\"}"), 6.0 * 17.0);
}

/// No failure: what is too much is dropped and counted.
#[tokio::test]
async fn log_flood() {
    let host = Host::standing_still();
    let generation = host.load(&[zoo(everywhere("logs"))]).await;
    for hook in Hook::ALL {
        assert_eq!(ask(&generation, hook, &mut call_at(hook)).await, "Next", "{hook}");
    }
    let dropped = host.metric("baton_hooks_dropped_lines_total{plugin=\"zoo\"}");
    assert_eq!(dropped, 6.0 * 1_000.0 - 100.0);
}

/// A spinning plugin gives the thread back every tick, so that other sessions on it go on.
#[tokio::test(flavor = "current_thread")]
async fn a_spinning_plugin_lets_others_run() {
    let host = Host::new();
    let mut wild = zoo(everywhere("loop"));
    wild.limits.cpu_ms = 50;
    let generation = host.load(&[wild]).await;
    let turns = std::cell::Cell::new(0);
    let neighbour = async {
        loop {
            turns.set(turns.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let mut call = call_at(Hook::Data);
    tokio::select! {
        biased;
        answer = ask(&generation, Hook::Data, &mut call) => assert_eq!(brief(&answer), "Tempfail 451 4.3.0"),
        () = neighbour => {}
    }
    assert!(turns.get() >= 10, "the neighbour had {} turns", turns.get());
}
