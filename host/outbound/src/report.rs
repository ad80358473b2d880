//! Reports to the sender about failed recipients (RFC 3464 in RFC 6522, internationalised by RFC 6533).
//!
//! A report is 7-bit whatever the original was, but for internationalised mail, whose report may only go where
//! the original came from: to systems that know SMTPUTF8.

use std::fmt::Write;

use baton_mail::{Body, Envelope, Mailbox, MessageId, Origin, Recipient, ReversePath, Status, UnixMs};
use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::settings::OutboundSettings;

mod encoding;

use encoding::{fits_in_seven_bits, quoted_printable, to_ascii};

/// A recipient that failed, and why.
#[derive(Debug)]
pub(crate) struct FailedRecipient<'a> {
    pub(crate) recipient: &'a Recipient,
    pub(crate) status: &'a Status,
}

/// A finished report: what the queue needs to carry it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) envelope: Envelope,
    pub(crate) body: Body,
}

/// Why no report is made.
pub(crate) const NO_SENDER: &str = "no report: the message has no return path";

/// Writes the report about `failed` recipients of the message in `envelope`, whose header is `header`.
///
/// `None` when the message has the null return path, as every report has (RFC 5321 4.5.5): a report about a
/// report can not come about.
pub(crate) fn write_report(
    settings: &OutboundSettings,
    now: UnixMs,
    envelope: &Envelope,
    failed: &[FailedRecipient<'_>],
    header: &Bytes,
) -> Option<Report> {
    let ReversePath::Mailbox(sender) = &envelope.sender else { return None };
    let writer = Writer {
        settings,
        now,
        id: MessageId::new(now),
        original: envelope,
        sender,
        failed,
        header: cut_header(header, settings.dsn.header_octets_max),
        utf8: envelope.smtputf8 && needs_utf8(sender, failed, header),
    };
    let mut text = Vec::with_capacity(2_048 + header.len());
    writer.write(&mut text);
    let lifetime = settings.dsn.lifetime();
    let mut report = Envelope::new(writer.id, now, lifetime, ReversePath::Null, Origin::internal());
    report.recipients.push(Recipient::from(sender.clone()));
    report.eight_bit = writer.utf8;
    report.smtputf8 = writer.utf8;
    report.size = text.len() as u64;
    Some(Report { envelope: report, body: Body::from(Bytes::from(text)) })
}

/// True when the report can not be told in ASCII.
fn needs_utf8(sender: &Mailbox, failed: &[FailedRecipient<'_>], header: &[u8]) -> bool {
    let address_needs_it = |recipient: &Recipient| {
        recipient.address.needs_smtputf8() || recipient.original.as_ref().is_some_and(Mailbox::needs_smtputf8)
    };
    sender.needs_smtputf8() || failed.iter().any(|one| address_needs_it(one.recipient)) || !header.is_ascii()
}

/// Whole lines of the header, up to the bound.
fn cut_header(header: &Bytes, octets_max: usize) -> Bytes {
    if header.len() <= octets_max {
        return header.clone();
    }
    let kept = header.slice(..octets_max);
    let end = kept.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
    header.slice(..end)
}

struct Writer<'a> {
    settings: &'a OutboundSettings,
    now: UnixMs,
    id: MessageId,
    original: &'a Envelope,
    sender: &'a Mailbox,
    failed: &'a [FailedRecipient<'a>],
    header: Bytes,
    utf8: bool,
}

impl Writer<'_> {
    fn write(&self, output: &mut Vec<u8>) {
        // The id is new, so its text can not occur in anything that was written before it was made.
        let boundary = format!("report-{}", self.id);
        output.extend_from_slice(self.fields(&boundary).as_bytes());
        self.part(output, &boundary, "text/plain; charset=utf-8", self.explanation().as_bytes());
        let (status_type, header_type) = match self.utf8 {
            true => ("message/global-delivery-status", "message/global-headers"),
            false => ("message/delivery-status", "text/rfc822-headers"),
        };
        self.part(output, &boundary, status_type, self.delivery_status().as_bytes());
        self.part(output, &boundary, header_type, &self.header);
        output.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    }

    fn fields(&self, boundary: &str) -> String {
        let hostname = &self.settings.hostname;
        format!(
            "From: Mail Delivery System <{from}>\r\n\
             To: <{to}>\r\n\
             Subject: Your message could not be delivered\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{hostname}>\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type={kind}; boundary=\"{boundary}\"\r\n\r\n",
            from = self.settings.dsn.from,
            to = self.sender,
            date = date(self.now),
            id = self.id,
            kind = if self.utf8 { "global-delivery-status" } else { "delivery-status" },
        )
    }

    /// One part. What does not fit in seven bits is quoted, but in internationalised reports, which go as they are.
    fn part(&self, output: &mut Vec<u8>, boundary: &str, content_type: &str, content: &[u8]) {
        let encoding = match (fits_in_seven_bits(content), self.utf8) {
            (true, _) => "7bit",
            (false, true) => "8bit",
            (false, false) => "quoted-printable",
        };
        let fields = format!(
            "--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        output.extend_from_slice(fields.as_bytes());
        match encoding {
            "quoted-printable" => quoted_printable(content, output),
            _ => output.extend_from_slice(content),
        }
        output.extend_from_slice(b"\r\n");
    }

    /// The part for people.
    fn explanation(&self) -> String {
        let mut text = format!(
            "This is the mail system at {}.\r\n\r\n\
             A message that you sent on {} could not be delivered to\r\n\
             the recipients below. It will not be tried again.\r\n\r\n",
            self.settings.hostname,
            date(self.original.received_at),
        );
        for one in self.failed {
            // Writing to a string does not fail.
            let _ = write!(text, "<{}>\r\n", one.recipient.address);
            if let Some(original) = &one.recipient.original {
                let _ = write!(text, "    (sent to <{original}>)\r\n");
            }
            let _ = write!(text, "    {}\r\n\r\n", reason(one.status));
        }
        let _ = write!(text, "The message was {} here. Its header is attached.\r\n", self.original.id);
        text
    }

    /// The part for programs (RFC 3464 2.1): fields of the message, then a group for each recipient.
    fn delivery_status(&self) -> String {
        let mut text = format!(
            "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\nX-Baton-Message: {}\r\n",
            self.settings.hostname,
            date(self.original.received_at),
            self.original.id
        );
        for one in self.failed {
            text.push_str("\r\n");
            self.recipient_fields(&mut text, one);
        }
        text
    }

    /// The fields of one recipient (RFC 3464 2.3).
    fn recipient_fields(&self, text: &mut String, one: &FailedRecipient<'_>) {
        let status = one.status;
        if let Some(original) = &one.recipient.original {
            let _ = write!(text, "Original-Recipient: {}\r\n", self.typed_address(original));
        }
        let _ = write!(text, "Final-Recipient: {}\r\n", self.typed_address(&one.recipient.address));
        let _ = write!(text, "Action: failed\r\nStatus: {}\r\n", status.enhanced);
        if let Some(host) = told_host(status) {
            let _ = write!(text, "Remote-MTA: dns; {}\r\n", to_ascii(host));
        }
        if let Some(code) = status.code {
            let reply = format!("{code} {} {}", status.enhanced, status.text);
            let reply = if self.utf8 { reply } else { to_ascii(&reply) };
            let _ = write!(text, "Diagnostic-Code: smtp; {reply}\r\n");
        }
        let _ = write!(text, "Last-Attempt-Date: {}\r\n", date(self.now));
    }

    /// The address with its type; beyond ASCII that type is `utf-8` (RFC 6533 3).
    fn typed_address(&self, mailbox: &Mailbox) -> String {
        match (mailbox.needs_smtputf8(), self.utf8) {
            (true, true) => format!("utf-8; {mailbox}"),
            (true, false) => format!("utf-8; {}", encoding::utf8_addr_xtext(mailbox)),
            (false, _) => format!("rfc822; {mailbox}"),
        }
    }
}

/// Why, in one line for people.
fn reason(status: &Status) -> String {
    let Status { enhanced, text, .. } = status;
    match (told_host(status), status.code) {
        (Some(host), Some(code)) => format!("{host} said: {code} {enhanced} {text}"),
        (Some(host), None) => format!("{enhanced} {text} ({host})"),
        (None, Some(code)) => format!("{code} {enhanced} {text}"),
        (None, None) => format!("{enhanced} {text}"),
    }
}

/// The host that was tried. Paths of this machine, as of sockets and folders, are nothing for senders.
fn told_host(status: &Status) -> Option<&str> {
    status.remote.as_ref().map(|remote| remote.host.as_str()).filter(|host| !host.starts_with('/'))
}

fn date(at: UnixMs) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc2822).unwrap_or_default()
}

#[cfg(test)]
mod tests;
