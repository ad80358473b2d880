//! Trace fields (RFC 5321 4.4), and the fields that a submission server adds (RFC 6409 8).

use std::fmt::Write;
use std::net::IpAddr;

use baton_mail::{Domain, Mailbox, MessageId, Protocol, UnixMs};
use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// What a `Received` field tells.
pub(crate) struct Received<'a> {
    /// What the client called itself.
    pub(crate) helo: Option<&'a str>,
    /// Its address.
    pub(crate) client: IpAddr,
    /// Its name by the DNS, when it was looked up.
    pub(crate) client_name: Option<&'a str>,
    /// The relay's name.
    pub(crate) hostname: &'a Domain,
    /// The `with` clause, and what protected the connection.
    pub(crate) protocol: &'a Protocol,
    /// The message.
    pub(crate) id: MessageId,
    /// The recipient, when there is exactly one: several would show each other.
    pub(crate) recipient: Option<&'a Mailbox>,
    /// When the message came in.
    pub(crate) at: UnixMs,
}

/// Which fields to add to a submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// There is no `Date`.
    pub(crate) date: bool,
    /// There is no `Message-ID`.
    pub(crate) message_id: bool,
}

/// What the header of a message has of the fields that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How many `Received` fields there are.
    pub(crate) received: usize,
    /// There is a `Date`.
    pub(crate) date: bool,
    /// There is a `Message-ID`.
    pub(crate) message_id: bool,
}

impl Seen {
    /// Looks once over a header; works on every header, however large or damaged.
    pub(crate) fn scan(header: &[u8]) -> Seen {
        let mut seen = Seen::default();
        for line in lines(header) {
            match line.first() {
                Some(b'r' | b'R') if is_field(line, b"received") => seen.received += 1,
                Some(b'd' | b'D') if is_field(line, b"date") => seen.date = true,
                Some(b'm' | b'M') if is_field(line, b"message-id") => seen.message_id = true,
                _ => {}
            }
        }
        seen
    }

    /// What is to be added when the message is a submission.
    pub(crate) fn missing(self) -> Missing {
        Missing { date: !self.date, message_id: !self.message_id }
    }
}

/// True when a header, however large or damaged, has a field of that name.
pub(crate) fn has_field(header: &[u8], name: &str) -> bool {
    lines(header).any(|line| is_field(line, name.as_bytes()))
}

/// The lines of a header, each with what follows it.
fn lines(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let begins = memchr::memchr_iter(b'\n', header).map(|end| end + 1);
    std::iter::once(0).chain(begins).filter_map(|start| header.get(start..).filter(|rest| !rest.is_empty()))
}

/// True when `line` begins with the field of that name; blanks before the colon are the obsolete form (RFC 5322 4.5).
fn is_field(line: &[u8], name: &[u8]) -> bool {
    let rest = match line.split_at_checked(name.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(name) => rest,
        _ => return false,
    };
    rest.iter().find(|octet| !matches!(octet, b' ' | b'\t')) == Some(&b':')
}

impl Received<'_> {
    /// The trace field and, behind it, the fields that were missing. Each line ends with CRLF.
    pub(crate) fn encode(&self, missing: Missing) -> Bytes {
        let mut text = String::with_capacity(FIELD_OCTETS);
        let date = date_text(self.at);
        // Writing to a string can not fail.
        let _ = write!(text, "Received: from {} (", helo_text(self.helo));
        if let Some(name) = self.client_name {
            let _ = write!(text, "{name} ");
        }
        match self.client.to_canonical() {
            IpAddr::V4(address) => write!(text, "[{address}])"),
            IpAddr::V6(address) => write!(text, "[IPv6:{address}])"),
        }
        .ok();
        let tls = self.protocol.tls.as_deref();
        let _ = write!(text, "\r\n\tby {} with {}", self.hostname, self.protocol.name);
        if let Some(tls) = tls {
            let _ = write!(text, " ({})", tls.version);
        }
        let _ = write!(text, " id {}", self.id);
        if let Some(recipient) = self.recipient {
            let _ = write!(text, "\r\n\tfor <{recipient}>");
        }
        // RFC 8314 4.3.
        if let Some(tls) = tls {
            let _ = write!(text, "\r\n\ttls {}", tls.cipher);
        }
        let _ = write!(text, ";\r\n\t{date}\r\n");
        if missing.date {
            let _ = write!(text, "Date: {date}\r\n");
        }
        if missing.message_id {
            let _ = write!(text, "Message-ID: <{}@{}>\r\n", self.id, self.hostname);
        }
        Bytes::from(text)
    }
}

/// How a message comes in, as far as the name of its protocol tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// By LMTP.
    pub(crate) lmtp: bool,
    /// After EHLO.
    pub(crate) esmtp: bool,
    /// Under TLS.
    pub(crate) protected: bool,
    /// After AUTH.
    pub(crate) authenticated: bool,
    /// With SMTPUTF8.
    pub(crate) smtputf8: bool,
}

impl Manner {
    /// The protocol of the `with` clause (RFC 3848, RFC 6531 4.3).
    pub(crate) fn protocol_name(self) -> String {
        let name = match (self.lmtp, self.esmtp, self.smtputf8) {
            (true, _, false) => "LMTP",
            (true, _, true) => "UTF8LMTP",
            // What HELO begins has no other name.
            (false, false, _) => return "SMTP".to_owned(),
            (false, true, false) => "ESMTP",
            (false, true, true) => "UTF8SMTP",
        };
        let (protected, authenticated) =
            (if self.protected { "S" } else { "" }, if self.authenticated { "A" } else { "" });
        format!("{name}{protected}{authenticated}")
    }
}

/// The client's own name where it has the form of a name or literal; anything else could be taken for another clause.
fn helo_text(helo: Option<&str>) -> &str {
    let is_plain = |name: &&str| {
        let octet_is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b".-_:[]".contains(&octet);
        !name.is_empty() && name.len() <= HELO_OCTETS_MAX && name.bytes().all(octet_is_plain)
    };
    helo.filter(is_plain).unwrap_or("unknown")
}

/// RFC 5322 3.3, in UTC.
fn date_text(at: UnixMs) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // The format knows the years from 1900 on, and a moment after 1970 is one of them.
    moment.format(&Rfc2822).unwrap_or_default()
}

/// Room for a field with long names, so that writing it allocates once.
const FIELD_OCTETS: usize = 448;
/// A name that fits the DNS (RFC 5321 4.5.3.1.2).
const HELO_OCTETS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use baton_mail::TlsFacts;

    use super::*;

    fn received(helo: Option<&str>, client: &str, recipient: Option<&Mailbox>, missing: Missing) -> String {
        received_by(&Protocol::plain("ESMTP"), helo, client, recipient, missing)
    }

    fn received_by(
        protocol: &Protocol,
        helo: Option<&str>,
        client: &str,
        recipient: Option<&Mailbox>,
        missing: Missing,
    ) -> String {
        let hostname: Domain = "mx.example".parse().unwrap();
        let id: MessageId = "01KB3Z5Y8M2Q4R6S8T0V2W4X6Y".parse().unwrap();
        let (client, at) = (client.parse().unwrap(), UnixMs(1_795_459_531_000));
        let field =
            Received { helo, client, client_name: None, hostname: &hostname, protocol, id, recipient, at };
        String::from_utf8(field.encode(missing).to_vec()).unwrap()
    }

    #[test]
    fn the_field_has_the_form_of_rfc_5321() {
        let recipient = "a@b.example".parse().unwrap();
        assert_eq!(
            received(Some("c.example"), "192.0.2.1", Some(&recipient), Missing::default()),
            "Received: from c.example ([192.0.2.1])\r\n\tby mx.example with ESMTP id 01KB3Z5Y8M2Q4R6S8T0V2W4X6Y\r\n\
             \tfor <a@b.example>;\r\n\tMon, 23 Nov 2026 18:45:31 +0000\r\n"
        );
    }

    #[test]
    fn a_name_that_could_forge_a_clause_is_left_out() {
        for helo in [None, Some(""), Some("x; (by evil)"), Some("x\r\nA: b"), Some("x by mx.evil")] {
            assert!(
                received(helo, "2001:db8::1", None, Missing::default())
                    .starts_with("Received: from unknown ([IPv6:2001:db8::1])")
            );
        }
    }

    #[test]
    fn a_submission_gets_what_it_lacks() {
        let text = received(None, "192.0.2.1", None, Missing { date: true, message_id: true });
        assert!(text.ends_with(
            "\tMon, 23 Nov 2026 18:45:31 +0000\r\nDate: Mon, 23 Nov 2026 18:45:31 +0000\r\n\
             Message-ID: <01KB3Z5Y8M2Q4R6S8T0V2W4X6Y@mx.example>\r\n"
        ));
        assert!(!text.contains("for <"));
    }

    #[test]
    fn fields_are_seen_in_every_spelling() {
        let header = b"Received: a\r\n received: folded\r\nRECEIVED : b\r\nReceived-SPF: x\r\ndate:\r\nMessage-IDs: 1\r\n";
        assert_eq!(Seen::scan(header), Seen { received: 2, date: true, message_id: false });
        assert_eq!(Seen::scan(b""), Seen::default());
        assert_eq!(Seen::scan(b"message-id:x"), Seen { message_id: true, ..Seen::default() });
        assert!(
            has_field(header, "received-spf") && has_field(header, "Received") && has_field(header, "DATE")
        );
        assert!(!has_field(header, "folded") && !has_field(header, "Message-ID") && !has_field(b"", "Date"));
    }

    #[test]
    fn the_field_names_the_cipher() {
        let tls = TlsFacts {
            version: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            ..TlsFacts::default()
        };
        let protocol = Protocol { name: "ESMTPS".to_owned(), tls: Some(std::sync::Arc::new(tls)) };
        let text = received_by(&protocol, None, "192.0.2.1", None, Missing::default());
        assert!(text.contains(" with ESMTPS (TLSv1.3) id "), "{text}");
        assert!(text.contains("\r\n\ttls TLS_AES_256_GCM_SHA384;\r\n"), "{text}");
    }

    #[test]
    fn protocol_names_are_the_registered_ones() {
        let esmtp = Manner { esmtp: true, ..Manner::default() };
        let lmtp = Manner { lmtp: true, ..esmtp };
        let all = |manner: Manner| Manner { protected: true, authenticated: true, smtputf8: true, ..manner };
        for (manner, name) in [
            (Manner::default(), "SMTP"),
            (all(Manner::default()), "SMTP"),
            (Manner { authenticated: true, ..esmtp }, "ESMTPA"),
            (Manner { protected: true, ..esmtp }, "ESMTPS"),
            (Manner { smtputf8: true, ..esmtp }, "UTF8SMTP"),
            (all(esmtp), "UTF8SMTPSA"),
            (lmtp, "LMTP"),
            (all(lmtp), "UTF8LMTPSA"),
        ] {
            assert_eq!(manner.protocol_name(), name);
        }
    }
}
