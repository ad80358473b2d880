//! What holds for mail of one stream.

use std::collections::HashMap;

use baton_mail::tenant::Requirements;

use super::Checker;
use crate::settings::field::Named;
use crate::settings::raw::RawStreamRules;

impl Checker<'_> {
    pub(super) fn streams(&mut self, raw: &Named<RawStreamRules>) -> HashMap<String, Requirements> {
        raw.0.iter().map(|(name, rules)| (name.clone(), self.stream(name, rules))).collect()
    }

    fn stream(&mut self, name: &str, raw: &RawStreamRules) -> Requirements {
        let given = raw.postal_address.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if raw.require_postal_address && given.is_none() {
            let key = format!("streams.{name}.postal_address");
            let reason = "is missing, and require_postal_address asks for it";
            self.problems.push(&key, None, reason, "write the address as it stands in the mail");
        }
        Requirements {
            unsubscribe: raw.require_unsubscribe,
            postal_address: given.filter(|_| raw.require_postal_address).unwrap_or_default().to_owned(),
        }
    }
}
