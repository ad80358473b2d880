//! What the account of a session may do: in whose name it sends, and how much.

use std::sync::Arc;

use baton_accounts::QuotaRefusal;
use baton_mail::header::{HeaderIndex, addresses};
use baton_mail::{Account, Mailbox, ReversePath};
use bytes::Bytes;

use super::Session;
use super::auth::User;
use super::draft::Draft;
use crate::Policy;
use crate::replies::Refusal;

impl Session {
    /// The account in the store, where the session is of one.
    fn account(&self) -> Option<&Account> {
        self.user.as_ref().map(|user| &*user.account)
    }

    /// True when only the store can say what the account may do now: its quota, or what was changed since AUTH.
    pub(super) fn must_look_at_user(&self) -> bool {
        self.user.as_ref().is_some_and(|user| {
            !user.account.quota.is_unbounded()
                || user.revision != self.listener.deps.authenticator.accounts().revision()
        })
    }

    /// Looks at the account before a transaction: nothing that was taken from it lives on in a session that is open, and
    /// there is something left to send.
    pub(super) async fn check_user(&mut self) -> Result<(), Refusal> {
        let Some(user) = &self.user else { return Ok(()) };
        let authenticator = self.listener.deps.authenticator.clone();
        let revision = authenticator.accounts().revision();
        if user.revision != revision {
            let now = authenticator.accounts().get(&user.account.name).await;
            let now = now.map_err(|_| Refusal::Internal)?;
            let account = match now {
                None if !user.is_kept => Arc::clone(&user.account),
                Some(now) if !now.disabled && (!user.is_kept || now.secrets == user.account.secrets) => {
                    Arc::new(now)
                }
                _ => return Err(Refusal::AccountChanged),
            };
            let is_kept = user.is_kept;
            self.user = Some(User { account, revision, is_kept });
        }
        match self.account() {
            Some(account) => Ok(authenticator.check_quota(account, 1, 0).await?),
            None => Ok(()),
        }
    }

    /// A user's return path is one of its own. The null path is everybody's.
    pub(super) fn check_sender(&self, sender: &ReversePath) -> Result<(), Refusal> {
        match (self.account(), sender.mailbox()) {
            (Some(account), Some(mailbox)) if !account.may_send_as(mailbox) => {
                Err(Refusal::SenderNotAllowed(mailbox.clone()))
            }
            _ => Ok(()),
        }
    }

    /// So is every address in `From`, of which there is one field with at least one address.
    pub(super) fn check_authors(&self, policy: &Policy, header: &Bytes) -> Result<(), Refusal> {
        let Some(account) = self.account().filter(|account| !account.may_send_as_anybody()) else {
            return Ok(());
        };
        let index = HeaderIndex::scan(header, &policy.mime.header).map_err(|_| Refusal::AuthorUnclear)?;
        let fields = index.all("From");
        let [field] = fields.as_slice() else { return Err(Refusal::AuthorUnclear) };
        let authors = addresses(field);
        if authors.is_empty() {
            return Err(Refusal::AuthorUnclear);
        }
        for (_, address) in authors {
            let author: Mailbox = address.parse().map_err(|_| Refusal::AuthorUnclear)?;
            if !account.may_send_as(&author) {
                return Err(Refusal::AuthorNotAllowed(author));
            }
        }
        Ok(())
    }

    /// True when recipients of this session are counted.
    pub(super) fn has_recipient_quota(&self) -> bool {
        self.account().is_some_and(|account| {
            account.quota.recipients_per_hour.is_some() || account.quota.recipients_per_day.is_some()
        })
    }

    /// Whether the account may name one recipient more than `known`.
    pub(super) async fn check_recipient_quota(&self, known: usize) -> Result<(), Refusal> {
        let Some(account) = self.account().filter(|_| self.has_recipient_quota()) else { return Ok(()) };
        let wanted = u32::try_from(known).unwrap_or(u32::MAX).saturating_add(1);
        let checked = self.listener.deps.authenticator.check_quota(account, 0, wanted).await;
        checked.map_err(|refusal| match refusal {
            QuotaRefusal::Used { .. } => Refusal::TooManyForQuota(refusal.to_string()),
            QuotaRefusal::Unavailable(_) => Refusal::Internal,
        })
    }

    /// Counts the message against the account's quota.
    pub(super) async fn take_quota(&self, draft: &Draft) -> Result<(), Refusal> {
        let Some(account) = self.account().filter(|account| !account.quota.is_unbounded()) else {
            return Ok(());
        };
        let recipients = u32::try_from(draft.recipients_told).unwrap_or(u32::MAX);
        Ok(self.listener.deps.authenticator.take_quota(account, recipients).await?)
    }

    /// Whose mail this is, for the envelope.
    pub(super) fn tenant_and_stream(&self) -> (Option<String>, Option<String>) {
        self.account().map(|account| (account.tenant.clone(), account.stream.clone())).unwrap_or_default()
    }
}

impl From<QuotaRefusal> for Refusal {
    fn from(refusal: QuotaRefusal) -> Refusal {
        match refusal {
            QuotaRefusal::Used { .. } => Refusal::QuotaUsed(refusal.to_string()),
            QuotaRefusal::Unavailable(_) => Refusal::Internal,
        }
    }
}
