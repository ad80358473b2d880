//! Asks an HTTP service that speaks MTA Hooks: JSON over POST, one request for each stage of a session.
//!
//! Invariant: a password is never sent; at `auth` the service hears who wants to log in, and can only refuse.
//! Invariant: an answer that can not be carried out in full is carried out not at all: the plugin fails.

mod change;
mod request;
mod response;

use std::time::Duration;

use baton_sdk::http::Request;
use baton_sdk::prelude::*;

use response::{Action, Answer};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The service; needs a grant.
    pub url: String,
    /// How long an answer may take, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u32,
    /// What is done without an answer.
    #[serde(default)]
    pub on_error: OnError,
    /// Octets of the content that are sent at the stage `data`; 0 for the header alone.
    #[serde(default = "default_content_octets_max")]
    pub content_octets_max: u32,
    /// Octets of an answer at most.
    #[serde(default = "default_answer_octets_max")]
    pub answer_octets_max: u32,
}

/// What is done without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The plugin fails: the operator's `on_failure` decides.
    #[default]
    Fail,
    /// It goes on as if the service had said `accept`.
    Pass,
}

/// The plugin.
pub struct MtaHooks {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for MtaHooks {
    type Config = Config;

    fn new(config: Config) -> Result<MtaHooks, Problems> {
        let mut problems = Problems::default();
        if !config.url.starts_with("http://") && !config.url.starts_with("https://") {
            problems.add("url", "write https://host/path");
        }
        if config.timeout_ms == 0 {
            problems.add("timeout_ms", "must be at least 1");
        }
        if config.content_octets_max > 16 << 20 {
            problems.add("content_octets_max", "must be at most 16777216");
        }
        problems.finish(MtaHooks { config })
    }
}

#[baton_sdk::hook]
impl Connect for MtaHooks {
    fn on_connect(&self, cx: &Context) -> Result<ConnectDecision> {
        let answer = self.ask(cx, &request::Stage::Connect)?;
        match answer.action {
            Action::Reject => Ok(match answer.refusal() {
                reply if reply.is_transient() => ConnectDecision::Tempfail(reply),
                reply => ConnectDecision::Reject(reply),
            }),
            _ => next(),
        }
    }
}

#[baton_sdk::hook]
impl Auth for MtaHooks {
    fn on_auth(&self, cx: &Context, mechanism: &str, user: &str, _: &Credential) -> Result<AuthDecision> {
        let answer = self.ask(cx, &request::Stage::Auth { mechanism, user })?;
        match answer.action {
            Action::Reject if answer.disconnects() => Ok(AuthDecision::Disconnect(answer.farewell())),
            Action::Reject => Ok(match answer.refusal() {
                reply if reply.is_transient() => AuthDecision::Tempfail(reply),
                reply => AuthDecision::Deny(reply),
            }),
            _ => next(),
        }
    }
}

#[baton_sdk::hook]
impl Rcpt for MtaHooks {
    fn on_rcpt(&self, cx: &Context, _rcpt: &Address) -> Result<RcptDecision> {
        let answer = self.ask(cx, &request::Stage::Rcpt)?;
        change::carry_out(cx, &answer.modifications)?;
        match answer.action {
            Action::Reject if answer.disconnects() => Ok(RcptDecision::Disconnect(answer.farewell())),
            Action::Reject => Ok(match answer.refusal() {
                reply if reply.is_transient() => RcptDecision::Tempfail(reply),
                reply => RcptDecision::Reject(reply),
            }),
            Action::Discard => Ok(RcptDecision::Discard),
            Action::Quarantine => {
                cx.envelope().quarantine(answer.reason())?;
                next()
            }
            Action::Accept => next(),
        }
    }
}

#[baton_sdk::hook]
impl Data for MtaHooks {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        let answer =
            self.ask(cx, &request::Stage::Data { content_octets_max: self.config.content_octets_max })?;
        change::carry_out(cx, &answer.modifications)?;
        match answer.action {
            Action::Reject if answer.disconnects() => Ok(DataDecision::Disconnect(answer.farewell())),
            Action::Reject => Ok(match answer.refusal() {
                reply if reply.is_transient() => DataDecision::Tempfail(reply),
                reply => DataDecision::Reject(reply),
            }),
            Action::Discard => Ok(DataDecision::Discard(answer.reason().to_owned())),
            Action::Quarantine => Ok(DataDecision::Quarantine(answer.reason().to_owned())),
            Action::Accept => next(),
        }
    }
}

impl MtaHooks {
    fn ask(&self, cx: &Context, stage: &request::Stage<'_>) -> Result<Answer> {
        let answer = self.post(cx, stage);
        let outcome = if answer.is_ok() { "answered" } else { "failed" };
        cx.metrics().count("asked", 1, &[("stage", stage.word()), ("outcome", outcome)]);
        match answer {
            Err(error) if self.config.on_error == OnError::Pass => {
                cx.warn(&["the service was not asked: ", error.message()].concat());
                Ok(Answer::default())
            }
            answer => answer,
        }
    }

    fn post(&self, cx: &Context, stage: &request::Stage<'_>) -> Result<Answer> {
        let mut request = Request::post_json(self.config.url.as_str(), &request::written(cx, stage))?
            .header("Accept", "application/json")
            .timeout(Duration::from_millis(u64::from(self.config.timeout_ms)))
            .response_octets_max(self.config.answer_octets_max);
        if let Some(token) = cx.secret("token") {
            request = request.header("Authorization", ["Bearer ", token.trim()].concat());
        }
        Ok(cx.http().fetch(&request)?.success()?.json()?)
    }
}

fn default_timeout_ms() -> u32 {
    10_000
}

fn default_content_octets_max() -> u32 {
    1 << 20
}

fn default_answer_octets_max() -> u32 {
    1 << 20
}

#[cfg(test)]
mod tests;
