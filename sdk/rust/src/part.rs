//! The leaves of the message's MIME tree. The relay takes the message apart once, for all plugins.

use std::ops::Range;

use crate::Refused;
use crate::host::{CurrentPart, PartHost};
use crate::message::Digest;

/// A text, an attachment: what is not a multipart itself (RFC 2046). Nothing is copied but what is asked for.
pub struct Part {
    pub(crate) inner: CurrentPart,
}

impl Part {
    /// Media type in lower case, such as `text/plain`; what RFC 2045 5.2 says when there is none.
    pub fn content_type(&self) -> String {
        self.inner.content_type()
    }

    /// `inline`, `attachment` or another one, in lower case.
    pub fn disposition(&self) -> Option<String> {
        self.inner.disposition()
    }

    /// The name from Content-Disposition or Content-Type, decoded (RFC 2231, 2047). It is the sender's word.
    pub fn filename(&self) -> Option<String> {
        self.inner.filename()
    }

    /// The charset as named in the part, in lower case.
    pub fn charset(&self) -> Option<String> {
        self.inner.charset()
    }

    /// Content-Transfer-Encoding in lower case; `7bit` when there is none.
    pub fn transfer_encoding(&self) -> String {
        self.inner.transfer_encoding()
    }

    /// The first value of that name in the part's own header, unfolded and decoded.
    pub fn header(&self, name: &str) -> Option<String> {
        self.inner.header(name)
    }

    /// Subtypes of the enclosing multiparts from the outermost, such as `mixed`, `alternative`.
    pub fn within(&self) -> Vec<String> {
        self.inner.within()
    }

    /// Where its encoded content stands in the raw message.
    pub fn raw_range(&self) -> Range<u64> {
        let (offset, octets) = self.inner.raw_range();
        offset..offset.saturating_add(octets)
    }

    /// Octets when the transfer encoding is undone.
    pub fn decoded_size(&self) -> u64 {
        self.inner.decoded_size()
    }

    /// Decoded octets; at most 1 MiB at once.
    pub fn read(&self, offset: u64, octets: u32) -> Vec<u8> {
        self.inner.read(offset, octets)
    }

    /// The content as text, at most so many characters.
    pub fn text(&self, characters_max: u32) -> String {
        self.inner.text(characters_max, false)
    }

    /// The same, with HTML reduced to the text that a reader sees.
    pub fn plain_text(&self, characters_max: u32) -> String {
        self.inner.text(characters_max, true)
    }

    /// Digest of the decoded octets.
    pub fn digest(&self, algorithm: Digest) -> Result<Vec<u8>, Refused> {
        self.inner.digest(algorithm.name())
    }

    /// Links in text and HTML without repetitions, at most so many.
    pub fn urls(&self, at_most: u32) -> Vec<String> {
        self.inner.urls(at_most)
    }
}
