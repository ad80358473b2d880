//! The fields that describe a part: Content-Type (RFC 2045 5), Content-Transfer-Encoding (RFC 2045 6) and
//! Content-Disposition (RFC 2183).

use crate::header::TooComplex;
use crate::text::sanitize_octets;

/// Octets of a Content-Type that are read.
const FIELD_OCTETS_MAX: usize = 16 * 1024;
/// Octets of a multipart's subtype that are kept.
const SUBTYPE_OCTETS_MAX: usize = 64;
/// Octets of a boundary; RFC 2046 5.1.1 allows 70.
const BOUNDARY_OCTETS_MAX: usize = 200;

/// What a part is, as far as its structure goes.
pub(super) enum Kind {
    /// Parts between boundaries.
    Multipart { boundary: Box<[u8]>, subtype: Box<str> },
    /// A whole message.
    Message,
    /// A leaf.
    Other,
}

/// A field that is being collected. Other fields than the three are not collected.
#[derive(Default)]
pub(super) enum TypeField {
    #[default]
    None,
    Type(Vec<u8>),
    Encoding(Vec<u8>),
    Disposition(Vec<u8>),
}

impl TypeField {
    /// Begins to collect the field that `line` starts, when it is one of the three.
    pub(super) fn start(line: &[u8]) -> TypeField {
        match Name::of(line) {
            Some(Name::Type) => TypeField::Type(Vec::new()),
            Some(Name::Encoding) => TypeField::Encoding(Vec::new()),
            Some(Name::Disposition) => TypeField::Disposition(Vec::new()),
            None => TypeField::None,
        }
    }

    /// Adds what follows the colon of the first line.
    pub(super) fn add_start(&mut self, line: &[u8]) -> Result<(), TooComplex> {
        let value = memchr::memchr(b':', line).and_then(|colon| line.get(colon + 1..)).unwrap_or_default();
        self.add(value)
    }

    /// Adds a line that continues the field.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), TooComplex> {
        let (TypeField::Type(value) | TypeField::Encoding(value) | TypeField::Disposition(value)) = self
        else {
            return Ok(());
        };
        if value.len() + line.len() > FIELD_OCTETS_MAX {
            return Err(TooComplex { what: "octets in a Content-Type", limit: FIELD_OCTETS_MAX });
        }
        value.extend(line.iter().filter(|octet| !matches!(octet, b'\r' | b'\n')));
        Ok(())
    }

    /// Bounds the number of parameters; a semicolon in a quoted string counts too.
    pub(super) fn check_parameters(&self, limit: usize) -> Result<(), TooComplex> {
        let (TypeField::Type(value) | TypeField::Disposition(value)) = self else { return Ok(()) };
        let sections = memchr::memchr_iter(b';', value).count();
        if sections > limit { Err(TooComplex { what: "parameter sections", limit }) } else { Ok(()) }
    }

    /// True when this field says that the body is encoded, so that its lines are not those of its content.
    pub(super) fn is_encoding(&self) -> bool {
        let TypeField::Encoding(value) = self else { return false };
        let clean = without_comments(value);
        let name = clean.trim_ascii();
        name.eq_ignore_ascii_case(b"base64") || name.eq_ignore_ascii_case(b"quoted-printable")
    }

    /// What the part is; none when this field does not say.
    pub(super) fn kind(&self) -> Result<Option<Kind>, TooComplex> {
        let TypeField::Type(value) = self else { return Ok(None) };
        let clean = without_comments(value);
        let (media, parameters) = match memchr::memchr(b';', &clean) {
            Some(at) => clean.split_at(at),
            None => (clean.as_slice(), &[][..]),
        };
        let media: Vec<u8> =
            media.iter().filter(|octet| !octet.is_ascii_whitespace()).map(u8::to_ascii_lowercase).collect();
        if let Some(subtype) = media.strip_prefix(b"multipart/") {
            let subtype = sanitize_octets(subtype, SUBTYPE_OCTETS_MAX).into_boxed_str();
            return Ok(Some(
                boundary(parameters)?.map_or(Kind::Other, |boundary| Kind::Multipart { boundary, subtype }),
            ));
        }
        let is_message = matches!(media.as_slice(), b"message/rfc822" | b"message/global" | b"message/news");
        Ok(Some(if is_message { Kind::Message } else { Kind::Other }))
    }
}

/// The three fields that matter.
enum Name {
    Type,
    Encoding,
    Disposition,
}

impl Name {
    fn of(line: &[u8]) -> Option<Name> {
        let name = line.get(..memchr::memchr(b':', line)?)?.trim_ascii_end();
        if name.eq_ignore_ascii_case(b"content-type") {
            Some(Name::Type)
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            Some(Name::Encoding)
        } else if name.eq_ignore_ascii_case(b"content-disposition") {
            Some(Name::Disposition)
        } else {
            None
        }
    }
}

/// The value without what stands in parentheses outside of quotes (RFC 5322 3.2.2).
fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(value.len());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for octet in value {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted || depth > 0 => escaped = true,
            b'"' if depth == 0 => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted && depth > 0 => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            clean.push(*octet);
        }
    }
    clean
}

/// The boundary parameter; none when it is missing or empty.
fn boundary(parameters: &[u8]) -> Result<Option<Box<[u8]>>, TooComplex> {
    let mut found = None;
    for (name, value) in Parameters(parameters) {
        let Some(rest) =
            name.get(..8).filter(|start| start.eq_ignore_ascii_case(b"boundary")).and(name.get(8..))
        else {
            continue;
        };
        // A boundary in sections (RFC 2231) is read differently by every reader, and nobody needs it.
        if rest.starts_with(b"*") || found.is_some() {
            return Err(TooComplex { what: "forms of one boundary", limit: 1 });
        }
        if rest.is_empty() && !value.is_empty() {
            found = Some(value);
        }
    }
    match found {
        Some(value) if value.len() > BOUNDARY_OCTETS_MAX => {
            Err(TooComplex { what: "octets in a boundary", limit: BOUNDARY_OCTETS_MAX })
        }
        found => Ok(found.map(Vec::into_boxed_slice)),
    }
}

/// Name and unquoted value of each parameter.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Vec<u8>);

    fn next(&mut self) -> Option<(&'a [u8], Vec<u8>)> {
        let start = self.0.iter().position(|octet| *octet != b';' && !octet.is_ascii_whitespace())?;
        let rest = self.0.get(start..)?;
        let name_len = rest.iter().position(|octet| matches!(octet, b'=' | b';')).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(name_len);
        let rest = rest.strip_prefix(b"=").unwrap_or(rest);
        let (value, len) = parameter_value(rest);
        self.0 = rest.get(len..).unwrap_or_default();
        Some((name.trim_ascii_end(), value))
    }
}

/// The unquoted value at the start of `text`, which begins after `=` or at `;`, and the octets that it took.
fn parameter_value(text: &[u8]) -> (Vec<u8>, usize) {
    let blanks = text.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
    let rest = text.get(blanks..).unwrap_or_default();
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let len = memchr::memchr(b';', rest).unwrap_or(rest.len());
        return (rest.get(..len).unwrap_or_default().trim_ascii_end().to_vec(), blanks + len);
    };
    let mut value = Vec::new();
    let mut escaped = false;
    for (index, octet) in quoted.iter().enumerate() {
        match octet {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return (value, blanks + index + 2),
            _ => {
                escaped = false;
                value.push(*octet);
            }
        }
    }
    (value, text.len())
}
