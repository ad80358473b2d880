//! Plugins, their limits, grants, config and order.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use baton_hooks::trust::signature_path;
use baton_hooks::{
    EditGrant, EngineSettings, Grants, Hook, HttpGrant, Limits, OnFailure, PluginSettings, SecretSource,
};
use serde_json::Value;

use super::Checker;
use super::inbound::NAME_OCTETS_MAX;
use super::policies::is_policy;
use super::trust::{Trusted, is_remote};
use crate::settings::field::Named;
use crate::settings::raw::{Raw, RawEngine, RawGrants, RawHooks, RawHttp, RawLimits, RawPlugin, RawSecret};
use crate::settings::{read_file, tree};
use crate::wiring::HttpSettings;

/// The largest body that a plugin may write, in octets.
const BODY_OCTETS_MAX: u64 = 1 << 30;
/// The largest response that a plugin may take, in octets.
const RESPONSE_OCTETS_MAX: usize = 64 << 20;

impl Checker<'_> {
    pub(super) fn engine(&mut self, raw: &RawEngine) -> EngineSettings {
        EngineSettings {
            concurrent_calls_max: self.bound(
                "engine.concurrent_calls_max",
                raw.concurrent_calls_max,
                1,
                100_000,
            ),
            kept_instances_max: self.bound("engine.kept_instances_max", raw.kept_instances_max, 0, 100_000),
            memory_octets_max: self.bound(
                "engine.memory_octets_max",
                raw.memory_octets_max,
                1 << 20,
                4 << 30,
            ),
            table_elements_max: self.bound(
                "engine.table_elements_max",
                raw.table_elements_max,
                100,
                10_000_000,
            ),
            component_octets_max: self.bound(
                "engine.component_octets_max",
                raw.component_octets_max,
                1_024,
                1 << 30,
            ),
            compile_octets_max: self.bound(
                "engine.compile_octets_max",
                raw.compile_octets_max,
                16 << 20,
                1 << 40,
            ),
            compile_ms: self.bound("engine.compile_ms", raw.compile_ms, 1, 3_600_000),
            self_test_ms: self.bound("engine.self_test_ms", raw.self_test_ms, 1, 3_600_000),
            functions_octets_max: self.bound(
                "engine.functions_octets_max",
                raw.functions_octets_max,
                0,
                4 << 30,
            ),
        }
    }

    pub(super) fn http(&mut self, raw: &RawHttp) -> HttpSettings {
        HttpSettings {
            requests_max: self.bound("http.requests_max", raw.requests_max, 1, 100_000),
            requests_per_plugin_max: self.bound(
                "http.requests_per_plugin_max",
                raw.requests_per_plugin_max,
                1,
                100_000,
            ),
            connect_ms: self.bound("http.connect_ms", raw.connect_ms, 1, 600_000),
            idle_connections_max: raw.idle_connections_max,
            idle_ms: raw.idle_ms,
            ca_file: raw.ca_file.as_ref().map(|path| self.folder.join(path)),
            allowed_networks: self.parse_all(
                "http.allowed_networks",
                &raw.allowed_networks,
                "write a network such as \"10.1.0.0/16\"",
            ),
        }
    }

    pub(super) fn plugins(&mut self, raw: &Raw, trusted: &Trusted) -> Vec<PluginSettings> {
        let plugins = self.with_policies(raw);
        plugins.iter().map(|(name, plugin)| self.plugin(raw, name, plugin, trusted)).collect()
    }

    fn plugin(&mut self, raw: &Raw, name: &str, plugin: &RawPlugin, trusted: &Trusted) -> PluginSettings {
        let key = format!("plugins.{name}");
        self.plugin_name(&key, name);
        if plugin.source.as_os_str().is_empty() {
            self.problems.push(
                &format!("{key}.source"),
                None,
                "is missing",
                "name the plugin's .wasm, .js or .ts file, or an oci:// source",
            );
        }
        let policies = [OnFailure::Tempfail, OnFailure::Open, OnFailure::Closed, OnFailure::Quarantine];
        let on_failure = self.choose(
            &format!("{key}.on_failure"),
            &plugin.on_failure,
            &policies.map(|policy| (policy.as_str(), policy)),
        );
        let next = plugin.next.as_ref().map(|next| next.source.as_path());
        let sources: Vec<&Path> = std::iter::once(plugin.source.as_path()).chain(next).collect();
        PluginSettings {
            name: name.to_owned(),
            source: self.source(&format!("{key}.source"), &plugin.source),
            sha256: plugin.sha256.as_ref().and_then(|text| self.sha256(&format!("{key}.sha256"), text)),
            self_test: plugin.self_test,
            trust: trusted.of(&sources),
            hooks: plugin.hooks.as_ref().map(|names| self.hooks(&format!("{key}.hooks"), names)),
            on_failure: on_failure.unwrap_or_default(),
            limits: self.plugin_limits(&format!("{key}.limits"), &plugin.limits, &raw.engine),
            grants: Grants {
                // Binding a secret to a plugin is granting it.
                secrets: plugin.secrets.0.iter().map(|(name, _)| name.clone()).collect(),
                ..self.grants(&format!("{key}.grants"), &plugin.grants, raw)
            },
            secrets: self.secrets(&format!("{key}.secrets"), &plugin.secrets),
            run: self.running(&key, plugin),
            switch: None,
            keeps_last: is_policy(raw, &plugin.source),
            config: self.config(&key, plugin),
        }
    }

    fn sha256(&mut self, key: &str, text: &str) -> Option<[u8; 32]> {
        let read = read_digest(text);
        if read.is_none() {
            let remedy = "write the 64 hexadecimal digits that `sha256sum FILE` prints";
            self.problems.push(key, Some(text.to_owned()), "is not a SHA-256", remedy);
        }
        read
    }

    /// A plugin's name stands in metrics, bucket names and note keys; `shared` would collide with shared buckets.
    fn plugin_name(&mut self, key: &str, name: &str) {
        let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        if name.is_empty() || name.len() > NAME_OCTETS_MAX || name == "shared" || !name.bytes().all(fits) {
            let remedy = format!(
                "use 1 to {NAME_OCTETS_MAX} lower-case letters, digits and hyphens, and not `shared`"
            );
            self.problems.push(key, Some(name.to_owned()), "can not be the name of a plugin", remedy);
        }
    }

    fn hooks(&mut self, key: &str, names: &[String]) -> Vec<Hook> {
        let choices = Hook::EVERY.map(|hook| (hook.as_str(), hook));
        let read = |(index, name): (usize, &String)| self.choose(&format!("{key}[{index}]"), name, &choices);
        names.iter().enumerate().filter_map(read).collect()
    }

    fn plugin_limits(&mut self, key: &str, raw: &RawLimits, engine: &RawEngine) -> Limits {
        let at = |name: &str| format!("{key}.{name}");
        Limits {
            cpu_ms: self.bound(&at("cpu_ms"), raw.cpu_ms, 1, 60_000),
            wall_ms: self.bound(&at("wall_ms"), raw.wall_ms, 1, 600_000),
            memory_octets: self.bound(
                &at("memory_octets"),
                raw.memory_octets,
                64 << 10,
                engine.memory_octets_max,
            ),
            table_elements: self.bound(
                &at("table_elements"),
                raw.table_elements,
                1,
                engine.table_elements_max,
            ),
            host_calls_max: raw.host_calls_max,
            host_call_octets_max: raw.host_call_octets_max,
            read_octets_max: raw.read_octets_max,
            work_octets_max: raw.work_octets_max,
            body_octets_max: self.bound(&at("body_octets_max"), raw.body_octets_max, 1, BODY_OCTETS_MAX),
            handles_max: raw.handles_max,
            dns_queries_max: raw.dns_queries_max,
            http_requests_max: raw.http_requests_max,
            http_request_octets_max: raw.http_request_octets_max,
            http_response_octets_max: self.bound(
                &at("http_response_octets_max"),
                raw.http_response_octets_max,
                1,
                RESPONSE_OCTETS_MAX,
            ),
            verify_questions_max: raw.verify_questions_max,
            log_lines_per_s: raw.log_lines_per_s,
            log_line_octets_max: raw.log_line_octets_max,
        }
    }

    fn grants(&mut self, key: &str, raw: &RawGrants, all: &Raw) -> Grants {
        let edits = [
            ("headers", EditGrant::Headers),
            ("trace", EditGrant::Trace),
            ("body", EditGrant::Body),
            ("recipients", EditGrant::Recipients),
            ("sender", EditGrant::Sender),
        ];
        let read =
            |(index, name): (usize, &String)| self.choose(&format!("{key}.edit[{index}]"), name, &edits);
        let edit = raw.edit.iter().enumerate().filter_map(read).collect();
        for (index, target) in raw.route.iter().enumerate() {
            let named = all.next_hops.0.iter().any(|(name, _)| name == target);
            if !named && target != "*" && target != "mx" && !target.starts_with("host:") {
                let remedy = "write \"*\", \"mx\", \"host:PATTERN\", or define it under [next_hops]";
                let at = format!("{key}.route[{index}]");
                self.problems.push(&at, Some(target.clone()), "there is no such next hop", remedy);
            }
        }
        for (index, grant) in raw.http.iter().enumerate() {
            if let Err(reason) = HttpGrant::parse(grant) {
                let remedy = "write the beginning of a URL, such as \"https://api.example/v1/\"";
                self.problems.push(&format!("{key}.http[{index}]"), Some(grant.clone()), reason, remedy);
            }
        }
        Grants {
            edit,
            relay: raw.relay,
            route: raw.route.clone(),
            kv: raw.kv.clone(),
            dns: raw.dns,
            http: raw.http.clone(),
            verify: raw.verify,
            secrets: Vec::new(),
        }
    }

    /// Where each secret is. What stands there is read when the plugin is loaded.
    fn secrets(&mut self, key: &str, raw: &Named<RawSecret>) -> BTreeMap<String, SecretSource> {
        let mut secrets = BTreeMap::new();
        for (name, secret) in &raw.0 {
            let source = match (&secret.file, &secret.env) {
                (Some(path), None) => SecretSource::File(self.folder.join(path)),
                (None, Some(variable)) => SecretSource::Environment(variable.clone()),
                _ => {
                    let remedy = "write { file = \"PATH\" } or { env = \"VARIABLE\" }";
                    self.problems.push(&format!("{key}.{name}"), None, "needs exactly one source", remedy);
                    continue;
                }
            };
            secrets.insert(name.clone(), source);
        }
        secrets
    }

    /// The plugin's config, over what its config file says.
    fn config(&mut self, key: &str, plugin: &RawPlugin) -> Value {
        let own = plugin.config.0.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        if !own.is_object() {
            self.problems.push(&format!("{key}.config"), None, "is not a table", "write it as a table");
        }
        let Some(path) = &plugin.config_file else { return own };
        let path = self.folder.join(path);
        match read_config(&path) {
            Ok(mut base) => {
                merge(&mut base, own);
                base
            }
            Err(reason) => {
                let remedy = "name a TOML file that can be read";
                self.problems.push(
                    &format!("{key}.config_file"),
                    Some(path.display().to_string()),
                    reason,
                    remedy,
                );
                own
            }
        }
    }

    /// The files whose change is a reason to load anew, beside the settings; none when they are not watched.
    pub(super) fn watched(&self, raw: &Raw) -> Option<Vec<PathBuf>> {
        let mut files = Vec::new();
        for (_, plugin) in &raw.plugins.0 {
            if !is_remote(&plugin.source) {
                let source = self.folder.join(&plugin.source);
                files.push(signature_path(&source));
                files.push(source);
            }
            files.extend(plugin.config_file.iter().map(|path| self.folder.join(path)));
        }
        files.extend(self.watched_policies(raw));
        raw.hooks.watch.then_some(files)
    }

    pub(super) fn order(&mut self, raw: &Raw, plugins: &[PluginSettings]) -> HashMap<Hook, Vec<String>> {
        let RawHooks { watch: _, connect, auth, rcpt, data, route, bounce, thresholds: _ } = &raw.hooks;
        let given = Hook::ALL.into_iter().zip([connect, auth, rcpt, data, route, bounce]);
        let mut order = HashMap::new();
        for (hook, names) in given {
            let Some(names) = names else { continue };
            self.check_order(hook, names, plugins);
            order.insert(hook, names.clone());
        }
        order
    }

    fn check_order(&mut self, hook: Hook, names: &[String], plugins: &[PluginSettings]) {
        for (index, name) in names.iter().enumerate() {
            let key = format!("hooks.{hook}[{index}]");
            if !plugins.iter().any(|plugin| plugin.name == *name) {
                let remedy = "define it under [plugins], or take it out";
                self.problems.push(&key, Some(name.clone()), "there is no such plugin", remedy);
            }
            if names.iter().take(index).any(|earlier| earlier == name) {
                self.problems.push(&key, Some(name.clone()), "stands here twice", "keep one of them");
            }
        }
        let asked =
            |plugin: &&PluginSettings| plugin.hooks.as_ref().is_some_and(|hooks| hooks.contains(&hook));
        for plugin in plugins.iter().filter(asked).filter(|plugin| !names.contains(&plugin.name)) {
            let remedy = format!("add it, or take \"{hook}\" out of plugins.{}.hooks", plugin.name);
            let reason = format!("plugin `{}` is to be asked here but is not in the order", plugin.name);
            self.problems.push(&format!("hooks.{hook}"), None, reason, remedy);
        }
    }
}

fn read_digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    for (octet, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}

fn read_config(path: &Path) -> Result<Value, String> {
    let text = read_file(path)
        .map_err(|problems| problems.iter().map(|problem| problem.reason.clone()).collect::<String>())?;
    tree::parse(&text).map(|node| node.to_json()).map_err(|problems| problems.to_string().trim().to_owned())
}

/// Puts `over` on `base`; tables are merged, all else is replaced.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
