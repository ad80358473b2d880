//! Who may send to whom. The relay is open to nobody by accident: what is not allowed here is denied.

use std::net::IpAddr;

use baton_mail::Mailbox;

use crate::Policy;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    /// The client's address.
    pub(crate) address: IpAddr,
    /// Its account, when it authenticated in this session.
    pub(crate) account: Option<&'a str>,
}

/// Why a recipient may be named, or that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The client authenticated.
    Account,
    /// The client is in a relay network.
    Network,
    /// The relay is responsible for the domain.
    Local,
    /// The domain is local, but the local part names a way on (`user%other`, `other!user`, `"user@other"`), which the
    /// next hop might follow for a stranger (RFC 5321 3.6.1 and appendix C).
    DeniedRoute,
    /// Nothing allows it.
    Denied,
}

impl Admission {
    /// True when no plugin is needed to let the recipient in.
    pub(crate) fn is_allowed(self) -> bool {
        match self {
            Admission::Account | Admission::Network | Admission::Local => true,
            Admission::DeniedRoute | Admission::Denied => false,
        }
    }
}

/// Judges one recipient.
pub(crate) fn admit(policy: &Policy, client: Client<'_>, recipient: &Mailbox) -> Admission {
    if client.account.is_some() {
        Admission::Account
    } else if policy.is_relay_network(client.address) {
        Admission::Network
    } else if !policy.is_local(recipient.domain()) {
        Admission::Denied
    } else if recipient.local().contains(['%', '!', '@']) {
        Admission::DeniedRoute
    } else {
        Admission::Local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(address: &str, account: Option<&str>, recipient: &str) -> Admission {
        let mut policy = Policy::default();
        policy.local_domains.insert("us.example".parse().unwrap());
        admit(&policy, Client { address: address.parse().unwrap(), account }, &recipient.parse().unwrap())
    }

    #[test]
    fn the_open_relay_matrix() {
        const STRANGER: &str = "192.0.2.1";
        for (address, account, recipient, expected) in [
            (STRANGER, None, "a@other.example", Admission::Denied),
            (STRANGER, None, "a@us.example", Admission::Local),
            (STRANGER, None, "a@US.Example", Admission::Local),
            (STRANGER, None, "a@sub.us.example", Admission::Denied),
            (STRANGER, None, "a@[127.0.0.1]", Admission::Denied),
            (STRANGER, None, "a%other.example@us.example", Admission::DeniedRoute),
            (STRANGER, None, "other.example!a@us.example", Admission::DeniedRoute),
            (STRANGER, None, "\"a@other.example\"@us.example", Admission::DeniedRoute),
            (STRANGER, Some("ada"), "a@other.example", Admission::Account),
            ("127.0.0.1", None, "a@other.example", Admission::Network),
            ("127.0.0.1", None, "\"a@b\"@us.example", Admission::Network),
            ("::1", None, "a@other.example", Admission::Network),
            ("::ffff:192.0.2.1", None, "a@other.example", Admission::Denied),
        ] {
            assert_eq!(judge(address, account, recipient), expected, "{address} {account:?} {recipient}");
        }
    }
}
