//! Tokens of OpenID providers: JSON Web Tokens (RFC 7519), checked by the keys that the provider publishes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_mail::UnixMs;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::bearer::{oauthbearer_error, xoauth2_error};
use crate::keys::Keys;

/// What the operator says of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its name in these settings.
    pub name: String,
    /// What its tokens have as `iss`, exactly.
    pub issuer: String,
    /// Where its keys are.
    pub keys: KeySource,
    /// What tokens have as `aud`: one of these.
    pub audiences: Vec<String>,
    /// The algorithms that are taken.
    pub algorithms: Vec<TokenAlgorithm>,
    /// The claim that names the account.
    pub account_claim: String,
    /// A scope that tokens must have.
    pub scope: Option<String>,
    /// How far clocks may be apart, in seconds.
    pub leeway_s: u64,
    /// After how long the keys are fetched again, in seconds.
    pub refresh_s: u64,
    /// How long after a try to fetch them none follows, in seconds.
    pub refresh_min_s: u64,
    /// How long keys are used that can not be fetched again, in seconds.
    pub stale_s: u64,
    /// An account that the store does not know may send, in its own name.
    pub admits_unknown: bool,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(std::path::PathBuf),
    /// An HTTP address.
    Url(String),
}

/// A signature algorithm with a public key (RFC 7518 3.1, RFC 8037 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// RSA PKCS 1 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    /// All that are known, by their registered names.
    pub const NAMES: [(&str, TokenAlgorithm); 3] = [
        ("RS256", TokenAlgorithm::Rs256),
        ("ES256", TokenAlgorithm::Es256),
        ("EdDSA", TokenAlgorithm::EdDsa),
    ];

    fn from_name(name: &str) -> Option<TokenAlgorithm> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, algorithm)| algorithm)
    }

    pub(crate) fn of_library(self) -> Algorithm {
        match self {
            TokenAlgorithm::Rs256 => Algorithm::RS256,
            TokenAlgorithm::Es256 => Algorithm::ES256,
            TokenAlgorithm::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A token, cut at its dots and read, but not believed.
pub(crate) struct Token<'a> {
    signed: &'a str,
    signature: &'a str,
    header: Header,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Names what must be understood (RFC 7515 4.1.11); nothing of that kind is.
    crit: Option<Value>,
}

/// Why a token is not taken. The words go to the log, never what stands in the token.
pub(crate) type Reason = &'static str;

impl<'a> Token<'a> {
    /// Reads the three parts; none when it is another kind of token.
    pub(crate) fn read(text: &'a str) -> Option<Token<'a>> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(Token {
            signed,
            signature,
            header: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?,
            claims: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?,
        })
    }

    /// Who claims to have made it.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Which key claims to have signed it.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The account that it is for.
    pub(crate) fn judge(&self, issuer: &IssuerSettings, keys: &Keys, now: UnixMs) -> Result<&str, Reason> {
        let algorithm = TokenAlgorithm::from_name(&self.header.alg).ok_or("its algorithm is not known")?;
        if !issuer.algorithms.contains(&algorithm) {
            return Err("its algorithm is not allowed");
        }
        if self.header.crit.is_some() {
            return Err("its header wants something that is not known");
        }
        let key = keys.find(self.key_id(), algorithm).ok_or("no key of the issuer fits it")?;
        let is_signed =
            jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm.of_library());
        if !is_signed.unwrap_or(false) {
            return Err("its signature is wrong");
        }
        self.check_claims(issuer, now)?;
        self.account(issuer)
    }

    fn check_claims(&self, issuer: &IssuerSettings, now: UnixMs) -> Result<(), Reason> {
        let now_s = now.0 / 1_000;
        if self.issuer() != Some(&issuer.issuer) {
            return Err("it is of another issuer");
        }
        let expires = self.time("exp").ok_or("it does not say when it expires")?;
        if now_s >= expires.saturating_add(issuer.leeway_s) {
            return Err("it is expired");
        }
        if self.claims.contains_key("nbf") {
            let begins = self.time("nbf").ok_or("it does not say when it begins")?;
            if now_s.saturating_add(issuer.leeway_s) < begins {
                return Err("it is not valid yet");
            }
        }
        if !self.texts("aud").iter().any(|one| issuer.audiences.iter().any(|other| other == one)) {
            return Err("it is for another audience");
        }
        match &issuer.scope {
            Some(scope) if !self.has_scope(scope) => Err(NO_SCOPE),
            _ => Ok(()),
        }
    }

    fn account(&self, issuer: &IssuerSettings) -> Result<&str, Reason> {
        // Whoever can choose an address at the provider without owning it would be its owner here.
        let is_email = issuer.account_claim == "email";
        if is_email && self.claims.get("email_verified") != Some(&Value::Bool(true)) {
            return Err("its address is not verified");
        }
        let claim = self.claims.get(&issuer.account_claim).and_then(Value::as_str);
        claim.filter(|name| !name.is_empty()).ok_or("it names no account")
    }

    /// RFC 7519 2 `NumericDate`; fractions are cut off.
    fn time(&self, name: &str) -> Option<u64> {
        let claim = self.claims.get(name)?;
        claim
            .as_u64()
            .or_else(|| claim.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64))
    }

    /// A text, or a list of them.
    fn texts(&self, name: &str) -> Vec<&str> {
        match self.claims.get(name) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// RFC 8693 4.2 `scope`, and what Microsoft makes of it.
    fn has_scope(&self, wanted: &str) -> bool {
        let all = [self.texts("scope"), self.texts("scp")].concat();
        all.iter().any(|text| text.split(' ').any(|one| one == wanted))
    }
}

/// What is said about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenVerdict {
    /// It is good, for this account.
    Is {
        /// The account's name, as the issuer has it.
        account: String,
        /// The account may send although the store does not know it.
        admits_unknown: bool,
    },
    /// It is not good.
    Invalid {
        /// Why, for the log.
        reason: &'static str,
        /// What the client is told by OAUTHBEARER.
        oauthbearer: String,
        /// What the client is told by XOAUTH2.
        xoauth2: String,
    },
    /// Nobody who is known here made it.
    Foreign,
    /// The keys of its issuer are not to be had; why, for the log.
    Unavailable(String),
}

impl TokenVerdict {
    /// A token that is not good.
    pub(crate) fn invalid(reason: Reason, issuer: Option<&IssuerSettings>) -> TokenVerdict {
        let status = if reason == NO_SCOPE { "insufficient_scope" } else { "invalid_token" };
        let scope = issuer.and_then(|issuer| issuer.scope.as_deref());
        TokenVerdict::Invalid {
            reason,
            oauthbearer: oauthbearer_error(status, scope, issuer.map(|issuer| issuer.issuer.as_str())),
            xoauth2: xoauth2_error(scope),
        }
    }
}

/// The one reason that OAUTHBEARER tells apart.
pub(crate) const NO_SCOPE: Reason = "it lacks the scope";
