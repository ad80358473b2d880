//! Command lines from octets, bounded.

use bytes::{Buf, BytesMut};

/// Finds lines; remembers only whether it is in the middle of one that is too long.
#[derive(Debug, Default)]
pub(super) struct LineReader {
    skipping: bool,
}

/// What is at the start of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineRead {
    /// No complete line.
    Incomplete,
    /// The start of a line beyond the limit; it is skipped, now and later, up to its end.
    TooLong,
    /// A line of that many octets, its LF included.
    Line(usize),
}

impl LineReader {
    /// Finds the line at the start of `input`. A line of up to `octets_max` octets, line end included, passes,
    /// however the input was cut into reads.
    pub(super) fn read(&mut self, input: &mut BytesMut, octets_max: usize) -> LineRead {
        if self.skipping {
            match memchr::memchr(b'\n', input) {
                Some(end) => input.advance(end + 1),
                None => {
                    input.clear();
                    return LineRead::Incomplete;
                }
            }
            self.skipping = false;
        }
        match memchr::memchr(b'\n', input) {
            Some(end) if end < octets_max => LineRead::Line(end + 1),
            Some(end) => {
                input.advance(end + 1);
                LineRead::TooLong
            }
            None if input.len() >= octets_max => {
                self.skipping = true;
                input.clear();
                LineRead::TooLong
            }
            None => LineRead::Incomplete,
        }
    }
}
