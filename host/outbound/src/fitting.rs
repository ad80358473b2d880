//! Content for a next hop that takes less than it needs: converted, or not sent (RFC 6152 3, RFC 3030 3).

use baton_mail::mime::{Converted, Fit, NotConvertible, convert};
use baton_mail::{Body, Envelope};
use baton_smtp::client::Capabilities;

use crate::settings::{Convert, OutboundSettings};

/// Octets that are converted at once, on the thread that serves connections.
const INLINE_OCTETS: u64 = 64 * 1024;

/// The content as it goes out.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    pub(crate) body: Body,
    pub(crate) eight_bit: bool,
    pub(crate) binary: bool,
    /// What was done to it and why, for the history.
    pub(crate) note: Option<String>,
}

/// Makes the content fit, when the next hop takes less than it needs and the settings allow it. What does not fit after that
/// is found out by the client machine, which knows what the peer offers.
///
/// # Errors
/// Why it can not be made to fit, in words.
pub(crate) async fn fit(
    settings: &OutboundSettings,
    envelope: &Envelope,
    body: &Body,
    offered: &Capabilities,
) -> Result<Fitted, String> {
    let as_it_is =
        || Fitted { body: body.clone(), eight_bit: envelope.eight_bit, binary: envelope.binary, note: None };
    let Some(fit) = wanted(envelope, offered) else { return Ok(as_it_is()) };
    let lacks_utf8 = envelope.needs_smtputf8() && !offered.smtputf8;
    if settings.convert == Convert::Never || lacks_utf8 {
        return Ok(as_it_is());
    }
    let missing = if fit == Fit::SevenBit { "8BITMIME" } else { "BINARYMIME" };
    match converted(settings, body, fit).await {
        Ok(made) => {
            let note = format!("{}, because the next hop does not offer {missing}", words(&made, fit));
            let eight_bit = envelope.eight_bit && fit == Fit::EightBit;
            Ok(Fitted { body: made.body, eight_bit, binary: false, note: Some(note) })
        }
        Err(why) => Err(format!(
            "the next hop does not offer {missing}, which the message needs, and it can not be converted: {why}"
        )),
    }
}

/// The form that the next hop takes; none when it takes the message as it is.
fn wanted(envelope: &Envelope, offered: &Capabilities) -> Option<Fit> {
    if envelope.binary && offered.takes_binary() {
        return None;
    }
    if envelope.eight_bit && !offered.eight_bit_mime {
        return Some(Fit::SevenBit);
    }
    let eight_bit = if offered.eight_bit_mime { Fit::EightBit } else { Fit::SevenBit };
    envelope.binary.then_some(eight_bit)
}

/// The content in that form. What is large is converted on a thread of its own.
pub(crate) async fn converted(
    settings: &OutboundSettings,
    body: &Body,
    fit: Fit,
) -> Result<Converted, NotConvertible> {
    let limits = settings.mime;
    if body.len() <= INLINE_OCTETS {
        return convert(body, fit, &limits);
    }
    let body = body.clone();
    let made = tokio::task::spawn_blocking(move || convert(&body, fit, &limits));
    made.await.unwrap_or(Err(NotConvertible::Structure))
}

/// What was done.
fn words(made: &Converted, fit: Fit) -> String {
    let form = if fit == Fit::SevenBit { "7 bit" } else { "lines of 8 bit" };
    let signatures = if made.was_signed { "; its signatures no longer hold" } else { "" };
    match made.summary() {
        Some(parts) => format!("to {form} ({parts}){signatures}"),
        None => format!("sent as {form}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_change_is_wanted() {
        let envelope = |eight_bit, binary| {
            let origin = baton_mail::Origin::internal();
            let now = baton_mail::UnixMs(0);
            let id = baton_mail::MessageId::new(now);
            let sender = baton_mail::ReversePath::Null;
            let made = Envelope::new(id, now, std::time::Duration::ZERO, sender, origin);
            Envelope { eight_bit, binary, ..made }
        };
        let offers = |eight_bit_mime, chunking, binary_mime| Capabilities {
            eight_bit_mime,
            chunking,
            binary_mime,
            ..Capabilities::default()
        };
        for (message, peer, expected) in [
            (envelope(false, false), offers(false, false, false), None),
            (envelope(true, false), offers(true, false, false), None),
            (envelope(true, false), offers(false, true, true), Some(Fit::SevenBit)),
            (envelope(true, true), offers(true, true, true), None),
            (envelope(true, true), offers(true, false, true), Some(Fit::EightBit)),
            (envelope(true, true), offers(false, true, false), Some(Fit::SevenBit)),
            (envelope(false, true), offers(true, true, false), Some(Fit::EightBit)),
            (envelope(false, true), offers(false, false, false), Some(Fit::SevenBit)),
        ] {
            assert_eq!(wanted(&message, &peer), expected, "{peer:?}");
        }
    }
}
