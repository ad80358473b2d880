//! Compiled functions, so that a component which is compiled once more, with another memory or with some functions
//! changed, costs only what is new: the snapshots of one plugin differ in their memory, and its next version in a part of
//! its code.

use std::borrow::Cow;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use wasmtime::CacheStore;

use crate::EngineSettings;

/// Octets of a compiled function, about. The room for the table of functions is made at the start.
const FUNCTION_OCTETS: u64 = 8_192;

/// Functions by what they were compiled from; those that were not asked for longest go first.
#[derive(Debug)]
pub(crate) struct Functions(Cache<Box<[u8]>, Arc<[u8]>, Octets>);

impl Functions {
    /// Keeps as much as the settings say; nothing when that is nothing.
    pub(crate) fn of(settings: &EngineSettings) -> Option<Arc<Functions>> {
        let octets_max = settings.functions_octets_max;
        let count = usize::try_from(octets_max / FUNCTION_OCTETS).unwrap_or(usize::MAX);
        (octets_max > 0).then(|| Arc::new(Functions(Cache::with_weighter(count, octets_max, Octets))))
    }

    /// All that is kept, to be handed to another process.
    pub(crate) fn hand_over(&self) -> Handed {
        self.0.iter().map(|(key, function)| (key.into(), function.to_vec())).collect()
    }

    /// Keeps what another process compiled.
    pub(crate) fn take_over(&self, handed: Handed) {
        for (key, function) in handed {
            self.0.insert(key.into(), function.into());
        }
    }
}

/// Compiled functions on their way from one process to another.
pub(crate) type Handed = Vec<(Vec<u8>, Vec<u8>)>;

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.0.get(key).map(|function| Cow::Owned(function.to_vec()))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.0.insert(key.into(), value.into());
        true
    }
}

#[derive(Clone, Debug)]
struct Octets;

impl Weighter<Box<[u8]>, Arc<[u8]>> for Octets {
    fn weight(&self, key: &Box<[u8]>, function: &Arc<[u8]>) -> u64 {
        (key.len() + function.len()) as u64
    }
}
