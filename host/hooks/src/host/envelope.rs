//! `envelope`: who the message is from and to, and changes of it, which are staged.

use baton_mail::edit::{Edit, EnvelopeEdit};
use baton_mail::envelope::PRIORITY_MAX;
use baton_mail::text::sanitize;
use baton_mail::{Domain, Mailbox, ReversePath};

use crate::ask;
use crate::bindings::baton::relay::envelope::{Address, Host, Param};
use crate::edits::check_envelope_is_open;
use crate::state::State;
use crate::{EditGrant, Hook};

/// Recipients of a message after all changes.
const RECIPIENTS_MAX: i64 = 1_000;
/// Mailboxes in the place of one.
const REDIRECTS_MAX: usize = 100;
/// Tags, and scores, of one message.
const REMARKS_MAX: usize = 100;
/// Octets of a stream's, tag's or symbol's name.
const NAME_OCTETS_MAX: usize = 64;
/// Octets of a tag's value, and of a reason.
const TEXT_OCTETS_MAX: usize = 512;

impl State {
    /// Checks that recipients may be changed.
    fn check_recipients_grant(&self) -> Result<Hook, String> {
        let hook = check_envelope_is_open(self.hook)?;
        if !self.terms.grants.edit.contains(&EditGrant::Recipients) {
            return Err("no grant: add \"recipients\" to grants.edit of this plugin".to_owned());
        }
        Ok(hook)
    }

    /// Checks that this recipient may be changed: at the rcpt hook the earlier ones were accepted already.
    fn check_index(&self, hook: Hook, index: u32) -> Result<(), String> {
        let count = self.call.envelope.recipients.len();
        if index as usize >= count {
            return Err(format!("there is no recipient {index}"));
        }
        if hook == Hook::Rcpt && index as usize + 1 != count {
            return Err(
                "at the rcpt hook only the recipient at hand, the last one, can be changed".to_owned()
            );
        }
        Ok(())
    }

    /// Counts recipients that come or go; there is always at least one.
    fn check_recipient_count(&mut self, change: i64) -> Result<(), String> {
        let staged = self.staged.recipients + change;
        let count = self.call.envelope.recipients.len() as i64 + staged;
        if count < 1 {
            return Err("the last recipient can not be removed; answer discard instead".to_owned());
        }
        if count > RECIPIENTS_MAX {
            return Err(format!("a message has at most {RECIPIENTS_MAX} recipients"));
        }
        self.staged.recipients = staged;
        Ok(())
    }

    /// Counts what comes in the place of a recipient. One that was removed in this call stays away.
    fn check_slot(&mut self, index: u32, count: usize) -> Result<(), String> {
        let before = self.staged.slots.get(&index).copied().unwrap_or(1);
        let after = if before == 0 { 0 } else { count };
        self.check_recipient_count(after as i64 - before as i64)?;
        self.staged.slots.insert(index, after);
        Ok(())
    }

    fn stage_sender(&mut self, to: Option<Address>) -> Result<(), String> {
        check_envelope_is_open(self.hook)?;
        if !self.terms.grants.edit.contains(&EditGrant::Sender) {
            return Err("no grant: add \"sender\" to grants.edit of this plugin".to_owned());
        }
        let sender = match to {
            None => ReversePath::Null,
            Some(address) => ReversePath::Mailbox(check_address(&address)?),
        };
        self.staged.push(Edit::Envelope(EnvelopeEdit::Sender(sender)))
    }

    fn stage_recipient(&mut self, to: &Address) -> Result<(), String> {
        self.check_recipients_grant()?;
        let mailbox = check_address(to)?;
        self.check_recipient_count(1)?;
        self.staged.push(Edit::Envelope(EnvelopeEdit::AddRecipient(mailbox)))
    }

    fn stage_recipient_removal(&mut self, index: u32) -> Result<(), String> {
        let hook = self.check_recipients_grant()?;
        if hook == Hook::Rcpt {
            return Err("at the rcpt hook a recipient is not removed; answer discard instead".to_owned());
        }
        self.check_index(hook, index)?;
        self.check_slot(index, 0)?;
        self.staged.push(Edit::Envelope(EnvelopeEdit::RemoveRecipient(index)))
    }

    fn stage_redirect(&mut self, index: u32, to: &[Address]) -> Result<(), String> {
        let hook = self.check_recipients_grant()?;
        self.check_index(hook, index)?;
        if to.is_empty() || to.len() > REDIRECTS_MAX {
            return Err(format!("a recipient is redirected to 1 to {REDIRECTS_MAX} mailboxes"));
        }
        let mailboxes = to.iter().map(check_address).collect::<Result<Vec<_>, _>>()?;
        self.check_slot(index, mailboxes.len())?;
        self.staged.push(Edit::Envelope(EnvelopeEdit::Redirect(index, mailboxes)))
    }

    fn stage_stream(&mut self, name: String) -> Result<(), String> {
        check_envelope_is_open(self.hook)?;
        check_name(&name)?;
        self.staged.push(Edit::Envelope(EnvelopeEdit::Stream(name)))
    }

    fn stage_priority(&mut self, priority: i8) -> Result<(), String> {
        check_envelope_is_open(self.hook)?;
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority) {
            return Err(format!("a priority is a number from -{PRIORITY_MAX} to {PRIORITY_MAX}"));
        }
        self.staged.push(Edit::Envelope(EnvelopeEdit::Priority(priority)))
    }

    fn stage_quarantine(&mut self, reason: &str) -> Result<(), String> {
        check_envelope_is_open(self.hook)?;
        self.staged.push(Edit::Envelope(EnvelopeEdit::Quarantine(sanitize(reason, TEXT_OCTETS_MAX))))
    }

    fn stage_tag(&mut self, name: String, value: &str) -> Result<(), String> {
        check_envelope_is_open(self.hook)?;
        check_name(&name)?;
        self.check_remarks(self.call.envelope.tags.len())?;
        self.staged.push(Edit::Envelope(EnvelopeEdit::Tag(name, sanitize(value, TEXT_OCTETS_MAX))))
    }

    fn stage_score(&mut self, symbol: String, points: f64) -> Result<(), String> {
        check_envelope_is_open(self.hook)?;
        check_name(&symbol)?;
        if !points.is_finite() {
            return Err("points are a finite number".to_owned());
        }
        self.check_remarks(self.call.envelope.scores.len())?;
        self.staged.push(Edit::Envelope(EnvelopeEdit::Score(symbol, points)))?;
        self.staged.points += points;
        Ok(())
    }

    fn check_remarks(&mut self, there_already: usize) -> Result<(), String> {
        if there_already + self.staged.remarks >= REMARKS_MAX {
            return Err(format!("a message has at most {REMARKS_MAX} tags and scores"));
        }
        self.staged.remarks += 1;
        Ok(())
    }

    fn stage_note(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<(), String> {
        check_envelope_is_open(self.hook)?;
        let key = self.check_note_key(key)?;
        let in_use = self.call.envelope.notes.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.staged.push_note(key, value, in_use)
    }
}

impl Host for State {
    fn id(&mut self) -> wasmtime::Result<String> {
        self.charge()?;
        let is_there = matches!(self.hook, Some(Hook::Rcpt | Hook::Data | Hook::Route | Hook::Bounce));
        Ok(if is_there { self.call.envelope.id.to_string() } else { String::new() })
    }

    fn tenant(&mut self) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        Ok(self.call.envelope.tenant.clone())
    }

    fn message_stream(&mut self) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        Ok(self.call.envelope.stream.clone())
    }

    fn sender(&mut self) -> wasmtime::Result<Option<Address>> {
        self.charge()?;
        Ok(self.call.envelope.sender.mailbox().map(ask::address))
    }

    fn sender_params(&mut self) -> wasmtime::Result<Vec<Param>> {
        self.charge()?;
        Ok(ask::parameters(&self.call.sender_parameters))
    }

    fn recipient_count(&mut self) -> wasmtime::Result<u32> {
        self.charge()?;
        Ok(u32::try_from(self.call.envelope.recipients.len()).unwrap_or(u32::MAX))
    }

    fn recipient(&mut self, index: u32) -> wasmtime::Result<Option<Address>> {
        self.charge()?;
        let recipient = self.call.envelope.recipients.get(index as usize);
        Ok(recipient.map(|recipient| ask::address(&recipient.address)))
    }

    fn recipient_params(&mut self, index: u32) -> wasmtime::Result<Vec<Param>> {
        self.charge()?;
        let parameters = self.call.recipient_parameters.get(index as usize);
        Ok(parameters.map(|parameters| ask::parameters(parameters)).unwrap_or_default())
    }

    fn set_sender(&mut self, to: Option<Address>) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_sender(to);
        self.counted(result)
    }

    fn add_recipient(&mut self, to: Address) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_recipient(&to);
        self.counted(result)
    }

    fn remove_recipient(&mut self, index: u32) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_recipient_removal(index);
        self.counted(result)
    }

    fn redirect(&mut self, index: u32, to: Vec<Address>) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_redirect(index, &to);
        self.counted(result)
    }

    fn set_message_stream(&mut self, name: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_stream(name);
        self.counted(result)
    }

    fn priority(&mut self) -> wasmtime::Result<i8> {
        self.charge()?;
        Ok(self.call.envelope.priority)
    }

    fn set_priority(&mut self, priority: i8) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_priority(priority);
        self.counted(result)
    }

    fn quarantine(&mut self, reason: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_quarantine(&reason);
        self.counted(result)
    }

    fn tag(&mut self, name: String, value: String) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_tag(name, &value);
        self.counted(result)
    }

    fn score(&mut self, symbol: String, points: f64) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_score(symbol, points);
        self.counted(result)
    }

    fn total_score(&mut self) -> wasmtime::Result<f64> {
        self.charge()?;
        Ok(self.call.envelope.total_score() + self.staged.points)
    }

    fn note(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge()?;
        let key = self.note_key(&key);
        let stored =
            || self.call.envelope.notes.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone());
        let value = self.staged.note(&key).unwrap_or_else(stored);
        self.charge_read(value.as_ref().map_or(0, Vec::len))?;
        Ok(value)
    }

    fn set_note(&mut self, key: String, value: Option<Vec<u8>>) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_note(&key, value);
        self.counted(result)
    }
}

fn check_address(address: &Address) -> Result<Mailbox, String> {
    let domain: Domain =
        address.domain.parse().map_err(|error| format!("{error}: the domain of an address"))?;
    Mailbox::new(&address.local, domain).map_err(|error| format!("not an address: {error}"))
}

/// A name of letters, digits and a few signs: it becomes a label of metrics, queues and logs.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_valid = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_OCTETS_MAX || !name.bytes().all(is_valid) {
        return Err(format!("a name has 1 to {NAME_OCTETS_MAX} letters, digits, \"-\", \"_\" or \".\""));
    }
    Ok(())
}
