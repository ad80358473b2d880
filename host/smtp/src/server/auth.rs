//! AUTH with PLAIN and LOGIN (RFC 4954, RFC 4616).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use baton_mail::text::is_unsafe;

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
}

/// What a client claims to be.
struct Credentials {
    mechanism: &'static str,
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
        AuthOffer::PlainLogin => {}
    }
    if turn.session.account.is_some() {
        return Err(Say::AuthenticatedBefore);
    }
    match state {
        State::ExpectMail if turn.session.is_extended() => {}
        State::ExpectRcptOrData(_) | State::ExpectChunk(_) => return Err(Say::InsideTransaction),
        _ => return Err(Say::NeedHello),
    }
    let mechanism = arguments.split(' ').next().unwrap_or_default();
    if mechanism.eq_ignore_ascii_case("PLAIN") {
        Ok(Exchange::Plain)
    } else if mechanism.eq_ignore_ascii_case("LOGIN") {
        Ok(Exchange::LoginUser)
    } else {
        Err(if mechanism.is_empty() { Say::BadArguments } else { Say::UnknownMechanism })
    }
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
            Exchange::Plain => Say::AskResponse,
            Exchange::LoginUser => Say::AskUser,
            Exchange::LoginPassword { .. } => Say::AskPassword,
        });
        State::ExpectAuthResponse(self)
    }

    /// Takes a response in base64.
    fn take(self, response: &str, turn: &mut Turn<'_>) -> State {
        let Ok(octets) = BASE64.decode(response) else { return fail(Say::BadBase64, turn) };
        let Ok(text) = String::from_utf8(octets) else { return fail(Say::AuthInvalid, turn) };
        let credentials = match self {
            Exchange::Plain => parse_plain(&text),
            Exchange::LoginUser => return Exchange::LoginPassword { user: text }.ask(turn),
            Exchange::LoginPassword { user } => {
                Some(Credentials { mechanism: "LOGIN", user, password: text })
            }
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
        mechanism: "PLAIN",
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
