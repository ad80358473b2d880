//! Asks an rspamd (`/checkv2`) and does what it says.
//!
//! Invariant: the message never enters the plugin; the relay sends it.
//! Invariant: where rspamd does not answer, nothing is decided here: the setting `on_error`, or the operator's failure policy, decides.

mod answer;

use std::time::Duration;

use baton_sdk::http::Request;
use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;

use answer::{Answer, Header};

/// Octets of an answer at most.
const ANSWER_OCTETS_MAX: u32 = 1 << 20;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The worker, such as `http://127.0.0.1:11333`; needs a grant.
    pub url: String,
    /// How long an answer may take, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u32,
    /// What is done without an answer.
    #[serde(default)]
    pub on_error: OnError,
    /// Mail of clients that logged in is not asked about.
    #[serde(default)]
    pub skip_authenticated: bool,
    /// Larger messages are not asked about, in octets.
    #[serde(default = "default_octets_max")]
    pub octets_max: u64,
    /// What is done when rspamd says `reject`.
    #[serde(default)]
    pub reject: OnReject,
    /// What is done when rspamd says `greylist` or `soft reject`.
    #[serde(default = "default_true")]
    pub defer: bool,
    /// Take over the score of each symbol.
    #[serde(default)]
    pub symbols: bool,
    /// Add the field `X-Spam: Yes` when rspamd says `add header` (or `rewrite subject` without a subject).
    #[serde(default = "default_true")]
    pub add_header: bool,
    /// The reply to refused mail, when rspamd gives no text (5xx).
    #[serde(default)]
    pub reply: Option<Reply>,
}

/// What is done without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The plugin fails: the operator's `on_failure` decides.
    #[default]
    Fail,
    /// The message goes on.
    Pass,
    /// The message is put off.
    Tempfail,
}

/// What is done when rspamd says `reject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnReject {
    /// The message is refused.
    #[default]
    Reject,
    /// It is held for an operator.
    Quarantine,
    /// It goes on with its score, and the relay's thresholds decide.
    Score,
}

/// The plugin.
pub struct Rspamd {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for Rspamd {
    type Config = Config;

    fn new(mut config: Config) -> Result<Rspamd, Problems> {
        let mut problems = Problems::default();
        if !config.url.starts_with("http://") && !config.url.starts_with("https://") {
            problems.add("url", "write http://host:11333");
        }
        if !config.url.ends_with("/checkv2") {
            config.url = [config.url.trim_end_matches('/'), "/checkv2"].concat();
        }
        if config.timeout_ms == 0 {
            problems.add("timeout_ms", "must be at least 1");
        }
        if config.reply.as_ref().is_some_and(|reply| !reply.is_permanent()) {
            problems.add("reply", "needs a 5xx reply");
        }
        problems.finish(Rspamd { config })
    }
}

#[baton_sdk::hook]
impl Data for Rspamd {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        let by_account = self.config.skip_authenticated && cx.session().account().is_some();
        if by_account || cx.message().size() > self.config.octets_max {
            return next();
        }
        match self.ask(cx) {
            Ok(answer) => {
                cx.metrics().count("asked", 1, &[("action", &answer.action)]);
                self.carry_out(cx, &answer)
            }
            Err(error) => {
                cx.metrics().count("errors", 1, &[]);
                match self.config.on_error {
                    OnError::Fail => Err(error),
                    OnError::Pass => {
                        cx.warn(&["rspamd was not asked: ", error.message()].concat());
                        next()
                    }
                    OnError::Tempfail => tempfail(451, "4.7.1", "the message can not be examined now"),
                }
            }
        }
    }
}

impl Rspamd {
    fn ask(&self, cx: &Context) -> Result<Answer> {
        let mut request = Request::new("POST", self.config.url.as_str())
            .timeout(Duration::from_millis(u64::from(self.config.timeout_ms)))
            .response_octets_max(ANSWER_OCTETS_MAX);
        for (name, value) in facts(cx) {
            // What a client says is not checked for what an HTTP field can hold.
            if value.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
                request = request.header(name, value);
            }
        }
        let answer = cx.message().post_raw(&request)?.success()?;
        Ok(answer.json()?)
    }

    fn carry_out(&self, cx: &Context, answer: &Answer) -> Result<DataDecision> {
        self.take_score(cx, answer)?;
        change_headers(cx, answer)?;
        let text = answer.text();
        match answer.action.as_str() {
            "reject" => match self.config.reject {
                OnReject::Reject => Ok(DataDecision::Reject(self.refusal(text))),
                OnReject::Quarantine => {
                    Ok(DataDecision::Quarantine(["rspamd: ", text.unwrap_or("spam")].concat()))
                }
                OnReject::Score => next(),
            },
            "soft reject" | "greylist" if self.config.defer => {
                tempfail(451, "4.7.1", text.unwrap_or("try again later"))
            }
            "quarantine" => Ok(DataDecision::Quarantine("rspamd".to_owned())),
            "discard" => Ok(DataDecision::Discard("rspamd".to_owned())),
            "rewrite subject" if answer.subject.is_some() => {
                cx.message().set_header("Subject", answer.subject.as_deref().unwrap_or_default())?;
                next()
            }
            "rewrite subject" | "add header" if self.config.add_header => {
                cx.message().set_header("X-Spam", "Yes")?;
                next()
            }
            _ => next(),
        }
    }

    /// The score as one symbol, or as all of its own.
    fn take_score(&self, cx: &Context, answer: &Answer) -> Result<()> {
        if !self.config.symbols {
            return Ok(cx.envelope().score("rspamd", answer.score)?);
        }
        for (name, symbol) in &answer.symbols {
            let name = ["rspamd.", name].concat();
            if symbol.score != 0.0 && is_name(&name) {
                cx.envelope().score(&name, symbol.score)?;
            }
        }
        Ok(())
    }

    fn refusal(&self, text: Option<&str>) -> Reply {
        let own = self.config.reply.clone().unwrap_or_else(|| Reply {
            code: 554,
            enhanced: Some((5, 7, 1)),
            text: "spam is not accepted".to_owned(),
        });
        Reply { text: text.map_or(own.text, str::to_owned), ..own }
    }
}

/// The fields that rspamd knows the transaction by.
fn facts(cx: &Context) -> Vec<(&'static str, String)> {
    let (session, envelope) = (cx.session(), cx.envelope());
    let sender = envelope.sender().map(|sender| sender.to_string()).unwrap_or_default();
    let mut facts = vec![("Queue-Id", envelope.id()), ("From", sender)];
    facts.extend(session.remote_ip().map(|address| ("IP", address.to_string())));
    facts.extend(session.helo().map(|helo| ("Helo", helo)));
    facts.extend(session.remote_name().map(|name| ("Hostname", name)));
    facts.extend(session.account().map(|account| ("User", account)));
    facts.extend(envelope.recipients().iter().map(|rcpt| ("Rcpt", rcpt.to_string())));
    facts
}

/// What rspamd wants removed and added (its "milter headers").
fn change_headers(cx: &Context, answer: &Answer) -> Result<()> {
    let message = cx.message();
    for name in answer.milter.remove_headers.keys() {
        message.remove_header(name)?;
    }
    for (name, headers) in &answer.milter.add_headers {
        for header in headers.all() {
            match header {
                Header::At { value, order: Some(order) } if *order >= 0 => {
                    message.insert_header(u32::try_from(*order).unwrap_or(0), name, value)?;
                }
                Header::Plain(value) | Header::At { value, .. } => message.add_header(name, value)?,
            }
        }
    }
    Ok(())
}

fn default_timeout_ms() -> u32 {
    10_000
}

fn default_octets_max() -> u64 {
    50 << 20
}

fn default_true() -> bool {
    true
}

#[cfg(test)]
mod tests;
