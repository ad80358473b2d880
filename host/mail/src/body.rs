//! Message content as a rope of shared octets: adding trace headers or editing headers copies no body.

use bytes::Bytes;
use smallvec::SmallVec;

/// The raw octets of a message, in pieces. Lines end with CRLF, but for the content of an envelope that says `binary`;
/// there is no dot-stuffing and no end mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pieces: SmallVec<[Bytes; 3]>,
    len: u64,
}

impl Body {
    /// Puts `piece` behind what is there.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len() as u64;
            self.pieces.push(piece);
        }
    }

    /// Octets in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// All in one piece; copies only when there are several.
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }

    /// The message split where its header ends. A half is copied only when it is in several pieces.
    pub fn to_content(&self) -> Content {
        let (mut header, mut rest) = (Body::default(), Body::default());
        let mut left = self.header_end();
        for piece in &self.pieces {
            let here = left.min(piece.len());
            header.push(piece.slice(..here));
            rest.push(piece.slice(here..));
            left -= here;
        }
        Content { header: header.to_bytes(), rest: rest.to_bytes() }
    }

    /// The header alone, each of its lines with its end.
    pub fn header(&self) -> Bytes {
        let mut header = Body::default();
        let mut left = self.header_end();
        for piece in &self.pieces {
            let here = left.min(piece.len());
            header.push(piece.slice(..here));
            left -= here;
        }
        header.to_bytes()
    }

    /// The offset of the first empty line, or the length when there is none. It may lie across a border of pieces.
    fn header_end(&self) -> usize {
        let mut before = 0;
        // As if a line ended in front of the message: it may begin with the empty line.
        let mut last: SmallVec<[u8; 6]> = SmallVec::from_slice(b"\r\n");
        for piece in &self.pieces {
            let behind = last.len();
            last.extend(piece.iter().take(3).copied());
            if let Some(at) = memchr::memmem::find(&last, b"\r\n\r\n") {
                return before + at + 2 - behind;
            }
            if let Some(at) = memchr::memmem::find(piece, b"\r\n\r\n") {
                return before + at + 2;
            }
            if let Some((_, tail)) = piece.split_last_chunk::<3>() {
                last = SmallVec::from_slice(tail);
            }
            last.drain(..last.len().saturating_sub(3));
            before += piece.len();
        }
        before
    }
}

impl From<Bytes> for Body {
    fn from(piece: Bytes) -> Body {
        let mut body = Body::default();
        body.push(piece);
        body
    }
}

impl FromIterator<Bytes> for Body {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Body {
        let mut body = Body::default();
        for piece in pieces {
            body.push(piece);
        }
        body
    }
}

/// A message split where its header ends, so that either half can be replaced without touching the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// All header lines, each with its CRLF; the empty line is not part of it.
    pub header: Bytes,
    /// What follows, from the empty line on; empty when the message has only headers.
    pub rest: Bytes,
}

impl Content {
    /// Splits a message before its first empty line.
    pub fn split(message: Bytes) -> Content {
        Body::from(message).to_content()
    }

    /// Octets in all.
    pub fn len(&self) -> u64 {
        (self.header.len() + self.rest.len()) as u64
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `len` octets from `offset` on, as one piece.
    pub fn read(&self, offset: u64, len: usize) -> Bytes {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(len);
        let border = self.header.len();
        let slice =
            |half: &Bytes, from: usize, to: usize| half.slice(from.min(half.len())..to.min(half.len()));
        let first = slice(&self.header, start, end);
        let second = slice(&self.rest, start.saturating_sub(border), end.saturating_sub(border));
        match (first.is_empty(), second.is_empty()) {
            (true, _) => second,
            (_, true) => first,
            _ => [first, second].concat().into(),
        }
    }

    /// The message as a rope, with `trace` (header lines of our own) in front.
    pub fn into_body(self, trace: Bytes) -> Body {
        [trace, self.header, self.rest].into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_split_before_the_empty_line() {
        let content = Content::split(Bytes::from_static(b"A: 1\r\nB: 2\r\n\r\nbody\r\n"));
        assert_eq!(&content.header[..], b"A: 1\r\nB: 2\r\n");
        assert_eq!(&content.rest[..], b"\r\nbody\r\n");
        assert_eq!(&content.read(6, 12)[..], b"B: 2\r\n\r\nbody");
        assert_eq!(&content.read(100, 5)[..], b"");
    }

    #[test]
    fn a_message_in_pieces_is_split_at_the_same_place() {
        for whole in
            [&b"A: 1\r\n\r\nbody\r\n\r\n"[..], b"\r\nbody", b"\r\n", b"A: 1\r\n", b"\n\r\n\r\n\r", b""]
        {
            let expected = Content::split(Bytes::copy_from_slice(whole));
            for (one, two) in (0..=whole.len()).flat_map(|one| (one..=whole.len()).map(move |two| (one, two)))
            {
                let pieces = [&whole[..one], &whole[one..two], &whole[two..]];
                let body: Body = pieces.into_iter().map(Bytes::copy_from_slice).collect();
                assert_eq!(body.to_content(), expected, "{whole:?} cut at {one} and {two}");
            }
        }
        assert_eq!(Content::split(Bytes::from_static(b"\n\r\n\r\n\r")).header.len(), 3);
    }

    #[test]
    fn a_message_may_lack_headers_or_body() {
        assert_eq!(Content::split(Bytes::from_static(b"\r\nbody")).header.len(), 0);
        assert_eq!(Content::split(Bytes::from_static(b"A: 1\r\n")).rest.len(), 0);
    }
}
