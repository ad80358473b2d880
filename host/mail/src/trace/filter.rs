//! Which dialogues somebody wants to see.

use std::net::IpAddr;

use super::{Facts, Side};
use crate::MessageId;

/// Which lines. All that is set must be so; names are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of clients, or of next hops.
    pub side: Option<Side>,
    /// With a peer at this address.
    pub ip: Option<IpAddr>,
    /// At this listener.
    pub listener: Option<String>,
    /// With a next hop of this site.
    pub site: Option<String>,
    /// With a next hop of this name, or below it when it begins with a dot.
    pub host: Option<String>,
    /// About mail of this address, or of `@domain`.
    pub sender: Option<String>,
    /// About mail for this address, or for `@domain`.
    pub recipient: Option<String>,
    /// About this message.
    pub message: Option<MessageId>,
    /// Shows the content of messages too.
    pub content: bool,
}

impl Filter {
    /// What is known of a session from its beginning says nothing against it.
    pub(super) fn fits_session(&self, facts: &Facts) -> bool {
        let is = |wanted: &Option<String>, found: &Option<String>| match (wanted, found) {
            (Some(wanted), Some(found)) => wanted.eq_ignore_ascii_case(found),
            (Some(_), None) => false,
            (None, _) => true,
        };
        self.side.is_none_or(|side| side == facts.side)
            && self.ip.is_none_or(|ip| facts.ip == Some(ip.to_canonical()))
            && is(&self.listener, &facts.listener)
            && is(&self.site, &facts.site)
            && self
                .host
                .as_ref()
                .is_none_or(|host| facts.host.as_deref().is_some_and(|name| is_host(host, name)))
    }

    /// It fits what is known of the transaction by now.
    pub(super) fn fits_transaction(&self, about: &About) -> bool {
        self.sender
            .as_ref()
            .is_none_or(|wanted| about.sender.as_deref().is_some_and(|one| is_address(wanted, one)))
            && self
                .recipient
                .as_ref()
                .is_none_or(|wanted| about.recipients.iter().any(|one| is_address(wanted, one)))
            && self.message.is_none_or(|message| about.message == Some(message))
    }
}

/// What is known of a transaction.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) sender: Option<String>,
    pub(super) recipients: Vec<String>,
    pub(super) message: Option<MessageId>,
}

fn is_host(wanted: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let wanted = wanted.to_ascii_lowercase();
    if wanted.starts_with('.') { name.ends_with(&wanted) } else { name == wanted }
}

/// An address, or one of a domain.
fn is_address(wanted: &str, found: &str) -> bool {
    let found = found.to_lowercase();
    let wanted = wanted.to_lowercase();
    if wanted.starts_with('@') { found.ends_with(&wanted) } else { found == wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses_are_whole_or_by_domain() {
        assert!(is_host("MX.example", "mx.example") && is_host(".example", "mx.example"));
        assert!(!is_host("example", "mx.example") && !is_host(".example", "mx.myexample"));
        assert!(is_address("A@b.example", "a@B.example") && is_address("@b.example", "a@b.example"));
        assert!(!is_address("@b.example", "a@c.b.example") && is_address("", ""));
    }
}
