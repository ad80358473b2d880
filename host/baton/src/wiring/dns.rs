//! DNS for plugins: the relay's resolver with its cache.

use std::net::IpAddr;

use baton_dns::Resolver;
use baton_hooks::NameCheck;
use baton_hooks::host::{DnsAnswer, DnsBackend, DnsError};
use baton_inbound::checked_name;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// The relay's resolver as plugins see it.
#[derive(Clone)]
pub(crate) struct PluginDns(pub(crate) Resolver);

impl DnsBackend for PluginDns {
    fn lookup<'a>(&'a self, name: &'a str, rr_type: u16) -> BoxFuture<'a, Result<DnsAnswer, DnsError>> {
        async move {
            let answer = self.0.lookup(name, rr_type).await.map_err(to_plugin)?;
            Ok(DnsAnswer {
                rcode: answer.rcode,
                authenticated: answer.authenticated,
                ttl_s: answer.ttl_s,
                records: answer.records,
            })
        }
        .boxed()
    }

    fn reverse(&self, address: IpAddr) -> BoxFuture<'_, (Option<String>, NameCheck)> {
        async move { checked_name(self.0.reverse(address).await) }.boxed()
    }
}

fn to_plugin(error: baton_dns::DnsError) -> DnsError {
    match error {
        baton_dns::DnsError::Timeout => DnsError::Timeout,
        baton_dns::DnsError::BadName => DnsError::BadName,
        other => DnsError::Failed(other.to_string()),
    }
}
