//! MAIL, RCPT and DATA (RFC 5321 4.1.1.2 to 4.1.1.4).

use baton_mail::ReversePath;

use super::path::{Parameters, PathArgument, is_harmless_xtext};
use super::question::{Question, RcptPath};
use super::reply::Say;
use super::session::Turn;
use super::settings::AuthOffer;
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
        Ok(mail) => ask_mail(mail),
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
        Ok((recipient, parameters)) => {
            State::ToAsk(Question::Rcpt { recipient, parameters }, Pending::Rcpt(transaction))
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
    State::ToAsk(Question::Data, Pending::Data(transaction))
}

fn fault(state: State, say: Say, turn: &mut Turn<'_>) -> State {
    turn.fault(say);
    state
}

/// A MAIL command that obeys the grammar.
struct Mail {
    sender: ReversePath,
    size: Option<u64>,
    eight_bit: bool,
    smtputf8: bool,
    parameters: Parameters,
}

fn check_mail(arguments: &str, turn: &Turn<'_>) -> Result<Mail, Say> {
    let argument = PathArgument::parse(arguments, "FROM:").ok_or(Say::BadSender)?;
    let parameters = argument.parameters().ok_or(Say::BadArguments)?;
    let mut mail = Mail {
        sender: ReversePath::Null,
        size: None,
        eight_bit: false,
        smtputf8: false,
        parameters: Vec::new(),
    };
    for (keyword, value) in &parameters {
        check_mail_parameter(&mut mail, keyword, value.as_deref(), turn)?;
    }
    if !argument.path.is_ascii() && !mail.smtputf8 {
        return Err(Say::NeedSmtputf8);
    }
    mail.sender = argument.reverse_path().ok_or(Say::BadSender)?;
    mail.parameters = parameters;
    Ok(mail)
}

/// Parameters belong to extensions, and those come with EHLO only (RFC 5321 4.1.1.11).
fn check_mail_parameter(
    mail: &mut Mail,
    keyword: &str,
    value: Option<&str>,
    turn: &Turn<'_>,
) -> Result<(), Say> {
    let settings = turn.settings();
    if !turn.session.is_extended() {
        return Err(Say::UnknownParameter);
    }
    match (keyword, value) {
        ("SIZE", Some(value)) => {
            let size = parse_size(value).ok_or(Say::BadArguments)?;
            if settings.size_octets_max > 0 && size > settings.size_octets_max {
                return Err(Say::TooLarge);
            }
            mail.size = Some(size);
        }
        ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => mail.eight_bit = true,
        ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => {}
        ("SMTPUTF8", None) if settings.smtputf8 => mail.smtputf8 = true,
        ("AUTH", Some(value)) if settings.auth == AuthOffer::PlainLogin => {
            return if is_harmless_xtext(value) { Ok(()) } else { Err(Say::BadArguments) };
        }
        ("SIZE" | "SMTPUTF8", _) if settings.smtputf8 || keyword == "SIZE" => return Err(Say::BadArguments),
        _ => return Err(Say::UnknownParameter),
    }
    Ok(())
}

/// RFC 1870 4: up to 20 digits. What does not fit into 64 bits is larger than any limit.
fn parse_size(value: &str) -> Option<u64> {
    let is_number = (1..=20).contains(&value.len()) && value.bytes().all(|octet| octet.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

fn ask_mail(mail: Mail) -> State {
    let Mail { sender, size, eight_bit, smtputf8, parameters } = mail;
    let transaction = Transaction { announced_octets: size };
    State::ToAsk(
        Question::Mail { sender, size, eight_bit, smtputf8, parameters },
        Pending::Mail { transaction, smtputf8 },
    )
}

fn check_rcpt(arguments: &str, turn: &Turn<'_>) -> Result<(RcptPath, Parameters), Say> {
    let argument = PathArgument::parse(arguments, "TO:").ok_or(Say::BadRecipient)?;
    let parameters = argument.parameters().ok_or(Say::BadArguments)?;
    if !parameters.is_empty() {
        return Err(Say::UnknownParameter);
    }
    if !argument.path.is_ascii() && !turn.session.smtputf8 {
        return Err(Say::NeedSmtputf8);
    }
    let recipient = argument.forward_path().ok_or(Say::BadRecipient)?;
    if turn.session.recipients >= turn.settings().recipients_max {
        return Err(Say::TooManyRecipients);
    }
    Ok((recipient, parameters))
}
