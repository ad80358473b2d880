//! Reports to the sender about copies that failed, are late, or were delivered (RFC 3464 in RFC 6522, internationalised by
//! RFC 6533).
//!
//! A report is 7-bit whatever the original was, but for two kinds: that of internationalised mail, which may only go where
//! the original came from, to systems that know SMTPUTF8; and one that gives an 8-bit message back whole that can not be
//! converted.

use std::fmt::Write;

use baton_mail::mime::{Fit, convert, quoted_printable};
use baton_mail::requests::{Notify, RecipientRequests, Ret};
use baton_mail::{Body, Envelope, Mailbox, MessageId, Origin, Recipient, ReversePath, Status, UnixMs};
use bytes::{Bytes, BytesMut};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::settings::OutboundSettings;

mod encoding;

use encoding::{fits_in_seven_bits, spelled_out, to_ascii};

/// One recipient's copy, and what became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) recipient: &'a Recipient,
    pub(crate) status: &'a Status,
    pub(crate) action: Action,
}

/// What became of a copy (RFC 3464 2.3.3). All of one report are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It could not be delivered, and is not tried again.
    Failed,
    /// Not yet; until when it is tried.
    Delayed { until: UnixMs },
    /// It is where it was to go.
    Delivered,
    /// It is with a relay that reports nothing itself.
    Relayed,
}

impl Action {
    /// The word of RFC 3464.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed { .. } => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Action::Failed => "Your message could not be delivered",
            Action::Delayed { .. } => "Your message is late",
            Action::Delivered => "Your message was delivered",
            Action::Relayed => "Your message was handed on",
        }
    }

    /// What the reader is told of the recipients that follow.
    fn sentence(self) -> String {
        match self {
            Action::Failed => "could not be delivered to\r\n\
                 the recipients below. It will not be tried again."
                .to_owned(),
            Action::Delayed { until } => format!(
                "could not be delivered to\r\n\
                 the recipients below yet. It will be tried until {}.\r\n\
                 You need not send it again.",
                date(until)
            ),
            Action::Delivered => "was delivered to\r\nthe recipients below.".to_owned(),
            Action::Relayed => "was handed on for\r\n\
                 the recipients below, to a system that may not report what becomes of it."
                .to_owned(),
        }
    }
}

/// A finished report: what the queue needs to carry it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) envelope: Envelope,
    pub(crate) body: Body,
}

/// Why no report is made.
pub(crate) const NO_SENDER: &str = "no report: the message has no return path";

/// Writes the report about copies of the message in `envelope`, whose content is `body`.
///
/// `None` when there is nothing to tell, or the message has the null return path, as every report has (RFC 5321 4.5.5): a
/// report about a report can not come about.
pub(crate) fn write_report(
    settings: &OutboundSettings,
    now: UnixMs,
    envelope: &Envelope,
    told: &[Told<'_>],
    body: &Body,
) -> Option<Report> {
    let ReversePath::Mailbox(sender) = &envelope.sender else { return None };
    let action = told.first()?.action;
    let original = Original::of(settings, envelope, action, body);
    let utf8 = envelope.smtputf8 && needs_utf8(sender, told, &original);
    let writer =
        Writer { settings, now, id: MessageId::new(now), original: envelope, sender, told, action, utf8 };
    let body = writer.write(&original);
    let lifetime = settings.dsn.lifetime();
    let mut report = Envelope::new(writer.id, now, lifetime, ReversePath::Null, Origin::internal());
    // Nobody answers a report, so nobody need report about it.
    let requests = RecipientRequests { notify: Some(Notify::default()), original: None };
    report.recipients.push(Recipient { requests: Some(Box::new(requests)), ..sender.clone().into() });
    report.eight_bit = utf8 || original.is_eight_bit();
    report.smtputf8 = utf8;
    report.requests.require_tls = envelope.requests.require_tls;
    report.size = body.len();
    Some(Report { envelope: report, body })
}

/// True when the report can not be told in ASCII.
fn needs_utf8(sender: &Mailbox, told: &[Told<'_>], original: &Original) -> bool {
    let address_needs_it = |recipient: &Recipient| {
        recipient.address.needs_smtputf8() || recipient.original.as_ref().is_some_and(Mailbox::needs_smtputf8)
    };
    let header = match original {
        Original::Header(header) => header.clone(),
        Original::Whole(body) => header_of(body, usize::MAX),
    };
    sender.needs_smtputf8() || told.iter().any(|one| address_needs_it(one.recipient)) || !header.is_ascii()
}

/// What a report gives back of the message.
enum Original {
    Header(Bytes),
    Whole(Body),
}

impl Original {
    /// All of it only in a report about a failure, when the sender asked for that (RFC 3461 4.3), and not when it is large.
    fn of(settings: &OutboundSettings, envelope: &Envelope, action: Action, body: &Body) -> Original {
        // Who asks for protection gets no content back over a way that may lack it (RFC 8689 5).
        let is_wanted = envelope.requests.ret == Some(Ret::Full)
            && action == Action::Failed
            && !envelope.requests.require_tls;
        if is_wanted && !body.is_empty() && body.len() <= settings.dsn.message_octets_max {
            // A whole message is not encoded (RFC 2046 5.2.1), but its parts are, so that the report may go everywhere.
            let converted = match envelope.smtputf8 {
                true => convert(body, Fit::EightBit, &settings.mime),
                false => convert(body, Fit::SevenBit, &settings.mime),
            };
            match converted {
                Ok(made) => return Original::Whole(made.body),
                Err(_) if !envelope.binary => return Original::Whole(body.clone()),
                Err(_) => {}
            }
        }
        let octets_max = settings.dsn.header_octets_max;
        Original::Header(cut_header(&header_of(body, octets_max), octets_max))
    }

    fn is_eight_bit(&self) -> bool {
        match self {
            Original::Header(_) => false,
            Original::Whole(body) => !body.pieces().iter().all(|piece| fits_in_seven_bits(piece)),
        }
    }
}

/// The header of a message, up to a bound; the body behind it is not copied.
fn header_of(body: &Body, octets_max: usize) -> Bytes {
    let mut start = BytesMut::new();
    for piece in body.pieces() {
        let room = octets_max.saturating_add(4).saturating_sub(start.len());
        start.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }
    baton_mail::body::Content::split(start.freeze()).header
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
    told: &'a [Told<'a>],
    action: Action,
    utf8: bool,
}

impl Writer<'_> {
    fn write(&self, original: &Original) -> Body {
        // The id is new, so its text can not occur in anything that was written before it was made.
        let boundary = format!("report-{}", self.id);
        let mut text = self.fields(&boundary).into_bytes();
        self.part(&mut text, &boundary, "text/plain; charset=utf-8", self.explanation().as_bytes());
        let (status_type, header_type, message_type) = match self.utf8 {
            true => ("message/global-delivery-status", "message/global-headers", "message/global"),
            false => ("message/delivery-status", "text/rfc822-headers", "message/rfc822"),
        };
        self.part(&mut text, &boundary, status_type, self.delivery_status().as_bytes());
        let mut report = Body::default();
        match original {
            Original::Header(header) => self.part(&mut text, &boundary, header_type, header),
            Original::Whole(body) => {
                // A whole message is not encoded (RFC 2046 5.2.1).
                let encoding = if original.is_eight_bit() { "8bit" } else { "7bit" };
                text.extend_from_slice(part_fields(&boundary, message_type, encoding).as_bytes());
                report.push(std::mem::take(&mut text).into());
                body.pieces().iter().for_each(|piece| report.push(piece.clone()));
                text.extend_from_slice(b"\r\n");
            }
        }
        text.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        report.push(text.into());
        report
    }

    fn fields(&self, boundary: &str) -> String {
        let hostname = &self.settings.hostname;
        format!(
            "From: Mail Delivery System <{from}>\r\n\
             To: <{to}>\r\n\
             Subject: {subject}\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{hostname}>\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type={kind}; boundary=\"{boundary}\"\r\n\r\n",
            from = self.settings.dsn.from,
            to = self.sender,
            subject = self.action.subject(),
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
        output.extend_from_slice(part_fields(boundary, content_type, encoding).as_bytes());
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
             A message that you sent on {} {}\r\n\r\n",
            self.settings.hostname,
            date(self.original.received_at),
            self.action.sentence(),
        );
        for one in self.told {
            // Writing to a string does not fail.
            let _ = write!(text, "<{}>\r\n", one.recipient.address);
            if let Some(original) = &one.recipient.original {
                let _ = write!(text, "    (sent to <{original}>)\r\n");
            }
            let _ = write!(text, "    {}\r\n\r\n", reason(one.status));
        }
        let _ =
            write!(text, "The message was {} here. It, or its header, is attached.\r\n", self.original.id);
        text
    }

    /// The part for programs (RFC 3464 2.1): fields of the message, then a group for each recipient.
    fn delivery_status(&self) -> String {
        let mut text = String::new();
        if let Some(id) = &self.original.requests.envelope_id {
            let _ = write!(text, "Original-Envelope-Id: {}\r\n", id.decoded());
        }
        let _ = write!(
            text,
            "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\nX-Baton-Message: {}\r\n",
            self.settings.hostname,
            date(self.original.received_at),
            self.original.id
        );
        for one in self.told {
            text.push_str("\r\n");
            self.recipient_fields(&mut text, one);
        }
        text
    }

    /// The fields of one recipient (RFC 3464 2.3).
    fn recipient_fields(&self, text: &mut String, one: &Told<'_>) {
        let (recipient, status) = (one.recipient, one.status);
        let given = recipient.requests.as_ref().and_then(|requests| requests.original.as_ref());
        if let Some(original) = given {
            let address = if self.utf8 { original.decoded() } else { spelled_out(&original.decoded()) };
            let _ = write!(text, "Original-Recipient: {}; {address}\r\n", original.kind());
        } else if let Some(original) = &recipient.original {
            let _ = write!(text, "Original-Recipient: {}\r\n", self.typed_address(original));
        }
        let _ = write!(text, "Final-Recipient: {}\r\n", self.typed_address(&one.recipient.address));
        let _ = write!(text, "Action: {}\r\nStatus: {}\r\n", one.action.word(), status.enhanced);
        if let Some(host) = told_host(status) {
            let _ = write!(text, "Remote-MTA: dns; {}\r\n", to_ascii(host));
        }
        if let Some(code) = status.code {
            let reply = format!("{code} {} {}", status.enhanced, status.text);
            let reply = if self.utf8 { reply } else { to_ascii(&reply) };
            let _ = write!(text, "Diagnostic-Code: smtp; {reply}\r\n");
        }
        let _ = write!(text, "Last-Attempt-Date: {}\r\n", date(self.now));
        if let Action::Delayed { until } = one.action {
            let _ = write!(text, "Will-Retry-Until: {}\r\n", date(until));
        }
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

fn part_fields(boundary: &str, content_type: &str, encoding: &str) -> String {
    format!("--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n")
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
