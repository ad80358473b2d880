//! `metrics`: the plugin's own counters, gauges and histograms, bounded in number.

use crate::bindings::baton::host::metrics::Host;
use crate::metrics::Sample;
use crate::state::State;

impl State {
    fn record(&mut self, name: &str, sample: Sample, labels: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.charge()?;
        if self.hook.is_some() {
            self.terms.capabilities.metrics.guests.record(&self.terms.name, name, sample, labels);
        }
        Ok(())
    }
}

impl Host for State {
    fn count(&mut self, name: String, value: u64, labels: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.record(&name, Sample::Count(value), labels)
    }

    fn gauge(&mut self, name: String, value: f64, labels: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.record(&name, Sample::Gauge(value), labels)
    }

    fn observe(&mut self, name: String, value: f64, labels: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.record(&name, Sample::Observation(value), labels)
    }
}
