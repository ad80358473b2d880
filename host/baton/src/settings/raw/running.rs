//! The keys of a plugin that say how it runs.

use std::path::PathBuf;

use crate::settings::field::{Described, Field, Named, section};
use crate::settings::problem::Problems;
use crate::settings::tree::{Node, Value};

section! {
    /// Warm instances of a plugin with `instances = "pool"`.
    RawPool {
        /// Instances that rest at once; calls beyond them get fresh ones.
        size_max: usize = 16,
        /// Calls of one instance; each draws its own number from half of it on.
        uses_max: u32 = 1_000,
        /// How old an instance may become, in seconds.
        age_s: u64 = 60,
    }
}

section! {
    /// Instances of a plugin with `instances = "session"`.
    RawSessionInstances {
        /// Instances that rest at once; beyond them the one that rested longest is dropped.
        size_max: usize = 128,
        /// How long an instance may rest, in seconds: idle sessions hold none.
        idle_s: u64 = 5,
    }
}

section! {
    /// When a plugin that keeps failing is left alone; its failure policy answers then.
    RawBreaker {
        /// Failures within the window that open it, if they are half of the calls at least. 0: it never opens.
        failures: u32 = 20,
        /// The window, in seconds.
        window_s: u64 = 60,
        /// How long it stays open before one call tries the plugin again, in seconds; each failed try doubles it.
        open_s: u64 = 5,
        /// How long it stays open at most, in seconds.
        open_max_s: u64 = 300,
    }
}

section! {
    /// How events are told to a plugin that observes. They come off the way of the mail; a restart loses those that wait.
    RawEvents {
        /// Events of one batch at most.
        batch_max: usize = 100,
        /// How long an event waits for others, in milliseconds.
        batch_ms: u64 = 500,
        /// Events that wait for a slow or failing plugin; beyond them the oldest are dropped and counted.
        queue_max: usize = 10_000,
    }
}

section! {
    /// Records of a plugin's calls: what it was asked, what the relay's services answered, what it said. They hold envelopes and whole messages, and not its secrets; calls of `auth` and `events` are left out.
    RawRecord {
        /// The folder; the plugin's records go into a folder of its name in it, for the relay's user only. Unset: nothing is recorded.
        folder: Option<PathBuf> = None,
        /// Records in that folder; then no more are written.
        calls_max: u64 = 1_000,
        /// Octets of the records in that folder; then no more are written.
        octets_max: u64 = 64 << 20,
    }
}

section! {
    /// A new version of a plugin that is tried beside it. All other keys of the plugin hold for it too.
    RawNext {
        /// The component: a `.wasm` file.
        source: PathBuf = PathBuf::new(),
        /// `shadow`: both are asked, this one changes nothing, differences are logged and counted. `canary`: it serves a part of the mail.
        mode: String = "shadow".to_owned(),
        /// The share of sessions that a canary serves, in percent. A session stays with its version.
        percent: u32 = 0,
        /// The tenant that a canary serves, whatever the share.
        tenant: Option<String> = None,
    }
}

section! {
    /// How OCI registries are asked. What is fetched is kept in `artefacts` below `store.path`; components have at most engine.component_octets_max octets.
    RawRegistry {
        /// Registries that are asked without TLS, as they stand in sources, such as `localhost:5000`.
        plain_http: Vec<String> = Vec::new(),
        /// A PEM file of certificates that are trusted beside those of the system.
        ca_file: Option<PathBuf> = None,
        /// A file with credentials: what `docker login` writes, `config.json` with `auths`. Unset: the file that the variable REGISTRY_AUTH_FILE names, if any.
        credentials_file: Option<PathBuf> = None,
        /// How long opening a connection may take, in milliseconds.
        connect_ms: u64 = 5_000,
        /// How long fetching one plugin may take, in milliseconds.
        pull_ms: u64 = 60_000,
        /// Octets of the plugins that are kept; the oldest go first.
        cache_octets_max: u64 = 1 << 30,
    }
}

section! {
    /// What the sum of a message's scores means after the data hook, when no plugin had the last word.
    RawThresholds {
        /// From this sum on the message gets a header field with the sum.
        tag: Option<f64> = None,
        /// From this sum on it is held for an operator.
        quarantine: Option<f64> = None,
        /// From this sum on it is refused.
        reject: Option<f64> = None,
        /// The field of `tag`.
        header: String = "X-Spam-Score".to_owned(),
        /// The reply of `reject`: code, enhanced code and text.
        reply: String = "550 5.7.1 Refused as unwanted mail".to_owned(),
    }
}

/// A guard: one expression for all hooks, or a table with one for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum RawWhen {
    #[default]
    Unset,
    All(String),
    ByHook(Vec<(String, String)>),
}

impl Field for RawWhen {
    fn kind() -> String {
        "text, or a table of texts by hook".to_owned()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<RawWhen> {
        match &node.value {
            Value::Table(_) => {
                Named::<String>::read(node, key, problems).map(|Named(guards)| RawWhen::ByHook(guards))
            }
            _ => String::read(node, key, problems).map(RawWhen::All),
        }
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn differ(&self, other: &RawWhen, key: &str, keys: &mut Vec<String>) {
        if self != other {
            keys.push(key.to_owned());
        }
    }

    fn members() -> Vec<Described> {
        Vec::new()
    }
}
