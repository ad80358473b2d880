//! Content as it goes out after DATA: dots stuffed, lone line ends mended, the end mark added (RFC 5321 4.5.2).

use baton_mail::Body;
use bytes::Bytes;

/// The pieces of a body in wire form, the end mark included.
///
/// Pieces are slices of the body wherever nothing has to change. A dot at the start of a line is doubled by letting
/// two slices overlap in it, so that is no copy either.
#[derive(Debug)]
pub struct Stuffed {
    body: Body,
    piece: usize,
    at: usize,
    line: LineState,
}

/// Where in a line the next octet of the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineState {
    /// At its start: a dot must be doubled.
    Start,
    /// Behind its start.
    Middle,
    /// Behind a line end that is not written yet, because it was no CRLF in one piece. `after_cr` tells whether it
    /// was a CR, to which an LF may belong.
    Unwritten { after_cr: bool },
    /// Behind the end mark.
    Ended,
}

impl Stuffed {
    /// The wire form of `body`.
    pub fn new(body: Body) -> Stuffed {
        Stuffed { body, piece: 0, at: 0, line: LineState::Start }
    }

    /// The next run of `piece`, which has octets left.
    fn next_run(&mut self, piece: &Bytes) -> Bytes {
        let from = self.at;
        if let LineState::Unwritten { after_cr } = self.line {
            self.at += usize::from(after_cr && piece.get(from) == Some(&b'\n'));
            self.line = LineState::Start;
            return Bytes::from_static(CRLF);
        }
        if self.line == LineState::Start && piece.get(from) == Some(&b'.') {
            self.line = LineState::Middle;
            return piece.slice(from..=from);
        }
        loop {
            let rest = piece.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return piece.slice(from..);
            }
            self.line = LineState::Middle;
            let Some(len) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.at = piece.len();
                return piece.slice(from..);
            };
            let found = self.at + len;
            if piece.get(found..found + 2) != Some(CRLF) {
                self.at = found + 1;
                self.line = LineState::Unwritten { after_cr: piece.get(found) == Some(&b'\r') };
                return piece.slice(from..found);
            }
            self.at = found + 2;
            self.line = LineState::Start;
            if piece.get(self.at) == Some(&b'.') {
                return piece.slice(from..self.at);
            }
        }
    }

    /// What ends the content: CRLF when it lacks one (RFC 5321 4.1.1.4), and the lone dot.
    fn end(&mut self) -> Option<Bytes> {
        let mark: &[u8] = match std::mem::replace(&mut self.line, LineState::Ended) {
            LineState::Start => b".\r\n",
            LineState::Middle | LineState::Unwritten { .. } => b"\r\n.\r\n",
            LineState::Ended => return None,
        };
        Some(Bytes::from_static(mark))
    }
}

impl Iterator for Stuffed {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let Some(piece) = self.body.pieces().get(self.piece).cloned() else { return self.end() };
            if self.at < piece.len() {
                let run = self.next_run(&piece);
                if !run.is_empty() {
                    return Some(run);
                }
                continue;
            }
            self.piece += 1;
            self.at = 0;
        }
    }
}

/// True when `body` can go out by BDAT as it is: it has no lone CR and no lone LF, also where pieces meet.
pub fn is_clean(body: &Body) -> bool {
    let mut after_cr = false;
    for piece in body.pieces() {
        let mut rest: &[u8] = piece;
        if after_cr {
            match rest.strip_prefix(b"\n") {
                Some(tail) => rest = tail,
                None => return false,
            }
        }
        after_cr = rest.ends_with(b"\r");
        let checked = rest.strip_suffix(b"\r").unwrap_or(rest);
        if baton_mail::lines::has_stray(checked) {
            return false;
        }
    }
    !after_cr
}

/// The wire form of `body` in one piece.
pub fn dot_stuff(body: Body) -> Vec<u8> {
    let mut wire = Vec::with_capacity(body.len() as usize + 8);
    for run in Stuffed::new(body) {
        wire.extend_from_slice(&run);
    }
    wire
}

const CRLF: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every way to cut `text` into two pieces must give the same wire form.
    fn check(text: &[u8], wire: &[u8]) {
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            let body: Body = [first, second].into_iter().map(Bytes::copy_from_slice).collect();
            let stuffed = dot_stuff(body);
            assert_eq!(stuffed, wire, "{:?} cut at {cut} gave {:?}", text, String::from_utf8_lossy(&stuffed));
        }
    }

    #[test]
    fn dots_are_doubled_at_line_starts_only() {
        check(b"", b".\r\n");
        check(b".", b"..\r\n.\r\n");
        check(b".\r\n..\r\na.b\r\n.x\r\n", b"..\r\n...\r\na.b\r\n..x\r\n.\r\n");
        check(b"a\r\n\r\n.\r\n", b"a\r\n\r\n..\r\n.\r\n");
        check(b"no end", b"no end\r\n.\r\n");
    }

    #[test]
    fn lone_line_ends_never_leave() {
        check(b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n");
        check(b"a\r.\rb\r", b"a\r\n..\r\nb\r\n.\r\n");
        check(b"a\r\r\n.\r\n", b"a\r\n\r\n..\r\n.\r\n");
        check(b"\n\r", b"\r\n\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn the_wire_has_one_end_and_only_whole_line_ends(pieces in prop::collection::vec("[.\r\na]{0,6}", 0..6)) {
            let body: Body = pieces.iter().map(|piece| Bytes::copy_from_slice(piece.as_bytes())).collect();
            let whole = body.to_bytes();
            let wire = dot_stuff(body.clone());
            prop_assert!(!baton_mail::lines::has_stray(&wire));
            let with_start = [b"\r\n", wire.as_slice()].concat();
            let ends: Vec<_> = memchr::memmem::find_iter(&with_start, b"\r\n.\r\n").collect();
            prop_assert_eq!(ends, [with_start.len() - 5]);
            prop_assert_eq!(is_clean(&body), !baton_mail::lines::has_stray(&whole));
        }
    }
}
