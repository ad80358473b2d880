//! Mechanisms of several messages: the machine carries them, the exchange is here.

use std::sync::Arc;

use baton_accounts::{Judgement, TokenVerdict};
use baton_hooks::Credential;
use baton_smtp::sasl::Bearer;
use baton_smtp::sasl::scram::{AwaitingProof, ClientFirst, ScramError};
use baton_smtp::server::{Answer, Mechanism};

use super::Session;
use super::auth::{Trial, User};
use crate::log;
use crate::replies::Refusal;

/// An exchange between two messages of the client.
pub(super) enum Exchange {
    /// SCRAM waits for the proof. Without a user no proof is right.
    Proof { trial: Trial, user: Option<User>, awaiting: Box<AwaitingProof> },
    /// The proof was right and ours is sent: the client ends the exchange when it is content (RFC 5802 3).
    Proven { trial: Trial, user: User },
    /// The client was told why its token is not taken, and says that it has read it (RFC 7628 3.2.3).
    Told { trial: Trial },
}

impl Session {
    /// One message of a client.
    pub(super) async fn answer_auth_message(
        &mut self,
        mechanism: Mechanism,
        is_first: bool,
        message: &[u8],
    ) -> Answer {
        // What an exchange left behind that the client gave up is over.
        match self.exchange.take().filter(|_| !is_first).map(|exchange| *exchange) {
            None if matches!(mechanism, Mechanism::OauthBearer | Mechanism::Xoauth2) => {
                self.answer_token(mechanism, message).await
            }
            None => self.begin_scram(mechanism, message).await,
            Some(Exchange::Told { trial }) => self.fail_auth(trial, Refusal::BadCredentials.reply()).await,
            Some(Exchange::Proof { trial, user, awaiting }) => {
                self.check_proof(trial, user, *awaiting, message).await
            }
            Some(Exchange::Proven { trial, user }) if message.is_empty() => self.admit(trial, user),
            Some(Exchange::Proven { trial, .. }) => {
                self.fail_auth(trial, Refusal::AuthMalformed.reply()).await
            }
        }
    }

    async fn begin_scram(&mut self, mechanism: Mechanism, message: &[u8]) -> Answer {
        let first = match ClientFirst::parse(message, mechanism == Mechanism::ScramSha256Plus) {
            Ok(first) => first,
            Err(error) => return self.refuse_malformed(error),
        };
        let trial = match self.begin_trial(mechanism, Some(first.username())).await {
            Ok(trial) => trial,
            Err(answer) => return answer,
        };
        let authenticator = self.listener.deps.authenticator.clone();
        let revision = authenticator.accounts().revision();
        let start = match authenticator.begin_scram(first.username()).await {
            Ok(start) => start,
            Err(cause) => return self.give_auth_up(trial, &cause),
        };
        // Where the bound mechanism is not offered, a client that says so tells the truth.
        let exporter = self.channel_binding.filter(|_| self.server.offers(Mechanism::ScramSha256Plus));
        match first.answer(start.keys, &start.nonce, exporter.as_ref().map(<[u8; 32]>::as_slice)) {
            Ok((challenge, awaiting)) => {
                let user =
                    start.account.map(|account| User { account, revision, is_kept: true, is_program: false });
                let awaiting = Box::new(awaiting);
                self.exchange = Some(Box::new(Exchange::Proof { trial, user, awaiting }));
                Answer::Challenge(challenge.into_bytes())
            }
            Err(_) => self.fail_auth(trial, Refusal::BadCredentials.reply()).await,
        }
    }

    async fn check_proof(
        &mut self,
        trial: Trial,
        user: Option<User>,
        awaiting: AwaitingProof,
        message: &[u8],
    ) -> Answer {
        match (awaiting.finish(message), user) {
            (Ok(proof), Some(user)) => {
                self.exchange = Some(Box::new(Exchange::Proven { trial, user }));
                Answer::Challenge(proof.into_bytes())
            }
            (Ok(_) | Err(ScramError::Wrong), _) => {
                self.fail_auth(trial, Refusal::BadCredentials.reply()).await
            }
            (Err(_), _) => self.fail_auth(trial, Refusal::AuthMalformed.reply()).await,
        }
    }

    async fn answer_token(&mut self, mechanism: Mechanism, message: &[u8]) -> Answer {
        let read = match mechanism {
            Mechanism::Xoauth2 => Bearer::read_xoauth2(message),
            _ => Bearer::read_oauthbearer(message),
        };
        let Some(Bearer { user, token }) = read else { return self.refuse_malformed(ScramError::Malformed) };
        let trial = match self.begin_trial(mechanism, user.as_deref()).await {
            Ok(trial) => trial,
            Err(answer) => return answer,
        };
        let authenticator = self.listener.deps.authenticator.clone();
        match authenticator.check_token(user.as_deref(), &token).await {
            TokenVerdict::Is { account, admits_unknown } => {
                self.admit_by_token(trial, &account, admits_unknown).await
            }
            TokenVerdict::Foreign => {
                self.ask_auth(trial, &user.unwrap_or_default(), Credential::Token(token)).await
            }
            TokenVerdict::Unavailable(cause) => self.give_auth_up(trial, &cause),
            TokenVerdict::Invalid { reason, oauthbearer, xoauth2 } => {
                log::token_refused(self.id, mechanism.as_str(), reason);
                self.exchange = Some(Box::new(Exchange::Told { trial }));
                let told = if mechanism == Mechanism::Xoauth2 { xoauth2 } else { oauthbearer };
                Answer::Challenge(told.into_bytes())
            }
        }
    }

    /// An issuer vouches for the account. Where the store knows it, what it says holds.
    async fn admit_by_token(&mut self, trial: Trial, name: &str, admits_unknown: bool) -> Answer {
        let authenticator = self.listener.deps.authenticator.clone();
        let revision = authenticator.accounts().revision();
        let unknown = || authenticator.unknown_account(name).filter(|_| admits_unknown);
        let (account, is_kept) = match authenticator.vouched(name).await {
            Judgement::Is(account) => (account, true),
            Judgement::Unavailable(cause) => return self.give_auth_up(trial, &cause),
            Judgement::Unknown => match unknown() {
                Some(account) => (Arc::new(account), false),
                None => return self.fail_auth(trial, Refusal::BadCredentials.reply()).await,
            },
            Judgement::Wrong => return self.fail_auth(trial, Refusal::BadCredentials.reply()).await,
        };
        self.admit(trial, User { account, revision, is_kept, is_program: false })
    }

    /// A first message that names nobody: nobody's password was tried.
    fn refuse_malformed(&mut self, error: ScramError) -> Answer {
        let reply = match error {
            ScramError::Malformed => Refusal::AuthMalformed.reply(),
            ScramError::Extension | ScramError::Wrong => Refusal::BadCredentials.reply(),
        };
        self.count_rejection("auth", &reply);
        Answer::Refuse(reply)
    }
}
