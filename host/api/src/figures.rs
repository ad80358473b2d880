//! The relay's metrics, read from their text (OpenMetrics 1.0).

use std::collections::BTreeMap;

/// All series of one look.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<Series>);

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Series {
    /// The value of a label; empty when it has none of that name.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

impl Figures {
    /// Reads them. Lines that are none are passed over.
    pub fn read(text: &str) -> Figures {
        Figures(text.lines().filter(|line| !line.starts_with('#')).filter_map(read_line).collect())
    }

    /// The series of that name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Series, f64)> {
        self.0.iter().filter(move |series| series.name == name).map(|series| (series, series.value))
    }

    /// Those that have these labels.
    pub fn only(&self, labels: &[(&str, &str)]) -> Figures {
        let fits = |series: &&Series| labels.iter().all(|(name, value)| series.label(name) == *value);
        Figures(self.0.iter().filter(fits).cloned().collect())
    }

    /// The sum of the series of that name.
    pub fn sum(&self, name: &str) -> f64 {
        // `sum` makes a negative zero of nothing.
        self.of(name).fold(0.0, |sum, (_, value)| sum + value)
    }

    /// The sum of those that have this label.
    pub fn sum_with(&self, name: &str, label: &str, value: &str) -> f64 {
        self.of(name)
            .filter(|(series, _)| series.label(label) == value)
            .fold(0.0, |sum, (_, value)| sum + value)
    }

    /// Sums by the value of a label.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (series, value) in self.of(name) {
            *sums.entry(series.label(label).to_owned()).or_default() += value;
        }
        sums
    }

    /// Where the part `share` of what a histogram counted since `before` lies, at most; none when it counted nothing.
    pub fn quantile(&self, before: &Figures, histogram: &str, share: f64) -> Option<f64> {
        let name = format!("{histogram}_bucket");
        let bound = |series: &Series| series.label("le").parse::<f64>().unwrap_or(f64::INFINITY);
        let counted_before = |series: &Series| {
            before.of(&name).find(|(old, _)| old.labels == series.labels).map_or(0.0, |(_, count)| count)
        };
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (series, count) in self.of(&name) {
            let (bound, count) = (bound(series), count - counted_before(series));
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bound, count)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let (bound, _) = buckets.iter().find(|(_, count)| *count >= all * share)?;
        // Beyond the last bound nothing is known but that.
        let last = buckets.iter().rev().map(|(bound, _)| *bound).find(|bound| bound.is_finite());
        Some(if bound.is_finite() { *bound } else { last? })
    }
}

/// `name{label="value",...} value`.
fn read_line(line: &str) -> Option<Series> {
    let (name, rest) = match line.find(['{', ' ']) {
        Some(end) => line.split_at_checked(end)?,
        None => return None,
    };
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Series { name: name.to_owned(), labels, value })
}

/// Labels up to their closing brace, and what follows it.
fn read_labels(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let (mut labels, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, character) in quoted.char_indices() {
            match character {
                '"' if !escaped => {
                    end = Some(at + 1);
                    break;
                }
                '\\' if !escaped => escaped = true,
                'n' if escaped => {
                    value.push('\n');
                    escaped = false;
                }
                other => {
                    value.push(other);
                    escaped = false;
                }
            }
        }
        labels.push((name.to_owned(), value));
        rest = quoted.get(end?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_with_whatever_is_in_their_labels() {
        let figures = Figures::read(
            "# HELP x y\nx_total{site=\"a,b}\\\"c\",source=\"\"} 3\nx_total{site=\"d\"} 4.5\ny 1\nnonsense\n# EOF\n",
        );
        assert_eq!(figures.sum("x_total"), 7.5);
        assert_eq!(
            figures.by("x_total", "site"),
            BTreeMap::from([("a,b}\"c".to_owned(), 3.0), ("d".to_owned(), 4.5)])
        );
        assert_eq!((figures.sum_with("x_total", "site", "d"), figures.sum("y")), (4.5, 1.0));
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let look = |one, two, all| {
            Figures::read(&format!(
                "t_bucket{{le=\"0.1\"}} {one}\nt_bucket{{le=\"1.0\"}} {two}\nt_bucket{{le=\"+Inf\"}} {all}\n"
            ))
        };
        let (before, now) = (look(100, 100, 100), look(150, 199, 200));
        assert_eq!(now.quantile(&before, "t", 0.5), Some(0.1));
        assert_eq!(now.quantile(&before, "t", 0.99), Some(1.0));
        assert_eq!(now.quantile(&now, "t", 0.5), None);
        assert_eq!(look(0, 0, 9).quantile(&look(0, 0, 0), "t", 0.5), Some(1.0), "at least");
    }
}
