//! Whom reports go to: what the records of a domain say (`rua`).

use baton_dns::{DnsError, Resolver};
use baton_mail::{Domain, Mailbox};

use crate::tags::Tags;

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// By mail.
    Mail(Mailbox),
    /// By POST to this URL.
    Https(String),
}

/// Where the domain wants reports about TLS (RFC 8460 3). None when it does not want any.
///
/// # Errors
/// When the DNS gives no answer.
pub async fn tls_destinations(resolver: &Resolver, domain: &Domain) -> Result<Vec<Destination>, DnsError> {
    let texts = resolver.texts(&format!("_smtp._tls.{domain}")).await?.records;
    Ok(one_record(&texts, "TLSRPTv1").map(|rua| read_all(&rua)).unwrap_or_default())
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

fn read_all(rua: &str) -> Vec<Destination> {
    let read = |uri: &str| {
        let uri = uri.trim();
        if uri.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Some(Destination::Https(uri.to_owned()));
        }
        let (scheme, rest) = uri.split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case("mailto:") {
            return None;
        }
        let address = rest.split(['?', '!']).next().unwrap_or_default().parse().ok()?;
        Some(Destination::Mail(address))
    };
    rua.split(',').filter_map(read).take(DESTINATIONS_MAX).collect()
}

/// Destinations of one report: a domain must not make us send its reports to the whole world.
const DESTINATIONS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_urls_are_read() {
        let mail = |text: &str| Destination::Mail(text.parse().unwrap());
        assert_eq!(
            read_all("mailto:a@b.example!10m, MAILTO:c@d.example,https://e.example/r,ftp://x"),
            [mail("a@b.example"), mail("c@d.example"), Destination::Https("https://e.example/r".to_owned())]
        );
        assert_eq!(read_all("mailto:nobody"), []);
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
