//! One pass over HTML: tags with their attributes and text, each with its place in the source.

use std::convert::Infallible;
use std::ops::Range;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

/// One attribute of a start tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// In lower case.
    pub(crate) name: String,
    /// Character references resolved.
    pub(crate) value: String,
    /// The value in the source, without its quotes; empty when there is none.
    pub(crate) place: Range<usize>,
}

/// What the source consists of. Comments, conditional ones too, and the document type are passed over.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// A start tag.
    Start {
        /// In lower case.
        name: &'a str,
        /// The first of each name counts; a later one is no attribute (HTML 13.2.5.33).
        attributes: &'a [Attribute],
        /// The whole tag.
        place: Range<usize>,
    },
    /// An end tag.
    End {
        /// In lower case.
        name: &'a str,
        /// The whole tag.
        place: Range<usize>,
    },
    /// Text, character references resolved.
    Text(&'a str),
}

impl Piece<'_> {
    /// The attribute of that name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        match self {
            Piece::Start { attributes, .. } => attributes.iter().find(|attribute| attribute.name == name),
            _ => None,
        }
    }
}

/// Elements that have no end tag (HTML 13.1.2).
pub(crate) fn is_void(name: &str) -> bool {
    let voids = [
        "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
        "track", "wbr",
    ];
    voids.contains(&name)
}

/// Elements whose end tag may be left out (HTML 13.1.2.4).
pub(crate) fn ends_by_itself(name: &str) -> bool {
    let optional = [
        "html", "head", "body", "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot",
        "colgroup", "caption", "option", "optgroup", "rt", "rp",
    ];
    optional.contains(&name)
}

/// Tells `visit` all pieces of `html`, in order.
pub(crate) fn scan(html: &str, mut visit: impl FnMut(Piece<'_>)) {
    let mut tag = OpenTag::default();
    let mut emitter =
        CallbackEmitter::new(|event: CallbackEvent<'_>, span: Span<usize>| -> Option<Infallible> {
            match event {
                CallbackEvent::OpenStartTag { name } => tag.begin(name, span.start),
                CallbackEvent::AttributeName { name } => tag.name_attribute(name),
                CallbackEvent::AttributeValue { value } => {
                    tag.give_value(value, value_place(html, span.start))
                }
                CallbackEvent::CloseStartTag { .. } => visit(Piece::Start {
                    name: &tag.name,
                    attributes: &tag.attributes,
                    place: tag.start..span.end,
                }),
                CallbackEvent::EndTag { name } => {
                    visit(Piece::End { name: &String::from_utf8_lossy(name), place: span.start..span.end })
                }
                CallbackEvent::String { value } => visit(Piece::Text(&String::from_utf8_lossy(value))),
                CallbackEvent::Comment { .. } | CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => {}
            }
            None
        });
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
}

/// The start tag at hand.
#[derive(Default)]
struct OpenTag {
    name: String,
    start: usize,
    attributes: Vec<Attribute>,
    /// The attribute at hand is the second of its name.
    is_double: bool,
}

impl OpenTag {
    fn begin(&mut self, name: &[u8], start: usize) {
        self.name = String::from_utf8_lossy(name).into_owned();
        self.start = start;
        self.attributes.clear();
    }

    fn name_attribute(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name);
        self.is_double = self.attributes.iter().any(|attribute| attribute.name == name);
        if !self.is_double && self.attributes.len() < ATTRIBUTES_MAX {
            self.attributes.push(Attribute { name: name.into_owned(), ..Attribute::default() });
        }
    }

    fn give_value(&mut self, value: &[u8], place: Range<usize>) {
        if let (false, Some(attribute)) = (self.is_double, self.attributes.last_mut()) {
            attribute.value = String::from_utf8_lossy(value).into_owned();
            attribute.place = place;
        }
    }
}

/// Attributes of one tag that are looked at; looking for doubles among more would take its time.
const ATTRIBUTES_MAX: usize = 100;

/// Where a value that begins at `start` stands: up to the quote that opened it, or up to a blank or `>` (HTML 13.2.5.36).
fn value_place(html: &str, start: usize) -> Range<usize> {
    let octets = html.as_bytes();
    let rest = octets.get(start..).unwrap_or_default();
    let before = start.checked_sub(1).and_then(|at| octets.get(at)).copied();
    let len = match before {
        Some(quote @ (b'"' | b'\'')) => rest.iter().position(|octet| *octet == quote),
        _ => rest.iter().position(|octet| octet.is_ascii_whitespace() || *octet == b'>'),
    };
    start..start + len.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_value_is_found_at_its_place() {
        for (source, raw, value) in [
            (
                "<a href=\"https://x.example/?a=1&amp;b=2\">",
                "https://x.example/?a=1&amp;b=2",
                "https://x.example/?a=1&b=2",
            ),
            ("<A HREF = 'x&amp;' title=y>", "x&amp;", "x&"),
            ("<a href=abc/def>", "abc/def", "abc/def"),
            ("<a title=\"a > b\" href= abc id=q>", "abc", "abc"),
            ("ä<a\n href=\"ö\" href=\"second\">", "ö", "ö"),
            ("<a href=\"&#104;ttps://x\">", "&#104;ttps://x", "https://x"),
            ("<a href=\"a'b\">", "a'b", "a'b"),
            ("<a href='&quot;'>", "&quot;", "\""),
        ] {
            let mut found = None;
            scan(source, |piece| found = found.take().or_else(|| piece.attribute("href").cloned()));
            let found = found.unwrap();
            assert_eq!((source.get(found.place), found.value.as_str()), (Some(raw), value), "{source}");
        }
    }

    #[test]
    fn tags_in_scripts_styles_and_comments_are_none() {
        let source =
            "<!-- <a href=x> --><script>'<a href=y>'</script><style>a{}</style><title><b></title><p>t</p>";
        let mut tags = Vec::new();
        scan(source, |piece| match piece {
            Piece::Start { name, place, .. } => tags.push(format!("{name}@{}", &source[place])),
            Piece::End { name, place } => tags.push(format!("/{name}@{}", &source[place])),
            Piece::Text(_) => {}
        });
        assert_eq!(
            tags,
            [
                "script@<script>",
                "/script@</script>",
                "style@<style>",
                "/style@</style>",
                "title@<title>",
                "/title@</title>",
                "p@<p>",
                "/p@</p>"
            ]
        );
    }
}
