//! Refuses, holds or marks mail by its attachments: name, extension, type, size, number, digest.
//!
//! Invariant: rules run in order; the first one that decides ends them, and all marks before it stay.
//! Invariant: a name is judged as a mail program would show and a system would open it: encoded forms decoded, folders,
//! invisible characters and trailing dots taken away.
//! Invariant: nothing is looked for inside archives.

mod action;
mod condition;
mod name;

use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;

use action::{Action, ActionConfig};
use condition::{Attachment, Condition, ConditionConfig};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rules, in order.
    pub rules: Vec<RuleConfig>,
    /// What is done with mail that is too complex to be taken apart.
    #[serde(default)]
    pub too_complex: TooComplex,
}

/// The settings of one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Names the rule in scores and metrics: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Which attachments are meant; without it all of them.
    #[serde(default, rename = "match")]
    pub condition: ConditionConfig,
    /// What is done when there are such attachments.
    pub then: ActionConfig,
}

/// What is done with mail that is too complex to be taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TooComplex {
    /// Hold it for an operator: it may hide what the rules look for.
    #[default]
    Quarantine,
    /// Refuse it.
    Reject,
    /// Leave it to others.
    Next,
}

struct Rule {
    name: String,
    condition: Condition,
    action: Action,
}

/// The plugin.
pub struct AttachmentPolicy {
    rules: Vec<Rule>,
    too_complex: TooComplex,
}

#[baton_sdk::plugin]
impl Plugin for AttachmentPolicy {
    type Config = Config;

    fn new(config: Config) -> Result<AttachmentPolicy, Problems> {
        let mut problems = Problems::default();
        let mut rules = Vec::new();
        for (index, rule) in config.rules.into_iter().enumerate() {
            let path = |field: &str| ["rules[", &index.to_string(), "].", field].concat();
            if !is_name(&rule.name) {
                problems.add(path("name"), "a name has 1 to 64 letters, digits, \"-\", \"_\" or \".\"");
            }
            let condition = Condition::read(rule.condition)
                .map_err(|(field, error)| problems.add(path(&["match.", field].concat()), error.message()));
            let action = Action::read(rule.then).map_err(|error| problems.add(path("then"), error.message()));
            if let (Ok(condition), Ok(action)) = (condition, action) {
                rules.push(Rule { name: rule.name, condition, action });
            }
        }
        problems.finish(AttachmentPolicy { rules, too_complex: config.too_complex })
    }
}

#[baton_sdk::hook]
impl Data for AttachmentPolicy {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        if let Some(why) = cx.message().too_complex() {
            cx.metrics().count("too_complex", 1, &[]);
            return match self.too_complex {
                TooComplex::Quarantine => Ok(DataDecision::Quarantine(["too complex: ", &why].concat())),
                TooComplex::Reject => reject(554, "5.6.0", "the message is too complex to be examined"),
                TooComplex::Next => next(),
            };
        }
        let attachments: Vec<Attachment> = cx.message().parts().filter_map(Attachment::of).collect();
        for rule in &self.rules {
            let Some(found) = rule.condition.first(&attachments)? else { continue };
            cx.metrics().count("matched", 1, &[("rule", &rule.name)]);
            let decision = rule.action.carry_out(cx, &rule.name, found)?;
            if decision != DataDecision::Next {
                return Ok(decision);
            }
        }
        next()
    }
}

#[cfg(test)]
mod tests;
