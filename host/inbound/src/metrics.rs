//! Metrics of the listeners and sessions. Every label has a fixed, small set of values.

use baton_mail::TlsFacts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// One listener, by its name in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ListenerLabel {
    /// The name.
    pub listener: String,
}

/// Why a connection was turned away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TurnedAwayLabel {
    /// The listener's name.
    pub listener: String,
    /// The bound that was reached, or `proxy-header`.
    pub bound: &'static str,
}

/// What held a client up, or turned it away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// The reason.
    pub reason: &'static str,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RejectionLabel {
    /// The stage: connect, auth, mail, rcpt or data.
    pub stage: &'static str,
    /// The class of the code: 4xx or 5xx.
    pub class: &'static str,
}

/// A check of a stranger's message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CheckLabel {
    /// The method: iprev, spf, dkim or dmarc.
    pub method: &'static str,
    /// The result, by RFC 8601.
    pub result: &'static str,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReturnedLabel {
    /// `bounce`, `feedback`, `auto-reply`, `other` or `too-complex`.
    pub kind: &'static str,
    /// `attached` to a message of ours, `known` already, about an `unknown` message, or `none`.
    pub result: &'static str,
}

/// What a message to a mailbox for reports carried.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReportLabel {
    /// `dmarc`, `tls` or `none`.
    pub kind: &'static str,
}

/// How a TLS handshake ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandshakeLabel {
    /// The listener's name.
    pub listener: String,
    /// `ok`, `busy`, or the kind of the failure.
    pub result: &'static str,
}

/// What a protected connection speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TlsLabel {
    /// The version.
    pub version: String,
    /// Whether an earlier session was taken up: yes or no.
    pub resumed: &'static str,
}

/// All metrics of this crate.
#[derive(Debug)]
pub struct Metrics {
    /// Sessions open now.
    pub sessions_open: Family<ListenerLabel, Gauge>,
    /// Sessions begun.
    pub sessions: Family<ListenerLabel, Counter>,
    /// Connections turned away before a session began.
    pub turned_away: Family<TurnedAwayLabel, Counter>,
    /// Failed calls of accept, such as for want of file descriptors.
    pub accept_errors: Counter,
    /// Messages put into the queue.
    pub messages_accepted: Counter,
    /// Messages put into the queue to wait for an operator.
    pub messages_quarantined: Counter,
    /// Messages thrown away because a plugin decided so.
    pub messages_discarded: Counter,
    /// Messages that were signed.
    pub messages_signed: Counter,
    /// Messages whose chain of custody got a set.
    pub messages_sealed: Counter,
    /// Octets of accepted messages.
    pub accepted_octets: Counter,
    /// Recipients of accepted messages.
    pub recipients_accepted: Counter,
    /// Commands and messages refused by us or by a plugin.
    pub rejections: Family<RejectionLabel, Counter>,
    /// Clients that met a limit: early-talk, early-commands, messages-per-minute, recipients-per-minute (both also with
    /// `network-` before them), refused-recipients, refused-recipients-per-hour, held-back.
    pub limited: Family<ReasonLabel, Counter>,
    /// Mail refused because the relay is short of something: content, memory, queue, disk.
    pub pressed: Family<ReasonLabel, Counter>,
    /// Searches for clients' names by result (RFC 8601 2.7.3): pass, fail, permerror, temperror.
    pub names: Family<ReasonLabel, Counter>,
    /// Results of the checks of strangers' mail.
    pub checks: Family<CheckLabel, Counter>,
    /// Messages to mailboxes for reports, by what they carried.
    pub reports: Family<ReportLabel, Counter>,
    /// Messages to addresses for bounces and feedback, by what they were and what followed.
    pub returned: Family<ReturnedLabel, Counter>,
    /// Sessions ended because a deadline passed.
    pub deadlines_passed: Counter,
    /// TLS handshakes by how they ended.
    pub handshakes: Family<HandshakeLabel, Counter>,
    /// Protected connections by version.
    pub protected: Family<TlsLabel, Counter>,
    /// Seconds from the last octet of content to the reply.
    pub data_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            sessions_open: Family::default(),
            sessions: Family::default(),
            turned_away: Family::default(),
            accept_errors: Counter::default(),
            messages_accepted: Counter::default(),
            messages_quarantined: Counter::default(),
            messages_discarded: Counter::default(),
            messages_signed: Counter::default(),
            messages_sealed: Counter::default(),
            accepted_octets: Counter::default(),
            recipients_accepted: Counter::default(),
            rejections: Family::default(),
            limited: Family::default(),
            pressed: Family::default(),
            names: Family::default(),
            checks: Family::default(),
            reports: Family::default(),
            returned: Family::default(),
            deadlines_passed: Counter::default(),
            handshakes: Family::default(),
            protected: Family::default(),
            data_seconds: Histogram::new(DATA_SECONDS_BUCKETS),
        }
    }
}

impl Metrics {
    /// Names all metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("baton_listener_sessions_open", "Sessions open now", self.sessions_open.clone());
        registry.register("baton_listener_sessions", "Sessions begun", self.sessions.clone());
        registry.register("baton_listener_turned_away", "Connections turned away", self.turned_away.clone());
        registry.register("baton_listener_accept_errors", "Failed accept calls", self.accept_errors.clone());
        registry.register(
            "baton_session_messages_accepted",
            "Messages queued",
            self.messages_accepted.clone(),
        );
        registry.register(
            "baton_session_messages_quarantined",
            "Messages held",
            self.messages_quarantined.clone(),
        );
        registry.register(
            "baton_session_messages_discarded",
            "Messages discarded",
            self.messages_discarded.clone(),
        );
        registry.register("baton_session_messages_signed", "Messages signed", self.messages_signed.clone());
        registry.register("baton_session_messages_sealed", "Messages sealed", self.messages_sealed.clone());
        registry.register("baton_session_accepted_octets", "Octets queued", self.accepted_octets.clone());
        registry.register(
            "baton_session_recipients_accepted",
            "Recipients queued",
            self.recipients_accepted.clone(),
        );
        registry.register("baton_session_rejections", "Refusals by stage and class", self.rejections.clone());
        registry.register("baton_session_limited", "Clients that met a limit", self.limited.clone());
        registry.register(
            "baton_session_pressed",
            "Mail refused for want of memory, queue or disk",
            self.pressed.clone(),
        );
        registry.register("baton_session_names", "Searches for clients' names", self.names.clone());
        registry.register("baton_session_checks", "Checks by method and result", self.checks.clone());
        registry.register("baton_session_returned", "Bounces and feedback received", self.returned.clone());
        registry.register("baton_session_reports", "Reports received by kind", self.reports.clone());
        registry.register(
            "baton_session_deadlines_passed",
            "Sessions that were too slow",
            self.deadlines_passed.clone(),
        );
        registry.register(
            "baton_session_tls_handshakes",
            "TLS handshakes by result",
            self.handshakes.clone(),
        );
        registry.register("baton_session_tls", "Protected connections by version", self.protected.clone());
        registry.register(
            "baton_session_data_seconds",
            "From end of data to the reply",
            self.data_seconds.clone(),
        );
    }

    /// Counts a message to a mailbox for reports.
    pub(crate) fn count_report(&self, kind: &'static str) {
        self.reports.get_or_create(&ReportLabel { kind }).inc();
    }

    /// Counts a message that came back, by what it is and what became of it.
    pub(crate) fn count_returned(&self, kind: &'static str, result: &'static str) {
        self.returned.get_or_create(&ReturnedLabel { kind, result }).inc();
    }

    /// Counts the result of a check.
    pub(crate) fn count_check(&self, method: &'static str, result: &'static str) {
        self.checks.get_or_create(&CheckLabel { method, result }).inc();
    }

    /// Counts a client that met a limit.
    pub(crate) fn count_limited(&self, reason: &'static str) {
        self.limited.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a search for a client's name.
    pub(crate) fn count_name(&self, reason: &'static str) {
        self.names.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts mail that the relay has no room for.
    pub(crate) fn count_pressed(&self, reason: &'static str) {
        self.pressed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a connection that was turned away.
    pub(crate) fn count_turned_away(&self, listener: &str, bound: &'static str) {
        self.turned_away.get_or_create(&TurnedAwayLabel { listener: listener.to_owned(), bound }).inc();
    }

    /// Counts a TLS handshake.
    pub(crate) fn count_handshake(&self, listener: &str, result: &'static str) {
        self.handshakes.get_or_create(&HandshakeLabel { listener: listener.to_owned(), result }).inc();
    }

    /// Counts a protected connection.
    pub(crate) fn count_protected(&self, tls: &TlsFacts) {
        let resumed = if tls.resumed { "yes" } else { "no" };
        self.protected.get_or_create(&TlsLabel { version: tls.version.clone(), resumed }).inc();
    }

    /// Counts a refusal.
    pub(crate) fn count_rejection(&self, stage: &'static str, is_permanent: bool) {
        let class = if is_permanent { "5xx" } else { "4xx" };
        self.rejections.get_or_create(&RejectionLabel { stage, class }).inc();
    }
}

/// From a sync on a quiet disk to the time at which clients give up.
const DATA_SECONDS_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];
