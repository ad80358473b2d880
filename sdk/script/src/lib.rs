//! The interpreter of scripted policies: QuickJS as one component that exports every hook.
//!
//! The relay puts the script's text into the component's config. It is evaluated once; the relay takes a snapshot of the
//! memory after that, so a call starts with the script parsed. Which hooks the script defines is asked through
//! `baton:policy/script`, because the component's exports do not tell.
//!
//! Invariant: no call sees what another call left, but for the objects of the script itself in an instance that the
//! operator wants to be used again; even there the built-in objects can not be changed.
//!
//! Invariant: a script that throws, or answers what is no decision of the hook, ends the call without a decision.

mod bridge;
mod fault;
mod interpreter;
mod value;

wit_bindgen::generate!({
    path: ["../../wit", "wit"],
    world: "baton:policy/interpreter",
    generate_all,
});

use baton::policy::types::Problem as Misplaced;
use baton::relay::types::{Address, Param, Reply};
use exports::baton::relay::{
    auth_hook, bounce_hook, connect_hook, data_hook, events_hook, lifecycle, rcpt_hook, route_hook,
};
use interpreter::{Given, Interpreter, Told};

struct Script;
export!(Script);

impl exports::baton::policy::script::Guest for Script {
    fn prepare() {
        interpreter::prepare();
    }

    fn load() -> Result<Vec<String>, Misplaced> {
        interpreter::with(|loaded| loaded.map(Interpreter::hooks))
    }
}

impl lifecycle::Guest for Script {
    fn init() -> Result<(), Vec<lifecycle::Problem>> {
        interpreter::with(|loaded| match loaded {
            Ok(_) => Ok(()),
            Err(problem) => {
                Err(vec![lifecycle::Problem { path: String::new(), message: fault::placed(&problem) }])
            }
        })
    }
}

impl connect_hook::Guest for Script {
    fn on_connect() -> connect_hook::Decision {
        use connect_hook::Decision;
        interpreter::ask("onConnect", Given::Nothing, |told| {
            Some(match told.kind.as_str() {
                "next" => Decision::Next,
                "accept" => Decision::Accept,
                "reject" => Decision::Reject(told.into()),
                "tempfail" => Decision::Tempfail(told.into()),
                _ => return None,
            })
        })
    }
}

impl auth_hook::Guest for Script {
    fn on_auth(mechanism: String, user: String, given: auth_hook::Credential) -> auth_hook::Decision {
        use auth_hook::{Credential, Decision};
        let (password, token) = match given {
            Credential::Password(password) => (Some(password), None),
            Credential::Token(token) => (None, Some(token)),
        };
        interpreter::ask("onAuth", Given::Credential { mechanism, user, password, token }, |told| {
            Some(match told.kind.as_str() {
                "next" => Decision::Next,
                "allow" => Decision::Allow(told.text),
                "deny" => Decision::Deny(told.into()),
                "tempfail" => Decision::Tempfail(told.into()),
                "disconnect" => Decision::Disconnect(told.into()),
                _ => return None,
            })
        })
    }
}

impl rcpt_hook::Guest for Script {
    fn on_rcpt(rcpt: Address, params: Vec<Param>) -> rcpt_hook::Decision {
        use rcpt_hook::Decision;
        interpreter::ask("onRcpt", Given::Recipient { rcpt, params }, |told| {
            Some(match told.kind.as_str() {
                "next" => Decision::Next,
                "accept" => Decision::Accept,
                "reject" => Decision::Reject(told.into()),
                "tempfail" => Decision::Tempfail(told.into()),
                "discard" => Decision::Discard,
                "disconnect" => Decision::Disconnect(told.into()),
                _ => return None,
            })
        })
    }
}

impl data_hook::Guest for Script {
    fn on_data() -> data_hook::Decision {
        use data_hook::Decision;
        interpreter::ask("onData", Given::Nothing, |told| {
            Some(match told.kind.as_str() {
                "next" => Decision::Next,
                "accept" => Decision::Accept,
                "reject" => Decision::Reject(told.into()),
                "tempfail" => Decision::Tempfail(told.into()),
                "discard" => Decision::Discard(told.text),
                "quarantine" => Decision::Quarantine(told.text),
                "disconnect" => Decision::Disconnect(told.into()),
                _ => return None,
            })
        })
    }
}

impl route_hook::Guest for Script {
    fn on_route(rcpt: Address) -> route_hook::Decision {
        use route_hook::Decision;
        interpreter::ask("onRoute", Given::Recipient { rcpt, params: Vec::new() }, |told| {
            Some(match told.kind.as_str() {
                "next" => Decision::Next,
                "routed" => Decision::Routed,
                "hold" => Decision::Hold(told.text),
                "fail" => Decision::Fail(told.into()),
                _ => return None,
            })
        })
    }
}

impl bounce_hook::Guest for Script {
    fn on_bounce(rcpt: Address) -> bounce_hook::Decision {
        use bounce_hook::Decision;
        interpreter::ask("onBounce", Given::Recipient { rcpt, params: Vec::new() }, |told| {
            Some(match told.kind.as_str() {
                "next" => Decision::Next,
                "notify" => Decision::Notify,
                "silent" => Decision::Silent,
                "retry" => Decision::Retry(told.ms),
                "reroute" => Decision::Reroute,
                "fail" => Decision::Fail,
                _ => return None,
            })
        })
    }
}

impl events_hook::Guest for Script {
    fn on_events(batch: Vec<events_hook::Event>) {
        interpreter::ask("onEvents", Given::Events(batch), |_| Some(()));
    }
}

impl From<Told> for Reply {
    fn from(told: Told) -> Reply {
        Reply { code: told.code, enhanced: told.enhanced, text: told.text }
    }
}
