//! Parts of the message: the tree is read once for all plugins, contents are decoded when somebody asks for them.
//!
//! What costs time in proportion to the mail runs on a thread that may block, with a stack of its own: the threads
//! that serve sessions go on, and a panic in a decoder is an empty answer.

use baton_mail::mime::{LINKS_MAX, Part};
use wasmtime::component::Resource;

use super::digest::Algorithm;
use crate::bindings::baton::relay::message::HostPart;
use crate::off_thread::off_thread;
use crate::state::{State, Stop};

/// Octets of one read.
const READ_OCTETS_MAX: u32 = 1 << 20;
/// Characters of one text.
const TEXT_CHARS_MAX: u32 = 1 << 20;

impl State {
    /// How many leaves the message has; 0 when it is too complex, or there is none.
    pub(super) async fn count_parts(&mut self) -> u32 {
        let Some(message) = &self.call.content else { return 0 };
        u32::try_from(message.tree().await.len()).unwrap_or(u32::MAX)
    }

    /// A handle for the leaf of that index.
    pub(super) async fn open_part(&mut self, index: u32) -> wasmtime::Result<Option<Resource<Part>>> {
        let Some(message) = &self.call.content else { return Ok(None) };
        let Some(part) = message.tree().await.part(index as usize, message.content()) else {
            return Ok(None);
        };
        Ok(Some(self.table.push(part).map_err(|_| Stop::Handles)?))
    }

    fn part(&mut self, handle: &Resource<Part>) -> wasmtime::Result<&Part> {
        self.charge()?;
        Ok(self.table.get(handle)?)
    }

    /// A text of the part that goes to the plugin.
    fn part_text(
        &mut self,
        handle: &Resource<Part>,
        text: impl Fn(&Part) -> Option<String>,
    ) -> wasmtime::Result<Option<String>> {
        let text = text(self.part(handle)?);
        self.charge_read(text.as_ref().map_or(0, String::len))?;
        Ok(text)
    }

    /// Counts octets that the host works through.
    pub(super) fn charge_work(&mut self, octets: usize) -> wasmtime::Result<()> {
        self.budget.work_octets =
            self.budget.work_octets.checked_sub(octets as u64).ok_or(Stop::HostCalls)?;
        Ok(())
    }

    /// Works on a part, off the threads that serve sessions when it is long.
    async fn work<T: Default + Send + 'static>(
        &mut self,
        handle: &Resource<Part>,
        work: impl FnOnce(&Part) -> T + Send + 'static,
    ) -> wasmtime::Result<T> {
        let part = self.part(handle)?.clone();
        self.charge_work(part.raw_len())?;
        Ok(off_thread(part.raw_len(), move || work(&part)).await)
    }

    /// The decoded octets of a part; decoding them is paid for once.
    async fn decode(&mut self, handle: &Resource<Part>) -> wasmtime::Result<bytes::Bytes> {
        let part = self.part(handle)?;
        if part.is_decoded() {
            return Ok(part.decoded());
        }
        self.work(handle, Part::decoded).await
    }
}

impl HostPart for State {
    fn content_type(&mut self, part: Resource<Part>) -> wasmtime::Result<String> {
        Ok(self.part_text(&part, |part| Some(part.content_type().to_owned()))?.unwrap_or_default())
    }

    fn disposition(&mut self, part: Resource<Part>) -> wasmtime::Result<Option<String>> {
        self.part_text(&part, |part| part.disposition().map(str::to_owned))
    }

    fn filename(&mut self, part: Resource<Part>) -> wasmtime::Result<Option<String>> {
        self.part_text(&part, |part| part.filename().map(str::to_owned))
    }

    fn charset(&mut self, part: Resource<Part>) -> wasmtime::Result<Option<String>> {
        self.part_text(&part, |part| part.charset().map(str::to_owned))
    }

    fn transfer_encoding(&mut self, part: Resource<Part>) -> wasmtime::Result<String> {
        Ok(self.part_text(&part, |part| Some(part.transfer_encoding().to_owned()))?.unwrap_or_default())
    }

    fn header(&mut self, part: Resource<Part>, name: String) -> wasmtime::Result<Option<String>> {
        self.part_text(&part, |part| part.header(&name))
    }

    fn within(&mut self, part: Resource<Part>) -> wasmtime::Result<Vec<String>> {
        let within: Vec<String> = self.part(&part)?.within().map(str::to_owned).collect();
        self.charge_read(within.iter().map(String::len).sum())?;
        Ok(within)
    }

    fn raw_range(&mut self, part: Resource<Part>) -> wasmtime::Result<(u64, u64)> {
        Ok(self.part(&part)?.raw_range())
    }

    async fn decoded_size(&mut self, part: Resource<Part>) -> wasmtime::Result<u64> {
        Ok(self.decode(&part).await?.len() as u64)
    }

    async fn read(&mut self, part: Resource<Part>, offset: u64, len: u32) -> wasmtime::Result<Vec<u8>> {
        let decoded = self.decode(&part).await?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(decoded.len());
        let end = start.saturating_add(len.min(READ_OCTETS_MAX) as usize).min(decoded.len());
        self.charge_read(end - start)?;
        Ok(decoded.slice(start..end).into())
    }

    async fn text(
        &mut self,
        part: Resource<Part>,
        max_chars: u32,
        strip_html: bool,
    ) -> wasmtime::Result<String> {
        let chars_max = max_chars.min(TEXT_CHARS_MAX) as usize;
        let text = self.work(&part, move |part| part.text(chars_max, strip_html)).await?;
        self.charge_read(text.len())?;
        Ok(text)
    }

    async fn digest(
        &mut self,
        part: Resource<Part>,
        algorithm: String,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let algorithm = match Algorithm::of(&algorithm) {
            Ok(algorithm) => algorithm,
            Err(error) => return self.part(&part).map(|_| Err(error)),
        };
        Ok(Ok(self.work(&part, move |part| algorithm.digest(&[&part.decoded()])).await?))
    }

    async fn urls(&mut self, part: Resource<Part>, max: u32) -> wasmtime::Result<Vec<String>> {
        let links_max = (max as usize).min(LINKS_MAX);
        let links = self.work(&part, move |part| part.links(links_max)).await?;
        self.charge_read(links.iter().map(String::len).sum())?;
        Ok(links)
    }

    fn drop(&mut self, part: Resource<Part>) -> wasmtime::Result<()> {
        self.table.delete(part)?;
        Ok(())
    }
}
