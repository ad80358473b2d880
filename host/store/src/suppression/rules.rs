//! What makes entries, whose mail they are asked about for, and for how long they hold. Settings of an operator, as checked.

use std::collections::HashSet;
use std::time::Duration;

use baton_mail::{Domain, Envelope, FailureClass, Mailbox, MessageId, Outcome, Phase, Status, UnixMs};

use super::{Change, NewEntry, Reason, Scope, Sender, Suppress};

/// Whose failures and complaints make entries by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Automatic {
    /// Nobody's.
    Off,
    /// Those about mail of a tenant.
    #[default]
    Tenants,
    /// Those about all mail that goes out.
    All,
}

/// How far an entry reaches that follows from a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Everybody's mail.
    Global,
    /// The tenant's; everybody's where the message is no tenant's.
    #[default]
    Tenant,
    /// The stream's; the tenant's where the message is of no stream.
    Stream,
}

impl Reach {
    /// The scope for a message of this tenant and stream.
    pub fn scope(self, tenant: Option<&str>, stream: Option<&str>) -> Scope {
        match (self, stream) {
            (Reach::Global, _) => Scope::GLOBAL,
            (Reach::Stream, Some(stream)) => Scope::stream(tenant, stream),
            (Reach::Tenant | Reach::Stream, _) => Scope::tenant(tenant),
        }
    }
}

/// The rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whose failures and complaints make entries.
    pub automatic: Automatic,
    /// Domains that we are responsible for: mail to them is delivered, not sent out, and nobody is asked.
    pub local_domains: HashSet<Domain>,
    /// Streams that mail goes by which the recipient asked for: unsubscriptions from more than them do not stop it.
    pub ignore_unsubscribe: HashSet<String>,
    /// How far bounces reach.
    pub bounce_reach: Reach,
    /// How far complaints reach.
    pub complaint_reach: Reach,
    /// Failures for good of these classes make an entry at once.
    pub hard_classes: Vec<FailureClass>,
    /// Failures of these classes are counted, and those of `hard_classes` that were not for good.
    pub soft_classes: Vec<FailureClass>,
    /// So many of them make an entry.
    pub soft_bounces: u32,
    /// When they come within this time.
    pub soft_within: Duration,
    /// For how long entries hold, by reason; none for ever.
    pub lifetimes: [Option<Duration>; Reason::ALL.len()],
}

/// Classes that say something about us or about the message, never about the mailbox: no setting makes entries of them.
pub const NEVER: [FailureClass; 10] = [
    FailureClass::Unknown,
    FailureClass::Content,
    FailureClass::TooLarge,
    FailureClass::Policy,
    FailureClass::BlockSource,
    FailureClass::Rate,
    FailureClass::Tls,
    FailureClass::Protocol,
    FailureClass::Loop,
    FailureClass::Expired,
];

impl Default for Rules {
    fn default() -> Rules {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        Rules {
            automatic: Automatic::default(),
            local_domains: HashSet::new(),
            ignore_unsubscribe: HashSet::new(),
            bounce_reach: Reach::Tenant,
            complaint_reach: Reach::Tenant,
            hard_classes: vec![FailureClass::BadMailbox],
            soft_classes: vec![FailureClass::Quota, FailureClass::BadDomain],
            soft_bounces: 3,
            soft_within: Duration::from_secs(14 * 86_400),
            // In the order of the reasons: an address that was given up may be somebody else's after a year.
            lifetimes: [days(365), days(30), None, None, None, None],
        }
    }
}

impl Rules {
    /// Whose mail it is, for questions.
    pub fn sender<'a>(&self, tenant: Option<&'a str>, stream: Option<&'a str>) -> Sender<'a> {
        let ignores_unsubscribe = stream.is_some_and(|stream| self.ignore_unsubscribe.contains(stream));
        Sender { tenant, stream, ignores_unsubscribe }
    }

    /// True when the lists are asked about mail from this envelope: somebody sends it out through us. Reports are not, nor is
    /// what the relay itself wrote.
    pub fn are_for(&self, envelope: &Envelope) -> bool {
        envelope.sender.mailbox().is_some() && !envelope.origin.is_internal()
    }

    /// True when they are asked about this recipient.
    pub fn are_about(&self, recipient: &Mailbox) -> bool {
        !self.local_domains.contains(recipient.domain())
    }

    /// When an entry that is made now ends.
    pub fn until(&self, reason: Reason, now: UnixMs) -> Option<UnixMs> {
        let at = Reason::ALL.iter().position(|one| *one == reason)?;
        self.lifetimes.get(at).copied().flatten().map(|lifetime| now.plus(lifetime))
    }

    /// What an entry for a reason says when it is made now.
    pub fn entry(&self, reason: Reason, message: Option<MessageId>, by: String, now: UnixMs) -> NewEntry {
        NewEntry { reason, until: self.until(reason, now), message, since: None, by, note: String::new() }
    }

    /// Whether failures and complaints about mail of this tenant make entries.
    pub fn make_entries_for(&self, tenant: Option<&str>) -> bool {
        match self.automatic {
            Automatic::Off => false,
            Automatic::Tenants => tenant.is_some(),
            Automatic::All => true,
        }
    }

    /// What follows for the lists from the end of a delivery; `before` is why it was put off the last time.
    pub fn after_outcome(
        &self,
        envelope: &Envelope,
        recipient: &Mailbox,
        outcome: &Outcome,
        before: Option<&Status>,
        now: UnixMs,
    ) -> Option<Suppress> {
        let tenant = envelope.tenant.as_deref();
        if !self.make_entries_for(tenant) || !self.are_for(envelope) || !self.are_about(recipient) {
            return None;
        }
        let Outcome::Failed(status) = outcome else { return None };
        let scope = self.bounce_reach.scope(tenant, envelope.stream.as_deref());
        self.after_failure(scope, recipient, status, before, Some(envelope.id), now)
    }

    /// What follows for the lists from a failure that was told to us, in a scope.
    pub fn after_failure(
        &self,
        scope: Scope,
        recipient: &Mailbox,
        status: &Status,
        before: Option<&Status>,
        message: Option<MessageId>,
        now: UnixMs,
    ) -> Option<Suppress> {
        let is_late = status.phase == Phase::Expired || status.class == FailureClass::Expired;
        // Why it was late is what the last attempt met.
        let told = if is_late { before.unwrap_or(status) } else { status };
        if NEVER.contains(&told.class) || told.phase == Phase::Policy && told.remote.is_none() {
            return None;
        }
        let is_hard = self.hard_classes.contains(&told.class);
        let by = told.to_string();
        let change = if is_hard && !is_late && told.enhanced.0 == 5 {
            Change::Add(self.entry(Reason::HardBounce, message, by, now))
        } else if is_hard || self.soft_classes.contains(&told.class) {
            let entry = self.entry(Reason::SoftBounce, message, by, now);
            Change::SoftBounce { count: self.soft_bounces, within: self.soft_within, entry }
        } else {
            return None;
        };
        Some(Suppress { scope, address: recipient.clone(), change })
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::status::Remote;
    use baton_mail::{EnhancedCode, Origin, ReversePath};

    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn envelope(tenant: Option<&str>) -> Envelope {
        let sender = ReversePath::Mailbox("news@acme.example".parse().unwrap());
        let origin = Origin { listener: "smtp".to_owned(), ..Origin::internal() };
        let mut envelope = Envelope::new(MessageId::new(NOW), NOW, Duration::from_secs(60), sender, origin);
        envelope.tenant = tenant.map(str::to_owned);
        envelope.stream = Some("news".to_owned());
        envelope
    }

    fn status(class: FailureClass, digit: u8) -> Status {
        Status::ours(Phase::Rcpt, class, EnhancedCode(digit, 1, 1), "as told")
            .at(Remote::named("mx.b.example"))
    }

    fn ann() -> Mailbox {
        "ann@b.example".parse().unwrap()
    }

    fn follows(rules: &Rules, class: FailureClass, digit: u8) -> Option<Reason> {
        let failed = Outcome::Failed(status(class, digit));
        let change = rules.after_outcome(&envelope(Some("acme")), &ann(), &failed, None, NOW)?.change;
        match change {
            Change::Add(entry) | Change::SoftBounce { entry, .. } => Some(entry.reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_is_said_about_the_mailbox_counts() {
        let rules = Rules::default();
        assert_eq!(follows(&rules, FailureClass::BadMailbox, 5), Some(Reason::HardBounce));
        assert_eq!(follows(&rules, FailureClass::BadMailbox, 4), Some(Reason::SoftBounce));
        assert_eq!(follows(&rules, FailureClass::Quota, 5), Some(Reason::SoftBounce));
        let everything = FailureClass::ALL.to_vec();
        let greedy = Rules { hard_classes: everything.clone(), soft_classes: everything, ..rules };
        for class in NEVER {
            assert_eq!(follows(&greedy, class, 5), None, "{class}");
        }
    }

    #[test]
    fn what_came_too_late_is_what_the_last_attempt_met() {
        let rules = Rules::default();
        let late = Status { phase: Phase::Expired, ..status(FailureClass::Expired, 4) };
        let after = |before: &Status| {
            rules.after_failure(Scope::GLOBAL, &ann(), &late, Some(before), None, NOW).is_some()
        };
        assert!(after(&status(FailureClass::Quota, 4)));
        assert!(!after(&status(FailureClass::BlockSource, 4)) && !after(&status(FailureClass::Network, 4)));
    }

    #[test]
    fn whose_mail_it_is_decides_whether_and_where() {
        let rules = Rules { local_domains: ["b.example".parse().unwrap()].into(), ..Rules::default() };
        assert_eq!(follows(&rules, FailureClass::BadMailbox, 5), None, "it is delivered, not sent out");
        let rules = Rules::default();
        let failed = Outcome::Failed(status(FailureClass::BadMailbox, 5));
        assert_eq!(rules.after_outcome(&envelope(None), &ann(), &failed, None, NOW), None);
        let all = Rules { automatic: Automatic::All, bounce_reach: Reach::Stream, ..rules };
        let scope = |envelope: &Envelope| {
            all.after_outcome(envelope, &ann(), &failed, None, NOW).map(|one| one.scope)
        };
        assert_eq!(scope(&envelope(None)), Some(Scope::stream(None, "news")));
        assert_eq!(scope(&envelope(Some("acme"))), Some(Scope::stream(Some("acme"), "news")));
        let report = Envelope { sender: ReversePath::Null, ..envelope(Some("acme")) };
        assert_eq!(scope(&report), None);
        assert_eq!(Reach::Stream.scope(Some("acme"), None), Scope::tenant(Some("acme")));
    }

    #[test]
    fn an_end_by_an_operator_says_nothing_about_the_mailbox() {
        let rules = Rules { automatic: Automatic::All, ..Rules::default() };
        let ours = Status::ours(Phase::Policy, FailureClass::BadMailbox, EnhancedCode(5, 7, 0), "no");
        assert_eq!(rules.after_failure(Scope::GLOBAL, &ann(), &ours, None, None, NOW), None);
    }
}
