//! `message`: the message stays here; the plugin gets what it asks for, and stages changes.

use baton_mail::edit::{Edit, MessageEdit};
use baton_mail::header::{self, HeaderIndex, HeaderName};
use baton_mail::mime::Part;
use bytes::Bytes;
use wasmtime::component::Resource;

use super::digest::Algorithm;
use super::http::Ready;
use super::new_body::BodyWriter;
use crate::bindings::baton::relay::message::{Host, HttpError, Request, Response};
use crate::off_thread::off_thread;
use crate::state::State;
use crate::{EditGrant, Hook, MessageContent};

/// Octets of one read.
const READ_OCTETS_MAX: u32 = 1 << 20;
/// Octets of what is searched for.
const NEEDLE_OCTETS_MAX: usize = 1_024;
/// Fields that tell of facts which only the relay knows. A plugin may not write them.
const FORGERIES: [&str; 2] = ["Return-Path", "DKIM-Signature"];
/// Steps of the way. They stop mail loops, so that changing them is a grant of its own.
const TRACE: &str = "Received";

impl State {
    fn message(&mut self) -> wasmtime::Result<Option<&MessageContent>> {
        self.charge()?;
        Ok(self.call.content.as_ref())
    }

    /// The header, when there is one that could be read.
    fn header_index(&mut self) -> wasmtime::Result<Option<&HeaderIndex>> {
        Ok(self.message()?.and_then(|message| message.header().as_ref().ok()))
    }

    /// Checks that the header may be changed, and that this field may be.
    fn check_field(&self, name: &str) -> Result<HeaderName, String> {
        match self.hook {
            Some(Hook::Data) => {}
            Some(hook) => return Err(format!("the message can not be changed at the {hook} hook")),
            None => return Err("not available in init".to_owned()),
        }
        if !self.terms.grants.edit.contains(&EditGrant::Headers) {
            return Err("no grant: add \"headers\" to grants.edit of this plugin".to_owned());
        }
        if let Some(Err(error)) = self.call.content.as_ref().map(MessageContent::header) {
            return Err(format!("the header can not be changed: {error}"));
        }
        if name.eq_ignore_ascii_case(TRACE) && !self.terms.grants.edit.contains(&EditGrant::Trace) {
            let remedy =
                "Received fields stop mail loops; to change them add \"trace\" to grants.edit of this plugin";
            return Err(remedy.to_owned());
        }
        name.parse::<HeaderName>().map_err(|error| error.to_string())
    }

    fn check_new_field(&self, name: &str, value: &str) -> Result<(HeaderName, String), String> {
        let field = self.check_field(name)?;
        if FORGERIES.iter().any(|forgery| name.eq_ignore_ascii_case(forgery)) {
            return Err(format!("{name} is written by the relay only"));
        }
        let value = header::check_value(value).map_err(|error| error.to_string())?;
        Ok((field, value))
    }

    fn stage_field(
        &mut self,
        name: &str,
        value: &str,
        edit: impl Fn(HeaderName, String) -> MessageEdit,
    ) -> Result<u32, String> {
        let (field, value) = self.check_new_field(name, value)?;
        let count = self.count_fields(name);
        self.staged.push(Edit::Message(edit(field, value)))?;
        Ok(count)
    }

    fn stage_removal(&mut self, name: &str) -> Result<u32, String> {
        let field = self.check_field(name)?;
        let count = self.count_fields(name);
        if count > 0 {
            self.staged.push(Edit::Message(MessageEdit::Remove(field)))?;
        }
        Ok(count)
    }

    /// A request whose content is the message with the changes of this call.
    fn check_post(&mut self, request: Request) -> Result<Ready, HttpError> {
        if !request.body.is_empty() {
            return Err(HttpError::Failed(
                "the content of this request is the message; leave its own empty".to_owned(),
            ));
        }
        let Some(message) = &self.call.content else {
            return Err(HttpError::Failed("there is no message at this hook".to_owned()));
        };
        let edits = self.staged.message_edits();
        let content = header::apply(message.content().clone(), &edits, self.call.envelope.smtputf8);
        self.check_request(request, content.into_body(Bytes::new()))
    }

    fn count_fields(&self, name: &str) -> u32 {
        let index = self.call.content.as_ref().and_then(|message| message.header().as_ref().ok());
        index.map_or(0, |index| u32::try_from(index.count(name)).unwrap_or(u32::MAX))
    }
}

impl Host for State {
    fn size(&mut self) -> wasmtime::Result<u64> {
        Ok(self.message()?.map_or(0, |message| message.content().len()))
    }

    fn header_size(&mut self) -> wasmtime::Result<u64> {
        Ok(self.message()?.map_or(0, |message| message.content().header.len() as u64))
    }

    fn too_complex(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.message()?.and_then(|message| message.header().as_ref().err().map(ToString::to_string)))
    }

    fn header(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let value = self.header_index()?.and_then(|index| index.first(&name)).map(|raw| header::decode(&raw));
        self.charge_read(value.as_ref().map_or(0, String::len))?;
        Ok(value)
    }

    fn headers(&mut self, name: String) -> wasmtime::Result<Vec<String>> {
        let raw_values = self.header_index()?.map(|index| index.all(&name)).unwrap_or_default();
        let values: Vec<String> = raw_values.iter().map(|raw| header::decode(raw)).collect();
        self.charge_read(values.iter().map(String::len).sum())?;
        Ok(values)
    }

    fn header_names(&mut self) -> wasmtime::Result<Vec<String>> {
        let names: Vec<String> =
            self.header_index()?.map(|index| index.names().map(str::to_owned).collect()).unwrap_or_default();
        self.charge_read(names.iter().map(String::len).sum())?;
        Ok(names)
    }

    fn raw_header(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        let raw = self.header_index()?.and_then(|index| index.first(&name)).map(|raw| raw.to_vec());
        self.charge_read(raw.as_ref().map_or(0, Vec::len))?;
        Ok(raw)
    }

    fn addresses(&mut self, name: String) -> wasmtime::Result<Vec<(String, String)>> {
        let raw_values = self.header_index()?.map(|index| index.all(&name)).unwrap_or_default();
        let found = raw_values.iter().flat_map(|raw| header::addresses(raw)).take(header::ADDRESSES_MAX);
        let found: Vec<(String, String)> = found.collect();
        self.charge_read(found.iter().map(|(name, address)| name.len() + address.len()).sum())?;
        Ok(found)
    }

    fn read(&mut self, offset: u64, len: u32) -> wasmtime::Result<Vec<u8>> {
        let len = len.min(READ_OCTETS_MAX) as usize;
        let octets = self.message()?.map(|message| message.content().read(offset, len)).unwrap_or_default();
        self.charge_read(octets.len())?;
        Ok(octets.to_vec())
    }

    fn find(&mut self, needle: Vec<u8>, start: u64) -> wasmtime::Result<Option<u64>> {
        let Some(message) = self.message()? else { return Ok(None) };
        if needle.is_empty() || needle.len() > NEEDLE_OCTETS_MAX {
            return Ok(None);
        }
        Ok(find(message, &needle, start))
    }

    async fn digest(&mut self, algorithm: String) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let Some(content) = self.message()?.map(|message| message.content().clone()) else {
            return Ok(Err("there is no message at this hook".to_owned()));
        };
        let algorithm = match Algorithm::of(&algorithm) {
            Ok(algorithm) => algorithm,
            Err(error) => return Ok(Err(error)),
        };
        let octets = usize::try_from(content.len()).unwrap_or(usize::MAX);
        self.charge_work(octets)?;
        Ok(Ok(off_thread(octets, move || algorithm.digest(&[&content.header, &content.rest])).await))
    }

    async fn post_raw(&mut self, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        self.charge()?;
        let ready = self.check_post(request);
        self.send_one(ready).await
    }

    async fn part_count(&mut self) -> wasmtime::Result<u32> {
        self.charge()?;
        Ok(self.count_parts().await)
    }

    async fn get_part(&mut self, index: u32) -> wasmtime::Result<Option<Resource<Part>>> {
        self.charge()?;
        self.open_part(index).await
    }

    fn replace_body(&mut self) -> wasmtime::Result<Result<Resource<BodyWriter>, String>> {
        self.charge()?;
        let opened = self.begin_body()?;
        self.counted(opened)
    }

    fn add_header(&mut self, name: String, value: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_field(&name, &value, MessageEdit::Add).map(drop);
        self.counted(result)
    }

    fn insert_header(
        &mut self,
        index: u32,
        name: String,
        value: String,
    ) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result =
            self.stage_field(&name, &value, |name, value| MessageEdit::Insert(index, name, value)).map(drop);
        self.counted(result)
    }

    fn set_header(&mut self, name: String, value: String) -> wasmtime::Result<Result<u32, String>> {
        self.charge()?;
        let result = self.stage_field(&name, &value, MessageEdit::Set);
        self.counted(result)
    }

    fn remove_header(&mut self, name: String) -> wasmtime::Result<Result<u32, String>> {
        self.charge()?;
        let result = self.stage_removal(&name);
        self.counted(result)
    }
}

/// Searches the header, the rest, and the few octets where they meet.
fn find(message: &MessageContent, needle: &[u8], start: u64) -> Option<u64> {
    let content = message.content();
    let border = content.header.len();
    let start = usize::try_from(start).ok()?;
    let found = |octets: &[u8], from: usize, base: usize| {
        let at = memchr::memmem::find(octets.get(from..)?, needle)?;
        Some((base + from + at) as u64)
    };
    let overlap = needle.len() - 1;
    let seam_at = border.saturating_sub(overlap).max(start);
    let across = || {
        let seam = content.read(seam_at as u64, (border + overlap).saturating_sub(seam_at));
        found(&seam, 0, seam_at)
    };
    found(&content.header, start, 0)
        .or_else(across)
        .or_else(|| found(&content.rest, start.saturating_sub(border), border))
}

#[cfg(test)]
mod tests {
    use baton_mail::body::Content;

    use super::*;

    #[test]
    fn octets_are_found_in_both_halves_and_across_them() {
        let octets = b"A: needle\r\nB: x\r\n\r\nbody needle\r\n";
        let message = MessageContent::new(Content::split(octets.as_slice().into()));
        for start in 0..octets.len() + 2 {
            for needle in
                [&b"needle"[..], b"x\r\n\r\nb", b"\r\n", b"y", b"absent", b"B: x\r\n\r\nbody needle\r\n"]
            {
                let expected = octets
                    .get(start..)
                    .and_then(|rest| memchr::memmem::find(rest, needle))
                    .map(|at| (start + at) as u64);
                assert_eq!(
                    find(&message, needle, start as u64),
                    expected,
                    "{start} {}",
                    needle.escape_ascii()
                );
            }
        }
    }
}
