//! Which message of ours a report may be about: our own names for it, and its Message-ID, wherever they stand behind the
//! report's own header.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::READ_OCTETS_MAX;
use crate::MessageId;
use crate::body::Content;

/// Clues of one kind that are kept.
const CLUES_MAX: usize = 16;
/// Octets of a Message-ID that is read.
const MESSAGE_ID_OCTETS_MAX: usize = 250;

/// What a report may be about. Anybody can write these down: only the history tells whether one is of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clues {
    /// Our own names, as `Received` of ours has them.
    pub messages: Vec<MessageId>,
    /// Values of Message-ID, without the brackets.
    pub message_ids: Vec<String>,
}

impl Clues {
    /// A value of Message-ID with its brackets, where it is one.
    pub(super) fn add_message_id(&mut self, value: &str) {
        let id = value.trim().strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or_default();
        let is_sound = (1..=MESSAGE_ID_OCTETS_MAX).contains(&id.len())
            && id.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>'));
        if is_sound && self.message_ids.len() < CLUES_MAX && !self.message_ids.iter().any(|known| known == id)
        {
            self.message_ids.push(id.to_owned());
        }
    }
}

/// Looks behind the header of the report.
pub(super) fn find(content: &Content) -> Clues {
    let octets = content.rest.get(..READ_OCTETS_MAX).unwrap_or(&content.rest);
    let text = |octets: &[u8]| std::str::from_utf8(octets).ok().map(str::to_owned);
    let mut clues = Clues::default();
    for found in OWN_NAME.find_iter(octets) {
        let Some(id) = text(found.as_bytes()).and_then(|name| name.parse().ok()) else { continue };
        if clues.messages.len() < CLUES_MAX && !clues.messages.contains(&id) {
            clues.messages.push(id);
        }
    }
    for found in MESSAGE_ID.captures_iter(octets).filter_map(|found| found.get(1)) {
        let Some(id) = text(found.as_bytes()) else { continue };
        if clues.message_ids.len() < CLUES_MAX && !clues.message_ids.contains(&id) {
            clues.message_ids.push(id);
        }
    }
    clues
}

/// A ULID in Crockford's alphabet.
static OWN_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u:\b)[0-7][0-9A-HJKMNP-TV-Z]{25}(?-u:\b)")
        .expect("the pattern is sound; every test reads it")
});
static MESSAGE_ID: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?im-u)^[ \t>|]*(?:original-)?message-id:\s*<([\x21-\x3b\x3d\x3f-\x7e]{1,250})>";
    Regex::new(pattern).expect("the pattern is sound; every test reads it")
});

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_reports_own_header_is_no_clue() {
        let id = "01KB3Z5Y8M2Q4R6S8T0V2W4X6Y";
        let message = format!(
            "Message-ID: <own@x>\r\n\r\nIt failed.\r\n\r\nReceived: from a by b with ESMTP id {id};\r\n now\r\nMessage-Id: <theirs@x>\r\n"
        );
        let clues = find(&Content::split(Bytes::from(message)));
        assert_eq!(clues.messages, [id.parse().unwrap()]);
        assert_eq!(clues.message_ids, ["theirs@x"]);
    }
}
