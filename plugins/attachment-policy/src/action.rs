//! What a rule does when it holds.

use std::collections::BTreeMap;

use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;

use crate::condition::Attachment;

/// The settings of an action: any number of marks, and one decision at most.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionConfig {
    /// Refuse for good, with this reply (5xx); `{filename}` is filled in.
    pub reject: Option<Reply>,
    /// Take and hold for an operator, for this reason; `{filename}` is filled in.
    pub quarantine: Option<String>,
    /// Tags for operators; `{filename}` is filled in.
    pub tag: BTreeMap<String, String>,
    /// Points under the symbol `attachment.<rule>`.
    pub score: Option<f64>,
}

/// An action, ready to be carried out.
pub(crate) struct Action(ActionConfig);

impl Action {
    pub(crate) fn read(config: ActionConfig) -> Result<Action> {
        if config.reject.as_ref().is_some_and(|reply| !reply.is_permanent()) {
            return Err(Error::new("reject needs a 5xx reply"));
        }
        if config.reject.is_some() && config.quarantine.is_some() {
            return Err(Error::new("only one of reject and quarantine"));
        }
        if let Some(name) = config.tag.keys().find(|name| !is_name(name)) {
            let shape = "\" has other characters than letters, digits, \"-\", \"_\", \".\", or more than 64";
            return Err(Error::new(["\"", name, shape].concat()));
        }
        if config.score.is_some_and(|points| !points.is_finite()) {
            return Err(Error::new("score needs a number"));
        }
        let does_something = config.reject.is_some()
            || config.quarantine.is_some()
            || !config.tag.is_empty()
            || config.score.is_some();
        if does_something { Ok(Action(config)) } else { Err(Error::new("the rule does nothing")) }
    }

    /// Makes the marks and returns the decision, which is `next` when the rule has none.
    pub(crate) fn carry_out(&self, cx: &Context, rule: &str, found: &Attachment) -> Result<DataDecision> {
        let fill = |text: &str| text.replace("{filename}", &found.shown());
        let envelope = cx.envelope();
        for (name, value) in &self.0.tag {
            envelope.tag(name, &fill(value))?;
        }
        if let Some(points) = self.0.score {
            envelope.score(&["attachment.", rule].concat(), points)?;
        }
        if let Some(reply) = &self.0.reject {
            return Ok(DataDecision::Reject(Reply { text: fill(&reply.text), ..reply.clone() }));
        }
        match &self.0.quarantine {
            Some(reason) => Ok(DataDecision::Quarantine(fill(reason))),
            None => next(),
        }
    }
}
