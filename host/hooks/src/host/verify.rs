//! `verify`: does the next hop take mail for a recipient? Asked at the rcpt hook, by grant.

use baton_mail::text::sanitize;
use baton_mail::{Domain, Mailbox, Reply};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::failure;
use crate::Hook;
use crate::bindings::baton::relay::verify::{Address, Answer, Error, Host};
use crate::state::State;

/// Octets of an error's words, and of a host's name.
const WORDS_OCTETS_MAX: usize = 512;

/// Asks next hops. The binary provides it over delivery's routes and connections.
pub trait VerifyBackend: Send + Sync + 'static {
    /// What the next hop says to RCPT TO. The caller bounds the time.
    fn recipient<'a>(&'a self, rcpt: &'a Mailbox) -> BoxFuture<'a, Result<VerifyAnswer, VerifyError>>;
}

/// What a next hop said.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct VerifyAnswer {
    /// Its name.
    pub host: String,
    /// Its reply to RCPT TO, or to MAIL FROM when it refused that.
    pub reply: Reply,
}

/// Why there is no answer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The next hop could not be asked.
    #[error("{0}")]
    Failed(String),
}

impl State {
    /// The mailbox, when the plugin may ask about it.
    fn check_question(&mut self, rcpt: &Address) -> Result<Mailbox, Error> {
        if self.hook != Some(Hook::Rcpt) || !self.terms.grants.verify {
            return Err(Error::Denied);
        }
        let domain: Domain = rcpt.domain.parse().map_err(|_| Error::Failed("not a domain".to_owned()))?;
        let mailbox = Mailbox::new(&rcpt.local, domain)
            .map_err(|error| Error::Failed(format!("not an address: {error}")))?;
        let questions_max = self.terms.limits.verify_questions_max;
        let too_many = || Error::Failed(format!("more than {questions_max} questions in one call"));
        self.budget.verify_questions = self.budget.verify_questions.checked_sub(1).ok_or_else(too_many)?;
        Ok(mailbox)
    }
}

impl Host for State {
    async fn recipient(&mut self, rcpt: Address) -> wasmtime::Result<Result<Answer, Error>> {
        self.charge()?;
        let mailbox = match self.check_question(&rcpt) {
            Ok(mailbox) => mailbox,
            Err(error) => return Ok(Err(error)),
        };
        let asking = self.terms.capabilities.verify.recipient(&mailbox);
        let answered = tokio::time::timeout_at(self.answer_deadline(None), asking).await;
        Ok(match answered {
            Ok(Ok(answer)) => Ok(Answer {
                host: sanitize(&answer.host, WORDS_OCTETS_MAX),
                reply: failure::reply(&answer.reply),
            }),
            Ok(Err(VerifyError::Timeout)) | Err(_) => Err(Error::Timeout),
            Ok(Err(VerifyError::Failed(detail))) => Err(Error::Failed(sanitize(&detail, WORDS_OCTETS_MAX))),
        })
    }
}
