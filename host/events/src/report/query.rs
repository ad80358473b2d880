//! Asking for sums: a range of time, grouped and filtered.

use std::collections::{BTreeMap, HashMap};

use baton_mail::UnixMs;
use baton_store::rollups::{Reader, Rollups, decode_value};
use baton_store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cell::{BEHIND_TIME, Cell, Dimension, Measure, Period, group_prefix, read_subject};
use crate::shown::Moment;

/// Rows of an answer at most.
const ROWS_MAX: usize = 10_000;
/// Ranges up to so long are told by hours unless days are asked for.
const HOURS_MAX_MS: u64 = 48 * 3_600_000;
/// Parts of time in a range at most: a little more than a month of hours, or three years of days.
const PARTS_MAX: u32 = 1_100;

/// By what rows are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Whose mail.
    Tenant,
    /// Which stream of the tenant.
    Stream,
    /// Each tag, as name=value.
    Tag,
    /// The recipients' domain.
    Domain,
    /// Who runs the host that spoke.
    Provider,
    /// The source that it left by.
    Source,
    /// The template that it was made of.
    Template,
    /// The class of a failure, or another reason.
    Reason,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 8] = [
        Group::Tenant,
        Group::Stream,
        Group::Tag,
        Group::Domain,
        Group::Provider,
        Group::Source,
        Group::Template,
        Group::Reason,
    ];

    /// Its name in requests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Group::Tenant => "tenant",
            Group::Stream => "stream",
            Group::Tag => "tag",
            Group::Domain => "domain",
            Group::Provider => "provider",
            Group::Source => "source",
            Group::Template => "template",
            Group::Reason => "reason",
        }
    }

    fn dimension(self) -> Option<Dimension> {
        match self {
            Group::Tenant | Group::Stream => None,
            Group::Tag => Some(Dimension::Tag),
            Group::Domain => Some(Dimension::Domain),
            Group::Provider => Some(Dimension::Provider),
            Group::Source => Some(Dimension::Source),
            Group::Template => Some(Dimension::Template),
            Group::Reason => Some(Dimension::Reason),
        }
    }
}

/// Parts of time that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Hours.
    Hour,
    /// Days, in UTC.
    Day,
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportQuery {
    /// From then on: the beginning of its hour or day.
    pub since: UnixMs,
    /// Until then: the end of its hour or day.
    pub until: UnixMs,
    /// Whether parts of the range are told apart.
    pub step: Option<Step>,
    /// By what rows are told apart.
    pub by: Vec<Group>,
    /// Only rows with these values.
    pub only: BTreeMap<Group, String>,
    /// So many rows at most, the largest; none is 10,000, which is the most.
    pub rows_max: Option<usize>,
}

/// Why a query makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// So many parts of time.
    #[error("the range has more than {PARTS_MAX} parts: ask for less time, or for days instead of hours")]
    TooLong,
    /// It ends before it begins.
    #[error("the range ends before it begins")]
    Backwards,
    /// Sums are not kept by both.
    #[error("{0} and {1} can not be asked for together: sums are kept by one of them at a time")]
    Apart(&'static str, &'static str),
    /// The sums can not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One row: the values that tell it apart, and what was counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportRow {
    /// When its part of time begins (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The values that tell it apart, by the names of the groups.
    #[serde(flatten)]
    pub groups: BTreeMap<String, String>,
    /// What was counted; what is zero is left out.
    pub counts: BTreeMap<String, u64>,
    /// Shares, from 0 to 1.
    pub rates: Rates,
    /// From the accept to the delivery.
    pub latency: Latency,
}

/// Shares; none where there is nothing to share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rates {
    /// Delivered, of all that came to an end.
    pub delivered: Option<f64>,
    /// Given up, of all that came to an end.
    pub bounced: Option<f64>,
    /// Complaints, of what was delivered.
    pub complained: Option<f64>,
    /// Opened by people, of what was delivered; an event for each time.
    pub opened: Option<f64>,
    /// Links followed by people, of what was delivered; an event for each time.
    pub clicked: Option<f64>,
}

/// Quantiles in milliseconds, right to 3 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Half of the deliveries.
    pub p50_ms: Option<u64>,
    /// 95 of a hundred.
    pub p95_ms: Option<u64>,
    /// 99 of a hundred.
    pub p99_ms: Option<u64>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// The range that is told (RFC 3339).
    pub since: String,
    /// Up to here, not included.
    pub until: String,
    /// In the order of time, then the largest first.
    pub rows: Vec<ReportRow>,
    /// Rows that are left out, the smallest.
    pub left_out: usize,
    /// Events that happened and are not counted yet.
    pub behind: u64,
}

/// What a row is told apart by: its part of time, and its values.
type RowKey = (Option<u32>, Vec<String>);

impl ReportQuery {
    /// By what the sums that answer this are kept.
    fn dimension(&self) -> Result<Dimension, ReportError> {
        let mut special: Vec<Group> = self
            .by
            .iter()
            .chain(self.only.keys())
            .copied()
            .filter(|group| group.dimension().is_some())
            .collect();
        special.sort_unstable();
        special.dedup();
        match special.as_slice() {
            [] => Ok(Dimension::Total),
            [one] => Ok(one.dimension().unwrap_or(Dimension::Total)),
            [Group::Provider, Group::Reason] => Ok(Dimension::Reason),
            [one, other, ..] => Err(ReportError::Apart(one.as_str(), other.as_str())),
        }
    }

    /// The parts of time, and which.
    fn period(&self) -> Result<(Period, std::ops::RangeInclusive<u32>), ReportError> {
        if self.until <= self.since {
            return Err(ReportError::Backwards);
        }
        let is_short = self.until.0 - self.since.0 <= HOURS_MAX_MS;
        let period = match self.step {
            Some(Step::Hour) => Period::Hour,
            Some(Step::Day) => Period::Day,
            None if is_short => Period::Hour,
            None => Period::Day,
        };
        let last = period.number(UnixMs(self.until.0 - 1));
        let range = period.number(self.since)..=last;
        if last - range.start() >= PARTS_MAX { Err(ReportError::TooLong) } else { Ok((period, range)) }
    }

    /// Answers.
    pub(super) async fn answer(self, store: &Store, rollups: &Rollups) -> Result<Report, ReportError> {
        let dimension = self.dimension()?;
        let (period, range) = self.period()?;
        let since = Moment(period.begin(*range.start())).to_string();
        let until = Moment(period.begin(range.end().saturating_add(1))).to_string();
        let head = store.feed().head();
        let consumer = "reports".parse().map_err(|_| StoreError::Misuse("reports have no name"))?;
        let counted = store.feed().cursor(&consumer).await?.unwrap_or(0);
        let (rows, left_out) = rollups
            .read(move |reader| {
                let sums = self.sum(reader, dimension, period, range)?;
                let rows_max = self.rows_max.unwrap_or(ROWS_MAX).min(ROWS_MAX);
                Ok(rows(&self.by, period, sums, rows_max))
            })
            .await?;
        Ok(Report { since, until, rows, left_out, behind: head.saturating_sub(counted) })
    }

    fn sum(
        &self,
        reader: &Reader<'_>,
        dimension: Dimension,
        period: Period,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<HashMap<RowKey, Cell>, StoreError> {
        let only = |group| self.only.get(&group).map(String::as_str);
        let mut sums: HashMap<RowKey, Cell> = HashMap::new();
        for number in range {
            let prefix = group_prefix(period, number, dimension, only(Group::Tenant), only(Group::Stream));
            let time = self.step.map(|_| number);
            reader.scan(&prefix, |key, value| {
                let subject = key.get(BEHIND_TIME + 1..).and_then(read_subject);
                let row = subject.and_then(|subject| self.row(dimension, &subject));
                if let (Some(values), Some(cell)) = (row, decode_value::<Cell>(value)) {
                    sums.entry((time, values)).or_default().merge(&cell);
                }
                true
            })?;
        }
        Ok(sums)
    }

    /// The values that tell a row apart, when it is asked for.
    fn row(&self, dimension: Dimension, subject: &[&str]) -> Option<Vec<String>> {
        let value = |group: Group| {
            let at = match (group, dimension) {
                (Group::Tenant, _) => 0,
                (Group::Stream, _) => 1,
                (Group::Reason, _) => 3,
                _ => 2,
            };
            subject.get(at).copied()
        };
        let is_asked = self.only.iter().all(|(group, wanted)| value(*group) == Some(wanted.as_str()));
        is_asked.then(|| self.by.iter().map(|group| value(*group).unwrap_or_default().to_owned()).collect())
    }
}

/// The largest rows, in order, and how many are left out.
fn rows(
    by: &[Group],
    period: Period,
    sums: HashMap<RowKey, Cell>,
    rows_max: usize,
) -> (Vec<ReportRow>, usize) {
    let mut sums: Vec<(RowKey, Cell)> = sums.into_iter().collect();
    let size = |cell: &Cell| {
        let counts = Measure::ALL.iter().filter(|measure| **measure != Measure::Octets);
        counts.map(|measure| cell.get(*measure)).sum::<u64>()
    };
    sums.sort_by_cached_key(|(key, cell)| (std::cmp::Reverse(size(cell)), key.clone()));
    let left_out = sums.len().saturating_sub(rows_max);
    sums.truncate(rows_max);
    sums.sort_by_key(|((time, _), _)| *time);
    let row = |((time, values), cell): (RowKey, Cell)| ReportRow {
        time: time.map(|number| Moment(period.begin(number)).to_string()),
        groups: by.iter().map(|group| group.as_str().to_owned()).zip(values).collect(),
        counts: Measure::ALL
            .iter()
            .map(|measure| (measure.as_str().to_owned(), cell.get(*measure)))
            .filter(|(_, count)| *count > 0)
            .collect(),
        rates: rates(&cell),
        latency: Latency {
            p50_ms: cell.latency.quantile(50),
            p95_ms: cell.latency.quantile(95),
            p99_ms: cell.latency.quantile(99),
        },
    };
    (sums.into_iter().map(row).collect(), left_out)
}

fn rates(cell: &Cell) -> Rates {
    let delivered = cell.get(Measure::Delivered);
    let bounced = cell.get(Measure::Bounced) + cell.get(Measure::Expired);
    // What is counted is far below what a float can tell apart.
    let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
    Rates {
        delivered: share(delivered, delivered + bounced),
        bounced: share(bounced, delivered + bounced),
        complained: share(cell.get(Measure::Complained), delivered),
        opened: share(cell.get(Measure::Opened), delivered),
        clicked: share(cell.get(Measure::Clicked), delivered),
    }
}

impl Report {
    /// As a table with commas (RFC 4180), with a line of names.
    pub fn to_csv(&self, by: &[Group]) -> String {
        let names = by.iter().map(|group| group.as_str());
        let measures = Measure::ALL.iter().map(|measure| measure.as_str());
        let latencies = ["p50_ms", "p95_ms", "p99_ms"];
        let head: Vec<&str> = std::iter::once("time").chain(names).chain(measures).chain(latencies).collect();
        let mut text = head.join(",") + "\r\n";
        for row in &self.rows {
            let groups = by.iter().map(|group| row.groups.get(group.as_str()).cloned().unwrap_or_default());
            let count =
                |measure: &Measure| row.counts.get(measure.as_str()).copied().unwrap_or(0).to_string();
            let Latency { p50_ms, p95_ms, p99_ms } = row.latency;
            let latency = [p50_ms, p95_ms, p99_ms].map(|ms| ms.map_or_else(String::new, |ms| ms.to_string()));
            let cells = std::iter::once(row.time.clone().unwrap_or_default()).chain(groups);
            let cells = cells.chain(Measure::ALL.iter().map(count)).chain(latency);
            let cells: Vec<String> = cells.map(|cell| csv_cell(&cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

/// A cell in quotes where it needs them. One that a spreadsheet would take for a formula begins with an apostrophe.
fn csv_cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_tables_are_quoted_and_no_formulas() {
        for (text, cell) in
            [("a", "a"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("=1+1", "'=1+1"), ("", "")]
        {
            assert_eq!(csv_cell(text), cell);
        }
    }

    #[test]
    fn a_query_reads_one_kind_of_sums() {
        let query = |by: &[Group]| ReportQuery { by: by.to_vec(), ..ReportQuery::default() };
        assert_eq!(query(&[Group::Tenant, Group::Stream]).dimension(), Ok(Dimension::Total));
        assert_eq!(query(&[Group::Tenant, Group::Domain]).dimension(), Ok(Dimension::Domain));
        assert_eq!(query(&[Group::Reason, Group::Provider]).dimension(), Ok(Dimension::Reason));
        assert!(matches!(query(&[Group::Tag, Group::Domain]).dimension(), Err(ReportError::Apart(..))));
        let only = BTreeMap::from([(Group::Tag, "a=b".to_owned())]);
        let both = ReportQuery { only, ..query(&[Group::Domain]) };
        assert!(both.dimension().is_err());
    }

    #[test]
    fn ranges_are_whole_and_bounded() {
        let day = Period::Day.ms();
        let query = |since, until, step| ReportQuery {
            since: UnixMs(since),
            until: UnixMs(until),
            step,
            ..ReportQuery::default()
        };
        assert_eq!(query(0, day, None).period(), Ok((Period::Hour, 0..=23)));
        assert_eq!(query(5, 30 * day, None).period(), Ok((Period::Day, 0..=29)));
        assert_eq!(query(0, 1, Some(Step::Day)).period(), Ok((Period::Day, 0..=0)));
        assert_eq!(query(0, 100 * day, Some(Step::Hour)).period(), Err(ReportError::TooLong));
        assert_eq!(query(5, 5, None).period(), Err(ReportError::Backwards));
    }
}
