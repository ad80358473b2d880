//! Connections without work, kept for the next request to the same host at the same address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connection::Connection;

/// Where a connection goes. The host is part of it: two names at one address are two certificates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) address: SocketAddr,
}

/// The kept connections.
pub(super) struct Pool {
    kept: Mutex<HashMap<Place, Vec<Kept>>>,
    connections_max: usize,
    idle_max: Duration,
}

struct Kept {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(connections_max: usize, idle_max: Duration) -> Pool {
        Pool { kept: Mutex::default(), connections_max, idle_max }
    }

    /// The connection that was used last; old ones are closed.
    pub(super) fn take(&self, place: &Place) -> Option<Connection> {
        let mut kept = self.kept.lock();
        let connections = kept.get_mut(place)?;
        let now = Instant::now();
        let found = std::iter::from_fn(|| connections.pop())
            .find(|kept| kept.connection.is_open() && now.duration_since(kept.since) < self.idle_max);
        if connections.is_empty() {
            kept.remove(place);
        }
        found.map(|kept| kept.connection)
    }

    /// Keeps a connection, when there is room after all that is too old is closed.
    pub(super) fn keep(&self, place: Place, connection: Connection) {
        let mut kept = self.kept.lock();
        let now = Instant::now();
        kept.retain(|_, connections| {
            connections
                .retain(|kept| kept.connection.is_open() && now.duration_since(kept.since) < self.idle_max);
            !connections.is_empty()
        });
        let count: usize = kept.values().map(Vec::len).sum();
        if connection.is_open() && count < self.connections_max {
            kept.entry(place).or_default().push(Kept { connection, since: now });
        }
    }
}
