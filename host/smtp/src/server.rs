//! The receiving side (RFC 5321, RFC 2033): what comes after each octet of a client.
//!
//! A state is a struct that is consumed by value; its name says what may come next. Every command is checked
//! (`check_`), asked about (`ask_`) and carried out on the verdict (`proceed_`).

mod auth;
mod chunk;
mod command;
mod content;
mod data;
mod heard;
mod hello;
mod line;
mod mechanism;
mod parameters;
mod path;
mod question;
mod reply;
mod session;
mod settings;
mod starttls;
mod state;
mod transaction;
mod verdict;
mod verify;
mod xclient;

use std::sync::Arc;

use baton_mail::{Reply, UnixMs};
use bytes::{Buf, BytesMut};

use heard::Listening;
use line::LineRead;
use reply::Say;
use session::{Session, Turn};
use state::{Next, State};

pub use heard::Heard;
pub use mechanism::{Mechanism, Mechanisms};
pub use path::Parameters;
pub use question::{Answer, Misuse, Question, RcptPath, Step, Wish};
pub use settings::{AuthOffer, BareLineEnding, ServerSettings, StartTls, Vrfy};
pub use xclient::{Told, XClient};

/// One session as the receiver sees it. The driver owns the socket and both buffers.
#[derive(Debug)]
pub struct Server {
    session: Session,
    state: State,
    /// Notes what the client says, while somebody looks on.
    listening: Option<Box<Listening>>,
}

/// Where a session is: for deadlines (RFC 5321 4.5.3.2.7), logs and memory decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerPhase {
    /// Before the greeting.
    Greeting,
    /// Waiting for a command.
    Command,
    /// In an AUTH exchange.
    Auth,
    /// Receiving content after DATA.
    Data,
    /// Receiving content after BDAT, or waiting for the next chunk.
    Chunk,
}

impl Server {
    /// A session that has not been greeted.
    pub fn new(settings: Arc<ServerSettings>) -> Server {
        Server { session: Session::new(settings), state: State::Greeting, listening: None }
    }

    /// TLS protects the connection from now on, and these settings hold. After [`Step::StartTls`] the client begins
    /// anew (RFC 3207 4.2); before the greeting, that is how implicit TLS begins (RFC 8314 3.3).
    pub fn protect(&mut self, settings: Arc<ServerSettings>) {
        self.session.protect(settings);
        if matches!(self.state, State::StartingTls) {
            self.state = State::ExpectEhlo;
        }
    }

    /// From now on, a client that sends more without waiting for a reply that it must wait for is cut off
    /// (RFC 2920 3.1), or it is not. After DATA and STARTTLS it always is.
    pub fn refuse_early_commands(&mut self, refuse: bool) {
        self.session.refuses_early_commands = refuse;
    }

    /// From now on, the client may say by XCLIENT for whom it speaks, or it may not.
    pub fn offer_xclient(&mut self, offer: bool) {
        self.session.offers_xclient = offer;
    }

    /// The session begins anew with these settings, after [`Step::Restart`]; it is to be greeted.
    pub fn restart(&mut self, settings: Arc<ServerSettings>) {
        self.session.replace_settings(settings);
    }

    /// Tells the time, which EHLO names where mail may be held (RFC 4865 4).
    pub fn tell_time(&mut self, now: UnixMs) {
        self.session.now = now;
    }

    /// Greets the client: 220.
    pub fn greet(&mut self, output: &mut Vec<u8>) {
        reply::encode_greeting(self.session.settings(), output);
        self.state = State::ExpectEhlo;
    }

    /// Refuses the client at the greeting. With 421 the session is over, otherwise it waits for QUIT
    /// (RFC 5321 3.1).
    pub fn refuse(&mut self, reply: &Reply, output: &mut Vec<u8>) {
        reply.encode(output);
        self.state = if reply.code() == 421 { State::Closed } else { State::ExpectQuit };
    }

    /// Says it and closes the session, whatever the client was about to do.
    pub fn end(&mut self, reply: &Reply, output: &mut Vec<u8>) {
        reply.encode(output);
        self.state = State::Closed;
    }

    /// Consumes as much of `input` as it can, appends replies to `output`, stops at the first step that needs the
    /// driver.
    ///
    /// Replies to pipelined commands collect in `output` (RFC 2920 3.2); write it before waiting for input. A few
    /// octets may stay in `input` when only the next ones tell what they mean; keep them there. While a question is
    /// open, nothing is consumed.
    pub fn handle(&mut self, input: &mut BytesMut, output: &mut Vec<u8>) -> Step {
        loop {
            let next = match std::mem::take(&mut self.state) {
                State::Closed => {
                    input.clear();
                    return Step::Close;
                }
                State::ToAsk(question, pending) => {
                    self.state = State::AwaitingVerdict(pending);
                    return Step::Ask(question);
                }
                State::Restarting => {
                    self.state = State::Greeting;
                    return Step::Restart;
                }
                State::StartingTls => {
                    // Whatever came in plain text is not obeyed under protection (RFC 3207 6).
                    input.clear();
                    self.state = State::StartingTls;
                    return Step::StartTls;
                }
                state @ (State::Greeting | State::AwaitingVerdict(_)) => Next::Wait(state),
                state @ (State::ReceivingData(_) | State::ReceivingChunk(_) | State::SkippingChunk(_)) => {
                    self.handle_content(state, input, output)
                }
                state => self.handle_line(state, input, output),
            };
            match next {
                Next::Go(state) => self.state = state,
                Next::Wait(state) => {
                    self.state = state;
                    return Step::NeedInput;
                }
            }
        }
    }

    /// Gives what is there to the state that receives content.
    fn handle_content(&mut self, state: State, input: &mut BytesMut, output: &mut Vec<u8>) -> Next {
        let before = self.listening.as_ref().map(|listening| listening.before(input));
        let next = match state {
            State::ReceivingData(data) => data.receive(&self.session, input),
            State::ReceivingChunk(chunk) => chunk.receive(&self.session, input, output),
            State::SkippingChunk(chunk) => chunk.skip(&self.session, input, output),
            state => Next::Wait(state),
        };
        if let (Some(listening), Some(before)) = (&mut self.listening, before) {
            listening.content(before, input.len());
        }
        next
    }

    /// From now on, what the client says is noted for [`Server::take_heard`], content too when that is wanted; or nothing
    /// is.
    pub fn listen(&mut self, listen: bool, with_content: bool) {
        match listen {
            true => self.listening.get_or_insert_default().with_content = with_content,
            false => self.listening = None,
        }
    }

    /// What the client said since the last call.
    pub fn take_heard(&mut self) -> Vec<Heard> {
        self.listening.as_mut().map(|listening| std::mem::take(&mut listening.heard)).unwrap_or_default()
    }

    /// Reads one line and gives it to the state that expects one.
    fn handle_line(&mut self, state: State, input: &mut BytesMut, output: &mut Vec<u8>) -> Next {
        let octets_max = self.session.line_octets_max(input, matches!(state, State::ExpectAuthResponse(_)));
        let len = match self.session.line_reader.read(input, octets_max) {
            LineRead::Incomplete => return Next::Wait(state),
            LineRead::TooLong => 0,
            LineRead::Line(len) => len,
        };
        let (line, rest) = input.split_at_checked(len).unwrap_or_default();
        if let Some(listening) = &mut self.listening {
            listening.line(line, &state);
        }
        let mut turn = Turn { session: &mut self.session, output, more: !rest.is_empty() };
        let state = if line.is_empty() {
            state.handle_oversize(&mut turn)
        } else {
            state.handle_line(line, &mut turn)
        };
        input.advance(len);
        Next::Go(self.session.check_limits(state, output))
    }

    /// The driver's answer to the open question. An answer that does not fit changes nothing.
    pub fn answer(&mut self, answer: Answer, output: &mut Vec<u8>) -> Result<(), Misuse> {
        let pending = match std::mem::take(&mut self.state) {
            State::AwaitingVerdict(pending) => pending,
            state => {
                self.state = state;
                return Err(Misuse::NothingAsked);
            }
        };
        let mut turn = Turn { session: &mut self.session, output, more: false };
        match pending.proceed(answer, &mut turn) {
            Ok(state) => {
                self.state = self.session.check_limits(state, output);
                Ok(())
            }
            Err((pending, misuse)) => {
                self.state = State::AwaitingVerdict(pending);
                Err(misuse)
            }
        }
    }

    /// Drops the content that is being received and refuses the message with `reply` at its end, as when memory
    /// runs out. False when no content is being received, or it was refused already.
    pub fn refuse_content(&mut self, reply: Reply) -> bool {
        match &mut self.state {
            State::ReceivingData(data) => data.receiver.abandon(reply),
            State::ReceivingChunk(chunk) => chunk.receiver.abandon(reply),
            State::ExpectChunk(expect) => expect.receiver.abandon(reply),
            _ => false,
        }
    }

    /// TLS protects the connection.
    pub fn is_protected(&self) -> bool {
        self.session.is_protected
    }

    /// Where the session is.
    pub fn phase(&self) -> ServerPhase {
        match &self.state {
            State::Greeting => ServerPhase::Greeting,
            State::ExpectAuthResponse(_) => ServerPhase::Auth,
            State::ReceivingData(_) => ServerPhase::Data,
            State::ExpectChunk(_) | State::ReceivingChunk(_) | State::SkippingChunk(_) => ServerPhase::Chunk,
            _ => ServerPhase::Command,
        }
    }

    /// Octets of content that are held in memory for the message in progress.
    pub fn content_octets(&self) -> usize {
        match &self.state {
            State::ReceivingData(data) => data.receiver.held_octets(),
            State::ReceivingChunk(chunk) => chunk.receiver.held_octets(),
            State::ExpectChunk(expect) => expect.receiver.held_octets(),
            _ => 0,
        }
    }

    /// Why the machine itself refused the content of the transaction that [`Question::Reset`] ends; none when it
    /// ends for another reason.
    pub fn refused_content(&self) -> Option<Reply> {
        match &self.state {
            State::AwaitingVerdict(pending) => pending.refused_content(),
            _ => None,
        }
    }

    /// A deadline passed: says 421 and is closed.
    pub fn timeout(&mut self, output: &mut Vec<u8>) {
        Say::TimedOut.encode(output);
        self.state = State::Closed;
    }

    /// The relay stops: says 421 and is closed.
    pub fn shut_down(&mut self, output: &mut Vec<u8>) {
        Say::ShuttingDown.encode(output);
        self.state = State::Closed;
    }

    /// What the client called itself.
    pub fn helo(&self) -> Option<&str> {
        self.session.hello.as_ref().map(|hello| &*hello.name)
    }

    /// True after EHLO or LHLO.
    pub fn is_esmtp(&self) -> bool {
        self.session.is_extended()
    }

    /// The session speaks LMTP: a message is answered for each recipient.
    pub fn is_lmtp(&self) -> bool {
        self.session.settings().lmtp
    }

    /// True when AUTH offers this mechanism now.
    pub fn offers(&self, mechanism: Mechanism) -> bool {
        self.session.settings().auth.mechanisms().contains(mechanism)
    }

    /// The account, after AUTH.
    pub fn account(&self) -> Option<&str> {
        self.session.account.as_deref()
    }

    /// The transaction in progress asked for SMTPUTF8 (RFC 6531 3.4).
    pub fn smtputf8(&self) -> bool {
        self.session.smtputf8
    }

    /// Mistakes of the client (syntax, order, failed AUTH) since its last message.
    pub fn errors(&self) -> u32 {
        self.session.errors()
    }

    /// Recipients that were accepted in the transaction in progress.
    pub fn recipients(&self) -> usize {
        self.session.recipients
    }
}

#[cfg(test)]
mod tests;
