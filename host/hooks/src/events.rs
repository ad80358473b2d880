//! Plugins that observe: what happened to messages is told to them in batches, off the way of the mail.
//!
//! Invariant: nothing waits for an observer. What it does not take in time is dropped, oldest first, and counted.
//!
//! The queue of an observer is memory. It outlives a reload, and not a restart: an event is told at most once across one.
//! A batch that fails is told again, a few times, so an observer may see an event twice.

mod tell;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_mail::event::Event;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::ask::AskEvents;
use crate::bindings::exports::baton::relay::events_hook;
use crate::engine::Engine;
use crate::metrics::{EventMeters, Metrics};
use crate::plugin::Plugin;
use crate::run::run;
use crate::{EventSettings, Generation, Hook};
use tell::told;

/// The way from what happens to the plugins that observe it. One per process.
pub struct EventFeed {
    metrics: Arc<Metrics>,
    observers: Mutex<HashMap<String, Observer>>,
    changed: Notify,
}

/// A plugin that observes, and the task that tells it.
struct Observer {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

/// Events that wait for one plugin.
struct Queue {
    waiting: Mutex<Waiting>,
    waiting_max: AtomicUsize,
    added: Notify,
    meters: EventMeters,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Arc<events_hook::Event>>,
    /// The number of the first one.
    first: u64,
}

/// Events that are about to be told. They wait on until they were: a reload in between tells them again.
struct Batch {
    events: Vec<events_hook::Event>,
    /// The number of the one behind the last.
    end: u64,
}

impl EventFeed {
    /// A feed that nobody observes yet.
    pub fn new(metrics: &Arc<Metrics>) -> EventFeed {
        EventFeed { metrics: Arc::clone(metrics), observers: Mutex::default(), changed: Notify::new() }
    }

    /// From now on the observers of this generation are told. What waits for one that was there before is kept.
    pub fn serve(&self, generation: &Generation) {
        let mut observers = self.observers.lock();
        let mut before = std::mem::take(&mut *observers);
        for (engine, plugin) in generation.observers() {
            let name = plugin.terms.name.clone();
            let queue = match before.remove(&name) {
                Some(old) => {
                    old.task.abort();
                    old.queue
                }
                None => Arc::new(Queue::new(self.metrics.event_meters(&name))),
            };
            queue.waiting_max.store(plugin.running.events.queue_max, Ordering::Relaxed);
            let task = tokio::spawn(drive(engine, plugin, Arc::clone(&queue)));
            observers.insert(name, Observer { queue, task });
        }
        for gone in before.into_values() {
            gone.task.abort();
        }
        drop(observers);
        self.changed.notify_one();
    }

    /// Returns when somebody observes.
    pub async fn wait_for_observers(&self) {
        while !self.is_observed() {
            self.changed.notified().await;
        }
    }

    /// True when somebody observes.
    pub fn is_observed(&self) -> bool {
        !self.observers.lock().is_empty()
    }

    /// Tells of what happened. Never waits.
    pub fn offer(&self, events: &[Event]) {
        let events: Vec<_> = events.iter().map(|event| Arc::new(told(event))).collect();
        for observer in self.observers.lock().values() {
            observer.queue.add(&events);
        }
    }
}

impl Drop for EventFeed {
    fn drop(&mut self) {
        for observer in self.observers.get_mut().values() {
            observer.task.abort();
        }
    }
}

impl Queue {
    fn new(meters: EventMeters) -> Queue {
        let waiting_max = AtomicUsize::new(EventSettings::default().queue_max);
        Queue { waiting: Mutex::default(), waiting_max, added: Notify::new(), meters }
    }

    fn add(&self, events: &[Arc<events_hook::Event>]) {
        let waiting = {
            let mut waiting = self.waiting.lock();
            waiting.events.extend(events.iter().cloned());
            let over = waiting.events.len().saturating_sub(self.waiting_max.load(Ordering::Relaxed));
            waiting.remove(over);
            self.meters.dropped.inc_by(over as u64);
            waiting.events.len()
        };
        self.meters.waiting.set(waiting as i64);
        self.added.notify_one();
    }

    /// Takes out what was told, as far as it is still there.
    fn forget(&self, end: u64) {
        let mut waiting = self.waiting.lock();
        let count = usize::try_from(end.saturating_sub(waiting.first)).unwrap_or(usize::MAX);
        let count = count.min(waiting.events.len());
        waiting.remove(count);
        self.meters.waiting.set(waiting.events.len() as i64);
    }

    /// The next batch: full, or as old as it may become.
    async fn next(&self, settings: EventSettings) -> Batch {
        let mut due = None;
        loop {
            let added = self.added.notified();
            let waiting = self.waiting.lock().events.len();
            let due_at =
                *due.get_or_insert_with(|| Instant::now() + Duration::from_millis(settings.batch_ms));
            let is_ready = waiting >= settings.batch_max || (waiting > 0 && Instant::now() >= due_at);
            if is_ready {
                return self.waiting.lock().batch(settings.batch_max);
            }
            if waiting == 0 {
                due = None;
                added.await;
            } else {
                let _ = tokio::time::timeout_at(due_at, added).await;
            }
        }
    }
}

impl Waiting {
    fn batch(&self, max: usize) -> Batch {
        let events: Vec<_> = self.events.iter().take(max).map(|event| (**event).clone()).collect();
        Batch { end: self.first + events.len() as u64, events }
    }

    /// Takes out so many from the front.
    fn remove(&mut self, count: usize) {
        self.events.drain(..count);
        self.first += count as u64;
    }
}

/// Tells one plugin, batch by batch, for as long as its generation serves.
async fn drive(engine: Engine, plugin: Arc<Plugin>, queue: Arc<Queue>) {
    let settings = plugin.running.events;
    loop {
        let batch = queue.next(settings).await;
        deliver(&engine, &plugin, &queue, &AskEvents { events: &batch.events }).await;
        queue.forget(batch.end);
    }
}

/// Tells a batch until it is taken, with longer and longer pauses; given up after a few tries.
async fn deliver(engine: &Engine, plugin: &Plugin, queue: &Queue, question: &AskEvents<'_>) {
    let mut pause = RETRY_PAUSE_MIN;
    for _ in 0..TRIES_MAX {
        let mut call = plugin.terms.nobody.call();
        // Nothing is applied: there is nothing that an observer could change.
        if run(engine, plugin, question, &mut call).await.result.is_ok() {
            queue.meters.told.inc_by(question.events.len() as u64);
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
    queue.meters.dropped.inc_by(question.events.len() as u64);
    tracing::warn!(target: "hooks", plugin = %plugin.terms.label, hook = Hook::Events.as_str(), events = question.events.len(), "an observer fails: a batch of events is dropped");
}

/// How often a batch is told before it is given up.
const TRIES_MAX: u32 = 5;
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(250);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
