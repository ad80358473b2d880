//! What the connection to one host needs: the policy of its next hop, and what the DNS says about its certificates.

use std::sync::Arc;

use baton_dns::{HostAddresses, TlsaRecord};
use baton_mail::{Domain, EnhancedCode, FailureClass, Phase, Status};
use baton_tls::{Dane, Trust};

use crate::connect::Reach;
use crate::security::{Sts, TlsPolicy, TlsUse};
use crate::site::Candidate;

/// What a connection to a host needs.
pub(crate) struct Protection {
    pub(crate) tls: TlsPolicy,
    pub(crate) trust: Trust,
}

/// Finds out what connections to a host need. `domain` is for whose mail.
///
/// # Errors
/// Why no mail may go to the host now.
pub(crate) async fn protect(
    reach: &Reach,
    candidate: &Candidate,
    found: &HostAddresses,
    domain: Option<&Domain>,
) -> Result<Protection, Status> {
    let tls = candidate.tls.clone();
    // Without a proved address there are no proved TLSA records, and some name servers fail when they are asked for them
    // (RFC 7672 2.2.2).
    let records =
        if tls.published.dane && found.secure { tlsa(reach, candidate, found).await? } else { None };
    let Some((base, records)) = records else {
        if tls.published.sts == Some(Sts::Unlisted) {
            return Err(unlisted());
        }
        let trust = tls.trust();
        return Ok(Protection { tls, trust });
    };
    let mut names = vec![base];
    for name in [Some(candidate.host.host.as_str()), domain.map(Domain::as_str)].into_iter().flatten() {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let name = names.first().cloned();
    let records = records.into_iter().map(|one| (one.usage, one.selector, one.matching, one.data));
    let tls = TlsPolicy { mode: TlsUse::Required, ..tls };
    match Dane::new(records, names) {
        Some(dane) => Ok(Protection { tls: TlsPolicy { name, ..tls }, trust: Trust::Dane(Arc::new(dane)) }),
        // None of the records is of use: TLS is needed, and the records prove nothing (RFC 7672 2.2).
        None if tls.published.sts == Some(Sts::Unlisted) => Err(unlisted()),
        None => Ok(Protection { tls, trust: candidate.tls.trust() }),
    }
}

/// The TLSA records of a host, and under which of its names: the one it is an alias of, then its own (RFC 7672 2.2.3).
async fn tlsa(
    reach: &Reach,
    candidate: &Candidate,
    found: &HostAddresses,
) -> Result<Option<(String, Vec<TlsaRecord>)>, Status> {
    let own = candidate.host.host.as_str();
    let bases = [Some(found.name.as_str()), Some(own).filter(|own| *own != found.name)];
    for base in bases.into_iter().flatten() {
        let records = reach.resolver.tlsa(base, candidate.host.port).await.map_err(|error| {
            let text = format!("TLSA records of {base}: {error}");
            Status::ours(Phase::Dns, FailureClass::Dns, EnhancedCode(4, 7, 5), text)
        })?;
        if !records.is_empty() {
            return Ok(Some((base.to_owned(), records)));
        }
    }
    Ok(None)
}

fn unlisted() -> Status {
    let text = "the MTA-STS policy of the domain does not list this host";
    Status::ours(Phase::Tls, FailureClass::Tls, EnhancedCode(4, 7, 5), text)
}
