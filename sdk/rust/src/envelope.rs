//! The envelope of the message at hand.

use crate::host::{CurrentHost, Host};
use crate::{Address, Parameter, Refused};

/// Sender, recipients, and what will be done with the message. Read-only in `route` and `bounce`.
///
/// Indexes are those at the beginning of the call, whatever was removed before.
pub struct Envelope<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Envelope<'_> {
    /// The message's name, for logs and `baton explain`.
    pub fn id(&self) -> String {
        self.host.envelope_id()
    }

    /// Whose mail it is, when an account says so.
    pub fn tenant(&self) -> Option<String> {
        self.host.envelope_tenant()
    }

    /// Which stream of that tenant.
    pub fn message_stream(&self) -> Option<String> {
        self.host.envelope_stream()
    }

    /// The return path; none is the null sender of reports.
    pub fn sender(&self) -> Option<Address> {
        self.host.envelope_sender()
    }

    /// The parameters of MAIL FROM.
    pub fn sender_parameters(&self) -> Vec<Parameter> {
        self.host.envelope_sender_parameters()
    }

    /// How many recipients there are. In `rcpt` the recipient at hand is the last of them.
    pub fn recipient_count(&self) -> u32 {
        self.host.envelope_recipient_count()
    }

    /// One recipient, by index from 0.
    pub fn recipient(&self, index: u32) -> Option<Address> {
        self.host.envelope_recipient(index)
    }

    /// The parameters of that recipient's RCPT TO.
    pub fn recipient_parameters(&self, index: u32) -> Vec<Parameter> {
        self.host.envelope_recipient_parameters(index)
    }

    /// All recipients.
    pub fn recipients(&self) -> Vec<Address> {
        (0..self.recipient_count()).filter_map(|index| self.recipient(index)).collect()
    }

    /// Changes the return path (grant `edit = ["sender"]`).
    pub fn set_sender(&self, to: Option<&Address>) -> Result<(), Refused> {
        self.host.envelope_set_sender(to)
    }

    /// Adds a recipient (grant `edit = ["recipients"]`).
    pub fn add_recipient(&self, to: &Address) -> Result<(), Refused> {
        self.host.envelope_add_recipient(to)
    }

    /// Removes a recipient (grant `edit = ["recipients"]`).
    pub fn remove_recipient(&self, index: u32) -> Result<(), Refused> {
        self.host.envelope_remove_recipient(index)
    }

    /// Puts other mailboxes in the place of a recipient: alias, list (grant `edit = ["recipients"]`).
    pub fn redirect(&self, index: u32, to: &[Address]) -> Result<(), Refused> {
        self.host.envelope_redirect(index, to)
    }

    /// The same for the recipient that `rcpt` is asked about.
    pub fn redirect_last(&self, to: &[Address]) -> Result<(), Refused> {
        match self.recipient_count().checked_sub(1) {
            Some(index) => self.redirect(index, to),
            None => Err(Refused("there is no recipient to redirect".to_owned())),
        }
    }

    /// Puts the message into a stream.
    pub fn set_message_stream(&self, name: &str) -> Result<(), Refused> {
        self.host.envelope_set_stream(name)
    }

    /// Its priority, -9 to 9 (RFC 6710); 0 unless someone set it.
    pub fn priority(&self) -> i8 {
        self.host.envelope_priority()
    }

    /// Sets the priority, -9 to 9: what is higher leaves the queue first.
    pub fn set_priority(&self, priority: i8) -> Result<(), Refused> {
        self.host.envelope_set_priority(priority)
    }

    /// Holds the message for an operator, whatever is decided later, unless it is refused.
    pub fn quarantine(&self, reason: &str) -> Result<(), Refused> {
        self.host.envelope_quarantine(reason)
    }

    /// Sets a tag, which stays with the message and is shown to operators.
    pub fn tag(&self, name: &str, value: &str) -> Result<(), Refused> {
        self.host.envelope_tag(name, value)
    }

    /// Adds points under a symbol; they add up over all plugins.
    pub fn score(&self, symbol: &str, points: f64) -> Result<(), Refused> {
        self.host.envelope_score(symbol, points)
    }

    /// The sum of all points so far, those of this call included.
    pub fn total_score(&self) -> f64 {
        self.host.envelope_total_score()
    }

    /// Reads a note of this message.
    pub fn note(&self, key: &str) -> Option<Vec<u8>> {
        self.host.envelope_note(key)
    }

    /// Sets or removes a note, which travels with the message to the later hooks. It is the plugin's own, unless its
    /// key begins with `shared/`.
    pub fn set_note(&self, key: &str, value: Option<&[u8]>) -> Result<(), Refused> {
        self.host.envelope_set_note(key, value)
    }
}
