//! What all plugins share: the engine and the way to HTTP servers.

use std::path::PathBuf;

use crate::settings::field::section;

section! {
    /// What all plugins share.
    RawEngine {
        /// Calls that run at once; more wait within their time.
        concurrent_calls_max: u32 = 256,
        /// Instances that rest between calls, all plugins with `instances = "pool"` or `"session"` together.
        kept_instances_max: u32 = 256,
        /// The largest memory that any plugin's limits may allow, in octets.
        memory_octets_max: usize = 256 << 20,
        /// The most table elements that any plugin's limits may allow.
        table_elements_max: usize = 20_000,
        /// The largest component that is loaded, in octets.
        component_octets_max: u64 = 32 << 20,
        /// The most memory that compiling one plugin may take, in octets. A file that was not compiled before is compiled in a process of its own first, so that one made to exhaust the compiler is refused and mail goes on.
        compile_octets_max: u64 = 1 << 30,
        /// The longest time that this may take, in milliseconds.
        compile_ms: u32 = 120_000,
        /// Time that the self-tests of one plugin may take at load, in milliseconds. The plugins that serve go on meanwhile.
        self_test_ms: u32 = 60_000,
        /// Octets of compiled functions that are kept in memory, so that a reload compiles only what is new. 0 keeps none.
        functions_octets_max: u64 = 32 << 20,
        /// Octets of compiled plugins that are kept in `plugins` below `store.path`, so that a start is quick; what was not used for the longest time goes first. 0 keeps none.
        cache_octets_max: u64 = 1 << 30,
    }
}

section! {
    /// Requests of plugins to HTTP servers. Which plugin may ask what is a grant of the plugin.
    RawHttp {
        /// Requests of all plugins at once; more wait within their time.
        requests_max: usize = 256,
        /// Requests of one plugin at once; more wait within their time.
        requests_per_plugin_max: usize = 64,
        /// How long opening a connection may take, TLS included, in milliseconds.
        connect_ms: u64 = 3_000,
        /// Connections without work that are kept for further requests.
        idle_connections_max: usize = 64,
        /// How long a connection without work is kept, in milliseconds.
        idle_ms: u64 = 15_000,
        /// A PEM file of certificates that are trusted beside those of the system.
        ca_file: Option<PathBuf> = None,
        /// Networks that are not public but may be asked by the names of grants, such as `10.1.0.0/16`. Empty: a name that leads into a private, loopback or link-local network is refused.
        allowed_networks: Vec<String> = Vec::new(),
    }
}
