//! The resources of the contract's `message`: parts and new bodies.

use crate::Refused;
use crate::bindings::imports::baton::relay::message;
use crate::host::{BodyHost, Edited, PartHost};

/// A leaf that the relay parsed.
pub(crate) struct WasmPart(pub(super) message::Part);

/// A body that the relay gathers.
pub(crate) struct WasmBody(pub(super) message::BodyWriter);

impl PartHost for WasmPart {
    fn content_type(&self) -> String {
        self.0.content_type()
    }
    fn disposition(&self) -> Option<String> {
        self.0.disposition()
    }
    fn filename(&self) -> Option<String> {
        self.0.filename()
    }
    fn charset(&self) -> Option<String> {
        self.0.charset()
    }
    fn transfer_encoding(&self) -> String {
        self.0.transfer_encoding()
    }
    fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }
    fn within(&self) -> Vec<String> {
        self.0.within()
    }
    fn raw_range(&self) -> (u64, u64) {
        self.0.raw_range()
    }
    fn decoded_size(&self) -> u64 {
        self.0.decoded_size()
    }
    fn read(&self, offset: u64, octets: u32) -> Vec<u8> {
        self.0.read(offset, octets)
    }
    fn text(&self, characters_max: u32, strip_html: bool) -> String {
        self.0.text(characters_max, strip_html)
    }
    fn digest(&self, algorithm: &str) -> Edited<Vec<u8>> {
        self.0.digest(algorithm).map_err(Refused)
    }
    fn urls(&self, at_most: u32) -> Vec<String> {
        self.0.urls(at_most)
    }
}

impl BodyHost for WasmBody {
    fn write(&self, octets: &[u8]) -> Edited {
        self.0.write(octets).map_err(Refused)
    }
    fn copy(&self, offset: u64, octets: u64) -> Edited {
        self.0.copy(offset, octets).map_err(Refused)
    }
    fn finish(self) -> Edited {
        self.0.finish().map_err(Refused)
    }
}
