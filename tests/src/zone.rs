//! The DNS server for tests that are not asynchronous themselves: it runs on a thread of its own.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::runtime::{Builder, Runtime};

use crate::dns::DnsServer;

/// A running server and the runtime that it lives in; both end with this.
pub struct Zone {
    server: DnsServer,
    _runtime: Runtime,
}

impl Zone {
    /// Serves zone text (RFC 1035 5).
    pub fn serve(text: &str) -> Result<Zone> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let server = runtime.block_on(DnsServer::start(text))?;
        Ok(Zone { server, _runtime: runtime })
    }

    /// Serves zone text as one signed zone, but for `unsigned` names and all below them.
    pub fn serve_signed(text: &str, unsigned: &[&str]) -> Result<Zone> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let server = runtime.block_on(DnsServer::start_signed(text, unsigned))?;
        Ok(Zone { server, _runtime: runtime })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The server itself, for its faults and counts.
    pub fn server(&self) -> &DnsServer {
        &self.server
    }
}
