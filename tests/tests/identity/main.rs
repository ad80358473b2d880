//! What others wrote to check SPF, DKIM, DMARC and ARC, put to the relay's own code over its real resolver. Each test prints
//! how many cases passed; what can not pass is listed with its reason in `tests/CONFORMANCE.md`.

mod arc;
mod dkim;
mod dmarc;
mod spf;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_dns::{DnsSettings, Resolver};
use baton_identity::{Arrival, CheckSettings, Checker, Results};
use baton_mail::body::Content;
use baton_mail::clock::ManualClock;
use baton_mail::header::HeaderLimits;
use baton_mail::{ReversePath, UnixMs};
use bytes::Bytes;

/// What `.ci/vectors` fetched.
fn vectors(name: &str) -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let path = cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("baton/vectors").join(name);
    ensure!(path.exists(), "{} is missing; fetch it: .ci/vectors", path.display());
    Ok(path)
}

/// The relay's resolver, patient enough for a loaded machine.
fn resolver(server: SocketAddr) -> Result<Resolver> {
    let settings = DnsSettings { servers: vec![server], timeout_ms: 10_000, ..DnsSettings::default() };
    Ok(Resolver::new(&settings)?)
}

/// All checks of one message from 192.0.2.1, which calls itself `mail.sender.example`.
async fn check(server: SocketAddr, sender: ReversePath, message: &[u8]) -> Result<Results> {
    let clock = Arc::new(ManualClock::new(UnixMs(NOW_MS)));
    let checker = Checker::new(resolver(server)?, clock);
    let mut settings = CheckSettings::new("relay.example".parse()?);
    settings.deadline = Duration::from_secs(60);
    settings.arc = true;
    let arrival =
        Arrival { client: "192.0.2.1".parse()?, helo: Some("mail.sender.example".to_owned()), sender };
    let begun = checker.begin(&settings, arrival);
    let content = Content::split(Bytes::copy_from_slice(message));
    Ok(checker.finish(&settings, begun, &content, &HeaderLimits::default()).await)
}

/// Some day in 2026.
const NOW_MS: u64 = 1_795_000_000_000;
