//! `config`: the plugin's own table, as JSON or by dotted path, and its secrets.

use serde_json::Value;

use crate::bindings::baton::host::config::Host;
use crate::state::State;

impl Host for State {
    fn json(&mut self) -> wasmtime::Result<String> {
        self.charge()?;
        self.charge_read(self.terms.config_json.len())?;
        Ok(self.terms.config_json.clone())
    }

    fn get(&mut self, path: String) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        let text = find(&self.terms.config, &path).and_then(render);
        self.charge_read(text.as_ref().map_or(0, String::len))?;
        Ok(text)
    }

    fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        // During init, what the plugin knows becomes a snapshot.
        let secret = self.hook.and_then(|_| self.terms.secrets.get(&name));
        let text = secret.map(|secret| secret.reveal().to_owned());
        self.charge_read(text.as_ref().map_or(0, String::len))?;
        Ok(text)
    }
}

/// Walks down tables by key and lists by index.
fn find<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(config, |value, step| match value {
        Value::Object(table) => table.get(step),
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Texts as they are, everything else as JSON.
fn render(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_dotted_path() {
        let config = serde_json::json!({ "limits": { "per-minute": 60 }, "hosts": ["a", { "port": 25 }], "none": null });
        let get = |path| find(&config, path).and_then(render);
        assert_eq!(get("limits.per-minute").as_deref(), Some("60"));
        assert_eq!(get("hosts.0").as_deref(), Some("a"));
        assert_eq!(get("hosts.1.port").as_deref(), Some("25"));
        assert_eq!(get("limits").as_deref(), Some("{\"per-minute\":60}"));
        for absent in ["", "none", "hosts.2", "hosts.x", "limits.per-minute.x"] {
            assert_eq!(get(absent), None, "{absent}");
        }
    }
}
