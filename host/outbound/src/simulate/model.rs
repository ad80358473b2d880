//! A provider as its model has it: what it says to one message.

use std::collections::HashMap;
use std::time::Duration;

use baton_mail::status::Remote;
use baton_mail::{EnhancedCode, FailureClass, Outcome, Phase, Reply, Status};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::Model;
use crate::shaping::{Limiter, Rate};

/// A provider at work.
pub(super) struct Provider<'a> {
    pub(super) model: &'a Model,
    rate: Option<Rate>,
    over: Reply,
    refusal: Reply,
    remote: Remote,
    /// What it knows of each source.
    senders: HashMap<String, Sender>,
}

struct Sender {
    limiter: Option<Limiter>,
    first_seen: Duration,
    /// The day that is counted, and how many messages it took.
    day: (u64, u32),
}

/// A message before the provider.
pub(super) struct Offer<'a> {
    pub(super) source: &'a str,
    /// Since the beginning.
    pub(super) at: Duration,
    pub(super) instant: Instant,
    /// How old it is.
    pub(super) age: Duration,
    /// Connections of the source, this one included.
    pub(super) connections: usize,
}

const DAY: Duration = Duration::from_secs(86_400);

impl<'a> Provider<'a> {
    pub(super) fn new(model: &'a Model) -> Provider<'a> {
        let rate = model.accepts.as_ref().and_then(|rate| rate.parse().ok());
        let reply =
            |text: &str| read_reply(text).unwrap_or_else(|| Reply::new(451, EnhancedCode(4, 0, 0), text));
        let host = model.mx_hosts.first().map(String::as_str).unwrap_or_default();
        Provider {
            model,
            rate,
            over: reply(&model.over),
            refusal: reply(&model.refusal),
            remote: Remote::named(host),
            senders: HashMap::new(),
        }
    }

    /// Whether it can be reached.
    pub(super) fn is_up(&self, at: Duration) -> bool {
        let hour = at.as_secs_f64() / 3_600.0;
        !self
            .model
            .outages
            .iter()
            .any(|outage| (outage.from_hour..outage.from_hour + outage.hours).contains(&hour))
    }

    /// What becomes of a message.
    pub(super) fn answer(&mut self, offer: &Offer<'_>, random: &mut StdRng) -> Outcome {
        if !self.is_up(offer.at) {
            let code = EnhancedCode(4, 4, 1);
            let status = Status::ours(Phase::Connect, FailureClass::Network, code, "no connection in time");
            return Outcome::Deferred(status.at(self.remote.clone()));
        }
        if self.model.connections.is_some_and(|most| offer.connections > most) || self.is_too_much(offer) {
            return self.refused(&self.over, Phase::Mail);
        }
        if offer.age < Duration::from_secs(self.model.greylist_s) {
            let reply = Reply::new(451, EnhancedCode(4, 7, 1), "greylisted, try again later");
            return self.refused(&reply, Phase::Rcpt);
        }
        if random.random::<f64>() < self.model.refuses {
            return self.refused(&self.refusal, Phase::Rcpt);
        }
        let reply = Reply::new(250, EnhancedCode(2, 0, 0), "taken");
        Outcome::Delivered(Status::from_reply(Phase::Data, &reply, self.remote.clone()))
    }

    /// Whether a message is beyond the rate of its source, or beyond what the source is trusted with today.
    fn is_too_much(&mut self, offer: &Offer<'_>) -> bool {
        let rate = self.rate;
        let sender = self.senders.entry(offer.source.to_owned()).or_insert_with(|| Sender {
            limiter: rate.map(|rate| Limiter::new(rate, String::new(), offer.instant)),
            first_seen: offer.at,
            day: (0, 0),
        });
        let day = (offer.at - sender.first_seen).as_secs() / DAY.as_secs();
        if sender.day.0 != day {
            sender.day = (day, 0);
        }
        let trusted = usize::try_from(day).ok().and_then(|day| self.model.trust.get(day)).copied();
        if trusted.is_some_and(|most| sender.day.1 >= most) {
            return true;
        }
        if sender.limiter.as_ref().is_some_and(|limiter| limiter.draw(offer.instant, 1.0).is_err()) {
            return true;
        }
        sender.day.1 += 1;
        false
    }

    fn refused(&self, reply: &Reply, phase: Phase) -> Outcome {
        let status = Status::from_reply(phase, reply, self.remote.clone());
        if reply.is_permanent() { Outcome::Failed(status) } else { Outcome::Deferred(status) }
    }
}

/// A reply in the form in which it is on the wire.
pub(super) fn read_reply(text: &str) -> Option<Reply> {
    let (code, rest) = text.split_once(' ')?;
    let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
    let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
    match first.parse::<EnhancedCode>() {
        Ok(enhanced) => Some(Reply::new(code, enhanced, text)),
        Err(_) => Some(Reply::from_lines(code, None, [rest])),
    }
}
