//! One question per hook: which function is called with what, and which of the possible answers are accepted.

use baton_mail::reply::REPLY_LINE_OCTETS_MAX;
use baton_mail::text::{is_unsafe, sanitize};
use baton_mail::{EnhancedCode, Mailbox, Reply};

use crate::answer::{Answer, Taken};
use crate::bindings::baton::relay::types;
use crate::bindings::exports::baton::relay as exports;
use crate::call::Parameter;
use crate::contract::{Exports, with_adapter};
use crate::instance::Instance;
use crate::state::Stop;
use crate::{AuthAnswer, BounceAnswer, ConnectAnswer, DataAnswer, Hook, RcptAnswer, RouteAnswer};

/// Octets of a reason (discard, quarantine, hold) that are kept.
const REASON_OCTETS_MAX: usize = 512;
/// Octets of an account name.
const ACCOUNT_OCTETS_MAX: usize = 255;

/// A question that plugins are asked.
pub(crate) trait Ask: Sync {
    const HOOK: Hook;
    type Answer: Answer;

    /// The recipient that it is about, at the hooks that have one.
    fn recipient(&self) -> Option<&types::Address> {
        None
    }

    /// Calls the plugin and checks its answer; an answer that is not acceptable is a [`Stop::BadVerdict`].
    fn ask(
        &self,
        exports: &Exports,
        instance: &mut Instance,
    ) -> impl Future<Output = wasmtime::Result<Self::Answer>> + Send;
}

/// What a client gives to authenticate.
#[derive(Clone)]
pub enum Credential {
    /// A password.
    Password(String),
    /// A token (OAUTHBEARER, XOAUTH2).
    Token(String),
}

pub(crate) struct AskConnect;

impl Ask for AskConnect {
    const HOOK: Hook = Hook::Connect;
    type Answer = ConnectAnswer;

    async fn ask(&self, exports: &Exports, instance: &mut Instance) -> wasmtime::Result<ConnectAnswer> {
        use exports::connect_hook::Decision;
        Ok(match with_adapter!(exports, adapter => adapter.connect(instance).await?) {
            Decision::Next => ConnectAnswer::Next,
            Decision::Accept => ConnectAnswer::Accept,
            Decision::Reject(reply) => ConnectAnswer::Reject(check_reply("reject", &reply, &[5])?),
            Decision::Tempfail(reply) => ConnectAnswer::Tempfail(check_reply("tempfail", &reply, &[4])?),
        })
    }
}

pub(crate) struct AskAuth<'a> {
    pub(crate) mechanism: &'a str,
    pub(crate) user: &'a str,
    pub(crate) credential: exports::auth_hook::Credential,
}

impl Ask for AskAuth<'_> {
    const HOOK: Hook = Hook::Auth;
    type Answer = AuthAnswer;

    async fn ask(&self, exports: &Exports, instance: &mut Instance) -> wasmtime::Result<AuthAnswer> {
        use exports::auth_hook::Decision;
        let decision = with_adapter!(exports, adapter => {
            adapter.auth(instance, self.mechanism, self.user, &self.credential).await?
        });
        Ok(match decision {
            Decision::Next => AuthAnswer::Next,
            Decision::Allow(account) => AuthAnswer::Allow(check_account(account)?),
            Decision::Deny(reply) => AuthAnswer::Deny(check_reply("deny", &reply, &[5])?),
            Decision::Tempfail(reply) => AuthAnswer::Tempfail(check_reply("tempfail", &reply, &[4])?),
            Decision::Disconnect(reply) => {
                AuthAnswer::Disconnect(check_reply("disconnect", &reply, &[4, 5])?)
            }
        })
    }
}

pub(crate) struct AskRcpt {
    pub(crate) recipient: types::Address,
    pub(crate) parameters: Vec<types::Param>,
}

impl Ask for AskRcpt {
    const HOOK: Hook = Hook::Rcpt;
    type Answer = RcptAnswer;

    fn recipient(&self) -> Option<&types::Address> {
        Some(&self.recipient)
    }

    async fn ask(&self, exports: &Exports, instance: &mut Instance) -> wasmtime::Result<RcptAnswer> {
        use exports::rcpt_hook::Decision;
        let decision = with_adapter!(exports, adapter => {
            adapter.rcpt(instance, &self.recipient, &self.parameters).await?
        });
        Ok(match decision {
            Decision::Next => RcptAnswer::Next,
            Decision::Accept => RcptAnswer::Accept,
            Decision::Reject(reply) => RcptAnswer::Reject(check_reply("reject", &reply, &[5])?),
            Decision::Tempfail(reply) => RcptAnswer::Tempfail(check_reply("tempfail", &reply, &[4])?),
            Decision::Discard => RcptAnswer::Discard,
            Decision::Disconnect(reply) => {
                RcptAnswer::Disconnect(check_reply("disconnect", &reply, &[4, 5])?)
            }
        })
    }
}

pub(crate) struct AskData;

impl Ask for AskData {
    const HOOK: Hook = Hook::Data;
    type Answer = DataAnswer;

    async fn ask(&self, exports: &Exports, instance: &mut Instance) -> wasmtime::Result<DataAnswer> {
        use exports::data_hook::Decision;
        Ok(match with_adapter!(exports, adapter => adapter.data(instance).await?) {
            Decision::Next => DataAnswer::Next,
            Decision::Accept => DataAnswer::Accept,
            Decision::Reject(reply) => DataAnswer::Reject(check_reply("reject", &reply, &[5])?),
            Decision::Tempfail(reply) => DataAnswer::Tempfail(check_reply("tempfail", &reply, &[4])?),
            Decision::Discard(reason) => DataAnswer::Discard(sanitize(&reason, REASON_OCTETS_MAX)),
            Decision::Quarantine(reason) => DataAnswer::Quarantine(sanitize(&reason, REASON_OCTETS_MAX)),
            Decision::Disconnect(reply) => {
                DataAnswer::Disconnect(check_reply("disconnect", &reply, &[4, 5])?)
            }
        })
    }
}

pub(crate) struct AskRoute {
    pub(crate) recipient: types::Address,
}

impl Ask for AskRoute {
    const HOOK: Hook = Hook::Route;
    type Answer = RouteAnswer;

    fn recipient(&self) -> Option<&types::Address> {
        Some(&self.recipient)
    }

    async fn ask(&self, exports: &Exports, instance: &mut Instance) -> wasmtime::Result<RouteAnswer> {
        use exports::route_hook::Decision;
        Ok(match with_adapter!(exports, adapter => adapter.route(instance, &self.recipient).await?) {
            Decision::Next => RouteAnswer::Next,
            Decision::Routed => RouteAnswer::Routed,
            Decision::Hold(reason) => RouteAnswer::Hold(sanitize(&reason, REASON_OCTETS_MAX)),
            Decision::Fail(reply) => RouteAnswer::Fail(check_reply("fail", &reply, &[5])?),
        })
    }
}

pub(crate) struct AskBounce {
    pub(crate) recipient: types::Address,
}

impl Ask for AskBounce {
    const HOOK: Hook = Hook::Bounce;
    type Answer = BounceAnswer;

    fn recipient(&self) -> Option<&types::Address> {
        Some(&self.recipient)
    }

    async fn ask(&self, exports: &Exports, instance: &mut Instance) -> wasmtime::Result<BounceAnswer> {
        use exports::bounce_hook::Decision;
        Ok(match with_adapter!(exports, adapter => adapter.bounce(instance, &self.recipient).await?) {
            Decision::Next => BounceAnswer::Next,
            Decision::Notify => BounceAnswer::Notify,
            Decision::Silent => BounceAnswer::Silent,
            Decision::Retry(after_ms) => BounceAnswer::Retry(check_retry(after_ms)?),
            Decision::Reroute => BounceAnswer::Reroute,
            Decision::Fail => BounceAnswer::Fail,
        })
    }
}

/// Events that are told to an observer.
pub(crate) struct AskEvents<'a> {
    pub(crate) events: &'a [exports::events_hook::Event],
}

impl Ask for AskEvents<'_> {
    const HOOK: Hook = Hook::Events;
    type Answer = Taken;

    async fn ask(&self, exports: &Exports, instance: &mut Instance) -> wasmtime::Result<Taken> {
        with_adapter!(exports, adapter => adapter.events(instance, self.events).await?);
        Ok(Taken)
    }
}

/// A reply of one of those classes, made harmless. Its enhanced code must be of the same class (RFC 3463 3.1).
fn check_reply(decision: &str, reply: &types::Reply, classes: &[u16]) -> Result<Reply, Stop> {
    let bad = |what: String| Stop::BadVerdict(format!("{decision} with {what}"));
    let class = reply.code / 100;
    if !classes.contains(&class) {
        return Err(bad(format!("the reply code {}", reply.code)));
    }
    let (first, subject, detail) = reply.enhanced.unwrap_or((class as u8, 7, 1));
    if u16::from(first) != class || subject > 999 || detail > 999 {
        return Err(bad(format!("the enhanced code {first}.{subject}.{detail} for {}", reply.code)));
    }
    let text = sanitize(&reply.text, REPLY_LINE_OCTETS_MAX);
    let text = if text.trim().is_empty() { "Refused by a mail filter" } else { text.trim() };
    Ok(Reply::new(reply.code, EnhancedCode(first, subject, detail), text))
}

/// A wait that makes sense. Less than a second would be a loop without pause, and more than a month is longer than any
/// message lives: the plugin most likely counts in another unit.
fn check_retry(after_ms: u64) -> Result<u64, Stop> {
    if RETRY_MS.contains(&after_ms) {
        return Ok(after_ms);
    }
    let (least, most) = (RETRY_MS.start(), RETRY_MS.end());
    Err(Stop::BadVerdict(format!("retry after {after_ms} ms, which is not from {least} to {most}")))
}

/// Waits that a `bounce` plugin may ask for, in milliseconds: a second to 31 days.
const RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=31 * 86_400 * 1_000;

fn check_account(account: String) -> Result<String, Stop> {
    if account.is_empty() || account.len() > ACCOUNT_OCTETS_MAX || account.chars().any(is_unsafe) {
        return Err(Stop::BadVerdict(
            "allow with an account name that is empty, too long or has control characters".to_owned(),
        ));
    }
    Ok(account)
}

pub(crate) fn address(mailbox: &Mailbox) -> types::Address {
    types::Address { local: mailbox.local().to_owned(), domain: mailbox.domain().as_str().to_owned() }
}

pub(crate) fn parameters(parameters: &[Parameter]) -> Vec<types::Param> {
    parameters.iter().map(|(name, value)| types::Param { name: name.clone(), value: value.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, enhanced: Option<(u8, u16, u16)>, text: &str) -> types::Reply {
        types::Reply { code, enhanced, text: text.to_owned() }
    }

    #[test]
    fn the_code_must_be_of_the_decisions_class() {
        for (code, classes) in [(250, &[5][..]), (450, &[5]), (550, &[4]), (0, &[5]), (600, &[5, 4])] {
            assert!(check_reply("reject", &reply(code, None, "no"), classes).is_err(), "{code}");
        }
        assert!(check_reply("reject", &reply(550, Some((4, 7, 1)), "no"), &[5]).is_err());
        assert!(check_reply("reject", &reply(550, Some((5, 1_000, 1)), "no"), &[5]).is_err());
    }

    #[test]
    fn a_retry_is_neither_at_once_nor_never() {
        assert!([0, 999, 31 * 86_400_000 + 1, u64::MAX].into_iter().all(|wait| check_retry(wait).is_err()));
        assert_eq!(check_retry(1_000).ok(), Some(1_000));
        assert_eq!(check_retry(31 * 86_400_000).ok(), Some(31 * 86_400_000));
    }

    #[test]
    fn a_reply_is_made_harmless() {
        let checked = check_reply("reject", &reply(550, None, "no\r\n250 yes"), &[5]).unwrap();
        assert_eq!(checked.to_string(), "550 5.7.1 no  250 yes");
    }
}
