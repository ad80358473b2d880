//! The one who says whose account it is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_mail::account::{ScramKeys, Secrets};
use baton_mail::{Account, AccountName, Clock};
use baton_store::{Accounts, Kv};
use tokio::sync::OnceCell;

use crate::attempts::Attempts;
use crate::keys::{Fetch, Issuer, issuers};
use crate::passwords::{Passwords, random};
use crate::quotas::Quotas;
use crate::tokens::{Token, TokenVerdict};
use crate::{AccountSettings, Attempt, Blocked, Metrics, PasswordError, QuotaHolder, QuotaRefusal};

/// The bucket of the key-value store; plugins' buckets have a slash in their names.
const BUCKET: &str = "#accounts";
/// Octets of our part of a nonce, before base64.
const NONCE_OCTETS: usize = 18;

/// Judges credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    accounts: Accounts,
    quotas: Quotas,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    passwords: Passwords,
    attempts: Arc<Attempts>,
    settings: ArcSwap<AccountSettings>,
    issuers: ArcSwap<Issuers>,
    kv: Kv,
    /// What the salts of accounts are made of that are not there.
    decoy_secret: OnceCell<Vec<u8>>,
}

/// Whose tokens are taken, by what they call themselves.
#[derive(Debug)]
struct Issuers {
    all: HashMap<String, Arc<Issuer>>,
    fetch: Fetch,
}

/// The beginning of an exchange of SCRAM.
#[derive(Debug)]
pub struct ScramStart {
    /// The account; none when no proof can be right.
    pub account: Option<Arc<Account>>,
    /// Its keys, or made-up ones.
    pub keys: ScramKeys,
    /// Our part of the nonce.
    pub nonce: String,
}

/// What is said about credentials.
#[derive(Clone, Debug)]
pub enum Judgement {
    /// They are right.
    Is(Arc<Account>),
    /// They are wrong, or the account may not be used.
    Wrong,
    /// There is no such account here. The work was the same.
    Unknown,
    /// Nobody can say now; why, for the log.
    Unavailable(String),
}

impl Authenticator {
    /// Over the accounts and the key-value store of the relay's store.
    ///
    /// # Errors
    /// When hashing does not work at all.
    pub fn new(
        accounts: Accounts,
        kv: Kv,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        settings: AccountSettings,
        fetch: Fetch,
    ) -> Result<Authenticator, PasswordError> {
        let all = issuers(settings.issuers.clone(), &HashMap::new());
        Ok(Authenticator(Arc::new(Parts {
            accounts,
            quotas: Quotas(kv.clone()),
            kv,
            decoy_secret: OnceCell::new(),
            clock,
            metrics,
            passwords: Passwords::new(&settings)?,
            attempts: Arc::default(),
            issuers: ArcSwap::from_pointee(Issuers { all, fetch }),
            settings: ArcSwap::from_pointee(settings),
        })))
    }

    /// New settings hold from now on, but for what is fixed at the start.
    pub fn replace_settings(&self, settings: AccountSettings, fetch: Fetch) {
        let before = self.0.issuers.load();
        let next = Issuers { all: issuers(settings.issuers.clone(), &before.all), fetch };
        self.0.issuers.store(Arc::new(next));
        self.0.settings.store(Arc::new(settings));
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// Where AUTH is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What is to be kept of a new password.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn secrets(&self, password: &str) -> Result<Secrets, PasswordError> {
        self.0.passwords.make(password, &self.0.settings.load_full()).await
    }

    /// The hash that is to be kept of a new password, for who logs in by pages only.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let settings = AccountSettings { scram_iterations: None, ..(*self.0.settings.load_full()).clone() };
        Ok(self.0.passwords.make(password, &settings).await?.password)
    }

    /// Whether the password is the one of the hash; without a hash the work is the same, and the answer no.
    ///
    /// # Errors
    /// When it was not this one's turn in time, or hashing does not work.
    pub async fn check_hash(&self, hash: Option<String>, password: &str) -> Result<bool, PasswordError> {
        let wait_ms = self.0.settings.load().hash_wait_ms;
        self.0.passwords.check(hash, password, wait_ms).await
    }

    /// Counts an attempt of a client to be `account`; where it is trusted, its network may be wrong as often as it likes.
    ///
    /// # Errors
    /// When somebody was wrong too often.
    pub fn attempt(
        &self,
        client: IpAddr,
        is_trusted: bool,
        account: Option<&str>,
    ) -> Result<Attempt, Blocked> {
        let limits = self.0.settings.load().failures;
        // What is no account's name, whatever its length, is counted by its network only.
        let account = account.filter(|name| name.parse::<AccountName>().is_ok());
        self.0.attempts.begin(client, is_trusted, account, limits, self.0.clock.now())
    }

    /// Judges a name and a password.
    pub async fn check_password(&self, name: &str, password: &str) -> Judgement {
        // Where there are no accounts there is nothing to hide, and plugins judge all.
        if !self.0.accounts.are_there() {
            return Judgement::Unknown;
        }
        let account = match self.find(name).await {
            Ok(account) => account,
            Err(cause) => return Judgement::Unavailable(cause),
        };
        let hash = account.as_ref().and_then(|account| Some(account.secrets.as_ref()?.password.clone()));
        let wait_ms = self.0.settings.load().hash_wait_ms;
        match (self.0.passwords.check(hash, password, wait_ms).await, account) {
            (Err(error), _) => Judgement::Unavailable(error.to_string()),
            (Ok(_), None) => Judgement::Unknown,
            (Ok(true), Some(account)) if !account.disabled => Judgement::Is(Arc::new(account)),
            (Ok(_), Some(_)) => Judgement::Wrong,
        }
    }

    /// What an exchange of SCRAM begins with. For an account that is not there, may not be used or has no such keys, the keys
    /// are made up, and the same each time: the exchange goes on, and nobody can prove anything.
    ///
    /// # Errors
    /// When the store does not answer; why, for the log.
    pub async fn begin_scram(&self, name: &str) -> Result<ScramStart, String> {
        let account = self.find(name).await?.filter(|account| !account.disabled);
        let keys = account.as_ref().and_then(|account| account.secrets.as_ref()?.scram.clone());
        let failed = |error: PasswordError| error.to_string();
        let nonce = STANDARD.encode(random::<NONCE_OCTETS>().map_err(failed)?);
        match (account, keys) {
            (Some(account), Some(keys)) => Ok(ScramStart { account: Some(Arc::new(account)), keys, nonce }),
            _ => Ok(ScramStart { account: None, keys: self.decoy(name).await?, nonce }),
        }
    }

    async fn decoy(&self, name: &str) -> Result<ScramKeys, String> {
        let secret = self.0.decoy_secret.get_or_try_init(|| self.read_decoy_secret()).await?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let salt = hmac::sign(&key, name.to_lowercase().as_bytes());
        let failed = |error: PasswordError| error.to_string();
        Ok(ScramKeys {
            salt: salt.as_ref().iter().take(16).copied().collect(),
            iterations: self.0.settings.load().scram_iterations.unwrap_or(4_096),
            stored_key: random().map_err(failed)?,
            server_key: random().map_err(failed)?,
        })
    }

    /// Kept over restarts: a salt that changes with them would tell who is not there.
    async fn read_decoy_secret(&self) -> Result<Vec<u8>, String> {
        let kv = &self.0.kv;
        let fresh = random::<32>().map_err(|error| error.to_string())?;
        let set = kv.set_if_absent(BUCKET, "decoy", &fresh, None).await;
        set.map_err(|error| error.to_string())?;
        let kept = kv.get(BUCKET, "decoy").await.map_err(|error| error.to_string())?;
        Ok(kept.unwrap_or_else(|| fresh.to_vec()))
    }

    /// True when tokens can be judged; `plugins` tells whether plugins are asked about credentials.
    pub fn takes_tokens(&self, plugins: bool) -> bool {
        !self.0.issuers.load().all.is_empty() || (plugins && self.0.settings.load().tokens_to_plugins)
    }

    /// Tokens that nobody here knows are for plugins to judge.
    pub fn gives_tokens_to_plugins(&self) -> bool {
        self.0.settings.load().tokens_to_plugins
    }

    /// Judges a token of a client that wants to be `user`, or whoever the token is for.
    pub async fn check_token(&self, user: Option<&str>, text: &str) -> TokenVerdict {
        let issuers = self.0.issuers.load_full();
        let token = Token::read(text);
        let issuer = token.as_ref().and_then(|token| issuers.all.get(token.issuer()?));
        let (Some(token), Some(issuer)) = (&token, issuer) else {
            return match self.gives_tokens_to_plugins() {
                true => TokenVerdict::Foreign,
                false => TokenVerdict::invalid("it is of no issuer that is known", None),
            };
        };
        let now = self.0.clock.now();
        let keys = match Arc::clone(issuer).keys(token.key_id(), &issuers.fetch, now).await {
            Ok(keys) => keys,
            Err(cause) => return TokenVerdict::Unavailable(cause),
        };
        match token.judge(&issuer.settings, &keys, now) {
            Ok(account) if user.is_some_and(|user| user.to_lowercase() != account.to_lowercase()) => {
                TokenVerdict::invalid("it is for another account", Some(&issuer.settings))
            }
            Ok(account) => TokenVerdict::Is {
                account: account.to_owned(),
                admits_unknown: issuer.settings.admits_unknown,
            },
            Err(reason) => TokenVerdict::invalid(reason, Some(&issuer.settings)),
        }
    }

    /// An account of which nothing is known but its name: it sends as itself.
    pub fn unknown_account(&self, name: &str) -> Option<Account> {
        Some(Account::new(name.parse().ok()?, self.0.clock.now()))
    }

    /// The account that somebody else vouches for, such as a plugin: by what the store says of it, where it knows it.
    pub async fn vouched(&self, name: &str) -> Judgement {
        if !self.0.accounts.are_there() {
            return Judgement::Unknown;
        }
        match self.find(name).await {
            Ok(None) => Judgement::Unknown,
            Ok(Some(account)) if account.disabled => Judgement::Wrong,
            Ok(Some(account)) => Judgement::Is(Arc::new(account)),
            Err(cause) => Judgement::Unavailable(cause),
        }
    }

    /// The account as it is now.
    async fn find(&self, name: &str) -> Result<Option<Account>, String> {
        // What is no name of an account is the name of no account.
        let Ok(name) = name.parse::<AccountName>() else { return Ok(None) };
        self.0.accounts.get(&name).await.map_err(|error| error.to_string())
    }

    /// Whether somebody may send so many more messages and recipients now.
    ///
    /// # Errors
    /// See [`QuotaRefusal`].
    pub async fn check_quota(
        &self,
        holder: &QuotaHolder,
        messages: u32,
        recipients: u32,
    ) -> Result<(), QuotaRefusal> {
        self.counted(self.0.quotas.check(holder, messages, recipients).await)
    }

    /// Counts a message against somebody's quota.
    ///
    /// # Errors
    /// See [`QuotaRefusal`].
    pub async fn take_quota(&self, holder: &QuotaHolder, recipients: u32) -> Result<(), QuotaRefusal> {
        self.counted(self.0.quotas.take(holder, 1, recipients).await)
    }

    fn counted(&self, result: Result<(), QuotaRefusal>) -> Result<(), QuotaRefusal> {
        if let Err(QuotaRefusal::Used { what, .. }) = &result {
            let label = crate::metrics::QuotaLabel { what };
            self.0.metrics.quota_refusals.get_or_create(&label).inc();
        }
        result
    }
}
