//! Instances that rest between calls: for any call (pool), or for the next call of their session.
//!
//! Invariant: an instance that rests answered its last call, holds no handle, and is bounded in age or idleness; the
//! resting ones are bounded in number, per plugin and over all plugins. A fresh one is always as good.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use baton_mail::SessionId;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::engine::{Engine, Room};
use crate::instance::Instance;
use crate::{Hook, Instances, PoolSettings, RunSettings, SessionSettings};

/// The resting instances of one plugin.
pub(crate) struct Shelf {
    engine: Engine,
    keeping: Keeping,
    resting: Mutex<Resting>,
    /// The generation of this plugin serves no more: nothing rests here from now on.
    is_retired: AtomicBool,
}

/// How instances are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Keeping {
    Nothing,
    Pool(PoolSettings),
    Sessions(SessionSettings),
}

#[derive(Default)]
struct Resting {
    #[expect(clippy::vec_box, reason = "handed to and fro at each call")]
    pool: Vec<Box<Kept>>,
    sessions: HashMap<SessionId, Box<Kept>>,
    /// A task that looks after them runs.
    is_swept: bool,
}

/// An instance that may rest after its call. Boxed, as it is handed to and fro at each call.
pub(crate) struct Kept {
    pub(crate) instance: Instance,
    born: Instant,
    rested_at: Instant,
    uses_left: u32,
    _room: Room,
}

/// For whom an instance is: the session, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) hook: Hook,
    pub(crate) session: SessionId,
}

impl Shelf {
    pub(crate) fn new(engine: &Engine, run: &RunSettings) -> Arc<Shelf> {
        let keeping = match run.instances {
            Instances::Fresh => Keeping::Nothing,
            Instances::Pool => Keeping::Pool(run.pool),
            Instances::Session => Keeping::Sessions(run.session),
        };
        Arc::new(Shelf {
            engine: engine.clone(),
            keeping,
            resting: Mutex::default(),
            is_retired: AtomicBool::new(false),
        })
    }

    /// A resting instance for a call there.
    pub(crate) fn take(&self, place: Place, now: Instant) -> Option<Box<Kept>> {
        match self.keeping {
            Keeping::Nothing => None,
            Keeping::Pool(settings) => {
                let mut resting = self.resting.lock();
                let kept = resting.pool.pop()?;
                drop(resting);
                (now.saturating_duration_since(kept.born) < Duration::from_secs(settings.age_s))
                    .then_some(kept)
            }
            Keeping::Sessions(_) if place.has_session() => {
                self.resting.lock().sessions.remove(&place.session)
            }
            Keeping::Sessions(_) => None,
        }
    }

    /// Makes an instance that was used for one call one that may rest; none where that is not wanted.
    pub(crate) fn adopt(&self, instance: Instance, place: Place, now: Instant) -> Option<Box<Kept>> {
        let uses_left = match self.keeping {
            Keeping::Nothing => return None,
            Keeping::Pool(settings) => draw_uses(settings.uses_max),
            Keeping::Sessions(_) if place.has_session() => u32::MAX,
            Keeping::Sessions(_) => return None,
        };
        let room = self.engine.room()?;
        Some(Box::new(Kept { instance, born: now, rested_at: now, uses_left, _room: room }))
    }

    /// Lets an instance rest after a call; answers those that have to go.
    pub(crate) fn give_back(
        self: &Arc<Shelf>,
        mut kept: Box<Kept>,
        place: Place,
        now: Instant,
    ) -> Option<Box<Kept>> {
        kept.uses_left = kept.uses_left.saturating_sub(1);
        kept.rested_at = now;
        if kept.uses_left == 0 || self.is_retired.load(Ordering::Acquire) {
            return Some(kept);
        }
        let mut resting = self.resting.lock();
        let worn_out = match self.keeping {
            Keeping::Nothing => return Some(kept),
            Keeping::Pool(settings) if resting.pool.len() >= settings.size_max => return Some(kept),
            Keeping::Pool(_) => {
                resting.pool.push(kept);
                None
            }
            Keeping::Sessions(settings) => {
                let longest = resting.longest_when_full(settings.size_max);
                let replaced = resting.sessions.insert(place.session, kept);
                longest.or(replaced)
            }
        };
        let starts = !std::mem::replace(&mut resting.is_swept, true);
        drop(resting);
        if starts {
            tokio::spawn(sweep(Arc::downgrade(self), self.pause()));
        }
        worn_out
    }

    /// Drops all that rest, for good.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
        let dropped = {
            let mut resting = self.resting.lock();
            (std::mem::take(&mut resting.pool), std::mem::take(&mut resting.sessions))
        };
        drop(dropped);
    }

    /// The policy.
    pub(crate) fn instances(&self) -> Instances {
        match self.keeping {
            Keeping::Nothing => Instances::Fresh,
            Keeping::Pool(_) => Instances::Pool,
            Keeping::Sessions(_) => Instances::Session,
        }
    }

    /// Instances that rest now.
    pub(crate) fn len(&self) -> usize {
        let resting = self.resting.lock();
        resting.pool.len() + resting.sessions.len()
    }

    /// How long an instance may rest or live, and so how often somebody has to look.
    fn pause(&self) -> Duration {
        let s = match self.keeping {
            Keeping::Nothing => 1,
            Keeping::Pool(settings) => settings.age_s,
            Keeping::Sessions(settings) => settings.idle_s,
        };
        (Duration::from_secs(s) / 2).max(SWEEP_PAUSE_MIN)
    }

    /// Takes out what is too old or too idle; false when nothing is left to look after.
    fn sweep(&self, now: Instant) -> bool {
        let mut worn_out: Vec<Box<Kept>> = Vec::new();
        let mut resting = self.resting.lock();
        match self.keeping {
            Keeping::Nothing => {}
            Keeping::Pool(settings) => {
                let age = Duration::from_secs(settings.age_s);
                let is_old = |kept: &mut Box<Kept>| now.saturating_duration_since(kept.born) >= age;
                worn_out.extend(resting.pool.extract_if(.., is_old));
            }
            Keeping::Sessions(settings) => {
                let idle = Duration::from_secs(settings.idle_s);
                let is_idle = |_: &SessionId, kept: &mut Box<Kept>| {
                    now.saturating_duration_since(kept.rested_at) >= idle
                };
                worn_out.extend(resting.sessions.extract_if(is_idle).map(|(_, kept)| kept));
            }
        }
        resting.is_swept = !(resting.pool.is_empty() && resting.sessions.is_empty());
        resting.is_swept
    }
}

impl Resting {
    /// The one that rested longest, when there is no room for one more.
    fn longest_when_full(&mut self, size_max: usize) -> Option<Box<Kept>> {
        if self.sessions.len() < size_max {
            return None;
        }
        let longest = self.sessions.iter().min_by_key(|(_, kept)| kept.rested_at).map(|(id, _)| *id)?;
        self.sessions.remove(&longest)
    }
}

impl Place {
    /// Queue hooks run when the session is long over.
    fn has_session(self) -> bool {
        !matches!(self.hook, Hook::Route | Hook::Bounce | Hook::Events)
    }
}

/// Looks after resting instances until there are none.
async fn sweep(shelf: Weak<Shelf>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        match shelf.upgrade() {
            Some(shelf) if shelf.sweep(Instant::now()) => {}
            _ => return,
        }
    }
}

/// Uses of one instance: at least half of what is allowed.
fn draw_uses(uses_max: u32) -> u32 {
    rand::random_range(uses_max.div_ceil(2)..=uses_max).max(1)
}

/// Instances are looked after at most this often.
const SWEEP_PAUSE_MIN: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_uses_is_drawn_from_the_upper_half() {
        let drawn: Vec<u32> = (0..1_000).map(|_| draw_uses(10)).collect();
        assert!(drawn.iter().all(|uses| (5..=10).contains(uses)));
        assert!(drawn.iter().any(|uses| *uses != drawn[0]), "nobody can rely on it");
        assert_eq!((draw_uses(1), draw_uses(0)), (1, 1));
    }
}
