//! The structure of a message (RFC 2045, RFC 2046): how deep, how many parts, how wide its lines are, and where each
//! leaf of the tree stands.
//!
//! One pass over the lines; no recursion and no memory that grows with the message: a stack of open boundaries,
//! bounded by the depth limit, one buffer for the field at hand, and a few numbers for each leaf, bounded by the
//! limit of parts. Bounds and leaves come from the same pass, so there is no second reader that could disagree.

mod content_type;
mod convert;
mod leaf;
mod links;
mod transfer;
mod tree;

use crate::body::Content;
use crate::header::{HeaderLimits, TooComplex};
use content_type::{Kind, TypeField};

pub use convert::{Converted, Fit, NotConvertible, TextPart, convert, quoted_printable, replace_texts};
pub use leaf::Part;
pub use links::LINKS_MAX;
pub use tree::{Tree, read_tree};

/// How complex a message may be before it is not parsed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MimeLimits {
    /// Levels of multiparts and enclosed messages in one another.
    pub depth_max: usize,
    /// Parts in all, containers included.
    pub parts_max: usize,
    /// The header of the message and of every part.
    pub header: HeaderLimits,
    /// Parameters, or sections of them (RFC 2231 3), in one Content-Type or Content-Disposition.
    pub parameter_sections_max: usize,
}

impl Default for MimeLimits {
    fn default() -> MimeLimits {
        MimeLimits {
            depth_max: 64,
            parts_max: 1_000,
            header: HeaderLimits::default(),
            parameter_sections_max: 200,
        }
    }
}

/// What the pass found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Parts in all, the message itself included.
    pub parts: usize,
    /// Levels of multiparts and enclosed messages; 0 for a plain message.
    pub depth: usize,
    /// There are octets above 127, so the next hop needs 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// Octets of the longest line, its line end not counted.
    pub longest_line_octets: usize,
}

/// Measures `content`; stops with [`TooComplex`] at the first bound that it exceeds.
///
/// In doubt it counts more rather than less: a parser that reads the structure differently finds no deeper nesting
/// of what RFC 2046 calls a part.
pub fn check_shape(content: &Content, limits: &MimeLimits) -> Result<Shape, TooComplex> {
    let mut walk = Walk::new(limits, ());
    walk.shape.eight_bit = !(content.header.is_ascii() && content.rest.is_ascii());
    walk.run(content)?;
    Ok(walk.shape)
}

/// What is told while the pass goes on. Offsets count from the start of [`Content::rest`]; the message's own header,
/// which stands before it, ends at 0.
trait Watch {
    /// The header of a part begins.
    fn part_begins(&mut self, at: usize);
    /// The header of a part ended that holds other parts; what it holds begins. `open` is what encloses it.
    fn container_begins(&mut self, _at: usize, _open: &[Container]) {}
    /// The header of a leaf ended; its body begins. `open` is what encloses it.
    fn body_begins(&mut self, at: usize, open: &[Container]);
    /// The body of the leaf at hand, if there is one, ends: before the boundary line that begins there, or with the
    /// message.
    fn body_ends(&mut self, at: usize, by_boundary: bool);
}

/// For who wants the shape only.
impl Watch for () {
    fn part_begins(&mut self, _: usize) {}
    fn body_begins(&mut self, _: usize, _: &[Container]) {}
    fn body_ends(&mut self, _: usize, _: bool) {}
}

/// The pass: where it is and what is open.
struct Walk<'a, W> {
    limits: &'a MimeLimits,
    shape: Shape,
    open: Vec<Container>,
    header: Option<PartHeader>,
    watch: W,
    /// Where the line at hand begins and ends.
    line_start: usize,
    line_end: usize,
}

/// A multipart or an enclosed message that has not ended.
enum Container {
    Multipart { boundary: Box<[u8]>, subtype: Box<str> },
    Message,
}

impl Container {
    /// The subtype, in lower case.
    fn subtype(&self) -> &str {
        match self {
            Container::Multipart { subtype, .. } => subtype,
            Container::Message => "rfc822",
        }
    }
}

/// The header of the part at hand, as far as it was read.
#[derive(Default)]
struct PartHeader {
    octets: usize,
    fields: usize,
    field: TypeField,
    kind: Option<Kind>,
    /// The body is in base64 or quoted-printable.
    is_encoded: bool,
}

impl<'a, W: Watch> Walk<'a, W> {
    fn new(limits: &'a MimeLimits, watch: W) -> Walk<'a, W> {
        let shape = Shape { parts: 1, ..Shape::default() };
        let header = Some(PartHeader::default());
        Walk { limits, shape, open: Vec::new(), header, watch, line_start: 0, line_end: 0 }
    }

    fn run(&mut self, content: &Content) -> Result<(), TooComplex> {
        self.lines(&content.header, false)?;
        self.lines(&content.rest, true)?;
        self.end_header(self.line_end)?;
        self.watch.body_ends(content.rest.len(), false);
        Ok(())
    }

    fn lines(&mut self, half: &[u8], counts: bool) -> Result<(), TooComplex> {
        let mut rest = half;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, tail) = rest.split_at(end);
            if counts {
                self.line_start = self.line_end;
                self.line_end += end;
            }
            self.line(line)?;
            rest = tail;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), TooComplex> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        self.shape.longest_line_octets = self.shape.longest_line_octets.max(text.len());
        if let Some(delimiter) = text.strip_prefix(b"--")
            && let Some((level, is_last)) = self.find_boundary(delimiter)
        {
            return self.end_part(level, is_last);
        }
        match &mut self.header {
            None => Ok(()),
            Some(_) if text.is_empty() => self.end_header(self.line_end),
            Some(header) => header.line(line, self.limits),
        }
    }

    /// The innermost open multipart whose boundary the line has, and whether this is its last one (RFC 2046 5.1.1).
    fn find_boundary(&self, delimiter: &[u8]) -> Option<(usize, bool)> {
        self.open.iter().enumerate().rev().find_map(|(level, container)| match container {
            Container::Multipart { boundary, .. } => {
                delimiter.strip_prefix(&**boundary).map(|rest| (level, rest.starts_with(b"--")))
            }
            Container::Message => None,
        })
    }

    fn end_part(&mut self, level: usize, is_last: bool) -> Result<(), TooComplex> {
        self.end_header(self.line_start)?;
        self.watch.body_ends(self.line_start, true);
        self.open.truncate(if is_last { level } else { level + 1 });
        self.header = None;
        if is_last { Ok(()) } else { self.begin_part(self.line_end) }
    }

    fn begin_part(&mut self, at: usize) -> Result<(), TooComplex> {
        self.shape.parts += 1;
        if self.shape.parts > self.limits.parts_max {
            return Err(TooComplex { what: "MIME parts", limit: self.limits.parts_max });
        }
        self.header = Some(PartHeader::default());
        self.watch.part_begins(at);
        Ok(())
    }

    /// Opens what the header at hand announces, whose body begins at `at`; does nothing outside of a header.
    fn end_header(&mut self, at: usize) -> Result<(), TooComplex> {
        let Some(mut header) = self.header.take() else { return Ok(()) };
        header.end_field(self.limits)?;
        let in_digest = self.open.last().is_some_and(|container| container.subtype() == "digest");
        let is_message = match header.kind {
            Some(Kind::Multipart { boundary, subtype }) => {
                self.watch.container_begins(at, &self.open);
                return self.open(Container::Multipart { boundary, subtype });
            }
            Some(Kind::Message) => true,
            // In a digest, a part is a message unless it says otherwise (RFC 2046 5.1.5).
            None => in_digest,
            Some(Kind::Other) => false,
        };
        // A message may not be encoded (RFC 2046 5.2.1); one that is can not be looked into line by line.
        if is_message && !header.is_encoded {
            self.watch.container_begins(at, &self.open);
            return self.open_message(at);
        }
        self.watch.body_begins(at, &self.open);
        Ok(())
    }

    fn open_message(&mut self, at: usize) -> Result<(), TooComplex> {
        self.open(Container::Message)?;
        self.begin_part(at)
    }

    fn open(&mut self, container: Container) -> Result<(), TooComplex> {
        if self.open.len() == self.limits.depth_max {
            return Err(TooComplex { what: "levels of MIME nesting", limit: self.limits.depth_max });
        }
        self.open.push(container);
        self.shape.depth = self.shape.depth.max(self.open.len());
        Ok(())
    }
}

impl PartHeader {
    fn line(&mut self, line: &[u8], limits: &MimeLimits) -> Result<(), TooComplex> {
        self.octets += line.len();
        if self.octets > limits.header.octets_max {
            return Err(TooComplex { what: "header octets", limit: limits.header.octets_max });
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return self.field.add(line);
        }
        self.end_field(limits)?;
        self.fields += 1;
        if self.fields > limits.header.fields_max {
            return Err(TooComplex { what: "header fields", limit: limits.header.fields_max });
        }
        self.field = TypeField::start(line);
        self.field.add_start(line)
    }

    /// Reads the field that just ended, when it is one that describes the part.
    fn end_field(&mut self, limits: &MimeLimits) -> Result<(), TooComplex> {
        let field = std::mem::take(&mut self.field);
        field.check_parameters(limits.parameter_sections_max)?;
        self.is_encoded |= field.is_encoding();
        let Some(kind) = field.kind()? else { return Ok(()) };
        // Two types for one part: readers disagree about which one holds, so the structure is not known.
        if self.kind.replace(kind).is_some() {
            return Err(TooComplex { what: "Content-Type fields in a part", limit: 1 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
