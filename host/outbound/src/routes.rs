//! The operator's table: which next hop takes the mail of which domain.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use baton_mail::Domain;

use crate::next_hop::NextHop;

/// Which recipient domains a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DomainPattern {
    /// This domain: `example.org`.
    Exactly(Domain),
    /// All names below it: `*.example.org`.
    Below(Domain),
}

impl FromStr for DomainPattern {
    type Err = baton_mail::address::InvalidAddress;

    fn from_str(text: &str) -> Result<DomainPattern, Self::Err> {
        match text.strip_prefix("*.") {
            Some(parent) => parent.parse().map(DomainPattern::Below),
            None => text.parse().map(DomainPattern::Exactly),
        }
    }
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// The mail hosts of the recipient's domain.
    RecipientMx,
    /// A next hop by its name in the settings.
    Named(String),
}

/// Something for each recipient domain: of the rule for exactly it, else for its nearest parent, else the default.
#[derive(Clone, Debug, Default)]
pub struct DomainTable<T> {
    exactly: HashMap<Domain, T>,
    below: HashMap<Domain, T>,
    default: T,
}

impl<T> DomainTable<T> {
    /// What holds where no rule matches.
    pub fn set_default(&mut self, value: T) {
        self.default = value;
    }

    /// A rule.
    pub fn insert(&mut self, pattern: DomainPattern, value: T) {
        match pattern {
            DomainPattern::Exactly(domain) => self.exactly.insert(domain, value),
            DomainPattern::Below(parent) => self.below.insert(parent, value),
        };
    }

    /// What holds for a domain.
    pub fn find(&self, domain: &Domain) -> &T {
        self.exactly.get(domain).or_else(|| self.find_below(domain)).unwrap_or(&self.default)
    }

    /// What the rules and the default say.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exactly.values().chain(self.below.values()).chain([&self.default])
    }

    fn find_below(&self, domain: &Domain) -> Option<&T> {
        if self.below.is_empty() {
            return None;
        }
        let mut name = domain.as_str();
        while let Some((_, parent)) = name.split_once('.') {
            if let Some(rule) = parent.parse().ok().and_then(|parent: Domain| self.below.get(&parent)) {
                return Some(rule);
            }
            name = parent;
        }
        None
    }
}

/// The checked table. Without rules, everything goes to the mail hosts of its domain.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    next_hops: HashMap<String, Arc<NextHop>>,
    rules: DomainTable<Option<Arc<NextHop>>>,
}

/// A rule names a next hop that is not defined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no next hop named `{0}`")]
pub struct UnknownNextHop(pub String);

impl RouteTable {
    /// A table of named next hops and rules; what no rule matches goes to `default`.
    ///
    /// # Errors
    /// The first name that is not among `next_hops`.
    pub fn new(
        next_hops: HashMap<String, NextHop>,
        rules: &[(DomainPattern, RouteTarget)],
        default: &RouteTarget,
    ) -> Result<RouteTable, UnknownNextHop> {
        let next_hops = next_hops.into_iter().map(|(name, next_hop)| (name, Arc::new(next_hop))).collect();
        let mut table = RouteTable { next_hops, ..RouteTable::default() };
        table.rules.set_default(table.resolve(default)?);
        for (pattern, target) in rules {
            table.rules.insert(pattern.clone(), table.resolve(target)?);
        }
        Ok(table)
    }

    fn resolve(&self, target: &RouteTarget) -> Result<Option<Arc<NextHop>>, UnknownNextHop> {
        match target {
            RouteTarget::RecipientMx => Ok(None),
            RouteTarget::Named(name) => {
                self.named(name).map(Some).ok_or_else(|| UnknownNextHop(name.clone()))
            }
        }
    }

    /// The next hop of that name.
    pub fn named(&self, name: &str) -> Option<Arc<NextHop>> {
        self.next_hops.get(name).cloned()
    }

    /// The next hop for a recipient's domain: the rule for exactly it, else for its nearest parent, else the default.
    pub fn find(&self, domain: &Domain) -> Arc<NextHop> {
        self.rules.find(domain).clone().unwrap_or_else(|| Arc::new(NextHop::Mx(domain.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable {
        let next_hops = HashMap::from([
            ("bin".to_owned(), NextHop::Discard),
            ("wait".to_owned(), NextHop::Hold("by hand".to_owned())),
        ]);
        let rules = [
            ("example.org".parse().unwrap(), RouteTarget::Named("bin".to_owned())),
            ("*.example.org".parse().unwrap(), RouteTarget::Named("wait".to_owned())),
            ("*.far.example.org".parse().unwrap(), RouteTarget::RecipientMx),
        ];
        RouteTable::new(next_hops, &rules, &RouteTarget::RecipientMx).unwrap()
    }

    #[test]
    fn the_nearest_rule_wins() {
        let found = |domain: &str| table().find(&domain.parse().unwrap()).to_string();
        assert_eq!(found("example.org"), "discard");
        assert_eq!(found("sub.example.org"), "hold: by hand");
        assert_eq!(found("a.far.example.org"), "mx of a.far.example.org");
        assert_eq!(found("example.com"), "mx of example.com");
    }

    #[test]
    fn a_rule_must_name_a_known_next_hop() {
        let missing = RouteTarget::Named("missing".to_owned());
        assert_eq!(
            RouteTable::new(HashMap::new(), &[], &missing).err(),
            Some(UnknownNextHop("missing".to_owned()))
        );
    }
}
