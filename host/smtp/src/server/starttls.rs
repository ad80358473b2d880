//! STARTTLS (RFC 3207).

use super::question::Question;
use super::reply::Say;
use super::session::Turn;
use super::settings::StartTls;
use super::state::State;
use super::verdict::Pending;

/// STARTTLS: not inside a transaction, not twice, and nothing behind it.
///
/// Whatever follows in the same input was sent before our 220, so before TLS: commands that somebody in between adds,
/// to have them obeyed as the client's own (CVE-2011-0411), or a client that does not listen. To discard it, as RFC 3207
/// asks, would leave both sides with different ideas of the session: it ends, as with content before 354.
pub(super) fn handle(state: State, arguments: &str, turn: &mut Turn<'_>) -> State {
    match check_starttls(&state, arguments, turn) {
        Ok(()) if turn.more => turn.close(Say::PipelinedStartTls),
        Ok(()) => State::ToAsk(Question::StartTls, Pending::StartTls),
        Err(say) => {
            turn.fault(say);
            state
        }
    }
}

fn check_starttls(state: &State, arguments: &str, turn: &Turn<'_>) -> Result<(), Say> {
    if turn.session.is_protected {
        return Err(Say::ProtectedBefore);
    }
    if turn.settings().starttls == StartTls::None {
        return Err(Say::NotImplemented);
    }
    if !arguments.is_empty() {
        return Err(Say::NoArguments);
    }
    match state {
        State::ExpectMail => Ok(()),
        State::ExpectRcptOrData(_) | State::ExpectChunk(_) => Err(Say::InsideTransaction),
        _ => Err(Say::NeedHello),
    }
}
