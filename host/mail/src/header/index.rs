//! Where the fields of a header are: one linear scan, no copy.

use std::ops::Range;

use bytes::Bytes;

use super::is_field_text;

/// How much header may be looked at. A header beyond is not parsed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLimits {
    /// Octets of the whole header block.
    pub octets_max: usize,
    /// Number of fields.
    pub fields_max: usize,
    /// Octets of one field name.
    pub name_octets_max: usize,
}

impl Default for HeaderLimits {
    fn default() -> HeaderLimits {
        HeaderLimits { octets_max: 256 * 1024, fields_max: 1_000, name_octets_max: 998 }
    }
}

/// A message goes beyond a bound and is not parsed. It can still be relayed as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too complex to parse: more than {limit} {what}")]
pub struct TooComplex {
    /// What there is too much of, such as `header fields`.
    pub what: &'static str,
    /// How much would have been accepted.
    pub limit: usize,
}

/// The fields of one header, in order. Lines that are no field are left out.
#[derive(Clone, Debug, Default)]
pub struct HeaderIndex {
    header: Bytes,
    fields: Vec<Field>,
}

/// Where one field stands. Offsets fit into 32 bits because the limit of octets does.
#[derive(Clone, Debug)]
struct Field {
    name: Range<u32>,
    value: Range<u32>,
}

impl HeaderIndex {
    /// Finds the fields of `header`, which is a block of lines without the empty line.
    pub fn scan(header: &Bytes, limits: &HeaderLimits) -> Result<HeaderIndex, TooComplex> {
        let octets_max = limits.octets_max.min(u32::MAX as usize);
        if header.len() > octets_max {
            return Err(TooComplex { what: "header octets", limit: octets_max });
        }
        let mut fields = Vec::new();
        for line in Lines::new(header) {
            let Some(name_len) = field_name_len(line.of(header)) else { continue };
            if name_len > limits.name_octets_max {
                return Err(TooComplex { what: "octets in a header name", limit: limits.name_octets_max });
            }
            if fields.len() == limits.fields_max {
                return Err(TooComplex { what: "header fields", limit: limits.fields_max });
            }
            fields.push(line.field(header, name_len));
        }
        Ok(HeaderIndex { header: header.clone(), fields })
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// True when there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The names in order, as they are written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| std::str::from_utf8(self.name(field)).unwrap_or_default())
    }

    /// Each field in order: its name, and all its octets without the last line end.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| {
            let octets = self.header.get(field.name.start as usize..field.value.end as usize);
            (std::str::from_utf8(self.name(field)).unwrap_or_default(), octets.unwrap_or_default())
        })
    }

    /// Where each field stands in the header, without its last line end.
    pub(crate) fn places(&self) -> impl Iterator<Item = Range<usize>> {
        self.fields.iter().map(|field| field.name.start as usize..field.value.end as usize)
    }

    /// The raw value of the first field of that name: all between the colon and the last line end.
    pub fn first(&self, name: &str) -> Option<Bytes> {
        self.find(name).next()
    }

    /// The raw values of all fields of that name.
    pub fn all(&self, name: &str) -> Vec<Bytes> {
        self.find(name).collect()
    }

    /// How many fields have that name.
    pub fn count(&self, name: &str) -> usize {
        self.find(name).count()
    }

    fn find(&self, name: &str) -> impl Iterator<Item = Bytes> {
        self.fields
            .iter()
            .filter(move |field| self.name(field).eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| self.header.slice(field.value.start as usize..field.value.end as usize))
    }

    fn name(&self, field: &Field) -> &[u8] {
        self.header.get(field.name.start as usize..field.name.end as usize).unwrap_or_default()
    }
}

/// Octets of the field name that starts `field`; none when this is no field.
///
/// White space before the colon is obsolete but must be understood (RFC 5322 4.5); white space in the name is
/// not a name, so that `Fr om:` is never taken for `From:`.
pub(super) fn field_name_len(field: &[u8]) -> Option<usize> {
    let len = field.iter().take_while(|octet| is_field_text(**octet)).count();
    let rest = field.get(len..)?;
    let colon = rest.iter().find(|octet| !matches!(octet, b' ' | b'\t'))?;
    (len > 0 && *colon == b':').then_some(len)
}

/// Splits a header into unfolded units: a line with the lines that continue it (RFC 5322 2.2.3).
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    offset: usize,
}

/// One unit: where it begins and where it ends, line ends included.
pub(super) struct Line(pub(super) Range<usize>);

impl<'a> Lines<'a> {
    pub(super) fn new(header: &'a [u8]) -> Lines<'a> {
        Lines { rest: header, offset: 0 }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.rest.is_empty() {
            return None;
        }
        let continues = |at: &usize| !matches!(self.rest.get(at + 1), Some(b' ' | b'\t'));
        let len = memchr::memchr_iter(b'\n', self.rest).find(continues).map_or(self.rest.len(), |at| at + 1);
        let line = Line(self.offset..self.offset + len);
        self.offset += len;
        self.rest = self.rest.get(len..).unwrap_or_default();
        Some(line)
    }
}

impl Line {
    pub(super) fn of<'a>(&self, header: &'a [u8]) -> &'a [u8] {
        header.get(self.0.clone()).unwrap_or_default()
    }

    fn field(&self, header: &[u8], name_len: usize) -> Field {
        let line = self.of(header);
        let colon = memchr::memchr(b':', line).unwrap_or(name_len);
        let without_end = line.strip_suffix(b"\n").unwrap_or(line);
        let end = without_end.strip_suffix(b"\r").unwrap_or(without_end).len();
        let start = (colon + 1).min(end);
        let at = |offset: usize| (self.0.start + offset) as u32;
        Field { name: at(0)..at(name_len), value: at(start)..at(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &'static str) -> HeaderIndex {
        HeaderIndex::scan(&Bytes::from_static(text.as_bytes()), &HeaderLimits::default()).unwrap()
    }

    #[test]
    fn fields_keep_their_folding() {
        let index = scan("Subject: a\r\n b\r\nTo: x\r\nsubject:c\r\n");
        assert_eq!(index.names().collect::<Vec<_>>(), ["Subject", "To", "subject"]);
        assert_eq!(index.first("SUBJECT").unwrap(), &b" a\r\n b"[..]);
        assert_eq!(index.all("subject").last().unwrap(), &b"c"[..]);
        assert_eq!((index.count("Subject"), index.count("Cc")), (2, 0));
        let fields: Vec<_> = index.fields().collect();
        assert_eq!(
            fields,
            [("Subject", &b"Subject: a\r\n b"[..]), ("To", b"To: x"), ("subject", b"subject:c")]
        );
    }

    #[test]
    fn lines_that_are_no_field_are_left_out() {
        let index = scan(" orphan: x\r\nFrom me\r\n: y\r\nFr om: a\r\nFrom : b\r\nX:\r\n\r\n");
        assert_eq!(index.names().collect::<Vec<_>>(), ["From", "X"]);
        assert_eq!(index.first("From").unwrap(), &b" b"[..]);
        assert_eq!(index.first("X").unwrap(), &b""[..]);
    }

    #[test]
    fn bounds_are_reported_by_name() {
        let limits = HeaderLimits { octets_max: 100, fields_max: 3, name_octets_max: 10 };
        let scan = |text: &str| {
            HeaderIndex::scan(&Bytes::copy_from_slice(text.as_bytes()), &limits).unwrap_err().what
        };
        assert_eq!(scan(&"a".repeat(101)), "header octets");
        assert_eq!(scan("a:\r\na:\r\na:\r\na:\r\n"), "header fields");
        assert_eq!(scan("aaaaaaaaaaa: b\r\n"), "octets in a header name");
    }
}
