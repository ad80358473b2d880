//! The fields by which mail programs unsubscribe: List-Unsubscribe (RFC 2369 3.2) and List-Unsubscribe-Post (RFC 8058).

use baton_mail::header::HeaderName;
use baton_mail::{Mailbox, UnixMs};

use crate::link::{Action, BadLink, Claim, LinkKeys};

/// What the body of a one-click POST says (RFC 8058 3.1).
pub const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

/// The fields for a message whose recipient can unsubscribe at `url` (HTTPS, answering a POST at once) or by mail.
///
/// One click is promised only for HTTPS: RFC 8058 3.1 asks for it. Both fields must be under the DKIM signature.
pub fn fields(url: Option<&str>, mail: Option<&Mailto>) -> Vec<(HeaderName, String)> {
    let name = |text: &str| text.parse::<HeaderName>().expect("the names are given here");
    let targets: Vec<String> = url
        .map(str::to_owned)
        .into_iter()
        .chain(mail.map(Mailto::uri))
        .map(|uri| format!("<{uri}>"))
        .collect();
    if targets.is_empty() {
        return Vec::new();
    }
    let mut fields = vec![(name("List-Unsubscribe"), targets.join(", "))];
    if url.is_some_and(|url| url.starts_with("https://")) {
        fields.push((name("List-Unsubscribe-Post"), ONE_CLICK.to_owned()));
    }
    fields
}

/// Unsubscribing by a message to an address (RFC 6068).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailto {
    /// Where the message goes.
    pub mailbox: Mailbox,
    /// Its subject, by which the relay knows who asks: a token.
    pub subject: String,
}

impl Mailto {
    fn uri(&self) -> String {
        format!("mailto:{}?subject={}", encoded(&self.mailbox.to_string()), encoded(&self.subject))
    }
}

/// The claim in the subject of a message to the address for unsubscribing. Mail programs put words before it, and break lines.
///
/// # Errors
/// When there is no token of ours, or it has ended.
pub fn read_subject(keys: &LinkKeys, subject: &str, now: UnixMs) -> Result<Claim, BadLink> {
    let words = subject.split_whitespace().take(WORDS_MAX);
    let joined: String = subject.split_whitespace().collect();
    let mut worst = BadLink::Forged;
    for candidate in words.chain([joined.as_str()]) {
        match keys.open(candidate, now) {
            Ok(claim) if claim.action == Action::Unsubscribe => return Ok(claim),
            Ok(_) => {}
            Err(BadLink::Ended) => worst = BadLink::Ended,
            Err(BadLink::Forged) => {}
        }
    }
    Err(worst)
}

/// Words of a subject that are tried at most.
const WORDS_MAX: usize = 16;

/// Percent-encodes what is neither unreserved (RFC 3986 2.3) nor the `@` of an address.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~@+".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            encoded.push_str(&format!("%{octet:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use baton_mail::MessageId;

    use super::*;
    use crate::link::LinkKey;

    fn shown(url: Option<&str>, mail: Option<&Mailto>) -> Vec<String> {
        fields(url, mail).into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn both_ways_are_offered_the_web_first() {
        let mail = Mailto { mailbox: "leave+x@news.example".parse().unwrap(), subject: "leave a&b".into() };
        assert_eq!(
            shown(Some("https://t.example/u/abc"), Some(&mail)),
            [
                "List-Unsubscribe: <https://t.example/u/abc>, <mailto:leave+x@news.example?subject=leave%20a%26b>",
                "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
            ]
        );
    }

    #[test]
    fn one_click_is_promised_only_where_it_may_be() {
        assert_eq!(
            shown(Some("http://t.example/u/abc"), None),
            ["List-Unsubscribe: <http://t.example/u/abc>"]
        );
        assert!(shown(None, None).is_empty());
    }

    #[test]
    fn the_token_is_found_whatever_stands_beside_it() {
        let keys = LinkKeys::new(vec![LinkKey::new(1, &[1; 32]).unwrap()]).unwrap();
        let claim = |action| Claim {
            message: MessageId::first_at(UnixMs(1_795_802_000_000)),
            recipient: "jane.doe@example.org".parse().unwrap(),
            tenant: "acme".into(),
            stream: "news".into(),
            ends_s: 1_000,
            action,
        };
        let (leave, now) = (claim(Action::Unsubscribe), UnixMs(999_999));
        let token = keys.seal(&leave).unwrap();
        let (start, end) = token.split_at(70);
        for subject in
            [token.clone(), format!("Re: {token}"), format!(" {token}\t"), format!("{start} {end}")]
        {
            assert_eq!(read_subject(&keys, &subject, now), Ok(leave.clone()), "{subject}");
        }
        assert_eq!(read_subject(&keys, &token, UnixMs(1_000_000)), Err(BadLink::Ended));
        let open = keys.seal(&claim(Action::Open)).unwrap();
        for subject in ["", "unsubscribe", start, &open, &"x ".repeat(10_000)] {
            assert_eq!(read_subject(&keys, subject, now), Err(BadLink::Forged), "{subject}");
        }
    }
}
