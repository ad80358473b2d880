//! A pool of sources, which take turns by their weights.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Source;

/// Some sources.
#[derive(Debug)]
pub struct Pool {
    /// Its name in the settings.
    pub name: String,
    members: Vec<(Arc<Source>, u32)>,
    credit: Mutex<Vec<i64>>,
}

impl Pool {
    /// These sources with their weights, each at least 1.
    pub fn new(name: &str, members: Vec<(Arc<Source>, u32)>) -> Pool {
        let credit = Mutex::new(vec![0; members.len()]);
        Pool { name: name.to_owned(), members, credit }
    }

    /// The sources of the pool.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.members.iter().map(|(source, _)| source)
    }

    /// Whose turn it is among those that `may` be used: smooth weighted round robin.
    pub(crate) fn next(&self, may: impl Fn(&Source) -> bool) -> Option<&Arc<Source>> {
        if let [(only, _)] = self.members.as_slice() {
            return Some(only).filter(|only| may(only));
        }
        let mut credit = self.credit.lock();
        let mut sum = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, ((source, weight), credit)) in self.members.iter().zip(credit.iter_mut()).enumerate() {
            if !may(source) {
                // It saves up no turns for later.
                *credit = 0;
                continue;
            }
            let weight = i64::from((*weight).max(1));
            *credit += weight;
            sum += weight;
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((index, *credit));
            }
        }
        let (index, _) = best?;
        if let Some(credit) = credit.get_mut(index) {
            *credit -= sum;
        }
        self.members.get(index).map(|(source, _)| source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(weights: &[(&str, u32)]) -> Pool {
        let source = |name: &str| Arc::new(Source { name: name.to_owned(), ..Source::unnamed(Vec::new()) });
        Pool::new("test", weights.iter().map(|(name, weight)| (source(name), *weight)).collect())
    }

    fn taken(pool: &Pool, turns: usize, may: impl Fn(&Source) -> bool) -> String {
        (0..turns).filter_map(|_| pool.next(&may)).map(|source| source.name.as_str()).collect()
    }

    #[test]
    fn sources_take_turns_by_weight_and_spread_out() {
        let pool = pool(&[("a", 3), ("b", 1)]);
        assert_eq!(taken(&pool, 8, |_| true), "aabaaaba");
    }

    #[test]
    fn who_may_not_is_passed_over_and_catches_nothing_up() {
        let pool = pool(&[("a", 1), ("b", 1)]);
        assert_eq!(taken(&pool, 4, |source| source.name == "b"), "bbbb");
        let later = taken(&pool, 4, |_| true);
        assert_eq!(later.matches('a').count(), 2, "{later}");
        assert_eq!(taken(&pool, 3, |_| false), "");
    }
}
