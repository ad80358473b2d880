//! The test's message taken apart, and new bodies, for the fake relay.

use std::cell::RefCell;

use mail_parser::decoders::{
    base64::base64_decode, html::html_to_text, quoted_printable::quoted_printable_decode,
};
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::FakeHost;
use crate::Refused;
use crate::host::{BodyHost, Edited, PartHost};
use crate::testing::Edit;

/// A leaf of the test's message.
pub(crate) struct FakePart {
    content_type: String,
    disposition: Option<String>,
    filename: Option<String>,
    charset: Option<String>,
    transfer_encoding: String,
    headers: Vec<(String, String)>,
    within: Vec<String>,
    raw_range: (u64, u64),
    decoded: Vec<u8>,
    text: String,
    is_html: bool,
}

/// All leaves of a raw message.
pub(super) fn leaves(raw: &[u8]) -> Vec<FakePart> {
    let mut found = Vec::new();
    if let Some(message) = MessageParser::default().parse(raw) {
        gather(raw, &message, 0, &mut Vec::new(), &mut found);
    }
    found
}

/// Goes down into multiparts, and into messages that are not encoded.
fn gather(raw: &[u8], message: &Message<'_>, id: u32, within: &mut Vec<String>, found: &mut Vec<FakePart>) {
    let Some(part) = message.part(id) else { return };
    let subtype = part.content_type().and_then(ContentType::subtype).unwrap_or("mixed").to_ascii_lowercase();
    match &part.body {
        PartType::Multipart(children) => {
            within.push(subtype);
            for child in children {
                gather(raw, message, *child, within, found);
            }
            within.pop();
        }
        PartType::Message(inner) if part.encoding == Encoding::None => {
            within.push(subtype);
            gather(raw, inner, 0, within, found);
            within.pop();
        }
        _ => found.push(FakePart::read(raw, part, within)),
    }
}

impl FakePart {
    fn read(raw: &[u8], part: &MessagePart<'_>, within: &[String]) -> FakePart {
        let (start, end) = (part.offset_body as usize, part.offset_end as usize);
        let encoded = raw.get(start..end).unwrap_or_default();
        let decoded = match part.encoding {
            Encoding::None => Some(encoded.to_vec()),
            Encoding::QuotedPrintable => quoted_printable_decode(encoded),
            Encoding::Base64 => base64_decode(encoded),
        };
        let text = match &part.body {
            PartType::Text(text) | PartType::Html(text) => text.to_string(),
            _ => String::new(),
        };
        let field = |header: &mail_parser::Header<'_>| {
            let value = raw.get(header.offset_start as usize..header.offset_end as usize).unwrap_or_default();
            (header.name.as_str().to_owned(), decode(&String::from_utf8_lossy(value)))
        };
        FakePart {
            content_type: part.content_type().map_or_else(|| "text/plain".to_owned(), media_type),
            disposition: part.content_disposition().map(|given| given.ctype().to_ascii_lowercase()),
            filename: part.attachment_name().map(str::to_owned),
            charset: part
                .content_type()
                .and_then(|given| given.attribute("charset"))
                .map(str::to_ascii_lowercase),
            transfer_encoding: part.content_transfer_encoding().unwrap_or("7bit").to_ascii_lowercase(),
            headers: part.headers.iter().map(field).collect(),
            within: within.to_vec(),
            raw_range: (start as u64, end.saturating_sub(start) as u64),
            decoded: decoded.unwrap_or_default(),
            text,
            is_html: matches!(part.body, PartType::Html(_)),
        }
    }
}

fn media_type(given: &ContentType<'_>) -> String {
    format!("{}/{}", given.ctype(), given.subtype().unwrap_or_default()).to_ascii_lowercase()
}

/// Unfolds a value and decodes its encoded words (RFC 2047).
pub(super) fn decode(value: &str) -> String {
    if !value.contains(['\r', '\n']) && !value.contains("=?") {
        return value.trim().to_owned();
    }
    let line = format!("{}\r\n", value.replace("\r\n", "").trim());
    MessageStream::new(line.as_bytes()).parse_unstructured().into_text().map(Into::into).unwrap_or_default()
}

/// Digests by the contract's names.
pub(super) fn digest(algorithm: &str, octets: &[u8]) -> Edited<Vec<u8>> {
    use sha2::Digest as _;
    match algorithm {
        "sha-256" => Ok(sha2::Sha256::digest(octets).to_vec()),
        "sha-1" => Ok(sha1::Sha1::digest(octets).to_vec()),
        "md5" => Ok(md5::Md5::digest(octets).to_vec()),
        other => Err(Refused(format!("no digest is named {other:?}"))),
    }
}

impl PartHost for FakePart {
    fn content_type(&self) -> String {
        self.content_type.clone()
    }
    fn disposition(&self) -> Option<String> {
        self.disposition.clone()
    }
    fn filename(&self) -> Option<String> {
        self.filename.clone()
    }
    fn charset(&self) -> Option<String> {
        self.charset.clone()
    }
    fn transfer_encoding(&self) -> String {
        self.transfer_encoding.clone()
    }
    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }
    fn within(&self) -> Vec<String> {
        self.within.clone()
    }
    fn raw_range(&self) -> (u64, u64) {
        self.raw_range
    }
    fn decoded_size(&self) -> u64 {
        self.decoded.len() as u64
    }
    fn read(&self, offset: u64, octets: u32) -> Vec<u8> {
        self.decoded.iter().copied().skip(offset as usize).take(octets as usize).collect()
    }
    fn text(&self, characters_max: u32, strip_html: bool) -> String {
        let text = if strip_html && self.is_html { html_to_text(&self.text) } else { self.text.clone() };
        text.chars().take(characters_max as usize).collect()
    }
    fn digest(&self, algorithm: &str) -> Edited<Vec<u8>> {
        digest(algorithm, &self.decoded)
    }
    fn urls(&self, at_most: u32) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let ends = |character: char| character.is_whitespace() || matches!(character, '"' | '\'' | '<' | '>');
        for (at, _) in self.text.match_indices("http") {
            let rest = self.text.get(at..).unwrap_or_default();
            let url = rest.split(ends).next().unwrap_or_default();
            let is_url = url.starts_with("http://") || url.starts_with("https://");
            if is_url && !found.iter().any(|known| known == url) && found.len() < at_most as usize {
                found.push(url.to_owned());
            }
        }
        found
    }
}

/// A body that a hook writes.
pub(crate) struct FakeBody {
    pub(super) host: FakeHost,
    pub(super) octets: RefCell<Vec<u8>>,
}

impl BodyHost for FakeBody {
    fn write(&self, octets: &[u8]) -> Edited {
        self.octets.borrow_mut().extend_from_slice(octets);
        Ok(())
    }
    fn copy(&self, offset: u64, octets: u64) -> Edited {
        let raw = self.host.state().message.raw();
        let end = offset.saturating_add(octets) as usize;
        let range =
            raw.get(offset as usize..end).ok_or_else(|| Refused("outside of the message".to_owned()))?;
        self.octets.borrow_mut().extend_from_slice(range);
        Ok(())
    }
    fn finish(self) -> Edited {
        self.host.edit(Edit::Body(self.octets.into_inner()))
    }
}
