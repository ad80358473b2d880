//! Header edits: the block is cut into fields, edited as a list, written once. Untouched fields stay byte exact.

use bytes::Bytes;

use super::index::{Lines, field_name_len};
use super::{HeaderName, encode_field};
use crate::body::Content;
use crate::edit::MessageEdit;

/// Applies `edits` in order. Returns the content unchanged, without a copy, when there are none.
///
/// A field that is added or set is encoded by [`encode_field`]. Of several new bodies the last one counts.
pub fn apply(content: Content, edits: &[MessageEdit], utf8_allowed: bool) -> Content {
    let mut rest = content.rest.clone();
    let mut fields: Option<Fields> = None;
    for edit in edits {
        if let MessageEdit::Body(body) = edit {
            rest = body.rest();
            continue;
        }
        fields.get_or_insert_with(|| Fields::new(&content.header)).edit(edit, utf8_allowed);
    }
    let header = match fields {
        Some(fields) => fields.finish(),
        None if rest != content.rest => complete(content.header),
        None => content.header,
    };
    Content { header, rest }
}

/// A header block whose last line is ended.
fn complete(header: Bytes) -> Bytes {
    if header.is_empty() || header.ends_with(b"\n") { header } else { [&header[..], b"\r\n"].concat().into() }
}

/// The header as a list of pieces.
struct Fields {
    pieces: Vec<Piece>,
    /// Pieces at the top that would continue whatever stands before them; nothing is inserted above.
    orphans: usize,
}

/// One field, or lines that are no field, with their line ends.
struct Piece {
    octets: Bytes,
    name_len: usize,
}

impl Piece {
    fn new(octets: Bytes) -> Piece {
        Piece { name_len: field_name_len(&octets).unwrap_or(0), octets }
    }

    fn is_named(&self, name: &HeaderName) -> bool {
        self.octets.get(..self.name_len).is_some_and(|own| own.eq_ignore_ascii_case(name.as_str().as_bytes()))
    }
}

impl Fields {
    fn new(header: &Bytes) -> Fields {
        let header = complete(header.clone());
        let pieces: Vec<_> = Lines::new(&header).map(|line| Piece::new(header.slice(line.0))).collect();
        let orphans = pieces
            .first()
            .is_some_and(|piece| piece.octets.starts_with(b" ") || piece.octets.starts_with(b"\t"));
        Fields { pieces, orphans: usize::from(orphans) }
    }

    fn edit(&mut self, edit: &MessageEdit, utf8_allowed: bool) {
        let encode = |name, value| Piece::new(encode_field(name, value, utf8_allowed).into());
        match edit {
            MessageEdit::Add(name, value) => self.pieces.push(encode(name, value)),
            MessageEdit::Insert(index, name, value) => {
                let at = self.position(*index);
                self.pieces.insert(at, encode(name, value));
            }
            MessageEdit::Set(name, value) => {
                let first =
                    self.pieces.iter().position(|piece| piece.is_named(name)).unwrap_or(self.pieces.len());
                self.pieces.retain(|piece| !piece.is_named(name));
                self.pieces.insert(first, encode(name, value));
            }
            MessageEdit::Remove(name) => self.pieces.retain(|piece| !piece.is_named(name)),
            MessageEdit::Body(_) => {}
        }
    }

    /// Where the field of that index stands, counting what [`super::HeaderIndex`] counts; the end when there is
    /// none.
    fn position(&self, index: u32) -> usize {
        if index == 0 {
            return self.orphans;
        }
        let fields = self.pieces.iter().enumerate().filter(|(_, piece)| piece.name_len > 0);
        fields.map(|(at, _)| at).nth(index as usize).unwrap_or(self.pieces.len())
    }

    fn finish(self) -> Bytes {
        let octets = self.pieces.iter().map(|piece| piece.octets.len()).sum();
        let mut header = Vec::with_capacity(octets);
        for piece in &self.pieces {
            header.extend_from_slice(&piece.octets);
        }
        header.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::edit::NewBody;
    use crate::header::{HeaderIndex, HeaderLimits, LINE_OCTETS_MAX, check_value};
    use crate::lines;

    const MESSAGE: &[u8] =
        b"From: a@x\r\nReceived: one\r\n\ttwo\r\nX-Old:  kept \r\nreceived: three\r\n\r\nbody\r\n";

    fn name(text: &str) -> HeaderName {
        text.parse().unwrap()
    }

    fn edited(message: &'static [u8], edits: &[MessageEdit]) -> String {
        let content = apply(Content::split(Bytes::from_static(message)), edits, false);
        String::from_utf8(content.into_body(Bytes::new()).to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_edit_does_what_it_says_and_no_more() {
        assert_eq!(
            edited(
                MESSAGE,
                &[
                    MessageEdit::Add(name("X-A"), "1".into()),
                    MessageEdit::Insert(0, name("X-Top"), "2".into()),
                    MessageEdit::Insert(2, name("X-B"), "3".into())
                ]
            ),
            "X-Top: 2\r\nFrom: a@x\r\nX-B: 3\r\nReceived: one\r\n\ttwo\r\nX-Old:  kept \r\nreceived: three\r\nX-A: 1\r\n\r\nbody\r\n"
        );
        assert_eq!(
            edited(
                MESSAGE,
                &[
                    MessageEdit::Set(name("RECEIVED"), "new".into()),
                    MessageEdit::Set(name("X-N"), "n".into())
                ]
            ),
            "From: a@x\r\nRECEIVED: new\r\nX-Old:  kept \r\nX-N: n\r\n\r\nbody\r\n"
        );
        assert_eq!(
            edited(MESSAGE, &[MessageEdit::Remove(name("received"))]),
            "From: a@x\r\nX-Old:  kept \r\n\r\nbody\r\n"
        );
        assert_eq!(
            edited(
                MESSAGE,
                &[MessageEdit::Insert(99, name("X"), "e".into()), MessageEdit::Remove(name("From"))]
            )
            .lines()
            .nth(4),
            Some("X: e")
        );
    }

    #[test]
    fn the_last_new_body_follows_the_edited_header() {
        let body = |text: &'static str| MessageEdit::Body(NewBody::new([text.as_bytes()]));
        assert_eq!(
            edited(
                b"A: 1\r\n\r\nold\r\n",
                &[body("no"), MessageEdit::Add(name("B"), "2".into()), body("x\r\ny")]
            ),
            "A: 1\r\nB: 2\r\n\r\nx\r\ny\r\n"
        );
        assert_eq!(edited(b"A: 1", &[body("")]), "A: 1\r\n\r\n");
    }

    #[test]
    fn nothing_is_added_above_a_line_that_would_continue_it() {
        let message = b" injected\r\nA: 1\r\n\r\n";
        assert_eq!(
            edited(message, &[MessageEdit::Insert(0, name("X"), "v".into())]),
            " injected\r\nX: v\r\nA: 1\r\n\r\n"
        );
    }

    #[test]
    fn a_header_without_line_end_is_completed_before_adding() {
        assert_eq!(edited(b"A: 1", &[MessageEdit::Add(name("B"), "2".into())]), "A: 1\r\nB: 2\r\n");
    }

    fn any_edit() -> impl Strategy<Value = MessageEdit> {
        let name = prop_oneof!["[!-9;-~]{1,76}", Just("From".to_owned()), Just("Subject".to_owned())];
        let field = (name, any::<String>()).prop_map(|(name, value)| {
            let clean: String =
                value.chars().filter(|character| !crate::text::is_unsafe(*character)).collect();
            (name.parse::<HeaderName>().unwrap(), check_value(&clean).unwrap())
        });
        (field, 0..5u8, 0..6u32).prop_map(|((name, value), kind, index)| match kind {
            0 => MessageEdit::Add(name, value),
            1 => MessageEdit::Insert(index, name, value),
            2 => MessageEdit::Set(name, value),
            3 => MessageEdit::Remove(name),
            _ => MessageEdit::Body(NewBody::new([value.as_bytes()])),
        })
    }

    proptest! {
        #[test]
        fn random_edits_never_yield_a_malformed_header(edits in prop::collection::vec(any_edit(), 0..12), utf8 in any::<bool>()) {
            let content = apply(Content::split(Bytes::from_static(MESSAGE)), &edits, utf8);
            let whole = content.clone().into_body(Bytes::new()).to_bytes();
            prop_assert_eq!(&Content::split(whole), &content);
            prop_assert!(!lines::has_stray(&content.header) && !lines::has_stray(&content.rest));
            for line in content.header.split(|octet| *octet == b'\n') {
                prop_assert!(line.len() <= LINE_OCTETS_MAX + 1);
                prop_assert!(line.is_empty() || line.iter().any(|octet| !octet.is_ascii_whitespace()));
            }
            let index = HeaderIndex::scan(&content.header, &HeaderLimits::default()).unwrap();
            prop_assert_eq!(index.len(), Lines::new(&content.header).count());
            if !edits.iter().any(|edit| matches!(edit, MessageEdit::Set(name, _) | MessageEdit::Remove(name) if name.as_str().eq_ignore_ascii_case("x-old"))) {
                prop_assert!(memchr::memmem::find(&content.header, b"X-Old:  kept \r\n").is_some());
            }
        }

        #[test]
        fn any_octets_are_scanned_decoded_and_edited(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            let header = Bytes::from(octets);
            if let Ok(index) = HeaderIndex::scan(&header, &HeaderLimits::default()) {
                prop_assert_eq!(index.names().count(), index.len());
            }
            prop_assert!(!super::super::decode(&header).chars().any(crate::text::is_unsafe));
            super::super::addresses(&header);
            let pieces = Fields::new(&header).finish();
            prop_assert!(pieces.starts_with(&header));
        }
    }
}
