//! Content made to fit a next hop that takes less than it needs (RFC 6152 3, RFC 3030 3): bodies of parts are put into a
//! transfer encoding (RFC 2045 6), fields beyond ASCII into encoded words, and nothing else is changed but the fields that
//! name the encoding.
//!
//! All below a `multipart/signed` is opaque on its way (RFC 1847 2.1) and never changed. Where it would have to be, the
//! message has no form that fits.
//!
//! Invariant: no CR and no LF stands alone in what comes out, no NUL is in it, and for [`Fit::SevenBit`] nothing beyond
//! ASCII is. Parts that fit already are the octets that came in, without a copy.

mod encode;
mod fields;
mod places;
mod replace;

use bytes::Bytes;

use super::MimeLimits;
use super::leaf::Description;
use super::transfer::{TransferEncoding, decode};
use crate::body::{Body, Content};
use crate::edit::MessageEdit;
use crate::header::{self, HeaderIndex, HeaderName, LINE_OCTETS_MAX, TooComplex};
use crate::lines;
use places::{Place, read_places};

pub use encode::quoted_printable;
pub use replace::{TextPart, replace_texts};

/// What the next hop takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Lines of ASCII.
    SevenBit,
    /// Lines of any octets but NUL (8BITMIME, RFC 6152).
    EightBit,
}

/// A message that fits, and what was done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// The message.
    pub body: Body,
    /// Parts that are quoted-printable now.
    pub quoted: usize,
    /// Parts that are in base64 now.
    pub base64: usize,
    /// Parts of which only the label was wrong.
    pub relabelled: usize,
    /// Fields that are in encoded words now.
    pub fields: usize,
    /// The header has signatures (RFC 6376, RFC 8617), which do not hold for the new form.
    pub was_signed: bool,
}

impl Converted {
    /// What was done to the parts, for people; none when nothing had to be.
    pub fn summary(&self) -> Option<String> {
        let counted = [
            (self.quoted, "quoted-printable"),
            (self.base64, "base64"),
            (self.relabelled, "with another label"),
            (self.fields, "fields in encoded words"),
        ];
        let parts: Vec<String> = counted
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Why a message has no form that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConvertible {
    /// Octets beyond ASCII in the header of the message or of a part.
    #[error("octets beyond ASCII stand where a header field has no encoding for them")]
    Fields,
    /// A part below a `multipart/signed` needs an encoding.
    #[error("an encoding would break the signature of a part (RFC 1847)")]
    Signed,
    /// Lone CR or LF, or NUL, outside of the bodies of parts; or a part whose kind or encoding is not known.
    #[error("its structure is not that of a MIME message")]
    Structure,
    /// The message is not parsed at all.
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
}

/// Makes `body` fit. Takes time and memory in proportion to its length: call it off the runtime's workers when that is
/// large.
///
/// # Errors
/// When it has no form that fits.
pub fn convert(body: &Body, fit: Fit, limits: &MimeLimits) -> Result<Converted, NotConvertible> {
    let content = body.to_content();
    let places = read_places(&content, limits)?;
    let mut writer = Writer {
        fit,
        limits,
        rest: &content.rest,
        at: 0,
        kept_from: 0,
        has_signed: places.iter().any(|place| place.is_signed),
        output: Converted { was_signed: is_signed(&content.header, limits)?, ..Converted::default() },
    };
    for place in &places {
        writer.write_part(&content.header, place)?;
    }
    writer.finish()
}

/// True when signatures over the message stand in its header.
fn is_signed(header: &Bytes, limits: &MimeLimits) -> Result<bool, TooComplex> {
    let fields = HeaderIndex::scan(header, &limits.header)?;
    Ok(SIGNATURES.iter().any(|name| fields.count(name) > 0))
}

/// The result as it grows. What stands between `kept_from` and `at` was looked at and goes out as it is.
struct Writer<'a> {
    fit: Fit,
    limits: &'a MimeLimits,
    rest: &'a Bytes,
    at: usize,
    kept_from: usize,
    has_signed: bool,
    output: Converted,
}

/// What becomes of a part.
enum Change {
    Nothing,
    /// The label only.
    Label(&'static str),
    /// The body, which is given without its old encoding, and the label.
    Encode(TransferEncoding, Bytes),
}

impl Writer<'_> {
    fn write_part(&mut self, top: &Bytes, place: &Place) -> Result<(), NotConvertible> {
        let header = match &place.header {
            Some(range) => {
                self.keep_structure(range.start)?;
                self.rest.slice(range.clone())
            }
            None => top.clone(),
        };
        let (header, is_changed) = self.fit_fields(header, place.is_signed)?;
        let fields = HeaderIndex::scan(&header, &self.limits.header)?;
        let description = Description::read(&fields);
        let change = self.change(place, &fields, &description)?;
        let edits = edits(place, &fields, &change);
        match (&place.header, edits.is_empty()) {
            (Some(range), true) if !is_changed => self.at = range.end,
            (Some(range), true) => self.replace(range.end, header),
            (Some(range), false) => self.replace(range.end, rewritten(header, &edits)),
            (None, true) => self.output.body.push(header),
            (None, false) => self.output.body.push(rewritten(header, &edits)),
        }
        let Some(body) = &place.body else { return Ok(()) };
        self.keep_structure(body.start)?;
        match change {
            Change::Nothing | Change::Label(_) => self.at = body.end,
            Change::Encode(encoding, plain) => {
                let encoded = match encoding {
                    TransferEncoding::QuotedPrintable => encode::quoted(&plain),
                    _ => encode::base64(&plain, body.end == self.rest.len()),
                };
                self.replace(body.end, encoded.into());
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        place: &Place,
        fields: &HeaderIndex,
        description: &Description,
    ) -> Result<Change, NotConvertible> {
        let raw = place.body.clone().map(|body| self.rest.slice(body)).unwrap_or_default();
        let needs_encoding = !fits(&raw, self.fit);
        if place.is_signed {
            return if needs_encoding { Err(NotConvertible::Signed) } else { Ok(Change::Nothing) };
        }
        let label = description.encoding.as_str();
        if !needs_encoding {
            let says_more = match self.fit {
                Fit::SevenBit => matches!(label, "8bit" | "binary"),
                Fit::EightBit => label == "binary",
            };
            // Of several labels nobody knows which one counts, so none is put right.
            let is_too_much = says_more && fields.count(ENCODING) == 1;
            self.output.relabelled += usize::from(is_too_much);
            let label = if self.fit == Fit::SevenBit { "7bit" } else { "8bit" };
            return Ok(if is_too_much { Change::Label(label) } else { Change::Nothing });
        }
        let is_whole = description.content_type.starts_with("multipart/")
            || description.content_type == "message/partial"
            || label.starts_with("x-")
            || fields.count(ENCODING) > 1;
        if is_whole {
            return Err(NotConvertible::Structure);
        }
        let old = TransferEncoding::of(label);
        let plain = if old == TransferEncoding::Identity { raw } else { decode(&raw, old).into() };
        let is_text = description.content_type.starts_with("text/");
        let new = match old {
            TransferEncoding::Identity if is_text && encode::is_mostly_plain(&plain) => {
                TransferEncoding::QuotedPrintable
            }
            TransferEncoding::Identity => TransferEncoding::Base64,
            kept => kept,
        };
        match new {
            TransferEncoding::QuotedPrintable => self.output.quoted += 1,
            _ => self.output.base64 += 1,
        }
        Ok(Change::Encode(new, plain))
    }

    /// A header that fits, and whether it had to be changed for that.
    fn fit_fields(&mut self, header: Bytes, is_signed: bool) -> Result<(Bytes, bool), NotConvertible> {
        if lines::has_stray(&header) || memchr::memchr(0, &header).is_some() {
            return Err(NotConvertible::Structure);
        }
        if self.fit == Fit::EightBit || header.is_ascii() {
            return Ok((header, false));
        }
        if is_signed {
            return Err(NotConvertible::Signed);
        }
        let index = HeaderIndex::scan(&header, &self.limits.header)?;
        let (header, changed) = fields::in_ascii(&header, &index)?;
        self.output.fields += changed;
        Ok((header, true))
    }

    /// Boundaries, and the text before the first and behind the last part, which no reader shows: it may lose octets.
    fn keep_structure(&mut self, to: usize) -> Result<(), NotConvertible> {
        let gap = self.rest.slice(self.at..to.max(self.at));
        if lines::has_stray(&gap) || memchr::memchr(0, &gap).is_some() {
            return Err(NotConvertible::Structure);
        }
        if self.fit == Fit::EightBit || gap.is_ascii() {
            self.at = self.at.max(to);
            return Ok(());
        }
        if self.has_signed {
            return Err(NotConvertible::Signed);
        }
        let mut plain = Vec::with_capacity(gap.len());
        for line in gap.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b"--") && !line.is_ascii() {
                return Err(NotConvertible::Structure);
            }
            plain.extend(line.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }));
        }
        self.replace(to, plain.into());
        Ok(())
    }

    /// Puts `new` in the place of what stands between `at` and `to`.
    fn replace(&mut self, to: usize, new: Bytes) {
        self.output.body.push(self.rest.slice(self.kept_from..self.at));
        self.output.body.push(new);
        self.at = to;
        self.kept_from = to;
    }

    fn finish(mut self) -> Result<Converted, NotConvertible> {
        self.keep_structure(self.rest.len())?;
        self.output.body.push(self.rest.slice(self.kept_from..));
        Ok(self.output)
    }
}

/// True when the next hop takes these octets as the body of a part.
fn fits(octets: &[u8], fit: Fit) -> bool {
    (fit == Fit::EightBit || octets.is_ascii())
        && memchr::memchr(0, octets).is_none()
        && !lines::has_stray(octets)
        && octets.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE_OCTETS_MAX + 1)
}

/// The fields that tell of a change.
fn edits(place: &Place, fields: &HeaderIndex, change: &Change) -> Vec<MessageEdit> {
    let set = |name: &str, value: &str| {
        MessageEdit::Set(name.parse::<HeaderName>().expect("a name of ours is one"), value.to_owned())
    };
    let (label, plain) = match change {
        Change::Nothing => return Vec::new(),
        Change::Label(label) => return vec![set("Content-Transfer-Encoding", label)],
        Change::Encode(TransferEncoding::QuotedPrintable, plain) => ("quoted-printable", plain),
        Change::Encode(_, plain) => ("base64", plain),
    };
    let mut edits = Vec::new();
    if place.is_message && fields.count("mime-version") == 0 {
        edits.push(set("MIME-Version", "1.0"));
    }
    if fields.count("content-type") == 0 && !plain.is_ascii() {
        // RFC 1428 3; but what is valid UTF-8 is hardly anything else.
        let charset = if std::str::from_utf8(plain).is_ok() { "utf-8" } else { "unknown-8bit" };
        edits.push(set("Content-Type", &format!("text/plain; charset={charset}")));
    }
    edits.push(set("Content-Transfer-Encoding", label));
    edits
}

/// The header with these changes. An empty line at its end stays there.
fn rewritten(header: Bytes, edits: &[MessageEdit]) -> Bytes {
    let len = match &header[..] {
        b"\r\n" => 0,
        lines if lines.ends_with(b"\r\n\r\n") => lines.len() - EMPTY_LINE.len(),
        lines => lines.len(),
    };
    let content = Content { header: header.slice(..len), rest: header.slice(len..) };
    header::apply(content, edits, false).into_body(Bytes::new()).to_bytes()
}

/// Fields that sign the message as it stands.
const SIGNATURES: [&str; 2] = ["dkim-signature", "arc-message-signature"];
const ENCODING: &str = "content-transfer-encoding";
const EMPTY_LINE: &[u8] = b"\r\n";

#[cfg(test)]
mod tests;
