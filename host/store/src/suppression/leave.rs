//! Whoever wants no more mail, by whatever way it says so.

use baton_mail::event::{Event, Visitor, What};
use baton_mail::{Mailbox, MessageId, UnixMs};

use super::{Change, NewEntry, Reason, Scope, Suppress};
use crate::error::StoreError;
use crate::store::Store;

/// A recipient that unsubscribes.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// Who.
    pub recipient: Mailbox,
    /// Whose mail is to stop.
    pub scope: Scope,
    /// The message by which it does.
    pub message: MessageId,
    /// How: `one-click`, `page` or `mail`.
    pub how: &'static str,
    /// Who asked, when it was a web request.
    pub visitor: Option<Visitor>,
    /// When.
    pub at: UnixMs,
}

impl Store {
    /// Writes the entry, and the event into the message's story; on disk when this returns. False when it was so before.
    ///
    /// # Errors
    /// When the store can not read or write.
    pub async fn unsubscribe(&self, leaving: Leaving) -> Result<bool, StoreError> {
        let Leaving { recipient, scope, message, how, visitor, at } = leaving;
        let lists = self.suppression();
        let before = lists.get(&scope, &recipient).await?;
        let is_new = before.is_none_or(|listed| listed.entry.reason != Reason::Unsubscribe);
        let entry = NewEntry {
            reason: Reason::Unsubscribe,
            until: None,
            message: Some(message),
            since: None,
            by: how.to_owned(),
            note: String::new(),
        };
        let (from, how) = (scope.to_string(), how.to_owned());
        let change = Suppress { scope, address: recipient.clone(), change: Change::Add(entry) };
        // Once more changes nothing that a history should tell, and what was forgotten is not written down anew.
        let is_told = is_new && self.message(message).await.is_ok_and(|found| found.is_some());
        let what = What::Unsubscribed { recipient, from, how, visitor };
        let events = if is_told { vec![Event { message, at, what }] } else { Vec::new() };
        lists.change(vec![change], events).await?;
        Ok(is_new)
    }
}
