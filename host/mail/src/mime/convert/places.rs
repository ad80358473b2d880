//! Where the headers and the bodies of all parts stand, containers included.

use std::ops::Range;

use bytes::Bytes;

use super::super::tree::body_end;
use super::super::{Container, MimeLimits, Walk, Watch};
use crate::body::Content;
use crate::header::TooComplex;

/// One part. Offsets count from the start of [`Content::rest`].
pub(super) struct Place {
    /// With the empty line behind it; none when it is the message's own header.
    pub(super) header: Option<Range<usize>>,
    /// None for what holds other parts.
    pub(super) body: Option<Range<usize>>,
    /// Its header is that of a message.
    pub(super) is_message: bool,
    /// It is below a `multipart/signed`.
    pub(super) is_signed: bool,
}

/// All parts in order.
pub(super) fn read_places(content: &Content, limits: &MimeLimits) -> Result<Vec<Place>, TooComplex> {
    let recorder = Recorder { rest: &content.rest, places: Vec::new(), header_start: None, is_open: false };
    let mut walk = Walk::new(limits, recorder);
    walk.run(content)?;
    Ok(walk.watch.places)
}

struct Recorder<'a> {
    rest: &'a Bytes,
    places: Vec<Place>,
    header_start: Option<usize>,
    /// The body of the last place has not ended.
    is_open: bool,
}

impl Recorder<'_> {
    fn note(&mut self, at: usize, open: &[Container], body: Option<Range<usize>>) {
        let header = self.header_start.map(|start| start..at);
        self.places.push(Place {
            is_message: header.is_none() || matches!(open.last(), Some(Container::Message)),
            is_signed: open.iter().any(|container| container.subtype() == "signed"),
            header,
            body,
        });
    }
}

impl Watch for Recorder<'_> {
    fn part_begins(&mut self, at: usize) {
        self.header_start = Some(at);
    }

    fn container_begins(&mut self, at: usize, open: &[Container]) {
        self.note(at, open, None);
    }

    fn body_begins(&mut self, at: usize, open: &[Container]) {
        self.note(at, open, Some(at..at));
        self.is_open = true;
    }

    fn body_ends(&mut self, at: usize, by_boundary: bool) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        if let Some(body) = self.places.last_mut().and_then(|place| place.body.as_mut()) {
            body.end = body_end(self.rest, body.start, at, by_boundary);
        }
    }
}
