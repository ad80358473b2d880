//! What a sender asks for, by parameters of MAIL and RCPT: reports about the delivery (DSN, RFC 3461), a time, protection,
//! precedence.

pub mod timing;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::envelope::PRIORITY_MAX;
use crate::text::is_unsafe;
use crate::{UnixMs, xtext};
use timing::{DeliverBy, moment_text};

/// Octets of an envelope id in its encoded form (RFC 3461 4.4).
pub const ENVELOPE_ID_OCTETS_MAX: usize = 100;
/// Octets of an original recipient in its encoded form (RFC 3461 4.2).
pub const ORIGINAL_RECIPIENT_OCTETS_MAX: usize = 500;

/// What is asked of a message as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRequests {
    /// How much of the message a report about a failure gives back.
    pub ret: Option<Ret>,
    /// The sender's own name for the message, to find it in a report.
    pub envelope_id: Option<EnvelopeId>,
    /// Only to next hops that are known to be who they are, by TLS, and that promise the same (REQUIRETLS, RFC 8689).
    pub require_tls: bool,
    /// The precedence that it asked for (MT-PRIORITY, RFC 6710); what it has is in the envelope.
    pub priority: Option<i8>,
    /// Not before this moment (FUTURERELEASE, RFC 4865).
    pub hold_until: Option<UnixMs>,
    /// By this moment (DELIVERBY, RFC 2852).
    pub deliver_by: Option<DeliverBy>,
}

/// What is asked of the copy for one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientRequests {
    /// When to report.
    pub notify: Option<Notify>,
    /// For whom the sender meant the copy, whatever became of the address since.
    pub original: Option<OriginalRecipient>,
}

impl MessageRequests {
    /// True when nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == MessageRequests::default()
    }

    /// As parameters of MAIL, for people.
    pub fn words(&self) -> Vec<String> {
        let ret = self.ret.map(|ret| format!("RET={ret}"));
        let id = self.envelope_id.as_ref().map(|id| format!("ENVID={id}"));
        let tls = self.require_tls.then(|| "REQUIRETLS".to_owned());
        let priority = self.priority.map(|priority| format!("MT-PRIORITY={priority}"));
        let hold = self.hold_until.map(|at| format!("HOLDUNTIL={}", moment_text(at)));
        let by = self.deliver_by.map(|by| {
            let mode = if by.mode == timing::ByMode::Return { "returned" } else { "told" };
            format!("delivery by {}, else to be {mode}", moment_text(by.at))
        });
        [ret, id, tls, priority, hold, by].into_iter().flatten().collect()
    }
}

impl RecipientRequests {
    /// True when nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == RecipientRequests::default()
    }

    /// As parameters of RCPT, for people.
    pub fn words(&self) -> Vec<String> {
        let notify = self.notify.map(|notify| format!("NOTIFY={notify}"));
        let original = self.original.as_ref().map(|original| format!("ORCPT={original}"));
        notify.into_iter().chain(original).collect()
    }
}

/// Reads the value of MT-PRIORITY (RFC 6710 6): -9 to 9, without a plus sign or leading zeros.
///
/// # Errors
/// When it is none.
pub fn parse_priority(text: &str) -> Result<i8, InvalidRequest> {
    let priority: i8 = text.parse().map_err(|_| InvalidRequest)?;
    let is_plain = priority.to_string() == text && (-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority);
    if is_plain { Ok(priority) } else { Err(InvalidRequest) }
}

/// How much of the message comes back (RFC 3461 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Header,
}

impl FromStr for Ret {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<Ret, InvalidRequest> {
        match text {
            _ if text.eq_ignore_ascii_case("FULL") => Ok(Ret::Full),
            _ if text.eq_ignore_ascii_case("HDRS") => Ok(Ret::Header),
            _ => Err(InvalidRequest),
        }
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Ret::Full => "FULL",
            Ret::Header => "HDRS",
        })
    }
}

/// When the sender wants a report (RFC 3461 4.1). None of them is `NEVER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// When the copy was delivered.
    pub success: bool,
    /// When it could not be delivered.
    pub failure: bool,
    /// When it is late.
    pub delay: bool,
}

impl Notify {
    /// What holds when the sender says nothing.
    pub const UNASKED: Notify = Notify { success: false, failure: true, delay: false };
}

impl FromStr for Notify {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<Notify, InvalidRequest> {
        let mut notify = Notify::default();
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(notify);
        }
        for word in text.split(',') {
            match word {
                _ if word.eq_ignore_ascii_case("SUCCESS") => notify.success = true,
                _ if word.eq_ignore_ascii_case("FAILURE") => notify.failure = true,
                _ if word.eq_ignore_ascii_case("DELAY") => notify.delay = true,
                _ => return Err(InvalidRequest),
            }
        }
        Ok(notify)
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let words: Vec<&str> =
            words.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word).collect();
        formatter.write_str(&if words.is_empty() { "NEVER".to_owned() } else { words.join(",") })
    }
}

/// The sender's name for a message, encoded as it came (RFC 3461 4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// What it means: printable ASCII.
    pub fn decoded(&self) -> String {
        xtext::decode(&self.0).unwrap_or_default()
    }
}

impl FromStr for EnvelopeId {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<EnvelopeId, InvalidRequest> {
        let is_printable = |meant: &String| meant.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        if text.is_empty() || text.len() > ENVELOPE_ID_OCTETS_MAX {
            return Err(InvalidRequest);
        }
        xtext::decode(text).filter(is_printable).map(|_| EnvelopeId(text.into())).ok_or(InvalidRequest)
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A recipient in the words of whoever named it first: its kind and its encoded address (RFC 3461 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalRecipient {
    kind: Box<str>,
    address: Box<str>,
}

impl OriginalRecipient {
    /// The name of a mailbox. Beyond ASCII it is of the kind `utf-8` (RFC 6533 3).
    pub fn of_mailbox(mailbox: &crate::Mailbox) -> OriginalRecipient {
        let kind = if mailbox.needs_smtputf8() { "utf-8" } else { "rfc822" };
        OriginalRecipient { kind: kind.into(), address: xtext::encode(&mailbox.to_string()).into() }
    }

    /// What kind of address it is: `rfc822`, `utf-8`, or another one of the registry.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it means. No control characters.
    pub fn decoded(&self) -> String {
        xtext::decode(&self.address).unwrap_or_default()
    }

    /// True when it can not be said in ASCII without being spelled out.
    pub fn is_beyond_ascii(&self) -> bool {
        !self.address.is_ascii()
    }
}

impl FromStr for OriginalRecipient {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<OriginalRecipient, InvalidRequest> {
        let (kind, address) = text.split_once(';').ok_or(InvalidRequest)?;
        let kind_is_atom =
            !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        // Beyond ASCII only where the kind allows for it (RFC 6533 3, `utf-8-addr-unitext`).
        let is_allowed = address.is_ascii() || kind.eq_ignore_ascii_case("utf-8");
        if !kind_is_atom || !is_allowed || address.is_empty() || text.len() > ORIGINAL_RECIPIENT_OCTETS_MAX {
            return Err(InvalidRequest);
        }
        let is_harmless = |meant: &String| !meant.chars().any(is_unsafe);
        let original = OriginalRecipient { kind: kind.into(), address: address.into() };
        xtext::decode(address).filter(is_harmless).map(|_| original).ok_or(InvalidRequest)
    }
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{};{}", self.kind, self.address)
    }
}

/// A parameter's value is not one that its RFC knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is not one that the standard knows")]
pub struct InvalidRequest;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_is_never_or_a_list() {
        for (text, shown) in [
            ("never", "NEVER"),
            ("SUCCESS", "SUCCESS"),
            ("delay,Failure", "FAILURE,DELAY"),
            ("SUCCESS,FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"),
        ] {
            assert_eq!(text.parse::<Notify>().unwrap().to_string(), shown);
        }
        for bad in ["", "NEVER,SUCCESS", "SUCCESS,", "SUCCESS DELAY", "ALWAYS", "SUCCESS,NEVER"] {
            assert_eq!(bad.parse::<Notify>(), Err(InvalidRequest), "{bad}");
        }
    }

    #[test]
    fn priorities_are_nineteen() {
        assert_eq!((-9..=9).filter_map(|value: i8| parse_priority(&value.to_string()).ok()).count(), 19);
        for bad in ["", "10", "-10", "+1", "01", "-0", "1.0", "x"] {
            assert_eq!(parse_priority(bad), Err(InvalidRequest), "{bad}");
        }
    }

    #[test]
    fn envelope_ids_are_printable_and_bounded() {
        let id: EnvelopeId = "QQ314159+2B+20x".parse().unwrap();
        assert_eq!((id.decoded().as_str(), id.to_string().as_str()), ("QQ314159+ x", "QQ314159+2B+20x"));
        assert!("x".repeat(100).parse::<EnvelopeId>().is_ok());
        let long = "x".repeat(101);
        for bad in ["", "a+0A", "a+7F", "a+C3+A4", "a+2", "a+2b", "a=b", "a b", "\u{e4}", &long] {
            assert!(bad.parse::<EnvelopeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn original_recipients_have_a_kind_and_hide_no_control_character() {
        let original: OriginalRecipient = "rfc822;Bob+2Btag@Example.COM".parse().unwrap();
        assert_eq!((original.kind(), original.decoded().as_str()), ("rfc822", "Bob+tag@Example.COM"));
        assert!("utf-8;j\u{fc}rgen@example.org".parse::<OriginalRecipient>().unwrap().is_beyond_ascii());
        let long = format!("rfc822;{}", "x".repeat(494));
        for bad in [
            "bob@example.com",
            ";bob@example.com",
            "rfc822;",
            "rfc 822;a@b",
            "rfc822;a+0D+0AX:@b",
            "rfc822;a+00@b",
            "rfc822;a+@b",
            "rfc822;a=b@c",
            "rfc822;\u{fc}@b",
            "rfc822;a+FF@b",
            "x-400;a b",
            &long,
        ] {
            assert!(bad.parse::<OriginalRecipient>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mailbox_is_named_so_that_it_is_read_again() {
        for address in ["a+b=c@example.org", "\"a b\"@example.org", "j\u{fc}rgen@example.org"] {
            let original = OriginalRecipient::of_mailbox(&address.parse().unwrap());
            let read: OriginalRecipient = original.to_string().parse().unwrap();
            assert_eq!((read.decoded().as_str(), &read), (address, &original));
        }
    }
}
