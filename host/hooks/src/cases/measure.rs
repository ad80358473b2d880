//! What the calls of cases cost, many times over, as the relay would make them.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Case, Step, bucket_of, decided};
use crate::engine::Engine;
use crate::worlds::World;
use crate::{Generation, Hook, LoadError, PluginSettings, SessionNotes};

/// The times of one case.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The case.
    pub case: String,
    /// The hook of its first call; only that one is measured.
    pub hook: Hook,
    /// The time of each call, from before the chain to after it, shortest first.
    pub times: Vec<Duration>,
}

impl Measured {
    /// The time that so many percent of the calls did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let index = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(index).copied().unwrap_or_default()
    }
}

/// Measures the first call of each case, in a world that is put back before each call. Cases about init are left out.
///
/// # Errors
/// The plugin can not be loaded with the settings of a case.
pub async fn measure(
    engine: &Engine,
    settings: &PluginSettings,
    cases: &[Case],
    calls: u32,
) -> Result<Vec<Measured>, Vec<LoadError>> {
    let mut measured = Vec::new();
    for case in cases {
        let Some(step) = case.steps.first() else { continue };
        let Some(hook) = step.hook else { continue };
        let times = measure_step(engine, settings, step, hook, calls).await?;
        measured.push(Measured { case: case.name.clone(), hook, times });
    }
    Ok(measured)
}

async fn measure_step(
    engine: &Engine,
    settings: &PluginSettings,
    step: &Step,
    hook: Hook,
    calls: u32,
) -> Result<Vec<Duration>, Vec<LoadError>> {
    let world = World::new(step.scene.now.unwrap_or(World::BEGIN));
    let mut settings = settings.clone();
    settings.config = step.config.clone();
    settings.secrets = step.scene.secrets.clone();
    settings.grants = step.grants.clone().unwrap_or(settings.grants);
    // A case about a failure measures the failing call, and not how quickly an open breaker answers.
    settings.run.breaker.failures = 0;
    let name = settings.name.clone();
    let generation = Generation::load(engine, 1, &[settings], &HashMap::new(), &world.capabilities()).await?;
    let mut times = Vec::with_capacity(calls as usize);
    for _ in 0..calls {
        world.kv.clear();
        world.http.clear();
        step.scene.furnish(&world, |bucket| bucket_of(&name, bucket));
        let mut call = step.scene.call(hook, SessionNotes::default(), &world);
        let started = Instant::now();
        decided::ask(&generation, hook, &step.scene, &mut call).await;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times)
}
