//! AUTH (RFC 4954): the accounts of the store judge, and the plugins those that it does not know.

use std::sync::Arc;
use std::time::Duration;

use baton_accounts::{Attempt, Blocked, Judgement};
use baton_hooks::{AuthAnswer, Credential, Hook};
use baton_mail::{Account, Reply};
use baton_smtp::server::{Answer, Mechanism};
use tokio::time::Instant;

use super::Session;
use crate::log;
use crate::replies::{self, Refusal};

/// The account of a session, as the store had it.
pub(super) struct User {
    pub(super) account: Arc<Account>,
    /// Which state of the accounts that was.
    pub(super) revision: u64,
    /// The store has it; otherwise an issuer of tokens vouches for it.
    pub(super) is_kept: bool,
    /// A program that showed a token of its own: the accounts know nothing about it.
    pub(super) is_program: bool,
}

/// One AUTH on its way to an answer.
pub(super) struct Trial {
    pub(super) mechanism: Mechanism,
    /// When it began: every "no" comes so much later, whatever the work was.
    pub(super) begun: Instant,
    pub(super) attempt: Attempt,
}

impl Session {
    /// Judges a name and a password. They live no longer than this call.
    pub(super) async fn answer_auth(&mut self, mechanism: Mechanism, user: &str, password: String) -> Answer {
        let trial = match self.begin_trial(mechanism, Some(user)).await {
            Ok(trial) => trial,
            Err(answer) => return answer,
        };
        let authenticator = self.listener.deps.authenticator.clone();
        let revision = authenticator.accounts().revision();
        match authenticator.check_password(user, &password).await {
            Judgement::Is(account) => {
                self.admit(trial, User { account, revision, is_kept: true, is_program: false })
            }
            Judgement::Wrong => self.fail_auth(trial, Refusal::BadCredentials.reply()).await,
            Judgement::Unavailable(cause) => self.give_auth_up(trial, &cause),
            Judgement::Unknown => self.ask_auth(trial, user, Credential::Password(password)).await,
        }
    }

    /// Counts an attempt to be `user`, unless there were too many that failed.
    pub(super) async fn begin_trial(
        &mut self,
        mechanism: Mechanism,
        user: Option<&str>,
    ) -> Result<Trial, Answer> {
        let begun = Instant::now();
        let deps = &self.listener.deps;
        let is_trusted = deps.policy.load().is_relay_network(self.client);
        match deps.authenticator.attempt(self.client, is_trusted, user) {
            Ok(attempt) => Ok(Trial { mechanism, begun, attempt }),
            Err(blocked) => Err(self.refuse_blocked(mechanism, blocked, begun).await),
        }
    }

    async fn refuse_blocked(&mut self, mechanism: Mechanism, blocked: Blocked, begun: Instant) -> Answer {
        let reply = match blocked {
            Blocked::Network => Refusal::TooManyFailures.reply(),
            Blocked::Account => Refusal::AccountBlocked.reply(),
        };
        self.count_auth(mechanism, blocked.as_str());
        self.count_rejection("auth", &reply);
        log::authentication_failed(self.id, mechanism.as_str(), &reply, self.auth_failures);
        self.wait_since(begun).await;
        match blocked {
            Blocked::Network => Answer::Disconnect(reply),
            Blocked::Account => Answer::Refuse(reply),
        }
    }

    /// Asks the plugins about credentials of no account in the store.
    pub(super) async fn ask_auth(&mut self, trial: Trial, user: &str, credential: Credential) -> Answer {
        if !self.generation.has(Hook::Auth) {
            if self.listener.has_own_judges() {
                return self.fail_auth(trial, Refusal::BadCredentials.reply()).await;
            }
            // A reload removed the judges while this session ran.
            return self.give_auth_up(trial, "nobody judges any more");
        }
        let mut call = self.call();
        let verdict = self.generation.auth(&mut call, trial.mechanism.as_str(), user, credential).await;
        self.decisions.extend(verdict.decisions);
        match verdict.answer {
            AuthAnswer::Allow(account) => self.admit_vouched(trial, account).await,
            AuthAnswer::Next => self.fail_auth(trial, Refusal::BadCredentials.reply()).await,
            AuthAnswer::Deny(reply) => self.fail_auth(trial, reply).await,
            AuthAnswer::Tempfail(reply) => {
                trial.attempt.take_back();
                self.count_auth(trial.mechanism, "unavailable");
                self.count_rejection("auth", &reply);
                Answer::Refuse(reply)
            }
            AuthAnswer::Disconnect(reply) => {
                self.count_auth(trial.mechanism, "wrong");
                self.count_rejection("auth", &reply);
                Answer::Disconnect(replies::closing(&reply))
            }
        }
    }

    /// Somebody vouches for this account. Where the store knows it, what it says holds.
    pub(super) async fn admit_vouched(&mut self, trial: Trial, name: String) -> Answer {
        let authenticator = self.listener.deps.authenticator.clone();
        let revision = authenticator.accounts().revision();
        match authenticator.vouched(&name).await {
            Judgement::Is(account) => {
                self.admit(trial, User { account, revision, is_kept: true, is_program: false })
            }
            Judgement::Unknown => self.welcome(trial, name),
            Judgement::Wrong => self.fail_auth(trial, Refusal::BadCredentials.reply()).await,
            Judgement::Unavailable(cause) => self.give_auth_up(trial, &cause),
        }
    }

    /// The client is this account of the store.
    pub(super) fn admit(&mut self, trial: Trial, user: User) -> Answer {
        let name = user.account.name.to_string();
        self.user = Some(user);
        self.welcome(trial, name)
    }

    fn welcome(&mut self, trial: Trial, account: String) -> Answer {
        trial.attempt.succeed();
        self.count_auth(trial.mechanism, "ok");
        log::authenticated(self.id, &account, trial.mechanism.as_str());
        Arc::make_mut(&mut self.facts).account = Some(account.clone());
        Answer::Authenticated(account)
    }

    /// Nobody can judge now: no failure of the client.
    pub(super) fn give_auth_up(&mut self, trial: Trial, cause: &str) -> Answer {
        let reply = Refusal::AuthenticationUnavailable.reply();
        trial.attempt.take_back();
        self.count_auth(trial.mechanism, "unavailable");
        self.count_rejection("auth", &reply);
        log::authentication_unavailable(self.id, trial.mechanism.as_str(), cause);
        Answer::Refuse(reply)
    }

    /// Holds the answer back, and ends the session after too many failures: guessing must be slow.
    pub(super) async fn fail_auth(&mut self, trial: Trial, reply: Reply) -> Answer {
        self.auth_failures += 1;
        self.count_auth(trial.mechanism, "wrong");
        self.count_rejection("auth", &reply);
        log::authentication_failed(self.id, trial.mechanism.as_str(), &reply, self.auth_failures);
        self.wait_since(trial.begun).await;
        if self.auth_failures >= self.listener.deps.policy.load().auth_failures_max {
            return Answer::Disconnect(Refusal::TooManyFailures.reply());
        }
        Answer::Refuse(reply)
    }

    /// Waits until so long after `begun` that nobody learns from the time what the work was.
    async fn wait_since(&self, begun: Instant) {
        let delay = Duration::from_millis(self.listener.deps.policy.load().auth_failure_delay_ms);
        tokio::time::sleep_until(begun + delay).await;
    }

    fn count_auth(&self, mechanism: Mechanism, result: &'static str) {
        self.listener.deps.authenticator.metrics().count(mechanism.as_str(), result);
    }
}
