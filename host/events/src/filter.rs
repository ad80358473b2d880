//! Which events somebody wants.

use baton_store::{Facts, Told};
use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::shown::{Shown, shown};

/// What is wanted; what is empty or none is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    /// Whose mail. None: everybody's.
    pub tenant: Option<String>,
    /// Which streams of that tenant. Empty: all, and mail of none.
    pub streams: Vec<String>,
    /// Which kinds. Empty: all that those who send want to know.
    pub kinds: Vec<Kind>,
    /// Which tag: name, value.
    pub tag: Option<(String, String)>,
    /// Which recipient, in any case of its letters.
    pub recipient: Option<String>,
}

impl EventFilter {
    /// The events of a record that are wanted.
    pub fn of<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = Shown<'a>> {
        let is_meant = self.means(&told.facts);
        is_meant.then(|| shown(told)).into_iter().flatten().filter(|shown| self.wants(shown))
    }

    /// Whether the message is one of those.
    fn means(&self, facts: &Facts) -> bool {
        let is_its = |tenant: &String| facts.tenant.as_ref() == Some(tenant);
        let is_in = || facts.stream.as_ref().is_some_and(|stream| self.streams.contains(stream));
        self.tenant.as_ref().is_none_or(is_its)
            && (self.streams.is_empty() || is_in())
            && self.tag.as_ref().is_none_or(|tag| facts.tags.contains(tag))
    }

    fn wants(&self, shown: &Shown<'_>) -> bool {
        let is_wanted = match self.kinds.as_slice() {
            [] => shown.kind.is_for_senders(),
            kinds => kinds.contains(&shown.kind),
        };
        is_wanted
            && self.recipient.as_ref().is_none_or(|wanted| {
                shown.recipient.is_some_and(|own| own.to_string().eq_ignore_ascii_case(wanted))
            })
    }
}
