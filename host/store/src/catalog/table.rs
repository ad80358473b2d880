//! All records of a kind in memory: for what is asked for with every message, such as tenants, streams and tokens.
//!
//! Invariant: a table says what is on disk. It learns of a change after its sync and before whoever made it.

use std::collections::HashMap;
use std::sync::Arc;

use baton_mail::tenant::{Retention, Stream, Tenant, Token};
use baton_mail::{Domain, Envelope, UnixMs};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;

use super::record::{Key, Kind, Put, Query, decode};
use crate::database::{Database, Family};

/// Tenants: of the relay, by name.
pub const TENANT: Kind = Kind::new("tenant", 100_000);
/// Streams: of a tenant or of the relay, by name.
pub const STREAM: Kind = Kind::new("stream", 10_000);
/// Tokens: of a tenant or of the relay, by id.
pub const TOKEN: Kind = Kind::new("token", 1_000);

const DAY_MS: u64 = 86_400_000;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    /// What it holds.
    pub value: T,
    /// Another one after each change.
    pub version: u64,
    /// When it was changed last.
    pub changed_at: UnixMs,
}

/// The tables.
#[derive(Default)]
pub(crate) struct Tables {
    tenants: Table<Tenant>,
    streams: Table<Stream>,
    tokens: Table<Token>,
    /// The tenant of each token, by its id.
    owners: RwLock<HashMap<Box<str>, Option<Box<str>>>>,
}

/// The records of one kind, by tenant and name.
struct Table<T>(RwLock<HashMap<Name, Arc<Row<T>>>>);

/// Whose record, and what it is called. Nobody's has an empty tenant.
type Name = (Box<str>, Box<str>);

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table(RwLock::default())
    }
}

impl<T: DeserializeOwned> Table<T> {
    fn get(&self, tenant: Option<&str>, name: &str) -> Option<Arc<Row<T>>> {
        let key = (tenant.unwrap_or_default().into(), name.into());
        self.0.read().get(&key).map(Arc::clone)
    }

    /// Takes what is there now under a key. What makes no sense is as good as not there, and told of.
    fn absorb(&self, key: Key, value: Option<&[u8]>) {
        let at = (key.tenant().unwrap_or_default().into(), key.name().into());
        let shown = key.to_string();
        let read = value.map(|value| {
            let record = decode(key, value)?;
            let value = serde_json::from_slice(&record.value).map_err(|error| error.to_string())?;
            Ok::<_, String>(Row { value, version: record.version, changed_at: record.changed_at })
        });
        match read {
            Some(Ok(row)) => drop(self.0.write().insert(at, Arc::new(row))),
            Some(Err(cause)) => {
                tracing::error!(target: "store", record = shown, cause, "a record of the catalog is damaged");
                self.0.write().remove(&at);
            }
            None => drop(self.0.write().remove(&at)),
        }
    }
}

impl Tables {
    /// Reads all that is there.
    pub(crate) fn load(&self, db: &Database) -> Result<(), String> {
        for kind in [TENANT, STREAM, TOKEN] {
            let (from, end) = Query::of(kind).range();
            let mut entries = db.iterate(Family::Catalog, &from, end.as_deref());
            entries.seek_to_first();
            while let Some((key, value)) = entries.item() {
                self.absorb(key, Some(value));
                entries.next();
            }
            entries.status().map_err(rocksdb::Error::into_string)?;
        }
        Ok(())
    }

    /// Takes what was written.
    pub(crate) fn learn(&self, puts: &[Put]) {
        for Put { key, value } in puts {
            self.absorb(key, value.as_deref());
        }
    }

    /// The stream of that name.
    pub(crate) fn stream(&self, tenant: Option<&str>, name: &str) -> Option<Arc<Row<Stream>>> {
        self.streams.get(tenant, name)
    }

    /// The streams that say themselves how long something is kept: tenant, name.
    pub(crate) fn retentions(&self) -> Vec<(Option<String>, String, Retention)> {
        let streams = self.streams.0.read();
        let set = streams.iter().filter(|(_, row)| !row.value.retention.is_unset());
        let one = |((tenant, name), row): (&Name, &Arc<Row<Stream>>)| {
            let tenant = Some(tenant.to_string()).filter(|tenant| !tenant.is_empty());
            (tenant, name.to_string(), row.value.retention)
        };
        set.map(one).collect()
    }

    /// Until when the content of a message that leaves the queue now is kept; none when it goes at once.
    pub(crate) fn content_until(&self, envelope: &Envelope, now: UnixMs) -> Option<UnixMs> {
        let stream = self.stream(envelope.tenant.as_deref(), envelope.stream.as_deref()?)?;
        let days = stream.value.retention.bodies_days.filter(|days| *days > 0)?;
        Some(UnixMs(now.0.saturating_add(u64::from(days) * DAY_MS)))
    }

    fn absorb(&self, octets: &[u8], value: Option<&[u8]>) {
        if let Some(key) = Key::decode(TENANT, octets) {
            self.tenants.absorb(key, value);
        } else if let Some(key) = Key::decode(STREAM, octets) {
            self.streams.absorb(key, value);
        } else if let Some(key) = Key::decode(TOKEN, octets) {
            let id: Box<str> = key.name().into();
            match value {
                Some(_) => drop(self.owners.write().insert(id, key.tenant().map(Into::into))),
                None => drop(self.owners.write().remove(&id)),
            }
            self.tokens.absorb(key, value);
        }
    }
}

/// Tenants, streams and tokens, as they are now. Looking one up waits for nothing. Cheap to clone.
#[derive(Clone)]
pub struct Tenants {
    core: Arc<crate::core::Core>,
}

impl Tenants {
    pub(crate) fn new(core: Arc<crate::core::Core>) -> Tenants {
        Tenants { core }
    }

    fn tables(&self) -> &Tables {
        &self.core.catalog.tables
    }

    /// The tenant of that name.
    pub fn tenant(&self, name: &str) -> Option<Arc<Row<Tenant>>> {
        self.tables().tenants.get(None, name)
    }

    /// The stream of that name, of the tenant or of the relay itself.
    pub fn stream(&self, tenant: Option<&str>, name: &str) -> Option<Arc<Row<Stream>>> {
        self.tables().streams.get(tenant, name)
    }

    /// The token of that id, whosever it is.
    pub fn token(&self, id: &str) -> Option<Arc<Row<Token>>> {
        let tenant = self.tables().owners.read().get(id)?.clone();
        self.tables().tokens.get(tenant.as_deref(), id)
    }

    /// Another tenant than `name` that owns the domain, one above it or one below it.
    pub fn owner_beside(&self, name: &str, domain: &Domain) -> Option<String> {
        let tenants = self.tables().tenants.0.read();
        let overlaps = |own: &Domain| own.is_within(domain) || domain.is_within(own);
        let owns = |(_, row): &(&Name, &Arc<Row<Tenant>>)| row.value.domains.iter().any(overlaps);
        let others = tenants.iter().filter(|((_, other), _)| **other != *name);
        others.filter(owns).map(|((_, owner), _)| owner.to_string()).next()
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tenants").finish_non_exhaustive()
    }
}
