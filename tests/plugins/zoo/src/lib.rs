//! A plugin that misbehaves on demand, for the tests of the plugin host.
//!
//! Its config names a behaviour per hook: `{ "rcpt": "trap", "data": "loop" }`; hooks that are not named say `next`.
//! It uses the raw bindings, so that it can do what the SDK would not let it do.
#![cfg(target_family = "wasm")]

mod animals;
mod beasts;
mod callers;
mod dice;

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "package baton:zoo;
            world animal {
                include baton:relay/base@0.1.0;
                export baton:relay/connect-hook@0.1.0;
                export baton:relay/auth-hook@0.1.0;
                export baton:relay/rcpt-hook@0.1.0;
                export baton:relay/data-hook@0.1.0;
                export baton:relay/route-hook@0.1.0;
                export baton:relay/bounce-hook@0.1.0;
                export baton:relay/events-hook@0.1.0;
            }",
        world: "baton:zoo/animal",
        generate_all,
    });
}

use bindings::baton::host::config;
use bindings::baton::relay::session;
use bindings::baton::relay::types::{Address, Param, Reply};
use bindings::exports::baton::relay::{
    auth_hook, bounce_hook, connect_hook, data_hook, events_hook, lifecycle, rcpt_hook, route_hook,
};

/// The whole animal.
struct Zoo;

bindings::export!(Zoo with_types_in bindings);

/// What a behaviour comes down to when it does not end in a failure.
enum Said {
    Next,
    Accept,
    Reject(Reply),
    Tempfail(Reply),
}

/// What the config says for the hook; at the listener that it calls tame, the animal is.
fn behaviour(hook: &str) -> String {
    if config::get("tame").is_some_and(|tame| session::listener() == tame) {
        return "next".to_owned();
    }
    config::get(hook).unwrap_or_else(|| "next".to_owned())
}

fn reply(code: u16, text: &str) -> Reply {
    Reply { code, enhanced: None, text: text.to_owned() }
}

impl lifecycle::Guest for Zoo {
    fn init() -> Result<(), Vec<lifecycle::Problem>> {
        match behaviour("init").as_str() {
            "next" => Ok(()),
            "problems" => Err(vec![lifecycle::Problem {
                path: "init".to_owned(),
                message: "is \"problems\"".to_owned(),
            }]),
            "capabilities" => animals::check_init(),
            other => {
                animals::act("init", other);
                Ok(())
            }
        }
    }
}

impl connect_hook::Guest for Zoo {
    fn on_connect() -> connect_hook::Decision {
        use connect_hook::Decision;
        match animals::act("connect", &behaviour("connect")) {
            Said::Next => Decision::Next,
            Said::Accept => Decision::Accept,
            Said::Reject(reply) => Decision::Reject(reply),
            Said::Tempfail(reply) => Decision::Tempfail(reply),
        }
    }
}

impl auth_hook::Guest for Zoo {
    fn on_auth(_mechanism: String, user: String, given: auth_hook::Credential) -> auth_hook::Decision {
        use auth_hook::{Credential, Decision};
        match animals::act("auth", &behaviour("auth")) {
            Said::Next => Decision::Next,
            Said::Accept if matches!(&given, Credential::Password(password) if password == "secret") => {
                Decision::Allow(user)
            }
            Said::Accept => Decision::Deny(reply(535, "wrong")),
            Said::Reject(reply) => Decision::Deny(reply),
            Said::Tempfail(reply) => Decision::Tempfail(reply),
        }
    }
}

impl rcpt_hook::Guest for Zoo {
    fn on_rcpt(_rcpt: Address, _params: Vec<Param>) -> rcpt_hook::Decision {
        use rcpt_hook::Decision;
        match animals::act("rcpt", &behaviour("rcpt")) {
            Said::Next => Decision::Next,
            Said::Accept => Decision::Accept,
            Said::Reject(reply) => Decision::Reject(reply),
            Said::Tempfail(reply) => Decision::Tempfail(reply),
        }
    }
}

impl data_hook::Guest for Zoo {
    fn on_data() -> data_hook::Decision {
        use data_hook::Decision;
        match animals::act("data", &behaviour("data")) {
            Said::Next => Decision::Next,
            Said::Accept => Decision::Accept,
            Said::Reject(reply) => Decision::Reject(reply),
            Said::Tempfail(reply) => Decision::Tempfail(reply),
        }
    }
}

impl route_hook::Guest for Zoo {
    fn on_route(_rcpt: Address) -> route_hook::Decision {
        use route_hook::Decision;
        match animals::act("route", &behaviour("route")) {
            Said::Next => Decision::Next,
            Said::Accept => Decision::Routed,
            Said::Reject(reply) => Decision::Fail(reply),
            Said::Tempfail(_) => Decision::Hold("tempfail".to_owned()),
        }
    }
}

impl events_hook::Guest for Zoo {
    /// Counts what it is told, by kind, and then does what its config says.
    fn on_events(batch: Vec<events_hook::Event>) {
        for event in &batch {
            animals::note(&event.kind, event.fields.len());
        }
        animals::act("events", &behaviour("events"));
    }
}

impl bounce_hook::Guest for Zoo {
    fn on_bounce(_rcpt: Address) -> bounce_hook::Decision {
        use bounce_hook::Decision;
        match animals::act("bounce", &behaviour("bounce")) {
            Said::Next => Decision::Next,
            Said::Accept => Decision::Silent,
            // Of a wrong class: here a decision carries no reply, but a time that makes no sense.
            Said::Reject(reply) if reply.code < 400 => Decision::Retry(0),
            Said::Reject(_) => Decision::Fail,
            Said::Tempfail(_) => Decision::Retry(1_000),
        }
    }
}
