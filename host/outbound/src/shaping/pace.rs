//! What paces one site: its limits, its limiters, and how they stand now.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::ShapingSettings;
use super::limits::{Limiters, Limits, Places};
use super::provider::Provider;
use super::rate::{Limiter, Rate};
use super::window::{Sign, Window};

/// When there will be a token, and what for.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(crate) until: Instant,
    pub(crate) limiter: Arc<Limiter>,
}

/// The limits of one site, by the settings of its moment.
#[derive(Debug)]
pub(crate) struct Pace {
    /// To see whether the settings are others by now.
    settings: Arc<ShapingSettings>,
    pub(crate) limits: Limits,
    messages: SmallVec<[Arc<Limiter>; 2]>,
    opens: SmallVec<[Arc<Limiter>; 2]>,
    /// Places for connections to the provider.
    pub(crate) places: Option<Arc<Places>>,
    /// How many times slower it is for now.
    factor: f64,
}

impl Default for Pace {
    /// By no settings, without limits.
    fn default() -> Pace {
        Pace {
            settings: Arc::default(),
            limits: Limits::default(),
            messages: SmallVec::new(),
            opens: SmallVec::new(),
            places: None,
            factor: 1.0,
        }
    }
}

impl Pace {
    /// That of a site, which is told of by `site` and `source` names.
    pub(crate) fn new(
        settings: &Arc<ShapingSettings>,
        limiters: &Limiters,
        provider: Option<&Provider>,
        (site, source): (&str, &str),
        now: Instant,
    ) -> Pace {
        let limits = settings.limits(provider);
        let by = if source.is_empty() { String::new() } else { format!(" by source {source}") };
        let own = |kind: &str, rate: Option<Rate>| {
            rate.map(|rate| limiters.rate(&format!("{kind} rate of {site}{by}"), rate, now))
        };
        let total = |kind: &str, rate: Option<Rate>| {
            let name = &provider?.name;
            rate.map(|rate| limiters.rate(&format!("{kind} rate of provider {name}"), rate, now))
        };
        let of_all = provider.map(|provider| provider.total).unwrap_or_default();
        let messages = [own("message", limits.message_rate), total("message", of_all.message_rate)];
        let opens = [own("connection", limits.connection_rate), total("connection", of_all.connection_rate)];
        let places = provider
            .and_then(|provider| of_all.connections.map(|most| limiters.connections(&provider.name, most)));
        Pace {
            settings: Arc::clone(settings),
            limits,
            messages: messages.into_iter().flatten().collect(),
            opens: opens.into_iter().flatten().collect(),
            places,
            factor: 1.0,
        }
    }

    /// That of a place without limits: on this machine, or next to it.
    pub(crate) fn unlimited(settings: &Arc<ShapingSettings>) -> Pace {
        Pace { settings: Arc::clone(settings), ..Pace::default() }
    }

    /// The same, so many times slower.
    pub(crate) fn slowed(self, factor: f64) -> Pace {
        Pace { factor: factor.max(1.0), ..self }
    }

    /// Whether it is by these settings.
    pub(crate) fn is_by(&self, settings: &Arc<ShapingSettings>) -> bool {
        Arc::ptr_eq(&self.settings, settings)
    }

    /// How many times slower it is for now.
    pub(crate) fn factor(&self) -> f64 {
        self.factor
    }

    /// Takes a token of each limiter for a message, and for a connection when one is to be opened; or of none.
    pub(crate) fn draw(&self, opens: bool) -> Result<(), Wait> {
        // Where no rate holds, nobody looks at the clock.
        if self.messages.is_empty() && (self.opens.is_empty() || !opens) {
            return Ok(());
        }
        self.draw_at(opens, Instant::now())
    }

    /// As [`Pace::draw`], at a moment.
    pub(crate) fn draw_at(&self, opens: bool, now: Instant) -> Result<(), Wait> {
        let connection: &[Arc<Limiter>] = if opens { &self.opens } else { &[] };
        let mut taken: SmallVec<[&Arc<Limiter>; 4]> = SmallVec::new();
        for limiter in self.messages.iter().chain(connection) {
            match limiter.draw(now, self.factor) {
                Ok(()) => taken.push(limiter),
                Err(until) => {
                    taken.iter().for_each(|limiter| limiter.refund(self.factor));
                    return Err(Wait { until, limiter: Arc::clone(limiter) });
                }
            }
        }
        Ok(())
    }

    /// From one message to the next, where a rate holds.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let slowest = self.messages.iter().map(|limiter| limiter.rate.interval()).max()?;
        Some(slowest.mul_f64(self.factor))
    }

    /// How many jobs may wait in memory: what goes out within a minute, and `most` where no rate holds.
    pub(crate) fn ready_max(&self, most: usize) -> usize {
        let Some(interval) = self.interval() else { return most };
        let in_a_minute = 60.0 / interval.as_secs_f64().max(0.000_001);
        // The cast saturates.
        (in_a_minute as usize).clamp(READY_MIN.min(most), most)
    }

    /// Connections at once, before the window is looked at.
    pub(crate) fn connections(&self, most: usize) -> usize {
        let bound = self.limits.connections.unwrap_or(most).max(1);
        if self.factor > 1.0 { ((bound as f64 / self.factor) as usize).max(1) } else { bound }
    }
}

/// Jobs that may wait for the slowest of sites.
const READY_MIN: usize = 16;

/// How a site stands.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    window: Mutex<Window>,
    /// What its next message waits for.
    held_up: Mutex<Option<Wait>>,
}

impl Standing {
    /// Connections at once, by what the site said of late.
    pub(crate) fn allowed(&self, bound: usize) -> usize {
        self.window.lock().allowed(bound)
    }

    /// Takes note of an answer; tells how many connections there may be now.
    pub(crate) fn note(&self, sign: Sign, bound: usize) -> usize {
        self.note_at(sign, bound, Instant::now())
    }

    /// As [`Standing::note`], at a moment.
    pub(crate) fn note_at(&self, sign: Sign, bound: usize, now: Instant) -> usize {
        let mut window = self.window.lock();
        window.note(sign, bound, now);
        window.allowed(bound)
    }

    /// One connection probes before the others come.
    pub(crate) fn restart(&self, bound: usize) {
        self.window.lock().restart(bound);
    }

    /// Notes what came of drawing a token.
    pub(crate) fn drew(&self, drawn: Result<(), Wait>) -> Result<(), Instant> {
        let until = drawn.as_ref().map_err(|wait| wait.until).copied();
        let mut held_up = self.held_up.lock();
        if held_up.is_some() || drawn.is_err() {
            *held_up = drawn.err();
        }
        until
    }

    /// What the next message waits for, when it does.
    pub(crate) fn held_up(&self) -> Option<Wait> {
        self.held_up.lock().clone().filter(|wait| wait.until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::TotalLimits;
    use super::*;

    fn provider(total: &str) -> Provider {
        Provider {
            name: "big".to_owned(),
            matches: Vec::new(),
            site: Limits { message_rate: Some("600/m".parse().unwrap()), ..Limits::default() },
            total: TotalLimits { message_rate: Some(total.parse().unwrap()), ..TotalLimits::default() },
            rules: Vec::new(),
        }
    }

    #[test]
    fn sites_of_a_provider_share_its_limit_and_lose_nothing_to_it() {
        let (settings, limiters) = (Arc::default(), Limiters::default());
        let provider = provider("60/m");
        let began = Instant::now();
        let pace = |site: &str| Pace::new(&settings, &limiters, Some(&provider), (site, "a"), began);
        let (one, other) = (pace("one"), pace("other"));
        let (mut now, mut sent) = (began, 0);
        while now < began + Duration::from_secs(600) {
            let drawn = (one.draw_at(true, now), other.draw_at(true, now));
            sent += u32::from(drawn.0.is_ok()) + u32::from(drawn.1.is_ok());
            if let (Err(wait), Err(_)) = drawn {
                assert_eq!(wait.limiter.about, "message rate of provider big");
                now = wait.until;
            }
        }
        assert!((588..=612).contains(&sent), "600 within 2 %: {sent}");
        let own = one.messages.first().unwrap();
        let full = own.rate.burst;
        let drawn = (0..full).filter(|_| own.draw(now + Duration::from_secs(1), 1.0).is_ok()).count();
        assert_eq!(drawn, full as usize, "what the provider's limit refused was given back");
    }

    #[test]
    fn a_slower_site_has_fewer_connections_and_less_in_memory() {
        let (settings, limiters) = (Arc::default(), Limiters::default());
        let made = Pace::new(&settings, &limiters, Some(&provider("60/m")), ("x", ""), Instant::now());
        assert_eq!((made.ready_max(2_000), made.connections(20)), (60, 20));
        let slow = made.slowed(4.0);
        assert_eq!((slow.ready_max(2_000), slow.connections(20)), (16, 5));
        assert_eq!(slow.interval(), Some(Duration::from_secs(4)));
    }
}
