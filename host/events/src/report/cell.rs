//! What is counted, and under which key it is kept.
//!
//! A key is: period, time, dimension, tenant, stream, value. So a part of time is a range, to be read or deleted, and one
//! tenant is a range in each part of time. Texts end with a NUL, which none of them has.

use std::collections::BTreeMap;

use baton_mail::UnixMs;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;

/// How long a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Period {
    Hour = 1,
    Day = 2,
}

impl Period {
    /// In milliseconds.
    pub(super) fn ms(self) -> u64 {
        match self {
            Period::Hour => 3_600_000,
            Period::Day => 86_400_000,
        }
    }

    /// Which period a moment is in, from 1970 on.
    pub(super) fn number(self, at: UnixMs) -> u32 {
        u32::try_from(at.0 / self.ms()).unwrap_or(u32::MAX)
    }

    /// When a period begins.
    pub(super) fn begin(self, number: u32) -> UnixMs {
        UnixMs(u64::from(number) * self.ms())
    }
}

/// By what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Dimension {
    /// All together.
    Total = 1,
    /// Each tag, as name=value.
    Tag = 2,
    /// The recipient's domain.
    Domain = 3,
    /// Who runs the host that spoke, by name where it is known, else the domain of the host.
    Provider = 4,
    /// The source that it left by.
    Source = 5,
    /// The template that it was made of.
    Template = 6,
    /// The class of a failure or the reason of a decision, behind the provider.
    Reason = 7,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Measure {
    Accepted = 0,
    Rejected = 1,
    Delivered = 2,
    Deferred = 3,
    Bounced = 4,
    Expired = 5,
    Suppressed = 6,
    Discarded = 7,
    Removed = 8,
    Quarantined = 9,
    Complained = 10,
    Opened = 11,
    OpenedByProgram = 12,
    Clicked = 13,
    ClickedByProgram = 14,
    Unsubscribed = 15,
    Octets = 16,
}

impl Measure {
    pub(super) const ALL: [Measure; 17] = [
        Measure::Accepted,
        Measure::Rejected,
        Measure::Delivered,
        Measure::Deferred,
        Measure::Bounced,
        Measure::Expired,
        Measure::Suppressed,
        Measure::Discarded,
        Measure::Removed,
        Measure::Quarantined,
        Measure::Complained,
        Measure::Opened,
        Measure::OpenedByProgram,
        Measure::Clicked,
        Measure::ClickedByProgram,
        Measure::Unsubscribed,
        Measure::Octets,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Measure::Accepted => "accepted",
            Measure::Rejected => "rejected",
            Measure::Delivered => "delivered",
            Measure::Deferred => "deferred",
            Measure::Bounced => "bounced",
            Measure::Expired => "expired",
            Measure::Suppressed => "suppressed",
            Measure::Discarded => "discarded",
            Measure::Removed => "removed",
            Measure::Quarantined => "quarantined",
            Measure::Complained => "complained",
            Measure::Opened => "opened",
            Measure::OpenedByProgram => "opened_by_program",
            Measure::Clicked => "clicked",
            Measure::ClickedByProgram => "clicked_by_program",
            Measure::Unsubscribed => "unsubscribed",
            Measure::Octets => "octets",
        }
    }
}

/// Counts of one cell. Kept with the position of each measure, so that later ones can be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cell {
    counts: BTreeMap<u8, u64>,
    /// From the accept to the delivery.
    pub(super) latency: Histogram,
}

impl Cell {
    pub(super) fn add(&mut self, measure: Measure, count: u64) {
        *self.counts.entry(measure as u8).or_default() += count;
    }

    pub(super) fn merge(&mut self, other: &Cell) {
        for (measure, count) in &other.counts {
            *self.counts.entry(*measure).or_default() += count;
        }
        self.latency.merge(&other.latency);
    }

    pub(super) fn get(&self, measure: Measure) -> u64 {
        self.counts.get(&(measure as u8)).copied().unwrap_or(0)
    }
}

/// What the keys of a part of time begin with.
pub(super) fn period_prefix(period: Period, number: u32) -> Vec<u8> {
    let mut key = vec![period as u8];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// What the keys of a group begin with; without a stream those of the whole tenant.
pub(super) fn group_prefix(
    period: Period,
    number: u32,
    dimension: Dimension,
    tenant: Option<&str>,
    stream: Option<&str>,
) -> Vec<u8> {
    let mut key = period_prefix(period, number);
    key.push(dimension as u8);
    let parts = [tenant, stream.filter(|_| tenant.is_some())];
    for part in parts.into_iter().flatten() {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key
}

/// Where the part behind the time begins: dimension, tenant, stream, value.
pub(super) const BEHIND_TIME: usize = 5;

/// The part behind the time, into `key`.
pub(super) fn write_subject(
    key: &mut Vec<u8>,
    dimension: Dimension,
    tenant: &str,
    stream: &str,
    value: &[&str],
) {
    key.clear();
    key.push(dimension as u8);
    for part in [tenant, stream].iter().chain(value) {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
}

/// Tenant, stream and value in a key behind its dimension.
pub(super) fn read_subject(octets: &[u8]) -> Option<Vec<&str>> {
    let text = std::str::from_utf8(octets).ok()?.strip_suffix('\0')?;
    Some(text.split('\0').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_they_were_made_of() {
        let mut subject = Vec::new();
        write_subject(&mut subject, Dimension::Reason, "acme", "", &["big", "quota"]);
        let key = [period_prefix(Period::Hour, 7), subject].concat();
        assert!(key.starts_with(&group_prefix(Period::Hour, 7, Dimension::Reason, Some("acme"), Some(""))));
        assert_eq!(read_subject(&key[BEHIND_TIME + 1..]), Some(vec!["acme", "", "big", "quota"]));
        assert!(period_prefix(Period::Hour, 7) < period_prefix(Period::Hour, 256));
        assert!(period_prefix(Period::Hour, u32::MAX) < period_prefix(Period::Day, 0));
    }

    #[test]
    fn cells_add_up() {
        let mut one = Cell::default();
        one.add(Measure::Delivered, 2);
        one.latency.add(100);
        let mut other = one.clone();
        other.add(Measure::Opened, 1);
        one.merge(&other);
        assert_eq!(
            (one.get(Measure::Delivered), one.get(Measure::Opened), one.get(Measure::Clicked)),
            (4, 1, 0)
        );
    }

    #[test]
    fn measures_stand_where_they_are_kept() {
        for (position, measure) in (0..).zip(Measure::ALL) {
            assert_eq!(measure as u8, position);
        }
    }
}
