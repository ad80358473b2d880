//! What holds mail back, or slows it down, for a while: measures that rules or operators took. Each has a reason and an
//! end, outlives a restart, and can be lifted.
//!
//! Invariant: a measure is seen by everybody who asks as soon as it is taken or lifted; on disk it is with the next sync.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::{MessageId, UnixMs};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, watch};

use crate::core::Core;
use crate::error::KvError;
use crate::format::{decode_owned, encode};
use crate::kv::{Kv, SCAN_KEYS_MAX};

/// The bucket of the measures. No plugin can have one of this name.
const BUCKET: &str = "#shaping";
/// Measures that are kept at once. Beyond them, no more are taken.
pub const MEASURES_MAX: usize = 10_000;
/// The rule of a measure that an operator took.
pub const BY_OPERATOR: &str = "operator";

/// One measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Its name for operators: a few letters and digits.
    pub id: String,
    /// What is done.
    pub action: Action,
    /// To which mail.
    pub scope: Scope,
    /// Which rule asked for it; [`BY_OPERATOR`] and a name when somebody did.
    pub rule: String,
    /// Why, in words: the reply that led to it, or what the operator said.
    pub reason: String,
    /// Since when.
    pub since: UnixMs,
    /// When it ends by itself; none for never.
    pub until: Option<UnixMs>,
}

/// What is done to mail. New kinds are added at the end only: records keep their position.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It waits.
    Suspend,
    /// Its limits (rates, connections) are divided by this factor, above 1.
    SlowDown(f64),
    /// It is given up, with a report.
    Bounce,
}

/// Which mail is meant. All that is set must match; with nothing set it is all mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this stream.
    pub stream: Option<String>,
    /// To this recipient domain.
    pub domain: Option<String>,
    /// To this provider.
    pub provider: Option<String>,
    /// To this site.
    pub site: Option<String>,
    /// By this source.
    pub source: Option<String>,
}

/// What is known of some mail. What is not known matches no scope that names it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traits<'a> {
    /// Whose it is.
    pub tenant: Option<&'a str>,
    /// Its stream.
    pub stream: Option<&'a str>,
    /// The recipients' domain.
    pub domain: Option<&'a str>,
    /// The provider it goes to.
    pub provider: Option<&'a str>,
    /// The site it goes to.
    pub site: Option<&'a str>,
    /// The source it goes by.
    pub source: Option<&'a str>,
}

impl Scope {
    /// True when mail with these traits is meant.
    pub fn matches(&self, traits: &Traits<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        is(&self.tenant, traits.tenant)
            && is(&self.stream, traits.stream)
            && is(&self.domain, traits.domain)
            && is(&self.provider, traits.provider)
            && is(&self.site, traits.site)
            && is(&self.source, traits.source)
    }

    /// True when it is about some of the mail that goes one way, not about the way.
    pub fn names_mail(&self) -> bool {
        self.tenant.is_some() || self.stream.is_some() || self.domain.is_some()
    }

    /// True when it is all mail.
    pub fn is_all(&self) -> bool {
        *self == Scope::default()
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("tenant", &self.tenant),
            ("stream", &self.stream),
            ("domain", &self.domain),
            ("provider", &self.provider),
            ("site", &self.site),
            ("source", &self.source),
        ];
        let mut separator = "";
        for (name, value) in parts {
            let Some(value) = value else { continue };
            write!(formatter, "{separator}{name} {value}")?;
            separator = ", ";
        }
        if separator.is_empty() { formatter.write_str("all mail") } else { Ok(()) }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::Suspend => formatter.write_str("suspended"),
            Action::SlowDown(factor) => write!(formatter, "slowed down {factor} times"),
            Action::Bounce => formatter.write_str("bounced"),
        }
    }
}

impl Measure {
    /// True while it holds.
    pub fn holds(&self, now: UnixMs) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Who took it, in words: `rule blocked`, `operator ann`.
    pub fn by(&self) -> String {
        let is_person = self.rule.split(' ').next() == Some(BY_OPERATOR);
        if is_person { self.rule.clone() } else { format!("rule {}", self.rule) }
    }
}

/// A measure to be taken.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMeasure {
    /// What is done.
    pub action: Action,
    /// To which mail.
    pub scope: Scope,
    /// Which rule asks for it.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// When it ends by itself; none for never.
    pub until: Option<UnixMs>,
}

/// Adds a measure to those that hold; one that the same rule took already to the same mail is prolonged. None when there are
/// too many.
pub fn add_measure(measures: &mut Vec<Measure>, new: NewMeasure, now: UnixMs) -> Option<Measure> {
    measures.retain(|one| one.holds(now));
    let is_same = |old: &Measure| old.action == new.action && old.scope == new.scope && old.rule == new.rule;
    let old = measures.iter().position(is_same).map(|at| measures.remove(at));
    if measures.len() >= MEASURES_MAX {
        return None;
    }
    let (id, since) = old.map_or_else(|| (new_id(now), now), |old| (old.id, old.since));
    let NewMeasure { action, scope, rule, reason, until } = new;
    let measure = Measure { id, action, scope, rule, reason, since, until };
    measures.push(measure.clone());
    Some(measure)
}

/// What is in memory of the measures: all of them.
pub(crate) struct MeasureState {
    measures: RwLock<Arc<[Measure]>>,
    loaded: OnceCell<()>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

impl Default for MeasureState {
    fn default() -> MeasureState {
        let measures = RwLock::new(Arc::from(Vec::new()));
        MeasureState { measures, loaded: OnceCell::new(), changes: watch::Sender::new(0) }
    }
}

/// The measures. Cheap to clone.
#[derive(Clone)]
pub struct Measures {
    core: Arc<Core>,
}

impl Measures {
    pub(crate) fn new(core: Arc<Core>) -> Measures {
        Measures { core }
    }

    /// Reads what was kept over a restart, once. Before it, [`Measures::now`] knows of nothing.
    ///
    /// # Errors
    /// When the store can not be read.
    pub async fn load(&self) -> Result<(), KvError> {
        self.state().loaded.get_or_try_init(async || self.read_all().await).await.copied()
    }

    /// All that hold now. One load of a pointer when nothing does.
    pub fn now(&self) -> Arc<[Measure]> {
        Arc::clone(&self.state().measures.read())
    }

    /// The first that holds at this moment and is meant for mail with these traits.
    pub fn find(&self, traits: &Traits<'_>, wanted: impl Fn(&Measure) -> bool) -> Option<Measure> {
        let measures = self.state().measures.read();
        if measures.is_empty() {
            return None;
        }
        let now = self.core.clock.now();
        measures.iter().find(|one| wanted(one) && one.holds(now) && one.scope.matches(traits)).cloned()
    }

    /// Takes a measure; one that the same rule took already to the same mail is prolonged. None when there are too many.
    ///
    /// # Errors
    /// When the store can not take it.
    pub async fn take(&self, new: NewMeasure) -> Result<Option<Measure>, KvError> {
        self.load().await?;
        let now = self.core.clock.now();
        let measure = {
            let mut measures = self.state().measures.write();
            let mut all = measures.to_vec();
            let Some(measure) = add_measure(&mut all, new, now) else { return Ok(None) };
            *measures = all.into();
            measure
        };
        self.note_change();
        let ttl = measure.until.map(|until| ms(until.since(now)).max(1));
        self.kv().set(BUCKET, &measure.id, &encode(&measure), ttl).await?;
        Ok(Some(measure))
    }

    /// Lifts a measure; returns what it was.
    ///
    /// # Errors
    /// When the store can not be written.
    pub async fn lift(&self, id: &str) -> Result<Option<Measure>, KvError> {
        self.load().await?;
        let lifted = {
            let mut measures = self.state().measures.write();
            let found = measures.iter().find(|one| one.id == id).cloned();
            *measures = measures.iter().filter(|one| one.id != id).cloned().collect();
            found
        };
        self.note_change();
        self.kv().delete(BUCKET, id).await?;
        Ok(lifted)
    }

    /// Forgets those that came to their end; returns them.
    pub fn drop_ended(&self) -> Vec<Measure> {
        let now = self.core.clock.now();
        let mut measures = self.state().measures.write();
        if measures.iter().all(|one| one.holds(now)) {
            return Vec::new();
        }
        let (holding, ended): (Vec<_>, Vec<_>) = measures.iter().cloned().partition(|one| one.holds(now));
        *measures = holding.into();
        drop(measures);
        self.note_change();
        ended
    }

    /// Tells of each change: a measure was taken, lifted, or came to its end.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.state().changes.subscribe()
    }

    fn note_change(&self) {
        self.state().changes.send_modify(|count| *count += 1);
    }

    async fn read_all(&self) -> Result<(), KvError> {
        let (kv, now) = (self.kv(), self.core.clock.now());
        let mut found: Vec<Measure> = Vec::new();
        let mut cursor = None;
        loop {
            let page = kv.scan(BUCKET, "", cursor.as_deref(), SCAN_KEYS_MAX).await?;
            for key in &page.keys {
                let Some(value) = kv.get(BUCKET, key).await? else { continue };
                match decode_owned::<Measure>(&value) {
                    Ok(measure) if measure.holds(now) => found.push(measure),
                    Ok(_) => {}
                    Err(cause) => tracing::error!(target: "store", key, cause, "a kept measure is damaged"),
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        found.sort_by_key(|one| one.since);
        *self.state().measures.write() = found.into();
        self.note_change();
        Ok(())
    }

    fn kv(&self) -> Kv {
        Kv::new(Arc::clone(&self.core))
    }

    fn state(&self) -> &MeasureState {
        &self.core.measures
    }
}

impl std::fmt::Debug for Measures {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Measures").finish_non_exhaustive()
    }
}

/// A name that is short enough to be typed, and that no other has: six of the letters of chance in an identifier.
fn new_id(now: UnixMs) -> String {
    let id = MessageId::new(now).to_string().to_ascii_lowercase();
    id.get(20..).unwrap_or(&id).to_owned()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
