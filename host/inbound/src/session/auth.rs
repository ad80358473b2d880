//! AUTH: the plugins judge, nobody else does (RFC 4954).

use std::sync::Arc;
use std::time::Duration;

use baton_hooks::{AuthAnswer, Credential, Hook};
use baton_mail::Reply;
use baton_smtp::server::Answer;

use super::Session;
use crate::log;
use crate::replies::{self, Refusal};

impl Session {
    /// Asks the plugins about one set of credentials. They live no longer than this call.
    pub(super) async fn answer_auth(
        &mut self,
        mechanism: &'static str,
        user: &str,
        password: String,
    ) -> Answer {
        if !self.generation.has(Hook::Auth) {
            // A reload removed the judges while this session ran.
            return Answer::Refuse(Refusal::AuthenticationUnavailable.reply());
        }
        let mut call = self.call();
        let verdict = self.generation.auth(&mut call, mechanism, user, Credential::Password(password)).await;
        self.decisions.extend(verdict.decisions);
        match verdict.answer {
            AuthAnswer::Allow(account) => {
                log::authenticated(self.id, &account, mechanism);
                Arc::make_mut(&mut self.facts).account = Some(account.clone());
                Answer::Authenticated(account)
            }
            AuthAnswer::Next => self.fail_auth(mechanism, Refusal::BadCredentials.reply()).await,
            AuthAnswer::Deny(reply) => self.fail_auth(mechanism, reply).await,
            AuthAnswer::Tempfail(reply) => {
                self.count_rejection("auth", &reply);
                Answer::Refuse(reply)
            }
            AuthAnswer::Disconnect(reply) => {
                self.count_rejection("auth", &reply);
                Answer::Disconnect(replies::closing(&reply))
            }
        }
    }

    /// Holds the answer back, and ends the session after too many failures: guessing must be slow.
    async fn fail_auth(&mut self, mechanism: &'static str, reply: Reply) -> Answer {
        self.auth_failures += 1;
        self.count_rejection("auth", &reply);
        log::authentication_failed(self.id, mechanism, &reply, self.auth_failures);
        let (delay_ms, failures_max) = {
            let policy = self.listener.deps.policy.load();
            (policy.auth_failure_delay_ms, policy.auth_failures_max)
        };
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        if self.auth_failures >= failures_max {
            return Answer::Disconnect(Refusal::TooManyFailures.reply());
        }
        Answer::Refuse(reply)
    }
}
