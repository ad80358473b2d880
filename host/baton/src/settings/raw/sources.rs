//! What mail leaves by.

use crate::settings::field::{Named, section};

section! {
    /// One source: an address of each family at most, and the name that is said there.
    RawSource {
        /// Local addresses that its connections come from, at most one of each family; with a proxy, those that the proxy connects from. Hosts of a family that is missing are not tried.
        addresses: Vec<String> = Vec::new(),
        /// The name that is said in EHLO; the DNS should name the same for the address. Unset: the hostname.
        ehlo: Option<String> = None,
        /// Its share of the turns in the pool `default`.
        weight: u32 = 1,
        /// Who connects for it: `socks5://host:port`, or `haproxy://host:port` for a balancer that takes a PROXY header of version 2 and connects from the address in it.
        proxy: Option<String> = None,
        /// The plan of [warmup] that it follows while it is new. Unset: it is warm.
        warmup: Option<String> = None,
    }
}

section! {
    /// DNS blocklists that are asked about the addresses of the sources.
    RawBlocklists {
        /// Their zones, such as `zen.spamhaus.org`. Empty: none is asked. `baton blocklists` shows what they say; a change is logged, and the metric `baton_delivery_listed` tells.
        lists: Vec<String> = Vec::new(),
        /// The time between two rounds, in seconds. Public lists ask not to be asked too often.
        interval_s: u64 = 3_600,
    }
}

section! {
    /// One pool.
    RawPool {
        /// Its sources by name, each with its share of the turns: `{ a = 3, b = 1 }`.
        sources: Named<u32> = Named(Vec::new()),
        /// Tenants whose mail leaves by it.
        tenants: Vec<String> = Vec::new(),
        /// Streams whose mail leaves by it, each as `stream` or `tenant/stream`. A stream goes before its tenant.
        streams: Vec<String> = Vec::new(),
    }
}
