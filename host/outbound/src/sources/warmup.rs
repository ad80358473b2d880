//! Warm-up: a new source sends a little more each day, to each provider by its own table. What is too much for it goes by the
//! other sources of its pool, or waits.
//!
//! Invariant: a day's allowance is spread over the day. The plan goes on by a day only when the day before was used and went
//! well; deferrals or complaints above their shares hold it, and far above stop it until the next day.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use baton_mail::UnixMs;
use baton_store::{Kv, KvError};
use parking_lot::Mutex;

use super::{Source, SourceSettings};
use crate::site::Destination;

/// The bucket of the positions. No plugin can have one of this name.
const BUCKET: &str = "#warmup";
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// How far the allowance runs ahead of the day.
const AHEAD_MS: u64 = DAY_MS / 24;
/// Messages of a day before its shares mean anything.
const SHARE_MESSAGES_MIN: u32 = 20;
/// Above so many times its share, sending stops for the day.
const STOP_FACTOR: f64 = 2.0;

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmupPlan {
    /// Its name in the settings.
    pub name: String,
    /// Messages of each day to each provider that has no table of its own. After the last day, a source is warm.
    pub days: Vec<u32>,
    /// Tables of providers, by name.
    pub by_provider: HashMap<String, Vec<u32>>,
    /// The part of deferred messages that holds the plan, from 0 to 1.
    pub deferred_share_max: f64,
    /// The part of complaints that holds the plan, from 0 to 1.
    pub complaints_share_max: f64,
}

impl WarmupPlan {
    /// The messages of a day, from 0 on; none when it is over.
    pub fn allowance(&self, provider: &str, day: u32) -> Option<u32> {
        self.by_provider.get(provider).unwrap_or(&self.days).get(day as usize).copied()
    }
}

/// Where a source stands in its plan at one provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The day of the plan, from 0 on.
    pub day: u32,
    /// The date that it began to be counted, in days since 1970.
    pub date: u64,
    /// Messages sent on that date.
    pub sent: u32,
    /// Of which so many were deferred by the provider.
    pub deferred: u32,
    /// And so many were complained about.
    pub complaints: u32,
}

/// What a position means for the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmupState {
    /// The plan is over.
    Warm,
    /// It may send.
    Open,
    /// It may send again then: the day's allowance is spread over the day.
    Spread(UnixMs),
    /// The day's allowance is used; it may send again then.
    Used(UnixMs),
    /// Deferrals or complaints are far above their share; it may send again then.
    Stopped(UnixMs),
}

impl Position {
    /// The position at `now`: a new date begins a new count, and goes on in the plan when the one before went well.
    pub fn at(self, plan: &WarmupPlan, now: UnixMs) -> Position {
        let today = now.0 / DAY_MS;
        if self.date >= today {
            return self;
        }
        let goes_on = self.sent > 0 && self.excess(plan) <= 1.0;
        Position { day: self.day.saturating_add(u32::from(goes_on)), date: today, ..Position::default() }
    }

    /// What it means for the next message.
    pub fn state(&self, plan: &WarmupPlan, provider: &str, now: UnixMs) -> WarmupState {
        let Some(allowance) = plan.allowance(provider, self.day) else { return WarmupState::Warm };
        let midnight = UnixMs((self.date + 1).saturating_mul(DAY_MS));
        if self.excess(plan) > STOP_FACTOR {
            return WarmupState::Stopped(midnight);
        }
        if self.sent >= allowance {
            return WarmupState::Used(midnight);
        }
        // The next one is due when its part of the day has come, an hour early.
        let into_day_ms = u64::from(self.sent).saturating_mul(DAY_MS) / u64::from(allowance.max(1));
        let due = UnixMs((self.date * DAY_MS).saturating_add(into_day_ms).saturating_sub(AHEAD_MS));
        if due > now { WarmupState::Spread(due) } else { WarmupState::Open }
    }

    /// By how much deferrals or complaints are above their shares; up to 1 is well.
    fn excess(&self, plan: &WarmupPlan) -> f64 {
        if self.sent < SHARE_MESSAGES_MIN {
            return 0.0;
        }
        let part = |count: u32, share: f64| f64::from(count) / f64::from(self.sent) / share.max(0.000_001);
        part(self.deferred, plan.deferred_share_max).max(part(self.complaints, plan.complaints_share_max))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { day, date, sent, deferred, complaints } = self;
        write!(formatter, "{day} {date} {sent} {deferred} {complaints}")
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Position, ()> {
        let mut words = text.split(' ');
        let mut next = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or(());
        let (day, date, sent, deferred, complaints) = (next()?, next()?, next()?, next()?, next()?);
        let small = |number: u64| u32::try_from(number).map_err(|_| ());
        Ok(Position {
            day: small(day)?,
            date,
            sent: small(sent)?,
            deferred: small(deferred)?,
            complaints: small(complaints)?,
        })
    }
}

/// All positions.
#[derive(Debug, Default)]
pub(crate) struct Warmups(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    positions: HashMap<(String, String), Position>,
    /// Those that changed since they were saved.
    changed: HashSet<(String, String)>,
}

impl Warmups {
    /// When a source may send to a place again; none when it may now.
    pub(crate) fn next_room(
        &self,
        settings: &SourceSettings,
        source: &Source,
        place: &Destination,
        now: UnixMs,
    ) -> Option<UnixMs> {
        let plan = settings.warmups.get(&source.name)?;
        let provider = place.provider_name();
        let position = self.position(plan, &source.name, provider, now);
        match position.state(plan, provider, now) {
            WarmupState::Warm | WarmupState::Open => None,
            WarmupState::Spread(at) | WarmupState::Used(at) | WarmupState::Stopped(at) => Some(at),
        }
    }

    /// Where a source stands at a provider.
    pub(crate) fn position(&self, plan: &WarmupPlan, source: &str, provider: &str, now: UnixMs) -> Position {
        let key = (source.to_owned(), provider.to_owned());
        self.0.lock().positions.get(&key).copied().unwrap_or_default().at(plan, now)
    }

    /// The providers at which a source has a position.
    pub(crate) fn providers(&self, source: &str) -> Vec<String> {
        let table = self.0.lock();
        let of_source = table.positions.keys().filter(|(name, _)| name == source);
        let mut providers: Vec<String> = of_source.map(|(_, provider)| provider.clone()).collect();
        providers.sort();
        providers
    }

    /// Counts a message that is about to go.
    pub(crate) fn reserve(
        &self,
        settings: &SourceSettings,
        source: &Source,
        place: &Destination,
        now: UnixMs,
    ) {
        self.change(settings, &source.name, place.provider_name(), |position, plan| {
            *position = position.at(plan, now);
            position.sent = position.sent.saturating_add(1);
        });
    }

    /// A message that was counted did not go.
    pub(crate) fn refund(&self, settings: &SourceSettings, source: &Source, place: &Destination) {
        self.change(settings, &source.name, place.provider_name(), |position, _| {
            position.sent = position.sent.saturating_sub(1);
        });
    }

    /// A message was deferred by the provider.
    pub(crate) fn note_deferred(&self, settings: &SourceSettings, source: &Source, place: &Destination) {
        self.change(settings, &source.name, place.provider_name(), |position, _| {
            position.deferred = position.deferred.saturating_add(1);
        });
    }

    /// So many messages were complained about. False when the source has no plan.
    pub(crate) fn note_complaints(
        &self,
        settings: &SourceSettings,
        source: &str,
        provider: &str,
        count: u32,
    ) -> bool {
        self.change(settings, source, provider, |position, _| {
            position.complaints = position.complaints.saturating_add(count);
        })
    }

    fn change(
        &self,
        settings: &SourceSettings,
        source: &str,
        provider: &str,
        change: impl FnOnce(&mut Position, &WarmupPlan),
    ) -> bool {
        let Some(plan) = settings.warmups.get(source) else { return false };
        let key = (source.to_owned(), provider.to_owned());
        let mut table = self.0.lock();
        change(table.positions.entry(key.clone()).or_default(), plan);
        table.changed.insert(key);
        true
    }

    /// Writes what changed.
    pub(crate) async fn save(&self, kv: &Kv) -> Result<(), KvError> {
        let changed: Vec<_> = {
            let mut table = self.0.lock();
            let changed = std::mem::take(&mut table.changed);
            changed.into_iter().filter_map(|key| Some((table.positions.get(&key).copied()?, key))).collect()
        };
        for (position, (source, provider)) in changed {
            let key = format!("{source}/{provider}");
            kv.set(BUCKET, &key, position.to_string().as_bytes(), None).await?;
        }
        Ok(())
    }

    /// Reads what was kept over a restart.
    pub(crate) async fn load(&self, kv: &Kv) -> Result<(), KvError> {
        let mut cursor = None;
        loop {
            let page = kv.scan(BUCKET, "", cursor.as_deref(), baton_store::kv::SCAN_KEYS_MAX).await?;
            for key in &page.keys {
                let value = kv.get(BUCKET, key).await?.unwrap_or_default();
                let position = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
                if let (Some((source, provider)), Some(position)) = (key.split_once('/'), position) {
                    let key = (source.to_owned(), provider.to_owned());
                    self.0.lock().positions.entry(key).or_insert(position);
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}

/// A plan of a source, as operators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmupRow {
    /// The source.
    pub source: String,
    /// Its plan.
    pub plan: Arc<WarmupPlan>,
    /// The provider.
    pub provider: String,
    /// Where it stands there.
    pub position: Position,
    /// What that means.
    pub state: WarmupState,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> WarmupPlan {
        WarmupPlan {
            name: "slow".to_owned(),
            days: vec![24, 48],
            by_provider: HashMap::from([("big".to_owned(), vec![2])]),
            deferred_share_max: 0.1,
            complaints_share_max: 0.01,
        }
    }

    const BEGIN: UnixMs = UnixMs(20_000 * DAY_MS);

    fn later(hours: u64) -> UnixMs {
        UnixMs(BEGIN.0 + hours * DAY_MS / 24)
    }

    /// Sends as much as it may, hour by hour.
    fn day_of(mut position: Position, from: u64) -> Position {
        for hour in from..from + 24 {
            position = position.at(&plan(), later(hour));
            while position.state(&plan(), "other", later(hour)) == WarmupState::Open {
                position.sent += 1;
            }
        }
        position
    }

    #[test]
    fn a_day_is_spread_and_the_next_is_larger_until_it_is_warm() {
        let first = Position::default().at(&plan(), BEGIN);
        let mut position = first;
        while position.state(&plan(), "other", BEGIN) == WarmupState::Open {
            position.sent += 1;
        }
        assert_eq!(position.sent, 2, "an hour ahead");
        assert_eq!(position.state(&plan(), "other", BEGIN), WarmupState::Spread(later(1)));
        let position = day_of(first, 0);
        assert_eq!((position.day, position.sent), (0, 24));
        assert_eq!(position.state(&plan(), "other", later(23)), WarmupState::Used(later(24)));
        let position = day_of(position, 24);
        assert_eq!((position.day, position.sent), (1, 48));
        let position = position.at(&plan(), later(48));
        assert_eq!(position.state(&plan(), "other", later(48)), WarmupState::Warm);
    }

    #[test]
    fn a_day_without_mail_or_with_deferrals_is_not_counted() {
        let idle = Position::default().at(&plan(), BEGIN).at(&plan(), later(24));
        assert_eq!(idle.day, 0);
        let day = Position { sent: 24, deferred: 3, ..Position::default().at(&plan(), BEGIN) };
        assert_eq!(day.at(&plan(), later(24)).day, 0, "it is held");
        let worse = Position { sent: 20, deferred: 5, ..day };
        assert_eq!(worse.state(&plan(), "other", later(20)), WarmupState::Stopped(later(24)));
        let complaints = Position { sent: 20, deferred: 0, complaints: 1, ..day };
        assert!(matches!(complaints.state(&plan(), "other", later(20)), WarmupState::Stopped(_)));
    }

    #[test]
    fn a_provider_has_its_own_table() {
        let position = Position { sent: 2, ..Position::default().at(&plan(), BEGIN) };
        assert_eq!(position.state(&plan(), "big", later(5)), WarmupState::Used(later(24)));
        assert_eq!(position.state(&plan(), "other", later(5)), WarmupState::Open);
    }

    #[test]
    fn positions_survive_text() {
        let position = Position { day: 3, date: 20_000, sent: 7, deferred: 1, complaints: 0 };
        assert_eq!(position.to_string().parse(), Ok(position));
        assert!("3 x".parse::<Position>().is_err());
    }
}
