//! One leaf of the tree: what its header says, and its content decoded. Everything is read when it is asked for.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mail_parser::HeaderValue;
use mail_parser::decoders::html::html_to_text;
use mail_parser::parsers::MessageStream;

use super::Tree;
use super::links::links;
use super::transfer::{self, TransferEncoding};
use crate::body::Content;
use crate::header::{self, HeaderIndex, HeaderLimits};
use crate::text::sanitize;

/// Octets of a describing field that are read.
const FIELD_OCTETS_MAX: usize = 16 * 1024;
/// Octets of a media type, a file name, a charset.
const WORD_OCTETS_MAX: usize = 1_024;
/// Decoded octets that are made text at once: what a person could read in weeks.
const TEXT_OCTETS_MAX: usize = 8 << 20;
/// What a part is that does not say so, or not in a form that can be read (RFC 2045 5.2).
const DEFAULT_TYPE: &str = "text/plain";

/// Where a leaf stands, and what was found out about it.
#[derive(Debug)]
pub(super) struct Leaf {
    /// In [`Content::rest`]; none when it is the message's own header.
    header: Option<Range<usize>>,
    /// In [`Content::rest`].
    pub(super) body: Range<usize>,
    within: Vec<Box<str>>,
    description: OnceLock<Description>,
    decoded: OnceLock<Bytes>,
}

/// What the header of a part says about its body.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) content_type: String,
    disposition: Option<String>,
    filename: Option<String>,
    pub(super) charset: Option<String>,
    pub(super) encoding: String,
}

impl Leaf {
    pub(super) fn new(header: Option<Range<usize>>, body: Range<usize>, within: Vec<Box<str>>) -> Leaf {
        Leaf { header, body, within, description: OnceLock::new(), decoded: OnceLock::new() }
    }
}

/// A leaf together with the message that it is of. Clones share all.
#[derive(Clone, Debug)]
pub struct Part {
    tree: Arc<Tree>,
    index: usize,
    content: Content,
}

impl Part {
    /// `index` is one of the tree's.
    pub(super) fn new(tree: Arc<Tree>, index: usize, content: Content) -> Part {
        Part { tree, index, content }
    }

    #[allow(clippy::indexing_slicing, reason = "the index was checked when the part was made")]
    fn leaf(&self) -> &Leaf {
        &self.tree.leaves[self.index]
    }

    /// The media type in lower case, such as `text/plain`.
    pub fn content_type(&self) -> &str {
        &self.description().content_type
    }

    /// `inline`, `attachment` or another one, in lower case.
    pub fn disposition(&self) -> Option<&str> {
        self.description().disposition.as_deref()
    }

    /// From Content-Disposition or Content-Type, decoded (RFC 2231, RFC 2047).
    pub fn filename(&self) -> Option<&str> {
        self.description().filename.as_deref()
    }

    /// As named in the part, in lower case.
    pub fn charset(&self) -> Option<&str> {
        self.description().charset.as_deref()
    }

    /// Content-Transfer-Encoding in lower case; `7bit` when there is none (RFC 2045 6.1).
    pub fn transfer_encoding(&self) -> &str {
        &self.description().encoding
    }

    /// The first value of that name in the part's header, unfolded and decoded.
    pub fn header(&self, name: &str) -> Option<String> {
        self.fields().first(name).map(|raw| header::decode(&raw))
    }

    /// Subtypes of the multiparts and messages (`rfc822`) around it, from the outermost.
    pub fn within(&self) -> impl Iterator<Item = &str> {
        self.leaf().within.iter().map(|subtype| &**subtype)
    }

    /// Where its encoded content stands in the message: offset, octets.
    pub fn raw_range(&self) -> (u64, u64) {
        let body = &self.leaf().body;
        ((self.content.header.len() + body.start) as u64, body.len() as u64)
    }

    /// Octets of its content as they stand in the message.
    pub fn raw_len(&self) -> usize {
        self.leaf().body.len()
    }

    /// True when [`Part::decoded`] costs nothing any more.
    pub fn is_decoded(&self) -> bool {
        self.leaf().decoded.get().is_some() || self.encoding() == TransferEncoding::Identity
    }

    /// The content, decoded once and kept; without an encoding nothing is copied.
    pub fn decoded(&self) -> Bytes {
        let raw = || self.content.rest.slice(self.leaf().body.clone());
        match self.encoding() {
            TransferEncoding::Identity => raw(),
            encoding => self.leaf().decoded.get_or_init(|| transfer::decode(&raw(), encoding).into()).clone(),
        }
    }

    /// The content as Unicode text, at most so many characters; HTML is reduced to text when `strip_html`.
    pub fn text(&self, chars_max: usize, strip_html: bool) -> String {
        let strips = strip_html && self.is_html();
        // No charset needs more than four octets for a character; HTML has tags between them.
        let octets_max = if strips { TEXT_OCTETS_MAX } else { chars_max.saturating_mul(4) };
        let mut text = self.unicode(octets_max.min(TEXT_OCTETS_MAX));
        if strips {
            text = html_to_text(&text);
            text.truncate(text.trim_end().len());
        }
        if let Some((end, _)) = text.char_indices().nth(chars_max) {
            text.truncate(end);
        }
        text
    }

    /// The links in text or HTML, each once, at most so many.
    pub fn links(&self, links_max: usize) -> Vec<String> {
        if !self.content_type().starts_with("text/") {
            return Vec::new();
        }
        links(&self.unicode(TEXT_OCTETS_MAX), self.is_html(), links_max)
    }

    fn is_html(&self) -> bool {
        self.content_type() == "text/html"
    }

    fn unicode(&self, octets_max: usize) -> String {
        let decoded = self.decoded();
        let octets = decoded.get(..octets_max).unwrap_or(&decoded);
        transfer::to_unicode(octets, self.charset())
    }

    fn encoding(&self) -> TransferEncoding {
        TransferEncoding::of(self.transfer_encoding())
    }

    fn fields(&self) -> HeaderIndex {
        let header = match &self.leaf().header {
            Some(range) => self.content.rest.slice(range.clone()),
            None => self.content.header.clone(),
        };
        // The pass has bounded it; a header that is refused here all the same has no field.
        HeaderIndex::scan(&header, &HeaderLimits::default()).unwrap_or_default()
    }

    fn description(&self) -> &Description {
        self.leaf().description.get_or_init(|| Description::read(&self.fields()))
    }
}

impl Description {
    /// True for a file beside the text.
    pub(super) fn is_attachment(&self) -> bool {
        self.disposition.as_deref() == Some("attachment")
    }

    pub(super) fn read(fields: &HeaderIndex) -> Description {
        let content_type = fields.first("content-type").and_then(|raw| Typed::read(&raw));
        let disposition = fields.first("content-disposition").and_then(|raw| Typed::read(&raw));
        let filename = disposition
            .as_ref()
            .and_then(|field| field.parameter("filename"))
            .or_else(|| content_type.as_ref().and_then(|field| field.parameter("name")));
        let encoding = fields.first("content-transfer-encoding").map(|raw| header::decode(&raw));
        let encoding =
            encoding.as_deref().and_then(|text| text.split(['(', ';', ' ']).find(|word| !word.is_empty()));
        Description {
            charset: content_type
                .as_ref()
                .and_then(|field| field.parameter("charset"))
                .map(|name| name.to_ascii_lowercase()),
            content_type: content_type
                .and_then(|field| field.media_type())
                .unwrap_or_else(|| DEFAULT_TYPE.to_owned()),
            disposition: disposition.map(|field| field.kind).filter(|kind| !kind.is_empty()),
            filename: filename
                .map(|name| if name.contains("=?") { header::decode(name.as_bytes()) } else { name }),
            encoding: encoding.map_or_else(|| "7bit".to_owned(), word),
        }
    }
}

/// A value with parameters (RFC 2045 5.1, RFC 2183 2), its sections joined and decoded (RFC 2231).
struct Typed {
    kind: String,
    subtype: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Typed {
    fn read(raw_value: &[u8]) -> Option<Typed> {
        let mut text = raw_value.get(..FIELD_OCTETS_MAX).unwrap_or(raw_value).to_vec();
        // Without the line end the parser would forget the last parameter.
        text.extend_from_slice(b"\r\n");
        let HeaderValue::ContentType(found) = MessageStream::new(&text).parse_content_type() else {
            return None;
        };
        let parameters = found.attributes().unwrap_or_default();
        Some(Typed {
            kind: word(found.ctype()),
            subtype: found.subtype().map(word).filter(|subtype| !subtype.is_empty()),
            parameters: parameters.iter().map(|one| (one.name.to_string(), one.value.to_string())).collect(),
        })
    }

    fn media_type(&self) -> Option<String> {
        let subtype = self.subtype.as_ref()?;
        (!self.kind.is_empty()).then(|| format!("{}/{subtype}", self.kind))
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let (_, value) = self.parameters.iter().find(|(own, _)| own == name)?;
        let value = sanitize(value.trim(), WORD_OCTETS_MAX);
        (!value.is_empty()).then_some(value)
    }
}

/// Without blanks and controls, in lower case, cut.
fn word(text: &str) -> String {
    sanitize(text.trim(), WORD_OCTETS_MAX).trim().to_ascii_lowercase()
}
