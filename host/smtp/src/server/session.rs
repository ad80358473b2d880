//! What outlives a command: the client's name, its account, how often it misbehaved.

use std::sync::Arc;

use baton_mail::UnixMs;

use super::command::Command;
use super::line::LineReader;
use super::reply::Say;
use super::settings::ServerSettings;
use super::state::State;

/// The memory of a session. It owns no buffer.
#[derive(Debug)]
pub(super) struct Session {
    settings: Arc<ServerSettings>,
    /// TLS protects the connection.
    pub(super) is_protected: bool,
    /// When the driver last told the time.
    pub(super) now: UnixMs,
    pub(super) line_reader: LineReader,
    /// A client that does not wait where it must is cut off.
    pub(super) refuses_early_commands: bool,
    /// The client may say for whom it speaks.
    pub(super) offers_xclient: bool,
    pub(super) hello: Option<Hello>,
    pub(super) account: Option<Box<str>>,
    /// Of the transaction in progress.
    pub(super) smtputf8: bool,
    /// Accepted recipients of the transaction in progress.
    pub(super) recipients: usize,
    pub(super) transactions: u32,
    errors: u32,
    junk_commands: u32,
}

/// How the client introduced itself.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) name: Box<str>,
    pub(super) kind: HelloKind,
}

/// With which command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelloKind {
    Helo,
    Ehlo,
    Lhlo,
}

impl Session {
    pub(super) fn new(settings: Arc<ServerSettings>) -> Session {
        Session {
            settings,
            is_protected: false,
            now: UnixMs::default(),
            line_reader: LineReader::default(),
            refuses_early_commands: false,
            offers_xclient: false,
            hello: None,
            account: None,
            smtputf8: false,
            recipients: 0,
            transactions: 0,
            errors: 0,
            junk_commands: 0,
        }
    }

    pub(super) fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// The connection is protected from now on: all that the client said before may have been said by somebody else,
    /// and is forgotten (RFC 3207 4.2). How often it misbehaved is not.
    pub(super) fn protect(&mut self, settings: Arc<ServerSettings>) {
        self.settings = settings;
        self.is_protected = true;
        self.hello = None;
        self.account = None;
    }

    /// Another client speaks from now on, with this account if any.
    pub(super) fn begin_anew(&mut self, account: Option<Box<str>>) {
        self.hello = None;
        self.account = account;
        self.transactions = 0;
        self.forgive();
    }

    pub(super) fn replace_settings(&mut self, settings: Arc<ServerSettings>) {
        self.settings = settings;
    }

    pub(super) fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.kind != HelloKind::Helo)
    }

    /// Octets that the next line may have. An AUTH command may carry its initial response (RFC 4954 4).
    pub(super) fn line_octets_max(&self, input: &[u8], in_auth: bool) -> usize {
        let is_auth = in_auth || input.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"AUTH "));
        let settings = self.settings();
        if is_auth {
            settings.command_octets_max.max(settings.auth_octets_max)
        } else {
            settings.command_octets_max
        }
    }

    /// The state when no transaction is open.
    pub(super) fn idle_state(&self) -> State {
        if self.hello.is_some() { State::ExpectMail } else { State::ExpectEhlo }
    }

    /// Forgets all that belongs to the transaction.
    pub(super) fn end_transaction(&mut self) -> State {
        self.smtputf8 = false;
        self.recipients = 0;
        self.idle_state()
    }

    /// The client delivered something: its past is forgiven.
    pub(super) fn forgive(&mut self) {
        self.errors = 0;
        self.junk_commands = 0;
    }

    /// Cuts the client off when it made too many mistakes or wastes our time, but not before its last command was
    /// answered.
    pub(super) fn check_limits(&self, state: State, output: &mut Vec<u8>) -> State {
        if matches!(state, State::Closed | State::ToAsk(..) | State::SkippingChunk(_)) {
            return state;
        }
        let say = if self.errors >= self.settings.errors_max {
            Say::TooManyErrors
        } else if self.junk_commands > self.settings.junk_commands_max {
            Say::TooManyJunkCommands
        } else {
            return state;
        };
        say.encode(output);
        State::Closed
    }

    /// Mistakes of the client since its last message.
    pub(super) fn errors(&self) -> u32 {
        self.errors
    }

    pub(super) fn replies_per_message(&self) -> usize {
        if self.settings.lmtp { self.recipients } else { 1 }
    }
}

/// What a command may touch while it is handled.
pub(super) struct Turn<'a> {
    pub(super) session: &'a mut Session,
    pub(super) output: &'a mut Vec<u8>,
    /// Input follows that the client sent without waiting for our reply.
    pub(super) more: bool,
}

impl Turn<'_> {
    pub(super) fn settings(&self) -> &ServerSettings {
        &self.session.settings
    }

    /// True when a client may send more behind this command without waiting for its reply: in a group of commands, once
    /// EHLO has told that there may be groups (RFC 2920 3.1).
    pub(super) fn may_be_followed(&self, command: &Command<'_>) -> bool {
        let in_group = self.session.is_extended() && self.settings().pipelining && !command.ends_group();
        in_group || command.knows_what_follows()
    }

    /// Says it; the state stays.
    pub(super) fn say(&mut self, say: Say) {
        say.encode(self.output);
    }

    /// Says it and counts a mistake.
    pub(super) fn fault(&mut self, say: Say) {
        self.session.errors += 1;
        say.encode(self.output);
    }

    /// Counts a mistake that was answered elsewhere.
    pub(super) fn count_error(&mut self) {
        self.session.errors += 1;
    }

    /// Counts a command that is allowed but moves no mail.
    pub(super) fn count_junk(&mut self) {
        self.session.junk_commands += 1;
    }

    /// Says it and counts a command that moves no mail.
    pub(super) fn junk(&mut self, say: Say) {
        self.count_junk();
        say.encode(self.output);
    }

    /// Says it and ends the session.
    pub(super) fn close(&mut self, say: Say) -> State {
        say.encode(self.output);
        State::Closed
    }
}
