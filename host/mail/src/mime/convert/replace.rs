//! Other text in the place of text: what is told of each text part is decoded, and what comes back is encoded.

use bytes::Bytes;

use super::super::MimeLimits;
use super::super::leaf::Description;
use super::super::transfer::{TransferEncoding, decode};
use super::places::{Place, read_places};
use super::{Change, edits, encode, is_signed, rewritten};
use crate::body::Content;
use crate::header::{HeaderIndex, TooComplex};

/// A part of the kind `text/…` that a mail program shows, not one that it saves.
#[derive(Debug)]
pub struct TextPart<'a> {
    /// The media type in lower case.
    pub content_type: &'a str,
    /// As named in the part, in lower case.
    pub charset: Option<&'a str>,
    /// The content without its transfer encoding.
    pub text: Bytes,
}

/// Asks `change` for another content of each text part. What comes back is put into quoted-printable or base64, and named so;
/// every other octet of the message stays. None when nothing was changed.
///
/// A message that is signed already (RFC 6376, RFC 1847) stays as it is: a change would break the signature.
///
/// # Errors
/// When the message exceeds a bound.
pub fn replace_texts(
    content: &Content,
    limits: &MimeLimits,
    mut change: impl FnMut(&TextPart<'_>) -> Option<Vec<u8>>,
) -> Result<Option<Content>, TooComplex> {
    if is_signed(&content.header, limits)? {
        return Ok(None);
    }
    let (mut header, mut rest, mut at) = (content.header.clone(), Vec::new(), 0);
    for place in read_places(content, limits)? {
        let Some((new_header, body)) = replaced(content, limits, &place, &mut change)? else { continue };
        let (from, to) = match (&place.header, &place.body) {
            (Some(header), Some(body)) => (header.start, body.end),
            (None, Some(body)) => (body.start, body.end),
            (_, None) => continue,
        };
        rest.extend_from_slice(content.rest.get(at..from).unwrap_or_default());
        match &place.header {
            Some(_) => rest.extend_from_slice(&new_header),
            None => header = new_header,
        }
        rest.extend_from_slice(&body);
        at = to;
    }
    if at == 0 {
        return Ok(None);
    }
    rest.extend_from_slice(content.rest.get(at..).unwrap_or_default());
    Ok(Some(Content { header, rest: rest.into() }))
}

/// The new header and the new body of one part, when it is one to change.
fn replaced(
    content: &Content,
    limits: &MimeLimits,
    place: &Place,
    change: &mut impl FnMut(&TextPart<'_>) -> Option<Vec<u8>>,
) -> Result<Option<(Bytes, Vec<u8>)>, TooComplex> {
    let Some(body) = place.body.clone().filter(|_| !place.is_signed) else { return Ok(None) };
    let header = match &place.header {
        Some(range) => content.rest.slice(range.clone()),
        None => content.header.clone(),
    };
    let fields = HeaderIndex::scan(&header, &limits.header)?;
    let description = Description::read(&fields);
    let is_shown = description.content_type.starts_with("text/") && !description.is_attachment();
    if !is_shown || description.encoding.starts_with("x-") {
        return Ok(None);
    }
    let raw = content.rest.slice(body.clone());
    let text = match TransferEncoding::of(&description.encoding) {
        TransferEncoding::Identity => raw,
        encoding => decode(&raw, encoding).into(),
    };
    let part =
        TextPart { content_type: &description.content_type, charset: description.charset.as_deref(), text };
    let Some(new) = change(&part).map(Bytes::from) else { return Ok(None) };
    let is_plain = encode::is_mostly_plain(&new);
    let encoding = if is_plain { TransferEncoding::QuotedPrintable } else { TransferEncoding::Base64 };
    let encoded = match is_plain {
        true => encode::quoted(&new),
        false => encode::base64(&new, body.end == content.rest.len()),
    };
    let edits = edits(place, &fields, &Change::Encode(encoding, new));
    Ok(Some((rewritten(header, &edits), encoded)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upper(part: &TextPart<'_>) -> Option<Vec<u8>> {
        (part.content_type == "text/html").then(|| part.text.to_ascii_uppercase())
    }

    fn changed(message: &str) -> Option<String> {
        let content = Content::split(Bytes::copy_from_slice(message.as_bytes()));
        let made = replace_texts(&content, &MimeLimits::default(), upper).unwrap()?;
        Some(String::from_utf8(made.into_body(Bytes::new()).to_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_single_part_gets_its_encoding_into_the_message_header() {
        assert_eq!(
            changed("Subject: x\r\nContent-Type: text/html\r\n\r\n<p>a=b\r\n").unwrap(),
            "Subject: x\r\nContent-Type: text/html\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<P>A=3DB\r\n"
        );
    }

    #[test]
    fn only_the_part_that_was_meant_changes() {
        let part = |encoding: &str, body: &str| {
            format!(
                "--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
            )
        };
        let frame = |html: &str| {
            format!(
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nbefore\r\n--b\r\n\r\nplain\r\n{html}\
                 --b\r\nContent-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n<p>file\r\n--b--\r\nafter\r\n"
            )
        };
        let made = changed(&frame(&part("base64", "PHA+w6Q="))).unwrap();
        assert_eq!(made, frame(&part("base64", "PFA+w6Q=")));
        let made = changed(&frame(&part("7bit", "<p>long text so that it is mostly plain"))).unwrap();
        assert_eq!(made, frame(&part("quoted-printable", "<P>LONG TEXT SO THAT IT IS MOSTLY PLAIN")));
        assert_eq!(changed(&frame("")), None);
    }

    #[test]
    fn what_is_signed_stays() {
        assert_eq!(changed("DKIM-Signature: v=1\r\nContent-Type: text/html\r\n\r\n<p>a\r\n"), None);
        let signed = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\n";
        assert_eq!(changed(signed), None);
    }
}
