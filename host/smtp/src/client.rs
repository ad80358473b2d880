//! The sending side (RFC 5321, RFC 2033): one connection, one transaction after another.
//!
//! The driver writes what [`Client::poll_output`] gives, feeds what it reads to [`Client::handle`], and measures
//! the deadline of [`Client::phase`]. It should read while it writes: a peer may answer early.

mod capabilities;
mod reply;
mod result;
mod transaction;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_mail::Phase;
use baton_mail::Reply;
use bytes::{Bytes, BytesMut};

use crate::stuffing::Stuffed;
use reply::ReplyReader;
use transaction::{Delivery, Progress};

pub use capabilities::Capabilities;
pub use reply::ProtocolError;
pub use result::{ClientStep, NotReady, Output, RecipientResult, Requests, Transaction, TransactionResult};

/// How to talk to a peer, and how much it may talk.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Our name in EHLO.
    pub ehlo_name: String,
    /// The peer speaks LMTP (RFC 2033).
    pub lmtp: bool,
    /// Use PIPELINING (RFC 2920) when it is offered.
    pub pipelining: bool,
    /// Use BDAT (RFC 3030) when it is offered.
    pub chunking: bool,
    /// Whether to protect the connection by STARTTLS (RFC 3207).
    pub starttls: UseStartTls,
    /// Lines of one reply.
    pub reply_lines_max: usize,
    /// Octets of one reply.
    pub reply_octets_max: usize,
}

impl ClientSettings {
    /// The defaults for a client of that name.
    pub fn new(ehlo_name: impl Into<String>) -> ClientSettings {
        ClientSettings {
            ehlo_name: ehlo_name.into(),
            lmtp: false,
            pipelining: true,
            chunking: true,
            starttls: UseStartTls::Never,
            reply_lines_max: 64,
            reply_octets_max: 16 * 1024,
        }
    }
}

/// Whether to protect the connection by STARTTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseStartTls {
    /// Not even when it is offered.
    #[default]
    Never,
    /// When it is offered.
    WhenOffered,
    /// Nothing is sent without it.
    Always,
}

/// What the client waits for: for deadlines (RFC 5321 4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientPhase {
    /// The greeting.
    Greeting,
    /// The answer to EHLO, HELO or LHLO.
    Ehlo,
    /// The answer to STARTTLS, then the handshake.
    StartTls,
    /// The answer to AUTH, or to a part of a login.
    Auth,
    /// Nothing: a transaction may begin.
    Idle,
    /// The answer to MAIL.
    Mail,
    /// The answer to RCPT.
    Rcpt,
    /// The answer to DATA.
    DataStart,
    /// Body octets are to be written.
    Body,
    /// The answer to the message.
    FinalReply,
    /// The answer to RSET.
    Reset,
    /// The answer to QUIT.
    Quit,
    /// Nothing any more.
    Closed,
}

impl ClientPhase {
    /// The phase that a failure at this point is reported with.
    pub fn as_phase(self) -> Phase {
        match self {
            ClientPhase::Greeting => Phase::Connect,
            ClientPhase::StartTls => Phase::Tls,
            ClientPhase::Ehlo | ClientPhase::Auth | ClientPhase::Idle => Phase::Ehlo,
            ClientPhase::Mail | ClientPhase::Reset => Phase::Mail,
            ClientPhase::Rcpt => Phase::Rcpt,
            ClientPhase::DataStart | ClientPhase::Body | ClientPhase::FinalReply => Phase::Data,
            ClientPhase::Quit | ClientPhase::Closed => Phase::Data,
        }
    }
}

/// One connection to a next hop. The driver owns the socket and the input buffer.
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    reader: ReplyReader,
    capabilities: Capabilities,
    /// TLS protects the connection.
    is_protected: bool,
    /// Replies that were read to their end.
    replies: u64,
    state: State,
    commands: Vec<u8>,
    body: Option<Wire>,
}

/// What may come next. There is one for each connection, so its size does no harm; a box for each message would.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
enum State {
    ExpectGreeting,
    ExpectHello {
        is_fallback: bool,
    },
    /// STARTTLS was sent.
    ExpectStartTls,
    /// The handshake is the driver's; `told` when it knows.
    StartingTls {
        told: bool,
    },
    /// STARTTLS is needed and not offered; told at the next call of `handle`.
    Unprotected,
    /// Ready; `told` when the driver knows.
    Ready {
        told: bool,
    },
    /// AUTH, or an answer to a challenge, was sent.
    ExpectLogin,
    /// A challenge waits for [`Client::respond`].
    Challenged,
    Delivering(Delivery),
    /// The result is given at the next call of `handle`; then `then` holds.
    Finished {
        result: TransactionResult,
        then: Box<State>,
    },
    /// RSET was sent.
    ExpectReset,
    /// 421 came; it is told at the next call of `handle`.
    Closing(Reply),
    ExpectBye,
    Closed,
}

/// The body on its way out.
#[derive(Debug)]
enum Wire {
    Stuffed(Stuffed),
    Plain(std::vec::IntoIter<Bytes>),
}

impl Client {
    /// A client on a fresh connection; the peer speaks first.
    pub fn new(settings: ClientSettings) -> Client {
        let reader = ReplyReader::new(settings.reply_lines_max, settings.reply_octets_max);
        Client {
            settings,
            reader,
            capabilities: Capabilities::default(),
            is_protected: false,
            replies: 0,
            state: State::ExpectGreeting,
            commands: Vec::new(),
            body: None,
        }
    }

    /// Reads replies from `input` until there is something to tell. After it, write what `poll_output` gives.
    ///
    /// A [`ProtocolError`] ends the connection; [`Client::take_partial`] then tells which recipients have a result.
    pub fn handle(&mut self, input: &mut BytesMut) -> Result<ClientStep, ProtocolError> {
        loop {
            match std::mem::replace(&mut self.state, State::Closed) {
                State::Closed => return Ok(ClientStep::Closed),
                State::Closing(reply) => return Ok(ClientStep::Closing(reply)),
                State::Finished { result, then } => {
                    self.state = *then;
                    return Ok(ClientStep::Finished(result));
                }
                State::StartingTls { told: false } => {
                    self.state = State::StartingTls { told: true };
                    return Ok(ClientStep::StartTls);
                }
                State::Unprotected => return Ok(ClientStep::NoStartTls),
                State::Ready { told: false } => {
                    self.state = State::Ready { told: true };
                    return Ok(ClientStep::Ready);
                }
                state => self.state = state,
            }
            let Some(reply) = self.reader.read(input)? else { return Ok(ClientStep::NeedInput) };
            self.replies += 1;
            if matches!(self.state, State::ExpectStartTls) && !input.is_empty() {
                // Somebody in between speaks for the peer, to be believed under its protection (CVE-2021-38371).
                return Err(ProtocolError::BehindStartTls);
            }
            if let Some(step) = self.handle_reply(reply)? {
                return Ok(step);
            }
        }
    }

    fn handle_reply(&mut self, reply: Reply) -> Result<Option<ClientStep>, ProtocolError> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::ExpectGreeting => return self.handle_greeting(reply),
            State::ExpectHello { is_fallback } => return self.handle_hello(reply, is_fallback),
            State::ExpectStartTls => return self.handle_starttls(reply),
            State::Delivering(delivery) => self.handle_transaction_reply(delivery, reply)?,
            State::ExpectLogin if reply.code() != 421 => return self.handle_login(&reply).map(Some),
            State::ExpectReset if reply.is_positive() => self.state = State::Ready { told: false },
            State::ExpectBye | State::Closed => {}
            _ if reply.code() == 421 => self.state = State::Closing(reply),
            _ => return Err(ProtocolError::Unexpected(reply.code())),
        }
        Ok(None)
    }

    fn handle_greeting(&mut self, reply: Reply) -> Result<Option<ClientStep>, ProtocolError> {
        if reply.is_positive() {
            let verb = if self.settings.lmtp { "LHLO" } else { "EHLO" };
            self.send_hello(verb);
            self.state = State::ExpectHello { is_fallback: false };
            return Ok(None);
        }
        refused(Phase::Connect, reply)
    }

    /// A peer that does not know EHLO gets HELO (RFC 5321 3.2).
    fn handle_hello(&mut self, reply: Reply, is_fallback: bool) -> Result<Option<ClientStep>, ProtocolError> {
        if reply.is_positive() {
            self.capabilities =
                if is_fallback { Capabilities::default() } else { Capabilities::parse(reply.text()) };
            self.after_hello();
            return Ok(None);
        }
        if reply.is_permanent() && !is_fallback && !self.settings.lmtp {
            self.send_hello("HELO");
            self.state = State::ExpectHello { is_fallback: true };
            return Ok(None);
        }
        refused(Phase::Ehlo, reply)
    }

    /// Ready, or STARTTLS first.
    fn after_hello(&mut self) {
        let wanted = if self.is_protected { UseStartTls::Never } else { self.settings.starttls };
        self.state = match (wanted, self.capabilities.starttls) {
            (UseStartTls::WhenOffered | UseStartTls::Always, true) => {
                self.commands.extend_from_slice(b"STARTTLS\r\n");
                State::ExpectStartTls
            }
            (UseStartTls::Always, false) => State::Unprotected,
            (UseStartTls::Never | UseStartTls::WhenOffered, _) => State::Ready { told: false },
        };
    }

    /// A peer that offers TLS and then has none may have it later; mail that needs none goes on without (RFC 3207 4.1).
    fn handle_starttls(&mut self, reply: Reply) -> Result<Option<ClientStep>, ProtocolError> {
        if reply.code() == 220 {
            self.state = State::StartingTls { told: false };
            return Ok(None);
        }
        if self.settings.starttls == UseStartTls::WhenOffered && reply.code() != 421 {
            self.state = State::Ready { told: false };
            return Ok(None);
        }
        refused(Phase::Tls, reply)
    }

    /// Begins a login (RFC 4954 4): `first` are the octets that go with the command, where the mechanism begins with
    /// ours. Allowed after [`ClientStep::Ready`], before the first transaction.
    pub fn authenticate(&mut self, mechanism: &str, first: Option<&[u8]>) -> Result<(), NotReady> {
        if !matches!(self.state, State::Ready { .. }) {
            return Err(NotReady);
        }
        let first = first.map(|octets| match octets {
            // What is empty is told apart from what is missing.
            [] => " =".to_owned(),
            octets => format!(" {}", BASE64.encode(octets)),
        });
        let command = format!("AUTH {mechanism}{}\r\n", first.unwrap_or_default());
        self.commands.extend_from_slice(command.as_bytes());
        self.state = State::ExpectLogin;
        Ok(())
    }

    /// Answers a challenge.
    pub fn respond(&mut self, answer: &[u8]) -> Result<(), NotReady> {
        if !matches!(self.state, State::Challenged) {
            return Err(NotReady);
        }
        self.commands.extend_from_slice(format!("{}\r\n", BASE64.encode(answer)).as_bytes());
        self.state = State::ExpectLogin;
        Ok(())
    }

    fn handle_login(&mut self, reply: &Reply) -> Result<ClientStep, ProtocolError> {
        self.state = State::Ready { told: true };
        match reply.code() {
            235 => Ok(ClientStep::LoggedIn),
            334 => {
                let challenge =
                    BASE64.decode(reply.text().trim()).map_err(|_| ProtocolError::Unexpected(334))?;
                self.state = State::Challenged;
                Ok(ClientStep::Challenge(challenge))
            }
            _ if reply.is_transient() || reply.is_permanent() => Ok(ClientStep::NotLoggedIn(reply.clone())),
            code => Err(ProtocolError::Unexpected(code)),
        }
    }

    /// TLS protects the connection from now on. After [`ClientStep::StartTls`] all that the peer said before is
    /// forgotten, and EHLO comes again (RFC 3207 4.2); before the greeting, that is how implicit TLS begins.
    pub fn protect(&mut self) {
        self.is_protected = true;
        if matches!(self.state, State::StartingTls { .. }) {
            self.capabilities = Capabilities::default();
            self.send_hello(if self.settings.lmtp { "LHLO" } else { "EHLO" });
            self.state = State::ExpectHello { is_fallback: false };
        }
    }

    fn send_hello(&mut self, verb: &str) {
        self.commands.extend_from_slice(format!("{verb} {}\r\n", self.settings.ehlo_name).as_bytes());
    }

    fn handle_transaction_reply(&mut self, delivery: Delivery, reply: Reply) -> Result<(), ProtocolError> {
        let body_is_out = self.body.is_none();
        match delivery.handle(reply, &mut self.commands, body_is_out) {
            Progress::Waiting(delivery) => self.state = State::Delivering(delivery),
            Progress::SendBody(delivery, body) => {
                self.body = Some(body);
                self.state = State::Delivering(delivery);
            }
            Progress::Finished { result, needs_reset } => self.finish(result, needs_reset, None),
            Progress::Closing { result, reply } => self.finish(result, false, Some(reply)),
            Progress::Broken(delivery, error) => {
                self.state = State::Delivering(delivery);
                return Err(error);
            }
        }
        Ok(())
    }

    fn finish(&mut self, result: TransactionResult, needs_reset: bool, closing: Option<Reply>) {
        let then = match closing {
            Some(reply) => State::Closing(reply),
            None if !result.connection_usable => State::Closed,
            None if needs_reset => {
                self.commands.extend_from_slice(b"RSET\r\n");
                State::ExpectReset
            }
            None => State::Ready { told: false },
        };
        if !result.connection_usable {
            self.body = None;
            self.commands = Vec::new();
        }
        self.state = State::Finished { result, then: Box::new(then) };
    }

    /// The next octets to write; none when there is nothing to write now.
    ///
    /// Poll until none and write all at once: the pieces of a body and its end mark then share one vectored write.
    pub fn poll_output(&mut self) -> Option<Output> {
        if !self.commands.is_empty() {
            return Some(Output::Commands(std::mem::take(&mut self.commands).into()));
        }
        let piece = match self.body.as_mut()? {
            Wire::Stuffed(stuffed) => stuffed.next(),
            Wire::Plain(pieces) => pieces.next(),
        };
        if piece.is_none() {
            self.body = None;
        }
        piece.map(Output::Body)
    }

    /// What the peer offered.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Begins a transaction. Allowed after [`ClientStep::Ready`], and at once after a result that needed no RSET.
    pub fn send(&mut self, transaction: Transaction) -> Result<(), NotReady> {
        if !matches!(self.state, State::Ready { .. }) {
            return Err(NotReady);
        }
        if let Some(result) = transaction.check_capabilities(&self.capabilities) {
            self.state = State::Finished { result, then: Box::new(State::Ready { told: false }) };
            return Ok(());
        }
        let (delivery, body) =
            Delivery::begin(transaction, &self.settings, &self.capabilities, &mut self.commands);
        self.body = body;
        self.state = State::Delivering(delivery);
        Ok(())
    }

    /// Asks whether the peer would take mail of this transaction's sender for its recipients: MAIL, RCPT, RSET. The body
    /// is not looked at. In the result, [`RecipientResult::Accepted`] is the answer to RCPT.
    pub fn ask(&mut self, question: Transaction) -> Result<(), NotReady> {
        if !matches!(self.state, State::Ready { .. }) {
            return Err(NotReady);
        }
        if let Some(result) = question.check_capabilities(&self.capabilities) {
            self.state = State::Finished { result, then: Box::new(State::Ready { told: false }) };
            return Ok(());
        }
        let delivery =
            Delivery::begin_question(question, &self.settings, &self.capabilities, &mut self.commands);
        self.state = State::Delivering(delivery);
        Ok(())
    }

    /// How many replies were read to their end. The lines of one that does not end are none.
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// What the client waits for.
    pub fn phase(&self) -> ClientPhase {
        match &self.state {
            State::ExpectGreeting => ClientPhase::Greeting,
            State::ExpectHello { .. } => ClientPhase::Ehlo,
            State::ExpectStartTls | State::StartingTls { .. } | State::Unprotected => ClientPhase::StartTls,
            State::ExpectLogin | State::Challenged => ClientPhase::Auth,
            State::Ready { .. } | State::Finished { .. } => ClientPhase::Idle,
            State::Delivering(delivery) => delivery.phase(self.body.is_some()),
            State::ExpectReset => ClientPhase::Reset,
            State::ExpectBye => ClientPhase::Quit,
            State::Closing(_) | State::Closed => ClientPhase::Closed,
        }
    }

    /// Says QUIT. Does nothing in a transaction or before EHLO was answered: the driver may just close then.
    pub fn quit(&mut self) {
        if matches!(self.state, State::Ready { .. } | State::ExpectReset) {
            self.commands.extend_from_slice(b"QUIT\r\n");
            self.state = State::ExpectBye;
        }
    }

    /// When the connection broke in a transaction: what each recipient's result is, as far as it is final. The
    /// others are unknown and must be tried again. The client is closed.
    pub fn take_partial(&mut self) -> Option<Vec<Option<RecipientResult>>> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Delivering(delivery) => Some(delivery.into_partial()),
            State::Finished { result, .. } => Some(result.recipients.into_iter().map(Some).collect()),
            _ => None,
        }
    }
}

fn refused(phase: Phase, reply: Reply) -> Result<Option<ClientStep>, ProtocolError> {
    if reply.is_transient() || reply.is_permanent() {
        return Ok(Some(ClientStep::Refused(phase, reply)));
    }
    Err(ProtocolError::Unexpected(reply.code()))
}

#[cfg(test)]
mod tests;
