//! Sorts the replies of remote hosts into classes and decides what follows.
//!
//! Invariant: the first rule that matches decides; the operator's rules come before the table that is shipped.
//! Invariant: a rule never retries for ever: `attempts_max` bounds it, and the relay's own expiry stays in force.

mod defaults;
mod rule;

use baton_sdk::prelude::*;

use rule::{Failed, Rule, RuleConfig, Verdict};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The operator's rules, in order.
    pub rules: Vec<RuleConfig>,
    /// Whether the table that is shipped comes after them; default true.
    pub use_default_rules: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { rules: Vec::new(), use_default_rules: true }
    }
}

/// The plugin.
pub struct BounceRules {
    rules: Vec<Rule>,
    use_default_rules: bool,
}

#[baton_sdk::plugin]
impl Plugin for BounceRules {
    type Config = Config;

    fn new(config: Config) -> Result<BounceRules, Problems> {
        let mut problems = Problems::default();
        let mut rules = Vec::new();
        for (index, rule) in config.rules.into_iter().enumerate() {
            match Rule::read(rule) {
                Ok(rule) => rules.push(rule),
                Err(error) => problems.add(["rules[", &index.to_string(), "]"].concat(), error.message()),
            }
        }
        problems.finish(BounceRules { rules, use_default_rules: config.use_default_rules })
    }

    fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for (index, rule) in self.rules.iter().enumerate() {
            if let Err(error) = rule.check() {
                problems.add(["rules[", &index.to_string(), "].regex"].concat(), error.message());
            }
        }
        problems.finish(())
    }
}

impl BounceRules {
    /// What the first of the operator's rules that matches says.
    fn find(&self, failed: &Failed) -> Result<Option<Verdict<'_>>> {
        for rule in &self.rules {
            if rule.matches(failed)? {
                return Ok(Some(rule.verdict()));
            }
        }
        Ok(None)
    }
}

#[baton_sdk::hook]
impl Bounce for BounceRules {
    fn on_bounce(&self, cx: &Context, _rcpt: &Address) -> Result<BounceDecision> {
        let failed = Failed::read(cx);
        let by_operator = self.find(&failed)?;
        let by_default = || if self.use_default_rules { defaults::verdict(&failed) } else { None };
        let Some(verdict) = by_operator.or_else(by_default) else { return next() };
        if let Some(class) = verdict.class
            && class != failed.class
        {
            cx.failure().set_class(class)?;
        }
        cx.metrics().count("matched", 1, &[("rule", verdict.rule)]);
        Ok(verdict.decision)
    }
}

#[cfg(test)]
mod tests;
