//! What is done on a result.

use std::collections::BTreeMap;

use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;

/// The settings of an action: any number of marks, and one decision at most.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionConfig {
    /// Refuse for good, with this reply (5xx); `{domain}` is filled in.
    pub reject: Option<Reply>,
    /// Take and hold for an operator, for this reason; `{domain}` is filled in.
    pub quarantine: Option<String>,
    /// Tags for operators.
    pub tag: BTreeMap<String, String>,
    /// Points under the symbol `auth.<method>.<result>`.
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
        Ok(Action(config))
    }

    /// Makes the marks and returns the decision, which is `next` when there is none.
    pub(crate) fn carry_out(&self, cx: &Context, key: &str, domain: &str) -> Result<DataDecision> {
        for (name, value) in &self.0.tag {
            cx.envelope().tag(name, &value.replace("{domain}", domain))?;
        }
        if let Some(points) = self.0.score {
            cx.envelope().score(&["auth.", key].concat(), points)?;
        }
        if let Some(reply) = &self.0.reject {
            return Ok(DataDecision::Reject(filled(reply, domain)));
        }
        match &self.0.quarantine {
            Some(reason) => Ok(DataDecision::Quarantine(reason.replace("{domain}", domain))),
            None => next(),
        }
    }
}

/// The reply with the domain in it.
pub(crate) fn filled(reply: &Reply, domain: &str) -> Reply {
    Reply { text: reply.text.replace("{domain}", domain), ..reply.clone() }
}
