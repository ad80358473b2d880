//! The states of a session and which command each of them takes.

use super::auth::Exchange;
use super::chunk::{ExpectChunk, ReceivingChunk, SkippingChunk};
use super::command::Command;
use super::data::ReceivingData;
use super::question::{Question, Wish};
use super::reply::Say;
use super::session::Turn;
use super::settings::StartTls;
use super::verdict::{AfterReset, Pending};
use super::{chunk, hello, transaction};

/// What may come next.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Nothing: the driver greets or refuses first.
    Greeting,
    /// EHLO, HELO or LHLO.
    ExpectEhlo,
    /// MAIL or AUTH.
    ExpectMail,
    /// RCPT, DATA or BDAT.
    ExpectRcptOrData(Transaction),
    /// Content, until CRLF.CRLF.
    ReceivingData(ReceivingData),
    /// The next BDAT.
    ExpectChunk(ExpectChunk),
    /// Octets of a chunk.
    ReceivingChunk(ReceivingChunk),
    /// Octets of a chunk that is not wanted.
    SkippingChunk(SkippingChunk),
    /// A line of an AUTH exchange.
    ExpectAuthResponse(Exchange),
    /// Nothing: the TLS handshake comes first.
    StartingTls,
    /// Nothing: the driver greets another client.
    Restarting,
    /// Nothing: a question is due.
    ToAsk(Question, Pending),
    /// Nothing: a question is open.
    AwaitingVerdict(Pending),
    /// QUIT: the client was refused at the greeting.
    ExpectQuit,
    /// Nothing any more.
    #[default]
    Closed,
}

/// A state, and whether it can go on with the input at hand.
pub(super) enum Next {
    /// Go on.
    Go(State),
    /// Wait for input or for the driver.
    Wait(State),
}

/// A transaction between MAIL and its content. The envelope is the driver's.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The announced size in octets; only a hint for memory.
    pub(super) announced_octets: Option<u64>,
    /// The content is not made of lines, and comes by BDAT only (RFC 3030 3).
    pub(super) is_binary: bool,
}

impl State {
    /// One complete line.
    pub(super) fn handle_line(self, line: &[u8], turn: &mut Turn<'_>) -> State {
        if let State::ExpectAuthResponse(exchange) = self {
            return exchange.handle(line, turn);
        }
        let command = Command::parse(line);
        if matches!(self, State::ExpectQuit) && !matches!(command, Command::Quit(_) | Command::Foreign) {
            turn.fault(Say::OnlyQuit);
            return self;
        }
        if turn.more && turn.session.refuses_early_commands && !turn.may_be_followed(&command) {
            return turn.close(Say::EarlyCommand);
        }
        if turn.settings().starttls == StartTls::Required && command.needs_protection() {
            turn.fault(Say::NeedStartTls);
            return self;
        }
        match command {
            Command::Hello(kind, name) => hello::handle(self, kind, name, turn),
            Command::Mail(arguments) => transaction::handle_mail(self, arguments, turn),
            Command::Rcpt(arguments) => transaction::handle_rcpt(self, arguments, turn),
            Command::Data(arguments) => transaction::handle_data(self, arguments, turn),
            Command::Bdat(arguments) => chunk::handle_bdat(self, arguments, turn),
            Command::Auth(arguments) => super::auth::handle(self, arguments, turn),
            Command::XClient(arguments) => super::xclient::handle(self, arguments, turn),
            Command::StartTls(arguments) => super::starttls::handle(self, arguments, turn),
            Command::Vrfy(arguments) => super::verify::handle(self, arguments, Wish::Verify, turn),
            Command::Expn(arguments) => super::verify::handle(self, arguments, Wish::Expand, turn),
            other => self.handle_anywhere(other, turn),
        }
    }

    /// The commands that mean the same in every state.
    fn handle_anywhere(self, command: Command<'_>, turn: &mut Turn<'_>) -> State {
        match command {
            Command::Quit("") => return self.end_with(AfterReset::Close, turn),
            Command::Rset("") => {
                turn.count_junk();
                return self.end_with(AfterReset::Say, turn);
            }
            Command::Quit(_) | Command::Rset(_) => turn.fault(Say::NoArguments),
            Command::Noop => turn.junk(Say::Ok),
            Command::Help => turn.junk(Say::Help),
            Command::XForward => turn.fault(Say::NotTrusted),
            Command::NotImplemented => turn.fault(Say::NotImplemented),
            Command::Foreign => return turn.close(Say::NotSmtp),
            Command::Malformed => turn.fault(Say::Malformed),
            _ => turn.fault(Say::UnknownCommand),
        }
        self
    }

    /// A line beyond the limit was thrown away.
    pub(super) fn handle_oversize(self, turn: &mut Turn<'_>) -> State {
        if matches!(self, State::ExpectAuthResponse(_)) {
            turn.fault(Say::AuthLineTooLong);
            return turn.session.idle_state();
        }
        turn.fault(Say::LineTooLong);
        self
    }

    pub(super) fn has_transaction(&self) -> bool {
        matches!(self, State::ExpectRcptOrData(_) | State::ExpectChunk(_))
    }

    /// Ends the transaction, if there is one, and then does `after`.
    pub(super) fn end_with(self, after: AfterReset, turn: &mut Turn<'_>) -> State {
        if self.has_transaction() {
            return State::ToAsk(Question::Reset, Pending::Reset(after));
        }
        after.proceed(turn)
    }
}
