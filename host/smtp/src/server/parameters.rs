//! What the parameters of MAIL and RCPT mean. Each belongs to an extension that EHLO offered (RFC 5321 4.1.1.11).

use std::str::FromStr;

use baton_mail::requests::timing::{By, Hold};
use baton_mail::requests::{MessageRequests, RecipientRequests, parse_priority};

use super::path::{Parameters, is_harmless_xtext};
use super::reply::Say;
use super::session::Turn;

/// What MAIL asked for.
#[derive(Debug, Default)]
pub(super) struct MailParameters {
    /// The announced size in octets (RFC 1870).
    pub(super) size: Option<u64>,
    /// `BODY=8BITMIME` (RFC 6152).
    pub(super) eight_bit: bool,
    /// `BODY=BINARYMIME` (RFC 3030).
    pub(super) binary: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub(super) smtputf8: bool,
    /// What the sender asks of the delivery.
    pub(super) requests: MessageRequests,
    /// `HOLDFOR` or `HOLDUNTIL` (RFC 4865).
    pub(super) hold: Option<Hold>,
    /// `BY` (RFC 2852).
    pub(super) by: Option<By>,
}

impl MailParameters {
    /// Reads all of them, or says what is wrong with the first that is wrong.
    pub(super) fn read(parameters: &Parameters, turn: &Turn<'_>) -> Result<MailParameters, Say> {
        let mut read = MailParameters::default();
        for (keyword, value) in parameters {
            if !turn.session.is_extended() {
                return Err(Say::UnknownParameter);
            }
            read.add(keyword, value.as_deref(), turn)?;
        }
        Ok(read)
    }

    fn add(&mut self, keyword: &str, value: Option<&str>, turn: &Turn<'_>) -> Result<(), Say> {
        let settings = turn.settings();
        match (keyword, value) {
            ("SIZE", value) => {
                let size = value.and_then(parse_size).ok_or(Say::BadArguments)?;
                if settings.size_octets_max > 0 && size > settings.size_octets_max {
                    return Err(Say::TooLarge);
                }
                self.size = Some(size);
            }
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => self.eight_bit = true,
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => {}
            ("BODY", Some(value))
                if settings.chunking && settings.binary_mime && value.eq_ignore_ascii_case("BINARYMIME") =>
            {
                self.binary = true;
            }
            ("SMTPUTF8", value) if settings.smtputf8 => {
                self.smtputf8 = value.is_none();
                return if self.smtputf8 { Ok(()) } else { Err(Say::BadArguments) };
            }
            ("AUTH", Some(value)) if !settings.auth.mechanisms().is_empty() => {
                return if is_harmless_xtext(value) { Ok(()) } else { Err(Say::BadArguments) };
            }
            ("RET", value) if settings.dsn => self.requests.ret = Some(parse(value, Say::BadRet)?),
            ("ENVID", value) if settings.dsn => {
                self.requests.envelope_id = Some(parse(value, Say::BadEnvelopeId)?);
            }
            _ => return self.add_wish(keyword, value, turn),
        }
        Ok(())
    }

    /// What is asked about protection, precedence and time.
    fn add_wish(&mut self, keyword: &str, value: Option<&str>, turn: &Turn<'_>) -> Result<(), Say> {
        let settings = turn.settings();
        match (keyword, value) {
            ("REQUIRETLS", value) if settings.require_tls => {
                self.requests.require_tls = value.is_none();
                return if self.requests.require_tls { Ok(()) } else { Err(Say::BadArguments) };
            }
            ("MT-PRIORITY", value) if settings.priority => {
                let priority = value.and_then(|value| parse_priority(value).ok());
                self.requests.priority = Some(priority.ok_or(Say::BadPriority)?);
            }
            ("BY", value) if settings.deliver_by => self.by = Some(parse(value, Say::BadDeliverBy)?),
            ("HOLDFOR" | "HOLDUNTIL", value) if settings.hold_s_max > 0 => {
                let read = if keyword == "HOLDFOR" { Hold::for_seconds } else { Hold::until };
                let hold = value.and_then(|value| read(value).ok()).ok_or(Say::BadHold)?;
                // One of them is enough (RFC 4865 4).
                if self.hold.replace(hold).is_some() {
                    return Err(Say::BadHold);
                }
            }
            _ => return Err(Say::UnknownParameter),
        }
        Ok(())
    }
}

/// Reads what RCPT asked for, or says what is wrong with the first parameter that is wrong.
pub(super) fn read_rcpt(parameters: &Parameters, turn: &Turn<'_>) -> Result<RecipientRequests, Say> {
    let mut requests = RecipientRequests::default();
    for (keyword, value) in parameters {
        match keyword.as_str() {
            _ if !turn.session.is_extended() || !turn.settings().dsn => return Err(Say::UnknownParameter),
            "NOTIFY" => requests.notify = Some(parse(value.as_deref(), Say::BadNotify)?),
            "ORCPT" => requests.original = Some(parse(value.as_deref(), Say::BadOriginalRecipient)?),
            _ => return Err(Say::UnknownParameter),
        }
    }
    let is_beyond_ascii = requests.original.as_ref().is_some_and(|original| original.is_beyond_ascii());
    if is_beyond_ascii && !turn.session.smtputf8 { Err(Say::NeedSmtputf8) } else { Ok(requests) }
}

fn parse<T: FromStr>(value: Option<&str>, complaint: Say) -> Result<T, Say> {
    value.and_then(|value| value.parse().ok()).ok_or(complaint)
}

/// RFC 1870 4: up to 20 digits. What does not fit into 64 bits is larger than any limit.
fn parse_size(value: &str) -> Option<u64> {
    let is_number = (1..=20).contains(&value.len()) && value.bytes().all(|octet| octet.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}
