//! A text of the message, and the footer in it.

use std::ops::Range;

use baton_sdk::Part;
use baton_sdk::prelude::*;

use crate::encoding::{encode, holds_ascii, in_charset};

/// The footer in its forms.
pub(crate) struct Footer {
    /// With separator, lines ended by CRLF.
    text: String,
    text_ascii: Option<String>,
    /// In ASCII.
    html: String,
    /// By which a text that has the footer is known: lines without separator.
    marks: Vec<String>,
}

/// Why a text gets no footer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It has it.
    Already,
    /// Its charset does not hold the footer.
    Charset,
    /// Its transfer encoding does not, or is not known.
    Encoding,
    /// It is too large.
    Large,
}

/// A plain text or HTML that is the message itself, no attachment and nothing forwarded.
pub(crate) struct Leaf {
    part: Part,
    pub(crate) is_html: bool,
}

impl Footer {
    pub(crate) fn new(text: &str, text_ascii: Option<&str>, html: Option<&str>, separator: &str) -> Footer {
        let whole = |text: &str| [separator, "\r\n", &crlf(text), "\r\n"].concat();
        let html = match html {
            Some(html) => crlf(html),
            None => ["<div><hr>", &crlf(&escaped(text)).replace("\r\n", "<br>\r\n"), "</div>"].concat(),
        };
        let marks = [Some(text), text_ascii].into_iter().flatten().map(normal).collect();
        Footer { text: whole(text), text_ascii: text_ascii.map(whole), html: referenced(&html), marks }
    }
}

impl Leaf {
    pub(crate) fn of(part: Part) -> Option<Leaf> {
        let is_html = match part.content_type().as_str() {
            "text/plain" => false,
            "text/html" => true,
            _ => return None,
        };
        let is_body = part.filename().is_none()
            && part.disposition().as_deref() != Some("attachment")
            && part
                .within()
                .iter()
                .all(|subtype| matches!(subtype.as_str(), "mixed" | "alternative" | "related"));
        is_body.then_some(Leaf { part, is_html })
    }

    /// Where its encoded content stands in the message.
    pub(crate) fn range(&self) -> Range<u64> {
        self.part.raw_range()
    }

    /// Its encoded content with the footer in it.
    pub(crate) fn with_footer(
        &self,
        cx: &Context,
        footer: &Footer,
        octets_max: u32,
    ) -> Result<Vec<u8>, Unfit> {
        if self.part.decoded_size() > u64::from(octets_max) {
            return Err(Unfit::Large);
        }
        let content = self.part.read(0, octets_max);
        let charset = self.part.charset().unwrap_or_default();
        let encoding = self.part.transfer_encoding();
        if self.has(footer, &content) {
            return Err(Unfit::Already);
        }
        let mut encoded = if self.is_html {
            let with = holds_ascii(&charset)
                .then(|| inserted(&content, footer.html.as_bytes()))
                .ok_or(Unfit::Charset)?;
            encode(&with, &encoding).ok_or(Unfit::Encoding)?
        } else {
            let mut unfit = Unfit::Charset;
            let forms = [Some(&footer.text), footer.text_ascii.as_ref()];
            let fitting = forms.into_iter().flatten().find_map(|text| {
                let with = appended(&content, &in_charset(text, &charset)?);
                unfit = Unfit::Encoding;
                encode(&with, &encoding)
            });
            fitting.ok_or(unfit)?
        };
        // The line end before a boundary belongs to the boundary (RFC 2046 5.1.1).
        if cx.message().read(self.range().end, 2) == b"\r\n" && encoded.ends_with(b"\r\n") {
            encoded.truncate(encoded.len() - 2);
        }
        Ok(encoded)
    }

    /// True when the footer stands in it, at the beginning of a line (not quoted) or in HTML.
    fn has(&self, footer: &Footer, content: &[u8]) -> bool {
        if self.is_html {
            return find(content, footer.html.as_bytes()).is_some();
        }
        let text = normal(&self.part.text(u32::MAX));
        footer
            .marks
            .iter()
            .any(|mark| ["\n", text.as_str(), "\n"].concat().contains(&["\n", mark.as_str(), "\n"].concat()))
    }
}

/// The footer behind the text, on a line of its own.
fn appended(content: &[u8], footer: &[u8]) -> Vec<u8> {
    let mut with = content.to_vec();
    if !with.is_empty() && !with.ends_with(b"\r\n") {
        with.extend_from_slice(b"\r\n");
    }
    with.extend_from_slice(footer);
    with
}

/// The footer before the end of the HTML body, or at its end.
fn inserted(content: &[u8], footer: &[u8]) -> Vec<u8> {
    let lower = content.to_ascii_lowercase();
    let at = rfind(&lower, b"</body").or_else(|| rfind(&lower, b"</html")).unwrap_or(content.len());
    let (before, behind) = content.split_at(at);
    let line_end: &[u8] = if behind.is_empty() && before.ends_with(b"\r\n") { b"" } else { b"\r\n" };
    [before, line_end, footer, b"\r\n", behind].concat()
}

fn find(content: &[u8], needle: &[u8]) -> Option<usize> {
    content.windows(needle.len().max(1)).position(|window| window == needle)
}

fn rfind(content: &[u8], needle: &[u8]) -> Option<usize> {
    content.windows(needle.len().max(1)).rposition(|window| window == needle)
}

/// Lines without the blanks at their ends, joined by LF.
fn normal(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

fn crlf(text: &str) -> String {
    text.trim_end().lines().collect::<Vec<_>>().join("\r\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Characters beyond ASCII as references, which every charset of HTML holds.
fn referenced(html: &str) -> String {
    let reference = |character: char| {
        if character.is_ascii() { character.to_string() } else { format!("&#{};", character as u32) }
    };
    html.chars().map(reference).collect()
}
