//! SMTP replies that plugins give.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::Error;

/// A reply to the SMTP client, or one that a remote host gave. The relay bounds the text and removes control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits (RFC 5321 4.2).
    pub code: u16,
    /// Class, subject, detail (RFC 3463).
    pub enhanced: Option<(u8, u16, u16)>,
    /// The words.
    pub text: String,
}

impl Reply {
    /// A negative reply such as `(550, "5.7.1", "we do not serve that domain")`.
    ///
    /// Fails unless the code is 4xx or 5xx and the enhanced code is of the same class.
    pub fn new(code: u16, enhanced: &str, text: impl Into<String>) -> Result<Reply, Error> {
        let parsed = parse_enhanced(enhanced).filter(|parsed| u16::from(parsed.0) == code / 100);
        match (code, parsed) {
            (400..=599, Some(parsed)) => Ok(Reply { code, enhanced: Some(parsed), text: text.into() }),
            _ => Err(Error::new(["no negative reply: ", &code.to_string(), " ", enhanced].concat())),
        }
    }

    /// True for a 2xx reply, which only a remote host gives.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// True for a 4xx reply.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// True for a 5xx reply.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.enhanced {
            Some((class, subject, detail)) => {
                write!(formatter, "{} {class}.{subject}.{detail} {}", self.code, self.text)
            }
            None => write!(formatter, "{} {}", self.code, self.text),
        }
    }
}

impl FromStr for Reply {
    type Err = Error;

    /// Reads `550 5.7.1 we do not serve that domain`, the form that settings use.
    fn from_str(line: &str) -> Result<Reply, Error> {
        let shape = || Error::new("a reply is written as \"550 5.7.1 text\"");
        let (code, rest) = line.split_once(' ').ok_or_else(shape)?;
        let (enhanced, text) = rest.split_once(' ').ok_or_else(shape)?;
        Reply::new(code.parse().map_err(|_| shape())?, enhanced, text)
    }
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reply, D::Error> {
        let line = String::deserialize(deserializer)?;
        line.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads `5.7.1`.
pub(crate) fn parse_enhanced(text: &str) -> Option<(u8, u16, u16)> {
    let mut parts = text.split('.');
    let mut number = || parts.next().filter(|part| part.len() <= 3)?.parse::<u16>().ok();
    let (class, subject, detail) = (number()?, number()?, number()?);
    match (class, parts.next()) {
        (2 | 4 | 5, None) => Some((class as u8, subject, detail)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_a_written_form() {
        let reply: Reply = "550 5.7.1 no such customer".parse().unwrap();
        assert_eq!(reply, Reply::new(550, "5.7.1", "no such customer").unwrap());
        assert_eq!(reply.to_string(), "550 5.7.1 no such customer");
    }

    #[test]
    fn code_and_enhanced_code_must_agree() {
        for bad in [
            "550 4.7.1 x",
            "250 2.0.0 x",
            "550 5.7 x",
            "550 no",
            "x 5.7.1 y",
            "600 5.7.1 x",
            "550 5.1000.1 x",
        ] {
            assert!(bad.parse::<Reply>().is_err(), "{bad}");
        }
    }
}
