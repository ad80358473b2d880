//! VRFY and EXPN (RFC 5321 3.5): questions about a mailbox outside of any transaction, and without effect on one.

use baton_mail::Mailbox;

use super::question::{Question, RcptPath, Wish};
use super::reply::Say;
use super::session::Turn;
use super::settings::Vrfy;
use super::state::State;
use super::verdict::Pending;

/// The state is the same afterwards, whatever the answer.
pub(super) fn handle(state: State, argument: &str, wish: Wish, turn: &mut Turn<'_>) -> State {
    match turn.settings().vrfy {
        Vrfy::Off => turn.fault(Say::NotImplemented),
        Vrfy::Silent if wish == Wish::Expand => turn.fault(Say::NotImplemented),
        _ if argument.is_empty() => turn.fault(Say::BadArguments),
        Vrfy::Silent => turn.junk(Say::CanNotVerify),
        Vrfy::Ask => match check(argument) {
            Ok(Some(mailbox)) => {
                turn.count_junk();
                return State::ToAsk(Question::Verify { mailbox, wish }, Pending::Verify(Box::new(state)));
            }
            // The name of a person: we know none.
            Ok(None) => turn.junk(Say::CanNotVerify),
            Err(say) => turn.fault(say),
        },
    }
    state
}

/// The mailbox, with or without brackets; none for what is no mailbox. Beyond ASCII it needs the parameter of RFC 6531
/// 3.7.4.2.
fn check(argument: &str) -> Result<Option<RcptPath>, Say> {
    let (text, may_be_utf8) = match argument.rsplit_once(' ') {
        Some((text, last)) if last.eq_ignore_ascii_case("SMTPUTF8") => (text.trim_end_matches(' '), true),
        _ => (argument, false),
    };
    if !text.is_ascii() && !may_be_utf8 {
        return Err(Say::NeedSmtputf8);
    }
    let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    if bare.eq_ignore_ascii_case("postmaster") {
        return Ok(Some(RcptPath::Postmaster));
    }
    Ok(bare.parse::<Mailbox>().ok().map(RcptPath::Mailbox))
}
