//! `dns`: the relay's resolver, by grant, a bounded number of queries a call.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::bindings::baton::host::dns::{Answer, Error, Host, Query};
use crate::host::{DnsBackend, DnsError};
use crate::state::State;

/// IANA number of address records.
const TYPE_A: u16 = 1;

impl State {
    /// The resolver, when the plugin may send so many more queries.
    fn check_queries(&mut self, count: usize) -> Result<Arc<dyn DnsBackend>, Error> {
        if self.hook.is_none() || !self.terms.grants.dns {
            return Err(Error::Denied);
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.budget.dns_queries = self.budget.dns_queries.checked_sub(count).ok_or(Error::Denied)?;
        Ok(Arc::clone(&self.terms.capabilities.dns))
    }
}

impl Host for State {
    async fn lookup(&mut self, query: Query) -> wasmtime::Result<Result<Answer, Error>> {
        self.charge()?;
        match self.check_queries(1) {
            Ok(dns) => Ok(ask(&*dns, &query.name, query.rr_type).await),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn lookup_many(&mut self, queries: Vec<Query>) -> wasmtime::Result<Vec<Result<Answer, Error>>> {
        self.charge()?;
        match self.check_queries(queries.len()) {
            Ok(dns) => Ok(join_all(queries.iter().map(|query| ask(&*dns, &query.name, query.rr_type))).await),
            Err(error) => Ok(queries.iter().map(|_| Err(error.clone())).collect()),
        }
    }

    async fn blocklists(
        &mut self,
        zones: Vec<String>,
        subject: String,
    ) -> wasmtime::Result<Vec<Result<Vec<String>, Error>>> {
        self.charge()?;
        let label = match subject.parse::<IpAddr>() {
            Ok(address) => reverse(address),
            Err(_) => subject,
        };
        match self.check_queries(zones.len()) {
            Ok(dns) => Ok(join_all(zones.iter().map(|zone| ask_list(&*dns, &label, zone))).await),
            Err(error) => Ok(zones.iter().map(|_| Err(error.clone())).collect()),
        }
    }
}

async fn ask(dns: &dyn DnsBackend, name: &str, rr_type: u16) -> Result<Answer, Error> {
    let answer = dns.lookup(name, rr_type).await?;
    Ok(Answer {
        rcode: answer.rcode,
        authenticated: answer.authenticated,
        ttl: answer.ttl_s,
        records: answer.records,
    })
}

/// Asks one list. No such name means: not listed (RFC 5782 2.1). Any other code is a failure, not a listing.
async fn ask_list(dns: &dyn DnsBackend, label: &str, zone: &str) -> Result<Vec<String>, Error> {
    let answer = dns.lookup(&format!("{label}.{zone}"), TYPE_A).await?;
    match answer.rcode {
        0 => Ok(answer.records),
        3 => Ok(Vec::new()),
        code => Err(Error::Failed(format!("response code {code}"))),
    }
}

/// The address as labels in reverse order: octets (RFC 5782 2.1) or nibbles (2.4).
fn reverse(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

impl From<DnsError> for Error {
    fn from(error: DnsError) -> Error {
        match error {
            DnsError::Timeout => Error::Timeout,
            DnsError::BadName => Error::BadName,
            DnsError::Failed(detail) => Error::Failed(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reversed() {
        assert_eq!(reverse("192.0.2.99".parse().unwrap()), "99.2.0.192");
        let expected = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
        assert_eq!(reverse("2001:db8::1".parse().unwrap()), expected);
        assert_eq!(reverse("::ffff:192.0.2.99".parse().unwrap()), "99.2.0.192");
    }
}
