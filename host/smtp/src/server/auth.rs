//! AUTH (RFC 4954): PLAIN (RFC 4616) and LOGIN are read here, the messages of other mechanisms are the driver's to read.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use baton_mail::text::is_unsafe;

use super::mechanism::Mechanism;
use super::question::Question;
use super::reply::Say;
use super::session::Turn;
use super::settings::AuthOffer;
use super::state::State;
use super::verdict::Pending;

/// What the exchange waits for. No password is kept between lines.
#[derive(Debug)]
pub(super) enum Exchange {
    /// The message of PLAIN.
    Plain,
    /// The user name of LOGIN.
    LoginUser,
    /// The password of LOGIN.
    LoginPassword {
        /// The user name, not checked yet.
        user: String,
    },
    /// A message of another mechanism.
    Message {
        /// Which one.
        mechanism: Mechanism,
        /// It is the first one of the exchange.
        is_first: bool,
    },
}

/// What a client claims to be.
struct Credentials {
    mechanism: Mechanism,
    user: String,
    password: String,
}

/// AUTH: not inside a transaction, only once, and only what was offered (RFC 4954 4).
pub(super) fn handle(state: State, arguments: &str, turn: &mut Turn<'_>) -> State {
    let exchange = match check_auth(&state, arguments, turn) {
        Ok(exchange) => exchange,
        Err(say) => {
            turn.fault(say);
            return state;
        }
    };
    // An initial response of `=` is an empty one.
    match arguments.split_once(' ').map(|(_, initial)| initial.trim_matches(' ')) {
        Some("=") => exchange.take("", turn),
        Some(initial) => exchange.take(initial, turn),
        None => exchange.ask(turn),
    }
}

fn check_auth(state: &State, arguments: &str, turn: &Turn<'_>) -> Result<Exchange, Say> {
    match turn.settings().auth {
        AuthOffer::None => return Err(Say::NotImplemented),
        AuthOffer::AfterTls => return Err(Say::AuthNeedsTls),
        AuthOffer::Offered(_) => {}
    }
    if turn.session.account.is_some() {
        return Err(Say::AuthenticatedBefore);
    }
    match state {
        State::ExpectMail if turn.session.is_extended() => {}
        State::ExpectRcptOrData(_) | State::ExpectChunk(_) => return Err(Say::InsideTransaction),
        _ => return Err(Say::NeedHello),
    }
    let name = arguments.split(' ').next().unwrap_or_default();
    let offered = turn.settings().auth.mechanisms();
    match Mechanism::from_name(name).filter(|mechanism| offered.contains(*mechanism)) {
        Some(Mechanism::Plain) => Ok(Exchange::Plain),
        Some(Mechanism::Login) => Ok(Exchange::LoginUser),
        Some(mechanism) => Ok(Exchange::Message { mechanism, is_first: true }),
        None if name.is_empty() => Err(Say::BadArguments),
        None => Err(Say::UnknownMechanism),
    }
}

/// Sends the mechanism's next message, and waits for the client's.
pub(super) fn challenge(mechanism: Mechanism, message: &[u8], turn: &mut Turn<'_>) -> State {
    turn.output.extend_from_slice(b"334 ");
    turn.output.extend_from_slice(BASE64.encode(message).as_bytes());
    turn.output.extend_from_slice(b"\r\n");
    State::ExpectAuthResponse(Exchange::Message { mechanism, is_first: false })
}

impl Exchange {
    /// One line from the client.
    pub(super) fn handle(self, line: &[u8], turn: &mut Turn<'_>) -> State {
        let text = line.strip_suffix(b"\r\n").and_then(|text| std::str::from_utf8(text).ok());
        match text {
            Some("*") => fail(Say::AuthCancelled, turn),
            Some(text) => self.take(text, turn),
            None => fail(Say::Malformed, turn),
        }
    }

    /// Waits for the next line.
    fn ask(self, turn: &mut Turn<'_>) -> State {
        turn.say(match self {
            Exchange::Plain | Exchange::Message { .. } => Say::AskResponse,
            Exchange::LoginUser => Say::AskUser,
            Exchange::LoginPassword { .. } => Say::AskPassword,
        });
        State::ExpectAuthResponse(self)
    }

    /// Takes a response in base64.
    fn take(self, response: &str, turn: &mut Turn<'_>) -> State {
        let Ok(octets) = BASE64.decode(response) else { return fail(Say::BadBase64, turn) };
        if let Exchange::Message { mechanism, is_first } = self {
            let question = Question::AuthMessage { mechanism, is_first, message: octets };
            return State::ToAsk(question, Pending::AuthMessage(mechanism));
        }
        let Ok(text) = String::from_utf8(octets) else { return fail(Say::AuthInvalid, turn) };
        let credentials = match self {
            Exchange::Plain => parse_plain(&text),
            Exchange::LoginUser => return Exchange::LoginPassword { user: text }.ask(turn),
            Exchange::LoginPassword { user } => {
                Some(Credentials { mechanism: Mechanism::Login, user, password: text })
            }
            Exchange::Message { .. } => None,
        };
        match credentials.filter(Credentials::are_plausible) {
            Some(credentials) => ask_auth(credentials),
            None => fail(Say::AuthInvalid, turn),
        }
    }
}

/// `authzid NUL authcid NUL password` (RFC 4616 2). Nobody may act for somebody else.
fn parse_plain(message: &str) -> Option<Credentials> {
    let mut parts = message.split('\0');
    let (for_whom, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let is_complete = parts.next().is_none() && (for_whom.is_empty() || for_whom == user);
    is_complete.then(|| Credentials {
        mechanism: Mechanism::Plain,
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

impl Credentials {
    /// Neither half is empty or holds what can not be logged.
    fn are_plausible(&self) -> bool {
        !self.user.is_empty()
            && !self.password.is_empty()
            && !self.user.chars().any(is_unsafe)
            && !self.password.contains('\0')
    }
}

fn ask_auth(credentials: Credentials) -> State {
    let Credentials { mechanism, user, password } = credentials;
    State::ToAsk(Question::Auth { mechanism, user, password }, Pending::Auth)
}

fn fail(say: Say, turn: &mut Turn<'_>) -> State {
    turn.fault(say);
    turn.session.idle_state()
}

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_has_three_parts_and_one_identity() {
        let user = |message: &str| {
            parse_plain(message).filter(Credentials::are_plausible).map(|credentials| credentials.user)
        };
        assert_eq!(user("\0tim\0tanstaaf").as_deref(), Some("tim"));
        assert_eq!(user("tim\0tim\0tanstaaf").as_deref(), Some("tim"));
        for bad in ["", "\0", "\0tim\0", "\0\0x", "root\0tim\0x", "\0tim\0x\0", "\0ti\nm\0x", "tim"] {
            assert_eq!(user(bad), None, "{bad:?}");
        }
    }
}
