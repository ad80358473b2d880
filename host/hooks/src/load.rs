//! From settings to a generation: read, check, settle grants, test, compile, link, find the hooks, run init, take a
//! snapshot, put the chains in order.

mod artefact;
mod contract;
mod error;
mod grants;
mod image;
mod make;
mod next;
mod order;
mod script;
mod self_test;
mod shape;
mod snapshot;
mod trial;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use baton_mail::text::sanitize;

use crate::engine::{Digest, Engine};
use crate::host::Capabilities;
use crate::log_gate::LogGate;
use crate::plugin::{Code, Faster, Nobody, Plugin, Running, Terms, short};
use crate::record::Mask;
use crate::secrets::{self, Secrets};
use crate::tape;
use crate::{Generation, Grants, Hook, HttpGrant, PluginSettings, Thresholds};

pub(crate) use artefact::{Artefact, hex};
pub use error::LoadError;
pub use grants::Advice;
pub(crate) use make::Start;
use make::{Making, blocking, compile, vet};
pub use script::{is_script, prepare_interpreter};
use trial::{INIT_CPU_MS, INIT_WALL, initialise, link};

const NAME_OCTETS_MAX: usize = 64;

impl Generation {
    /// Loads all plugins. Answers every error that was found, so that one round of fixing is enough; nothing is in
    /// force then.
    ///
    /// `order` names the plugins of a hook in the order in which they are asked; a hook that is not in it asks them in
    /// the order of `plugins`.
    pub async fn load(
        engine: &Engine,
        number: u64,
        plugins: &[PluginSettings],
        order: &HashMap<Hook, Vec<String>>,
        capabilities: &Capabilities,
    ) -> Result<Generation, Vec<LoadError>> {
        Generation::empty().load_next(engine, number, plugins, order, capabilities).await
    }

    /// Loads the generation that is to follow this one, which goes on serving. A plugin whose file and settings are the
    /// same is carried over as it is, with its number; all else is made anew.
    pub async fn load_next(
        &self,
        engine: &Engine,
        number: u64,
        plugins: &[PluginSettings],
        order: &HashMap<Hook, Vec<String>>,
        capabilities: &Capabilities,
    ) -> Result<Generation, Vec<LoadError>> {
        let mut errors = check_names(plugins);
        let (mut loaded, mut troubles) = (Vec::new(), Vec::new());
        for settings in plugins {
            match self.load_plugin(engine, number, settings, capabilities).await {
                Ok(plugin) => loaded.push(plugin),
                Err(found) if settings.keeps_last && self.number > 0 => {
                    loaded.extend(self.plugins.iter().find(|last| last.terms.name == settings.name).cloned());
                    troubles.extend(found.iter().map(ToString::to_string));
                }
                Err(found) => errors.extend(found),
            }
        }
        let everything_loaded = errors.is_empty() && troubles.is_empty();
        let chains = order::chains(&loaded, order, everything_loaded).unwrap_or_else(|found| {
            errors.extend(found);
            Default::default()
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let next = |plugin: &Arc<Plugin>| plugin.next.as_ref().map(|next| next.plugin.key);
        for trouble in &troubles {
            tracing::error!(target: "hooks", "{trouble}");
        }
        let keys: Vec<Digest> =
            loaded.iter().flat_map(|plugin| [Some(plugin.key), next(plugin)]).flatten().collect();
        engine.retain(&keys);
        let thresholds = Thresholds::default();
        Ok(Generation { number, engine: Some(engine.clone()), plugins: loaded, chains, thresholds, troubles })
    }

    /// One plugin of a file that was read before, alone, as a case asks it.
    pub(crate) async fn of_one(
        engine: &Engine,
        settings: PluginSettings,
        artefact: Artefact,
        start: Start,
        capabilities: &Capabilities,
    ) -> Result<Generation, Vec<LoadError>> {
        let secrets = read_secrets(&settings, &artefact).await?;
        let meter = settings.name.clone();
        let version = Version { settings, artefact, secrets, meter, start };
        let plugins = vec![Arc::new(make_plugin(engine, 0, version, capabilities).await?)];
        let chains = order::chains(&plugins, &HashMap::new(), true)?;
        Ok(Generation { engine: Some(engine.clone()), plugins, chains, ..Generation::empty() })
    }

    /// The plugin of this generation when nothing about it changed, or a new one.
    async fn load_plugin(
        &self,
        engine: &Engine,
        number: u64,
        settings: &PluginSettings,
        capabilities: &Capabilities,
    ) -> Result<Arc<Plugin>, Vec<LoadError>> {
        let own = Version::read(engine, settings.clone(), settings.name.clone()).await?;
        let beside = match next::settings_of(settings) {
            Some((wanted, next, meter)) => {
                let read = Version::read(engine, next, meter).await;
                Some((wanted, read.map_err(|errors| next::name_errors(errors, settings))?))
            }
            None => None,
        };
        let is_same = |plugin: &&Arc<Plugin>| {
            let is_next = match (&plugin.next, &beside) {
                (Some(next), Some((_, version))) => version.is_of(&next.plugin, capabilities),
                (None, None) => true,
                _ => false,
            };
            is_next && own.is_of(plugin, capabilities)
        };
        if let Some(plugin) = self.plugins.iter().find(is_same) {
            return Ok(Arc::clone(plugin));
        }
        let mut plugin = make_plugin(engine, number, own, capabilities).await?;
        if let Some((wanted, version)) = beside {
            let next = make_plugin(engine, number, version, capabilities).await;
            let next = next.map_err(|errors| next::name_errors(errors, settings))?;
            plugin.next = Some(next::beside(&plugin, next, wanted)?);
        }
        // Cases load a plugin many times, and what its settings lack is not what they are about.
        for advice in plugin.advice.iter().filter(|_| engine.takes_snapshots()) {
            tracing::warn!(target: "hooks", plugin = %plugin.terms.label, key = advice.key, "{}", advice.text);
        }
        Ok(Arc::new(plugin))
    }
}

/// What a plugin, or the new version beside it, is made from.
struct Version {
    settings: PluginSettings,
    artefact: Artefact,
    secrets: Secrets,
    /// The name of its meters.
    meter: String,
    start: Start,
}

impl Version {
    async fn read(
        engine: &Engine,
        settings: PluginSettings,
        meter: String,
    ) -> Result<Version, Vec<LoadError>> {
        let artefact = artefact::read(engine, &settings).await.map_err(|error| vec![error])?;
        let secrets = read_secrets(&settings, &artefact).await?;
        Ok(Version { settings, artefact, secrets, meter, start: Start::of(engine) })
    }

    /// True when that plugin was made from the same.
    fn is_of(&self, plugin: &Plugin, capabilities: &Capabilities) -> bool {
        plugin.settings == self.settings
            && plugin.digest == self.artefact.digest
            && plugin.signer == self.artefact.signer
            && plugin.terms.secrets == self.secrets
            && plugin.given.are_same(capabilities)
    }
}

fn check_names(plugins: &[PluginSettings]) -> Vec<LoadError> {
    let mut seen = HashSet::new();
    let mut errors = Vec::new();
    for PluginSettings { name, .. } in plugins {
        let is_valid = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        let is_name = name.len() <= NAME_OCTETS_MAX
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(is_valid);
        if !is_name || name == "shared" {
            errors.push(LoadError::Name { plugin: name.clone() });
        }
        if !seen.insert(name) {
            errors.push(LoadError::Duplicate { plugin: name.clone() });
        }
    }
    errors
}

async fn make_plugin(
    engine: &Engine,
    number: u64,
    version: Version,
    capabilities: &Capabilities,
) -> Result<Plugin, Vec<LoadError>> {
    let Version { settings, artefact, secrets, meter, start } = version;
    let settings = &settings;
    check_limits(engine, settings)?;
    let asked = artefact.asked(settings);
    let mut advice = grants::differences(settings, &asked);
    advice.extend(grants::suggestions(settings, artefact.manifest.as_ref()));
    let grants = grants::in_force(&settings.grants, &asked.grants);
    let mut terms = Terms {
        name: settings.name.clone(),
        label: format!("{}@{}#{number}", settings.name, short(&artefact.digest)),
        limits: settings.limits,
        http_grants: read_http_grants(settings, &grants)?,
        grants,
        config: settings.config.clone(),
        config_json: settings.config.to_string(),
        capabilities: match settings.run.record {
            Some(_) => tape::recorded(capabilities, Mask::of(&secrets)),
            None => capabilities.clone(),
        },
        secrets,
        log_gate: LogGate::default(),
        meters: capabilities.metrics.meters(&meter),
        nobody: Nobody::new(),
    };
    if is_script(&settings.source) {
        terms.config = script::config(engine, settings, &artefact, capabilities).await?;
        terms.config_json = terms.config.to_string();
    }
    let terms = Arc::new(terms);
    let made = if is_script(&settings.source) {
        script::make(engine, settings, &terms).await?
    } else {
        let making = Making { engine, settings, terms: &terms, artefact: &artefact };
        let (key, linked) = making.component(&start).await?;
        Made { key, hooks: linked.hooks.in_use, code: linked.code, faster: None }
    };
    let running = Running::new(engine, settings, &made.hooks, capabilities.metrics.breaker_meters(&meter));
    let running = running.map_err(|errors| LoadError::guards(settings, &errors))?;
    Ok(Plugin {
        terms,
        settings: settings.clone(),
        digest: artefact.digest,
        key: made.key,
        given: capabilities.clone(),
        hooks: made.hooks,
        on_failure: settings.on_failure,
        manifest: artefact.manifest,
        signer: artefact.signer,
        asked: asked.grants,
        advice,
        code: made.code,
        faster: made.faster,
        running,
        next: None,
    })
}

/// What calls run.
struct Made {
    /// What its compiled component is remembered by.
    key: Digest,
    hooks: Vec<Hook>,
    code: Arc<Code>,
    faster: Option<Arc<Faster>>,
}

fn check_limits(engine: &Engine, settings: &PluginSettings) -> Result<(), Vec<LoadError>> {
    let max = engine.settings();
    let pairs = [
        ("memory_octets", settings.limits.memory_octets, max.memory_octets_max),
        ("table_elements", settings.limits.table_elements, max.table_elements_max),
    ];
    let over = |(limit, value, max): (&'static str, usize, usize)| {
        (value > max).then(|| LoadError::Limit { plugin: settings.name.clone(), limit, value, max })
    };
    let errors: Vec<LoadError> = pairs.into_iter().filter_map(over).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn read_http_grants(settings: &PluginSettings, in_force: &Grants) -> Result<Vec<HttpGrant>, Vec<LoadError>> {
    let bad = |grant: &String, reason: String| LoadError::HttpGrant {
        plugin: settings.name.clone(),
        grant: sanitize(grant, 200),
        reason,
    };
    let (mut grants, mut errors) = (Vec::new(), Vec::new());
    for grant in &in_force.http {
        match HttpGrant::parse(grant) {
            Ok(read) => grants.push(read),
            Err(reason) => errors.push(bad(grant, reason)),
        }
    }
    if errors.is_empty() { Ok(grants) } else { Err(errors) }
}

/// Reads the secrets on a thread that may block.
async fn read_secrets(settings: &PluginSettings, artefact: &Artefact) -> Result<Secrets, Vec<LoadError>> {
    if settings.secrets.is_empty() {
        return Ok(Secrets::new());
    }
    let asked = artefact.asked(settings);
    let granted = grants::in_force(&settings.grants, &asked.grants).secrets;
    let sources = settings.secrets.clone();
    let reading = tokio::task::spawn_blocking(move || secrets::read(&sources, &granted)).await;
    let read = reading.map_err(|error| vec![LoadError::Interrupted { detail: error.to_string() }])?;
    let unreadable =
        |(name, reason): (String, String)| LoadError::Secret { plugin: settings.name.clone(), name, reason };
    read.map_err(|troubles| troubles.into_iter().map(unreadable).collect())
}
