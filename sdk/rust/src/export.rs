//! From the relay's calls to the author's traits. One adapter serves every plugin; the macros only name it.

use std::marker::PhantomData;
use std::sync::OnceLock;

use crate::bindings::imports::baton::host::{config, log};
use crate::bindings::imports::baton::relay::types;
use crate::bindings::{auth, bounce, connect, data, events, lifecycle, rcpt, route};
use crate::host::CurrentHost;
use crate::plugin::load;
use crate::{
    Address, Auth, AuthDecision, Bounce, BounceDecision, Connect, ConnectDecision, Context, Credential, Data,
    DataDecision, Event, Events, Parameter, Plugin, Problems, Rcpt, RcptDecision, Result, Route,
    RouteDecision,
};

/// The loaded plugin. It is part of the snapshot when `init` built it, and built at first use otherwise.
pub struct Instance<P>(OnceLock<Result<P, Problems>>);

#[allow(clippy::new_without_default, reason = "a static needs a const function")]
impl<P: Plugin> Instance<P> {
    /// Not loaded yet.
    pub const fn new() -> Instance<P> {
        Instance(OnceLock::new())
    }

    fn get(&self) -> &Result<P, Problems> {
        self.0.get_or_init(|| load(&config::json()))
    }
}

/// A plugin with a place to live; written by `#[baton_sdk::plugin]`.
pub trait Loaded: Plugin {
    /// The one instance of this component.
    fn instance() -> &'static Instance<Self>;
}

/// What is exported on behalf of a plugin.
pub struct Exported<P>(PhantomData<P>);

impl<P: Loaded> Exported<P> {
    /// Calls one hook. A failure is logged and becomes a trap, the one way to tell the relay that there is no decision.
    fn call<D>(parameters: Vec<Parameter>, hook: impl FnOnce(&P, &Context) -> Result<D>) -> D {
        let plugin = match P::instance().get() {
            Ok(plugin) => plugin,
            Err(problems) => {
                for problem in problems.as_slice() {
                    log::emit(log::Level::Error, &[&problem.path, ": ", &problem.message].concat(), &[]);
                }
                std::process::abort()
            }
        };
        match hook(plugin, &Context::new(CurrentHost {}, parameters)) {
            Ok(decision) => decision,
            Err(error) => {
                log::emit(log::Level::Error, error.message(), &[]);
                std::process::abort()
            }
        }
    }
}

impl<P: Loaded> lifecycle::exports::baton::relay::lifecycle::Guest for Exported<P> {
    fn init() -> Result<(), Vec<lifecycle::exports::baton::relay::lifecycle::Problem>> {
        use lifecycle::exports::baton::relay::lifecycle::Problem;
        let reported = |problems: &Problems| {
            let problems = problems.as_slice().iter().cloned();
            problems.map(|crate::Problem { path, message }| Problem { path, message }).collect::<Vec<_>>()
        };
        match P::instance().get() {
            Ok(plugin) => plugin.check().map_err(|problems| reported(&problems)),
            Err(problems) => Err(reported(problems)),
        }
    }
}

impl<P: Loaded + Connect> connect::exports::baton::relay::connect_hook::Guest for Exported<P> {
    fn on_connect() -> connect::exports::baton::relay::connect_hook::Decision {
        use connect::exports::baton::relay::connect_hook::Decision;
        match Self::call(Vec::new(), |plugin, cx| plugin.on_connect(cx)) {
            ConnectDecision::Next => Decision::Next,
            ConnectDecision::Accept => Decision::Accept,
            ConnectDecision::Reject(reply) => Decision::Reject(reply.into()),
            ConnectDecision::Tempfail(reply) => Decision::Tempfail(reply.into()),
        }
    }
}

impl<P: Loaded + Auth> auth::exports::baton::relay::auth_hook::Guest for Exported<P> {
    fn on_auth(
        mechanism: String,
        user: String,
        given: auth::exports::baton::relay::auth_hook::Credential,
    ) -> auth::exports::baton::relay::auth_hook::Decision {
        use auth::exports::baton::relay::auth_hook::{Credential as Given, Decision};
        let credential = match given {
            Given::Password(password) => Credential::Password(password),
            Given::Token(token) => Credential::Token(token),
        };
        match Self::call(Vec::new(), |plugin, cx| plugin.on_auth(cx, &mechanism, &user, &credential)) {
            AuthDecision::Next => Decision::Next,
            AuthDecision::Allow(account) => Decision::Allow(account),
            AuthDecision::Deny(reply) => Decision::Deny(reply.into()),
            AuthDecision::Tempfail(reply) => Decision::Tempfail(reply.into()),
            AuthDecision::Disconnect(reply) => Decision::Disconnect(reply.into()),
        }
    }
}

impl<P: Loaded + Rcpt> rcpt::exports::baton::relay::rcpt_hook::Guest for Exported<P> {
    fn on_rcpt(
        address: types::Address,
        parameters: Vec<types::Param>,
    ) -> rcpt::exports::baton::relay::rcpt_hook::Decision {
        use rcpt::exports::baton::relay::rcpt_hook::Decision;
        let address = Address::from(address);
        let parameters = parameters.into_iter().map(Parameter::from).collect();
        match Self::call(parameters, |plugin, cx| plugin.on_rcpt(cx, &address)) {
            RcptDecision::Next => Decision::Next,
            RcptDecision::Accept => Decision::Accept,
            RcptDecision::Reject(reply) => Decision::Reject(reply.into()),
            RcptDecision::Tempfail(reply) => Decision::Tempfail(reply.into()),
            RcptDecision::Discard => Decision::Discard,
            RcptDecision::Disconnect(reply) => Decision::Disconnect(reply.into()),
        }
    }
}

impl<P: Loaded + Data> data::exports::baton::relay::data_hook::Guest for Exported<P> {
    fn on_data() -> data::exports::baton::relay::data_hook::Decision {
        use data::exports::baton::relay::data_hook::Decision;
        match Self::call(Vec::new(), |plugin, cx| plugin.on_data(cx)) {
            DataDecision::Next => Decision::Next,
            DataDecision::Accept => Decision::Accept,
            DataDecision::Reject(reply) => Decision::Reject(reply.into()),
            DataDecision::Tempfail(reply) => Decision::Tempfail(reply.into()),
            DataDecision::Discard(reason) => Decision::Discard(reason),
            DataDecision::Quarantine(reason) => Decision::Quarantine(reason),
            DataDecision::Disconnect(reply) => Decision::Disconnect(reply.into()),
        }
    }
}

impl<P: Loaded + Route> route::exports::baton::relay::route_hook::Guest for Exported<P> {
    fn on_route(address: types::Address) -> route::exports::baton::relay::route_hook::Decision {
        use route::exports::baton::relay::route_hook::Decision;
        let address = Address::from(address);
        match Self::call(Vec::new(), |plugin, cx| plugin.on_route(cx, &address)) {
            RouteDecision::Next => Decision::Next,
            RouteDecision::Routed => Decision::Routed,
            RouteDecision::Hold(reason) => Decision::Hold(reason),
            RouteDecision::Fail(reply) => Decision::Fail(reply.into()),
        }
    }
}

impl<P: Loaded + Bounce> bounce::exports::baton::relay::bounce_hook::Guest for Exported<P> {
    fn on_bounce(address: types::Address) -> bounce::exports::baton::relay::bounce_hook::Decision {
        use bounce::exports::baton::relay::bounce_hook::Decision;
        let address = Address::from(address);
        match Self::call(Vec::new(), |plugin, cx| plugin.on_bounce(cx, &address)) {
            BounceDecision::Next => Decision::Next,
            BounceDecision::Notify => Decision::Notify,
            BounceDecision::Silent => Decision::Silent,
            BounceDecision::Retry(after_ms) => Decision::Retry(after_ms),
            BounceDecision::Reroute => Decision::Reroute,
            BounceDecision::Fail => Decision::Fail,
        }
    }
}

impl<P: Loaded + Events> events::exports::baton::relay::events_hook::Guest for Exported<P> {
    fn on_events(batch: Vec<events::exports::baton::relay::events_hook::Event>) {
        use events::exports::baton::relay::events_hook::Event as Given;
        let read = |given: Given| {
            let Given { unix_ms, kind, session_id, message_id, fields } = given;
            Event { unix_ms, kind, session_id, message_id, fields }
        };
        let batch: Vec<Event> = batch.into_iter().map(read).collect();
        Self::call(Vec::new(), |plugin, cx| plugin.on_events(cx, &batch));
    }
}
