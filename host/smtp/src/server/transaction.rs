//! MAIL, RCPT and DATA (RFC 5321 4.1.1.2 to 4.1.1.4).

use baton_mail::ReversePath;
use baton_mail::requests::RecipientRequests;

use super::parameters::{MailParameters, read_rcpt};
use super::path::{Parameters, PathArgument};
use super::question::{Question, RcptPath};
use super::reply::Say;
use super::session::Turn;
use super::state::{State, Transaction};
use super::verdict::Pending;

/// MAIL: begins a transaction.
pub(super) fn handle_mail(state: State, arguments: &str, turn: &mut Turn<'_>) -> State {
    match state {
        State::ExpectMail => {}
        State::ExpectRcptOrData(_) => return fault(state, Say::NestedMail, turn),
        State::ExpectChunk(_) => return fault(state, Say::InsideChunks, turn),
        _ => return fault(state, Say::NeedHello, turn),
    }
    if turn.session.transactions >= turn.settings().transactions_max {
        return turn.close(Say::TooManyTransactions);
    }
    match check_mail(arguments, turn) {
        Ok((sender, read, parameters)) => ask_mail(sender, read, parameters),
        Err(say) => fault(state, say, turn),
    }
}

/// RCPT: one more recipient.
pub(super) fn handle_rcpt(state: State, arguments: &str, turn: &mut Turn<'_>) -> State {
    let transaction = match state {
        State::ExpectRcptOrData(transaction) => transaction,
        state @ State::ExpectChunk(_) => return fault(state, Say::InsideChunks, turn),
        state @ State::ExpectMail => return fault(state, Say::NeedMail, turn),
        state => return fault(state, Say::NeedHello, turn),
    };
    match check_rcpt(arguments, turn) {
        Ok((recipient, requests, parameters)) => {
            State::ToAsk(Question::Rcpt { recipient, requests, parameters }, Pending::Rcpt(transaction))
        }
        Err(say) => {
            // A client that sends too many recipients obeys the protocol (RFC 5321 4.5.3.1.10).
            if say == Say::TooManyRecipients {
                turn.say(say)
            } else {
                turn.fault(say)
            }
            State::ExpectRcptOrData(transaction)
        }
    }
}

/// DATA: the content comes next.
///
/// Whatever follows DATA in the same input was sent before our 354. It is content that somebody tries to pass as
/// commands, or a client that does not listen: either way the session ends (RFC 2920 3.1).
pub(super) fn handle_data(state: State, arguments: &str, turn: &mut Turn<'_>) -> State {
    if turn.more {
        return turn.close(Say::PipelinedContent);
    }
    let transaction = match state {
        _ if !arguments.is_empty() => return fault(state, Say::NoArguments, turn),
        State::ExpectRcptOrData(transaction) => transaction,
        state @ State::ExpectChunk(_) => return fault(state, Say::InsideChunks, turn),
        state @ State::ExpectMail => return fault(state, Say::NeedMail, turn),
        state => return fault(state, Say::NeedHello, turn),
    };
    if turn.session.recipients == 0 {
        return fault(State::ExpectRcptOrData(transaction), Say::NoRecipients, turn);
    }
    if transaction.is_binary {
        return fault(State::ExpectRcptOrData(transaction), Say::NeedChunks, turn);
    }
    State::ToAsk(Question::Data, Pending::Data(transaction))
}

fn fault(state: State, say: Say, turn: &mut Turn<'_>) -> State {
    turn.fault(say);
    state
}

fn check_mail(arguments: &str, turn: &Turn<'_>) -> Result<(ReversePath, MailParameters, Parameters), Say> {
    let argument = PathArgument::parse(arguments, "FROM:").ok_or(Say::BadSender)?;
    let given = argument.parameters().ok_or(Say::BadArguments)?;
    let parameters = MailParameters::read(&given, turn)?;
    if !argument.path.is_ascii() && !parameters.smtputf8 {
        return Err(Say::NeedSmtputf8);
    }
    let sender = argument.reverse_path().ok_or(Say::BadSender)?;
    Ok((sender, parameters, given))
}

fn ask_mail(sender: ReversePath, read: MailParameters, parameters: Parameters) -> State {
    let MailParameters { size, eight_bit, binary, smtputf8, requests, hold, by } = read;
    let transaction = Transaction { announced_octets: size, is_binary: binary };
    State::ToAsk(
        Question::Mail { sender, size, eight_bit, binary, smtputf8, requests, hold, by, parameters },
        Pending::Mail { transaction, smtputf8 },
    )
}

fn check_rcpt(arguments: &str, turn: &Turn<'_>) -> Result<(RcptPath, RecipientRequests, Parameters), Say> {
    let argument = PathArgument::parse(arguments, "TO:").ok_or(Say::BadRecipient)?;
    let parameters = argument.parameters().ok_or(Say::BadArguments)?;
    let requests = read_rcpt(&parameters, turn)?;
    if !argument.path.is_ascii() && !turn.session.smtputf8 {
        return Err(Say::NeedSmtputf8);
    }
    let recipient = argument.forward_path().ok_or(Say::BadRecipient)?;
    if turn.session.recipients >= turn.settings().recipients_max {
        return Err(Say::TooManyRecipients);
    }
    Ok((recipient, requests, parameters))
}
