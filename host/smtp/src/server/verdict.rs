//! What happens on the driver's verdict: one exhaustive match.

use baton_mail::Reply;

use super::auth;
use super::chunk::Chunk;
use super::content::Receiver;
use super::data::ReceivingData;
use super::mechanism::Mechanism;
use super::question::{Answer, Misuse, Question};
use super::reply::{Response, Say, encode_hello};
use super::session::{Hello, Turn};
use super::state::{State, Transaction};

/// An open question, and what it holds up.
#[derive(Debug)]
pub(super) enum Pending {
    Helo(Hello),
    Auth,
    AuthMessage(Mechanism),
    StartTls,
    XClient {
        account: Option<Box<str>>,
    },
    Mail {
        transaction: Transaction,
        smtputf8: bool,
    },
    Rcpt(Transaction),
    Data(Transaction),
    FirstChunk {
        transaction: Transaction,
        chunk: Chunk,
    },
    Message {
        replies: usize,
    },
    /// The state that the answer leaves as it was.
    Verify(Box<State>),
    Reset(AfterReset),
}

/// What follows when the driver has dropped the transaction.
#[derive(Debug)]
pub(super) enum AfterReset {
    /// RSET: 250.
    Say,
    /// QUIT: 221.
    Close,
    /// EHLO: the next question.
    Hello(Hello),
    /// Content that was refused: the reply, once or for each recipient.
    Refuse { response: Response, times: usize },
}

impl AfterReset {
    pub(super) fn proceed(self, turn: &mut Turn<'_>) -> State {
        match self {
            AfterReset::Say => turn.say(Say::Ok),
            AfterReset::Close => return turn.close(Say::Bye),
            AfterReset::Hello(hello) => {
                let name = hello.name.to_string();
                turn.session.end_transaction();
                return State::ToAsk(Question::Helo { name }, Pending::Helo(hello));
            }
            AfterReset::Refuse { response, times } => response.encode(times, turn.output),
        }
        turn.session.end_transaction()
    }
}

impl Pending {
    /// Carries the answer out. An answer that does not fit comes back with the question.
    pub(super) fn proceed(self, answer: Answer, turn: &mut Turn<'_>) -> Result<State, (Pending, Misuse)> {
        match (self, answer) {
            (_, Answer::Disconnect(reply)) => {
                reply.encode(turn.output);
                Ok(State::Closed)
            }
            (Pending::Reset(after), Answer::Proceed) => Ok(after.proceed(turn)),
            (pending @ Pending::Reset(_), _) => Err((pending, Misuse::WrongKind)),
            (pending, Answer::Refuse(reply)) if is_refusal(&reply) => {
                Ok(pending.proceed_refused(reply, turn))
            }
            (pending, Answer::Refuse(_)) => Err((pending, Misuse::NotARefusal)),
            (Pending::Auth | Pending::AuthMessage(_), Answer::Authenticated(account)) => {
                turn.session.account = Some(account.into());
                turn.say(Say::Authenticated);
                Ok(turn.session.idle_state())
            }
            (Pending::AuthMessage(mechanism), Answer::Challenge(message)) => {
                Ok(auth::challenge(mechanism, &message, turn))
            }
            (Pending::Message { replies }, Answer::Done(given)) if given.len() == replies => {
                Ok(proceed_message(&given, turn))
            }
            (pending @ Pending::Message { .. }, Answer::Done(_)) => Err((pending, Misuse::WrongCount)),
            (pending @ (Pending::Message { .. } | Pending::Auth | Pending::AuthMessage(_)), _) => {
                Err((pending, Misuse::WrongKind))
            }
            (pending, Answer::Proceed) => Ok(pending.proceed_agreed(None, turn)),
            (
                pending @ (Pending::Mail { .. } | Pending::Rcpt(_) | Pending::Verify(_)),
                Answer::ProceedSaying(reply),
            ) if reply.is_positive() => Ok(pending.proceed_agreed(Some(reply), turn)),
            (
                pending,
                Answer::Authenticated(_) | Answer::Challenge(_) | Answer::Done(_) | Answer::ProceedSaying(_),
            ) => Err((pending, Misuse::WrongKind)),
        }
    }

    /// The driver said yes, maybe in words of its own.
    fn proceed_agreed(self, words: Option<Reply>, turn: &mut Turn<'_>) -> State {
        let say = |say: Say, turn: &mut Turn<'_>| match &words {
            Some(reply) => reply.encode(turn.output),
            None => turn.say(say),
        };
        match self {
            Pending::Helo(hello) => {
                encode_hello(turn.session, &hello, turn.output);
                turn.session.hello = Some(hello);
                State::ExpectMail
            }
            Pending::StartTls => {
                turn.say(Say::StartTls);
                State::StartingTls
            }
            Pending::XClient { account } => {
                turn.session.begin_anew(account);
                State::Restarting
            }
            Pending::Mail { transaction, smtputf8 } => {
                turn.session.transactions += 1;
                turn.session.smtputf8 = smtputf8;
                turn.session.recipients = 0;
                say(Say::SenderOk, turn);
                State::ExpectRcptOrData(transaction)
            }
            Pending::Rcpt(transaction) => {
                turn.session.recipients += 1;
                say(Say::RecipientOk, turn);
                State::ExpectRcptOrData(transaction)
            }
            Pending::Data(transaction) => {
                turn.say(Say::StartContent);
                let receiver = Receiver::new(turn.settings(), transaction.announced_octets);
                State::ReceivingData(ReceivingData::new(receiver))
            }
            Pending::FirstChunk { transaction, chunk } => chunk.proceed(&transaction, turn),
            Pending::Verify(state) => {
                say(Say::CanNotVerify, turn);
                *state
            }
            // Their yes has another form; it was matched before.
            Pending::Auth | Pending::AuthMessage(_) | Pending::Message { .. } | Pending::Reset(_) => {
                turn.session.idle_state()
            }
        }
    }

    /// The driver said no. After 421 the session is over (RFC 5321 3.8).
    fn proceed_refused(self, reply: Reply, turn: &mut Turn<'_>) -> State {
        let closes = reply.code() == 421;
        let times = match &self {
            Pending::Message { replies } if !closes => *replies,
            _ => 1,
        };
        let response = Response::Theirs(reply);
        if let (Pending::FirstChunk { chunk, .. }, false) = (&self, closes) {
            let next = turn.session.idle_state();
            let skip = chunk.refuse(response, next, turn.session);
            turn.session.end_transaction();
            return skip;
        }
        response.encode(times, turn.output);
        if closes {
            return State::Closed;
        }
        match self {
            Pending::Rcpt(transaction) => State::ExpectRcptOrData(transaction),
            Pending::Verify(state) => *state,
            Pending::Auth | Pending::AuthMessage(_) => {
                turn.count_error();
                turn.session.idle_state()
            }
            Pending::Helo(_) | Pending::XClient { .. } => turn.session.idle_state(),
            _ => turn.session.end_transaction(),
        }
    }

    pub(super) fn refused_content(&self) -> Option<Reply> {
        match self {
            Pending::Reset(AfterReset::Refuse { response, .. }) => Some(response.to_reply()),
            _ => None,
        }
    }
}

fn is_refusal(reply: &Reply) -> bool {
    reply.is_transient() || reply.is_permanent()
}

/// The message was decided on. Whoever delivers mail is forgiven.
fn proceed_message(replies: &[Reply], turn: &mut Turn<'_>) -> State {
    for reply in replies {
        reply.encode(turn.output);
    }
    let state = turn.session.end_transaction();
    if replies.iter().any(Reply::is_positive) {
        turn.session.forgive();
    }
    if replies.iter().any(|reply| reply.code() == 421) { State::Closed } else { state }
}
