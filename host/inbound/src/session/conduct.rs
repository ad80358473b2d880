//! How a client behaves: whether it waits to be greeted, how often it is wrong, and what its mistakes cost it.

use std::time::Duration;

use baton_mail::Reply;
use tokio::time::Instant;

use super::Session;
use super::wire::{Arrival, Wire};
use crate::log;
use crate::policy::after;
use crate::rates::Whose;
use crate::replies::Refusal;
use crate::standing::Standing;

/// What is remembered of a client's behaviour.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    /// Errors that the machine had counted at the last look.
    errors: u32,
    /// Recipients that were refused for good.
    refused: u32,
    /// Those of them whose answers did not leave yet.
    refused_since: u32,
    /// Mistakes since the last message: errors, and recipients refused for good.
    mistakes: u32,
}

impl Conduct {
    /// The client delivered something: its past is forgiven.
    pub(super) fn forgive(&mut self) {
        self.mistakes = 0;
    }

    /// Mistakes since the last look.
    fn new_mistakes(&mut self, errors: u32) -> u32 {
        let new = errors.saturating_sub(self.errors) + std::mem::take(&mut self.refused_since);
        self.errors = errors;
        self.mistakes = self.mistakes.saturating_add(new);
        new
    }
}

impl Session {
    /// What holds for this client just now.
    pub(super) fn standing(&self) -> Standing {
        self.listener.standing(&self.listener.deps.policy.load(), self.client)
    }

    /// Waits before the greeting, as long as the settings say; true when the client talked meanwhile, which no honest
    /// one does (RFC 5321 4.3.1).
    pub(super) async fn talks_early(&mut self, wire: &mut Wire) -> bool {
        let standing = self.standing();
        if standing.is_exempt {
            return false;
        }
        let delay = Duration::from_millis(standing.limits.greet_delay_ms.min(HELD_MS_MAX));
        if !delay.is_zero() {
            wire.set_deadline(Instant::now() + delay);
            match wire.wait(self.drained_at.is_none()).await {
                Arrival::Stop => self.drained_at = Some(after(Instant::now(), self.listener.drain_s)),
                Arrival::Octets(_) | Arrival::End | Arrival::Broken | Arrival::Late => {}
            }
        }
        standing.limits.refuse_early_talkers && wire.has_input()
    }

    /// Notes that it did, and says what it is told.
    pub(super) fn refuse_early_talker(&self) -> Reply {
        let reply = Refusal::EarlyTalk.reply();
        self.note_limit("early-talk");
        self.count_rejection("connect", &reply);
        log::connection_refused(self.id, self.peer, super::RULES, &reply);
        reply
    }

    /// Holds replies to mistakes back, each for a while, once there are too many: whoever guesses shall be slow.
    pub(super) async fn hold_back(&mut self, wire: &mut Wire) {
        let new = self.conduct.new_mistakes(self.server.errors());
        if new == 0 {
            return;
        }
        let Standing { is_exempt, limits, .. } = self.standing();
        let costly = new.min(self.conduct.mistakes.saturating_sub(limits.mistakes_free));
        let delay_ms = limits.mistake_delay_ms.saturating_mul(u64::from(costly)).min(HELD_MS_MAX);
        if is_exempt || delay_ms == 0 {
            return;
        }
        self.note_limit("held-back");
        if wire.pause(Instant::now() + Duration::from_millis(delay_ms), self.drained_at.is_none()).await {
            self.drained_at = Some(after(Instant::now(), self.listener.drain_s));
        }
    }

    /// Counts a transaction, or says that there are too many.
    pub(super) fn take_message(&self) -> Result<(), Refusal> {
        if self.facts.account.is_some() {
            return Ok(());
        }
        let standing = self.standing();
        if standing.is_exempt {
            return Ok(());
        }
        standing.take_message(&self.listener.shared.rates).map_err(|whose| {
            self.note_limit(match whose {
                Whose::Address => "messages-per-minute",
                Whose::Network => "network-messages-per-minute",
            });
            Refusal::MessageRate
        })
    }

    /// Counts a recipient that the client names, or says that there are too many.
    pub(super) fn take_recipient(&self) -> Result<(), Refusal> {
        if self.facts.account.is_some() {
            return Ok(());
        }
        let standing = self.standing();
        if standing.is_exempt {
            return Ok(());
        }
        let rates = &self.listener.shared.rates;
        if standing.is_harvester(rates) {
            self.note_limit("refused-recipients-per-hour");
            return Err(Refusal::RecipientRate);
        }
        standing.take_recipient(rates).map_err(|whose| {
            self.note_limit(match whose {
                Whose::Address => "recipients-per-minute",
                Whose::Network => "network-recipients-per-minute",
            });
            Refusal::RecipientRate
        })
    }

    /// Notes a recipient that was refused; true when it was one too many: whoever tries names one after the other must
    /// not learn which exist.
    pub(super) fn note_refused_recipient(&mut self, reply: &Reply) -> bool {
        if !reply.is_permanent() {
            return false;
        }
        self.conduct.refused = self.conduct.refused.saturating_add(1);
        self.conduct.refused_since = self.conduct.refused_since.saturating_add(1);
        let standing = self.standing();
        if standing.is_exempt || self.facts.account.is_some() {
            return false;
        }
        standing.note_refused(&self.listener.shared.rates);
        let most = standing.limits.refused_recipients_max;
        let is_last = most > 0 && self.conduct.refused >= most;
        if is_last {
            self.note_limit("refused-recipients");
        }
        is_last
    }

    fn note_limit(&self, reason: &'static str) {
        self.listener.deps.metrics.count_limited(reason);
        log::limited(self.id, self.peer, reason);
    }
}

/// Nothing is held back longer than this, in milliseconds: clients give up, and a stop must not wait for them.
const HELD_MS_MAX: u64 = 30_000;
