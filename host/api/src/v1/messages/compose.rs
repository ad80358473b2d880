//! A MIME message from its parts (RFC 2045 to 2047, 2183, 2387).
//!
//! Invariant: every octet that a program wrote is inside base64, or went through the one place of `baton-mail` that writes
//! fields. So nothing that it wrote can end a line, a part or the header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_content::track::{FIELD, Wish};
use baton_mail::header::{HeaderName, encode_field};
use baton_mail::text::is_unsafe;
use baton_mail::{Mailbox, MessageId, UnixMs};
use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Characters on one line of base64 (RFC 2045 6.8).
const LINE_OCTETS: usize = 76;
/// Octets on one line of text without its end (RFC 5322 2.1.1).
const LINE_OCTETS_MAX: usize = 998;
/// Octets of a header, of a text's fields and of what may be around it, about.
const HEADER_OCTETS: usize = 2_048;
/// Octets of a file's name, of a media type and of a content id at most.
const FILENAME_OCTETS_MAX: usize = 255;
const TYPE_OCTETS_MAX: usize = 127;
const CONTENT_ID_OCTETS_MAX: usize = 200;
/// Fields that are made here or belong to the relay; a name that ends with `-` stands for all that begin so.
const RESERVED: [&str; 20] = [
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Message-ID",
    "MIME-Version",
    "Content-",
    "Return-Path",
    "Received",
    "Received-",
    "Delivered-To",
    "DKIM-Signature",
    "ARC-",
    "Authentication-Results",
    "Resent-",
    "X-Baton-",
];

/// A mailbox, with the name of whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: Option<String>,
    pub(super) mailbox: Mailbox,
}

/// A file, or an image that the HTML shows by its content id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) filename: Option<String>,
    pub(super) content_type: String,
    pub(super) content: Bytes,
    pub(super) content_id: Option<String>,
}

/// What is to become a message.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) id: MessageId,
    pub(super) date: UnixMs,
    pub(super) from: &'a Person,
    pub(super) reply_to: &'a [Person],
    pub(super) to: &'a [Person],
    pub(super) cc: &'a [Person],
    pub(super) subject: &'a str,
    pub(super) text: Option<&'a str>,
    pub(super) html: Option<&'a str>,
    /// What is to be followed; the relay takes the field out again.
    pub(super) wish: Option<Wish>,
    pub(super) fields: &'a [(HeaderName, String)],
    pub(super) attachments: &'a [Attachment],
}

/// Why a draft is no message: the field, and what is wrong with it.
pub(super) type Flaw = (String, String);

/// The message, its lines ended by CRLF. The header is ASCII but for addresses that have no other form.
pub(super) fn compose(draft: &Draft<'_>) -> Result<Vec<u8>, Flaw> {
    let texts: usize = [draft.text, draft.html].into_iter().flatten().map(str::len).sum();
    let files: usize = draft.attachments.iter().map(|file| file.content.len()).sum();
    let mut out = Vec::with_capacity(HEADER_OCTETS + texts + texts / 32 + files * 3 / 2);
    header(draft, &mut out)?;
    let is_shown = |file: &&Attachment| file.content_id.is_some() && draft.html.is_some();
    let (shown, files): (Vec<_>, Vec<_>) =
        draft.attachments.iter().enumerate().partition(|(_, file)| is_shown(file));
    if files.is_empty() {
        texts_part(draft, &shown, &mut out)?;
    } else {
        let mixed = Multipart::open("mixed", "", draft.id, &mut out);
        mixed.next(&mut out);
        texts_part(draft, &shown, &mut out)?;
        mixed.close_with(&files, &mut out)?;
    }
    Ok(out)
}

/// The text, the HTML, or both to choose from.
fn texts_part(draft: &Draft<'_>, shown: &[(usize, &Attachment)], out: &mut Vec<u8>) -> Result<(), Flaw> {
    match (draft.text, draft.html) {
        (Some(text), Some(html)) => {
            let alternative = Multipart::open("alternative", "", draft.id, out);
            alternative.next(out);
            leaf("plain", text, out);
            alternative.next(out);
            html_part(draft, html, shown, out)?;
            alternative.close_with(&[], out)
        }
        (None, Some(html)) => html_part(draft, html, shown, out),
        (text, None) => {
            leaf("plain", text.unwrap_or_default(), out);
            Ok(())
        }
    }
}

/// The HTML with the images that it shows.
fn html_part(
    draft: &Draft<'_>,
    html: &str,
    shown: &[(usize, &Attachment)],
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    if shown.is_empty() {
        leaf("html", html, out);
        return Ok(());
    }
    // RFC 2387 3.1 asks for the type of the root.
    let related = Multipart::open("related", " type=\"text/html\";", draft.id, out);
    related.next(out);
    leaf("html", html, out);
    related.close_with(shown, out)
}

fn header(draft: &Draft<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
    let people = [draft.reply_to, draft.to, draft.cc].into_iter().flatten().chain([draft.from]);
    let is_utf8 = people.into_iter().any(|person| person.mailbox.needs_smtputf8());
    let mut put = |name: &str, value: &str| {
        let name: HeaderName = name.parse().map_err(|_| (name.to_owned(), "is no field".to_owned()))?;
        out.extend_from_slice(&encode_field(&name, value, is_utf8));
        Ok(())
    };
    let moment =
        OffsetDateTime::from_unix_timestamp(draft.date.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    put("Date", &moment.format(&Rfc2822).unwrap_or_default())?;
    put("Message-ID", &format!("<{}@{}>", draft.id, draft.from.mailbox.domain()))?;
    put("From", &shown(draft.from))?;
    for (name, people) in [("Reply-To", draft.reply_to), ("To", draft.to), ("Cc", draft.cc)] {
        if !people.is_empty() {
            put(name, &people.iter().map(shown).collect::<Vec<_>>().join(", "))?;
        }
    }
    put("Subject", draft.subject)?;
    if let Some(wish) = draft.wish {
        put(FIELD, &wish.to_string())?;
    }
    for (index, (name, value)) in draft.fields.iter().enumerate() {
        if is_reserved(name.as_str()) {
            return Err((
                format!("headers[{index}].name"),
                format!("{name} is made by the relay and can not be set"),
            ));
        }
        put(name.as_str(), value)?;
    }
    put("MIME-Version", "1.0")
}

fn is_reserved(given: &str) -> bool {
    let begins = |reserved: &str| {
        given.get(..reserved.len()).is_some_and(|start| start.eq_ignore_ascii_case(reserved))
    };
    let is_it = |reserved: &&str| {
        given.eq_ignore_ascii_case(reserved) || (reserved.ends_with('-') && begins(reserved))
    };
    RESERVED.iter().any(is_it)
}

/// As the value of an address field (RFC 5322 3.4).
fn shown(person: &Person) -> String {
    let Some(name) = &person.name else { return person.mailbox.to_string() };
    let is_phrase =
        |character: char| character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~ ".contains(character);
    if name.chars().all(is_phrase) && !name.contains("=?") {
        return format!("{name} <{}>", person.mailbox);
    }
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{quoted}\" <{}>", person.mailbox)
}

/// A text with its fields: as it is where every server passes that on, else in base64.
fn leaf(kind: &str, content: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("Content-Type: text/{kind}; charset=utf-8\r\n").as_bytes());
    let start = out.len();
    out.extend_from_slice(b"Content-Transfer-Encoding: 7bit\r\n\r\n");
    let text_start = out.len();
    let longest = put_lines(content.as_bytes(), out);
    // RFC 2045 2.7.
    let is_seven_bit = longest <= LINE_OCTETS_MAX && content.is_ascii() && !content.contains('\0');
    if !is_seven_bit {
        let lines = out.split_off(text_start);
        out.truncate(start);
        encode(&lines, out);
    }
}

/// A part that holds others. No base64 and no field has `=_` at the beginning of a line.
struct Multipart(String);

impl Multipart {
    /// Writes its fields; `parameters` are those beside the boundary, each with its end.
    fn open(kind: &str, parameters: &str, id: MessageId, out: &mut Vec<u8>) -> Multipart {
        let boundary = format!("=_{kind}_{id}");
        let field = format!("Content-Type: multipart/{kind};{parameters} boundary=\"{boundary}\"\r\n\r\n");
        out.extend_from_slice(field.as_bytes());
        Multipart(boundary)
    }

    /// The next part begins.
    fn next(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("--{}\r\n", self.0).as_bytes());
    }

    /// Writes the last parts, which are these files, and the end.
    fn close_with(self, files: &[(usize, &Attachment)], out: &mut Vec<u8>) -> Result<(), Flaw> {
        for (index, file) in files {
            self.next(out);
            file_part(*index, file, out)?;
        }
        out.extend_from_slice(format!("--{}--\r\n", self.0).as_bytes());
        Ok(())
    }
}

fn file_part(index: usize, file: &Attachment, out: &mut Vec<u8>) -> Result<(), Flaw> {
    let wrong = |name: &str, detail: &str| (format!("attachments[{index}].{name}"), detail.to_owned());
    if !is_media_type(&file.content_type) {
        return Err(wrong("content_type", "is no media type such as `application/pdf`"));
    }
    out.extend_from_slice(format!("Content-Type: {}\r\n", file.content_type).as_bytes());
    let disposition = if file.content_id.is_some() { "inline" } else { "attachment" };
    let name = file.filename.as_deref().map(base_name).unwrap_or_default();
    if name.len() > FILENAME_OCTETS_MAX || name.chars().any(is_unsafe) {
        return Err(wrong("filename", "has 255 octets at most and no control characters"));
    }
    out.extend_from_slice(format!("Content-Disposition: {disposition}{}\r\n", parameter(name)).as_bytes());
    if let Some(id) = &file.content_id {
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.@+".contains(&octet);
        if id.is_empty() || id.len() > CONTENT_ID_OCTETS_MAX || !id.bytes().all(is_plain) {
            return Err(wrong("content_id", "has 1 to 200 letters, digits and any of `-_.@+`"));
        }
        out.extend_from_slice(format!("Content-ID: <{id}>\r\n").as_bytes());
    }
    encode(&file.content, out);
    Ok(())
}

/// The last piece of a path, of any system.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path).trim()
}

/// The name of a file as a parameter, on lines of its own: plain, or by RFC 2231 in pieces.
fn parameter(name: &str) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_. ()+".contains(&octet);
    if name.is_empty() {
        return String::new();
    }
    if name.len() <= 60 && name.bytes().all(is_plain) {
        return format!(";\r\n\tfilename=\"{name}\"");
    }
    let escaped: Vec<String> = name
        .bytes()
        .map(|octet| match octet {
            _ if octet.is_ascii_alphanumeric() || b"-_.".contains(&octet) => char::from(octet).to_string(),
            _ => format!("%{octet:02X}"),
        })
        .collect();
    let piece = |(number, octets): (usize, &[String])| {
        let charset = if number == 0 { "utf-8''" } else { "" };
        format!(";\r\n\tfilename*{number}*={charset}{}", octets.concat())
    };
    escaped.chunks(18).enumerate().map(piece).collect()
}

/// `type/subtype` of tokens, without parameters (RFC 2045 5.1).
fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&octet))
    };
    let halves = text.split_once('/');
    text.len() <= TYPE_OCTETS_MAX && halves.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Writes text in lines that end with CRLF, as its canonical form is (RFC 2046 4.1.1). Returns the octets of the longest.
fn put_lines(text: &[u8], out: &mut Vec<u8>) -> usize {
    let mut longest = 0;
    let mut put = |line: &[u8]| {
        longest = longest.max(line.len());
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    };
    let mut rest = text;
    while let Some((line, after)) =
        memchr::memchr2(b'\r', b'\n', rest).and_then(|end| rest.split_at_checked(end))
    {
        put(line);
        rest = after.strip_prefix(b"\r\n").or(after.get(1..)).unwrap_or_default();
    }
    if !rest.is_empty() || text.is_empty() {
        put(rest);
    }
    longest
}

/// The end of a part's fields, and its content in base64.
fn encode(content: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    for line in STANDARD.encode(content).as_bytes().chunks(LINE_OCTETS) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::body::Content;
    use baton_mail::mime::{MimeLimits, check_shape};

    use super::*;

    fn person(name: Option<&str>, mailbox: &str) -> Person {
        Person { name: name.map(str::to_owned), mailbox: mailbox.parse().unwrap() }
    }

    fn file(name: &str, kind: &str, id: Option<&str>) -> Attachment {
        Attachment {
            filename: Some(name.to_owned()),
            content_type: kind.to_owned(),
            content: Bytes::from_static(b"content"),
            content_id: id.map(str::to_owned),
        }
    }

    fn composed(
        subject: &str,
        html: Option<&str>,
        fields: &[(HeaderName, String)],
        attachments: &[Attachment],
    ) -> Result<String, Flaw> {
        let (from, to) =
            (person(Some("Shop, \"the\" \u{e4}"), "shop@acme.example"), [person(None, "ann@dest.example")]);
        let (id, date) = (MessageId::first_at(UnixMs(1_800_000_000_000)), UnixMs(1_800_000_000_000));
        let draft = Draft {
            id,
            date,
            from: &from,
            reply_to: &[],
            to: &to,
            cc: &[],
            subject,
            text: Some("one\ntwo"),
            html,
            wish: None,
            fields,
            attachments,
        };
        let octets = compose(&draft)?;
        let shape = check_shape(&Content::split(octets.clone().into()), &MimeLimits::default()).unwrap();
        assert!(!shape.eight_bit && octets.is_ascii());
        Ok(String::from_utf8(octets).unwrap())
    }

    #[test]
    fn parts_nest_as_programs_expect() {
        let files =
            [file("a/b\\c.pdf", "application/pdf", None), file("logo.png", "image/png", Some("logo"))];
        let text = composed("Gr\u{fc}\u{df}e", Some("<p>x</p>"), &[], &files).unwrap();
        let order = [
            "multipart/mixed",
            "multipart/alternative",
            "text/plain",
            "multipart/related",
            "text/html",
            "image/png",
            "application/pdf",
        ];
        let place = |kind: &&str| text.find(&format!("Content-Type: {kind}")).unwrap();
        assert!(order.iter().map(place).is_sorted(), "{text}");
        assert!(text.contains("filename=\"c.pdf\"") && text.contains("Content-ID: <logo>"));
        assert!(text.contains("From: =?utf-8?B?") && text.contains("<shop@acme.example>"), "{text}");
        assert!(!text.lines().any(|line| line.len() > 100), "{text}");
    }

    #[test]
    fn no_field_says_more_than_it_should() {
        for name in ["Bcc", "Content-Type", "x-baton-track", "DKIM-Signature"] {
            let own = [(name.parse().unwrap(), "x".to_owned())];
            assert_eq!(composed("x", None, &own, &[]).unwrap_err().0, "headers[0].name");
        }
        for (bad, field) in [
            (file("a\r\nb", "text/plain", None), "attachments[0].filename"),
            (file("a", "text/plain\r\nX: y", None), "attachments[0].content_type"),
            (file("a", "text", None), "attachments[0].content_type"),
            (file("a", "image/png", Some("a>\r\n")), "attachments[0].content_id"),
        ] {
            assert_eq!(composed("x", None, &[], &[bad]).unwrap_err().0, field);
        }
        let text = composed("a\r\nBcc: x@y.example", None, &[], &[]).unwrap();
        assert!(!text.contains("\nBcc"), "{text}");
    }

    #[test]
    fn text_that_every_server_passes_on_stays_as_it_is() {
        let part = |text: &str| {
            let mut out = Vec::new();
            leaf("plain", text, &mut out);
            String::from_utf8(out).unwrap()
        };
        let head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ";
        assert_eq!(part("a\nb\r\n.\rc\n\n"), format!("{head}7bit\r\n\r\na\r\nb\r\n.\r\nc\r\n\r\n"));
        assert_eq!(part(""), format!("{head}7bit\r\n\r\n\r\n"));
        assert_eq!(part("gr\u{fc}n"), format!("{head}base64\r\n\r\nZ3LDvG4NCg==\r\n"));
        for text in [&"x".repeat(999), "a\0b"] {
            let part = part(text);
            assert!(part.contains("base64") && part.lines().all(|line| line.len() <= 76), "{part}");
        }
        assert!(part(&"x".repeat(998)).contains("7bit"));
    }

    #[test]
    fn names_of_files_are_kept_whole() {
        assert_eq!(parameter("bill 7.pdf"), ";\r\n\tfilename=\"bill 7.pdf\"");
        assert_eq!(parameter("\u{e4}.pdf"), ";\r\n\tfilename*0*=utf-8''%C3%A4.pdf");
        let long = parameter(&"x".repeat(40));
        assert!(!long.contains('*'));
        let longer = parameter(&"x\"".repeat(40));
        assert!(longer.contains("filename*1*=") && longer.lines().all(|line| line.len() < 78), "{longer}");
    }
}
