//! How sending went.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::measure::{SpanSummary, Spans};

/// Replies and errors that are shown at most.
const COMPLAINTS_MAX: usize = 10;

/// Figures of one run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Messages to send.
    pub(super) messages: u64,
    /// Messages that the server took for at least one recipient.
    pub(super) accepted: u64,
    /// Recipients refused.
    pub(super) recipients_refused: u64,
    /// Sessions opened.
    pub(super) sessions: u64,
    /// How long it took, in seconds.
    pub(super) elapsed_s: f64,
    /// Messages accepted in a second.
    pub(super) accepted_per_s: f64,
    /// From MAIL to the reply to the content, by class.
    pub(super) classes: BTreeMap<String, SpanSummary>,
    /// The first replies that refused, and what broke sessions.
    pub(super) complaints: Vec<String>,
    /// The reply to the last accepted message.
    pub(super) last_reply: Option<String>,
    #[serde(skip)]
    pub(super) spans: BTreeMap<String, Spans>,
}

impl Report {
    pub(super) fn new(messages: u64) -> Report {
        Report {
            messages,
            accepted: 0,
            recipients_refused: 0,
            sessions: 0,
            elapsed_s: 0.0,
            accepted_per_s: 0.0,
            classes: BTreeMap::new(),
            complaints: Vec::new(),
            last_reply: None,
            spans: BTreeMap::new(),
        }
    }

    /// Notes an accepted message.
    pub(super) fn accept(&mut self, class: &str, took: Duration) {
        self.accepted += 1;
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match self.spans.get_mut(class) {
            Some(spans) => spans.record(us),
            None => {
                let mut spans = Spans::default();
                spans.record(us);
                self.spans.insert(class.to_owned(), spans);
            }
        }
    }

    /// Notes what went wrong.
    pub(super) fn complain(&mut self, complaint: impl std::fmt::Display) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint.to_string());
        }
    }

    /// Adds what another task did.
    pub(super) fn merge(&mut self, other: Report) {
        self.accepted += other.accepted;
        self.recipients_refused += other.recipients_refused;
        self.sessions += other.sessions;
        self.complaints.extend(other.complaints);
        self.complaints.truncate(COMPLAINTS_MAX);
        self.last_reply = other.last_reply.or(self.last_reply.take());
        for (class, spans) in other.spans {
            self.spans.entry(class).or_default().merge(&spans);
        }
    }

    /// Works out the figures.
    pub(super) fn finish(&mut self, elapsed: Duration) {
        self.elapsed_s = elapsed.as_secs_f64();
        self.accepted_per_s = self.accepted as f64 / self.elapsed_s.max(1e-9);
        self.classes = self.spans.iter().map(|(class, spans)| (class.clone(), spans.summary())).collect();
    }

    /// Every message was accepted for every recipient.
    pub(super) fn is_complete(&self) -> bool {
        self.accepted == self.messages && self.recipients_refused == 0
    }

    /// The figures in words.
    pub(super) fn show(&self) -> String {
        let mut text = format!(
            "{} of {} messages accepted over {} sessions in {:.2} s: {:.0} a second\n",
            self.accepted, self.messages, self.sessions, self.elapsed_s, self.accepted_per_s
        );
        for (class, spans) in &self.classes {
            text.push_str(&format!(
                "  {class}: {} messages, p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms\n",
                spans.count, spans.p50_ms, spans.p99_ms, spans.max_ms
            ));
        }
        if let Some(reply) = self.last_reply.as_ref().filter(|_| self.accepted > 0) {
            text.push_str(&format!("  the last reply was: {reply}\n"));
        }
        for complaint in &self.complaints {
            text.push_str(&format!("  {complaint}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_add_up() {
        let mut report = Report::new(3);
        for _ in 0..2 {
            let mut task = Report::new(0);
            task.accept("code", Duration::from_millis(2));
            task.sessions = 1;
            report.merge(task);
        }
        report.complain("550 no");
        report.finish(Duration::from_secs(2));
        assert_eq!((report.accepted, report.sessions, report.classes["code"].count), (2, 2, 2));
        assert!(!report.is_complete());
        assert!(
            report.show().starts_with("2 of 3 messages accepted over 2 sessions in 2.00 s: 1 a second\n")
        );
    }
}
