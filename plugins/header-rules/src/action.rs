//! What a rule does when it holds.

use std::collections::BTreeMap;

use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;

/// The settings of an action: any number of changes and marks, and one decision at most.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionConfig {
    /// Fields to add at the end of the header.
    pub add: BTreeMap<String, String>,
    /// Fields to put in the place of those of the same name.
    pub set: BTreeMap<String, String>,
    /// Names of fields to remove.
    pub remove: Vec<String>,
    /// Tags for operators.
    pub tag: BTreeMap<String, String>,
    /// Points under the rule's name.
    pub score: Option<f64>,
    /// The stream to put the message into.
    pub stream: Option<String>,
    /// Refuse for good, with this reply (5xx).
    pub reject: Option<Reply>,
    /// Refuse for now, with this reply (4xx).
    pub tempfail: Option<Reply>,
    /// Take and hold for an operator, for this reason.
    pub quarantine: Option<String>,
    /// Take and drop, for this reason.
    pub discard: Option<String>,
    /// Take, and ask no further plugin at this hook.
    pub accept: bool,
}

/// An action, ready to be carried out.
pub(crate) struct Action {
    add: Vec<(String, String)>,
    set: Vec<(String, String)>,
    remove: Vec<String>,
    tag: Vec<(String, String)>,
    score: Option<(String, f64)>,
    stream: Option<String>,
    decision: DataDecision,
}

impl Action {
    pub(crate) fn read(config: ActionConfig, rule: &str) -> Result<Action> {
        let fields = config.add.keys().chain(config.set.keys()).chain(&config.remove);
        for name in fields {
            if name.is_empty() || !name.bytes().all(|octet| (33..=126).contains(&octet) && octet != b':') {
                return Err(Error::new(["\"", name, "\" is not the name of a header field"].concat()));
            }
        }
        if let Some(name) = config.tag.keys().chain(&config.stream).find(|name| !is_name(name)) {
            let shape = "\" has other characters than letters, digits, \"-\", \"_\", \".\", or more than 64";
            return Err(Error::new(["\"", name, shape].concat()));
        }
        let decision = read_decision(&config)?;
        let does_something = decision != DataDecision::Next
            || !(config.add.is_empty()
                && config.set.is_empty()
                && config.remove.is_empty()
                && config.tag.is_empty())
            || config.score.is_some()
            || config.stream.is_some();
        if !does_something {
            return Err(Error::new("the rule does nothing"));
        }
        Ok(Action {
            add: config.add.into_iter().collect(),
            set: config.set.into_iter().collect(),
            remove: config.remove,
            tag: config.tag.into_iter().collect(),
            score: config.score.map(|points| (rule.to_owned(), points)),
            stream: config.stream,
            decision,
        })
    }

    /// Makes the changes and returns the decision, which is `next` when the rule has none.
    pub(crate) fn carry_out(&self, cx: &Context) -> Result<DataDecision> {
        let (message, envelope) = (cx.message(), cx.envelope());
        for name in &self.remove {
            message.remove_header(name)?;
        }
        for (name, value) in &self.set {
            message.set_header(name, value)?;
        }
        for (name, value) in &self.add {
            message.add_header(name, value)?;
        }
        for (name, value) in &self.tag {
            envelope.tag(name, value)?;
        }
        if let Some((symbol, points)) = &self.score {
            envelope.score(symbol, *points)?;
        }
        if let Some(stream) = &self.stream {
            envelope.set_message_stream(stream)?;
        }
        Ok(self.decision.clone())
    }
}

fn read_decision(config: &ActionConfig) -> Result<DataDecision> {
    let mut decisions = Vec::new();
    if let Some(reply) = &config.reject {
        if !reply.is_permanent() {
            return Err(Error::new("reject needs a 5xx reply"));
        }
        decisions.push(DataDecision::Reject(reply.clone()));
    }
    if let Some(reply) = &config.tempfail {
        if !reply.is_transient() {
            return Err(Error::new("tempfail needs a 4xx reply"));
        }
        decisions.push(DataDecision::Tempfail(reply.clone()));
    }
    decisions.extend(config.quarantine.clone().map(DataDecision::Quarantine));
    decisions.extend(config.discard.clone().map(DataDecision::Discard));
    decisions.extend(config.accept.then_some(DataDecision::Accept));
    match (decisions.pop(), decisions.is_empty()) {
        (decision, true) => Ok(decision.unwrap_or(DataDecision::Next)),
        (_, false) => Err(Error::new("only one of reject, tempfail, quarantine, discard and accept")),
    }
}
