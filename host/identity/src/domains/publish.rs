//! Records to publish, as they are typed into a zone or a form.

use std::fmt::Write;

use serde::Serialize;
use utoipa::ToSchema;

use super::file::{DomainFile, KeyRecord, KeyState};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DnsRecord {
    /// The name, without a dot at its end.
    pub name: String,
    /// The type.
    pub kind: &'static str,
    /// The data in one piece, as web forms take it.
    pub data: String,
}

impl DnsRecord {
    pub(super) fn text(name: String, data: String) -> DnsRecord {
        DnsRecord { name, kind: "TXT", data }
    }

    /// The line of a zone file (RFC 1035 5.1). Texts are cut into strings of at most 255 octets.
    pub fn zone_line(&self) -> String {
        let mut line = format!("{}. 3600 IN {}", self.name, self.kind);
        if self.kind == "TXT" {
            for piece in self.data.as_bytes().chunks(STRING_OCTETS_MAX) {
                // Our own data is ASCII without quotes and backslashes; writing to a string can not fail.
                let _ = write!(line, " \"{}\"", String::from_utf8_lossy(piece));
            }
        } else {
            let _ = write!(line, " {}", self.data);
        }
        line
    }
}

impl KeyRecord {
    /// The record of this key (RFC 6376 3.6.1).
    pub fn dns_record(&self, domain: &baton_mail::Domain) -> DnsRecord {
        let kind = if self.algorithm == "rsa-sha256" { "rsa" } else { "ed25519" };
        let name = format!("{}._domainkey.{domain}", self.selector);
        DnsRecord::text(name, format!("v=DKIM1; k={kind}; p={}", self.public))
    }
}

impl DomainFile {
    /// The records of the keys in a state.
    pub fn key_records(&self, state: KeyState) -> Vec<DnsRecord> {
        self.keys.iter().filter(|key| key.state == state).map(|key| key.dns_record(&self.domain)).collect()
    }
}

/// RFC 1035 3.3.
const STRING_OCTETS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_into_strings() {
        let record = DnsRecord::text("a.example".to_owned(), "x".repeat(300));
        let expected = format!("a.example. 3600 IN TXT \"{}\" \"{}\"", "x".repeat(255), "x".repeat(45));
        assert_eq!(record.zone_line(), expected);
        let mx = DnsRecord { name: "a.example".to_owned(), kind: "MX", data: "10 b.example.".to_owned() };
        assert_eq!(mx.zone_line(), "a.example. 3600 IN MX 10 b.example.");
    }
}
