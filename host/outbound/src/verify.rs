//! Questions to next hops: would you take mail for this recipient? Routed as a delivery would be, without one.
//!
//! Invariant: nothing is sent but MAIL FROM:<>, RCPT TO and RSET, so no mail comes of it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use baton_dns::Resolver;
use baton_mail::trace::Hub;
use baton_mail::{Body, Mailbox, Reply, ReversePath};
use baton_smtp::client::{Requests, Transaction};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::connect::{Purpose, Reach, connect};
use crate::link::Link;
use crate::metrics::{Metrics, Question};
use crate::settings::OutboundSettings;
use crate::site::{Route, Target, find_target};
use crate::sts::Policies;

/// Recipients whose answer is remembered.
const ANSWERS_MAX: usize = 10_000;

/// What a next hop said about a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientAnswer {
    /// The host that was asked.
    pub host: String,
    /// Its reply to RCPT TO, or to MAIL FROM when it refused that.
    pub reply: Reply,
}

/// The next hop could not be asked; why, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unasked(pub String);

/// Asks next hops, a bounded number at once, and remembers final answers for a short time.
pub struct Verifier {
    settings: Arc<ArcSwap<OutboundSettings>>,
    reach: Reach,
    turns: ArcSwap<Turns>,
    answers: Cache<Mailbox, (Instant, RecipientAnswer)>,
}

/// Turns to ask, as many as the settings said when they were made.
struct Turns {
    most: usize,
    free: Semaphore,
}

impl Turns {
    fn new(most: usize) -> Turns {
        Turns { most, free: Semaphore::new(most.max(1)) }
    }
}

impl Verifier {
    /// A verifier by the settings of delivery, which are read with each question.
    pub fn new(
        settings: Arc<ArcSwap<OutboundSettings>>,
        resolver: Resolver,
        policies: Policies,
        metrics: Arc<Metrics>,
        trace: Arc<Hub>,
    ) -> Verifier {
        let turns = ArcSwap::from_pointee(Turns::new(settings.load().limits.verify_max));
        Verifier {
            settings,
            reach: Reach::new(resolver, policies, None, metrics, trace),
            turns,
            answers: Cache::new(ANSWERS_MAX),
        }
    }

    /// Asks about one recipient. Each step has the deadline of delivery; the caller may give up earlier.
    ///
    /// # Errors
    /// There was nobody to ask, or no reply.
    pub async fn ask(&self, recipient: &Mailbox) -> Result<RecipientAnswer, Unasked> {
        let count = |answer| self.reach.metrics.questions.get_or_create(&Question { answer }).inc();
        if let Some(answer) = self.remembered(recipient) {
            count("remembered");
            return Ok(answer);
        }
        let asked = self.ask_next_hop(recipient).await;
        count(match &asked {
            Ok(answer) if answer.reply.is_positive() => "yes",
            Ok(answer) if answer.reply.is_permanent() => "no",
            Ok(_) => "later",
            Err(_) => "unanswered",
        });
        asked
    }

    /// The turns there are. After a reload with another number there are new ones; who asks already comes to an end.
    fn turns(&self, most: usize) -> Arc<Turns> {
        let turns = self.turns.load_full();
        if turns.most == most {
            return turns;
        }
        let turns = Arc::new(Turns::new(most));
        self.turns.store(Arc::clone(&turns));
        turns
    }

    fn remembered(&self, recipient: &Mailbox) -> Option<RecipientAnswer> {
        let (until, answer) = self.answers.get(recipient)?;
        (Instant::now() < until).then_some(answer)
    }

    async fn ask_next_hop(&self, recipient: &Mailbox) -> Result<RecipientAnswer, Unasked> {
        let turns = self.turns(self.settings.load().limits.verify_max);
        let _turn = turns.free.acquire().await.map_err(|error| Unasked(error.to_string()))?;
        let settings = self.settings.load_full();
        let route = Route::of_settings(settings.routes.find(recipient.domain()));
        let found = find_target(&route, &self.reach, &settings).await;
        let target = found.map_err(|outcome| Unasked(outcome.status().to_string()))?;
        if matches!(target, Target::File(_) | Target::Http(_)) {
            return Err(Unasked(format!("{} is not a host that can be asked", route.next_hop)));
        }
        let source = settings.sources.for_questions();
        let purpose = Purpose { source, domain: Some(recipient.domain()), is_counted: false };
        let connected = connect(&self.reach, &settings, &target, purpose).await;
        let mut link = connected.map_err(|outcome| Unasked(outcome.status().to_string()))?;
        let asked = link.ask(question(recipient), &settings).await;
        let host = link.host().to_owned();
        // The goodbye takes its time; the answer does not wait for it.
        tokio::spawn(Link::leave(Some(link)));
        let answer = RecipientAnswer { host, reply: asked.map_err(|status| Unasked(status.to_string()))? };
        self.remember(recipient, &answer, settings.limits.verify_cache_ms);
        Ok(answer)
    }

    /// A transient refusal, as of a greylist, says nothing about the next question.
    fn remember(&self, recipient: &Mailbox, answer: &RecipientAnswer, lasts_ms: u64) {
        let is_final = answer.reply.is_positive() || answer.reply.is_permanent();
        if is_final && lasts_ms > 0 {
            let until = Instant::now() + Duration::from_millis(lasts_ms);
            self.answers.insert(recipient.clone(), (until, answer.clone()));
        }
    }
}

/// With the null sender no host has a reason to look at who asks.
fn question(recipient: &Mailbox) -> Transaction {
    Transaction {
        sender: ReversePath::Null,
        recipients: vec![recipient.clone()],
        body: Body::default(),
        eight_bit: false,
        binary: false,
        smtputf8: recipient.needs_smtputf8(),
        size: 0,
        requests: Requests::default(),
    }
}
