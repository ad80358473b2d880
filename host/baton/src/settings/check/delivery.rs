//! Next hops, routes and delivery.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use baton_hooks::{HttpHost, HttpUrl};
use baton_inbound::InboundSettings;
use baton_mail::{Domain, Mailbox};
use baton_outbound::{
    Convert, DelayReports, DomainPattern, DsnSettings, Endpoint, HostPort, LimitSettings, LoopSettings,
    NextHop, OutboundSettings, RetrySettings, RouteTable, RouteTarget, TimeoutSettings,
};

use super::Checker;
use super::inbound::MAILBOX_REMEDY;
use crate::settings::raw::{Raw, RawDelivery, RawNextHop, RawSecret};

/// Of whose late mail is reported.
const DELAY_REPORTS: [(&str, DelayReports); 3] =
    [("never", DelayReports::Never), ("asked", DelayReports::Asked), ("all", DelayReports::All)];
/// What happens to content that a next hop can not take as it is.
const CONVERT: [(&str, Convert); 2] = [("convert", Convert::WhenNeeded), ("bounce", Convert::Never)];
/// The name in a route that means the mail hosts of the recipient's domain.
const MX: &str = "mx";

impl Checker<'_> {
    pub(super) fn outbound(
        &mut self,
        raw: &Raw,
        hostname: &Domain,
        inbound: &InboundSettings,
    ) -> OutboundSettings {
        let mut settings = OutboundSettings::new(hostname.clone());
        let delivery = &raw.delivery;
        settings.routes = self.routes(raw);
        settings.tls = self.outbound_tls(raw, settings.tls);
        settings.sts = self.sts(&delivery.mta_sts);
        settings.retry = self.retry(delivery);
        settings.retry_by_class = self.retry_by_class(&raw.retry);
        settings.classes = self.classes(&raw.retry);
        settings.limits = self.limits(delivery, raw.drain_s);
        settings.timeouts = self.timeouts(delivery);
        settings.loops = LoopSettings {
            own_names: self.parse_all("delivery.own_names", &delivery.own_names, "write a host name"),
            own_addresses: inbound.tcp_addresses().collect(),
            allow_loopback_next_hops: delivery.allow_loopback,
            prohibited: self.parse_all(
                "delivery.prohibited_networks",
                &delivery.prohibited_networks,
                "write a network such as \"10.0.0.0/8\"",
            ),
        };
        settings.dsn = self.dsn(raw, settings.dsn.from.clone());
        settings.convert =
            self.choose("delivery.convert_8bit", &delivery.convert_8bit, &CONVERT).unwrap_or_default();
        settings.smtp_port = self.bound("delivery.smtp_port", delivery.smtp_port, 1, u16::MAX);
        settings.sources = Arc::new(self.sources(raw));
        settings.blocklists = self.blocklists(&raw.blocklists, &settings.sources);
        settings.shaping = Arc::new(self.shaping(raw));
        settings
    }

    fn dsn(&mut self, raw: &Raw, from: Mailbox) -> DsnSettings {
        let given = raw.bounce.from.as_deref();
        DsnSettings {
            from: given.and_then(|text| self.parse("bounce.from", text, MAILBOX_REMEDY)).unwrap_or(from),
            header_octets_max: self.bound(
                "bounce.header_octets_max",
                raw.bounce.header_octets_max,
                1_024,
                16 << 20,
            ),
            message_octets_max: raw.bounce.message_octets_max,
            lifetime_s: self.bound("bounce.lifetime_s", raw.bounce.lifetime_s, 1, 366 * 86_400),
            sign: raw.signing.enabled,
            delay: self.choose("bounce.delay", &raw.bounce.delay, &DELAY_REPORTS).unwrap_or_default(),
            delay_after_s: self.bound("bounce.delay_after_s", raw.bounce.delay_after_s, 0, 366 * 86_400),
            verp_domains: self
                .parse_all("bounce.verp_domains", &raw.bounce.verp_domains, "write a domain")
                .into_iter()
                .collect(),
        }
    }

    fn retry(&mut self, raw: &RawDelivery) -> RetrySettings {
        let mut seconds = |key: &str, value: f64| {
            let value = self.bound(&format!("delivery.{key}"), value, 0.001, 31_622_400.0);
            (value * 1_000.0) as u64
        };
        RetrySettings {
            first_ms: seconds("retry_first_s", raw.retry_first_s),
            max_ms: seconds("retry_max_s", raw.retry_max_s),
            factor: self.bound("delivery.retry_factor", raw.retry_factor, 1.0, 100.0),
            jitter: self.bound("delivery.retry_jitter", raw.retry_jitter, 0.0, 1.0),
        }
    }

    fn limits(&mut self, raw: &RawDelivery, drain_s: u64) -> LimitSettings {
        self.bound("delivery.deliveries_per_connection_max", raw.deliveries_per_connection_max, 1, u32::MAX);
        self.bound("delivery.attempt_delay_ms", raw.attempt_delay_ms, 10, 60_000);
        let mut count =
            |key: &str, value: usize| self.bound(&format!("delivery.{key}"), value, 1, 10_000_000);
        LimitSettings {
            connections_max: count("site_connections_max", raw.site_connections_max),
            deliveries_per_connection_max: raw.deliveries_per_connection_max,
            recipients_per_delivery_max: count(
                "recipients_per_delivery_max",
                raw.recipients_per_delivery_max,
            ),
            ready_max: count("ready_max", raw.ready_max),
            jobs_max: count("jobs_max", raw.jobs_max),
            routing_max: count("routing_max", raw.routing_max),
            addresses_max: count("addresses_max", raw.addresses_max),
            idle_ms: raw.idle_ms,
            attempt_delay_ms: raw.attempt_delay_ms,
            host_failure_ms: raw.host_failure_ms,
            tls_failure_ms: raw.tls_failure_ms,
            site_cache_ms: raw.site_cache_ms,
            overflow_ms: raw.overflow_ms,
            metric_sites_max: raw.metric_sites_max.min(10_000),
            verify_max: count("verify_max", raw.verify_max),
            verify_cache_ms: raw.verify_cache_ms,
            drain_ms: drain_s.saturating_mul(1_000),
            ..LimitSettings::default()
        }
    }

    fn timeouts(&mut self, raw: &RawDelivery) -> TimeoutSettings {
        let mut ms = |key: &str, value: u64| self.bound(&format!("delivery.{key}"), value, 1, 86_400_000);
        TimeoutSettings {
            connect_ms: ms("connect_ms", raw.connect_ms),
            greeting_ms: ms("greeting_ms", raw.greeting_ms),
            ehlo_ms: ms("ehlo_ms", raw.ehlo_ms),
            tls_ms: ms("tls_ms", raw.tls_ms),
            mail_ms: ms("mail_ms", raw.mail_ms),
            rcpt_ms: ms("rcpt_ms", raw.rcpt_ms),
            data_init_ms: ms("data_init_ms", raw.data_init_ms),
            data_block_ms: ms("data_block_ms", raw.data_block_ms),
            data_dot_ms: ms("data_dot_ms", raw.data_dot_ms),
        }
    }

    fn routes(&mut self, raw: &Raw) -> RouteTable {
        let mut next_hops = HashMap::new();
        for (name, next_hop) in &raw.next_hops.0 {
            let key = format!("next_hops.{name}");
            self.name(&key, name);
            if name == MX {
                self.problems.push(
                    &key,
                    None,
                    "`mx` means the mail hosts of the recipient's domain",
                    "choose another name",
                );
            }
            // A stand-in keeps one mistake from making every route to it another one.
            next_hops.insert(name.clone(), self.next_hop(&key, next_hop).unwrap_or(NextHop::Discard));
        }
        let mut rules = Vec::new();
        let mut default = RouteTarget::RecipientMx;
        let mut seen = Vec::new();
        for (index, route) in raw.routes.iter().enumerate() {
            let key = format!("routes[{index}]");
            let Some(target) = self.target(&key, &route.next_hop, &next_hops) else { continue };
            if seen.contains(&route.domain) {
                let value = Some(route.domain.clone());
                self.problems.push(
                    &format!("{key}.domain"),
                    value,
                    "an earlier route has this domain",
                    "keep one of them",
                );
            }
            seen.push(route.domain.clone());
            if route.domain == "*" {
                default = target;
            } else if let Some(pattern) = self.pattern(&key, &route.domain) {
                rules.push((pattern, target));
            }
        }
        RouteTable::new(next_hops, &rules, &default).unwrap_or_else(|unknown| {
            self.problems.push("routes", None, unknown, "define it under [next_hops]");
            RouteTable::default()
        })
    }

    fn pattern(&mut self, key: &str, text: &str) -> Option<DomainPattern> {
        let below = text.strip_prefix('.').map(|parent| format!("*.{parent}"));
        let remedy = "write a domain, `*.domain` for all below it, or `*`";
        self.parse(&format!("{key}.domain"), below.as_deref().unwrap_or(text), remedy)
    }

    fn target(&mut self, key: &str, name: &str, next_hops: &HashMap<String, NextHop>) -> Option<RouteTarget> {
        if name == MX {
            return Some(RouteTarget::RecipientMx);
        }
        if next_hops.contains_key(name) {
            return Some(RouteTarget::Named(name.to_owned()));
        }
        let mut known: Vec<_> = next_hops.keys().map(String::as_str).chain([MX]).collect();
        known.sort_unstable();
        let remedy = format!("define it under [next_hops], or use one of {}", known.join(", "));
        self.problems.push(
            &format!("{key}.next_hop"),
            Some(name.to_owned()),
            "there is no such next hop",
            remedy,
        );
        None
    }

    pub(super) fn next_hop(&mut self, key: &str, raw: &RawNextHop) -> Option<NextHop> {
        let given = [
            raw.mx.is_some(),
            raw.hosts.is_some(),
            raw.lmtp.is_some(),
            raw.file.is_some(),
            raw.http.is_some(),
            raw.hold.is_some(),
            raw.discard,
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            let reason = "a next hop has exactly one of mx, hosts, lmtp, file, http, hold, discard";
            self.problems.push(key, None, reason, "keep one of them");
            return None;
        }
        if let Some(text) = &raw.mx {
            return self.parse(&format!("{key}.mx"), text, "write a domain").map(NextHop::Mx);
        }
        if let Some(texts) = &raw.hosts {
            return self.hosts(&format!("{key}.hosts"), texts);
        }
        if let Some(text) = &raw.lmtp {
            let remedy = "write host:port or unix:/path";
            return self.parse(&format!("{key}.lmtp"), text, remedy).map(NextHop::Lmtp);
        }
        if let Some(path) = &raw.file {
            return Some(NextHop::File(self.absolute(path)));
        }
        if let Some(url) = &raw.http {
            return self.endpoint(key, url, raw.http_secret.as_ref()).map(NextHop::Http);
        }
        match &raw.hold {
            Some(reason) => Some(NextHop::Hold(baton_mail::text::sanitize(reason, HOLD_OCTETS_MAX))),
            None => Some(NextHop::Discard),
        }
    }

    fn endpoint(&mut self, key: &str, url: &str, secret: Option<&RawSecret>) -> Option<Endpoint> {
        let (url_key, secret_key) = (format!("{key}.http"), format!("{key}.http_secret"));
        let remedy = "write a URL, such as \"https://app.example/mail\"";
        let read = HttpUrl::parse(url);
        let read =
            read.map_err(|error| self.problems.push(&url_key, Some(url.to_owned()), error, remedy)).ok();
        if let Some(url) = read.as_ref().filter(|url| !url.is_tls && !is_of_this_machine(&url.host)) {
            let reason = "in plain text others could read and change the mail";
            self.problems.push(&url_key, Some(url.to_string()), reason, "write https:// instead of http://");
        }
        let secret = match secret {
            Some(secret) => self.secret_source(&secret_key, secret),
            None => {
                let remedy = "write { file = \"PATH\" } or { env = \"VARIABLE\" }";
                self.problems.push(&secret_key, None, "requests are signed, and there is no secret", remedy);
                None
            }
        };
        Some(Endpoint { url: read?, secret: secret? })
    }

    fn hosts(&mut self, key: &str, texts: &[String]) -> Option<NextHop> {
        if texts.is_empty() {
            self.problems.push(
                key,
                None,
                "there is no host",
                "name one at least, such as \"mx.example.net:25\"",
            );
            return None;
        }
        let mut hosts = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match HostPort::parse(text, SMTP_PORT) {
                Ok(host) => hosts.push(host),
                Err(error) => {
                    let remedy = "write host:port, such as \"mx.example.net:25\"";
                    self.problems.push(&format!("{key}[{index}]"), Some(text.clone()), error, remedy);
                }
            }
        }
        (hosts.len() == texts.len()).then_some(NextHop::Hosts(hosts))
    }

    fn absolute(&self, path: &Path) -> std::path::PathBuf {
        let joined = self.folder.join(path);
        std::path::absolute(&joined).unwrap_or(joined)
    }
}

/// What is said to it stays on this machine.
fn is_of_this_machine(host: &HttpHost) -> bool {
    match host {
        HttpHost::Address(address) => address.to_canonical().is_loopback(),
        HttpHost::Name(name) => name == "localhost",
    }
}

/// The port of a host without one (RFC 5321 4.5.4.2).
const SMTP_PORT: u16 = 25;
/// Octets of a hold reason that are kept.
const HOLD_OCTETS_MAX: usize = 200;
