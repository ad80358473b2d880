//! `replace-body`: a new body under construction. It is staged when it is finished, and takes the place of the old one
//! when the hook answered.

use baton_mail::edit::{Edit, MessageEdit, NewBody};
use bytes::Bytes;
use wasmtime::component::Resource;

use crate::bindings::baton::relay::message::HostBodyWriter;
use crate::state::{State, Stop};
use crate::{EditGrant, Hook};

/// Octets of a line that the plugin writes (RFC 5322 2.1.1). Lines of the message that are copied stay as they are.
const LINE_OCTETS_MAX: usize = 998;

/// What was written so far. Copied octets are shared with the message.
#[derive(Debug, Default)]
#[allow(unreachable_pub, reason = "the generated code re-exports it within this crate")]
pub struct BodyWriter {
    pieces: Vec<Bytes>,
    octets: usize,
    /// Octets of the last line so far.
    column: usize,
    /// The last octet is a CR that waits for its LF.
    after_cr: bool,
    finished: bool,
}

impl BodyWriter {
    /// Adds octets when no CR or LF in them stands alone. `ours` are octets that the plugin made: they hold no zero
    /// and make no line too long.
    fn push(&mut self, octets: Bytes, ours: bool) -> Result<(), String> {
        if self.finished {
            return Err("the body is finished".to_owned());
        }
        let (column, after_cr) = self.check(&octets, ours)?;
        (self.column, self.after_cr) = (column, after_cr);
        self.octets += octets.len();
        if !octets.is_empty() {
            self.pieces.push(octets);
        }
        Ok(())
    }

    /// Where the writer stands after these octets.
    fn check(&self, octets: &[u8], ours: bool) -> Result<(usize, bool), String> {
        if ours && memchr::memchr(0, octets).is_some() {
            return Err("a body has no zero octets".to_owned());
        }
        let (mut column, mut after_cr, mut line_start) = (self.column, self.after_cr, 0);
        if after_cr && octets.first().is_some_and(|octet| *octet != b'\n') {
            return Err(LONE.to_owned());
        }
        for at in memchr::memchr2_iter(b'\r', b'\n', octets) {
            let is_lf = octets.get(at) == Some(&b'\n');
            match (is_lf, after_cr) {
                (false, _) => {
                    column += at - line_start;
                    if ours && column > LINE_OCTETS_MAX {
                        return Err(TOO_LONG.to_owned());
                    }
                    // What follows a CR is looked at here, so that any other octet is found out at once.
                    if octets.get(at + 1).is_some_and(|next| *next != b'\n') {
                        return Err(LONE.to_owned());
                    }
                    after_cr = true;
                }
                (true, true) => {
                    (column, after_cr, line_start) = (0, false, at + 1);
                }
                (true, false) => return Err(LONE.to_owned()),
            }
        }
        if !after_cr {
            column += octets.len() - line_start;
        }
        if ours && column > LINE_OCTETS_MAX {
            return Err(TOO_LONG.to_owned());
        }
        Ok((column, after_cr))
    }

    fn finish(&mut self) -> Result<NewBody, String> {
        if std::mem::replace(&mut self.finished, true) {
            return Err("the body is finished".to_owned());
        }
        if self.after_cr {
            return Err(LONE.to_owned());
        }
        let pieces = std::mem::take(&mut self.pieces);
        Ok(NewBody::new(pieces.iter().map(|piece| &piece[..])))
    }
}

const LONE: &str = "lines end with CRLF; a CR or LF stands alone";
const TOO_LONG: &str = "a line has at most 998 octets";

impl State {
    /// Opens a writer, when the plugin may change the body.
    pub(super) fn begin_body(&mut self) -> wasmtime::Result<Result<Resource<BodyWriter>, String>> {
        if let Err(error) = self.check_body_grant() {
            return Ok(Err(error));
        }
        Ok(Ok(self.table.push(BodyWriter::default()).map_err(|_| Stop::Handles)?))
    }

    fn check_body_grant(&self) -> Result<(), String> {
        match self.hook {
            Some(Hook::Data) => {}
            Some(hook) => return Err(format!("the message can not be changed at the {hook} hook")),
            None => return Err("not available in init".to_owned()),
        }
        if !self.terms.grants.edit.contains(&EditGrant::Body) {
            return Err("no grant: add \"body\" to grants.edit of this plugin".to_owned());
        }
        Ok(())
    }

    /// Adds octets to a writer, within what all bodies of this call may have.
    fn push_body(
        &mut self,
        writer: &Resource<BodyWriter>,
        octets: Bytes,
        ours: bool,
    ) -> wasmtime::Result<Result<(), String>> {
        let count = octets.len() as u64;
        let writer = self.table.get_mut(writer)?;
        let Some(left) = self.budget.body_octets.checked_sub(count) else {
            let octets_max = self.terms.limits.body_octets_max;
            return Ok(Err(format!("new bodies have at most {octets_max} octets in one call")));
        };
        let pushed = writer.push(octets, ours);
        if pushed.is_ok() {
            self.budget.body_octets = left;
        }
        Ok(pushed)
    }
}

impl HostBodyWriter for State {
    fn write(
        &mut self,
        writer: Resource<BodyWriter>,
        chunk: Vec<u8>,
    ) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.push_body(&writer, chunk.into(), true)?;
        self.counted(result)
    }

    fn copy(
        &mut self,
        writer: Resource<BodyWriter>,
        offset: u64,
        len: u64,
    ) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let octets = self.call.content.as_ref().map(|message| message.content().read(offset, len));
        let result = match octets {
            Some(octets) if octets.len() == len => self.push_body(&writer, octets, false)?,
            _ => Err("the message ends before".to_owned()),
        };
        self.counted(result)
    }

    fn finish(&mut self, writer: Resource<BodyWriter>) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let finished = self.table.get_mut(&writer)?.finish();
        let result = finished.and_then(|body| self.staged.push(Edit::Message(MessageEdit::Body(body))));
        self.counted(result)
    }

    fn drop(&mut self, writer: Resource<BodyWriter>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(chunks: &[&[u8]]) -> Result<usize, String> {
        let mut writer = BodyWriter::default();
        for chunk in chunks {
            writer.push(Bytes::copy_from_slice(chunk), true)?;
        }
        writer.finish().map(|body| body.len())
    }

    #[test]
    fn lines_may_be_cut_anywhere() {
        assert_eq!(write(&[b"a\r", b"\nb\r\n"]), Ok(6));
        assert_eq!(write(&[b"a\r\n\r\n", b"", b"b"]), Ok(8), "the last line is ended");
        assert_eq!(write(&[]), Ok(0));
        assert_eq!(write(&[&[b'x'; 998], b"\r\n", &[b'x'; 998]]), Ok(2_000));
    }

    #[test]
    fn nothing_stands_alone_and_no_line_is_too_long() {
        for bad in [
            &[&b"a\nb"[..]][..],
            &[b"a\rb"],
            &[b"\r\r\n"],
            &[b"a\r", b"b"],
            &[b"a", b"\n"],
            &[b"a\r\n\n"],
            &[b"a\r"],
            &[b"a\0"],
            &[&[b'x'; 999]],
            &[&[b'x'; 500], &[b'x'; 499]],
        ] {
            assert!(write(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_chunk_leaves_nothing_behind() {
        let mut writer = BodyWriter::default();
        assert!(writer.push(Bytes::from_static(b"good\r\nbad\n"), true).is_err());
        writer.push(Bytes::from_static(b"fine\r\n"), true).unwrap();
        assert_eq!(writer.finish().unwrap().len(), 6);
        assert!(writer.finish().is_err() && writer.push(Bytes::new(), true).is_err());
    }
}
