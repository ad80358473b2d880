//! What a plugin implements: its settings, and one trait per hook.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{
    Address, AuthDecision, BounceDecision, ConnectDecision, Context, Credential, DataDecision, Event,
    RcptDecision, Result, RouteDecision,
};

/// A plugin: built once from its settings, then asked at its hooks.
///
/// `#[baton_sdk::plugin]` on a struct with one field `config` (or on a unit struct) writes this for you; put it on
/// `impl Plugin for ...` when the settings need work, such as compiling patterns.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The shape of `[plugins.<name>.config]`; [`NoConfig`] when there is nothing to set.
    type Config: DeserializeOwned;

    /// Builds the plugin with only the settings at hand: at load, and again in each instance that does not start from a
    /// snapshot, so keep it cheap. All problems are reported at once, with their paths.
    fn new(config: Self::Config) -> Result<Self, Problems>;

    /// Runs at load only: the place for checks that cost much, such as compiling all patterns.
    fn check(&self) -> Result<(), Problems> {
        Ok(())
    }
}

/// The settings of a plugin that has none. Any key is an error.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Something wrong in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `rules[2].pattern`.
    pub path: String,
    /// What, and what would be right.
    pub message: String,
}

/// All that is wrong in the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One problem.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Problems {
        let mut problems = Problems::default();
        problems.add(path, message);
        problems
    }

    /// One problem more.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into() });
    }

    /// The value, when no problem was found.
    pub fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The problems in the order in which they were found.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

/// Builds the plugin from the settings' JSON text.
pub(crate) fn load<P: Plugin>(json: &str) -> Result<P, Problems> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let config = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Problems::one(error.path().to_string(), error.inner().to_string()))?;
    P::new(config)
}

/// Builds the plugin as the relay does at load, with all checks.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn load_and_check<P: Plugin>(json: &str) -> Result<P, Problems> {
    let plugin = load::<P>(json)?;
    plugin.check().map(|()| plugin)
}

/// Asked when a client connected, before the greeting.
pub trait Connect: Plugin {
    /// Decides whether the client is let in.
    fn on_connect(&self, cx: &Context) -> Result<ConnectDecision>;
}

/// Asked when a client wants to log in.
pub trait Auth: Plugin {
    /// Decides whether the credential is right. `mechanism` is `PLAIN` or `LOGIN`.
    fn on_auth(
        &self,
        cx: &Context,
        mechanism: &str,
        user: &str,
        credential: &Credential,
    ) -> Result<AuthDecision>;
}

/// Asked for each recipient. Its RCPT parameters are in [`Context::parameters`].
pub trait Rcpt: Plugin {
    /// Decides about this recipient.
    fn on_rcpt(&self, cx: &Context, rcpt: &Address) -> Result<RcptDecision>;
}

/// Asked once per message, with all of it at hand, before the client hears that it was accepted.
pub trait Data: Plugin {
    /// Decides about the message.
    fn on_data(&self, cx: &Context) -> Result<DataDecision>;
}

/// Asked before each delivery attempt, for each recipient.
pub trait Route: Plugin {
    /// Decides where this recipient's copy goes, by [`Context::routing`].
    fn on_route(&self, cx: &Context, rcpt: &Address) -> Result<RouteDecision>;
}

/// Asked when an attempt failed, for each recipient.
pub trait Bounce: Plugin {
    /// Decides what follows from [`Context::failure`].
    fn on_bounce(&self, cx: &Context, rcpt: &Address) -> Result<BounceDecision>;
}

/// Told what happened, in batches and off the mail path: nothing waits for it.
pub trait Events: Plugin {
    /// Takes a batch, oldest first. After an `Err`, and after a crash, the same batch comes again.
    fn on_events(&self, cx: &Context, events: &[Event]) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        rules: Vec<Rule>,
    }

    #[derive(Deserialize)]
    struct Rule {
        limit: u32,
    }

    struct Limits;

    impl Plugin for Limits {
        type Config = Config;

        fn new(config: Config) -> Result<Limits, Problems> {
            let mut problems = Problems::default();
            for (index, rule) in config.rules.iter().enumerate() {
                if rule.limit == 0 {
                    problems.add(format!("rules[{index}].limit"), "must be at least 1");
                }
            }
            problems.finish(Limits)
        }
    }

    fn paths(json: &str) -> Vec<String> {
        let problems = load::<Limits>(json).map(|_| ()).unwrap_err();
        problems.as_slice().iter().map(|problem| problem.path.clone()).collect()
    }

    #[test]
    fn problems_name_their_place() {
        assert_eq!(paths(r#"{ "rules": [{ "limit": 1 }, { "limit": "x" }] }"#), ["rules[1].limit"]);
        assert_eq!(
            paths(r#"{ "rules": [{ "limit": 0 }, { "limit": 0 }] }"#),
            ["rules[0].limit", "rules[1].limit"]
        );
        assert_eq!(paths(r#"{ "rules": [], "rule": 1 }"#), ["rule"]);
        assert!(load::<Limits>(r#"{ "rules": [{ "limit": 1 }] }"#).is_ok());
    }
}
