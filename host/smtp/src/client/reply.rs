//! Replies of a peer (RFC 5321 4.2), which is not to be trusted: bounded, and harmless before anybody sees them.

use baton_mail::text::sanitize_octets;
use baton_mail::{EnhancedCode, Reply};
use bytes::{Buf, BytesMut};

/// The peer does not speak the protocol. The connection can not be used any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A line does not begin with a code.
    #[error("the reply has no code: {0}")]
    NoCode(String),
    /// The lines of one reply have different codes (RFC 5321 4.2.1).
    #[error("the code changes within a reply from {0} to {1}")]
    CodeChanged(u16, u16),
    /// A reply has too many lines.
    #[error("a reply has more than {0} lines")]
    TooManyLines(usize),
    /// A reply is too long.
    #[error("a reply has more than {0} octets")]
    TooLong(usize),
    /// The peer, or somebody in between, said more behind its answer to STARTTLS (RFC 3207 6).
    #[error("octets behind the answer to STARTTLS")]
    BehindStartTls,
    /// A reply that nothing asked for, or that means nothing here.
    #[error("unexpected reply {0}")]
    Unexpected(u16),
}

/// Assembles replies from lines. Holds text only inside a reply of several lines.
#[derive(Debug)]
pub(super) struct ReplyReader {
    lines_max: usize,
    octets_max: usize,
    code: Option<u16>,
    lines: Vec<String>,
    octets: usize,
}

impl ReplyReader {
    pub(super) fn new(lines_max: usize, octets_max: usize) -> ReplyReader {
        ReplyReader { lines_max, octets_max, code: None, lines: Vec::new(), octets: 0 }
    }

    /// The next complete reply in `input`.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, ProtocolError> {
        while let Some(end) = memchr::memchr(b'\n', input) {
            let len = end + 1;
            self.octets += len;
            if self.octets > self.octets_max {
                return Err(ProtocolError::TooLong(self.octets_max));
            }
            let is_last = self.add(input.get(..end).unwrap_or_default())?;
            input.advance(len);
            if is_last && let Some(code) = self.code.take() {
                return Ok(Some(self.finish(code)));
            }
        }
        if self.octets + input.len() > self.octets_max {
            return Err(ProtocolError::TooLong(self.octets_max));
        }
        Ok(None)
    }

    /// Adds a line without its LF; true when it is the last of its reply.
    fn add(&mut self, line: &[u8]) -> Result<bool, ProtocolError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let code = parse_code(line)
            .ok_or_else(|| ProtocolError::NoCode(sanitize_octets(line, ERROR_TEXT_OCTETS_MAX)))?;
        if let Some(first) = self.code.replace(code)
            && first != code
        {
            return Err(ProtocolError::CodeChanged(first, code));
        }
        if self.lines.len() == self.lines_max {
            return Err(ProtocolError::TooManyLines(self.lines_max));
        }
        self.lines.push(sanitize_octets(line.get(4..).unwrap_or_default(), self.octets_max));
        Ok(line.get(3) != Some(&b'-'))
    }

    fn finish(&mut self, code: u16) -> Reply {
        let lines = std::mem::take(&mut self.lines);
        self.octets = 0;
        let enhanced =
            lines.first().and_then(|line| split_enhanced(code, line)).map(|(enhanced, _)| enhanced);
        let texts = lines.iter().map(|line| match (enhanced, split_enhanced(code, line)) {
            (Some(_), Some((_, text))) => text,
            _ => line.as_str(),
        });
        Reply::from_lines(code, enhanced, texts)
    }
}

/// Three digits, 2xx to 5xx, then a blank, a hyphen or nothing (RFC 5321 4.2.1).
fn parse_code(line: &[u8]) -> Option<u16> {
    let (code, rest) = line.split_at_checked(3)?;
    let is_code = matches!(code, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'])
        && matches!(rest.first(), None | Some(b' ' | b'-'));
    if is_code { std::str::from_utf8(code).ok()?.parse().ok() } else { None }
}

/// The enhanced code at the start of a line. One of another class than the reply's is only text (RFC 2034 4).
fn split_enhanced(code: u16, line: &str) -> Option<(EnhancedCode, &str)> {
    let (first, text) = line.split_once(' ').unwrap_or((line, ""));
    let enhanced: EnhancedCode = first.parse().ok()?;
    (u16::from(enhanced.0) == code / 100).then_some((enhanced, text))
}

/// Octets of a broken line that are told.
const ERROR_TEXT_OCTETS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &[u8]) -> Result<Option<Reply>, ProtocolError> {
        ReplyReader::new(4, 100).read(&mut BytesMut::from(wire))
    }

    #[test]
    fn replies_are_assembled_from_lines() {
        let reply = read(b"250-5.1.1 a\r\n250-2.1.0 b\r\n250 c\r\n").unwrap().unwrap();
        assert_eq!((reply.code(), reply.enhanced(), reply.text()), (250, None, "5.1.1 a\n2.1.0 b\nc"));
        let reply = read(b"550-5.1.1 no\r\n550 5.1.1 such user\r\n").unwrap().unwrap();
        assert_eq!((reply.enhanced(), reply.text()), (Some(EnhancedCode(5, 1, 1)), "no\nsuch user"));
        assert_eq!(read(b"250\r\n").unwrap().unwrap().code(), 250);
        assert_eq!(read(b"250-a\r\n25"), Ok(None));
    }

    #[test]
    fn every_split_gives_the_same_reply() {
        let wire = b"250-2.0.0 a\r\n250 2.0.0 b\r\n";
        for cut in 0..=wire.len() {
            let mut reader = ReplyReader::new(4, 100);
            let mut input = BytesMut::from(&wire[..cut]);
            let first = reader.read(&mut input).unwrap();
            input.extend_from_slice(&wire[cut..]);
            let reply = first.or_else(|| reader.read(&mut input).unwrap()).unwrap();
            assert_eq!(reply.text(), "a\nb", "{cut}");
        }
    }

    #[test]
    fn hostile_replies_are_bounded_and_harmless() {
        assert_eq!(read(&b"250-x\r\n".repeat(5)), Err(ProtocolError::TooManyLines(4)));
        assert_eq!(read(&[b'2'; 101]), Err(ProtocolError::TooLong(100)));
        assert_eq!(read(&[b"250 ", &[b'x'; 100][..], b"\r\n"].concat()), Err(ProtocolError::TooLong(100)));
        assert_eq!(read(b"250-a\r\n550 b\r\n"), Err(ProtocolError::CodeChanged(250, 550)));
        for bad in [
            &b"hello\r\n"[..],
            b"\r\n",
            b"99 x\r\n",
            b"600 x\r\n",
            b"150 x\r\n",
            b"2500 x\r\n",
            b"250_x\r\n",
            b"\xff\xfe\xfd \r\n",
        ] {
            assert!(matches!(read(bad), Err(ProtocolError::NoCode(_))), "{bad:?}");
        }
        let reply = read(b"550 a\0b\rc\x1b[1m\xff\r\n").unwrap().unwrap();
        assert!(!reply.text().chars().any(baton_mail::text::is_unsafe));
    }
}
