//! Chooses the next hop of a recipient by a table of addresses and domains.
//!
//! Invariant: a recipient without an entry gets no opinion, so the relay's own routes decide.
//! Invariant: every target was read at load; a target that can not be read is a problem in the settings, never a
//! surprise when mail is due.

mod target;

use std::collections::BTreeMap;

use baton_sdk::pattern::{Pattern, Table};
use baton_sdk::prelude::*;
use baton_sdk::setting::OneOrMany;

use target::Target;

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Targets by pattern.
    pub routes: BTreeMap<String, OneOrMany>,
}

/// The plugin.
pub struct RouteMap {
    routes: Table<Target>,
}

#[baton_sdk::plugin]
impl Plugin for RouteMap {
    type Config = Config;

    fn new(config: Config) -> Result<RouteMap, Problems> {
        let mut problems = Problems::default();
        let mut routes = Table::default();
        for (text, targets) in config.routes {
            let path = ["routes.", &text].concat();
            match (text.parse::<Pattern>(), Target::read(&targets.0)) {
                (Ok(pattern), Ok(target)) => {
                    if routes.insert(pattern, target).is_some() {
                        problems.add(path, "another entry means the same recipients");
                    }
                }
                (Err(error), _) | (_, Err(error)) => problems.add(path, error.message()),
            }
        }
        problems.finish(RouteMap { routes })
    }
}

#[baton_sdk::hook]
impl Route for RouteMap {
    fn on_route(&self, cx: &Context, rcpt: &Address) -> Result<RouteDecision> {
        match self.routes.get(rcpt) {
            Some(target) => target.apply(cx, rcpt),
            None => next(),
        }
    }
}

#[cfg(test)]
mod tests;
