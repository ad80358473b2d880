//! Accepts, refuses, aliases or discards recipients by tables.
//!
//! Invariant: a recipient in none of the tables gets the answer of `otherwise`, which is no opinion unless it is set.
//! Invariant: one recipient means one answer; the most specific pattern of all tables together decides.

use std::collections::BTreeMap;

use baton_sdk::pattern::{Pattern, Table};
use baton_sdk::prelude::*;
use baton_sdk::setting::OneOrMany;

/// The settings: one table per answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Recipients to take; foreign ones need the grant `relay`.
    pub accept: Vec<String>,
    /// Recipients to refuse for good, with the reply (5xx).
    pub reject: BTreeMap<String, Reply>,
    /// Recipients to refuse for now, with the reply (4xx).
    pub tempfail: BTreeMap<String, Reply>,
    /// Recipients whose mail goes to others: addresses, or `@domain` which keeps the local part.
    pub alias: BTreeMap<String, OneOrMany>,
    /// Recipients to take and to drop.
    pub discard: Vec<String>,
    /// Recipients to leave to the relay and to later plugins.
    pub pass: Vec<String>,
    /// The reply to all the others (4xx or 5xx); no opinion without it.
    pub otherwise: Option<Reply>,
}

/// Targets of an alias at most; a list server is the right tool for more.
const ALIAS_TARGETS_MAX: usize = 100;

#[derive(Debug)]
enum Answer {
    Accept,
    Refuse(Reply),
    Alias(Vec<AliasTarget>),
    Discard,
    Pass,
}

#[derive(Debug)]
enum AliasTarget {
    Address(Address),
    SameLocalPartAt(String),
}

/// The plugin.
pub struct RecipientPolicy {
    answers: Table<Answer>,
    otherwise: Answer,
}

#[baton_sdk::plugin]
impl Plugin for RecipientPolicy {
    type Config = Config;

    fn new(config: Config) -> Result<RecipientPolicy, Problems> {
        let mut builder = Builder::default();
        builder.add_list("accept", config.accept, || Answer::Accept);
        builder.add_list("discard", config.discard, || Answer::Discard);
        builder.add_list("pass", config.pass, || Answer::Pass);
        builder.add_replies("reject", config.reject, Reply::is_permanent);
        builder.add_replies("tempfail", config.tempfail, Reply::is_transient);
        for (text, targets) in config.alias {
            let path = ["alias.", &text].concat();
            match read_alias(&targets.0) {
                Ok(targets) => builder.add(path, &text, Answer::Alias(targets)),
                Err(error) => builder.problems.add(path, error.message()),
            }
        }
        let otherwise = config.otherwise.map_or(Answer::Pass, Answer::Refuse);
        builder.problems.finish(RecipientPolicy { answers: builder.answers, otherwise })
    }
}

#[derive(Default)]
struct Builder {
    answers: Table<Answer>,
    problems: Problems,
}

impl Builder {
    fn add(&mut self, path: String, text: &str, answer: Answer) {
        match text.parse::<Pattern>() {
            Ok(pattern) => {
                if self.answers.insert(pattern, answer).is_some() {
                    self.problems.add(path, [text, " has another answer as well"].concat());
                }
            }
            Err(error) => self.problems.add(path, error.message()),
        }
    }

    fn add_list(&mut self, key: &str, patterns: Vec<String>, answer: impl Fn() -> Answer) {
        for (index, text) in patterns.iter().enumerate() {
            self.add([key, "[", &index.to_string(), "]"].concat(), text, answer());
        }
    }

    fn add_replies(
        &mut self,
        key: &str,
        replies: BTreeMap<String, Reply>,
        is_right: impl Fn(&Reply) -> bool,
    ) {
        for (text, reply) in replies {
            let path = [key, ".", &text].concat();
            if is_right(&reply) {
                self.add(path, &text, Answer::Refuse(reply));
            } else {
                self.problems.add(path, "reject needs a 5xx reply, tempfail a 4xx reply");
            }
        }
    }
}

fn read_alias(texts: &[String]) -> Result<Vec<AliasTarget>> {
    if texts.len() > ALIAS_TARGETS_MAX {
        return Err(Error::new(["more than ", &ALIAS_TARGETS_MAX.to_string(), " targets"].concat()));
    }
    let read = |text: &String| match text.strip_prefix('@') {
        Some(domain) if matches!(domain.parse::<Pattern>()?, Pattern::Domain(_)) => {
            Ok(AliasTarget::SameLocalPartAt(domain.to_ascii_lowercase()))
        }
        Some(_) => Err(Error::new([text.as_str(), ": write @example.org or a full address"].concat())),
        None => text.parse().map(AliasTarget::Address),
    };
    texts.iter().map(read).collect()
}

#[baton_sdk::hook]
impl Rcpt for RecipientPolicy {
    fn on_rcpt(&self, cx: &Context, rcpt: &Address) -> Result<RcptDecision> {
        match self.answers.get(rcpt).unwrap_or(&self.otherwise) {
            Answer::Accept => accept(),
            Answer::Discard => Ok(RcptDecision::Discard),
            Answer::Pass => next(),
            Answer::Refuse(reply) if reply.is_permanent() => Ok(RcptDecision::Reject(reply.clone())),
            Answer::Refuse(reply) => Ok(RcptDecision::Tempfail(reply.clone())),
            Answer::Alias(targets) => {
                let resolve = |target: &AliasTarget| match target {
                    AliasTarget::Address(address) => address.clone(),
                    AliasTarget::SameLocalPartAt(domain) => Address::new(rcpt.local(), domain.as_str()),
                };
                let to: Vec<Address> = targets.iter().map(resolve).collect();
                cx.envelope().redirect_last(&to)?;
                next()
            }
        }
    }
}

#[cfg(test)]
mod tests;
