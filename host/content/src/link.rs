//! Tracked links: what they say, sealed so that nobody else can make, change or read one.
//!
//! A token is `version, key id, sealed claim` in the URL-safe alphabet of base64. It is sealed by AES-256-GCM-SIV (RFC 8452) under
//! a key that HKDF-SHA-256 (RFC 5869) draws from the operator's secret: a signature alone would leave the recipient's address
//! readable in every proxy's log. The nonce is fixed, which this mode allows: the same claim gives the same token, and
//! that is all that two tokens tell.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_mail::{Mailbox, MessageId, UnixMs};
use serde::{Deserialize, Serialize};

/// Octets of a target at most; a link to a longer one stays as it is.
pub const TARGET_OCTETS_MAX: usize = 2_000;
/// Characters of a token at most: a target, two names, an address, and what base64 adds.
pub const TOKEN_OCTETS_MAX: usize = 4_096;
/// Octets of a secret at least.
pub const SECRET_OCTETS_MIN: usize = 32;
/// The form of the claim.
const VERSION: u8 = 1;
/// Octets in front of the sealed claim.
const PREFIX_OCTETS: usize = 2;
const NONCE: [u8; 12] = *b"baton link 1";
/// Milliseconds in a second.
const SECOND_MS: u64 = 1_000;

/// What a link says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The message in which it stands.
    pub message: MessageId,
    /// Whose copy of it.
    pub recipient: Mailbox,
    /// Whose mail it is; empty for the relay's own.
    pub tenant: String,
    /// The stream; empty when there is none.
    pub stream: String,
    /// When it ends, in seconds since 1970.
    pub ends_s: u64,
    /// What following it does.
    pub action: Action,
}

impl Claim {
    /// Whose mail it is; none for the relay's own.
    pub fn tenant(&self) -> Option<&str> {
        Some(self.tenant.as_str()).filter(|tenant| !tenant.is_empty())
    }

    /// The stream, when there is one.
    pub fn stream(&self) -> Option<&str> {
        Some(self.stream.as_str()).filter(|stream| !stream.is_empty())
    }
}

/// What following a link does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Shows the pixel.
    Open,
    /// Leads to the target.
    Click {
        /// By HTTP or HTTPS.
        target: String,
    },
    /// Asks for no more mail of this stream.
    Unsubscribe,
}

/// A secret and the name by which tokens refer to it.
#[derive(Clone)]
pub struct LinkKey {
    id: u8,
    key: std::sync::Arc<LessSafeKey>,
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LinkKey({})", self.id)
    }
}

impl LinkKey {
    /// A key from a secret of at least [`SECRET_OCTETS_MIN`] octets; none from a shorter one.
    pub fn new(id: u8, secret: &[u8]) -> Option<LinkKey> {
        if secret.len() < SECRET_OCTETS_MIN {
            return None;
        }
        let mut octets = [0u8; 32];
        let drawn = Salt::new(HKDF_SHA256, b"baton").extract(secret);
        drawn.expand(&[b"tracked links 1".as_slice()], KeyOctets).ok()?.fill(&mut octets).ok()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &octets).ok()?);
        Some(LinkKey { id, key: key.into() })
    }
}

/// As many octets as an AES-256 key has.
struct KeyOctets;

impl KeyType for KeyOctets {
    fn len(&self) -> usize {
        32
    }
}

/// The keys of a relay: the first seals, all open. To rotate, put a new one first and drop the old one when its links ended.
#[derive(Clone, Debug)]
pub struct LinkKeys(Vec<LinkKey>);

/// Why a token is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    /// Not sealed by one of our keys, cut or changed.
    #[error("this link was not made by this relay, or it is incomplete")]
    Forged,
    /// It was one, but its time is over.
    #[error("this link has ended")]
    Ended,
}

impl LinkKeys {
    /// None without a key, or when two have the same id.
    pub fn new(keys: Vec<LinkKey>) -> Option<LinkKeys> {
        let mut ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        ids.sort_unstable();
        ids.dedup();
        (!keys.is_empty() && ids.len() == keys.len()).then_some(LinkKeys(keys))
    }

    /// The token for `claim`; none when it would be too long for a link.
    pub fn seal(&self, claim: &Claim) -> Option<String> {
        if let Action::Click { target } = &claim.action
            && target.len() > TARGET_OCTETS_MAX
        {
            return None;
        }
        let LinkKey { id, key } = self.0.first()?;
        let mut octets = postcard::to_stdvec(claim).ok()?;
        let prefix = [VERSION, *id];
        let nonce = Nonce::assume_unique_for_key(NONCE);
        key.seal_in_place_append_tag(nonce, Aad::from(prefix), &mut octets).ok()?;
        let token = URL_SAFE_NO_PAD.encode([&prefix[..], &octets].concat());
        (token.len() <= TOKEN_OCTETS_MAX).then_some(token)
    }

    /// What `token` says, if one of the keys sealed it and it has not ended at `now`.
    pub fn open(&self, token: &str, now: UnixMs) -> Result<Claim, BadLink> {
        if token.len() > TOKEN_OCTETS_MAX {
            return Err(BadLink::Forged);
        }
        let mut octets = URL_SAFE_NO_PAD.decode(token).map_err(|_| BadLink::Forged)?;
        let sealed = octets.split_off(octets.len().min(PREFIX_OCTETS));
        let [VERSION, id] = octets[..] else { return Err(BadLink::Forged) };
        let claim = self.unsealed(id, sealed).ok_or(BadLink::Forged)?;
        if now.0 / SECOND_MS >= claim.ends_s { Err(BadLink::Ended) } else { Ok(claim) }
    }

    fn unsealed(&self, id: u8, mut sealed: Vec<u8>) -> Option<Claim> {
        let key = self.0.iter().find(|key| key.id == id)?;
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let plain = key.key.open_in_place(nonce, Aad::from([VERSION, id]), &mut sealed).ok()?;
        postcard::from_bytes(plain).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(of: &[u8]) -> LinkKeys {
        LinkKeys::new(of.iter().map(|id| LinkKey::new(*id, &[*id; 32]).unwrap()).collect()).unwrap()
    }

    fn claim(action: Action) -> Claim {
        Claim {
            message: MessageId::first_at(UnixMs(1_795_802_000_000)),
            recipient: "jane.doe@example.org".parse().unwrap(),
            tenant: "acme".into(),
            stream: "news".into(),
            ends_s: 1_000,
            action,
        }
    }

    const NOW: UnixMs = UnixMs(999_999);

    #[test]
    fn a_link_says_what_was_sealed_and_shows_nothing() {
        for action in
            [Action::Open, Action::Unsubscribe, Action::Click { target: "https://shop.example/?a=b".into() }]
        {
            let claim = claim(action);
            let token = keys(&[1]).seal(&claim).unwrap();
            assert!(token.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet)));
            let octets = URL_SAFE_NO_PAD.decode(&token).unwrap();
            assert!(!String::from_utf8_lossy(&octets).contains("jane"));
            assert_eq!(keys(&[1]).open(&token, NOW), Ok(claim));
        }
    }

    #[test]
    fn changed_cut_and_foreign_tokens_are_refused() {
        let token = keys(&[1]).seal(&claim(Action::Open)).unwrap();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(keys(&[1]).open(&changed, NOW), Err(BadLink::Forged), "octet {at}");
            assert_eq!(keys(&[1]).open(&token[..at], NOW), Err(BadLink::Forged), "cut at {at}");
        }
        assert_eq!(keys(&[2]).open(&token, NOW), Err(BadLink::Forged));
        assert_eq!(keys(&[1]).open(&format!("{token}A"), NOW), Err(BadLink::Forged));
        assert_eq!(keys(&[1]).open("ä", NOW), Err(BadLink::Forged));
        assert_eq!(keys(&[1]).open(&"A".repeat(100_000), NOW), Err(BadLink::Forged));
        // The same id with another secret.
        let other = LinkKeys::new(vec![LinkKey::new(1, &[7; 32]).unwrap()]).unwrap();
        assert_eq!(other.open(&token, NOW), Err(BadLink::Forged));
    }

    #[test]
    fn links_end_and_keys_rotate() {
        let token = keys(&[1]).seal(&claim(Action::Open)).unwrap();
        assert_eq!(keys(&[1]).open(&token, UnixMs(1_000_000)), Err(BadLink::Ended));
        assert!(keys(&[2, 1]).open(&token, NOW).is_ok());
        let new = keys(&[2, 1]).seal(&claim(Action::Open)).unwrap();
        assert_eq!(keys(&[1]).open(&new, NOW), Err(BadLink::Forged));
        assert!(LinkKeys::new(vec![]).is_none());
        assert!(LinkKey::new(1, &[0; 31]).is_none());
        let one = LinkKey::new(1, &[0; 32]).unwrap();
        assert!(LinkKeys::new(vec![one.clone(), one]).is_none());
    }

    #[test]
    fn what_is_too_long_for_a_link_is_not_sealed() {
        let target = |octets: usize| Action::Click { target: "x".repeat(octets) };
        assert!(keys(&[1]).seal(&claim(target(TARGET_OCTETS_MAX))).is_some());
        assert!(keys(&[1]).seal(&claim(target(TARGET_OCTETS_MAX + 1))).is_none());
    }
}
