//! Shaping: how much goes where, how fast. Limits for each site of each source, for providers as a whole, and for tenants
//! and streams; rules that turn replies into measures.
//!
//! Invariant: what waits for a limit waits in its own ready queue, or in the queue on disk: it holds up nothing else, and what
//! is more urgent passes it.
//!
//! Invariant: no rule is set off by the relay's own words, only by a peer's reply.

mod limits;
mod pace;
mod provider;
mod rate;
mod rules;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use limits::Limiters;
pub use limits::{Limits, TotalLimits};
pub(crate) use pace::{Pace, Standing, Wait};
pub use provider::{Provider, ProviderMatch};
pub(crate) use rate::Limiter;
pub use rate::{InvalidRate, Rate};
pub use rules::{EnhancedPattern, Rule, RuleAction, RuleScope};
pub(crate) use rules::{Observed, Tallies};
pub(crate) use window::Sign;

/// All settings of shaping.
#[derive(Clone, Debug, Default)]
pub struct ShapingSettings {
    /// What holds at each site by each source where its provider says nothing else.
    pub site: Limits,
    /// The providers; the first that matches is taken.
    pub providers: Vec<Arc<Provider>>,
    /// By the name of a tenant: what all its mail may use.
    pub tenants: HashMap<String, Rate>,
    /// By the name of a stream, or `tenant/stream`.
    pub streams: HashMap<String, Rate>,
    /// Rules for all sites, after those of the provider.
    pub rules: Vec<Arc<Rule>>,
}

impl ShapingSettings {
    /// The provider of that name.
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// Whose mail host that is, as far as its name alone says.
    pub fn provider_of(&self, host: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.is_of(&[host], None))
    }

    /// The rates that a tenant and a stream share over all sites, each with what it is of, in words.
    pub(crate) fn shares(&self, tenant: Option<&str>, stream: Option<&str>) -> Vec<(String, Rate)> {
        let of_tenant = tenant.and_then(|name| {
            self.tenants.get(name).map(|rate| (format!("message rate of tenant {name}"), *rate))
        });
        let full = tenant.zip(stream).map(|(tenant, stream)| format!("{tenant}/{stream}"));
        let names = full.iter().map(String::as_str).chain(stream);
        let of_stream = names
            .filter_map(|name| Some((name, self.streams.get(name)?)))
            .map(|(name, rate)| (format!("message rate of stream {name}"), *rate))
            .next();
        of_tenant.into_iter().chain(of_stream).collect()
    }

    /// What holds at a site of a provider.
    pub(crate) fn limits(&self, provider: Option<&Provider>) -> Limits {
        provider.map_or(self.site, |provider| provider.site.over(&self.site))
    }
}
