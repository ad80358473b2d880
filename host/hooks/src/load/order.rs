//! Which plugins are asked at which hook, in which order.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::LoadError;
use crate::Hook;
use crate::plugin::Plugin;

type Chains = [Vec<Arc<Plugin>>; 6];

/// The chain of every hook. When some plugin was not loaded, a name that is not known may be that plugin's.
pub(super) fn chains(
    plugins: &[Arc<Plugin>],
    order: &HashMap<Hook, Vec<String>>,
    everything_loaded: bool,
) -> Result<Chains, Vec<LoadError>> {
    let mut errors = Vec::new();
    let chains = Hook::ALL.map(|hook| {
        let candidates: Vec<&Arc<Plugin>> =
            plugins.iter().filter(|plugin| plugin.hooks.contains(&hook)).collect();
        match order.get(&hook) {
            None => candidates.into_iter().cloned().collect(),
            Some(names) => listed(hook, names, &candidates, plugins, &mut errors),
        }
    });
    if !everything_loaded {
        errors.retain(|error| !matches!(error, LoadError::Order { what: NOT_A_PLUGIN, .. }));
    }
    if errors.is_empty() { Ok(chains) } else { Err(errors) }
}

const NOT_A_PLUGIN: &str = "not a plugin of the settings";

fn listed(
    hook: Hook,
    names: &[String],
    candidates: &[&Arc<Plugin>],
    plugins: &[Arc<Plugin>],
    errors: &mut Vec<LoadError>,
) -> Vec<Arc<Plugin>> {
    let mut chain: Vec<Arc<Plugin>> = Vec::new();
    for name in names {
        let found = candidates.iter().find(|plugin| plugin.terms.name == *name);
        let is_there = chain.iter().any(|plugin| plugin.terms.name == *name);
        let what = match found {
            Some(plugin) if !is_there => {
                chain.push(Arc::clone(plugin));
                continue;
            }
            Some(_) => "named twice",
            None if plugins.iter().any(|plugin| plugin.terms.name == *name) => "a plugin without this hook",
            None => NOT_A_PLUGIN,
        };
        errors.push(LoadError::Order { hook, plugin: name.clone(), what });
    }
    let left_out = candidates.iter().filter(|plugin| !names.contains(&plugin.terms.name));
    errors.extend(left_out.map(|plugin| LoadError::LeftOut { hook, plugin: plugin.terms.name.clone() }));
    chain
}
