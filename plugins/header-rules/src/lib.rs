//! Matches header fields, size, sender and recipients; changes, marks or refuses the message.
//!
//! Invariant: rules run in order; the first one that decides ends them, and all marks and changes before it stay.
//! Invariant: rules see the message as it came in, not what earlier rules changed.

mod action;
mod condition;

use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;

use action::{Action, ActionConfig};
use condition::{Condition, ConditionConfig};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rules, in order.
    pub rules: Vec<RuleConfig>,
}

/// The settings of one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Names the rule in scores and metrics: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// What must hold, all of it; without it the rule holds for every message.
    #[serde(default, rename = "match")]
    pub condition: ConditionConfig,
    /// What is done then.
    pub then: ActionConfig,
}

struct Rule {
    name: String,
    condition: Condition,
    action: Action,
}

/// The plugin.
pub struct HeaderRules {
    rules: Vec<Rule>,
}

#[baton_sdk::plugin]
impl Plugin for HeaderRules {
    type Config = Config;

    fn new(config: Config) -> Result<HeaderRules, Problems> {
        let mut problems = Problems::default();
        let mut rules = Vec::new();
        for (index, rule) in config.rules.into_iter().enumerate() {
            let path = |field: &str| ["rules[", &index.to_string(), "].", field].concat();
            if !is_name(&rule.name) {
                problems.add(path("name"), "a name has 1 to 64 letters, digits, \"-\", \"_\" or \".\"");
            }
            let condition = Condition::read(rule.condition);
            let action = Action::read(rule.then, &rule.name);
            match (condition, action) {
                (Ok(condition), Ok(action)) => rules.push(Rule { name: rule.name, condition, action }),
                (condition, action) => {
                    if let Err(error) = condition {
                        problems.add(path("match"), error.message());
                    }
                    if let Err(error) = action {
                        problems.add(path("then"), error.message());
                    }
                }
            }
        }
        problems.finish(HeaderRules { rules })
    }

    fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for (index, rule) in self.rules.iter().enumerate() {
            if let Err(error) = rule.condition.check() {
                problems.add(["rules[", &index.to_string(), "].match.regex"].concat(), error.message());
            }
        }
        problems.finish(())
    }
}

#[baton_sdk::hook]
impl Data for HeaderRules {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        for rule in &self.rules {
            if !rule.condition.holds(cx)? {
                continue;
            }
            cx.metrics().count("matched", 1, &[("rule", &rule.name)]);
            let decision = rule.action.carry_out(cx)?;
            if decision != DataDecision::Next {
                return Ok(decision);
            }
        }
        next()
    }
}

#[cfg(test)]
mod tests;
