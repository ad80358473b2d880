//! Next hops that behave: what they are sent, how often they are connected to, who gets which outcome.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::event::What;
use baton_outbound::{LmtpTarget, NextHop};
use tokio::sync::Semaphore;

use crate::peer::{
    Chunk, Content, Line, Peer, Repeat, Say, Silence, Wait, hello, hello_pipelining, script, take_one,
};
use crate::relay::{Relay, host, is_outcome, routes, settings, short};

const MESSAGE: &str = "Subject: x\r\n\r\nhello\r\n.a dot\r\n..\r\n";
const STUFFED: &str = "Subject: x\r\n\r\nhello\r\n..a dot\r\n...\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_carries_message_after_message() {
    let peer = Peer::start(vec![script([hello(), vec![Repeat(take_one())]])]).await;
    let mut settings = settings(host(peer.address));
    settings.limits.connections_max = 1;
    let relay = Relay::start(settings);
    for _ in 0..5 {
        let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
        assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    }
    peer.heard(|heard| {
        assert_eq!((heard.connections, heard.contents.len()), (1, 5));
        assert_eq!(heard.lines[0], "EHLO relay.test");
        assert_eq!(heard.lines[1], "MAIL FROM:<sender@a.test>");
        assert!(heard.contents.iter().all(|content| content == STUFFED.as_bytes()));
    });
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_carries_no_more_than_its_share() {
    let peer = Peer::start(vec![script([hello(), vec![Repeat(take_one())]])]).await;
    let mut settings = settings(host(peer.address));
    settings.limits.connections_max = 1;
    settings.limits.deliveries_per_connection_max = 2;
    let relay = Relay::start(settings);
    for _ in 0..4 {
        let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
        relay.outcome(id).await;
    }
    assert_eq!(peer.heard(|heard| heard.connections), 2);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_died_is_replaced_without_a_deferral() {
    // The first connection ends after one message, at the very moment at which the second one comes.
    let first = script([hello(), take_one(), vec![Line]]);
    let goodbye = script([hello(), take_one(), vec![Line, Say("421 4.4.2 idle too long\r\n")]]);
    for ending in [first, goodbye] {
        let peer = Peer::start(vec![ending, script([hello(), take_one(), vec![Silence]])]).await;
        let mut settings = settings(host(peer.address));
        settings.limits.connections_max = 1;
        let relay = Relay::start(settings);
        for _ in 0..2 {
            let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
            assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
        }
        assert_eq!(peer.heard(|heard| heard.connections), 2);
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_are_sent_as_they_are_with_the_commands() {
    let hello =
        vec![Say("220 peer\r\n"), Line, Say("250-peer\r\n250-PIPELINING\r\n250-SIZE\r\n250 CHUNKING\r\n")];
    let take = vec![Line, Line, Chunk, Say("250 ok\r\n250 ok\r\n250 2.0.0 taken\r\n")];
    let peer = Peer::start(vec![script([hello, vec![Repeat(take)]])]).await;
    let relay = Relay::start(settings(host(peer.address)));
    let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    peer.heard(|heard| assert_eq!(heard.contents, [MESSAGE.as_bytes()]));
    assert_eq!(peer.count(&format!("MAIL FROM:<sender@a.test> SIZE={}", MESSAGE.len())), 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recipient_has_its_own_outcome_and_one_report_tells_of_the_failed() {
    let take = vec![
        Line,
        Line,
        Line,
        Line,
        Line,
        Say("250 ok\r\n250 ok\r\n550 5.1.1 nobody\r\n450 4.2.1 later\r\n354 go on\r\n"),
        Content,
        Say("250 2.0.0 taken\r\n"),
    ];
    let report = Peer::start(vec![script([hello(), take_one(), vec![Silence]])]).await;
    let peer = Peer::start(vec![script([hello_pipelining(), take, vec![Silence]])]).await;
    let mut settings = settings(host(peer.address));
    settings.routes = routes(host(peer.address), &[("a.test", host(report.address))]);
    let relay = Relay::start(settings);
    let id = relay.submit("sender@a.test", &["one@b.test", "two@b.test", "three@b.test"], MESSAGE).await;
    let outcomes = relay.events(id, 3, is_outcome).await;
    let short: Vec<_> = outcomes.iter().map(short).collect();
    assert_eq!(short, ["delivered data 2.0.0", "failed rcpt 5.1.1", "deferred rcpt 4.2.1"]);
    let bounced = relay.events(id, 1, |what| matches!(what, What::Bounced { .. })).await;
    let What::Bounced { report: Some(report_id), .. } = &bounced[0] else { panic!("{bounced:?}") };
    relay.outcome(*report_id).await;
    let content = report.heard(|heard| String::from_utf8_lossy(&heard.contents[0]).into_owned());
    assert!(
        content.contains("Final-Recipient: rfc822; two@b.test") && !content.contains("three@b.test"),
        "{content}"
    );
    assert_eq!(report.count("MAIL FROM:<>"), 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_one_message_to_one_site_share_a_transaction() {
    let take = vec![
        Line,
        Line,
        Line,
        Line,
        Say("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
        Content,
        Say("250 2.0.0 ok\r\n"),
    ];
    // The first message keeps the only connection busy until both jobs of the second one wait for it.
    let go_on = Arc::new(Semaphore::new(0));
    let start = vec![Line, Line, Line, Say("250 ok\r\n250 ok\r\n354 go\r\n"), Content, Wait(go_on.clone())];
    let peer = Peer::start(vec![script([
        hello_pipelining(),
        start,
        vec![Say("250 2.0.0 ok\r\n")],
        take,
        vec![Silence],
    ])])
    .await;
    let mut settings = settings(host(peer.address));
    settings.limits.connections_max = 1;
    settings.timeouts.data_dot_ms = 20_000;
    let relay = Relay::start(settings);
    let one = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    while peer.heard(|heard| heard.contents.is_empty()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let two = relay.submit("sender@a.test", &["user@b.test", "user@c.test"], MESSAGE).await;
    while relay.metrics.ready_jobs.get() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    go_on.add_permits(1);
    assert_eq!(short(&relay.outcome(one).await), "delivered data 2.0.0");
    let outcomes = relay.events(two, 2, is_outcome).await;
    assert!(outcomes.iter().all(|what| short(what) == "delivered data 2.0.0"), "{outcomes:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lmtp_answers_for_each_recipient_and_gets_the_return_path() {
    let take = vec![
        Say("220 peer LMTP\r\n"),
        Line,
        Say("250-peer\r\n250 PIPELINING\r\n"),
        Line,
        Line,
        Line,
        Line,
        Say("250 ok\r\n250 ok\r\n250 ok\r\n354 go on\r\n"),
        Content,
        Say("250 2.0.0 stored\r\n452 4.2.2 full\r\n"),
        Silence,
    ];
    let peer = Peer::start(vec![take]).await;
    let target: LmtpTarget = peer.address.to_string().parse().unwrap();
    let relay = Relay::start(settings(NextHop::Lmtp(target)));
    let id = relay.submit("sender@a.test", &["one@b.test", "two@b.test"], MESSAGE).await;
    let outcomes: Vec<_> = relay.events(id, 2, is_outcome).await.iter().map(short).collect();
    assert_eq!(outcomes, ["delivered data 2.0.0", "deferred data 4.2.2"]);
    peer.heard(|heard| {
        assert_eq!(heard.lines[0], "LHLO relay.test");
        let content = String::from_utf8_lossy(&heard.contents[0]).into_owned();
        assert_eq!(content, format!("Return-Path: <sender@a.test>\r\n{STUFFED}"));
    });
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lmtp_goes_through_a_socket_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let refusing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"521 5.3.2 closed for good\r\n").await.unwrap();
    });
    let relay = Relay::start(settings(NextHop::Lmtp(LmtpTarget::Unix(path))));
    let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    assert_eq!(short(&relay.outcome(id).await), "failed connect 5.3.2");
    refusing.await.unwrap();
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_split_where_its_recipients_go_different_ways() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(vec![script([hello(), take_one(), vec![Silence]])]).await;
    let mut settings = settings(host(peer.address));
    settings.routes = routes(
        host(peer.address),
        &[
            ("file.test", NextHop::File(folder.path().to_path_buf())),
            ("bin.test", NextHop::Discard),
            ("hold.test", NextHop::Hold("by hand".to_owned())),
        ],
    );
    let relay = Relay::start(settings);
    let to = ["a@b.test", "b@file.test", "c@bin.test", "d@hold.test"];
    // One job for all, as a client of the store may make it: delivery has to split it.
    let id = submit_as_one_job(&relay, &to).await;
    let delivered = relay.events(id, 2, |what| matches!(what, What::Delivered { .. })).await;
    assert_eq!(delivered.len(), 2);
    relay.events(id, 1, |what| matches!(what, What::Held { .. })).await;
    relay.events(id, 1, |what| matches!(what, What::Discarded { .. })).await;
    let file = std::fs::read_dir(folder.path().join("new")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(file).unwrap();
    assert!(
        text.starts_with("Return-Path: <sender@a.test>\r\nDelivered-To: b@file.test\r\nSubject: x\r\n"),
        "{text}"
    );
    relay.stop().await;
}

async fn submit_as_one_job(relay: &Relay, to: &[&str]) -> baton_mail::MessageId {
    use baton_mail::{
        Body, Clock, Envelope, Mailbox, MessageId, Origin, Recipient, ReversePath, SystemClock,
    };
    let now = SystemClock.now();
    let sender = ReversePath::Mailbox("sender@a.test".parse().unwrap());
    let mut envelope =
        Envelope::new(MessageId::new(now), now, Duration::from_secs(60), sender, Origin::internal());
    envelope.recipients = to.iter().map(|text| Recipient::from(text.parse::<Mailbox>().unwrap())).collect();
    let recipients = (0..to.len() as u16).collect();
    let jobs = vec![baton_store::NewJob { queue: "mixed".to_owned(), recipients, due: now }];
    let body = Body::from(bytes::Bytes::from_static(MESSAGE.as_bytes()));
    let message = baton_store::NewMessage { envelope, body, jobs, events: Vec::new() };
    relay.store.accept(message).await.unwrap().id()
}
