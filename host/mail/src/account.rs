//! Accounts: who may send, in whose name, and how much.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::is_unsafe;
use crate::{Domain, Mailbox, UnixMs};

/// Octets of an account's name at most.
pub const NAME_OCTETS_MAX: usize = 255;
/// Sender rules of one account at most.
pub const SENDERS_MAX: usize = 1_000;

/// The name of an account in lower case: `ann` or `ann@example.org`. People type it in either case, so both mean the
/// same account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(Box<str>);

impl AccountName {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an address, where it is one.
    pub fn mailbox(&self) -> Option<Mailbox> {
        self.0.parse().ok()
    }
}

impl FromStr for AccountName {
    type Err = InvalidAccount;

    fn from_str(text: &str) -> Result<AccountName, InvalidAccount> {
        let lower = text.to_lowercase();
        let fits = (1..=NAME_OCTETS_MAX).contains(&lower.len())
            && !lower
                .chars()
                .any(|character| character.is_whitespace() || is_unsafe(character) || character == '/');
        if fits { Ok(AccountName(lower.into_boxed_str())) } else { Err(InvalidAccount::Name) }
    }
}

/// Whose name a user may send in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SenderRule {
    /// `*`: everybody's.
    Any,
    /// One address. Its local part is compared without regard to case.
    Address(Mailbox),
    /// `@example.org`: every address of exactly this domain.
    Domain(Domain),
    /// `@.example.org`: every address of the domain and of those below it.
    Below(Domain),
}

impl SenderRule {
    /// True when the rule covers `sender`.
    pub fn allows(&self, sender: &Mailbox) -> bool {
        match self {
            SenderRule::Any => true,
            SenderRule::Address(own) => {
                own.domain() == sender.domain() && own.local().eq_ignore_ascii_case(sender.local())
            }
            SenderRule::Domain(domain) => sender.domain() == domain,
            SenderRule::Below(domain) => sender.domain().is_within(domain),
        }
    }
}

impl FromStr for SenderRule {
    type Err = InvalidAccount;

    fn from_str(text: &str) -> Result<SenderRule, InvalidAccount> {
        let domain = |text: &str| text.parse().map_err(|_| InvalidAccount::Sender);
        match text.strip_prefix('@') {
            _ if text == "*" => Ok(SenderRule::Any),
            None => text.parse().map(SenderRule::Address).map_err(|_| InvalidAccount::Sender),
            Some(rest) => match rest.strip_prefix('.') {
                Some(rest) => domain(rest).map(SenderRule::Below),
                None => domain(rest).map(SenderRule::Domain),
            },
        }
    }
}

impl fmt::Display for SenderRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SenderRule::Any => formatter.write_str("*"),
            SenderRule::Address(mailbox) => write!(formatter, "{mailbox}"),
            SenderRule::Domain(domain) => write!(formatter, "@{domain}"),
            SenderRule::Below(domain) => write!(formatter, "@.{domain}"),
        }
    }
}

/// How much an account may send; none is without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Messages within an hour.
    pub messages_per_hour: Option<u32>,
    /// Messages within a day.
    pub messages_per_day: Option<u32>,
    /// Recipients within an hour.
    pub recipients_per_hour: Option<u32>,
    /// Recipients within a day.
    pub recipients_per_day: Option<u32>,
}

impl Quota {
    /// True when nothing is bounded.
    pub fn is_unbounded(&self) -> bool {
        *self == Quota::default()
    }
}

/// What proves a password without being one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// An argon2id hash in the PHC string format.
    pub password: String,
    /// The keys of SCRAM-SHA-256; none where it is not wanted.
    pub scram: Option<ScramKeys>,
}

/// The keys of SCRAM-SHA-256 (RFC 5802 3, RFC 7677). Whoever has them can try passwords against them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramKeys {
    /// The salt.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// `H(ClientKey)`.
    pub stored_key: [u8; 32],
    /// Proves us to the client.
    pub server_key: [u8; 32],
}

impl fmt::Debug for Secrets {
    /// Nothing that a log may not have.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets")
    }
}

impl fmt::Debug for ScramKeys {
    /// Nothing that a log may not have.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ScramKeys")
    }
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// In whose name it may send. Empty: in its own, when that is an address.
    pub senders: Vec<SenderRule>,
    /// How much it may send.
    pub quota: Quota,
    /// It may not authenticate.
    pub disabled: bool,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was changed last.
    pub changed_at: UnixMs,
    /// What proves its password; none where only tokens do.
    pub secrets: Option<Secrets>,
}

impl Account {
    /// An account that nothing is known of but its name: it sends as itself.
    pub fn new(name: AccountName, now: UnixMs) -> Account {
        Account {
            name,
            tenant: None,
            stream: None,
            senders: Vec::new(),
            quota: Quota::default(),
            disabled: false,
            created_at: now,
            changed_at: now,
            secrets: None,
        }
    }

    /// True when it may send in the name of `sender`.
    pub fn may_send_as(&self, sender: &Mailbox) -> bool {
        match self.senders.as_slice() {
            [] => self.name.mailbox().is_some_and(|own| SenderRule::Address(own).allows(sender)),
            rules => rules.iter().any(|rule| rule.allows(sender)),
        }
    }

    /// True when it may send in every name, so that nobody needs to look.
    pub fn may_send_as_anybody(&self) -> bool {
        self.senders.contains(&SenderRule::Any)
    }
}

/// Why a text says nothing about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccount {
    /// The name.
    #[error("a name has 1 to {NAME_OCTETS_MAX} octets without blanks, slashes and control characters")]
    Name,
    /// A sender rule.
    #[error("write an address, `@domain`, `@.domain` for all below it too, or `*`")]
    Sender,
}

impl fmt::Display for AccountName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl TryFrom<String> for AccountName {
    type Error = InvalidAccount;

    fn try_from(text: String) -> Result<AccountName, InvalidAccount> {
        text.parse()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> String {
        name.0.into()
    }
}

impl TryFrom<String> for SenderRule {
    type Error = InvalidAccount;

    fn try_from(text: String) -> Result<SenderRule, InvalidAccount> {
        text.parse()
    }
}

impl From<SenderRule> for String {
    fn from(rule: SenderRule) -> String {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_case_and_nothing_that_splits_a_line() {
        let name = |text: &str| text.parse::<AccountName>().map(|name| name.to_string());
        assert_eq!(name("Ann@Example.ORG").as_deref(), Ok("ann@example.org"));
        assert_eq!(name("GRÖßE").as_deref(), Ok("größe"));
        for bad in ["", "a b", "a\0b", "a\nb", "a/b", &"x".repeat(256)] {
            assert_eq!(name(bad), Err(InvalidAccount::Name), "{bad:?}");
        }
    }

    #[test]
    fn an_account_sends_as_itself_unless_rules_say_otherwise() {
        let may = |name: &str, rules: &[&str], sender: &str| {
            let mut account = Account::new(name.parse().unwrap(), UnixMs(1));
            account.senders = rules.iter().map(|rule| rule.parse().unwrap()).collect();
            account.may_send_as(&sender.parse().unwrap())
        };
        assert!(may("ann@one.example", &[], "Ann@ONE.example"));
        assert!(!may("ann@one.example", &[], "bob@one.example"));
        assert!(!may("ann", &[], "ann@one.example"), "a name without a domain is nobody's address");
        assert!(may("ann", &["ann@one.example"], "ANN@one.example"));
        assert!(!may("ann@one.example", &["@two.example"], "ann@one.example"), "rules are all that counts");
        assert!(may("ann", &["@two.example"], "x@two.example"));
        assert!(!may("ann", &["@two.example"], "x@sub.two.example"));
        assert!(may("ann", &["@.two.example"], "x@sub.two.example"));
        assert!(!may("ann", &["@.two.example"], "x@eviltwo.example"));
        assert!(may("ann", &["*"], "x@anywhere.example"));
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in ["*", "ann@one.example", "@two.example", "@.three.example"] {
            assert_eq!(text.parse::<SenderRule>().unwrap().to_string(), text);
        }
        for bad in ["", "ann", "@", "@.", "@a b", "**", "a@b@c"] {
            assert_eq!(bad.parse::<SenderRule>(), Err(InvalidAccount::Sender), "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let keys =
            ScramKeys { salt: vec![7; 16], iterations: 4_096, stored_key: [8; 32], server_key: [9; 32] };
        let secrets = Secrets { password: "$argon2id$secret".to_owned(), scram: Some(keys) };
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }
}
