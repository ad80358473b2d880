//! Tenants, their streams, and the tokens by which programs send: who sends, as what, and what holds for it.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::account::Quota;
use crate::text::is_unsafe;
use crate::{Domain, Mailbox, UnixMs};

/// Octets of the name of a tenant or a stream at most.
pub const LABEL_OCTETS_MAX: usize = 63;
/// Domains of one tenant at most.
pub const DOMAINS_MAX: usize = 1_000;
/// Octets of a note at most.
pub const NOTE_OCTETS_MAX: usize = 1_000;
/// Networks that one token may be used from at most.
pub const NETWORKS_MAX: usize = 100;
/// The longest retention in days: a hundred years.
const DAYS_MAX: u32 = 36_500;

/// The name of a tenant or a stream: lower case letters, digits and hyphens, 1 to 63 of them, no hyphen at an end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Box<str>);

impl Label {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Label, InvalidLabel> {
        let is_plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        let fits = (1..=LABEL_OCTETS_MAX).contains(&text.len())
            && text.bytes().all(is_plain)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits { Ok(Label(text.into())) } else { Err(InvalidLabel) }
    }
}

/// The text names no tenant and no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {LABEL_OCTETS_MAX} lower case letters, digits and hyphens, with no hyphen at an end"
)]
pub struct InvalidLabel;

impl TryFrom<String> for Label {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Label, InvalidLabel> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> String {
        label.0.into()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A customer: it owns domains, streams, tokens, accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tenant {
    /// What operators want to remember.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The domains in whose name it sends, and in those below them.
    pub domains: Vec<Domain>,
    /// How much it may send, all its streams together.
    #[serde(skip_serializing_if = "Quota::is_unbounded")]
    pub quota: Quota,
    /// Why it may not send at all, when it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// When it was made.
    pub created_at: UnixMs,
}

impl Tenant {
    /// True when it may send in the name of `sender`.
    pub fn owns(&self, sender: &Mailbox) -> bool {
        self.domains.iter().any(|own| sender.domain().is_within(own))
    }
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// One person waits for each message: codes, receipts.
    #[default]
    Transactional,
    /// The same for many: newsletters, announcements.
    Bulk,
}

impl StreamKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            StreamKind::Transactional => "transactional",
            StreamKind::Bulk => "bulk",
        }
    }
}

/// What is followed of messages. Off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tracking {
    /// Whether a message was opened.
    pub opens: bool,
    /// Which links were followed.
    pub clicks: bool,
}

/// What a message must have to be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requirements {
    /// A List-Unsubscribe field with an address (RFC 2369).
    pub unsubscribe: bool,
    /// The sender's postal address, which its text names; an empty text asks for none.
    pub postal_address: String,
}

impl Requirements {
    /// True when nothing is asked for.
    pub fn is_none(&self) -> bool {
        *self == Requirements::default()
    }

    /// The postal address that is asked for.
    pub fn address(&self) -> Option<&str> {
        Some(self.postal_address.trim()).filter(|address| !address.is_empty())
    }
}

/// What a message lacks of what its stream asks for: told in the same words before and when it is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// There is no List-Unsubscribe field.
    #[error(
        "Mail of the stream {stream} needs a List-Unsubscribe field with a https: or mailto: address (RFC 2369)"
    )]
    Unsubscribe {
        /// The stream.
        stream: String,
    },
    /// Its text does not name the address.
    #[error("Mail of the stream {stream} needs the postal address of the sender in its text: {address}")]
    PostalAddress {
        /// The stream.
        stream: String,
        /// The address.
        address: String,
    },
}

/// How long what is kept, in days; what is not set follows the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Content, after the message left the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies_days: Option<u32>,
    /// The story of each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_days: Option<u32>,
    /// Recipients' addresses in stories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses_days: Option<u32>,
}

impl Retention {
    /// The first field with a number of days that makes no sense.
    pub fn unfit(&self) -> Option<&'static str> {
        let fields = [
            ("bodies_days", self.bodies_days),
            ("events_days", self.events_days),
            ("addresses_days", self.addresses_days),
        ];
        fields.into_iter().find(|(_, days)| days.is_some_and(|days| days > DAYS_MAX)).map(|(name, _)| name)
    }

    /// True when nothing is set.
    pub fn is_unset(&self) -> bool {
        *self == Retention::default()
    }
}

/// Messages of one purpose, of a tenant or of the relay itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stream {
    /// What operators want to remember.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What it is for.
    pub kind: StreamKind,
    /// How urgent its messages are where they do not say so themselves, -9 to 9 (RFC 6710).
    pub priority: i8,
    /// The pool of the settings by which it leaves; none is what the settings say of streams and tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// How much it may send.
    #[serde(skip_serializing_if = "Quota::is_unbounded")]
    pub quota: Quota,
    /// What is followed, where a message does not say so itself.
    pub tracking: Tracking,
    /// What its messages must have, beside what the settings ask for.
    #[serde(skip_serializing_if = "Requirements::is_none")]
    pub require: Requirements,
    /// How long what is kept.
    #[serde(skip_serializing_if = "Retention::is_unset")]
    pub retention: Retention,
    /// Nothing is taken for it.
    pub disabled: bool,
    /// When it was made.
    pub created_at: UnixMs,
}

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// To send messages and upload attachments.
    Send,
    /// To read what became of messages, events and reports.
    Read,
    /// To read and change suppression lists.
    Suppress,
    /// To read and change templates.
    Templates,
    /// To read and change webhooks.
    Webhooks,
    /// Everything, streams, tokens, domains and credentials too.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 6] =
        [Scope::Send, Scope::Read, Scope::Suppress, Scope::Templates, Scope::Webhooks, Scope::Admin];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Send => "send",
            Scope::Read => "read",
            Scope::Suppress => "suppress",
            Scope::Templates => "templates",
            Scope::Webhooks => "webhooks",
            Scope::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Scope, InvalidScope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(InvalidScope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write send, read, suppress, templates, webhooks or admin")]
pub struct InvalidScope;

/// What is kept of a token: nothing by which it could be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the token. It has 256 bits of chance, so nothing slower is needed.
    pub digest: [u8; 32],
    /// Whose it is; none is the relay's, and sees all tenants.
    pub tenant: Option<Label>,
    /// The only stream that it is good for.
    pub stream: Option<Label>,
    /// What it may be used for; at least one.
    pub scopes: Vec<Scope>,
    /// What whoever made it wants to remember.
    pub note: String,
    /// Networks that it may be used from; empty is everywhere.
    pub networks: Vec<IpNet>,
    /// Requests within a minute, instead of what the settings say.
    pub requests_per_minute: Option<u32>,
    /// From when on it is worth nothing; none for never.
    pub expires_at: Option<UnixMs>,
    /// It may not be used.
    pub disabled: bool,
    /// When it was made.
    pub created_at: UnixMs,
}

impl Token {
    /// True when it may be used for that.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }
}

/// A note without control characters and of bounded length.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_note(text: &str) -> Result<(), &'static str> {
    if text.len() > NOTE_OCTETS_MAX {
        return Err("has 1,000 octets at most");
    }
    if text.chars().any(is_unsafe) { Err("has no control characters") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "acme", "2fa-codes", &"x".repeat(63)] {
            assert_eq!(good.parse::<Label>().unwrap().as_str(), good);
        }
        for bad in ["", "Acme", "a_b", "a.b", "a/b", "-a", "a-", "ä", "a b", "a\n", &"x".repeat(64)] {
            assert_eq!(bad.parse::<Label>(), Err(InvalidLabel), "{bad:?}");
        }
    }

    #[test]
    fn a_tenant_sends_as_its_domains_and_those_below() {
        let tenant = Tenant { domains: vec!["acme.example".parse().unwrap()], ..Tenant::default() };
        let owns = |sender: &str| tenant.owns(&sender.parse().unwrap());
        assert!(owns("a@acme.example") && owns("a@news.ACME.example"));
        assert!(!owns("a@evilacme.example") && !owns("a@example"));
        assert!(!Tenant::default().owns(&"a@acme.example".parse().unwrap()));
    }

    #[test]
    fn admin_is_all_scopes_and_no_other_is() {
        let token = |scope| Token {
            digest: [0; 32],
            tenant: None,
            stream: None,
            scopes: vec![scope],
            note: String::new(),
            networks: Vec::new(),
            requests_per_minute: None,
            expires_at: None,
            disabled: false,
            created_at: UnixMs(0),
        };
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            for other in Scope::ALL {
                assert_eq!(token(scope).may(other), scope == other || scope == Scope::Admin);
            }
        }
    }
}
