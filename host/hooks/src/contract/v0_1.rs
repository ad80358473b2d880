//! Version 0.1: its types are those of the core, so there is nothing to translate.

use wasmtime::Store;
use wasmtime::component::{HasSelf, Instance as Component, InstancePre, Linker};

use super::{found, looked_up};
use crate::Hook;
use crate::bindings::EveryHook;
use crate::bindings::baton::relay::types::{Address, Param};
use crate::bindings::exports::baton::relay as exports;
use crate::instance::Instance;
use crate::state::State;

pub(super) const NUMBER: &str = "0.1.0";
pub(super) const TEXTS: [(&str, &str); 2] = [
    ("host.wit", include_str!("../../../../wit/deps/host/host.wit")),
    ("relay.wit", include_str!("../../../../wit/relay.wit")),
];
pub(super) const INTERFACES: [&str; 14] = [
    "baton:host/log",
    "baton:host/config",
    "baton:host/kv",
    "baton:host/dns",
    "baton:host/http",
    "baton:host/metrics",
    "baton:host/clock",
    "baton:relay/types",
    "baton:relay/session",
    "baton:relay/envelope",
    "baton:relay/message",
    "baton:relay/routing",
    "baton:relay/failure",
    "baton:relay/verify",
];

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    EveryHook::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// Where the functions stand.
#[derive(Default)]
pub(crate) struct Exports {
    lifecycle: Option<exports::lifecycle::GuestIndices>,
    connect: Option<exports::connect_hook::GuestIndices>,
    auth: Option<exports::auth_hook::GuestIndices>,
    rcpt: Option<exports::rcpt_hook::GuestIndices>,
    data: Option<exports::data_hook::GuestIndices>,
    route: Option<exports::route_hook::GuestIndices>,
    bounce: Option<exports::bounce_hook::GuestIndices>,
    events: Option<exports::events_hook::GuestIndices>,
}

/// The functions of one instance.
#[derive(Default)]
pub(crate) struct Guests {
    connect: Option<exports::connect_hook::Guest>,
    auth: Option<exports::auth_hook::Guest>,
    rcpt: Option<exports::rcpt_hook::Guest>,
    data: Option<exports::data_hook::Guest>,
    route: Option<exports::route_hook::Guest>,
    bounce: Option<exports::bounce_hook::Guest>,
    events: Option<exports::events_hook::Guest>,
}

impl Exports {
    pub(super) fn find(
        hooks: &[Hook],
        has_lifecycle: bool,
        component: &InstancePre<State>,
    ) -> wasmtime::Result<Exports> {
        let mut found = Exports::default();
        if has_lifecycle {
            found.lifecycle = Some(exports::lifecycle::GuestIndices::new(component)?);
        }
        for hook in hooks {
            match hook {
                Hook::Connect => found.connect = Some(exports::connect_hook::GuestIndices::new(component)?),
                Hook::Auth => found.auth = Some(exports::auth_hook::GuestIndices::new(component)?),
                Hook::Rcpt => found.rcpt = Some(exports::rcpt_hook::GuestIndices::new(component)?),
                Hook::Data => found.data = Some(exports::data_hook::GuestIndices::new(component)?),
                Hook::Route => found.route = Some(exports::route_hook::GuestIndices::new(component)?),
                Hook::Bounce => found.bounce = Some(exports::bounce_hook::GuestIndices::new(component)?),
                Hook::Events => found.events = Some(exports::events_hook::GuestIndices::new(component)?),
            }
        }
        Ok(found)
    }

    pub(super) fn check(
        &self,
        hook: Hook,
        store: &mut Store<State>,
        instance: &Component,
    ) -> wasmtime::Result<()> {
        match hook {
            Hook::Connect => found(&self.connect)?.load(store, instance).map(drop),
            Hook::Auth => found(&self.auth)?.load(store, instance).map(drop),
            Hook::Rcpt => found(&self.rcpt)?.load(store, instance).map(drop),
            Hook::Data => found(&self.data)?.load(store, instance).map(drop),
            Hook::Route => found(&self.route)?.load(store, instance).map(drop),
            Hook::Bounce => found(&self.bounce)?.load(store, instance).map(drop),
            Hook::Events => found(&self.events)?.load(store, instance).map(drop),
        }
    }

    pub(super) async fn init(
        &self,
        store: &mut Store<State>,
        instance: &Component,
    ) -> wasmtime::Result<Vec<exports::lifecycle::Problem>> {
        let Some(indices) = &self.lifecycle else { return Ok(Vec::new()) };
        let guest = indices.load(&mut *store, instance)?;
        Ok(guest.call_init(store).await?.err().unwrap_or_default())
    }

    pub(crate) async fn connect(
        &self,
        instance: &mut Instance,
    ) -> wasmtime::Result<exports::connect_hook::Decision> {
        let Instance { store, component, guests, .. } = instance;
        let place = &mut guests.v0_1.connect;
        looked_up(place, || found(&self.connect)?.load(&mut *store, component))?.call_on_connect(store).await
    }

    pub(crate) async fn auth(
        &self,
        instance: &mut Instance,
        mechanism: &str,
        user: &str,
        credential: &exports::auth_hook::Credential,
    ) -> wasmtime::Result<exports::auth_hook::Decision> {
        let Instance { store, component, guests, .. } = instance;
        let guest = looked_up(&mut guests.v0_1.auth, || found(&self.auth)?.load(&mut *store, component))?;
        guest.call_on_auth(store, mechanism, user, credential).await
    }

    pub(crate) async fn rcpt(
        &self,
        instance: &mut Instance,
        recipient: &Address,
        parameters: &[Param],
    ) -> wasmtime::Result<exports::rcpt_hook::Decision> {
        let Instance { store, component, guests, .. } = instance;
        let guest = looked_up(&mut guests.v0_1.rcpt, || found(&self.rcpt)?.load(&mut *store, component))?;
        guest.call_on_rcpt(store, recipient, parameters).await
    }

    pub(crate) async fn data(
        &self,
        instance: &mut Instance,
    ) -> wasmtime::Result<exports::data_hook::Decision> {
        let Instance { store, component, guests, .. } = instance;
        let place = &mut guests.v0_1.data;
        looked_up(place, || found(&self.data)?.load(&mut *store, component))?.call_on_data(store).await
    }

    pub(crate) async fn route(
        &self,
        instance: &mut Instance,
        recipient: &Address,
    ) -> wasmtime::Result<exports::route_hook::Decision> {
        let Instance { store, component, guests, .. } = instance;
        let guest = looked_up(&mut guests.v0_1.route, || found(&self.route)?.load(&mut *store, component))?;
        guest.call_on_route(store, recipient).await
    }

    pub(crate) async fn bounce(
        &self,
        instance: &mut Instance,
        recipient: &Address,
    ) -> wasmtime::Result<exports::bounce_hook::Decision> {
        let Instance { store, component, guests, .. } = instance;
        let guest = looked_up(&mut guests.v0_1.bounce, || found(&self.bounce)?.load(&mut *store, component))?;
        guest.call_on_bounce(store, recipient).await
    }

    pub(crate) async fn events(
        &self,
        instance: &mut Instance,
        events: &[exports::events_hook::Event],
    ) -> wasmtime::Result<()> {
        let Instance { store, component, guests, .. } = instance;
        let guest = looked_up(&mut guests.v0_1.events, || found(&self.events)?.load(&mut *store, component))?;
        guest.call_on_events(store, events).await
    }
}
