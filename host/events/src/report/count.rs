//! Counting: follows the feed and keeps the sums, with its cursor in the same batch, so that each event counts once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_mail::event::{Event, What};
use baton_mail::{Clock, Mailbox, Status, UnixMs};
use baton_store::feed::ConsumerName;
use baton_store::rollups::{Rollups, decode_value, encode_value};
use baton_store::{Facts, Feed, Store, StoreError, Told};

use super::cell::{BEHIND_TIME, Cell, Dimension, Measure, Period, period_prefix, write_subject};
use super::{OTHER, ProviderOf, ReportSettings};
use crate::kind::Kind;
use crate::shown::{recipients, tags, template};

/// Records that are read from the feed at a time, and counted before the sums are written.
const READ_MAX: usize = 1_000;
const RECORDS_MAX: usize = 16_000;
/// Sums that change in one batch: bounds how long others wait for it.
const CELLS_MAX: usize = 2_000;
/// Sums that are kept in memory.
const KNOWN_MAX: usize = 20_000;
/// How long to wait for more before the sums are written.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts for ever.
pub(super) struct Counter {
    feed: Feed,
    rollups: Rollups,
    consumer: ConsumerName,
    next: u64,
    clock: Arc<dyn Clock>,
    settings: ReportSettings,
    provider_of: ProviderOf,
    /// Sums as they are on disk.
    known: HashMap<Vec<u8>, Cell>,
    /// How many values there are in the groups that were asked for not long ago.
    values: HashMap<Vec<u8>, usize>,
    /// The last hour in which what is too old was deleted.
    cleaned: u32,
}

/// What one round adds, by hour and by what stands behind the time in a key.
type Deltas = HashMap<u32, HashMap<Vec<u8>, Cell>>;

impl Counter {
    /// Goes on where the last one left off.
    pub(super) async fn open(
        store: &Store,
        clock: Arc<dyn Clock>,
        settings: ReportSettings,
        provider_of: ProviderOf,
    ) -> Result<Counter, StoreError> {
        let feed = store.feed();
        let consumer: ConsumerName =
            "reports".parse().map_err(|_| StoreError::Misuse("reports have no name"))?;
        let next = feed.cursor(&consumer).await?.unwrap_or(0);
        Ok(Counter {
            feed,
            rollups: store.rollups(),
            consumer,
            next,
            clock,
            settings,
            provider_of,
            known: HashMap::new(),
            values: HashMap::new(),
            cleaned: 0,
        })
    }

    /// Waits for events and counts them. To be called for ever.
    pub(super) async fn step(&mut self) -> Result<(), StoreError> {
        self.feed.wait(self.next).await;
        if self.feed.head() - self.next.min(self.feed.head()) < RECORDS_MAX as u64 {
            tokio::time::sleep(PAUSE).await;
        }
        let began = Instant::now();
        self.count().await?;
        if self.next + READ_MAX as u64 <= self.feed.head() {
            self.feed.give_way(began.elapsed()).await;
        }
        self.clean().await
    }

    /// Counts what is there, up to a bound.
    pub(super) async fn count(&mut self) -> Result<(), StoreError> {
        let (mut deltas, mut next, mut records, mut cells) = (Deltas::new(), self.next, 0, 0);
        while next < self.feed.head() && records < RECORDS_MAX && cells < CELLS_MAX {
            let page = self.feed.read(next, READ_MAX).await?;
            for told in &page.told {
                self.add(told, &mut deltas);
            }
            records += page.told.len().max(1);
            cells = deltas.values().map(HashMap::len).sum();
            next = page.next;
        }
        let sums = self.sums(deltas).await?;
        let puts = sums.iter().map(|(key, cell)| (key.clone(), encode_value(cell))).collect();
        self.rollups.write(&self.consumer, next, puts, Vec::new()).await?;
        self.next = next;
        self.learn(sums);
        Ok(())
    }

    fn add(&self, told: &Told, deltas: &mut Deltas) {
        let mut key = Vec::with_capacity(64);
        for event in &told.events {
            let Some((measure, count)) = measured(event, &told.events) else { continue };
            let hour = deltas.entry(Period::Hour.number(event.at)).or_default();
            let status = status_of(&event.what);
            let remote = status.and_then(|status| status.remote.as_ref());
            let provider = remote.map(|remote| self.provider(&remote.host));
            let source = remote.and_then(|remote| remote.source.as_ref()).map(|source| source.name.as_str());
            let latency = (measure == Measure::Delivered)
                .then(|| u64::try_from(event.at.since(event.message.time()).as_millis()).unwrap_or(u64::MAX));
            let mut to = |dimension, value: &[&str]| {
                let Facts { tenant, stream, .. } = &*told.facts;
                let (tenant, stream) = (tenant.as_deref().unwrap_or(""), stream.as_deref().unwrap_or(""));
                write_subject(&mut key, dimension, tenant, stream, value);
                if !hour.contains_key(&key) {
                    hour.insert(key.clone(), Cell::default());
                }
                if let Some(cell) = hour.get_mut(&key) {
                    cell.add(measure, count);
                    if let What::Accepted { size, .. } = &event.what {
                        cell.add(Measure::Octets, *size);
                    }
                    latency.iter().for_each(|ms| cell.latency.add(*ms));
                }
            };
            let whom = recipients(&event.what);
            for domain in
                whom.is_empty().then_some(None).into_iter().chain(whom.iter().map(Mailbox::domain).map(Some))
            {
                to(Dimension::Total, &[]);
                if let Some(domain) = domain {
                    to(Dimension::Domain, &[domain.as_str()]);
                }
                for tag in tags(&told.facts) {
                    to(Dimension::Tag, &[&tag]);
                }
                if let Some(template) = template(&told.facts) {
                    // All its versions count together.
                    to(Dimension::Template, &[template.split('@').next().unwrap_or(template)]);
                }
                provider.iter().for_each(|provider| to(Dimension::Provider, &[provider]));
                source.iter().for_each(|source| to(Dimension::Source, &[source]));
                if let Some(reason) = reason_of(&event.what) {
                    to(Dimension::Reason, &[provider.as_deref().unwrap_or(""), reason]);
                }
            }
        }
    }

    /// Who runs a host: by name where it is known, else the last two labels of the host's name.
    fn provider(&self, host: &str) -> String {
        (self.provider_of)(host).unwrap_or_else(|| {
            let mut labels = host.rsplitn(3, '.');
            match (labels.next(), labels.next()) {
                (Some(last), Some(before)) if last.parse::<u8>().is_err() => format!("{before}.{last}"),
                _ => host.to_owned(),
            }
        })
    }

    /// The sums that change, by hour and by day, as they are to be written.
    async fn sums(&mut self, deltas: Deltas) -> Result<Vec<(Vec<u8>, Cell)>, StoreError> {
        let mut changed: HashMap<Vec<u8>, Cell> = HashMap::new();
        for (hour, subjects) in deltas {
            let day = Period::Day.number(Period::Hour.begin(hour));
            for (subject, delta) in subjects {
                for prefix in [period_prefix(Period::Hour, hour), period_prefix(Period::Day, day)] {
                    let key = [prefix.as_slice(), subject.as_slice()].concat();
                    changed.entry(key).or_default().merge(&delta);
                }
            }
        }
        self.learn_keys(changed.keys()).await?;
        let changed = self.bounded(changed).await?;
        // Those that count for all others may be new here.
        self.learn_keys(changed.keys()).await?;
        let sum = |(key, delta): (Vec<u8>, Cell)| {
            let mut cell = self.known.remove(&key).unwrap_or_default();
            cell.merge(&delta);
            (key, cell)
        };
        Ok(changed.into_iter().map(sum).collect())
    }

    /// Reads the sums that are not in memory.
    async fn learn_keys(&mut self, keys: impl Iterator<Item = &Vec<u8>>) -> Result<(), StoreError> {
        let keys: Vec<Vec<u8>> = keys.filter(|key| !self.known.contains_key(*key)).cloned().collect();
        let found = self.rollups.get(keys.clone()).await?;
        for (key, value) in keys.into_iter().zip(found) {
            if let Some(cell) = value.and_then(|value| decode_value::<Cell>(&value)) {
                self.known.insert(key, cell);
            }
        }
        Ok(())
    }

    /// New values of a group that has too many count as others.
    async fn bounded(
        &mut self,
        changed: HashMap<Vec<u8>, Cell>,
    ) -> Result<HashMap<Vec<u8>, Cell>, StoreError> {
        let is_new = |key: &Vec<u8>| !self.known.contains_key(key);
        let groups = changed.keys().filter(|key| is_new(key)).filter_map(|key| group_of(key));
        let unknown: HashSet<Vec<u8>> =
            groups.filter(|group| !self.values.contains_key(*group)).map(<[u8]>::to_vec).collect();
        let unknown: Vec<Vec<u8>> = unknown.into_iter().collect();
        let counts = self.rollups.count(unknown.clone(), self.settings.values_max).await?;
        self.values.extend(unknown.into_iter().zip(counts));
        let mut bounded: HashMap<Vec<u8>, Cell> = HashMap::with_capacity(changed.len());
        for (mut key, delta) in changed {
            let is_new = !self.known.contains_key(&key);
            let other = group_of(&key).filter(|_| is_new).and_then(|group| {
                let count = self.values.get_mut(group)?;
                let is_full = *count >= self.settings.values_max;
                *count += usize::from(!is_full);
                is_full.then(|| [group, OTHER.as_bytes(), &[0]].concat())
            });
            key = other.unwrap_or(key);
            bounded.entry(key).or_default().merge(&delta);
        }
        Ok(bounded)
    }

    /// What is written is known.
    fn learn(&mut self, sums: Vec<(Vec<u8>, Cell)>) {
        self.known.extend(sums);
        if self.known.len() > KNOWN_MAX {
            self.forget();
        }
    }

    /// Forgets the sums of hours and days that are over: what happens next counts in the last ones. All of them when
    /// these are too many.
    fn forget(&mut self) {
        let of = |key: &[u8]| key.get(..BEHIND_TIME).map(<[u8]>::to_vec);
        let last = |period: Period| {
            self.known
                .keys()
                .filter(|key| key.first() == Some(&(period as u8)))
                .filter_map(|key| of(key))
                .max()
        };
        let last = [last(Period::Hour), last(Period::Day)];
        self.known.retain(|key, _| last.contains(&of(key)));
        self.values.retain(|group, _| last.contains(&of(group)));
        if self.known.len() > KNOWN_MAX / 2 {
            self.known.clear();
            self.values.clear();
        }
    }

    /// Deletes what is too old, once an hour.
    async fn clean(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let hour = Period::Hour.number(now);
        if hour == self.cleaned {
            return Ok(());
        }
        let range = |period: Period, days: u32| {
            let oldest = UnixMs(now.0.saturating_sub(u64::from(days) * 86_400_000));
            (period_prefix(period, 0), period_prefix(period, period.number(oldest)))
        };
        let ranges = vec![
            range(Period::Hour, self.settings.hours_kept_days),
            range(Period::Day, self.settings.days_kept_days),
        ];
        self.rollups.write(&self.consumer, self.next, Vec::new(), ranges).await?;
        self.cleaned = hour;
        Ok(())
    }
}

/// The part of a key that its group shares, where the group may have many values.
fn group_of(key: &[u8]) -> Option<&[u8]> {
    let dimension = *key.get(BEHIND_TIME)?;
    if dimension == Dimension::Total as u8 {
        return None;
    }
    let mut ends = (0..).zip(key).skip(BEHIND_TIME + 1).filter(|(_, octet)| **octet == 0).map(|(at, _)| at);
    // Behind tenant and stream, and behind the provider of a reason: reasons are few.
    let end: usize = ends.nth(1)?;
    key.get(..=end)
}

/// What an event counts as.
fn measured(event: &Event, all: &[Event]) -> Option<(Measure, u64)> {
    let by_program = |visitor: &baton_mail::event::Visitor| visitor.automatic.is_some();
    let measure = match (&event.what, Kind::of(event, all)) {
        (What::Opened { visitor, .. }, _) if by_program(visitor) => Measure::OpenedByProgram,
        (What::Clicked { visitor, .. }, _) if by_program(visitor) => Measure::ClickedByProgram,
        (_, Kind::Accepted) => Measure::Accepted,
        (_, Kind::Rejected) => Measure::Rejected,
        (_, Kind::Delivered) => Measure::Delivered,
        (_, Kind::Deferred) => Measure::Deferred,
        (_, Kind::Bounced) => Measure::Bounced,
        (_, Kind::Expired) => Measure::Expired,
        (_, Kind::Suppressed) => Measure::Suppressed,
        (_, Kind::Discarded) => Measure::Discarded,
        (_, Kind::Removed) => Measure::Removed,
        (_, Kind::Quarantined) => Measure::Quarantined,
        (_, Kind::Complained) => Measure::Complained,
        (_, Kind::Opened) => Measure::Opened,
        (_, Kind::Clicked) => Measure::Clicked,
        (_, Kind::Unsubscribed) => Measure::Unsubscribed,
        _ => return None,
    };
    Some((measure, 1))
}

fn status_of(what: &What) -> Option<&Status> {
    match what {
        What::Delivered { status, .. }
        | What::Deferred { status, .. }
        | What::Failed { status, .. }
        | What::CameBack { status, .. } => Some(status),
        _ => None,
    }
}

/// Why: one of few words.
fn reason_of(what: &What) -> Option<&str> {
    match what {
        What::Deferred { status, .. } | What::Failed { status, .. } | What::CameBack { status, .. } => {
            Some(status.class.as_str())
        }
        What::Suppressed { reason, .. } => Some(reason),
        What::Complained { feedback, .. } => Some(feedback),
        _ => None,
    }
}
