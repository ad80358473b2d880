//! Changes that a plugin asked for: kept aside while it runs, applied when it answered.

use std::collections::HashMap;

use baton_mail::edit::{Edit, EnvelopeEdit, MessageEdit};
use baton_mail::{Recipient, header};
use sha2::{Digest as _, Sha256};

use crate::call::{NOTES_OCTETS_MAX, Parameter};
use crate::load::hex;
use crate::{Call, Hook};

/// Changes of one call at most.
const EDITS_MAX: usize = 1_000;

/// The changes of one call, each checked when it was made.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    edits: Vec<Edit>,
    session_notes: Vec<(String, Option<Vec<u8>>)>,
    /// Recipients that are added minus those that are removed.
    pub(crate) recipients: i64,
    /// How many stand in the place of a recipient that was removed or redirected, by its index.
    pub(crate) slots: HashMap<u32, usize>,
    /// Tags and scores.
    pub(crate) remarks: usize,
    /// The sum of the scores.
    pub(crate) points: f64,
    note_octets: usize,
}

impl Staged {
    /// Keeps a change.
    pub(crate) fn push(&mut self, edit: Edit) -> Result<(), String> {
        if self.edits.len() >= EDITS_MAX {
            return Err(format!("more than {EDITS_MAX} changes in one call"));
        }
        self.edits.push(edit);
        Ok(())
    }

    /// Keeps a note of the session. `octets_in_use` are those of the session so far.
    pub(crate) fn push_session_note(
        &mut self,
        key: String,
        value: Option<Vec<u8>>,
        octets_in_use: usize,
    ) -> Result<(), String> {
        self.charge_note(&key, value.as_deref(), octets_in_use)?;
        self.session_notes.push((key, value));
        Ok(())
    }

    /// Keeps a note of the message. `octets_in_use` are those of the message so far.
    pub(crate) fn push_note(
        &mut self,
        key: String,
        value: Option<Vec<u8>>,
        octets_in_use: usize,
    ) -> Result<(), String> {
        self.charge_note(&key, value.as_deref(), octets_in_use)?;
        self.push(Edit::Envelope(EnvelopeEdit::Note(key, value)))
    }

    fn charge_note(&mut self, key: &str, value: Option<&[u8]>, octets_in_use: usize) -> Result<(), String> {
        let octets = self.note_octets + value.map_or(0, |value| key.len() + value.len());
        if octets_in_use + octets > NOTES_OCTETS_MAX || self.session_notes.len() >= EDITS_MAX {
            return Err(format!("notes are bounded to {NOTES_OCTETS_MAX} octets"));
        }
        self.note_octets = octets;
        Ok(())
    }

    /// The changes of the message so far, in order.
    pub(crate) fn message_edits(&self) -> Vec<MessageEdit> {
        let of_message = |edit: &Edit| match edit {
            Edit::Message(edit) => Some(edit.clone()),
            _ => None,
        };
        self.edits.iter().filter_map(of_message).collect()
    }

    /// The note of the session that this call set last; the inner none stands for a removed one.
    pub(crate) fn session_note(&self, key: &str) -> Option<Option<Vec<u8>>> {
        self.session_notes.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    /// The note of the message that this call set last; the inner none stands for a removed one.
    pub(crate) fn note(&self, key: &str) -> Option<Option<Vec<u8>>> {
        self.edits.iter().rev().find_map(|edit| match edit {
            Edit::Envelope(EnvelopeEdit::Note(name, value)) if name == key => Some(value.clone()),
            _ => None,
        })
    }

    /// True when nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.session_notes.is_empty()
    }

    /// In short form what [`Staged::apply`] would apply.
    pub(crate) fn summaries(&self, refused: bool) -> Vec<String> {
        self.edits.iter().filter(|edit| !refused || is_remark(edit)).map(Edit::summary).collect()
    }

    /// As [`Staged::summaries`], with the texts that they leave out, and with the notes of the session.
    pub(crate) fn in_full(&self, refused: bool) -> Vec<String> {
        let edits = self.edits.iter().filter(|edit| !refused || is_remark(edit));
        let note = |(key, value): &(String, Option<Vec<u8>>)| format!("session note {key}{}", shown(value));
        edits.map(in_full).chain(self.session_notes.iter().map(note)).collect()
    }

    /// Applies everything and says in short form what was applied. A plugin that refused the mail changes nothing of
    /// it but notes, tags and scores, which tell later plugins why.
    pub(crate) fn apply(self, call: &mut Call, refused: bool) -> Vec<String> {
        call.notes.apply(self.session_notes);
        let kept: Vec<Edit> = self.edits.into_iter().filter(|edit| !refused || is_remark(edit)).collect();
        let summaries = kept.iter().map(Edit::summary).collect();
        apply_edits(call, kept);
        summaries
    }
}

fn in_full(edit: &Edit) -> String {
    let summary = edit.summary();
    match edit {
        Edit::Message(
            MessageEdit::Add(_, text) | MessageEdit::Insert(_, _, text) | MessageEdit::Set(_, text),
        ) => format!("{summary}: {text}"),
        Edit::Message(MessageEdit::Body(body)) => {
            format!("{summary}, sha256 {}", hex(&Sha256::digest(body.octets())))
        }
        Edit::Envelope(EnvelopeEdit::Note(_, value)) => format!("{summary}{}", shown(value)),
        _ => summary,
    }
}

fn shown(note: &Option<Vec<u8>>) -> String {
    match note {
        Some(value) => format!(" = {}", String::from_utf8_lossy(value)),
        None => " removed".to_owned(),
    }
}

fn is_remark(edit: &Edit) -> bool {
    matches!(edit, Edit::Envelope(EnvelopeEdit::Note(..) | EnvelopeEdit::Tag(..) | EnvelopeEdit::Score(..)))
}

fn apply_edits(call: &mut Call, edits: Vec<Edit>) {
    if edits.is_empty() {
        return;
    }
    let mut message_edits = Vec::new();
    let mut recipients = edits.iter().any(is_about_recipients).then(|| Recipients::of(call));
    for edit in edits {
        match edit {
            Edit::Message(edit) => message_edits.push(edit),
            Edit::Envelope(edit) => apply_envelope_edit(call, recipients.as_mut(), edit),
            Edit::Route(edit) => call.routes.push(edit),
            Edit::Class(class) => call.class = Some(class),
        }
    }
    if let Some(recipients) = recipients {
        recipients.put_back(call);
    }
    apply_message_edits(call, &message_edits);
}

fn apply_message_edits(call: &mut Call, edits: &[MessageEdit]) {
    if edits.is_empty() {
        return;
    }
    let Some(message) = call.content.take() else { return };
    let changes_parts = edits.iter().any(describes_body);
    let message =
        message.changed(|content| header::apply(content, edits, call.envelope.smtputf8), changes_parts);
    // The next hop must know 8BITMIME for octets beyond ASCII, wherever they are (RFC 6152).
    let content = message.content();
    if edits.iter().any(|edit| matches!(edit, MessageEdit::Body(_))) {
        call.envelope.eight_bit = !(content.header.is_ascii() && content.rest.is_ascii());
    } else {
        call.envelope.eight_bit |= !content.header.is_ascii();
    }
    call.content = Some(message);
}

/// True for an edit after which the parts of the message may be others.
fn describes_body(edit: &MessageEdit) -> bool {
    match edit {
        MessageEdit::Body(_) => true,
        MessageEdit::Add(name, _)
        | MessageEdit::Insert(_, name, _)
        | MessageEdit::Set(name, _)
        | MessageEdit::Remove(name) => name
            .as_str()
            .get(..CONTENT_PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(CONTENT_PREFIX)),
    }
}

/// Fields with such a name describe the body (RFC 2045 9).
const CONTENT_PREFIX: &str = "content-";

fn is_about_recipients(edit: &Edit) -> bool {
    use EnvelopeEdit::{AddRecipient, Redirect, RemoveRecipient};
    matches!(edit, Edit::Envelope(AddRecipient(_) | RemoveRecipient(_) | Redirect(..)))
}

fn apply_envelope_edit(call: &mut Call, recipients: Option<&mut Recipients>, edit: EnvelopeEdit) {
    if let Some(recipients) = recipients {
        recipients.apply(&edit);
    }
    let envelope = &mut call.envelope;
    match edit {
        EnvelopeEdit::AddRecipient(_) | EnvelopeEdit::RemoveRecipient(_) | EnvelopeEdit::Redirect(..) => {}
        EnvelopeEdit::Sender(sender) => envelope.sender = sender,
        EnvelopeEdit::Stream(stream) => envelope.stream = Some(stream),
        EnvelopeEdit::Priority(priority) => envelope.priority = priority,
        EnvelopeEdit::Quarantine(reason) => {
            call.quarantine.get_or_insert(reason);
        }
        EnvelopeEdit::Tag(name, value) => {
            envelope.tags.retain(|(known, _)| *known != name);
            envelope.tags.push((name, value));
        }
        EnvelopeEdit::Score(symbol, points) => envelope.scores.push((symbol, points)),
        EnvelopeEdit::Note(key, value) => {
            envelope.notes.retain(|(known, _)| *known != key);
            envelope.notes.extend(value.map(|value| (key, value)));
        }
    }
}

type Entry = (Recipient, Vec<Parameter>);

/// The recipients with their parameters. Those from before keep their index while others come and go.
struct Recipients {
    slots: Vec<Vec<Entry>>,
    added: Vec<Entry>,
}

impl Recipients {
    fn of(call: &mut Call) -> Recipients {
        let recipients = std::mem::take(&mut call.envelope.recipients);
        let mut parameters = std::mem::take(&mut call.recipient_parameters);
        parameters.resize_with(recipients.len(), Vec::new);
        let slots = recipients.into_iter().zip(parameters).map(|entry| vec![entry]).collect();
        Recipients { slots, added: Vec::new() }
    }

    fn apply(&mut self, edit: &EnvelopeEdit) {
        match edit {
            EnvelopeEdit::AddRecipient(mailbox) => self.added.push((mailbox.clone().into(), Vec::new())),
            EnvelopeEdit::RemoveRecipient(index) => self.replace(*index, |_| Vec::new()),
            EnvelopeEdit::Redirect(index, to) => self.replace(*index, |(old, parameters)| {
                to.iter().map(|address| (old.redirected(address.clone()), parameters.clone())).collect()
            }),
            _ => {}
        }
    }

    /// Replaces what came of the recipient at that index; does nothing when it was removed already.
    fn replace(&mut self, index: u32, with: impl FnOnce(&Entry) -> Vec<Entry>) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if let Some(entry) = slot.first() {
            *slot = with(entry);
        }
    }

    fn put_back(self, call: &mut Call) {
        let entries = self.slots.into_iter().flatten().chain(self.added);
        (call.envelope.recipients, call.recipient_parameters) = entries.unzip();
    }
}

/// Why the envelope may not be changed at that hook, when it may not.
pub(crate) fn check_envelope_is_open(hook: Option<Hook>) -> Result<Hook, String> {
    match hook {
        Some(hook @ (Hook::Rcpt | Hook::Data)) => Ok(hook),
        Some(hook @ (Hook::Connect | Hook::Auth)) => Err(format!("there is no envelope at the {hook} hook")),
        Some(hook) => Err(format!("the envelope is fixed at the {hook} hook")),
        None => Err("not available in init".to_owned()),
    }
}
