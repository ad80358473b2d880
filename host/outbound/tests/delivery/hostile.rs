//! Next hops that break: each has its outcome, and never "delivered".

use crate::peer::{Content, Drip, Flood, Line, Peer, Say, Silence, Step, hello, hello_pipelining, script};
use crate::relay::{Relay, host, settings, short};

const MESSAGE: &str = "Subject: x\r\n\r\nhello\r\n";

/// Delivers one message to a peer with this script; returns the outcome in short.
async fn outcome_of(steps: Vec<Step>) -> String {
    let peer = Peer::start(vec![steps]).await;
    let relay = Relay::start(settings(host(peer.address)));
    let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    let outcome = relay.outcome(id).await;
    relay.stop().await;
    short(&outcome)
}

/// The dialogue of one message, cut off after some steps.
fn dialogue_until(step: &str) -> Vec<Step> {
    let steps: [(&str, Vec<Step>); 6] = [
        ("greeting", vec![]),
        ("ehlo", vec![Say("220 peer\r\n"), Line]),
        ("mail", vec![Say("250 peer\r\n"), Line]),
        ("rcpt", vec![Say("250 ok\r\n"), Line]),
        ("data", vec![Say("250 ok\r\n"), Line]),
        ("dot", vec![Say("354 go on\r\n"), Content]),
    ];
    let end = steps.iter().position(|(name, _)| *name == step).expect("the step has a name");
    script(steps.into_iter().take(end + 1).map(|(_, steps)| steps))
}

const STEPS: [(&str, &str); 6] = [
    ("greeting", "connect"),
    ("ehlo", "ehlo"),
    ("mail", "mail"),
    ("rcpt", "rcpt"),
    ("data", "data"),
    ("dot", "data"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_in_any_phase_is_a_deferral() {
    for (step, phase) in STEPS {
        let silent = script([dialogue_until(step), vec![Silence]]);
        assert_eq!(outcome_of(silent).await, format!("deferred {phase} 4.4.2"), "{step}");
    }
}

/// An answer that never ends, a few octets at a time, is none: the deadline is that of the phase, not of the read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickle_in_any_phase_is_a_deferral() {
    for (step, phase) in STEPS {
        let trickle = script([dialogue_until(step), vec![Drip("250-x\r\n")]]);
        assert_eq!(outcome_of(trickle).await, format!("deferred {phase} 4.4.2"), "{step}");
    }
}

/// A peer that takes the message and is gone before it can say so has not taken it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptance_that_did_not_arrive_is_none() {
    let half = script([dialogue_until("dot"), vec![Say("250 2.0.0 o")]]);
    assert_eq!(outcome_of(half).await, "deferred data 4.4.2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_in_any_phase_is_a_deferral() {
    for (step, phase) in STEPS {
        assert_eq!(outcome_of(dialogue_until(step)).await, format!("deferred {phase} 4.4.2"), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_keep_their_phase_and_code() {
    let cases = [
        ("greeting", "554 5.7.1 go away\r\n", "deferred connect 4.7.1"),
        ("greeting", "421 4.3.2 not now\r\n", "deferred connect 4.3.2"),
        ("greeting", "521 5.3.2 never any mail\r\n", "failed connect 5.3.2"),
        ("mail", "550 5.7.1 not you\r\n", "failed mail 5.7.1"),
        ("mail", "451 4.7.1 later\r\n", "deferred mail 4.7.1"),
        ("rcpt", "550 5.1.1 nobody\r\n", "failed rcpt 5.1.1"),
        ("rcpt", "450 4.2.0 later\r\n", "deferred rcpt 4.2.0"),
        ("rcpt", "421 4.4.5 busy\r\n", "deferred rcpt 4.4.5"),
        ("data", "554 5.5.1 no\r\n", "failed data 5.5.1"),
        ("dot", "554 5.6.0 spam\r\n", "failed data 5.6.0"),
        ("dot", "452 4.3.1 full\r\n", "deferred data 4.3.1"),
        ("dot", "550 no enhanced code\r\n", "failed data 5.0.0"),
        ("dot", "550 4.1.1 a code of another class\r\n", "failed data 5.0.0"),
    ];
    for (step, reply, expected) in cases {
        let steps = script([dialogue_until(step), vec![Say(reply), Silence]]);
        assert_eq!(outcome_of(steps).await, expected, "{reply:?} at {step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_a_deferral() {
    let cases = [
        ("greeting", "hello there\r\n", "deferred connect 4.5.0"),
        ("greeting", "220-a\r\n250 b\r\n", "deferred connect 4.5.0"),
        ("mail", "354 go on\r\n", "deferred mail 4.5.0"),
        ("rcpt", "999 what\r\n", "deferred rcpt 4.5.0"),
        ("data", "250 ok\r\n", "deferred data 4.5.0"),
        ("dot", "354 more\r\n", "deferred data 4.5.0"),
        ("dot", "2\r\n", "deferred data 4.5.0"),
    ];
    for (step, reply, expected) in cases {
        let steps = script([dialogue_until(step), vec![Say(reply), Silence]]);
        assert_eq!(outcome_of(steps).await, expected, "{reply:?} at {step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_replies_are_bounded() {
    for (step, phase) in STEPS {
        let lines = script([dialogue_until(step), vec![Flood("250-and so on\r\n")]]);
        assert_eq!(outcome_of(lines).await, format!("deferred {phase} 4.5.0"), "lines at {step}");
        let one_line =
            script([dialogue_until(step), vec![Say("250-"), Flood("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]]);
        assert_eq!(outcome_of(one_line).await, format!("deferred {phase} 4.5.0"), "one line at {step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_amid_pipelined_commands_is_a_deferral() {
    let steps = script([hello_pipelining(), vec![Line, Say("250 ok\r\n421 4.3.2 shutting down\r\n")]]);
    assert_eq!(outcome_of(steps).await, "deferred rcpt 4.3.2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_control_character_of_a_reply_gets_through() {
    let peer =
        Peer::start(vec![script([hello(), vec![Line, Say("550 5.7.1 a\x1b[31m\x07\rb\x7f\r\n")]])]).await;
    let relay = Relay::start(settings(host(peer.address)));
    let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    let text = format!("{:?}", relay.outcome(id).await);
    assert!(text.contains("5, 7, 1") && !text.contains("\\u{1b}") && !text.contains("\\r"), "{text}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_while_the_body_is_sent_is_heard() {
    let steps =
        script([dialogue_until("data"), vec![Say("354 go on\r\n"), Line, Say("552 5.3.4 too large\r\n")]]);
    let peer = Peer::start(vec![steps]).await;
    let relay = Relay::start(settings(host(peer.address)));
    let big = format!("Subject: x\r\n\r\n{}", "0123456789abcdef0123456789abcdef\r\n".repeat(500_000));
    let id = relay.submit("sender@a.test", &["user@b.test"], &big).await;
    assert_eq!(short(&relay.outcome(id).await), "failed data 5.3.4");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_refuses_connections_is_a_deferral_and_the_next_one_is_tried() {
    let closed = Peer::start(Vec::new()).await.address;
    let good = Peer::start(vec![script([hello(), crate::peer::take_one(), vec![Silence]])]).await;
    let hosts = [closed, good.address]
        .map(|address| baton_outbound::HostPort { host: address.ip().to_string(), port: address.port() });
    let relay = Relay::start(settings(baton_outbound::NextHop::Hosts(hosts.to_vec())));
    let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    relay.stop().await;
    let relay = Relay::start(settings(host(closed)));
    let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    assert_eq!(short(&relay.outcome(id).await), "deferred connect 4.4.1");
    relay.stop().await;
}
