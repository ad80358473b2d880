//! What came back about mail that we sent: bounces and feedback are attached to the message that they are about, and make
//! entries of the suppression lists by the rules. Answers that no person wrote are told apart.
//!
//! Invariant: nothing follows from a report that is about no message of ours to that recipient.
//!
//! Invariant: the event in the message's story and the entry are one batch.

use std::collections::HashSet;

use baton_mail::bounce::{Action, Bounce, Clues, Feedback, Incoming};
use baton_mail::classify::Classes;
use baton_mail::event::{Event, What};
use baton_mail::{Domain, Mailbox, MessageId, Status, UnixMs};
use baton_store::suppression::{Change, NewEntry, Reason, Suppress};
use baton_store::{FoundMessage, SearchFilter, Store, StoreError};

/// Where bounces and feedback come in, and how they are read.
#[derive(Clone, Debug)]
pub struct ReturnSettings {
    /// The mailboxes for bounces, beside the return paths that name a recipient.
    pub bounces: Vec<Mailbox>,
    /// The mailboxes for feedback.
    pub complaints: Vec<Mailbox>,
    /// Domains of return paths that name the recipient.
    pub verp_domains: HashSet<Domain>,
    /// What words mean.
    pub classes: Classes,
    /// A report that names no message may be about one of the last so many milliseconds.
    pub attach_ms: u64,
}

/// What was found out about a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    /// `attached`, `known`, `unknown` or `none`.
    pub(crate) result: &'static str,
    /// In words, for the story of the report.
    pub(crate) words: String,
}

impl Default for ReturnSettings {
    fn default() -> ReturnSettings {
        ReturnSettings {
            bounces: Vec::new(),
            complaints: Vec::new(),
            verp_domains: HashSet::new(),
            classes: Classes::default(),
            attach_ms: 7 * 86_400_000,
        }
    }
}

impl ReturnSettings {
    /// True when mail for this address is read.
    pub(crate) fn is_for(&self, address: &Mailbox) -> bool {
        let is_own = |own: &Mailbox| same(own, address);
        self.bounces.iter().chain(&self.complaints).any(is_own) || self.named(address).is_some()
    }

    /// Sender and recipient in a return path that names both.
    fn named(&self, address: &Mailbox) -> Option<(Mailbox, Mailbox)> {
        if !self.verp_domains.contains(address.domain()) {
            return None;
        }
        let (sender, recipient) = address.local().rsplit_once('+')?;
        let (local, domain) = recipient.rsplit_once('=')?;
        let recipient = Mailbox::new(local, domain.parse().ok()?).ok()?;
        Some((Mailbox::new(sender, address.domain().clone()).ok()?, recipient))
    }
}

/// Attaches what came back to what was sent.
pub(crate) struct Attaching<'a> {
    pub(crate) store: &'a Store,
    pub(crate) settings: &'a ReturnSettings,
    pub(crate) now: UnixMs,
    /// To whom it came.
    pub(crate) addressed: Vec<Mailbox>,
}

impl Attaching<'_> {
    /// What follows from it, on disk when this returns.
    pub(crate) async fn attach(&self, incoming: Incoming) -> Result<Attached, StoreError> {
        match incoming {
            Incoming::Bounce(bounce) => self.bounce(bounce).await,
            Incoming::Feedback(feedback) => self.feedback(feedback).await,
            Incoming::AutoReply(sign) => {
                Ok(Attached { result: "none", words: format!("an answer that no person wrote: {sign}") })
            }
            Incoming::Other => {
                Ok(Attached { result: "none", words: "neither a bounce nor feedback".to_owned() })
            }
        }
    }

    async fn bounce(&self, bounce: Bounce) -> Result<Attached, StoreError> {
        let mut tally = Tally::default();
        for copy in bounce.copies {
            if copy.action != Action::Failed {
                tally.late += 1;
                continue;
            }
            let mut names: Vec<Mailbox> = copy.recipient.into_iter().chain(copy.original).collect();
            names.extend(self.verp().map(|(_, recipient)| recipient));
            let Some(found) = self.find(&bounce.clues, &names).await? else {
                tally.unknown += 1;
                continue;
            };
            if found.is_returned {
                tally.known += 1;
                continue;
            }
            tally.attached.push(found.message);
            let by = copy.status.remote.as_ref().map(|remote| remote.host.clone()).unwrap_or_default();
            tally.suppress.extend(self.after_bounce(&found, &copy.status));
            let what = What::CameBack { recipient: found.recipient, status: copy.status, by };
            tally.events.push(Event { message: found.message, at: self.now, what });
        }
        self.write(tally, "a bounce").await
    }

    async fn feedback(&self, feedback: Feedback) -> Result<Attached, StoreError> {
        let mut tally = Tally::default();
        let found = self.find(&feedback.clues, &feedback.recipients).await?;
        match found {
            None => tally.unknown += 1,
            Some(found) if found.is_complained => tally.known += 1,
            Some(found) => {
                tally.attached.push(found.message);
                if feedback.is_complaint() {
                    tally.suppress.extend(self.after_complaint(&found, &feedback));
                }
                let (recipient, kind, by) = (Some(found.recipient), feedback.kind, feedback.by);
                let what = What::Complained { recipient, feedback: kind, by };
                tally.events.push(Event { message: found.message, at: self.now, what });
            }
        }
        self.write(tally, "feedback").await
    }

    async fn write(&self, tally: Tally, kind: &str) -> Result<Attached, StoreError> {
        let (result, words) = (tally.result(), tally.words(kind));
        if !tally.events.is_empty() {
            self.store.suppression().change(tally.suppress, tally.events).await?;
        }
        Ok(Attached { result, words })
    }

    /// What follows for the lists. A report that names no message of ours could be written by anybody who knows the address:
    /// it counts as one that may pass.
    fn after_bounce(&self, found: &Found, status: &Status) -> Option<Suppress> {
        let rules = self.store.suppression().rules();
        let (tenant, stream) = (found.tenant.as_deref(), found.stream.as_deref());
        if !rules.make_entries_for(tenant) || !rules.are_about(&found.recipient) {
            return None;
        }
        let scope = rules.bounce_reach.scope(tenant, stream);
        let message = Some(found.message);
        let suppress = rules.after_failure(scope, &found.recipient, status, None, message, self.now)?;
        Some(match suppress.change {
            Change::Add(entry) if !found.is_sure => {
                let until = rules.until(Reason::SoftBounce, self.now);
                let entry = NewEntry { reason: Reason::SoftBounce, until, ..entry };
                let change =
                    Change::SoftBounce { count: rules.soft_bounces, within: rules.soft_within, entry };
                Suppress { change, ..suppress }
            }
            _ => suppress,
        })
    }

    fn after_complaint(&self, found: &Found, feedback: &Feedback) -> Option<Suppress> {
        let rules = self.store.suppression().rules();
        let (tenant, stream) = (found.tenant.as_deref(), found.stream.as_deref());
        // Only what names a message of ours: anybody can write that somebody complained.
        if !found.is_sure || !rules.make_entries_for(tenant) || !rules.are_about(&found.recipient) {
            return None;
        }
        let by = format!("feedback ({}) by {}", feedback.kind, feedback.by);
        let entry = rules.entry(Reason::Complaint, Some(found.message), by, self.now);
        let scope = rules.complaint_reach.scope(tenant, stream);
        Some(Suppress { scope, address: found.recipient.clone(), change: Change::Add(entry) })
    }

    /// Sender and recipient of the return path that it came to.
    fn verp(&self) -> Option<(Mailbox, Mailbox)> {
        self.addressed.iter().find_map(|address| self.settings.named(address))
    }

    /// The message of ours that it is about: by our own name for it, by its Message-ID, or as the last one to that recipient.
    async fn find(&self, clues: &Clues, names: &[Mailbox]) -> Result<Option<Found>, StoreError> {
        for id in &clues.messages {
            let message = self.store.message(*id).await?;
            if let Some(found) = message.and_then(|message| judge(message, names, true)) {
                return Ok(Some(found));
            }
        }
        for id in &clues.message_ids {
            let filter = SearchFilter { message_id: Some(format!("<{id}>")), ..SearchFilter::default() };
            if let Some(found) = self.search(filter, names, true).await? {
                return Ok(Some(found));
            }
        }
        let since = Some(UnixMs(self.now.0.saturating_sub(self.settings.attach_ms)));
        for name in names {
            let filter = SearchFilter { recipient: Some(name.to_string()), since, ..SearchFilter::default() };
            if let Some(found) = self.search(filter, names, false).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn search(
        &self,
        filter: SearchFilter,
        names: &[Mailbox],
        is_sure: bool,
    ) -> Result<Option<Found>, StoreError> {
        let found = self.store.search(filter, None, CANDIDATES_MAX).await?;
        Ok(found.messages.into_iter().find_map(|message| judge(message, names, is_sure)))
    }
}

/// Whether a message is of ours, and to one of these. One that has a single recipient needs no name where a message was
/// named: reports hide whom they are about.
fn judge(message: FoundMessage, names: &[Mailbox], is_sure: bool) -> Option<Found> {
    let FoundMessage { message, facts, events } = message;
    let (origin, sender, recipients) = events.iter().find_map(|event| match &event.what {
        What::Accepted { origin, sender, recipients, .. } => Some((origin, sender, recipients)),
        _ => None,
    })?;
    // Our own reports were not sent for anybody.
    if sender.mailbox().is_none() || origin.is_internal() {
        return None;
    }
    let named = recipients.iter().find(|one| names.iter().any(|name| same(name, one)));
    let recipient = match (named, recipients.as_slice()) {
        (Some(named), _) => named.clone(),
        (None, [only]) if is_sure && names.is_empty() => only.clone(),
        _ => return None,
    };
    let told_by = |event: &Event| match &event.what {
        What::CameBack { recipient: known, .. } => (same(known, &recipient), false),
        What::Complained { recipient: Some(known), .. } => (false, same(known, &recipient)),
        _ => (false, false),
    };
    let told: Vec<(bool, bool)> = events.iter().map(told_by).collect();
    Some(Found {
        message,
        tenant: facts.tenant.clone(),
        stream: facts.stream.clone(),
        is_returned: told.iter().any(|(returned, _)| *returned),
        is_complained: told.iter().any(|(_, complained)| *complained),
        recipient,
        is_sure,
    })
}

/// A message of ours, and whose copy it is about.
struct Found {
    message: MessageId,
    tenant: Option<String>,
    stream: Option<String>,
    recipient: Mailbox,
    /// The same was told before.
    is_returned: bool,
    is_complained: bool,
    /// The report named the message.
    is_sure: bool,
}

/// Messages that are looked at for one clue.
const CANDIDATES_MAX: usize = 16;

/// What became of the copies of one report.
#[derive(Default)]
struct Tally {
    attached: Vec<MessageId>,
    known: usize,
    unknown: usize,
    late: usize,
    events: Vec<Event>,
    suppress: Vec<Suppress>,
}

impl Tally {
    fn result(&self) -> &'static str {
        match (self.attached.is_empty(), self.known, self.unknown) {
            (false, ..) => "attached",
            (true, 1.., _) => "known",
            (true, 0, 1..) => "unknown",
            (true, 0, 0) => "none",
        }
    }

    fn words(&self, kind: &str) -> String {
        let mut words = vec![];
        if !self.attached.is_empty() {
            let mut messages = self.attached.clone();
            messages.dedup();
            let messages: Vec<_> = messages.iter().map(ToString::to_string).collect();
            words.push(format!("{kind} about {}", messages.join(", ")));
        }
        for (count, text) in [
            (self.known, "known already"),
            (self.unknown, "about no message of ours to that recipient: ignored"),
            (self.late, "not final"),
        ] {
            if count > 0 {
                words.push(format!("{kind} {text} ({count})"));
            }
        }
        words.join("; ")
    }
}

/// Two ways to write an address.
pub(crate) fn same(one: &Mailbox, other: &Mailbox) -> bool {
    one.domain() == other.domain() && one.local().eq_ignore_ascii_case(other.local())
}
