//! The leaves of a message: where each stands, found in the same pass that checks the bounds.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::leaf::Leaf;
use super::{Container, MimeLimits, Part, Walk, Watch};
use crate::body::Content;
use crate::header::TooComplex;

/// The leaves in order. It keeps places, no octets, and stays true when header fields change that do not describe
/// the message's own body.
#[derive(Debug, Default)]
pub struct Tree {
    pub(super) leaves: Vec<Leaf>,
}

impl Tree {
    /// How many leaves there are.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// True when there is none: a multipart without parts.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The leaf of that index; `content` is the message that the tree was read from.
    pub fn part(self: &Arc<Tree>, index: usize, content: &Content) -> Option<Part> {
        (index < self.leaves.len()).then(|| Part::new(Arc::clone(self), index, content.clone()))
    }
}

/// Finds the leaves; stops with [`TooComplex`] at the first bound that the message exceeds.
pub fn read_tree(content: &Content, limits: &MimeLimits) -> Result<Tree, TooComplex> {
    let recorder = Recorder { rest: &content.rest, leaves: Vec::new(), header_start: None, is_open: false };
    let mut walk = Walk::new(limits, recorder);
    walk.run(content)?;
    Ok(Tree { leaves: walk.watch.leaves })
}

/// Notes where leaves begin and end.
struct Recorder<'a> {
    rest: &'a Bytes,
    leaves: Vec<Leaf>,
    /// Where the header of the part at hand begins; none for the header of the message.
    header_start: Option<usize>,
    is_open: bool,
}

impl Watch for Recorder<'_> {
    fn part_begins(&mut self, at: usize) {
        self.header_start = Some(at);
    }

    fn body_begins(&mut self, at: usize, open: &[Container]) {
        let header: Option<Range<usize>> = self.header_start.map(|start| start..at);
        let within = open.iter().map(|container| container.subtype().into()).collect();
        self.leaves.push(Leaf::new(header, at..at, within));
        self.is_open = true;
    }

    fn body_ends(&mut self, at: usize, by_boundary: bool) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let Some(leaf) = self.leaves.last_mut() else { return };
        leaf.body.end = body_end(self.rest, leaf.body.start, at, by_boundary);
    }
}

/// Where a body ends that begins at `start` and of which no line is left at `at`.
pub(super) fn body_end(rest: &[u8], start: usize, at: usize, by_boundary: bool) -> usize {
    let body = rest.get(start..at).unwrap_or_default();
    // The line end before a boundary belongs to the boundary (RFC 2046 5.1.1).
    let ended = if by_boundary { body.strip_suffix(b"\n").unwrap_or(body) } else { body };
    let ended = if by_boundary { ended.strip_suffix(b"\r").unwrap_or(ended) } else { ended };
    start + ended.len()
}
