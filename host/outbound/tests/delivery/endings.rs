//! How it ends: retries, expiry, reports, full ready queues, the stop.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::event::What;
use baton_mail::{Clock, SystemClock};
use baton_store::Filter;
use tokio::sync::Semaphore;

use crate::peer::{Line, Peer, Repeat, Say, Silence, Wait, hello, script, take_one};
use crate::relay::{Relay, host, is_outcome, settings, short};

const MESSAGE: &str = "Subject: x\r\n\r\nhello\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_message_is_delivered_by_a_later_attempt() {
    let busy = script([hello(), vec![Line, Say("451 4.7.1 later\r\n"), Silence]]);
    let peer = Peer::start(vec![busy, script([hello(), take_one(), vec![Silence]])]).await;
    let mut settings = settings(host(peer.address));
    settings.retry.first_ms = 1_000;
    settings.limits.idle_ms = 50;
    let relay = Relay::start(settings);
    let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    let outcomes = relay.events(id, 2, is_outcome).await;
    assert_eq!(
        outcomes.iter().map(short).collect::<Vec<_>>(),
        ["deferred mail 4.7.1", "delivered data 2.0.0"]
    );
    assert!(matches!(outcomes[1], What::Delivered { attempt: 2, .. }), "{outcomes:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_message_is_given_up_with_its_last_reason() {
    let peer =
        Peer::start(vec![script([hello(), vec![Line, Say("451 4.7.1 not today\r\n"), Silence]])]).await;
    let mut settings = settings(host(peer.address));
    settings.retry.first_ms = 60_000;
    let relay = Relay::start(settings);
    let id = relay
        .submit_with("", &["user@b.test"], MESSAGE.as_bytes(), |envelope| {
            envelope.expires_at = SystemClock.now().plus(Duration::from_secs(2));
        })
        .await;
    let outcomes = relay.events(id, 2, is_outcome).await;
    assert_eq!(
        outcomes.iter().map(short).collect::<Vec<_>>(),
        ["deferred mail 4.7.1", "failed expired 4.4.7"]
    );
    let What::Failed { status, .. } = &outcomes[1] else { panic!("it failed") };
    assert!(status.text.contains("not today"), "{status:?}");
    let bounced = relay.events(id, 1, |what| matches!(what, What::Bounced { .. })).await;
    assert!(matches!(&bounced[0], What::Bounced { report: None, .. }), "the null sender gets no report");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_fails_is_not_reported() {
    let refuse =
        script([hello(), vec![Repeat(vec![Line, Say("550 5.7.1 never\r\n"), Line, Say("250 ok\r\n")])]]);
    let peer = Peer::start(vec![refuse]).await;
    let relay = Relay::start(settings(host(peer.address)));
    let id = relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await;
    let bounced = relay.events(id, 1, |what| matches!(what, What::Bounced { .. })).await;
    let What::Bounced { report: Some(report), .. } = bounced[0] else { panic!("{bounced:?}") };
    let second = relay.events(report, 1, |what| matches!(what, What::Bounced { .. })).await;
    assert!(matches!(second[0], What::Bounced { report: None, .. }), "{second:?}");
    assert!(relay.store.find(&Filter::default(), None, 10).await.unwrap().is_empty(), "the queue is empty");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ready_queue_hands_jobs_back_and_loses_none() {
    let go_on = Arc::new(Semaphore::new(0));
    let peer =
        Peer::start(vec![script([vec![Wait(go_on.clone())], hello(), vec![Repeat(take_one())]])]).await;
    let mut settings = settings(host(peer.address));
    settings.timeouts.greeting_ms = 20_000;
    settings.limits.connections_max = 1;
    settings.limits.ready_max = 2;
    settings.limits.overflow_ms = 100;
    let relay = Relay::start(settings);
    let mut ids = Vec::new();
    while relay.metrics.overflowed.get() < 5 {
        ids.push(relay.submit("sender@a.test", &["user@b.test"], MESSAGE).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    go_on.add_permits(1);
    for id in &ids {
        let outcome = relay.outcome(*id).await;
        assert!(
            matches!(outcome, What::Delivered { attempt: 1, .. }),
            "handing back is no attempt: {outcome:?}"
        );
    }
    assert_eq!(peer.heard(|heard| heard.contents.len()), ids.len());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_over_many_connections_arrive_once_each() {
    let peer = Peer::start(vec![script([hello(), vec![Repeat(take_one())]])]).await;
    let mut settings = settings(host(peer.address));
    settings.limits.connections_max = 8;
    let relay = Relay::start(settings);
    let mut ids = Vec::new();
    for number in 0..300 {
        let text = format!("Subject: {number}\r\n\r\nhello\r\n");
        ids.push(relay.submit("sender@a.test", &["user@b.test"], &text).await);
    }
    for id in ids {
        assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    }
    peer.heard(|heard| {
        let mut contents = heard.contents.clone();
        contents.sort();
        contents.dedup();
        assert_eq!((heard.contents.len(), contents.len()), (300, 300));
        assert!(heard.connections <= 8);
    });
    assert_eq!(relay.metrics.jobs.get(), 0, "no job is left in hand");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_stop_running_deliveries_end_or_go_back() {
    let peer = Peer::start(vec![script([hello(), vec![Silence]])]).await;
    let mut settings = settings(host(peer.address));
    settings.timeouts.mail_ms = 600_000;
    settings.limits.connections_max = 1;
    settings.limits.drain_ms = 100;
    let relay = Relay::start(settings);
    relay.submit("sender@a.test", &["one@b.test"], MESSAGE).await;
    relay.submit("sender@a.test", &["two@b.test"], MESSAGE).await;
    while peer.heard(|heard| heard.connections) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (store, _folder) = relay.stop().await;
    let left = store.find(&Filter::default(), None, 10).await.unwrap();
    assert_eq!(left.len(), 2, "both messages are in the queue still: {left:?}");
    assert!(left.iter().all(|job| job.attempt == 0), "a delivery that was cut off is no attempt");
}
