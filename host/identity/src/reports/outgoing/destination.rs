//! Whom reports go to: what the records of a domain say (`rua`).

use baton_dns::{DnsError, Resolver};
use baton_mail::{Domain, Mailbox};

use crate::dmarc;
use crate::tags::Tags;

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// By mail; of a larger report than this many octets its reader wants to know nothing.
    Mail(Mailbox, Option<u64>),
    /// By POST to this URL.
    Https(String),
}

/// Where the domain wants reports about TLS (RFC 8460 3). None when it does not want any.
///
/// # Errors
/// When the DNS gives no answer; what it said.
pub async fn tls_destinations(resolver: &Resolver, domain: &Domain) -> Result<Vec<Destination>, String> {
    let texts = texts(resolver, &format!("_smtp._tls.{domain}")).await?;
    Ok(one_record(&texts, "TLSRPTv1").map(|rua| read_all(&rua, true)).unwrap_or_default())
}

/// Where the domain of a DMARC record wants reports; those of other organizations only when they agreed (RFC 9990 4).
///
/// # Errors
/// When the DNS gives no answer; what it said.
pub async fn dmarc_destinations(resolver: &Resolver, domain: &Domain) -> Result<Vec<Destination>, String> {
    let rua = dmarc::reports_to(resolver, domain).await.map_err(|error| error.to_string())?;
    let mut agreed = Vec::new();
    for destination in rua.map(|rua| read_all(&rua, false)).unwrap_or_default() {
        let Destination::Mail(address, _) = &destination else { continue };
        match agreement(resolver, domain, address.domain()).await? {
            Agreement::None => {}
            Agreement::AsAsked => agreed.push(destination),
            // Another mailbox, but at the same host: it can speak for no other.
            Agreement::Instead(rua) => agreed.extend(read_all(&rua, false).into_iter().filter(
                |other| matches!(other, Destination::Mail(other, _) if other.domain() == address.domain()),
            )),
        }
    }
    agreed.dedup();
    agreed.truncate(DESTINATIONS_MAX);
    Ok(agreed)
}

/// What the reader of reports says about them.
enum Agreement {
    None,
    AsAsked,
    Instead(String),
}

/// Whether mailboxes of `reader` may be sent reports about `domain` (RFC 9990 4).
async fn agreement(resolver: &Resolver, domain: &Domain, reader: &Domain) -> Result<Agreement, String> {
    if dmarc::is_same_organization(resolver, domain.as_str(), reader.as_str()).await? {
        return Ok(Agreement::AsAsked);
    }
    let texts = texts(resolver, &format!("{domain}._report._dmarc.{reader}")).await?;
    let records = texts.iter().filter_map(|text| Tags::read(std::str::from_utf8(text).ok()?));
    let mut agreement = Agreement::None;
    for tags in records.filter(|tags| tags.first() == Some(("v", "DMARC1"))) {
        agreement = match (tags.get("rua"), agreement) {
            (Some(rua), _) => return Ok(Agreement::Instead(rua.to_owned())),
            (None, _) => Agreement::AsAsked,
        };
    }
    Ok(agreement)
}

async fn texts(resolver: &Resolver, name: &str) -> Result<Vec<Vec<u8>>, String> {
    match resolver.texts(name).await {
        Ok(texts) => Ok(texts.records),
        // What is too long for the DNS is not there.
        Err(DnsError::BadName) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// The `rua` of the one record of this version; several are none.
fn one_record(texts: &[Vec<u8>], version: &str) -> Option<String> {
    let mut records = texts.iter().filter_map(|text| {
        let tags = Tags::read(std::str::from_utf8(text).ok()?)?;
        (tags.first() == Some(("v", version))).then(|| tags.get("rua").unwrap_or_default().to_owned())
    });
    let (record, None) = (records.next()?, records.next()) else { return None };
    Some(record)
}

fn read_all(rua: &str, https: bool) -> Vec<Destination> {
    let read = |uri: &str| {
        let uri = uri.trim();
        if https && uri.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Some(Destination::Https(uri.to_owned()));
        }
        let (scheme, rest) = uri.split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case("mailto:") {
            return None;
        }
        let (address, limit) =
            rest.split_once('!').map_or((rest, None), |(address, limit)| (address, Some(limit)));
        let address = address.split('?').next().unwrap_or_default().parse().ok()?;
        Some(Destination::Mail(address, limit.and_then(read_limit)))
    };
    rua.split(',').filter_map(read).take(DESTINATIONS_MAX).collect()
}

/// `10m` and the like, which older records have (RFC 7489 6.4).
fn read_limit(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Destinations of one report: a domain must not make us send its reports to the whole world.
const DESTINATIONS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_urls_and_limits_are_read() {
        let mail = |text: &str, limit| Destination::Mail(text.parse().unwrap(), limit);
        assert_eq!(
            read_all("mailto:a@b.example!10m, MAILTO:c@d.example?x=y,https://e.example/r,ftp://x", true),
            [
                mail("a@b.example", Some(10 << 20)),
                mail("c@d.example", None),
                Destination::Https("https://e.example/r".to_owned())
            ]
        );
        assert_eq!(read_all("https://e.example/r", false), []);
        assert_eq!(read_all("mailto:nobody", true), []);
    }

    #[test]
    fn one_record_counts() {
        let record = |texts: &[&str]| {
            one_record(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>(), "TLSRPTv1")
        };
        assert_eq!(
            record(&["v=TLSRPTv1; rua=mailto:a@b.example", "other"]),
            Some("mailto:a@b.example".to_owned())
        );
        assert_eq!(
            record(&["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@d.example"]),
            None
        );
    }
}
