//! Providers: those who receive mail for many domains, known by the names of their mail hosts or by domain.

use std::sync::Arc;

use baton_mail::Domain;

use super::limits::{Limits, TotalLimits};
use super::rules::Rule;
use crate::routes::DomainPattern;

/// One provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in the settings.
    pub name: String,
    /// How it is known; one of them is enough.
    pub matches: Vec<ProviderMatch>,
    /// What holds at each of its sites by each source.
    pub site: Limits,
    /// What holds for all of its sites, by all sources together.
    pub total: TotalLimits,
    /// What its replies lead to.
    pub rules: Vec<Arc<Rule>>,
}

/// How a provider is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderMatch {
    /// All mail hosts are this name, or below it.
    MxSuffix(Domain),
    /// All mail hosts have this very name.
    MxHost(Domain),
    /// The recipients' domain.
    Domain(DomainPattern),
}

impl Provider {
    /// True when mail to these hosts, for this domain, is for the provider.
    pub(crate) fn is_of(&self, hosts: &[&str], domain: Option<&Domain>) -> bool {
        let all = |fits: &dyn Fn(&str) -> bool| !hosts.is_empty() && hosts.iter().all(|host| fits(host));
        self.matches.iter().any(|known| match known {
            ProviderMatch::MxSuffix(suffix) => all(&|host| is_below(host, suffix.as_str())),
            ProviderMatch::MxHost(name) => all(&|host| host == name.as_str()),
            ProviderMatch::Domain(pattern) => domain.is_some_and(|domain| match pattern {
                DomainPattern::Exactly(name) => name == domain,
                DomainPattern::Below(parent) => {
                    domain != parent && is_below(domain.as_str(), parent.as_str())
                }
            }),
        })
    }
}

/// True when the name is `parent` or ends with its labels.
fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_known_by_all_their_hosts() {
        let known = |matches| Provider {
            name: "big".to_owned(),
            matches: vec![matches],
            site: Limits::default(),
            total: TotalLimits::default(),
            rules: Vec::new(),
        };
        let suffix = known(ProviderMatch::MxSuffix("big.example".parse().unwrap()));
        assert!(suffix.is_of(&["mx1.big.example", "mx2.big.example"], None));
        assert!(!suffix.is_of(&["mx1.big.example", "mx.small.example"], None), "all of them");
        assert!(!suffix.is_of(&["mx.toobig.example"], None), "by whole labels");
        assert!(!suffix.is_of(&[], None));
        let host = known(ProviderMatch::MxHost("mx.big.example".parse().unwrap()));
        assert!(host.is_of(&["mx.big.example"], None) && !host.is_of(&["a.mx.big.example"], None));
        let domain: Domain = "fr.big.example".parse().unwrap();
        assert!(known(ProviderMatch::Domain("*.big.example".parse().unwrap())).is_of(&[], Some(&domain)));
        assert!(!known(ProviderMatch::Domain("big.example".parse().unwrap())).is_of(&[], Some(&domain)));
    }
}
