//! What the account of a session may do: in whose name it sends, and how much.

use std::sync::Arc;

use baton_accounts::{QuotaHolder, QuotaRefusal};
use baton_mail::header::{HeaderIndex, addresses};
use baton_mail::tenant::{Stream, Tenant};
use baton_mail::{Account, Mailbox, ReversePath};
use baton_store::catalog::Row;
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

    /// Whose mail the session is for, where the catalog knows that tenant.
    pub(super) fn tenant(&self) -> Option<Arc<Row<Tenant>>> {
        self.listener.deps.store.tenants().tenant(self.account()?.tenant.as_deref()?)
    }

    /// Which stream, where the catalog knows it.
    pub(super) fn stream(&self) -> Option<Arc<Row<Stream>>> {
        let account = self.account()?;
        self.listener.deps.store.tenants().stream(account.tenant.as_deref(), account.stream.as_deref()?)
    }

    /// Whose quotas the session's mail is counted against: of the account, its tenant, its stream.
    fn quota_holders(&self) -> Vec<QuotaHolder> {
        let Some(account) = self.account() else { return Vec::new() };
        let tenant = account.tenant.as_deref();
        let of_account = (!account.quota.is_unbounded()).then(|| QuotaHolder::account(account));
        let of_tenant = self
            .tenant()
            .filter(|row| !row.value.quota.is_unbounded())
            .and_then(|row| Some(QuotaHolder::tenant(tenant?, row.value.quota)));
        let of_stream = self
            .stream()
            .filter(|row| !row.value.quota.is_unbounded())
            .and_then(|row| Some(QuotaHolder::stream(tenant, account.stream.as_deref()?, row.value.quota)));
        [of_account, of_tenant, of_stream].into_iter().flatten().collect()
    }

    /// True when only the store can say what the account may do now: quotas, or what was changed since AUTH.
    pub(super) fn must_look_at_user(&self) -> bool {
        self.user.as_ref().is_some_and(|user| {
            !self.quota_holders().is_empty()
                || (!user.is_program
                    && user.revision != self.listener.deps.authenticator.accounts().revision())
        })
    }

    /// Whether its tenant and its stream may send at all.
    pub(super) fn check_tenant(&self) -> Result<(), Refusal> {
        if let Some(reason) = self.tenant().and_then(|row| row.value.suspended.clone()) {
            return Err(Refusal::TenantSuspended(reason));
        }
        match self.stream() {
            Some(row) if row.value.disabled => Err(Refusal::StreamDisabled),
            _ => Ok(()),
        }
    }

    /// True when the account may send in the name of `sender`, and its tenant too.
    fn may_send_as(&self, account: &Account, sender: &Mailbox) -> bool {
        account.may_send_as(sender) && self.tenant().is_none_or(|row| row.value.owns(sender))
    }

    /// Looks at the account before a transaction: nothing that was taken from it lives on in a session that is open, and
    /// there is something left to send.
    pub(super) async fn check_user(&mut self) -> Result<(), Refusal> {
        let Some(user) = &self.user else { return Ok(()) };
        let authenticator = self.listener.deps.authenticator.clone();
        let revision = authenticator.accounts().revision();
        if !user.is_program && user.revision != revision {
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
            self.user = Some(User { account, revision, is_kept, is_program: false });
        }
        for holder in self.quota_holders() {
            authenticator.check_quota(&holder, 1, 0).await?;
        }
        Ok(())
    }

    /// A user's return path is one of its own. The null path is everybody's.
    pub(super) fn check_sender(&self, sender: &ReversePath) -> Result<(), Refusal> {
        match (self.account(), sender.mailbox()) {
            (Some(account), Some(mailbox)) if !self.may_send_as(account, mailbox) => {
                Err(Refusal::SenderNotAllowed(mailbox.clone()))
            }
            _ => Ok(()),
        }
    }

    /// So is every address in `From`, of which there is one field with at least one address.
    pub(super) fn check_authors(&self, policy: &Policy, header: &Bytes) -> Result<(), Refusal> {
        let is_free = |account: &Account| account.may_send_as_anybody() && self.tenant().is_none();
        let Some(account) = self.account().filter(|account| !is_free(account)) else {
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
            if !self.may_send_as(account, &author) {
                return Err(Refusal::AuthorNotAllowed(author));
            }
        }
        Ok(())
    }

    /// True when recipients of this session are counted.
    pub(super) fn has_recipient_quota(&self) -> bool {
        self.quota_holders().iter().any(QuotaHolder::counts_recipients)
    }

    /// Whether one recipient more than `known` may be named.
    pub(super) async fn check_recipient_quota(&self, known: usize) -> Result<(), Refusal> {
        let wanted = u32::try_from(known).unwrap_or(u32::MAX).saturating_add(1);
        for holder in self.quota_holders().iter().filter(|holder| holder.counts_recipients()) {
            let checked = self.listener.deps.authenticator.check_quota(holder, 0, wanted).await;
            checked.map_err(|refusal| match refusal {
                QuotaRefusal::Used { .. } => Refusal::TooManyForQuota(refusal),
                QuotaRefusal::Unavailable(_) => Refusal::Internal,
            })?;
        }
        Ok(())
    }

    /// Counts the message against all quotas, or against none when one of them is used up. A trial only looks.
    pub(super) async fn take_quota(&self, draft: &Draft) -> Result<(), Refusal> {
        let recipients = u32::try_from(draft.recipients_told).unwrap_or(u32::MAX);
        let (authenticator, holders) = (&self.listener.deps.authenticator, self.quota_holders());
        for holder in &holders {
            authenticator.check_quota(holder, 1, recipients).await?;
        }
        for holder in holders.iter().filter(|_| !draft.is_trial) {
            authenticator.take_quota(holder, recipients).await?;
        }
        Ok(())
    }

    /// Whose mail this is, for the envelope.
    pub(super) fn tenant_and_stream(&self) -> (Option<String>, Option<String>) {
        self.account().map(|account| (account.tenant.clone(), account.stream.clone())).unwrap_or_default()
    }
}

impl From<QuotaRefusal> for Refusal {
    fn from(refusal: QuotaRefusal) -> Refusal {
        match refusal {
            QuotaRefusal::Used { .. } => Refusal::QuotaUsed(refusal),
            QuotaRefusal::Unavailable(_) => Refusal::Internal,
        }
    }
}
