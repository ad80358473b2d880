//! How much goes where, how fast; and plans of warm-up.

use std::path::PathBuf;

use crate::settings::field::{Named, section};

section! {
    /// How much goes where, how fast. Rates are such as `100/m`, `10/s`, `5000/d` or `500/h,burst=20`: spread evenly, with a burst of what comes in one second unless it is said.
    RawShaping {
        /// Goes by what the relay brings along for large mailbox providers, where nothing else is said here.
        bundled: bool = true,
        /// A TOML file with the keys of this section, which goes before what is bundled and behind what stands here.
        file: Option<PathBuf> = None,
        /// Connections at once to one site by one source. Unset: `delivery.site_connections_max`. It is a bound: how many there are follows from what the site says.
        connections: Option<usize> = None,
        /// New connections to one site by one source.
        connection_rate: Option<String> = None,
        /// Messages to one site by one source.
        message_rate: Option<String> = None,
        /// Messages over one connection. Unset: `delivery.deliveries_per_connection_max`.
        messages_per_connection: Option<u32> = None,
        /// Recipients of one message at once. Unset: `delivery.recipients_per_delivery_max`.
        recipients_per_message: Option<usize> = None,
        /// Rates of tenants over all sites: `{ acme = "1000/h" }`.
        tenants: Named<String> = Named(Vec::new()),
        /// Rates of streams over all sites, each as `stream` or `tenant/stream`.
        streams: Named<String> = Named(Vec::new()),
        /// Providers by name. Tables of the same name are one: what stands here goes first, key by key.
        providers: Named<RawProvider> = Named(Vec::new()),
        /// What replies lead to, for all sites; the rules of the provider come first. Of all, the first that fits counts.
        rules: Vec<RawRule> = Vec::new(),
    }
}

section! {
    /// One provider: known by any of `mx_suffixes`, `mx_hosts`, `domains`.
    RawProvider {
        /// All mail hosts have one of these names, or are below it.
        mx_suffixes: Vec<String> = Vec::new(),
        /// All mail hosts have exactly one of these names.
        mx_hosts: Vec<String> = Vec::new(),
        /// Recipient domains, `*.domain` for all below one.
        domains: Vec<String> = Vec::new(),
        /// Connections at once to one of its sites by one source.
        connections: Option<usize> = None,
        /// New connections to one of its sites by one source.
        connection_rate: Option<String> = None,
        /// Messages to one of its sites by one source.
        message_rate: Option<String> = None,
        /// Messages over one connection.
        messages_per_connection: Option<u32> = None,
        /// Recipients of one message at once.
        recipients_per_message: Option<usize> = None,
        /// Connections at once to all of its sites by all sources.
        total_connections: Option<usize> = None,
        /// New connections to all of its sites by all sources.
        total_connection_rate: Option<String> = None,
        /// Messages to all of its sites by all sources.
        total_message_rate: Option<String> = None,
        /// What its replies lead to.
        rules: Vec<RawRule> = Vec::new(),
    }
}

section! {
    /// One rule: what is set of `codes`, `enhanced`, `classes` and `text` must all be so. Only replies of peers count.
    RawRule {
        /// What to call it.
        name: String = String::new(),
        /// Reply codes, such as `[421, 451]`.
        codes: Vec<u16> = Vec::new(),
        /// The form of the enhanced code, such as `4.7.*`.
        enhanced: Option<String> = None,
        /// Classes of failure, such as `rate` or `block-source`.
        classes: Vec<String> = Vec::new(),
        /// A regular expression that the text has a match of.
        text: Option<String> = None,
        /// How often it must come before anything is done: `3/10m`. Unset: at once.
        threshold: Option<String> = None,
        /// `suspend` (mail of the `scope` waits), `slow-down` (limits of the source there are divided by `factor`), `other-source` (the source rests there, and mail goes by another of its pool) or `bounce` (mail to the recipients' domain there is given up).
        action: String = "suspend".to_owned(),
        /// Whose mail waits there: `source`, `site` (all), `tenant` or `stream`.
        scope: String = "source".to_owned(),
        /// By how much it is slowed down.
        factor: f64 = 2.0,
        /// How long the measure holds: such as `10m`, `6h`, `1d`.
        lasts: String = "1h".to_owned(),
    }
}

section! {
    /// One plan: how much a new source sends on each day to each provider. Days on which it sent nothing, or did badly, do not count.
    RawWarmup {
        /// Messages of each day to each provider without a table of its own; after the last day, the source is warm.
        days: Vec<u32> = Vec::new(),
        /// Tables of providers, by name: `{ google = [50, 100, 200] }`. The name `other` is all places that no provider is known of.
        providers: Named<Vec<u32>> = Named(Vec::new()),
        /// The part of messages deferred by the provider, from 0 to 1, above which the plan does not go on; above twice of it, sending stops for the day.
        deferred_share_max: f64 = 0.1,
        /// The part of messages complained about, as `deferred_share_max`.
        complaints_share_max: f64 = 0.001,
    }
}
