//! The behaviours.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::bindings::baton::host::kv::Bucket;
use crate::bindings::baton::host::{clock, dns, log, metrics};
use crate::bindings::baton::relay::types::Address;
use crate::bindings::baton::relay::{envelope, failure, message, routing, session};
use crate::bindings::exports::baton::relay::lifecycle::Problem;
use crate::{Said, beasts, callers, reply};

/// Does what is asked for, and says what the decision is if it comes to that.
pub(crate) fn act(hook: &str, behaviour: &str) -> Said {
    match behaviour {
        "next" => Said::Next,
        "accept" => Said::Accept,
        "reject" => Said::Reject(reply(550, "the zoo is closed")),
        "tempfail" => Said::Tempfail(reply(450, "the zoo opens later")),
        "wrong-class" => Said::Reject(reply(250, "fine")),
        "crlf" => Said::Reject(reply(550, "no\r\n250 yes\0")),
        "trap" => trap(),
        "panic" => panic!("the zoo panics"),
        "loop" => spin(),
        "memory" => grow(),
        "stack" => Said::Tempfail(reply(450, &dig(0).to_string())),
        "handles" => hoard(),
        "leak" => leak(),
        "work" => work(),
        "flood" => flood(),
        "logs" => chatter(),
        "big" => shout(),
        "sleep" => doze(),
        "forge" => forge(),
        "edit" => edit(hook),
        "edit-then-trap" => {
            edit(hook);
            trap()
        }
        "edit-then-reject" => {
            edit(hook);
            Said::Reject(reply(550, "edited and refused"))
        }
        "global" => remember(),
        "learn" => learn(),
        "learn-and-print" => {
            println!("learning");
            learn()
        }
        "recall" => recall(),
        "count" => count(),
        "dns" => ask_dns(),
        "metrics" => measure(),
        "getters" => read(),
        other => callers::act(other)
            .or_else(|| beasts::act(other))
            .unwrap_or_else(|| Said::Reject(reply(599, &format!("no such animal: {other}")))),
    }
}

fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

fn spin() -> ! {
    loop {
        black_box(0);
    }
}

/// Takes pages until there are none, without touching them; then traps, as an allocator would.
fn grow() -> ! {
    while core::arch::wasm32::memory_grow(0, 16) != usize::MAX {}
    trap()
}

#[allow(unconditional_recursion)]
fn dig(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    dig(depth + 1) + room.iter().sum::<u64>()
}

fn hoard() -> Said {
    for _ in 0..100_000 {
        match Bucket::open("zoo") {
            Ok(bucket) => std::mem::forget(bucket),
            Err(_) => return Said::Reject(reply(550, "no bucket")),
        }
    }
    Said::Next
}

/// Leaves one handle open.
fn leak() -> Said {
    Bucket::open("zoo")
        .map(std::mem::forget)
        .map_or_else(|_| Said::Reject(reply(550, "no bucket")), |()| Said::Next)
}

/// Keeps the processor busy for a while, and answers.
fn work() -> Said {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(30) {
        black_box(0);
    }
    Said::Next
}

fn flood() -> Said {
    for _ in 0..10_000_000 {
        session::remote_port();
    }
    Said::Next
}

fn chatter() -> Said {
    for index in 0..500 {
        let fields = [("index".to_owned(), index.to_string())];
        log::emit(log::Level::Info, "chatter \u{1b}[31m\r\nforged line", &fields);
        println!("chatter on stdout");
    }
    Said::Next
}

fn shout() -> Said {
    log::emit(log::Level::Info, &"x".repeat(8 << 20), &[]);
    Said::Next
}

fn doze() -> Said {
    std::thread::sleep(Duration::from_secs(3_600));
    Said::Next
}

/// Says `next` only if every forgery was refused.
fn forge() -> Said {
    let attempts = [
        message::add_header("Received", "from nowhere"),
        message::insert_header(0, "return-path", "<>"),
        message::set_header("DKIM-Signature", "v=1").map(drop),
        message::remove_header("Received").map(drop),
        message::add_header("X-Zoo", "a\r\nX-Injected: b"),
        message::add_header("X Zoo", "a"),
        message::add_header("X-Zoo:", "a"),
        message::add_header("", "a"),
        envelope::set_sender(Some(&address("a\r\nb", "example.org"))),
        envelope::add_recipient(&address("a b", "example.org")),
        envelope::add_recipient(&address("a", "exa mple.org")),
        envelope::tag("a\nb", "c"),
        envelope::score("nan", f64::NAN),
        routing::use_host("evil\r\n.example", 25),
        routing::use_host("mx.example", 0),
        routing::use_lmtp("unix:../lmtp"),
        failure::set_class("no-such-class"),
    ];
    let passed: Vec<usize> =
        attempts.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(index, _)| index).collect();
    if passed.is_empty() {
        Said::Next
    } else {
        Said::Reject(reply(598, &format!("forgeries passed: {passed:?}")))
    }
}

fn address(local: &str, domain: &str) -> Address {
    Address { local: local.to_owned(), domain: domain.to_owned() }
}

/// Makes the changes that make sense at the hook; without a grant they are refused, which the tests look for.
fn edit(hook: &str) -> Said {
    let _ = session::set_note("seen", Some(hook.as_bytes()));
    let _ = session::set_note("shared/seen", Some(hook.as_bytes()));
    let _ = envelope::set_note("seen", Some(hook.as_bytes()));
    let _ = envelope::tag("zoo", "was here");
    let _ = envelope::score("ZOO", 1.5);
    let _ = envelope::set_message_stream("zoo");
    let results = match hook {
        "rcpt" => {
            let last = envelope::recipient_count().saturating_sub(1);
            vec![
                envelope::redirect(last, &[address("lion", "zoo.example"), address("tiger", "zoo.example")]),
                envelope::set_sender(Some(&address("keeper", "zoo.example"))),
            ]
        }
        "data" => vec![
            message::add_header("X-Zoo", "added"),
            message::insert_header(0, "X-Zoo-Top", "inserted"),
            message::set_header("Subject", "the zoo").map(drop),
            message::remove_header("X-Old").map(drop),
            envelope::add_recipient(&address("lion", "zoo.example")),
            envelope::set_sender(None),
            envelope::remove_recipient(0),
            envelope::quarantine("looks wild"),
        ],
        "route" => vec![
            routing::use_mx_of("zoo.example"),
            routing::use_host("mx.zoo.example", 2525),
            routing::add_fallback("192.0.2.9", 25),
            routing::use_lmtp("unix:/run/zoo"),
            routing::use_next_hop("archive"),
            routing::set_queue("zoo"),
            routing::not_before(5_000),
            routing::expire_after(60_000),
        ],
        "bounce" => vec![failure::set_class("quota")],
        _ => vec![],
    };
    let refused = results.iter().filter(|result| result.is_err()).count();
    log::emit(log::Level::Debug, "edited", &[("refused".to_owned(), refused.to_string())]);
    Said::Next
}

static CALLS: AtomicU32 = AtomicU32::new(0);

/// Refuses when an earlier call was in the same memory.
fn remember() -> Said {
    match CALLS.fetch_add(1, Ordering::SeqCst) {
        0 => Said::Next,
        calls => Said::Reject(reply(597, &format!("the instance was used {calls} times before"))),
    }
}

static LEARNED: AtomicU32 = AtomicU32::new(0);

/// For init: what a snapshot keeps.
fn learn() -> Said {
    LEARNED.fetch_add(1, Ordering::SeqCst);
    Said::Next
}

/// Accepts when exactly one init was before.
fn recall() -> Said {
    match LEARNED.fetch_add(1, Ordering::SeqCst) {
        1 => Said::Accept,
        _ => Said::Next,
    }
}

/// Counts calls in the store, and refuses from the third on.
fn count() -> Said {
    let Ok(bucket) = Bucket::open("zoo") else { return Said::Tempfail(reply(451, "no bucket")) };
    match bucket.increment("calls", 1, None) {
        Ok(1..=2) => Said::Next,
        Ok(calls) => Said::Reject(reply(550, &format!("call {calls}"))),
        Err(error) => Said::Tempfail(reply(451, &format!("{error:?}"))),
    }
}

fn ask_dns() -> Said {
    let zones = ["list.example".to_owned(), "other.example".to_owned()];
    let listed = dns::blocklists(&zones, &session::remote_ip());
    let many = dns::lookup_many(&vec![dns::Query { name: "a.example".to_owned(), rr_type: 1 }; 63]);
    let denied = many.iter().filter(|answer| matches!(answer, Err(dns::Error::Denied))).count();
    Said::Reject(reply(550, &format!("{listed:?} denied={denied} name={:?}", session::remote_name())))
}

fn measure() -> Said {
    metrics::count("visits", 2, &[("animal".to_owned(), "lion".to_owned())]);
    metrics::gauge("hunger", 0.5, &[]);
    metrics::observe("weight", 190.0, &[]);
    if clock::now_ms() == 0 || clock::remaining_ms() == 0 {
        Said::Reject(reply(550, "no time"))
    } else {
        Said::Next
    }
}

/// Counts an event that was told.
pub(crate) fn note(kind: &str, fields: usize) {
    metrics::count("told", 1, &[("kind".to_owned(), kind.to_owned())]);
    metrics::gauge("fields", fields as f64, &[]);
}

/// Reads everything, and answers with a digest of it.
fn read() -> Said {
    let text = format!(
        "{}|{}|{}|{:?}|{:?}|{:?}|{:?}|{:?}|{}|{:?}|{}|{:?}|{:?}|{}|{}|{:?}|{:?}|{:?}|{}|{}|{:?}|{}|{}|{:?}",
        session::listener(),
        session::remote_ip(),
        session::remote_port(),
        session::helo(),
        session::authenticated_as(),
        session::iprev(),
        session::tls().map(|tls| (tls.version, tls.server_name)),
        session::note("seen").map(|note| String::from_utf8_lossy(&note).into_owned()),
        envelope::recipient_count(),
        envelope::sender().map(|sender| format!("{}@{}", sender.local, sender.domain)),
        envelope::total_score(),
        envelope::note("seen").map(|note| String::from_utf8_lossy(&note).into_owned()),
        message::header("subject"),
        message::size(),
        message::header_names().len(),
        message::addresses("to"),
        message::find(b"needle", 0),
        message::raw_header("subject").map(|raw| raw.len()),
        message::read(0, 4).len(),
        routing::attempt(),
        routing::last_error(),
        failure::permanent(),
        failure::phase(),
        std::env::vars().next(),
    );
    Said::Reject(reply(550, &text))
}

/// Nothing but log and config may answer during init.
pub(crate) fn check_init() -> Result<(), Vec<Problem>> {
    let answers = [
        ("kv", Bucket::open("zoo").is_ok()),
        ("dns", dns::lookup(&dns::Query { name: "a.example".to_owned(), rr_type: 1 }).is_ok()),
        ("session", session::set_note("a", Some(b"b")).is_ok()),
        ("envelope", envelope::set_note("a", Some(b"b")).is_ok()),
        ("message", message::add_header("X-Zoo", "a").is_ok()),
        ("routing", routing::set_queue("zoo").is_ok()),
        ("failure", failure::set_class("quota").is_ok()),
    ];
    log::emit(log::Level::Info, "checked", &[]);
    let problem = |name: &str| Problem { path: name.to_owned(), message: "answered during init".to_owned() };
    let answered = answers.iter().filter(|(_, answered)| *answered).map(|(name, _)| *name);
    let problems: Vec<Problem> =
        answered.chain(callers::answered_during_init()).map(|name| problem(name)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
