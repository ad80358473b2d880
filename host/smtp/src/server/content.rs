//! Content as it comes in: stored while it is wanted, checked to its end.

use baton_mail::Reply;
use bytes::{Bytes, BytesMut};

use super::reply::{Response, Say};
use super::settings::{BareLineEnding, ServerSettings};

/// Octets that are set aside at once for a message whose size was announced.
const RESERVED_OCTETS_MAX: usize = 16 * 1024;

/// The content of one message. Once it is refused, it is counted and checked but no longer stored.
#[derive(Debug)]
pub(super) struct Receiver {
    content: BytesMut,
    octets: u64,
    octets_max: u64,
    line_octets: usize,
    line_octets_max: usize,
    /// Not made of lines: nothing in it is repaired or refused for where it stands.
    is_binary: bool,
    repairs: bool,
    repaired: bool,
    flaws: Flaws,
    abandoned: Option<Reply>,
}

/// What is wrong with the content. All are found before one is named, so that the answer does not depend on how the
/// octets were cut into reads.
#[derive(Debug, Default)]
struct Flaws {
    too_large: bool,
    bare_line_ending: bool,
    line_too_long: bool,
}

impl Receiver {
    pub(super) fn new(settings: &ServerSettings, announced_octets: Option<u64>) -> Receiver {
        let announced = announced_octets.and_then(|octets| usize::try_from(octets).ok()).unwrap_or(0);
        Receiver {
            content: BytesMut::with_capacity(announced.min(RESERVED_OCTETS_MAX)),
            octets: 0,
            octets_max: if settings.size_octets_max == 0 { u64::MAX } else { settings.size_octets_max },
            line_octets: 0,
            line_octets_max: if settings.line_octets_max == 0 {
                usize::MAX
            } else {
                settings.line_octets_max
            },
            is_binary: false,
            repairs: settings.bare_line_ending == BareLineEnding::Repair,
            repaired: false,
            flaws: Flaws::default(),
            abandoned: None,
        }
    }

    /// The same for content that is not made of lines (BODY=BINARYMIME, RFC 3030 3), when it is.
    pub(super) fn for_binary(self, is_binary: bool) -> Receiver {
        Receiver { is_binary, ..self }
    }

    /// True for content that is not made of lines.
    pub(super) fn is_binary(&self) -> bool {
        self.is_binary
    }

    /// Takes a run of content as it is (RFC 1870 3: what is counted is what is stored).
    pub(super) fn store(&mut self, run: &[u8]) {
        self.octets = self.octets.saturating_add(run.len() as u64);
        if self.octets > self.octets_max {
            self.flaws.too_large = true;
            self.stop_storing();
        } else if !self.is_refused() {
            self.content.extend_from_slice(run);
        }
    }

    /// A lone CR or LF stood here.
    pub(super) fn bare_line_ending(&mut self) {
        self.end_line(0);
        self.mend(b"\r\n");
    }

    /// The LF of a lone CR that is stored already was missing.
    pub(super) fn missing_line_feed(&mut self) {
        self.end_line(0);
        self.mend(b"\n");
    }

    /// A NUL stood here.
    pub(super) fn nul(&mut self) {
        self.grow_line(1);
        self.mend(b" ");
    }

    fn mend(&mut self, replacement: &[u8]) {
        if self.repairs {
            self.repaired = true;
            self.store(replacement);
        } else {
            self.flaws.bare_line_ending = true;
            self.stop_storing();
        }
    }

    /// The line at hand got longer.
    pub(super) fn grow_line(&mut self, octets: usize) {
        self.line_octets = self.line_octets.saturating_add(octets);
        if self.line_octets > self.line_octets_max {
            self.flaws.line_too_long = true;
            self.stop_storing();
        }
    }

    /// The line at hand got longer and ended.
    pub(super) fn end_line(&mut self, octets: usize) {
        self.grow_line(octets);
        self.line_octets = 0;
    }

    /// Refuses the message with the driver's reply; false when it was refused before.
    pub(super) fn abandon(&mut self, reply: Reply) -> bool {
        if self.is_refused() {
            return false;
        }
        self.abandoned = Some(reply);
        self.stop_storing();
        true
    }

    /// True when the rest is only read, not stored.
    pub(super) fn is_refused(&self) -> bool {
        self.abandoned.is_some()
            || self.flaws.too_large
            || self.flaws.bare_line_ending
            || self.flaws.line_too_long
    }

    fn stop_storing(&mut self) {
        self.content = BytesMut::new();
    }

    /// Octets counted so far.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Octets held in memory.
    pub(super) fn held_octets(&self) -> usize {
        self.content.capacity()
    }

    /// Why the message is refused, as far as it was read.
    pub(super) fn refusal(&self) -> Option<Response> {
        let say = match (&self.abandoned, &self.flaws) {
            (_, Flaws { too_large: true, .. }) => Say::TooLarge,
            (_, Flaws { bare_line_ending: true, .. }) => Say::BareLineEnding,
            (_, Flaws { line_too_long: true, .. }) => Say::ContentLineTooLong,
            (Some(reply), _) => return Some(Response::Theirs(reply.clone())),
            (None, _) => return None,
        };
        Some(Response::Ours(say))
    }

    /// The content, without a copy, and whether it was repaired.
    pub(super) fn into_content(self) -> (Bytes, bool) {
        (self.content.freeze(), self.repaired)
    }
}
