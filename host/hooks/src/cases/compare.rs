//! What was expected beside what came of it, key by key.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use baton_mail::edit::Edit;
use baton_mail::header;

use super::decided::Decided;
use super::{Expect, Mismatch};
use crate::witness::Cost;
use crate::worlds::World;
use crate::{Call, MessageContent};

/// Points that differ less are the same.
const SCORE_TOLERANCE: f64 = 1e-9;

/// All that a call left behind.
pub(super) struct Aftermath<'a> {
    pub(super) decided: &'a Decided,
    pub(super) call: &'a Call,
    pub(super) cost: Option<&'a Cost>,
    pub(super) lines: &'a [String],
    pub(super) world: &'a World,
    /// The plugin's name, which its buckets and metrics carry.
    pub(super) plugin: &'a str,
}

/// The backend's name of a plugin's bucket.
pub(super) fn bucket_of(plugin: &str, bucket: &str) -> String {
    if bucket.starts_with("shared/") { bucket.to_owned() } else { format!("{plugin}/{bucket}") }
}

/// Everything that is not as expected.
pub(super) fn compare(expect: &Expect, after: &Aftermath<'_>) -> Vec<Mismatch> {
    let mut found = Found(Vec::new());
    found.failure(expect, after.cost);
    found.decision(expect, after.decided);
    found.envelope(expect, after.call);
    found.message(expect, after.call);
    found.route(expect, after.call);
    found.world(expect, after);
    found.cost(expect, after.cost);
    found.0
}

/// The mismatches so far.
struct Found(Vec<Mismatch>);

impl Found {
    fn push(&mut self, key: impl Into<String>, expected: impl Display, got: impl Display) {
        self.0.push(Mismatch { key: key.into(), expected: expected.to_string(), got: got.to_string() });
    }

    fn same<T: PartialEq + Debug>(&mut self, key: &str, expected: Option<&T>, got: Option<&T>) {
        if expected.is_some() && expected != got {
            self.push(key, shown(expected), shown(got));
        }
    }

    fn part(&mut self, key: &str, expected: Option<&str>, got: Option<&str>) {
        let Some(expected) = expected else { return };
        if !got.is_some_and(|got| got.contains(expected)) {
            self.push(key, format!("a text with {expected:?}"), shown(got));
        }
    }

    /// A failure that nobody expects is a mismatch of its own, and tells why.
    fn failure(&mut self, expect: &Expect, cost: Option<&Cost>) {
        let got = cost.and_then(|cost| cost.failure.as_ref());
        let kind = got.map(|failure| failure.kind.as_str());
        if expect.failure.as_deref() != kind {
            let expected = expect.failure.as_deref().unwrap_or("none");
            let got = got.map(|failure| format!("{}: {}", failure.kind, failure.detail));
            self.push("failure", expected, got.as_deref().unwrap_or("none"));
        }
    }

    fn decision(&mut self, expect: &Expect, decided: &Decided) {
        if let Some(expected) = expect.decision.as_deref().filter(|expected| *expected != decided.word) {
            self.push("decision", expected, &decided.words);
        }
        let reply = decided.reply.as_ref();
        self.same("code", expect.code.as_ref(), reply.map(|reply| reply.code()).as_ref());
        let enhanced = reply.and_then(|reply| reply.enhanced()).map(|code| code.to_string());
        self.same("enhanced", expect.enhanced.as_ref(), enhanced.as_ref());
        self.part("text", expect.text.as_deref(), reply.map(|reply| reply.text()));
        self.part("reason", expect.reason.as_deref(), decided.reason.as_deref());
        self.same("retry_ms", expect.retry_ms.as_ref(), decided.retry_ms.as_ref());
        self.same("account", expect.account.as_ref(), decided.account.as_ref());
    }

    fn envelope(&mut self, expect: &Expect, call: &Call) {
        let envelope = &call.envelope;
        self.same("sender", expect.sender.as_ref(), Some(&envelope.sender.to_string()));
        let recipients = envelope.recipients.iter().map(|rcpt| rcpt.address.to_string()).collect();
        self.same("recipients", expect.recipients.as_ref(), Some(&recipients));
        self.same("stream", expect.stream.as_ref(), envelope.stream.as_ref());
        self.same("priority", expect.priority.as_ref(), Some(&envelope.priority));
        for (name, value) in &expect.tags {
            let got = envelope.tags.iter().find(|(known, _)| known == name).map(|(_, value)| value);
            self.same(&format!("tags.{name}"), Some(value), got);
        }
        let score = envelope.total_score();
        if let Some(expected) = expect.score.filter(|expected| (expected - score).abs() > SCORE_TOLERANCE) {
            self.push("score", expected, score);
        }
        self.part("quarantine", expect.quarantine.as_deref(), call.quarantine.as_deref());
    }

    fn message(&mut self, expect: &Expect, call: &Call) {
        let index = call.content.as_ref().and_then(|message| message.header().as_ref().ok());
        let first = |name: &str| index.and_then(|index| index.first(name)).map(|raw| header::decode(&raw));
        for (name, value) in &expect.headers {
            self.same(&format!("headers.{name}"), Some(value), first(name).as_ref());
        }
        for name in &expect.headers_absent {
            if let Some(value) = first(name) {
                self.push("headers_absent", format!("no {name}"), format!("{name}: {value}"));
            }
        }
        let body = call.content.as_ref().map(MessageContent::content).map(|content| content.rest.clone());
        for part in &expect.body_contains {
            let body = String::from_utf8_lossy(body.as_deref().unwrap_or_default()).replace("\r\n", "\n");
            self.part("body_contains", Some(part), Some(&body));
        }
    }

    fn route(&mut self, expect: &Expect, call: &Call) {
        let routes = call.routes.iter().map(|route| Edit::Route(route.clone()).summary()).collect();
        self.same("route", expect.route.as_ref(), Some(&routes));
        let class = call.class.map(|class| class.as_str().to_owned());
        self.same("class", expect.class.as_ref(), class.as_ref());
    }

    fn world(&mut self, expect: &Expect, after: &Aftermath<'_>) {
        for (bucket, values) in &expect.kv {
            for (key, value) in values {
                let got = after.world.kv.value(&bucket_of(after.plugin, bucket), key);
                let got = got.map(|octets| String::from_utf8_lossy(&octets).into_owned());
                self.same(&format!("kv.{bucket}.\"{key}\""), Some(value), got.as_ref());
            }
        }
        self.same("http_requests", expect.http_requests.as_ref(), Some(&after.world.http.take_asked()));
        for part in &expect.log {
            if !after.lines.iter().any(|line| line.contains(part)) {
                self.push("log", format!("a line with {part:?}"), shown(Some(&after.lines)));
            }
        }
        let counted = after.world.metrics.guests.names(after.plugin);
        for name in expect.metrics.iter().filter(|name| !counted.contains(name)) {
            self.push("metrics", name, shown(Some(&counted)));
        }
    }

    fn cost(&mut self, expect: &Expect, cost: Option<&Cost>) {
        let Some(cost) = cost else { return };
        if let Some(max) = expect.host_calls_max.filter(|max| cost.host_calls > *max) {
            self.push("host_calls_max", format!("at most {max} calls"), cost.host_calls);
        }
        if let (Some(max), Some(fuel)) = (expect.fuel_max, cost.fuel)
            && fuel > max
        {
            self.push("fuel_max", format!("at most {max} instructions"), fuel);
        }
    }
}

/// Compares the complaints of init: only their keys, in any order.
pub(super) fn compare_problems(expect: &Expect, got: &BTreeMap<String, String>) -> Vec<Mismatch> {
    let mut found = Found(Vec::new());
    let expected = expect.problems.as_deref().unwrap_or_default();
    for path in expected.iter().filter(|path| !got.contains_key(*path)) {
        let paths: Vec<&String> = got.keys().collect();
        found.push("problems", format!("a problem at {path}"), shown(Some(&paths)));
    }
    for (path, message) in got.iter().filter(|(path, _)| !expected.contains(path)) {
        let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
        found.push("problems", "no other", format!("{at}{message}"));
    }
    found.0
}

fn shown<T: Debug + ?Sized>(value: Option<&T>) -> String {
    value.map_or("nothing".to_owned(), |value| format!("{value:?}"))
}
