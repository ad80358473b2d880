//! A generation whose plugins run in another mode than before, made of what is loaded: nothing is read, compiled or
//! started for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::Engine;
use crate::log_gate::LogGate;
use crate::next::Next;
use crate::plugin::{Nobody, Plugin, Running, Terms, short};
use crate::shelf::Shelf;
use crate::{Generation, PluginSettings, Switch};

impl Generation {
    /// The same plugins, each switched as it says there; those that are not there run as the settings say. What does not
    /// change is carried over as it is.
    pub fn switched(&self, number: u64, switches: &BTreeMap<String, Switch>) -> Generation {
        let Some(engine) = &self.engine else { return Generation { number, ..Generation::empty() } };
        let switch = |plugin: &Arc<Plugin>| {
            let wanted = switches.get(&plugin.terms.name);
            if plugin.settings.switch.as_ref() == wanted {
                return Arc::clone(plugin);
            }
            let settings = PluginSettings { switch: wanted.cloned(), ..plugin.settings.clone() };
            Arc::new(plugin.as_set(engine, number, settings))
        };
        let plugins: Vec<_> = self.plugins.iter().map(switch).collect();
        let current = |plugin: &Arc<Plugin>| {
            plugins.iter().find(|one| one.terms.name == plugin.terms.name).map(Arc::clone)
        };
        Generation {
            number,
            engine: Some(engine.clone()),
            chains: self.chains.each_ref().map(|chain| chain.iter().filter_map(current).collect()),
            plugins,
            thresholds: self.thresholds.clone(),
            troubles: self.troubles.clone(),
        }
    }
}

impl Plugin {
    /// The same code with the same breaker, by settings that differ in what is switched only.
    fn as_set(&self, engine: &Engine, number: u64, settings: PluginSettings) -> Plugin {
        let next = self.next.as_ref().zip(settings.next()).map(|(next, wanted)| {
            let own = PluginSettings { switch: settings.switch.clone(), ..next.plugin.settings.clone() };
            Next { plugin: Box::new(next.plugin.as_set(engine, number, own)), settings: wanted }
        });
        Plugin {
            terms: Arc::new(self.terms.of_load(number, short(&self.digest))),
            digest: self.digest,
            key: self.key,
            given: self.given.clone(),
            hooks: self.hooks.clone(),
            on_failure: self.on_failure,
            manifest: self.manifest.clone(),
            signer: self.signer.clone(),
            asked: self.asked.clone(),
            advice: self.advice.clone(),
            code: Arc::clone(&self.code),
            faster: self.faster.clone(),
            running: Running {
                mode: settings.mode(),
                guards: Arc::clone(&self.running.guards),
                breaker: Arc::clone(&self.running.breaker),
                // Instances that rest are of the earlier load, and end with it.
                shelf: Shelf::new(engine, &settings.run),
                events: self.running.events,
                recorder: self.running.recorder.clone(),
            },
            settings,
            next,
        }
    }
}

impl Terms {
    /// The same terms, told of as those of another load.
    fn of_load(&self, number: u64, digest: String) -> Terms {
        Terms {
            name: self.name.clone(),
            label: format!("{}@{digest}#{number}", self.name),
            limits: self.limits,
            grants: self.grants.clone(),
            config: self.config.clone(),
            config_json: self.config_json.clone(),
            secrets: self.secrets.clone(),
            http_grants: self.http_grants.clone(),
            capabilities: self.capabilities.clone(),
            log_gate: LogGate::default(),
            meters: self.meters.clone(),
            nobody: Nobody::new(),
        }
    }
}
