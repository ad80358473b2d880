//! Shaping: what is bundled, the operator's file and the settings themselves become one; and plans of warm-up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::FailureClass;
use baton_outbound::{
    Limits, Provider, ProviderMatch, Rate, Rule, RuleAction, RuleScope, ShapingSettings, TotalLimits,
    WarmupPlan,
};
use regex::Regex;

use super::Checker;
use crate::settings::field::{Field, Named};
use crate::settings::problem::{Problem, Problems};
use crate::settings::raw::{Raw, RawProvider, RawRule, RawShaping, RawWarmup};
use crate::settings::{read_file, tree};

/// What the relay brings along.
const BUNDLED: &str = include_str!("../shaping.toml");
/// What is right where a rate is meant.
const RATE_REMEDY: &str = "write such as \"100/m\", \"10/s\" or \"500/h,burst=20\"";

impl Checker<'_> {
    pub(super) fn shaping(&mut self, raw: &Raw) -> ShapingSettings {
        let mut whole = raw.shaping.clone();
        if let Some(file) = &raw.shaping.file {
            let path = self.folder.join(file);
            let read = read_file(&path).and_then(|text| read_layer(&text));
            match read {
                Ok(layer) => whole = over(whole, layer),
                Err(problems) => {
                    for problem in problems.iter() {
                        let Problem { key, line, value, reason, remedy } = problem.clone();
                        let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
                        let place = if key.is_empty() { String::new() } else { format!("{key}: ") };
                        let reason = format!("{place}{reason} (in {}{line})", path.display());
                        self.problems.push("shaping.file", value, reason, remedy);
                    }
                }
            }
        }
        if raw.shaping.bundled {
            // The tests read it.
            whole = over(whole, read_layer(BUNDLED).unwrap_or_default());
        }
        self.checked_shaping(&whole)
    }

    fn checked_shaping(&mut self, raw: &RawShaping) -> ShapingSettings {
        let site = Limits {
            connections: raw.connections,
            connection_rate: self.rate("shaping.connection_rate", raw.connection_rate.as_deref()),
            message_rate: self.rate("shaping.message_rate", raw.message_rate.as_deref()),
            messages_per_connection: raw.messages_per_connection,
            recipients_per_message: raw.recipients_per_message,
        };
        ShapingSettings {
            site,
            providers: raw.providers.0.iter().map(|(name, provider)| self.provider(name, provider)).collect(),
            tenants: self.rates("shaping.tenants", &raw.tenants),
            streams: self.rates("shaping.streams", &raw.streams),
            rules: self.rules("shaping", &raw.rules),
        }
    }

    fn rates(&mut self, key: &str, raw: &Named<String>) -> HashMap<String, Rate> {
        let mut rates = HashMap::new();
        for (name, text) in &raw.0 {
            if let Some(rate) = self.rate(&format!("{key}.{name}"), Some(text)) {
                rates.insert(name.clone(), rate);
            }
        }
        rates
    }

    fn rate(&mut self, key: &str, text: Option<&str>) -> Option<Rate> {
        text.and_then(|text| self.parse(key, text, RATE_REMEDY))
    }

    fn provider(&mut self, name: &str, raw: &RawProvider) -> Arc<Provider> {
        let key = format!("shaping.providers.{name}");
        let at = |member: &str| format!("{key}.{member}");
        let name_remedy = "write a host name";
        let suffixes = self.parse_all(&at("mx_suffixes"), &raw.mx_suffixes, name_remedy);
        let hosts = self.parse_all(&at("mx_hosts"), &raw.mx_hosts, name_remedy);
        let domains = self.parse_all(&at("domains"), &raw.domains, "write a domain or *.domain");
        let suffixes = suffixes.into_iter().map(ProviderMatch::MxSuffix);
        let hosts = hosts.into_iter().map(ProviderMatch::MxHost);
        let matches: Vec<_> =
            suffixes.chain(hosts).chain(domains.into_iter().map(ProviderMatch::Domain)).collect();
        if raw.mx_suffixes.is_empty() && raw.mx_hosts.is_empty() && raw.domains.is_empty() {
            let remedy = "name mx_suffixes, mx_hosts or domains";
            self.problems.push(&key, None, "nothing says who it is", remedy);
        }
        Arc::new(Provider {
            name: name.to_owned(),
            matches,
            site: Limits {
                connections: raw.connections,
                connection_rate: self.rate(&at("connection_rate"), raw.connection_rate.as_deref()),
                message_rate: self.rate(&at("message_rate"), raw.message_rate.as_deref()),
                messages_per_connection: raw.messages_per_connection,
                recipients_per_message: raw.recipients_per_message,
            },
            total: TotalLimits {
                connections: raw.total_connections,
                connection_rate: self
                    .rate(&at("total_connection_rate"), raw.total_connection_rate.as_deref()),
                message_rate: self.rate(&at("total_message_rate"), raw.total_message_rate.as_deref()),
            },
            rules: self.rules(&key, &raw.rules),
        })
    }

    fn rules(&mut self, key: &str, raw: &[RawRule]) -> Vec<Arc<Rule>> {
        let rule = |(index, rule): (usize, &RawRule)| self.rule(&format!("{key}.rules[{index}]"), rule);
        raw.iter().enumerate().filter_map(rule).map(Arc::new).collect()
    }

    fn rule(&mut self, key: &str, raw: &RawRule) -> Option<Rule> {
        let at = |member: &str| format!("{key}.{member}");
        self.name(key, &raw.name);
        if raw.codes.is_empty() && raw.enhanced.is_none() && raw.classes.is_empty() && raw.text.is_none() {
            let remedy = "name codes, enhanced, classes or text";
            self.problems.push(key, None, "it fits every reply", remedy);
        }
        let enhanced = raw.enhanced.as_deref();
        let enhanced = enhanced.and_then(|text| self.parse(&at("enhanced"), text, "write such as \"4.7.*\""));
        let text = raw.text.as_deref();
        let text: Option<Regex> =
            text.and_then(|text| self.parse(&at("text"), text, "write a regular expression"));
        let threshold = self.rate(&at("threshold"), raw.threshold.as_deref()).unwrap_or(Rate::new(1, 1));
        let classes = raw.classes.iter().enumerate().filter_map(|(index, name)| {
            let class = FailureClass::from_name(name);
            if class.is_none() {
                let known: Vec<_> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
                let remedy = format!("write one of {}", known.join(", "));
                let key = format!("{}[{index}]", at("classes"));
                self.problems.push(&key, Some(name.clone()), "there is no such class", remedy);
            }
            class
        });
        let classes = classes.collect();
        Some(Rule {
            name: raw.name.clone(),
            codes: raw.codes.clone(),
            enhanced,
            classes,
            text,
            threshold: threshold.count,
            within: Duration::from_secs(u64::from(threshold.period_s)),
            action: self.action(key, raw)?,
            lasts: self.span(&at("lasts"), &raw.lasts)?,
        })
    }

    fn action(&mut self, key: &str, raw: &RawRule) -> Option<RuleAction> {
        let scopes = [
            ("source", RuleScope::Source),
            ("site", RuleScope::Site),
            ("tenant", RuleScope::Tenant),
            ("stream", RuleScope::Stream),
        ];
        let scope = self.choose(&format!("{key}.scope"), &raw.scope, &scopes)?;
        let factor = self.bound(&format!("{key}.factor"), raw.factor, 1.0, 1_000.0);
        let actions = [
            ("suspend", RuleAction::Suspend(scope)),
            ("slow-down", RuleAction::SlowDown(factor)),
            ("other-source", RuleAction::OtherSource),
            ("bounce", RuleAction::Bounce),
        ];
        self.choose(&format!("{key}.action"), &raw.action, &actions)
    }

    /// A span such as `10m`: the period of a rate of one.
    fn span(&mut self, key: &str, text: &str) -> Option<Duration> {
        match format!("1/{text}").parse::<Rate>() {
            Ok(rate) => Some(Duration::from_secs(u64::from(rate.period_s))),
            Err(_) => {
                let remedy = "write such as \"10m\", \"6h\" or \"1d\"";
                self.problems.push(key, Some(text.to_owned()), "not a span of time", remedy);
                None
            }
        }
    }

    /// The plans by name.
    pub(super) fn warmup_plans(&mut self, raw: &Raw) -> HashMap<String, Arc<WarmupPlan>> {
        raw.warmup
            .0
            .iter()
            .map(|(name, plan)| (name.clone(), Arc::new(self.warmup_plan(name, plan))))
            .collect()
    }

    fn warmup_plan(&mut self, name: &str, raw: &RawWarmup) -> WarmupPlan {
        let key = format!("warmup.{name}");
        self.name(&key, name);
        if raw.days.is_empty() {
            self.problems.push(
                &format!("{key}.days"),
                None,
                "there is no day",
                "write such as [50, 100, 200]",
            );
        }
        let mut share = |member: &str, value: f64| self.bound(&format!("{key}.{member}"), value, 0.0, 1.0);
        WarmupPlan {
            name: name.to_owned(),
            days: raw.days.clone(),
            by_provider: raw.providers.0.iter().cloned().collect(),
            deferred_share_max: share("deferred_share_max", raw.deferred_share_max),
            complaints_share_max: share("complaints_share_max", raw.complaints_share_max),
        }
    }
}

/// One layer, from its text.
fn read_layer(text: &str) -> Result<RawShaping, Problems> {
    let tree = tree::parse(text)?;
    let mut problems = Problems::default();
    let read = RawShaping::read(&tree, "", &mut problems).unwrap_or_default();
    if problems.is_empty() { Ok(read) } else { Err(problems.locate(|key| tree.line_of(key))) }
}

/// Two layers as one; `upper` goes first, key by key.
fn over(upper: RawShaping, lower: RawShaping) -> RawShaping {
    let mut providers = upper.providers.0;
    for (name, below) in lower.providers.0 {
        match providers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, above)) => *above = provider_over(std::mem::take(above), below),
            None => providers.push((name, below)),
        }
    }
    RawShaping {
        connections: upper.connections.or(lower.connections),
        connection_rate: upper.connection_rate.or(lower.connection_rate),
        message_rate: upper.message_rate.or(lower.message_rate),
        messages_per_connection: upper.messages_per_connection.or(lower.messages_per_connection),
        recipients_per_message: upper.recipients_per_message.or(lower.recipients_per_message),
        tenants: named_over(upper.tenants, lower.tenants),
        streams: named_over(upper.streams, lower.streams),
        providers: Named(providers),
        rules: rules_over(upper.rules, lower.rules),
        ..upper
    }
}

fn provider_over(upper: RawProvider, lower: RawProvider) -> RawProvider {
    let list = |upper: Vec<String>, lower: Vec<String>| if upper.is_empty() { lower } else { upper };
    RawProvider {
        mx_suffixes: list(upper.mx_suffixes, lower.mx_suffixes),
        mx_hosts: list(upper.mx_hosts, lower.mx_hosts),
        domains: list(upper.domains, lower.domains),
        connections: upper.connections.or(lower.connections),
        connection_rate: upper.connection_rate.or(lower.connection_rate),
        message_rate: upper.message_rate.or(lower.message_rate),
        messages_per_connection: upper.messages_per_connection.or(lower.messages_per_connection),
        recipients_per_message: upper.recipients_per_message.or(lower.recipients_per_message),
        total_connections: upper.total_connections.or(lower.total_connections),
        total_connection_rate: upper.total_connection_rate.or(lower.total_connection_rate),
        total_message_rate: upper.total_message_rate.or(lower.total_message_rate),
        rules: rules_over(upper.rules, lower.rules),
    }
}

fn named_over<T>(upper: Named<T>, lower: Named<T>) -> Named<T> {
    let mut all = upper.0;
    for (name, value) in lower.0 {
        if all.iter().all(|(known, _)| *known != name) {
            all.push((name, value));
        }
    }
    Named(all)
}

/// Upper rules come first, and one takes the place of a lower one of the same name.
fn rules_over(upper: Vec<RawRule>, lower: Vec<RawRule>) -> Vec<RawRule> {
    let mut all = upper;
    for rule in lower {
        if all.iter().all(|known| known.name != rule.name) {
            all.push(rule);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::load_text;

    fn shaping(text: &str) -> Arc<ShapingSettings> {
        load_text(text, Path::new("")).unwrap_or_else(|problems| panic!("{problems}")).outbound.shaping
    }

    #[test]
    fn what_is_bundled_is_sound_and_can_be_left_out() {
        assert!(read_layer(BUNDLED).is_ok_and(|layer| layer.providers.0.len() > 15));
        let shaping = shaping("");
        let google = shaping.provider("google").unwrap();
        assert_eq!(google.site.messages_per_connection, Some(50));
        assert!(!google.rules.is_empty() && !shaping.rules.is_empty());
        let without = self::shaping("[shaping]\nbundled = false\n");
        assert!(without.providers.is_empty() && without.rules.is_empty());
    }

    #[test]
    fn the_operators_words_go_first_key_by_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = "[providers.google]\nconnections = 4\nmessage_rate = \"100/m\"\n[[rules]]\nname = \"source-blocked\"\ncodes = [554]\nlasts = \"1d\"\n";
        std::fs::write(folder.path().join("shaping.toml"), file).unwrap();
        let text = "[shaping]\nfile = \"shaping.toml\"\n[shaping.providers.google]\nconnections = 2\n";
        let checked = load_text(text, folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
        let shaping = checked.outbound.shaping;
        let google = shaping.provider("google").unwrap();
        assert_eq!(google.site.connections, Some(2));
        assert_eq!(google.site.message_rate, Some(Rate::new(100, 60)));
        assert_eq!(google.site.messages_per_connection, Some(50), "as it is bundled");
        assert_eq!(shaping.rules.len(), 1);
        assert_eq!(shaping.rules[0].lasts, Duration::from_secs(86_400));
    }

    #[test]
    fn all_mistakes_are_told() {
        let text = "[shaping]\nmessage_rate = \"fast\"\n[[shaping.rules]]\nname = \"x\"\naction = \"panic\"\ntext = \"(\"\nclasses = [\"odd\"]\n[sources.a]\nwarmup = \"none\"\nproxy = \"http://x\"\n[pools.p]\nsources = { b = 1 }\n";
        let problems = load_text(text, Path::new("")).unwrap_err().to_string();
        for key in [
            "shaping.message_rate",
            "shaping.rules[0].action",
            "shaping.rules[0].text",
            "shaping.rules[0].classes[0]",
            "sources.a.warmup",
            "sources.a.proxy",
            "pools.p.sources.b",
        ] {
            assert!(problems.contains(key), "{key} is not in\n{problems}");
        }
    }
}
