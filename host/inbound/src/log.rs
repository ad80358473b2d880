//! Everything that the listeners and sessions tell the operator, one function each.

use std::net::SocketAddr;

use baton_mail::{Domain, Envelope, Mailbox, MessageId, Reply, ReversePath, SessionId, TlsFacts};
use tracing::{debug, error, info, warn};

/// A listener takes connections.
pub(crate) fn listening(listener: &str, address: &str) {
    info!(target: "listener", listener, address, "listening");
}

/// No connection can be taken just now.
pub(crate) fn accept_failed(listener: &str, error: &std::io::Error, pause_ms: u64) {
    warn!(target: "listener", listener, %error, pause_ms, "can not take connections; waiting");
}

/// A connection was turned away.
pub(crate) fn turned_away(listener: &str, peer: SocketAddr, bound: &str) {
    debug!(target: "listener", listener, %peer, bound, "too many sessions");
}

/// A connection of a balancer does not say whose it is.
pub(crate) fn no_proxy_header(listener: &str, peer: SocketAddr, error: &dyn std::fmt::Display) {
    info!(target: "listener", listener, %peer, %error, "connection of a balancer closed");
}

/// The listeners are closed, and sessions run on.
pub(crate) fn draining(sessions: usize, drain_s: u64) {
    info!(target: "listener", sessions, drain_s, "no new mail; running transactions may end");
}

/// Some sessions did not end in time.
pub(crate) fn drain_incomplete(sessions: usize) {
    warn!(target: "listener", sessions, "sessions did not end in time and are cut");
}

/// A session began.
pub(crate) fn opened(session: SessionId, listener: &str, peer: SocketAddr) {
    debug!(target: "session", %session, listener, %peer, "session open");
}

/// A session ended.
pub(crate) fn closed(session: SessionId, how: &str, accepted: u32) {
    debug!(target: "session", %session, how, accepted, "session closed");
}

/// A connection is protected.
pub(crate) fn protected(session: SessionId, tls: &TlsFacts) {
    let server_name = tls.server_name.as_deref();
    debug!(target: "session", %session, %tls, server_name, resumed = tls.resumed, "TLS");
}

/// A TLS handshake failed; the session ends.
pub(crate) fn handshake_failed(
    session: SessionId,
    listener: &str,
    peer: SocketAddr,
    failure: &baton_tls::HandshakeFailure,
) {
    info!(target: "session", %session, listener, %peer, %failure, "TLS handshake failed");
}

/// The machine and its driver disagree: a defect. The session ends.
pub(crate) fn misused(session: SessionId, error: &dyn std::fmt::Display) {
    error!(target: "session", %session, %error, "defect: the protocol machine refused an answer");
}

/// A client was refused before its first command.
pub(crate) fn connection_refused(session: SessionId, peer: SocketAddr, by: &str, reply: &Reply) {
    info!(target: "session", %session, %peer, by, %reply, "connection refused");
}

/// A trusted client says for whom it speaks.
pub(crate) fn speaks_for(session: SessionId, before: SocketAddr, peer: SocketAddr) {
    info!(target: "session", %session, %before, %peer, "a trusted client speaks for another one");
}

/// A client met a limit.
pub(crate) fn limited(session: SessionId, peer: SocketAddr, reason: &str) {
    debug!(target: "session", %session, %peer, reason, "a limit is reached");
}

/// A client authenticated.
pub(crate) fn authenticated(session: SessionId, account: &str, mechanism: &str) {
    info!(target: "session", %session, account, mechanism, "authenticated");
}

/// A client failed to authenticate. The name it tried is not logged: it may be a password typed in the wrong place.
pub(crate) fn authentication_failed(session: SessionId, mechanism: &str, reply: &Reply, failures: u32) {
    info!(target: "session", %session, mechanism, %reply, failures, "authentication refused");
}

/// A token is not taken. What stands in it is not logged.
pub(crate) fn token_refused(session: SessionId, mechanism: &str, reason: &str) {
    info!(target: "session", %session, mechanism, reason, "token refused");
}

/// Nobody can judge credentials now.
pub(crate) fn authentication_unavailable(session: SessionId, mechanism: &str, cause: &str) {
    warn!(target: "session", %session, mechanism, cause, "authentication not available");
}

/// A transaction could not begin.
pub(crate) fn mail_refused(session: SessionId, reply: &Reply) {
    info!(target: "session", %session, %reply, "sender refused");
}

/// A recipient was refused.
pub(crate) fn recipient_refused(
    session: SessionId,
    message: MessageId,
    recipient: &Mailbox,
    by: &str,
    reply: &Reply,
) {
    info!(target: "session", %session, %message, %recipient, by, %reply, "recipient refused");
}

/// A message of a stranger was checked.
pub(crate) fn checked(session: SessionId, message: MessageId, results: &str) {
    debug!(target: "session", %session, %message, results, "message checked");
}

/// A stranger sent results of checks in our name; they were removed.
pub(crate) fn forged_results(session: SessionId, message: MessageId, fields: usize) {
    info!(target: "session", %session, %message, fields, "forged Authentication-Results removed");
}

/// A message was signed.
pub(crate) fn signed(session: SessionId, message: MessageId, domain: &Domain, signatures: usize) {
    debug!(target: "session", %session, %message, %domain, signatures, "message signed");
}

/// A message to a mailbox for reports was read.
pub(crate) fn report_read(session: SessionId, message: MessageId, what: &str) {
    info!(target: "session", %session, %message, what, "report");
}

/// A report could not be kept: the store takes nothing now.
pub(crate) fn report_not_kept(session: SessionId, message: MessageId, error: &dyn std::fmt::Display) {
    error!(target: "session", %session, %message, %error, "the report could not be kept");
}

/// What came back was read.
pub(crate) fn returned(session: SessionId, message: MessageId, found: &str) {
    info!(target: "session", %session, %message, found, "what came back was read");
}

/// What came back could not be written down; its sender tries again.
pub(crate) fn returned_not_kept(session: SessionId, message: MessageId, error: &dyn std::fmt::Display) {
    error!(target: "session", %session, %message, %error, "what came back could not be kept");
}

/// The suppression lists could not be asked; they are asked again before the first attempt.
pub(crate) fn suppression_not_read(session: SessionId, message: MessageId, error: &dyn std::fmt::Display) {
    error!(target: "session", %session, %message, %error, "the suppression lists can not be read");
}

/// A message was not sealed: the domain has no key in use, or the chain takes no more.
pub(crate) fn not_sealed(session: SessionId, message: MessageId, domain: &Domain) {
    info!(target: "session", %session, %message, %domain, "message not sealed");
}

/// A message could not be signed: a defect. The client tries again.
pub(crate) fn signing_failed(session: SessionId, message: MessageId, error: &dyn std::fmt::Display) {
    error!(target: "session", %session, %message, %error, "defect: the message could not be signed");
}

/// A message was refused.
pub(crate) fn message_refused(session: SessionId, message: MessageId, by: &str, reply: &Reply) {
    info!(target: "session", %session, %message, by, %reply, "message refused");
}

/// A message was thrown away.
pub(crate) fn message_discarded(session: SessionId, message: MessageId, by: &str, reason: &str) {
    info!(target: "session", %session, %message, by, reason, "message discarded");
}

/// What is told of an accepted message; taken before the message moves into the queue.
pub(crate) struct AcceptedSummary {
    /// The message.
    pub(crate) id: MessageId,
    /// Octets with trace fields.
    pub(crate) size: u64,
    /// How many recipients it has.
    pub(crate) recipients: usize,
    /// Why it waits for an operator.
    pub(crate) hold: Option<String>,
    sender: ReversePath,
    first: Option<Mailbox>,
}

impl AcceptedSummary {
    /// The summary of a message.
    pub(crate) fn of(envelope: &Envelope) -> AcceptedSummary {
        AcceptedSummary {
            id: envelope.id,
            size: envelope.size,
            recipients: envelope.recipients.len(),
            hold: envelope.hold.clone(),
            sender: envelope.sender.clone(),
            first: envelope.recipients.first().map(|recipient| recipient.address.clone()),
        }
    }
}

/// A message is in the queue.
pub(crate) fn message_accepted(session: SessionId, accepted: &AcceptedSummary) {
    info!(
        target: "session",
        %session,
        message = %accepted.id,
        sender = %accepted.sender,
        recipient = accepted.first.as_ref().map(tracing::field::display),
        recipients = accepted.recipients,
        size = accepted.size,
        hold = accepted.hold.as_deref(),
        "message accepted"
    );
}

/// The checks of a message's structure did not end: a defect. The message is treated as too complex.
pub(crate) fn check_failed(session: SessionId, message: MessageId, error: &dyn std::fmt::Display) {
    error!(target: "session", %session, %message, %error, "defect: the structure check failed");
}
