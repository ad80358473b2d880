//! A report as a message (RFC 8460 5.3).

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_mail::{Mailbox, UnixMs};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::Heading;

/// The message: header and content, lines ended by CRLF.
pub fn compose(heading: &Heading, packed: &[u8], from: &Mailbox, to: &Mailbox, now: UnixMs) -> Vec<u8> {
    let (domain, submitter, id) = (&heading.domain, &heading.submitter, &heading.id);
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
    line(format_args!("Subject: Report Domain: {domain} Submitter: {submitter}\r\n Report-ID: <{id}>"));
    line(format_args!("Auto-Submitted: auto-generated"));
    // Trouble with what carries the report must cause none of its own (RFC 8460 3, 5.6; RFC 8689 5).
    line(format_args!("TLS-Required: No"));
    line(format_args!("MIME-Version: 1.0"));
    let boundary = format!("=_{id}");
    line(format_args!("TLS-Report-Domain: {domain}"));
    line(format_args!("TLS-Report-Submitter: {submitter}"));
    line(format_args!("Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{boundary}\""));
    line(format_args!("\r\n--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n"));
    line(format_args!("This is an aggregate report about TLS to the mail hosts of {domain},"));
    line(format_args!("from {submitter}. Questions: {}", heading.contact));
    let file = format!("{}.json.gz", heading.file_stem());
    line(format_args!("\r\n--{boundary}\r\nContent-Type: application/tlsrpt+gzip"));
    line(format_args!("Content-Transfer-Encoding: base64"));
    line(format_args!("Content-Disposition: attachment;\r\n filename=\"{file}\"\r\n"));
    let encoded = BASE64.encode(packed);
    for piece in encoded.as_bytes().chunks(76) {
        line(format_args!("{}", String::from_utf8_lossy(piece)));
    }
    line(format_args!("--{boundary}--"));
    text.into_bytes()
}
