//! The message at hand. It stays in the relay; nothing is copied but what is asked for.

use std::ops::Range;

use crate::host::{BodyHost, CurrentBody, CurrentHost, Host};
use crate::http::{HttpError, Request, Response};
use crate::{Part, Refused};

/// How octets are digested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-1; broken, only to look up lists of known files.
    Sha1,
    /// MD5; broken, only to look up lists of known files.
    Md5,
}

impl Digest {
    /// The name in the contract.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Digest::Sha256 => "sha-256",
            Digest::Sha1 => "sha-1",
            Digest::Md5 => "md5",
        }
    }
}

/// Header, parts and raw octets; only `data` may change them (grants `edit = ["headers", "body"]`).
pub struct Message<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Message<'_> {
    /// Octets in all.
    pub fn size(&self) -> u64 {
        self.host.message_size()
    }

    /// Octets of the header, without the empty line.
    pub fn header_size(&self) -> u64 {
        self.host.message_header_size()
    }

    /// Why the header was not read: it has more or longer fields than the relay's limits allow. Then every header
    /// getter answers as if there were no field.
    pub fn too_complex(&self) -> Option<String> {
        self.host.message_too_complex()
    }

    /// The first value of that name (any case), unfolded and decoded (RFC 2047).
    pub fn header(&self, name: &str) -> Option<String> {
        self.host.message_header(name)
    }

    /// All values of that name, unfolded and decoded.
    pub fn headers(&self, name: &str) -> Vec<String> {
        self.host.message_headers(name)
    }

    /// The names of all fields, in order, with repetitions.
    pub fn header_names(&self) -> Vec<String> {
        self.host.message_header_names()
    }

    /// The first value of that name as it stands in the message.
    pub fn raw_header(&self, name: &str) -> Option<Vec<u8>> {
        self.host.message_raw_header(name)
    }

    /// The mailboxes of all fields of that name: display name, address.
    pub fn addresses(&self, header: &str) -> Vec<(String, String)> {
        self.host.message_addresses(header)
    }

    /// Raw octets, header included; at most 1 MiB at once.
    pub fn read(&self, offset: u64, octets: u32) -> Vec<u8> {
        self.host.message_read(offset, octets)
    }

    /// Where the needle (1 to 1,024 octets) stands first at or after `start`. The relay searches; nothing is copied.
    pub fn find(&self, needle: &[u8], start: u64) -> Option<u64> {
        self.host.message_find(needle, start)
    }

    /// Digest of all raw octets.
    pub fn digest(&self, algorithm: Digest) -> Result<Vec<u8>, Refused> {
        self.host.message_digest(algorithm.name())
    }

    /// Sends the raw message as the body of a request, whose own body must be empty (grant `http`). It never enters
    /// the plugin.
    pub fn post_raw(&self, request: &Request) -> Result<Response, HttpError> {
        self.host.message_post_raw(request)
    }

    /// The leaves of the MIME tree, in order; none when the message is too complex.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        (0..self.host.message_part_count()).filter_map(|index| self.part(index))
    }

    /// One leaf, by index from 0.
    pub fn part(&self, index: u32) -> Option<Part> {
        self.host.message_part(index).map(|inner| Part { inner })
    }

    /// Begins a new body: all that stands behind the header (grant `edit = ["body"]`). It takes the place of the old
    /// one if it was finished; the last one finished wins.
    pub fn replace_body(&self) -> Result<Body, Refused> {
        Ok(Body { inner: self.host.message_replace_body()? })
    }

    /// Adds a field at the end of the header.
    pub fn add_header(&self, name: &str, value: &str) -> Result<(), Refused> {
        self.host.message_add_header(name, value)
    }

    /// Inserts a field before the field of that index (0 is the top).
    pub fn insert_header(&self, index: u32, name: &str, value: &str) -> Result<(), Refused> {
        self.host.message_insert_header(index, name, value)
    }

    /// Replaces the first field of that name and removes the others, or adds it. Returns how many there were.
    pub fn set_header(&self, name: &str, value: &str) -> Result<u32, Refused> {
        self.host.message_set_header(name, value)
    }

    /// Removes all fields of that name. Returns how many there were.
    pub fn remove_header(&self, name: &str) -> Result<u32, Refused> {
        self.host.message_remove_header(name)
    }
}

/// A body in the making. Dropped without [`Body::finish`], it changes nothing.
pub struct Body {
    inner: CurrentBody,
}

impl Body {
    /// Adds octets; lines end with CRLF.
    pub fn write(&self, octets: impl AsRef<[u8]>) -> Result<(), Refused> {
        self.inner.write(octets.as_ref())
    }

    /// Adds octets of the message as it is; nothing is copied through the plugin.
    pub fn copy(&self, range: Range<u64>) -> Result<(), Refused> {
        self.inner.copy(range.start, range.end.saturating_sub(range.start))
    }

    /// Ends it.
    pub fn finish(self) -> Result<(), Refused> {
        self.inner.finish()
    }
}
