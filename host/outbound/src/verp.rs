//! Return paths that name the recipient (VERP): what comes back to them, in whatever form, tells whose address failed.

use std::collections::HashSet;

use baton_mail::{Domain, Mailbox, ReversePath};

/// `news+ann=them.example@us.example` for mail of `news@us.example` to `ann@them.example`; none when the sender's domain is
/// none of these, or no such mailbox could be written.
pub(crate) fn return_path(
    domains: &HashSet<Domain>,
    sender: &ReversePath,
    recipient: &Mailbox,
) -> Option<ReversePath> {
    let sender = sender.mailbox().filter(|sender| domains.contains(sender.domain()))?;
    let is_quoted = |mailbox: &Mailbox| mailbox.local().starts_with('"');
    if is_quoted(sender) || is_quoted(recipient) {
        return None;
    }
    let local = format!("{}+{}={}", sender.local(), recipient.local(), recipient.domain());
    Mailbox::new(&local, sender.domain().clone()).ok().map(ReversePath::Mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipient_is_named_where_that_is_wanted_and_fits() {
        let domains = HashSet::from(["us.example".parse().unwrap()]);
        let named = |sender: &str, recipient: &str| {
            let sender = ReversePath::Mailbox(sender.parse().unwrap());
            return_path(&domains, &sender, &recipient.parse().unwrap()).map(|path| path.to_string())
        };
        assert_eq!(
            named("news@us.example", "ann@them.example").as_deref(),
            Some("news+ann=them.example@us.example")
        );
        assert_eq!(named("news@other.example", "ann@them.example"), None);
        assert_eq!(named("news@us.example", "\"a b\"@them.example"), None);
        assert_eq!(named("news@us.example", &format!("{}@them.example", "x".repeat(60))), None);
        assert_eq!(return_path(&domains, &ReversePath::Null, &"a@b.example".parse().unwrap()), None);
    }
}
