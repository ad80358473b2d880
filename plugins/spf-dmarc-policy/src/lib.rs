//! Acts on the authentication results that a trusted host found (SPF, DKIM, DMARC; RFC 8601).
//!
//! Invariant: a field counts only when its authserv-id is trusted and the message came from a host that adds such fields:
//! anybody can write one.
//! Invariant: of several fields with results of one method, only the topmost counts.

mod action;
mod results;

use std::collections::BTreeMap;

use baton_sdk::net::Network;
use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;

use action::{Action, ActionConfig};
use results::{Field, Outcome};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Names by which trusted hosts sign their results (authserv-id).
    pub trusted: Vec<String>,
    /// Networks of hosts that add such fields, and remove those of strangers.
    pub from_networks: Vec<Network>,
    /// What is done, by method and result: `"spf.fail"`, `"dkim.none"`, `"dmarc.fail"`; `"missing"` when there is no trusted field.
    #[serde(default)]
    pub on: BTreeMap<String, ActionConfig>,
    /// Do as the domain's DMARC policy says when DMARC fails, where the field tells the policy.
    #[serde(default = "default_true")]
    pub dmarc_policy: bool,
    /// The reply to mail that its DMARC policy wants refused (5xx); `{domain}` is filled in.
    #[serde(default = "default_reply")]
    pub reply: Reply,
    /// Senders to whom nothing is done.
    #[serde(default)]
    pub exempt_senders: Vec<Pattern>,
}

/// The plugin.
pub struct SpfDmarcPolicy {
    trusted: Vec<String>,
    from_networks: Vec<Network>,
    on: BTreeMap<String, Action>,
    dmarc_policy: bool,
    reply: Reply,
    exempt_senders: Vec<Pattern>,
}

#[baton_sdk::plugin]
impl Plugin for SpfDmarcPolicy {
    type Config = Config;

    fn new(config: Config) -> Result<SpfDmarcPolicy, Problems> {
        let mut problems = Problems::default();
        if config.trusted.is_empty() {
            problems.add("trusted", "no field would count");
        }
        if config.from_networks.is_empty() {
            problems.add("from_networks", "no field would count");
        }
        if !config.reply.is_permanent() {
            problems.add("reply", "needs a 5xx reply");
        }
        let mut on = BTreeMap::new();
        for (key, action) in config.on {
            let path = ["on.", &key].concat();
            if key != "missing" && !is_method_and_result(&key) {
                problems.add(path, "write spf.fail, dkim.none, dmarc.fail … or missing");
                continue;
            }
            match Action::read(action) {
                Ok(action) => drop(on.insert(key, action)),
                Err(error) => problems.add(path, error.message()),
            }
        }
        problems.finish(SpfDmarcPolicy {
            trusted: config.trusted,
            from_networks: config.from_networks,
            on,
            dmarc_policy: config.dmarc_policy,
            reply: config.reply,
            exempt_senders: config.exempt_senders,
        })
    }
}

#[baton_sdk::hook]
impl Data for SpfDmarcPolicy {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        let is_trusted_host = |address| self.from_networks.iter().any(|network| network.contains(address));
        if !cx.session().remote_ip().is_some_and(is_trusted_host) || self.is_exempt(cx) {
            return next();
        }
        let found = self.found(cx);
        if found.is_empty() {
            return self.act(cx, "missing", "");
        }
        if let Some(decision) = self.by_dmarc_policy(cx, &found) {
            return Ok(decision);
        }
        for (method, outcomes) in &found {
            let result = best(outcomes);
            cx.metrics().count("results", 1, &[("method", method), ("result", result)]);
            let decision = self.act(cx, &[method, ".", result].concat(), &domain(cx, outcomes))?;
            if decision != DataDecision::Next {
                return Ok(decision);
            }
        }
        next()
    }
}

impl SpfDmarcPolicy {
    fn is_exempt(&self, cx: &Context) -> bool {
        let sender = cx.envelope().sender();
        sender.is_some_and(|sender| self.exempt_senders.iter().any(|pattern| pattern.matches(&sender)))
    }

    /// The results of each method, of the topmost trusted field that has some.
    fn found(&self, cx: &Context) -> BTreeMap<String, Vec<Outcome>> {
        let mut found: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
        for value in cx.message().headers("Authentication-Results") {
            let Some(field) = Field::read(&value) else { continue };
            if !self.trusted.iter().any(|trusted| trusted.eq_ignore_ascii_case(&field.authserv_id)) {
                continue;
            }
            let mut of_field: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
            for outcome in field.outcomes {
                of_field.entry(outcome.method.clone()).or_default().push(outcome);
            }
            for (method, outcomes) in of_field {
                found.entry(method).or_insert(outcomes);
            }
        }
        found
    }

    fn by_dmarc_policy(&self, cx: &Context, found: &BTreeMap<String, Vec<Outcome>>) -> Option<DataDecision> {
        let outcomes = found.get("dmarc").filter(|outcomes| self.dmarc_policy && best(outcomes) == "fail")?;
        let policy = outcomes.iter().find_map(Outcome::policy)?;
        let domain = domain(cx, outcomes);
        let decision = match policy.as_str() {
            "reject" => DataDecision::Reject(action::filled(&self.reply, &domain)),
            "quarantine" => DataDecision::Quarantine(["DMARC policy of ", &domain].concat()),
            _ => return None,
        };
        cx.metrics().count("by_policy", 1, &[("policy", &policy)]);
        Some(decision)
    }

    fn act(&self, cx: &Context, key: &str, domain: &str) -> Result<DataDecision> {
        match self.on.get(key) {
            Some(action) => action.carry_out(cx, key, domain),
            None => next(),
        }
    }
}

/// What counts of several results of one method: one signature that holds is enough (RFC 6376 6.1).
fn best(outcomes: &[Outcome]) -> &str {
    let passed = outcomes.iter().find(|outcome| outcome.result == "pass");
    passed.or(outcomes.first()).map(|outcome| outcome.result.as_str()).unwrap_or_default()
}

/// The domain that the results are about: of the author, or of what was checked.
fn domain(cx: &Context, outcomes: &[Outcome]) -> String {
    let named = outcomes.iter().find_map(|outcome| {
        let names = ["header.from", "smtp.mailfrom", "smtp.helo", "header.d"];
        names.iter().find_map(|name| outcome.property(name))
    });
    let address =
        named.map(str::to_owned).or_else(|| cx.message().addresses("From").pop().map(|(_, address)| address));
    let address = address.unwrap_or_default();
    address.rsplit('@').next().unwrap_or_default().to_ascii_lowercase()
}

fn is_method_and_result(key: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')
    };
    key.split_once('.').is_some_and(|(method, result)| word(method) && word(result))
}

fn default_true() -> bool {
    true
}

/// RFC 7372 3.2 has 5.7.26 for several failed checks.
fn default_reply() -> Reply {
    Reply {
        code: 550,
        enhanced: Some((5, 7, 26)),
        text: "mail from {domain} fails its DMARC policy".to_owned(),
    }
}

#[cfg(test)]
mod tests;
