//! A loaded plugin: its compiled component, and the terms on which it runs.

use std::sync::Arc;

use wasmtime::component::{Instance, InstancePre};

use crate::bindings::exports::baton::relay as exports;
use crate::host::Capabilities;
use crate::log_gate::LogGate;
use crate::metrics::Meters;
use crate::secrets::Secrets;
use crate::state::State;
use crate::{Grants, Hook, HttpGrant, Limits, OnFailure};

/// A plugin, ready to be called.
pub(crate) struct Plugin {
    pub(crate) terms: Arc<Terms>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) digest: String,
    pub(crate) on_failure: OnFailure,
    pub(crate) component: InstancePre<State>,
    pub(crate) exports: Exports,
}

/// What a plugin is called, what it may use and do, and the services that it is given. Shared by all its calls.
pub(crate) struct Terms {
    pub(crate) name: String,
    /// `name@digest#generation`, for logs and decisions.
    pub(crate) label: String,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    pub(crate) config: serde_json::Value,
    pub(crate) config_json: String,
    pub(crate) secrets: Secrets,
    /// The grant `http`, read.
    pub(crate) http_grants: Vec<HttpGrant>,
    pub(crate) capabilities: Capabilities,
    pub(crate) log_gate: LogGate,
    pub(crate) meters: Meters,
}

/// Where the hooks stand in the component, so that no call looks anything up by name.
#[derive(Default)]
pub(crate) struct Exports {
    pub(crate) lifecycle: Option<exports::lifecycle::GuestIndices>,
    pub(crate) connect: Option<exports::connect_hook::GuestIndices>,
    pub(crate) auth: Option<exports::auth_hook::GuestIndices>,
    pub(crate) rcpt: Option<exports::rcpt_hook::GuestIndices>,
    pub(crate) data: Option<exports::data_hook::GuestIndices>,
    pub(crate) route: Option<exports::route_hook::GuestIndices>,
    pub(crate) bounce: Option<exports::bounce_hook::GuestIndices>,
}

impl Exports {
    /// Finds the functions of that hook.
    pub(crate) fn find(&mut self, hook: Hook, component: &InstancePre<State>) -> wasmtime::Result<()> {
        match hook {
            Hook::Connect => self.connect = Some(exports::connect_hook::GuestIndices::new(component)?),
            Hook::Auth => self.auth = Some(exports::auth_hook::GuestIndices::new(component)?),
            Hook::Rcpt => self.rcpt = Some(exports::rcpt_hook::GuestIndices::new(component)?),
            Hook::Data => self.data = Some(exports::data_hook::GuestIndices::new(component)?),
            Hook::Route => self.route = Some(exports::route_hook::GuestIndices::new(component)?),
            Hook::Bounce => self.bounce = Some(exports::bounce_hook::GuestIndices::new(component)?),
        }
        Ok(())
    }

    /// Checks that the functions of that hook have the types of the contract.
    pub(crate) fn check(
        &self,
        hook: Hook,
        store: &mut wasmtime::Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        match hook {
            Hook::Connect => found(&self.connect)?.load(store, instance).map(drop),
            Hook::Auth => found(&self.auth)?.load(store, instance).map(drop),
            Hook::Rcpt => found(&self.rcpt)?.load(store, instance).map(drop),
            Hook::Data => found(&self.data)?.load(store, instance).map(drop),
            Hook::Route => found(&self.route)?.load(store, instance).map(drop),
            Hook::Bounce => found(&self.bounce)?.load(store, instance).map(drop),
        }
    }
}

/// The indices of a hook that is in a chain. They are there: a chain holds only plugins whose hook was found.
pub(crate) fn found<I>(indices: &Option<I>) -> wasmtime::Result<&I> {
    indices.as_ref().ok_or_else(|| wasmtime::Error::msg("the plugin does not export this hook"))
}
