//! The signature of Standard Webhooks: HMAC-SHA256 over the name, the time and the content of what is posted.
//!
//! Invariant: a key is in no log, no error and no debug output.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_mail::Body;

/// What posts are signed with.
#[derive(Clone)]
pub struct WebhookKey(hmac::Key);

impl std::fmt::Debug for WebhookKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("WebhookKey")
    }
}

impl WebhookKey {
    /// Reads a secret: base64 of 24 to 64 octets, with or without `whsec_` in front.
    ///
    /// # Errors
    /// When it is anything else, in words that do not show it.
    pub fn read(text: &str) -> Result<WebhookKey, String> {
        let encoded = text.strip_prefix(PREFIX).unwrap_or(text);
        match BASE64.decode(encoded) {
            Ok(octets) if octets.len() >= KEY_OCTETS_MIN => {
                Ok(WebhookKey(hmac::Key::new(hmac::HMAC_SHA256, &octets)))
            }
            _ => Err(format!("the secret is not base64 of {KEY_OCTETS_MIN} octets at least")),
        }
    }

    /// A new secret.
    ///
    /// # Errors
    /// When the system gives no random octets.
    pub fn generate() -> Result<String, String> {
        let mut octets = [0; NEW_KEY_OCTETS];
        SystemRandom::new().fill(&mut octets).map_err(|_| "the system gives no random octets".to_owned())?;
        Ok(format!("{PREFIX}{}", BASE64.encode(octets)))
    }

    /// The signature of a post, as it stands in `webhook-signature`: `v1,` and the code.
    pub fn sign(&self, id: &str, seconds: &str, body: &Body) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        body.pieces().iter().for_each(|piece| context.update(piece));
        format!("v1,{}", BASE64.encode(context.sign().as_ref()))
    }

    /// Whether one of the signatures in `webhook-signature` is of this key.
    pub fn verify(&self, id: &str, seconds: &str, body: &Body, signatures: &str) -> bool {
        let own = self.sign(id, seconds, body);
        signatures.split(' ').any(|one| {
            one.len() == own.len()
                && constant_time::verify_slices_are_equal(one.as_bytes(), own.as_bytes()).is_ok()
        })
    }
}

/// What secrets begin with, so that they are known when they turn up somewhere.
const PREFIX: &str = "whsec_";
/// Octets of a secret (Standard Webhooks asks for 24 to 64), and of a new one.
const KEY_OCTETS_MIN: usize = 24;
const NEW_KEY_OCTETS: usize = 32;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_is_signed_is_as_others_sign_it() {
        // The example of the specification of Standard Webhooks, whose key is shorter than ours may be.
        let octets = BASE64.decode("plJ3nmyCDGBKInavdOK15jsl").unwrap();
        let key = WebhookKey(hmac::Key::new(hmac::HMAC_SHA256, &octets));
        let mut body = Body::from(Bytes::from_static(b"{\"event_type\":\"ping\","));
        body.push(Bytes::from_static(b"\"data\":{\"success\":true}}"));
        let signature = "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=";
        assert_eq!(key.sign("msg_loFOjxBNrRLzqYUf", "1731705121", &body), signature);
        let both = format!("v1,AAAA {signature}");
        assert!(key.verify("msg_loFOjxBNrRLzqYUf", "1731705121", &body, &both));
        assert!(!key.verify("msg_loFOjxBNrRLzqYUf", "1731705122", &body, &both));
    }

    #[test]
    fn secrets_are_base64_and_not_short() {
        let long = BASE64.encode([7; 24]);
        assert!(WebhookKey::read(&long).is_ok() && WebhookKey::read(&format!("whsec_{long}")).is_ok());
        for bad in ["", "whsec_", "c2hvcnQ=", "not base64 at all, but long enough for a key"] {
            assert!(WebhookKey::read(bad).is_err(), "{bad}");
        }
        let (one, other) = (WebhookKey::generate().unwrap(), WebhookKey::generate().unwrap());
        assert!(one != other && one.starts_with("whsec_") && WebhookKey::read(&one).is_ok());
        assert_eq!(format!("{:?}", WebhookKey::read(&one).unwrap()), "WebhookKey");
    }
}
