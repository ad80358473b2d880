//! A report as a message (RFC 8460 5.3, RFC 9990 3.5.2).

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_mail::{Mailbox, UnixMs};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::Heading;

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// How mail hosts of the domain were reached.
    Tls,
    /// Mail in the name of the domain.
    Dmarc,
}

impl Kind {
    /// `tls` or `dmarc`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Tls => "tls",
            Kind::Dmarc => "dmarc",
        }
    }
}

/// The message: header and content, lines ended by CRLF. `packed` is the report by gzip.
pub fn compose(
    kind: Kind,
    heading: &Heading,
    packed: &[u8],
    (from, to): (&Mailbox, &Mailbox),
    now: UnixMs,
) -> Vec<u8> {
    let (domain, submitter, id) = (&heading.domain, &heading.submitter, &heading.id);
    let boundary = format!("=_{id}");
    let (media, ending, what, structure) = match kind {
        Kind::Tls => (
            "application/tlsrpt+gzip",
            "json.gz",
            "about TLS to the mail hosts of",
            format!(
                "TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {submitter}\r\n\
                 Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{boundary}\""
            ),
        ),
        Kind::Dmarc => (
            "application/gzip",
            "xml.gz",
            "of DMARC about mail in the name of",
            format!("Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\""),
        ),
    };
    let date = OffsetDateTime::from_unix_timestamp(now.seconds())
        .ok()
        .and_then(|moment| moment.format(&Rfc2822).ok());
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = write!(text, "{line}\r\n");
    };
    line(format_args!("From: <{from}>"));
    line(format_args!("To: <{to}>"));
    line(format_args!("Date: {}", date.unwrap_or_default()));
    line(format_args!("Message-ID: <{id}@{submitter}>"));
    line(format_args!("Subject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{id}>"));
    line(format_args!("Auto-Submitted: auto-generated"));
    // Trouble with what carries the report must cause none of its own (RFC 8460 3, 5.6; RFC 8689 5).
    line(format_args!("TLS-Required: No"));
    line(format_args!("MIME-Version: 1.0\r\n{structure}"));
    line(format_args!("\r\n--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n"));
    line(format_args!("This is an aggregate report {what}\r\n{domain}, from {submitter}."));
    line(format_args!("Questions: {}", heading.contact));
    let file = format!("{}.{ending}", heading.file_stem());
    line(format_args!("\r\n--{boundary}\r\nContent-Type: {media}"));
    line(format_args!("Content-Transfer-Encoding: base64"));
    line(format_args!("Content-Disposition: attachment;\r\n filename=\"{file}\"\r\n"));
    let encoded = BASE64.encode(packed);
    for piece in encoded.as_bytes().chunks(76) {
        line(format_args!("{}", String::from_utf8_lossy(piece)));
    }
    line(format_args!("--{boundary}--"));
    text.into_bytes()
}
