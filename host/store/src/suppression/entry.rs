//! What is said about an address: the reasons, whose mail they stop, and what becomes of an entry when another reason comes.

use std::time::Duration;

use baton_mail::{MessageId, UnixMs};
use serde::{Deserialize, Serialize};

/// Why mail is not sent to an address. New ones are added at the end only: records keep their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Its host said for good that there is no such mailbox.
    HardBounce,
    /// Failures that may pass came too often.
    SoftBounce,
    /// Whoever reads it called the mail unwanted.
    Complaint,
    /// Whoever reads it wants no more of this mail.
    Unsubscribe,
    /// An operator, or a program of the tenant, said so.
    Manual,
    /// Nobody reads it but those who look for senders without consent.
    SpamTrap,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 6] = [
        Reason::HardBounce,
        Reason::SoftBounce,
        Reason::Complaint,
        Reason::Unsubscribe,
        Reason::Manual,
        Reason::SpamTrap,
    ];

    /// The word that settings, commands and records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::HardBounce => "hard-bounce",
            Reason::SoftBounce => "soft-bounce",
            Reason::Complaint => "complaint",
            Reason::Unsubscribe => "unsubscribe",
            Reason::Manual => "manual",
            Reason::SpamTrap => "spam-trap",
        }
    }

    /// The reason of that word.
    pub fn from_name(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// True when a person said it, not a mail host: such a person is told nothing more by any automatism.
    pub fn is_of_person(self) -> bool {
        matches!(self, Reason::Complaint | Reason::Unsubscribe)
    }

    /// What is higher is not replaced by what is lower as long as it holds.
    fn weight(self) -> u8 {
        match self {
            Reason::SoftBounce => 0,
            Reason::HardBounce => 1,
            Reason::Unsubscribe => 2,
            Reason::Manual => 3,
            Reason::Complaint => 4,
            Reason::SpamTrap => 5,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Whose mail an entry stops: everybody's, a tenant's, or that of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// The tenant; none with a stream means a stream of mail that is no tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
}

impl Scope {
    /// Everybody's mail.
    pub const GLOBAL: Scope = Scope { tenant: None, stream: None };

    /// All mail of a tenant; everybody's where there is no tenant.
    pub fn tenant(tenant: Option<&str>) -> Scope {
        Scope { tenant: tenant.map(str::to_owned), stream: None }
    }

    /// The mail of one stream.
    pub fn stream(tenant: Option<&str>, stream: &str) -> Scope {
        Scope { tenant: tenant.map(str::to_owned), stream: Some(stream.to_owned()) }
    }

    /// The narrowest for a message of this tenant and stream: the stream, or the tenant where there is none.
    pub fn narrowest(tenant: Option<&str>, stream: Option<&str>) -> Scope {
        stream.map_or_else(|| Scope::tenant(tenant), |stream| Scope::stream(tenant, stream))
    }

    /// The scopes that stop mail of this tenant and stream, the narrowest first.
    pub(super) fn of_mail(tenant: Option<&str>, stream: Option<&str>) -> impl Iterator<Item = Scope> {
        let narrow = stream.map(|stream| Scope::stream(tenant, stream));
        let wide = tenant.map(|tenant| Scope::tenant(Some(tenant)));
        narrow.into_iter().chain(wide).chain([Scope::GLOBAL])
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.tenant, &self.stream) {
            (None, None) => formatter.write_str("global"),
            (Some(tenant), None) => write!(formatter, "tenant {tenant}"),
            (Some(tenant), Some(stream)) => write!(formatter, "stream {tenant}/{stream}"),
            (None, Some(stream)) => write!(formatter, "stream {stream}"),
        }
    }
}

/// Why, since when and until when an address gets no mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Why.
    pub reason: Reason,
    /// The address as it was written; none after it was erased.
    pub address: Option<String>,
    /// Since when.
    pub since: UnixMs,
    /// When this reason was given last.
    pub at: UnixMs,
    /// When it ends by itself; none for never.
    pub until: Option<UnixMs>,
    /// The message that led to it.
    pub message: Option<MessageId>,
    /// Who or what said so: a reply, a report, an operator.
    pub by: String,
    /// What whoever made it wants to remember.
    pub note: String,
}

impl Entry {
    /// True while it holds.
    pub fn holds(&self, now: UnixMs) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// An entry to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// Why.
    pub reason: Reason,
    /// When it ends by itself; none for never.
    pub until: Option<UnixMs>,
    /// The message that led to it.
    pub message: Option<MessageId>,
    /// Since when, where it is known from elsewhere; none for now.
    pub since: Option<UnixMs>,
    /// Who or what said so. Cut at [`TEXT_OCTETS_MAX`].
    pub by: String,
    /// What is to be remembered. Cut at [`TEXT_OCTETS_MAX`].
    pub note: String,
}

/// Octets of each text of an entry.
pub const TEXT_OCTETS_MAX: usize = 500;
/// Failures that are counted of one address at most.
pub const SOFT_BOUNCES_MAX: u32 = 100;

/// What is to become of an address in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It gets no mail. What weighs more and still holds stays as it is.
    Add(NewEntry),
    /// A failure that may pass. With `count` of them in `within` it gets no mail, as `entry` says.
    SoftBounce {
        /// How many make an entry, 1 at least.
        count: u32,
        /// In how long.
        within: Duration,
        /// The entry then.
        entry: NewEntry,
    },
    /// Mail arrived: failures before it do not count any more.
    Delivered,
    /// It gets mail again.
    Remove,
    /// What came to its end is forgotten.
    Sweep,
    /// The address is forgotten, and what it was written in; its hash stays.
    Erase,
}

/// What the store keeps of an address in one scope. Empty, it keeps nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) entry: Option<Entry>,
    /// When failures came that may pass.
    pub(crate) soft: Vec<UnixMs>,
}

impl Record {
    pub(crate) fn is_empty(&self) -> bool {
        self.entry.is_none() && self.soft.is_empty()
    }

    /// What a change makes of it. `address` is as it was written by whoever wants the change; none where it is not known.
    pub(crate) fn changed(mut self, change: &Change, address: Option<&str>, now: UnixMs) -> Record {
        match change {
            Change::Add(new) => self.entry = Some(merged(self.entry, new, address, now)),
            Change::SoftBounce { count, within, entry } => {
                self.soft.retain(|at| now.since(*at) < *within);
                self.soft.push(now);
                let count = usize::try_from((*count).clamp(1, SOFT_BOUNCES_MAX)).unwrap_or(usize::MAX);
                if self.soft.len() >= count {
                    self.soft.clear();
                    self.entry = Some(merged(self.entry, entry, address, now));
                }
            }
            Change::Delivered => self.soft.clear(),
            Change::Remove => self = Record::default(),
            Change::Sweep => {
                self.entry = self.entry.filter(|entry| entry.holds(now));
                self.soft.retain(|at| now.since(*at) < SOFT_KEPT);
            }
            Change::Erase => {
                if let Some(entry) = &mut self.entry {
                    (entry.address, entry.message) = (None, None);
                    entry.by.clear();
                    entry.note.clear();
                }
            }
        }
        self
    }
}

/// The entry after another reason came. The same reason again prolongs it.
fn merged(before: Option<Entry>, new: &NewEntry, address: Option<&str>, now: UnixMs) -> Entry {
    let before = before.filter(|entry| entry.holds(now));
    if let Some(before) = &before
        && before.reason.weight() > new.reason.weight()
    {
        return before.clone();
    }
    let same = before.as_ref().filter(|before| before.reason == new.reason);
    let until = match same.map(|same| same.until) {
        Some(None) => None,
        Some(Some(earlier)) => new.until.map(|until| until.max(earlier)),
        None => new.until,
    };
    // Who was forgotten stays forgotten, whatever comes again.
    let is_erased = same.is_some_and(|same| same.address.is_none());
    Entry {
        reason: new.reason,
        address: address.filter(|_| !is_erased).map(str::to_owned),
        since: same.map(|same| same.since).into_iter().chain(new.since).min().unwrap_or(now),
        at: now,
        until,
        message: new.message.filter(|_| !is_erased),
        by: if is_erased { String::new() } else { cut(&new.by) },
        note: if is_erased { String::new() } else { cut(&new.note) },
    }
}

/// A text without control characters, of a bounded length.
fn cut(text: &str) -> String {
    baton_mail::text::sanitize(text, TEXT_OCTETS_MAX)
}

/// Failures older than this count nowhere.
const SOFT_KEPT: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn new(reason: Reason, days: Option<u64>) -> NewEntry {
        let until = days.map(|days| NOW.plus(Duration::from_secs(days * 86_400)));
        NewEntry { reason, until, message: None, since: None, by: "test".to_owned(), note: String::new() }
    }

    fn add(record: Record, reason: Reason, days: Option<u64>) -> Record {
        record.changed(&Change::Add(new(reason, days)), Some("a@b.example"), NOW)
    }

    #[test]
    fn what_weighs_more_stays_and_the_same_is_prolonged() {
        let record = add(Record::default(), Reason::Complaint, None);
        let record = add(record, Reason::HardBounce, Some(9));
        assert_eq!(record.entry.as_ref().unwrap().reason, Reason::Complaint);
        let record = add(add(Record::default(), Reason::HardBounce, Some(9)), Reason::HardBounce, Some(3));
        assert_eq!(record.entry.as_ref().unwrap().until, new(Reason::HardBounce, Some(9)).until);
        let record = add(record, Reason::Unsubscribe, None);
        assert_eq!(record.entry.unwrap().reason, Reason::Unsubscribe);
    }

    #[test]
    fn what_is_known_from_elsewhere_is_as_old_as_it_was_there() {
        let known = |record: Record, since| {
            let entry = NewEntry { since: Some(UnixMs(since)), ..new(Reason::Complaint, None) };
            record.changed(&Change::Add(entry), Some("a@b.example"), NOW)
        };
        let since = |record: &Record| record.entry.as_ref().unwrap().since;
        let first = known(Record::default(), 7);
        assert_eq!(since(&first), UnixMs(7));
        assert_eq!(since(&known(first.clone(), 9)), UnixMs(7));
        assert_eq!(since(&add(first, Reason::Complaint, None)), UnixMs(7));
        assert_eq!(since(&known(add(Record::default(), Reason::Complaint, None), 7)), UnixMs(7));
        assert_eq!(since(&known(add(Record::default(), Reason::HardBounce, None), 7)), UnixMs(7));
    }

    #[test]
    fn what_is_over_weighs_nothing() {
        let record = add(Record::default(), Reason::Complaint, Some(0));
        assert!(!record.entry.as_ref().unwrap().holds(NOW));
        assert_eq!(add(record, Reason::HardBounce, None).entry.unwrap().reason, Reason::HardBounce);
    }

    #[test]
    fn soft_bounces_count_within_their_days_and_until_mail_arrives() {
        let within = Duration::from_secs(7 * 86_400);
        let soft = |record: Record, days: u64| {
            let at = NOW.plus(Duration::from_secs(days * 86_400));
            let change = Change::SoftBounce { count: 3, within, entry: new(Reason::SoftBounce, None) };
            record.changed(&change, Some("a@b.example"), at)
        };
        assert!(soft(soft(Record::default(), 0), 1).entry.is_none());
        assert!(soft(soft(soft(Record::default(), 0), 1), 2).entry.is_some());
        assert!(soft(soft(soft(Record::default(), 0), 1), 8).entry.is_none(), "the first is too old");
        let arrived = soft(soft(Record::default(), 0), 1).changed(&Change::Delivered, None, NOW);
        assert!(arrived.is_empty());
    }

    #[test]
    fn an_erased_entry_holds_and_stays_without_address() {
        let record = add(Record::default(), Reason::Complaint, None).changed(&Change::Erase, None, NOW);
        let record = add(record, Reason::Complaint, None);
        let entry = record.entry.unwrap();
        assert_eq!((entry.address, entry.by.as_str()), (None, ""));
        assert!(entry.until.is_none());
    }
}
