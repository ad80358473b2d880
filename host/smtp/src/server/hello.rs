//! EHLO, HELO and LHLO (RFC 5321 4.1.1.1, RFC 2033 4.1).

use baton_mail::text::is_unsafe;

use super::reply::Say;
use super::session::{Hello, HelloKind, Turn};
use super::state::State;
use super::verdict::AfterReset;

/// Octets of the name that a client may give itself (RFC 5321 4.5.3.1.2).
const NAME_OCTETS_MAX: usize = 255;

/// It also ends a transaction, as RSET does (RFC 5321 4.1.4).
pub(super) fn handle(state: State, kind: HelloKind, name: &str, turn: &mut Turn<'_>) -> State {
    match check_hello(kind, name, turn) {
        Ok(hello) => {
            turn.count_junk();
            state.end_with(AfterReset::Hello(hello), turn)
        }
        Err(say) => {
            turn.fault(say);
            state
        }
    }
}

fn check_hello(kind: HelloKind, name: &str, turn: &Turn<'_>) -> Result<Hello, Say> {
    // LMTP knows LHLO only, and SMTP does not know it, so that neither is taken for the other (RFC 2033 4.1).
    if (kind == HelloKind::Lhlo) != turn.settings().lmtp {
        return Err(Say::UnknownCommand);
    }
    let is_name = |character: char| character != ' ' && !is_unsafe(character);
    if name.is_empty() || name.len() > NAME_OCTETS_MAX || !name.chars().all(is_name) {
        return Err(Say::BadHello);
    }
    Ok(Hello { name: name.into(), kind })
}
