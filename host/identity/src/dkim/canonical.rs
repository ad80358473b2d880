//! The canonical forms of header and body (RFC 6376 3.4), and their hashes.

use aws_lc_rs::digest::{Context, SHA256};
use baton_mail::body::Content;

use super::Signature;

/// How much a relay may change on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Simple,
    /// Blanks and folding.
    Relaxed,
}

/// The hash of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyHash {
    /// SHA-256 of the canonical body, or of its first octets.
    pub(crate) digest: [u8; 32],
    /// Octets of the whole canonical body.
    pub(crate) octets: u64,
}

/// Hashes `body`, which begins behind the empty line; of the canonical form only the first `length` octets when given.
pub(crate) fn hash_body(body: &[u8], form: Form, length: Option<u64>) -> BodyHash {
    let mut sink = Sink { context: Context::new(&SHA256), left: length, octets: 0, buffer: Vec::new() };
    match form {
        Form::Simple => simple_body(body, &mut sink),
        Form::Relaxed => relaxed_body(body, &mut sink),
    }
    sink.finish()
}

/// The body's hash for each signature; equal ones are computed once, large bodies off the threads that serve sessions.
pub(crate) async fn hash_bodies<'a>(
    signatures: impl Iterator<Item = &'a Signature>,
    content: &Content,
) -> Vec<Option<BodyHash>> {
    let wanted: Vec<(Form, Option<u64>)> =
        signatures.map(|signature| (signature.body_form, signature.length)).collect();
    let (rest, count) = (content.rest.clone(), wanted.len());
    let compute = move || {
        // The empty line belongs to neither half.
        let body = rest.strip_prefix(b"\r\n").unwrap_or(&rest);
        let mut known: Vec<((Form, Option<u64>), BodyHash)> = Vec::new();
        for want in &wanted {
            if !known.iter().any(|(done, _)| done == want) {
                known.push((*want, hash_body(body, want.0, want.1)));
            }
        }
        let find = |want| known.iter().find(|(done, _)| *done == want).map(|(_, hash)| *hash);
        wanted.into_iter().map(find).collect::<Vec<_>>()
    };
    if content.rest.len() <= INLINE_OCTETS {
        return compute();
    }
    tokio::task::spawn_blocking(compute).await.unwrap_or_else(|_| vec![None; count])
}

/// RFC 6376 3.4.3: empty lines at the end do not count, and there is one line end.
fn simple_body(body: &[u8], sink: &mut Sink) {
    let mut body = body;
    while let Some(shorter) = body.strip_suffix(b"\r\n") {
        body = shorter;
    }
    sink.take(body);
    sink.take(b"\r\n");
}

/// RFC 6376 3.4.4: blanks at the ends of lines do not count, others are one space, and then empty lines at the end do not
/// count. A body of nothing else is nothing.
fn relaxed_body(body: &[u8], sink: &mut Sink) {
    let mut rest = body;
    let mut line_ends = 0_usize;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n");
        let (line, tail) = rest.split_at(end.unwrap_or(rest.len()));
        rest = tail.strip_prefix(b"\r\n").unwrap_or(tail);
        let line = line.trim_suffix_blanks();
        if !line.is_empty() {
            for _ in 0..std::mem::take(&mut line_ends) {
                sink.take(b"\r\n");
            }
            squeeze(line, |piece| sink.take(piece));
        }
        line_ends += 1;
    }
    if sink.octets > 0 {
        sink.take(b"\r\n");
    }
}

/// A field in its canonical form, with its line end. `field` is the whole field without its last line end.
pub(crate) fn push_field(field: &[u8], form: Form, output: &mut Vec<u8>) {
    match form {
        Form::Simple => output.extend_from_slice(field),
        Form::Relaxed => relaxed_field(field, output),
    }
    output.extend_from_slice(b"\r\n");
}

/// RFC 6376 3.4.2: the name in lower case, no blanks around the colon, no folding, blanks as one space.
fn relaxed_field(field: &[u8], output: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', field).unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    output.extend(name.trim_suffix_blanks().iter().map(u8::to_ascii_lowercase));
    output.push(b':');
    let value = value.strip_prefix(b":").unwrap_or(value);
    let unfolded: Vec<u8> = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    let unfolded = unfolded.trim_suffix_blanks();
    let start = unfolded.iter().take_while(|octet| is_blank(**octet)).count();
    squeeze(unfolded.get(start..).unwrap_or_default(), |piece| output.extend_from_slice(piece));
}

/// Hands over `line` in pieces, each run of blanks as one space.
fn squeeze(line: &[u8], mut take: impl FnMut(&[u8])) {
    let mut rest = line;
    while let Some(at) = memchr::memchr2(b' ', b'\t', rest) {
        let (before, run) = rest.split_at(at);
        let blanks = run.iter().take_while(|octet| is_blank(**octet)).count();
        if blanks == 1 && run.starts_with(b" ") {
            // The usual case: the space belongs to the piece.
            let (piece, tail) = rest.split_at(at + 1);
            take(piece);
            rest = tail;
        } else {
            take(before);
            take(b" ");
            rest = run.get(blanks..).unwrap_or_default();
        }
    }
    take(rest);
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Blanks at the end of octets.
trait TrimBlanks {
    fn trim_suffix_blanks(&self) -> &[u8];
}

impl TrimBlanks for [u8] {
    fn trim_suffix_blanks(&self) -> &[u8] {
        let mut rest = self;
        while let [before @ .., b' ' | b'\t'] = rest {
            rest = before;
        }
        rest
    }
}

/// Takes canonical octets, counts all and hashes the first of them.
struct Sink {
    context: Context,
    left: Option<u64>,
    octets: u64,
    /// Short pieces are gathered: hashing each by itself would cost more than the hash.
    buffer: Vec<u8>,
}

impl Sink {
    fn take(&mut self, piece: &[u8]) {
        self.octets += piece.len() as u64;
        let piece = match &mut self.left {
            None => piece,
            Some(left) => {
                let part = piece.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= part as u64;
                piece.get(..part).unwrap_or_default()
            }
        };
        if piece.len() > BUFFER_OCTETS {
            self.context.update(&std::mem::take(&mut self.buffer));
            self.context.update(piece);
            return;
        }
        self.buffer.extend_from_slice(piece);
        if self.buffer.len() > BUFFER_OCTETS {
            self.context.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn finish(mut self) -> BodyHash {
        self.context.update(&self.buffer);
        let mut digest = [0; 32];
        digest.copy_from_slice(self.context.finish().as_ref());
        BodyHash { digest, octets: self.octets }
    }
}

/// Up to this size a body is hashed in place: a thread would cost more than the hash.
const INLINE_OCTETS: usize = 64 << 10;
/// Octets that are hashed at once.
const BUFFER_OCTETS: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(text: &str, form: Form) -> String {
        let mut sink = Sink { context: Context::new(&SHA256), left: None, octets: 0, buffer: Vec::new() };
        match form {
            Form::Simple => simple_body(text.as_bytes(), &mut sink),
            Form::Relaxed => relaxed_body(text.as_bytes(), &mut sink),
        }
        String::from_utf8(sink.buffer).unwrap()
    }

    fn field(text: &str, form: Form) -> String {
        let mut output = Vec::new();
        push_field(text.as_bytes(), form, &mut output);
        String::from_utf8(output).unwrap()
    }

    /// RFC 6376 3.4.5.
    #[test]
    fn the_examples_of_the_standard_hold() {
        assert_eq!(
            field("A: X", Form::Relaxed) + &field("B : Y\t\r\n\tZ  ", Form::Relaxed),
            "a:X\r\nb:Y Z\r\n"
        );
        assert_eq!(field("B : Y\t\r\n\tZ  ", Form::Simple), "B : Y\t\r\n\tZ  \r\n");
        let text = " C \r\nD \t E\r\n\r\n\r\n";
        assert_eq!(body(text, Form::Relaxed), " C\r\nD E\r\n");
        assert_eq!(body(text, Form::Simple), " C \r\nD \t E\r\n");
    }

    #[test]
    fn empty_ends_do_not_count() {
        for text in ["", "\r\n", "\r\n\r\n"] {
            assert_eq!((body(text, Form::Simple).as_str(), body(text, Form::Relaxed).as_str()), ("\r\n", ""));
        }
        // Lines of blanks become empty first, and empty lines at the end go (RFC 6376 3.4.4).
        assert_eq!(body("a\r\n \t\r\n\r\n  ", Form::Relaxed), "a\r\n");
        assert_eq!(body(" \t\r\n  \r\n", Form::Relaxed), "");
        assert_eq!(body("a\r\n \r\nb", Form::Relaxed), "a\r\n\r\nb\r\n");
        assert_eq!(body("a\r\n \t\r\n\r\n", Form::Simple), "a\r\n \t\r\n");
        assert_eq!(body("a", Form::Simple), "a\r\n");
    }

    #[test]
    fn a_length_cuts_the_hash_and_not_the_count() {
        let whole = hash_body(b"ab  c\r\n", Form::Relaxed, None);
        let part = hash_body(b"ab  c\r\nmore\r\n", Form::Relaxed, Some(6));
        assert_eq!((whole.digest, whole.octets, part.octets), (part.digest, 6, 12));
    }

    proptest! {
        #[test]
        fn canonical_bodies_stay_as_they_are(text in "[ab \t\r\n]{0,60}") {
            for form in [Form::Simple, Form::Relaxed] {
                let once = body(&text, form);
                prop_assert_eq!(body(&once, form), once);
            }
        }
    }
}
