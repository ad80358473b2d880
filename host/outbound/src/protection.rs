//! What the connection to one host needs: the policy of its next hop, and what the DNS says about its certificates.

use std::sync::Arc;

use baton_dns::{DnsError, HostAddresses, TlsaRecord};
use baton_mail::tls::TlsFlaw;
use baton_mail::{Domain, EnhancedCode, FailureClass, Phase, Status};
use baton_tls::{Dane, Trust};

use crate::connect::Reach;
use crate::security::{Sts, TlsPolicy, TlsUse};
use crate::site::Candidate;

/// What a connection to a host needs.
pub(crate) struct Protection {
    pub(crate) tls: TlsPolicy,
    pub(crate) trust: Trust,
    /// The TLSA records that it goes by, and whose they are.
    pub(crate) tlsa: Option<(String, Vec<TlsaRecord>)>,
}

/// Why no mail may go to a host now.
pub(crate) struct Withheld {
    pub(crate) status: Status,
    /// What reports about TLS call it.
    pub(crate) flaw: TlsFlaw,
    /// It is about the TLSA records of this name.
    pub(crate) tlsa_of: Option<String>,
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
) -> Result<Protection, Withheld> {
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
        return Ok(Protection { tls, trust, tlsa: None });
    };
    let mut names = vec![base.clone()];
    for name in [Some(candidate.host.host.as_str()), domain.map(Domain::as_str)].into_iter().flatten() {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let name = names.first().cloned();
    let fields = records.iter().map(|one| (one.usage, one.selector, one.matching, one.data.clone()));
    let tls = TlsPolicy { mode: TlsUse::Required, ..tls };
    let (tls, trust) = match Dane::new(fields, names) {
        Some(dane) => (TlsPolicy { name, ..tls }, Trust::Dane(Arc::new(dane))),
        // None of the records is of use: TLS is needed, and the records prove nothing (RFC 7672 2.2).
        None if tls.published.sts == Some(Sts::Unlisted) => return Err(unlisted()),
        None => (tls, candidate.tls.trust()),
    };
    Ok(Protection { tls, trust, tlsa: Some((base, records)) })
}

/// The TLSA records of a host, and under which of its names: the one it is an alias of, then its own (RFC 7672 2.2.3).
async fn tlsa(
    reach: &Reach,
    candidate: &Candidate,
    found: &HostAddresses,
) -> Result<Option<(String, Vec<TlsaRecord>)>, Withheld> {
    let own = candidate.host.host.as_str();
    let bases = [Some(found.name.as_str()), Some(own).filter(|own| *own != found.name)];
    for base in bases.into_iter().flatten() {
        let records = reach.resolver.tlsa(base, candidate.host.port).await.map_err(|error| {
            let text = format!("TLSA records of {base}: {error}");
            Withheld {
                status: Status::ours(Phase::Dns, FailureClass::Dns, EnhancedCode(4, 7, 5), text),
                flaw: if error == DnsError::Bogus { TlsFlaw::DnssecInvalid } else { TlsFlaw::TlsaInvalid },
                tlsa_of: Some(base.to_owned()),
            }
        })?;
        if !records.is_empty() {
            return Ok(Some((base.to_owned(), records)));
        }
    }
    Ok(None)
}

fn unlisted() -> Withheld {
    let text = "the MTA-STS policy of the domain does not list this host";
    Withheld {
        status: Status::ours(Phase::Tls, FailureClass::Tls, EnhancedCode(4, 7, 5), text),
        flaw: TlsFlaw::ValidationFailure,
        tlsa_of: None,
    }
}
