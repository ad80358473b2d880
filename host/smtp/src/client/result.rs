//! What the client is given and what it tells.

use baton_mail::requests::timing::{By, ByMode};
use baton_mail::requests::{MessageRequests, RecipientRequests};
use baton_mail::{Body, EnhancedCode, Mailbox, Phase, Reply, ReversePath};
use bytes::Bytes;

use super::Capabilities;

/// A message for some recipients.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The return path.
    pub sender: ReversePath,
    /// Whom it is for.
    pub recipients: Vec<Mailbox>,
    /// The content.
    pub body: Body,
    /// The content has octets above 127, so the peer must know 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// The content is not made of lines, so the peer must know BINARYMIME and CHUNKING (RFC 3030).
    pub binary: bool,
    /// An address or the header is beyond ASCII, so the peer must know SMTPUTF8 (RFC 6531 3.4).
    pub smtputf8: bool,
    /// Octets of the content, for `SIZE=` (RFC 1870).
    pub size: u64,
    /// What the sender asks of the delivery; told to a peer that can heed it.
    pub requests: Requests,
}

/// What the sender asks for, as a peer is told.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Of the message.
    pub message: MessageRequests,
    /// Of each recipient, in the order of the transaction; none when nothing is asked of any.
    pub recipients: Vec<RecipientRequests>,
    /// What is left of the time to deliver it (RFC 2852), for a peer that relays it.
    pub by: Option<By>,
}

/// Where [`super::Client::handle`] stopped.
#[derive(Debug)]
pub enum ClientStep {
    /// Write the output, then read more input.
    NeedInput,
    /// A transaction may begin.
    Ready,
    /// A transaction ended.
    Finished(TransactionResult),
    /// Do the TLS handshake, then call [`super::Client::protect`].
    StartTls,
    /// TLS is needed and the peer offers none. Close.
    NoStartTls,
    /// The peer does not want us: at the greeting (`Connect`), at EHLO (`Ehlo`) or at STARTTLS (`Tls`). Close.
    Refused(Phase, Reply),
    /// The peer wants an answer to this, for the login under way: call [`super::Client::respond`].
    Challenge(Vec<u8>),
    /// The login succeeded.
    LoggedIn,
    /// The peer refuses the login.
    NotLoggedIn(Reply),
    /// The peer said 421 (RFC 5321 3.8). Close.
    Closing(Reply),
    /// All is said. Close.
    Closed,
}

/// Octets to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Commands.
    Commands(Bytes),
    /// A piece of the body in wire form.
    Body(Bytes),
}

impl Output {
    /// The octets.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Output::Commands(octets) | Output::Body(octets) => octets,
        }
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionResult {
    /// One for each recipient, in the order of the transaction.
    pub recipients: Vec<RecipientResult>,
    /// Another transaction may follow on this connection.
    pub connection_usable: bool,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientResult {
    /// The peer took responsibility.
    Accepted(Reply),
    /// The peer did not, with a 4xx or 5xx reply.
    Refused {
        /// Where.
        phase: Phase,
        /// What it said.
        reply: Reply,
    },
    /// The peer lacks what the message needs; nothing was sent.
    Incapable {
        /// Always `Mail`.
        phase: Phase,
        /// 5.6.3, 5.6.7, 5.3.3, 5.3.4 or 5.7.30.
        enhanced: EnhancedCode,
        /// Why, in words.
        text: &'static str,
    },
}

/// A transaction was given to a client that is not ready for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is not ready for a transaction")]
pub struct NotReady;

impl Transaction {
    /// The result, when the peer can not take this message at all.
    pub(super) fn check_capabilities(&self, capabilities: &Capabilities) -> Option<TransactionResult> {
        let must_be_in_time = self.requests.by.is_some_and(|by| by.mode == ByMode::Return);
        let (enhanced, text) = if self.requests.message.require_tls && !capabilities.require_tls {
            // RFC 8689 5.
            (EnhancedCode(5, 7, 30), "the next hop does not offer REQUIRETLS, which the sender asks for")
        } else if must_be_in_time && !capabilities.deliver_by {
            // RFC 2852 4.1.4: who can not promise the time does not get it.
            (EnhancedCode(5, 3, 3), "the next hop does not offer DELIVERBY, which the sender asks for")
        } else if self.smtputf8 && !capabilities.smtputf8 {
            (EnhancedCode(5, 6, 7), "the next hop does not offer SMTPUTF8, which the message needs")
        } else if self.binary && !capabilities.takes_binary() {
            (EnhancedCode(5, 6, 3), "the next hop does not offer BINARYMIME, which the message needs")
        } else if self.eight_bit && !self.binary && !capabilities.eight_bit_mime {
            (EnhancedCode(5, 6, 3), "the next hop does not offer 8BITMIME, which the message needs")
        } else if capabilities.size_octets_max.is_some_and(|limit| self.size > limit) {
            (EnhancedCode(5, 3, 4), "the message is larger than the next hop accepts")
        } else if self.recipients.is_empty() {
            return Some(TransactionResult { recipients: Vec::new(), connection_usable: true });
        } else {
            return None;
        };
        let incapable = RecipientResult::Incapable { phase: Phase::Mail, enhanced, text };
        Some(TransactionResult {
            recipients: vec![incapable; self.recipients.len()],
            connection_usable: true,
        })
    }
}
