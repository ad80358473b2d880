//! What the law asks of mail to many: a way out, and an address of the sender. Refused by stream where the settings or the
//! stream say so.

use std::sync::Arc;

use baton_mail::body::Content;
use baton_mail::header::HeaderIndex;
use baton_mail::mime::{MimeLimits, read_tree};
use baton_mail::tenant::Lack;
use baton_mail::text::contains_words;

use super::Session;
use super::draft::Draft;
use crate::replies::Refusal;

/// Parts that are searched for the postal address.
const PARTS_MAX: usize = 32;
/// Characters of a part that are searched.
const CHARS_MAX: usize = 1 << 20;

impl Session {
    /// Refuses mail of a stream that lacks what the stream must have. As plugins left it, for they may add what is missing.
    pub(super) async fn check_stream(&self, draft: &Draft, content: &Content) -> Result<(), Refusal> {
        let policy = self.listener.deps.policy.load_full();
        let envelope = &draft.call.envelope;
        let stream = envelope.stream.as_deref().filter(|_| envelope.sender.mailbox().is_some());
        let Some(stream) = stream else { return Ok(()) };
        let rules = policy.streams.get(stream).cloned().unwrap_or_default();
        let own = self.listener.deps.store.tenants().stream(envelope.tenant.as_deref(), stream);
        let own = own.map(|row| row.value.require.clone()).unwrap_or_default();
        if (rules.unsubscribe || own.unsubscribe) && !has_way_out(content, &policy.mime) {
            return Err(Refusal::StreamLacks(Lack::Unsubscribe { stream: stream.to_owned() }));
        }
        let mut wanted: Vec<String> =
            [&rules, &own].iter().filter_map(|own| own.address()).map(str::to_owned).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (content, limits) = (content.clone(), policy.mime);
        let search = move || {
            wanted.retain(|address| !has_address(&content, address, &limits));
            wanted.into_iter().next()
        };
        // A panic is a defect; the sender tries again.
        let missing = tokio::task::spawn_blocking(search).await.map_err(|_| Refusal::Internal)?;
        let lack = |address| Refusal::StreamLacks(Lack::PostalAddress { stream: stream.to_owned(), address });
        missing.map_or(Ok(()), |address| Err(lack(address)))
    }
}

fn has_way_out(content: &Content, limits: &MimeLimits) -> bool {
    let Ok(header) = HeaderIndex::scan(&content.header, &limits.header) else { return false };
    header.all("List-Unsubscribe").iter().any(|value| {
        let text = baton_mail::header::decode(value).to_ascii_lowercase();
        ["<https:", "<http:", "<mailto:"].iter().any(|scheme| text.contains(scheme))
    })
}

/// True when a text part has the address, however its lines are broken.
fn has_address(content: &Content, address: &str, limits: &MimeLimits) -> bool {
    let Ok(tree) = read_tree(content, limits) else { return false };
    let tree = Arc::new(tree);
    (0..tree.len().min(PARTS_MAX))
        .filter_map(|index| tree.part(index, content))
        .filter(|part| part.content_type().starts_with("text/"))
        .any(|part| contains_words(&part.text(CHARS_MAX, true), address))
}
