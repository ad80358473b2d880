//! Classes of failure and their schedules.

use baton_mail::FailureClass;
use baton_outbound::{ClassRetry, Classes, RetryByClass};

use super::Checker;
use crate::settings::raw::{RawClassRetry, RawRetry};

/// Octets of a file of rules.
const FILE_OCTETS_MAX: u64 = 4 << 20;

impl Checker<'_> {
    /// The rules of the operator's file, which is read now.
    pub(super) fn classes(&mut self, raw: &RawRetry) -> Classes {
        let Some(path) = &raw.classes_file else { return Classes::default() };
        let path = self.folder.join(path);
        let is_large = std::fs::metadata(&path).is_ok_and(|data| data.len() > FILE_OCTETS_MAX);
        let read = match is_large {
            true => Err(format!("is larger than {FILE_OCTETS_MAX} octets")),
            false => std::fs::read_to_string(&path).map_err(|error| error.to_string()),
        };
        let parsed = read.and_then(|text| Classes::parse(&text).map_err(|error| error.to_string()));
        parsed.unwrap_or_else(|problem| {
            let value = Some(path.display().to_string());
            self.problems.push("retry.classes_file", value, problem, "mend the file, or leave the key out");
            Classes::default()
        })
    }

    /// The schedules of the classes that have one.
    pub(super) fn retry_by_class(&mut self, raw: &RawRetry) -> RetryByClass {
        let mut by_class = RetryByClass::default();
        for (name, raw) in &raw.class.0 {
            let key = format!("retry.class.{name}");
            let Some(class) = FailureClass::from_name(name) else {
                let names: Vec<_> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
                let remedy = format!("use one of {}", names.join(", "));
                self.problems.push(&key, Some(name.clone()), "there is no such class", remedy);
                continue;
            };
            let retry = self.class_retry(&key, raw);
            by_class.0.insert(class, retry);
        }
        by_class
    }

    fn class_retry(&mut self, key: &str, raw: &RawClassRetry) -> ClassRetry {
        let mut ms = |name: &str, seconds: Option<f64>| {
            let key = format!("{key}.{name}");
            seconds.map(|value| (self.bound(&key, value, 0.001, 31_622_400.0) * 1_000.0) as u64)
        };
        let (first_ms, max_ms) = (ms("first_s", raw.first_s), ms("max_s", raw.max_s));
        let factor = raw.factor.map(|factor| self.bound(&format!("{key}.factor"), factor, 1.0, 100.0));
        let lifetime = |seconds| self.bound(&format!("{key}.lifetime_s"), seconds, 1, 366 * 86_400);
        let lifetime_ms = raw.lifetime_s.map(lifetime).map(|seconds| seconds * 1_000);
        ClassRetry { first_ms, factor, max_ms, lifetime_ms }
    }
}
