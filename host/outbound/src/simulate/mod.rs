//! What would these settings do? Traffic against modelled providers, on a clock of its own, from a seed.
//!
//! The parts that decide are those of delivery itself: which source mail leaves by, warm-up, limits, windows of connections,
//! ready queues with their lanes, the classes of replies, rules and measures, and when a deferred message is tried again. What
//! is modelled is around them: the queue on disk is a list in memory, and a provider answers as its model has it.
//!
//! Invariant: the same settings, scenario and seed give the same report; nothing here waits for a clock or looks at the network.

mod engine;
mod layout;
mod model;
mod report;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;

use crate::settings::OutboundSettings;
use crate::shaping::Rate;

pub use report::{Day, Kind, Report};

/// Traffic, and who receives it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// How many days.
    #[serde(default = "a_week")]
    pub days: u32,
    /// Who sends what.
    pub traffic: Vec<Traffic>,
    /// Who receives it, and how.
    pub providers: Vec<Model>,
}

fn a_week() -> u32 {
    7
}

/// Mail of one kind, spread by chance over its hours.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Messages of a day.
    pub per_day: u32,
    /// Whose they are.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Which stream.
    #[serde(default)]
    pub stream: Option<String>,
    /// -9 to 9.
    #[serde(default)]
    pub priority: i8,
    /// From this hour of the day on, 0 to 23, in UTC.
    #[serde(default)]
    pub from_hour: u32,
    /// For so many hours.
    #[serde(default = "a_day")]
    pub hours: u32,
    /// How much of it goes to each recipient domain.
    pub domains: std::collections::BTreeMap<String, f64>,
}

fn a_day() -> u32 {
    24
}

/// How a provider behaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in the report.
    pub name: String,
    /// The domains that it receives for.
    pub domains: Vec<String>,
    /// Its mail hosts: by them the settings may know it.
    pub mx_hosts: Vec<String>,
    /// How much it takes from each address, such as `600/m`; everything when it is not set.
    #[serde(default)]
    pub accepts: Option<String>,
    /// Connections from each address at once; any number when it is not set.
    #[serde(default)]
    pub connections: Option<usize>,
    /// What it says to more than that.
    #[serde(default = "too_much")]
    pub over: String,
    /// How many messages of an address it takes on each day since it first saw it, and says `over` to more; after the last day
    /// it trusts the address.
    #[serde(default)]
    pub trust: Vec<u32>,
    /// How long a message takes, in milliseconds.
    #[serde(default = "a_moment")]
    pub latency_ms: u64,
    /// Defers each message until it is so old, in seconds.
    #[serde(default)]
    pub greylist_s: u64,
    /// The part of messages that it refuses for good.
    #[serde(default)]
    pub refuses: f64,
    /// What it says to these.
    #[serde(default = "no_such_user")]
    pub refusal: String,
    /// When it can not be reached.
    #[serde(default)]
    pub outages: Vec<Outage>,
}

fn too_much() -> String {
    "421 4.7.0 too many messages, try again later".to_owned()
}

fn a_moment() -> u64 {
    200
}

fn no_such_user() -> String {
    "550 5.1.1 no such user".to_owned()
}

/// A time without a provider.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// From this hour on, counted from the beginning.
    pub from_hour: f64,
    /// For so many hours.
    pub hours: f64,
}

/// Why a scenario can not be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The file is no TOML of this form.
    #[error("{0}")]
    Form(String),
    /// A value makes no sense.
    #[error("{key}: {problem}")]
    Value {
        /// Which.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// Days of a scenario at most.
const DAYS_MAX: u32 = 366;
/// Messages of a scenario at most.
const MESSAGES_MAX: u64 = 20_000_000;

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario =
            toml::from_str(text).map_err(|error| ScenarioError::Form(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let wrong =
            |key: String, problem: &str| Err(ScenarioError::Value { key, problem: problem.to_owned() });
        if !(1..=DAYS_MAX).contains(&self.days) {
            return wrong("days".to_owned(), "is not between 1 and 366");
        }
        for (number, model) in self.providers.iter().enumerate() {
            let key = |name: &str| format!("providers[{number}].{name}");
            if model.accepts.as_ref().is_some_and(|rate| rate.parse::<Rate>().is_err()) {
                return wrong(key("accepts"), "is no rate such as 600/m");
            }
            for (name, reply) in [("over", &model.over), ("refusal", &model.refusal)] {
                if model::read_reply(reply).is_none() {
                    return wrong(key(name), "is no reply such as `421 4.7.0 too fast`");
                }
            }
            if model.mx_hosts.is_empty() {
                return wrong(key("mx_hosts"), "is empty");
            }
            if let Some(bad) = model.domains.iter().find(|name| name.parse::<baton_mail::Domain>().is_err()) {
                return wrong(key("domains"), &format!("`{bad}` is no domain"));
            }
        }
        for (number, traffic) in self.traffic.iter().enumerate() {
            let key = |name: &str| format!("traffic[{number}].{name}");
            if !(1..=24).contains(&traffic.hours) || traffic.from_hour > 23 {
                return wrong(key("hours"), "a day has hours 0 to 23");
            }
            let known = |domain: &String| self.providers.iter().any(|model| model.domains.contains(domain));
            if let Some(unknown) = traffic.domains.keys().find(|domain| !known(domain)) {
                return wrong(key("domains"), &format!("no provider receives for `{unknown}`"));
            }
            if traffic.domains.values().sum::<f64>() <= 0.0 {
                return wrong(key("domains"), "needs a domain with a share above 0");
            }
        }
        let messages: u64 = self.traffic.iter().map(|traffic| u64::from(traffic.per_day)).sum();
        if messages * u64::from(self.days) > MESSAGES_MAX {
            return wrong("traffic".to_owned(), "is more than 20 million messages in all");
        }
        Ok(())
    }
}

/// Plays a scenario by these settings; messages are given up after `lifetime`.
pub fn simulate(settings: &OutboundSettings, scenario: &Scenario, lifetime: Duration, seed: u64) -> Report {
    engine::play(settings, scenario, lifetime, seed)
}
