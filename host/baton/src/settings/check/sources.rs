//! Sources, pools, and which mail leaves by which.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use baton_outbound::{BlocklistSettings, HostPort, Pool, Proxy, Source, SourceSettings};

use super::Checker;
use crate::settings::raw::{Raw, RawBlocklists, RawSource, RawSourcePool};

/// The pool of all sources, unless the settings make one of that name.
const DEFAULT: &str = "default";

impl Checker<'_> {
    /// All sources and pools.
    pub(super) fn sources(&mut self, raw: &Raw) -> SourceSettings {
        let addresses = self.own_addresses("delivery.source_addresses", &raw.delivery.source_addresses);
        if raw.sources.0.is_empty() && raw.pools.0.is_empty() {
            self.only_default(raw);
            return SourceSettings::of_addresses(addresses);
        }
        if !addresses.is_empty() {
            let remedy = "put them into [sources]";
            self.problems.push("delivery.source_addresses", None, "there are [sources] too", remedy);
        }
        let sources: Vec<(Arc<Source>, u32)> =
            raw.sources.0.iter().map(|(name, source)| self.mail_source(name, source)).collect();
        let mut settings = SourceSettings::default();
        let plans = self.warmup_plans(raw);
        for (name, source) in &raw.sources.0 {
            let Some(plan) = &source.warmup else { continue };
            match plans.get(plan) {
                Some(found) => drop(settings.warmups.insert(name.clone(), Arc::clone(found))),
                None => {
                    let remedy = format!("define it under [warmup.{plan}]");
                    let key = format!("sources.{name}.warmup");
                    self.problems.push(&key, Some(plan.clone()), "there is no such plan", remedy);
                }
            }
        }
        let mut pools: HashMap<String, Arc<Pool>> = HashMap::new();
        if raw.pools.0.iter().all(|(name, _)| name != DEFAULT) {
            pools.insert(DEFAULT.to_owned(), Arc::new(Pool::new(DEFAULT, sources.clone())));
        }
        for (name, pool) in &raw.pools.0 {
            let made = Arc::new(self.pool(name, pool, &sources));
            self.assign(&format!("pools.{name}.tenants"), &pool.tenants, &made, &mut settings.by_tenant);
            self.assign(&format!("pools.{name}.streams"), &pool.streams, &made, &mut settings.by_stream);
            pools.insert(name.clone(), made);
        }
        if let Some(pool) = self.named_pool("delivery.pool", &raw.delivery.pool, &pools) {
            settings.default = pool;
        }
        for (index, route) in raw.routes.iter().enumerate() {
            let key = format!("routes[{index}].pool");
            let pool = route.pool.as_ref().and_then(|name| self.named_pool(&key, name, &pools));
            if route.domain == "*" {
                settings.by_domain.set_default(pool);
            } else if let Ok(pattern) = route.domain.parse() {
                // What is no pattern is told where the routes are read.
                settings.by_domain.insert(pattern, pool);
            }
        }
        settings.by_name = pools;
        settings
    }

    /// Blocklists, when there are addresses to ask about.
    pub(super) fn blocklists(&mut self, raw: &RawBlocklists, sources: &SourceSettings) -> BlocklistSettings {
        let remedy = "write the zone of a list, such as \"zen.spamhaus.org\"";
        let lists = self.parse_all("blocklists.lists", &raw.lists, remedy);
        if !raw.lists.is_empty() && sources.addresses().is_empty() {
            let reason = "there is no address to ask about: the system chooses what mail leaves by";
            let remedy = "name addresses in [sources] or in delivery.source_addresses";
            self.problems.push("blocklists.lists", None, reason, remedy);
        }
        let interval_s = self.bound("blocklists.interval_s", raw.interval_s, 1, 30 * 86_400);
        BlocklistSettings { lists, interval_ms: interval_s * 1_000 }
    }

    /// Without sources there is no pool to be named.
    fn only_default(&mut self, raw: &Raw) {
        let pools = HashMap::new();
        if raw.delivery.pool != DEFAULT {
            self.named_pool("delivery.pool", &raw.delivery.pool, &pools);
        }
        for (index, route) in raw.routes.iter().enumerate() {
            if let Some(name) = route.pool.as_ref().filter(|name| *name != DEFAULT) {
                self.named_pool(&format!("routes[{index}].pool"), name, &pools);
            }
        }
    }

    /// Addresses, at most one of each family.
    fn own_addresses(&mut self, key: &str, texts: &[String]) -> Vec<IpAddr> {
        let addresses: Vec<IpAddr> = self.parse_all(key, texts, "write an IP address of this machine");
        let of_four = addresses.iter().filter(|address| address.is_ipv4()).count();
        if of_four > 1 || addresses.len() - of_four > 1 {
            let remedy = "keep one IPv4 and one IPv6 address; make more [sources] for more";
            self.problems.push(key, None, "there is more than one of a family", remedy);
        }
        addresses
    }

    fn mail_source(&mut self, name: &str, raw: &RawSource) -> (Arc<Source>, u32) {
        let key = format!("sources.{name}");
        self.name(&key, name);
        let addresses = self.own_addresses(&format!("{key}.addresses"), &raw.addresses);
        let ehlo_key = format!("{key}.ehlo");
        let ehlo = raw.ehlo.as_ref();
        let ehlo = ehlo.and_then(|text| self.parse(&ehlo_key, text, "write the full name of the address"));
        let proxy = raw.proxy.as_ref().and_then(|text| self.proxy(&format!("{key}.proxy"), text));
        if matches!(proxy, Some(Proxy::Haproxy(_))) && addresses.is_empty() {
            let reason = "a balancer must be told which address to connect from";
            self.problems.push(&format!("{key}.addresses"), None, reason, "name them");
        }
        let weight = self.bound(&format!("{key}.weight"), raw.weight, 1, WEIGHT_MAX);
        (Arc::new(Source { name: name.to_owned(), addresses, ehlo, proxy }), weight)
    }

    fn proxy(&mut self, key: &str, text: &str) -> Option<Proxy> {
        let read = match text.split_once("://") {
            Some(("socks5", rest)) => HostPort::parse(rest, SOCKS_PORT).ok().map(Proxy::Socks5),
            Some(("haproxy", rest)) => HostPort::parse(rest, HAPROXY_PORT).ok().map(Proxy::Haproxy),
            _ => None,
        };
        if read.is_none() {
            let remedy = "write socks5://host:port or haproxy://host:port";
            self.problems.push(key, Some(text.to_owned()), "this is no proxy", remedy);
        }
        read
    }

    fn pool(&mut self, name: &str, raw: &RawSourcePool, sources: &[(Arc<Source>, u32)]) -> Pool {
        let key = format!("pools.{name}");
        self.name(&key, name);
        if raw.sources.0.is_empty() {
            self.problems.push(&format!("{key}.sources"), None, "there is none", "write { NAME = 1 }");
        }
        let mut members = Vec::new();
        for (source, weight) in &raw.sources.0 {
            let key = format!("{key}.sources.{source}");
            self.bound(&key, *weight, 1, WEIGHT_MAX);
            match sources.iter().find(|(known, _)| known.name == *source) {
                Some((known, _)) => members.push((Arc::clone(known), *weight)),
                None => {
                    let remedy = format!("define it under [sources.{source}]");
                    self.problems.push(&key, None, "there is no such source", remedy);
                }
            }
        }
        Pool::new(name, members)
    }

    fn assign(
        &mut self,
        key: &str,
        names: &[String],
        pool: &Arc<Pool>,
        assigned: &mut HashMap<String, Arc<Pool>>,
    ) {
        for name in names {
            if let Some(other) = assigned.insert(name.clone(), Arc::clone(pool)) {
                let reason = format!("`{name}` leaves by the pool {} already", other.name);
                self.problems.push(key, Some(name.clone()), reason, "leave it in one of them");
            }
        }
    }

    fn named_pool(&mut self, key: &str, name: &str, pools: &HashMap<String, Arc<Pool>>) -> Option<Arc<Pool>> {
        let found = pools.get(name).cloned();
        if found.is_none() {
            let remedy = format!("define it under [pools.{name}]");
            self.problems.push(key, Some(name.to_owned()), "there is no such pool", remedy);
        }
        found
    }
}

/// The port of a SOCKS server (RFC 1928 3).
const SOCKS_PORT: u16 = 1080;
/// The port of a balancer that names none: SMTP.
const HAPROXY_PORT: u16 = 25;
/// More turns than any share needs.
const WEIGHT_MAX: u32 = 1_000;
