//! A version of the contract that does not exist, and its adapter, for the tests beside it: what another minor version
//! costs. Its WIT and a plugin of it are in `tests/plugins/tomorrow`.

use wasmtime::Store;
use wasmtime::component::{HasSelf, Instance as Component, InstancePre, Linker, Resource};

use super::{found, looked_up};
use crate::Hook;
use crate::bindings::baton::host as host_v0_1;
use crate::bindings::baton::relay as relay_v0_1;
use crate::bindings::baton::relay::types::{Address, Param};
use crate::bindings::exports::baton::relay as model;
use crate::host::kv::Bucket;
use crate::instance::Instance;
use crate::state::State;

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

    wasmtime::component::bindgen!({
        path: "../../tests/plugins/tomorrow/wit",
        world: "baton:relay/every-hook",
        imports: { "baton:host/kv": async | trappable, default: trappable },
        exports: { default: async },
        with: { "baton:host/kv.bucket": crate::host::kv::Bucket },
    });
}

use bindings::baton::host::{config, kv, log};
use bindings::baton::relay::{session, types};
use bindings::exports::baton::relay as exports;

pub(super) const NUMBER: &str = "0.2.0";
pub(super) const TEXTS: [(&str, &str); 2] = [
    ("host.wit", include_str!("../../../../tests/plugins/tomorrow/wit/deps/host/host.wit")),
    ("relay.wit", include_str!("../../../../tests/plugins/tomorrow/wit/relay.wit")),
];
pub(super) const INTERFACES: [&str; 5] =
    ["baton:host/log", "baton:host/config", "baton:host/kv", "baton:relay/types", "baton:relay/session"];

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    bindings::EveryHook::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// What plugins import. All of it is done by the host side of 0.1, whose grants, bounds and bookkeeping hold.
impl log::Host for State {
    fn emit(&mut self, level: log::Level, message: String, fields: Vec<log::Field>) -> wasmtime::Result<()> {
        use host_v0_1::log::Level;
        let level = match level {
            log::Level::Detail | log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let fields = fields.into_iter().map(|field| (field.name, field.value)).collect();
        host_v0_1::log::Host::emit(self, level, message, fields)
    }
}

impl config::Host for State {
    fn get(&mut self, path: String) -> wasmtime::Result<Option<String>> {
        host_v0_1::config::Host::get(self, path)
    }
}

impl kv::Host for State {}

impl kv::HostBucket for State {
    async fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Bucket>, kv::Error>> {
        Ok(host_v0_1::kv::HostBucket::open(self, name).await?.map_err(kv::Error::from))
    }

    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<String>, kv::Error>> {
        let value = host_v0_1::kv::HostBucket::get(self, bucket, key).await?;
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        Ok(value.map(|value| value.map(text)).map_err(kv::Error::from))
    }

    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, kv::Error>> {
        let value = host_v0_1::kv::HostBucket::increment(self, bucket, key, delta, None).await?;
        Ok(value.map_err(kv::Error::from))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        host_v0_1::kv::HostBucket::drop(self, bucket).await
    }
}

impl From<host_v0_1::kv::Error> for kv::Error {
    fn from(error: host_v0_1::kv::Error) -> kv::Error {
        let may_retry = matches!(error, host_v0_1::kv::Error::Unavailable(_));
        kv::Error { detail: format!("{error:?}"), may_retry }
    }
}

impl types::Host for State {}

impl session::Host for State {
    fn client(&mut self) -> wasmtime::Result<session::Peer> {
        use relay_v0_1::session::Host;
        Ok(session::Peer {
            address: Host::remote_ip(self)?,
            port: Host::remote_port(self)?,
            helo: Host::helo(self)?,
        })
    }
}

/// Where the functions stand.
#[derive(Default)]
pub(crate) struct Exports {
    lifecycle: Option<exports::lifecycle::GuestIndices>,
    rcpt: Option<exports::rcpt_hook::GuestIndices>,
    data: Option<exports::data_hook::GuestIndices>,
}

/// The functions of one instance.
#[derive(Default)]
pub(crate) struct Guests {
    rcpt: Option<exports::rcpt_hook::Guest>,
    data: Option<exports::data_hook::Guest>,
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
                Hook::Rcpt => found.rcpt = Some(exports::rcpt_hook::GuestIndices::new(component)?),
                Hook::Data => found.data = Some(exports::data_hook::GuestIndices::new(component)?),
                _ => return absent(),
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
            Hook::Rcpt => found(&self.rcpt)?.load(store, instance).map(drop),
            Hook::Data => found(&self.data)?.load(store, instance).map(drop),
            _ => absent(),
        }
    }

    pub(super) async fn init(
        &self,
        store: &mut Store<State>,
        instance: &Component,
    ) -> wasmtime::Result<Vec<model::lifecycle::Problem>> {
        let Some(indices) = &self.lifecycle else { return Ok(Vec::new()) };
        let guest = indices.load(&mut *store, instance)?;
        let config = store.data().terms.config_json.clone();
        let problems = guest.call_init(store, &config).await?.err().unwrap_or_default();
        let problem = |problem: exports::lifecycle::Problem| model::lifecycle::Problem {
            path: problem.path,
            message: problem.message,
        };
        Ok(problems.into_iter().map(problem).collect())
    }

    pub(crate) async fn rcpt(
        &self,
        instance: &mut Instance,
        recipient: &Address,
        parameters: &[Param],
    ) -> wasmtime::Result<model::rcpt_hook::Decision> {
        use exports::rcpt_hook::Decision;
        use model::rcpt_hook::Decision as Model;
        let Instance { store, component, guests, .. } = instance;
        let guest = looked_up(&mut guests.tomorrow.rcpt, || found(&self.rcpt)?.load(&mut *store, component))?;
        let param = |param: &Param| types::Param { name: param.name.clone(), value: param.value.clone() };
        let recipient = types::Recipient {
            mailbox: format!("{}@{}", recipient.local, recipient.domain),
            params: parameters.iter().map(param).collect(),
        };
        Ok(match guest.call_on_rcpt(store, &recipient).await? {
            Decision::Next => Model::Next,
            Decision::Accept => Model::Accept,
            Decision::Refuse(reply) if reply.code < 500 => Model::Tempfail(joined(reply)),
            Decision::Refuse(reply) => Model::Reject(joined(reply)),
        })
    }

    pub(crate) async fn data(&self, instance: &mut Instance) -> wasmtime::Result<model::data_hook::Decision> {
        use exports::data_hook::Decision;
        use model::data_hook::Decision as Model;
        let Instance { store, component, guests, .. } = instance;
        let guest = looked_up(&mut guests.tomorrow.data, || found(&self.data)?.load(&mut *store, component))?;
        Ok(match guest.call_on_data(store).await? {
            Decision::Next => Model::Next,
            Decision::Accept => Model::Accept,
            Decision::Refuse(reply) if reply.code < 500 => Model::Tempfail(joined(reply)),
            Decision::Refuse(reply) => Model::Reject(joined(reply)),
            Decision::Hold(reason) => Model::Quarantine(reason),
        })
    }

    pub(crate) async fn connect(&self, _: &mut Instance) -> wasmtime::Result<model::connect_hook::Decision> {
        absent()
    }

    pub(crate) async fn auth(
        &self,
        _: &mut Instance,
        _: &str,
        _: &str,
        _: &model::auth_hook::Credential,
    ) -> wasmtime::Result<model::auth_hook::Decision> {
        absent()
    }

    pub(crate) async fn route(
        &self,
        _: &mut Instance,
        _: &Address,
    ) -> wasmtime::Result<model::route_hook::Decision> {
        absent()
    }

    pub(crate) async fn bounce(
        &self,
        _: &mut Instance,
        _: &Address,
    ) -> wasmtime::Result<model::bounce_hook::Decision> {
        absent()
    }

    pub(crate) async fn events(
        &self,
        _: &mut Instance,
        _: &[model::events_hook::Event],
    ) -> wasmtime::Result<()> {
        absent()
    }
}

/// It has two hooks, which is enough to show what a version takes.
fn absent<T>() -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg("this version of the contract has no such hook"))
}

fn joined(reply: types::Reply) -> relay_v0_1::types::Reply {
    relay_v0_1::types::Reply { code: reply.code, enhanced: reply.enhanced, text: reply.lines.join(", ") }
}
