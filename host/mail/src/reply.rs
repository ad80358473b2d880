//! SMTP replies: a code, an enhanced code, a text (RFC 5321 4.2, RFC 3463).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::sanitize;

/// Octets of reply text that are kept, over all its lines.
pub const REPLY_TEXT_OCTETS_MAX: usize = 2_048;
/// Octets of text in one reply line: 512 with code, enhanced code and CRLF (RFC 5321 4.5.3.1.5).
pub const REPLY_LINE_OCTETS_MAX: usize = 480;

/// An enhanced status code such as `5.7.1` (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for EnhancedCode {
    type Err = InvalidEnhancedCode;

    fn from_str(text: &str) -> Result<EnhancedCode, InvalidEnhancedCode> {
        let mut parts = text.split('.').map(|part| match part.len() {
            1..=3 => part.parse::<u16>().ok(),
            _ => None,
        });
        let mut next = || parts.next().flatten().ok_or(InvalidEnhancedCode);
        let (class, subject, detail) = (next()?, next()?, next()?);
        match class {
            2 | 4 | 5 if text.split('.').count() == 3 => Ok(EnhancedCode(class as u8, subject, detail)),
            _ => Err(InvalidEnhancedCode),
        }
    }
}

/// The text is not an enhanced status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an enhanced status code such as 5.7.1 (RFC 3463)")]
pub struct InvalidEnhancedCode;

/// A reply as it goes to or came from a peer. Its text holds no control character but `\n` between lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    text: String,
}

impl Reply {
    /// A reply of one line; the text is made harmless and cut.
    pub fn new(code: u16, enhanced: EnhancedCode, text: impl AsRef<str>) -> Reply {
        Reply { code, enhanced: Some(enhanced), text: sanitize(text.as_ref(), REPLY_LINE_OCTETS_MAX) }
    }

    /// A reply of one line without enhanced code, as greetings, EHLO and 3xx replies are.
    pub fn bare(code: u16, text: impl AsRef<str>) -> Reply {
        Reply { code, enhanced: None, text: sanitize(text.as_ref(), REPLY_LINE_OCTETS_MAX) }
    }

    /// A reply of several lines; each is made harmless, the whole is cut to [`REPLY_TEXT_OCTETS_MAX`].
    pub fn from_lines<'a>(
        code: u16,
        enhanced: Option<EnhancedCode>,
        lines: impl IntoIterator<Item = &'a str>,
    ) -> Reply {
        let mut text = String::new();
        for line in lines {
            if text.len() >= REPLY_TEXT_OCTETS_MAX {
                break;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&sanitize(line, REPLY_LINE_OCTETS_MAX));
        }
        Reply { code, enhanced, text }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code, when there is one.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text, lines separated by `\n`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 2xx.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4xx.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Appends the wire form: every line with code, separator and enhanced code (RFC 2034 4), ended by CRLF.
    pub fn encode(&self, output: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            output.extend_from_slice(format!("{:03}{separator}", self.code).as_bytes());
            if let Some(enhanced) = self.enhanced {
                output.extend_from_slice(format!("{enhanced} ").as_bytes());
            }
            output.extend_from_slice(line.as_bytes());
            output.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(formatter, " {enhanced}")?;
        }
        write!(formatter, " {}", self.text.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_can_not_be_split_by_its_text() {
        let mut wire = Vec::new();
        Reply::new(550, EnhancedCode(5, 7, 1), "no\r\n250 yes").encode(&mut wire);
        assert_eq!(wire, b"550 5.7.1 no  250 yes\r\n");
    }

    #[test]
    fn lines_are_continued_by_a_hyphen() {
        let mut wire = Vec::new();
        Reply::from_lines(250, None, ["a", "b"]).encode(&mut wire);
        assert_eq!(wire, b"250-a\r\n250 b\r\n");
    }

    #[test]
    fn enhanced_codes_are_read_strictly() {
        assert_eq!("5.7.1".parse(), Ok(EnhancedCode(5, 7, 1)));
        for bad in ["3.0.0", "5.7", "5.7.1.1", "5.7000.1", "5..1", "a.b.c"] {
            assert_eq!(bad.parse::<EnhancedCode>(), Err(InvalidEnhancedCode), "{bad}");
        }
    }
}
