//! What the machine and its driver say to one another.

use std::fmt;

use baton_mail::requests::timing::{By, Hold};
use baton_mail::requests::{MessageRequests, RecipientRequests};
use baton_mail::{Mailbox, Reply, ReversePath};
use bytes::Bytes;
use smallvec::SmallVec;

use super::mechanism::Mechanism;
use super::path::Parameters;
use super::xclient::XClient;

/// Where [`super::Server::handle`] stopped.
#[derive(Debug)]
pub enum Step {
    /// Write the output, then read more input.
    NeedInput,
    /// Answer this, then call `handle` again.
    Ask(Question),
    /// Write the output, do the TLS handshake, then call [`super::Server::protect`]; when it fails, close. What the
    /// client said before is forgotten by the machine, and must be by the driver (RFC 3207 4.2).
    StartTls,
    /// The client speaks for another one now: call [`super::Server::restart`], then greet or refuse it.
    Restart,
    /// Write the output, then close the connection. A transaction in progress is dropped.
    Close,
}

/// What the machine can not decide.
pub enum Question {
    /// The client gave its name. `Proceed` or `Refuse`.
    Helo {
        /// The name, as given.
        name: String,
    },
    /// The client wants to authenticate by name and password. `Authenticated` or `Refuse`.
    Auth {
        /// PLAIN or LOGIN.
        mechanism: Mechanism,
        /// The user name; no control characters.
        user: String,
        /// The password; never logged.
        password: String,
    },
    /// A message of the client in the exchange of another mechanism. `Challenge`, `Authenticated` or `Refuse`.
    AuthMessage {
        /// Which mechanism.
        mechanism: Mechanism,
        /// It begins the exchange; whatever an earlier one left behind is over.
        is_first: bool,
        /// The message, without base64; never logged.
        message: Vec<u8>,
    },
    /// The client speaks for another one: all that is known of the session is forgotten. `Proceed`, and then comes
    /// [`Step::Restart`]; or `Refuse`.
    XClient(Box<XClient>),
    /// The client wants to protect the connection. `Proceed`, or `Refuse` with 454 when that is not possible now.
    StartTls,
    /// A transaction begins. `Proceed` or `Refuse`.
    Mail {
        /// The return path.
        sender: ReversePath,
        /// The announced size in octets (RFC 1870).
        size: Option<u64>,
        /// `BODY=8BITMIME` (RFC 6152).
        eight_bit: bool,
        /// `BODY=BINARYMIME` (RFC 3030): lone CR, LF and NUL in the content are what the sender meant.
        binary: bool,
        /// `SMTPUTF8` (RFC 6531).
        smtputf8: bool,
        /// What the sender asks of the delivery.
        requests: MessageRequests,
        /// When it may leave (RFC 4865).
        hold: Option<Hold>,
        /// By when it is to be there (RFC 2852).
        by: Option<By>,
        /// All parameters as given: keyword in upper case, value.
        parameters: Parameters,
    },
    /// One more recipient. `Proceed` or `Refuse`.
    Rcpt {
        /// Whom; a source route was dropped (RFC 5321 appendix F.2).
        recipient: RcptPath,
        /// What the sender asks of this copy.
        requests: RecipientRequests,
        /// All parameters as given.
        parameters: Parameters,
    },
    /// The client asks about a mailbox, which changes nothing (RFC 5321 3.5). `ProceedSaying` what there is to know,
    /// `Proceed` when nothing can be said (252), or `Refuse`.
    Verify {
        /// Which one.
        mailbox: RcptPath,
        /// What about it.
        wish: Wish,
    },
    /// The content is about to come by DATA or BDAT. `Proceed`, or `Refuse`, which ends the transaction.
    Data,
    /// The content is complete. `Done` with one reply (SMTP) or one for each accepted recipient (LMTP), or
    /// `Refuse` for all. The transaction is over.
    Message {
        /// The content: no dot-stuffing, no end mark.
        content: Bytes,
        /// Lone CR, LF or NUL were repaired.
        bare_line_endings_repaired: bool,
    },
    /// The transaction ended without a message: drop its draft. `Proceed`.
    Reset,
}

/// What a client wants to know about a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Whether it takes mail (VRFY).
    Verify,
    /// Who gets mail for it (EXPN).
    Expand,
}

/// Whom a RCPT command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RcptPath {
    /// `<Postmaster>` without a domain (RFC 5321 4.5.1).
    Postmaster,
    /// A mailbox.
    Mailbox(Mailbox),
}

/// The driver's answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// Yes.
    Proceed,
    /// Yes, in these words: an answer to [`Question::Mail`], [`Question::Rcpt`] or [`Question::Verify`] with a 2xx reply.
    ProceedSaying(Reply),
    /// No, with a 4xx or 5xx reply. After 421 the session is closed.
    Refuse(Reply),
    /// The client is this account.
    Authenticated(String),
    /// The mechanism's next message to the client.
    Challenge(Vec<u8>),
    /// What became of the message.
    Done(SmallVec<[Reply; 1]>),
    /// No, with this reply, and the session is closed.
    Disconnect(Reply),
}

/// The driver gave an answer that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// No question is open.
    #[error("no question is open")]
    NothingAsked,
    /// The answer is of the wrong kind for the question.
    #[error("the answer does not fit the question")]
    WrongKind,
    /// A refusal has a reply that refuses nothing.
    #[error("a refusal needs a 4xx or 5xx reply")]
    NotARefusal,
    /// There are more or fewer replies than recipients (RFC 2033 4.2).
    #[error("the message needs one reply for each accepted recipient (LMTP) or one (SMTP)")]
    WrongCount,
}

impl fmt::Debug for Question {
    /// Everything but passwords and content.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Helo { name } => write!(formatter, "Helo({name:?})"),
            Question::Auth { mechanism, user, .. } => write!(formatter, "Auth({mechanism:?}, {user:?})"),
            Question::AuthMessage { mechanism, message, .. } => {
                write!(formatter, "AuthMessage({mechanism:?}, {} octets)", message.len())
            }
            Question::XClient(told) => write!(formatter, "XClient({:?})", told.address),
            Question::StartTls => formatter.write_str("StartTls"),
            Question::Mail { sender, .. } => write!(formatter, "Mail(<{sender}>)"),
            Question::Rcpt { recipient, .. } => write!(formatter, "Rcpt({recipient:?})"),
            Question::Verify { mailbox, wish } => write!(formatter, "Verify({wish:?}, {mailbox:?})"),
            Question::Data => formatter.write_str("Data"),
            Question::Message { content, .. } => write!(formatter, "Message({} octets)", content.len()),
            Question::Reset => formatter.write_str("Reset"),
        }
    }
}
