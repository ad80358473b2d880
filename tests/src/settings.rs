//! Settings files for the relay under test: the shipped defaults, but for ports, paths and patience.

use std::net::SocketAddr;
use std::path::Path;

use toml::{Table, Value};

/// A settings file in the making.
#[derive(Clone, Debug)]
pub struct Settings(Table);

impl Default for Settings {
    fn default() -> Settings {
        Settings::new()
    }
}

impl Settings {
    /// One listener on a port of the system's choice, and retries within tenths of seconds. Strangers' mail is not checked:
    /// that asks the DNS, which only a test with names of its own may.
    pub fn new() -> Settings {
        Settings(Table::new())
            .set("hostname", "relay.example")
            .set("listeners.smtp.address", "127.0.0.1:0")
            .set("delivery.retry_first_s", 0.2)
            .set("delivery.retry_factor", 1.5)
            .set("delivery.retry_max_s", 1.0)
            .set("delivery.retry_jitter", 0.0)
            .set("delivery.host_failure_ms", 300)
            .set("delivery.allow_loopback", true)
            .set("dns.timeout_ms", 1000)
            .set("dns.attempts", 1)
            .set("checks.enabled", false)
    }

    /// All mail goes to this address.
    pub fn all_to(self, next_hop: SocketAddr) -> Settings {
        self.hop("sink", next_hop).route("*", "sink")
    }

    /// A named next hop of one host.
    pub fn hop(self, name: &str, address: SocketAddr) -> Settings {
        self.set(&format!("next_hops.{name}.hosts"), vec![Value::from(address.to_string())])
    }

    /// One more route, after those that are there.
    pub fn route(mut self, domain: &str, next_hop: &str) -> Settings {
        let mut route = Table::new();
        route.insert("domain".into(), domain.into());
        route.insert("next_hop".into(), next_hop.into());
        let routes = self.0.entry("routes").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(routes) = routes {
            routes.push(route.into());
        }
        self
    }

    /// Asks this server for all names.
    pub fn names_from(self, server: SocketAddr) -> Settings {
        self.set("dns.servers", vec![Value::from(server.to_string())])
    }

    /// A plugin with its file; grants and config are set by their keys.
    pub fn plugin(self, name: &str, source: &Path) -> Settings {
        self.set(&format!("plugins.{name}.source"), source.display().to_string())
    }

    /// One key by its path, such as `delivery.lifetime_s`.
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Settings {
        insert(&mut self.0, path, value.into());
        self
    }

    /// Many keys at once, as TOML text.
    ///
    /// # Panics
    /// When the text is no TOML: a mistake of the test.
    pub fn with(mut self, text: &str) -> Settings {
        let more: Table = text.parse().expect("the test writes TOML");
        merge(&mut self.0, more);
        self
    }

    /// The file.
    pub fn text(&self) -> String {
        self.0.to_string()
    }
}

fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn merge(table: &mut Table, more: Table) {
    for (key, value) in more {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => merge(inner, more),
            (Some(Value::Array(inner)), Value::Array(more)) => inner.extend(more),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}
