//! A plugin without opinion, at every hook: what a hook costs by itself.
//!
//! With `host_calls = true` each call also asks the relay two cheap questions, as a real filter would.
//!
//! Invariant: every decision is `next`, and nothing is changed.

use baton_sdk::prelude::*;

/// The settings. Keys of others are let pass, so that this plugin can stand beside any other one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Ask two questions in each call; default false.
    pub host_calls: bool,
}

/// The plugin.
#[baton_sdk::plugin]
pub struct Noop {
    config: Config,
}

impl Noop {
    fn pass<D: baton_sdk::Passes>(&self, cx: &Context) -> Result<D> {
        if self.config.host_calls {
            std::hint::black_box((cx.session().remote_port(), cx.session().helo()));
        }
        next()
    }
}

#[baton_sdk::hook]
impl Connect for Noop {
    fn on_connect(&self, cx: &Context) -> Result<ConnectDecision> {
        self.pass(cx)
    }
}

#[baton_sdk::hook]
impl Auth for Noop {
    fn on_auth(
        &self,
        cx: &Context,
        _mechanism: &str,
        _user: &str,
        _given: &Credential,
    ) -> Result<AuthDecision> {
        self.pass(cx)
    }
}

#[baton_sdk::hook]
impl Rcpt for Noop {
    fn on_rcpt(&self, cx: &Context, _rcpt: &Address) -> Result<RcptDecision> {
        self.pass(cx)
    }
}

#[baton_sdk::hook]
impl Data for Noop {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        self.pass(cx)
    }
}

#[baton_sdk::hook]
impl Route for Noop {
    fn on_route(&self, cx: &Context, _rcpt: &Address) -> Result<RouteDecision> {
        self.pass(cx)
    }
}

#[baton_sdk::hook]
impl Bounce for Noop {
    fn on_bounce(&self, cx: &Context, _rcpt: &Address) -> Result<BounceDecision> {
        self.pass(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_sdk::testing::{TestHost, json};

    #[test]
    fn every_hook_passes_and_changes_nothing() {
        for host_calls in [false, true] {
            let host = TestHost::new().config(json!({ "host_calls": host_calls })).recipient("a@b.example");
            let (plugin, cx) = (host.plugin::<Noop>().unwrap(), host.context());
            let (rcpt, password) = (Address::new("a", "b.example"), Credential::Password("x".into()));
            assert_eq!(plugin.on_connect(&cx).unwrap(), ConnectDecision::Next);
            assert_eq!(plugin.on_auth(&cx, "PLAIN", "a", &password).unwrap(), AuthDecision::Next);
            assert_eq!(plugin.on_rcpt(&cx, &rcpt).unwrap(), RcptDecision::Next);
            assert_eq!(plugin.on_data(&cx).unwrap(), DataDecision::Next);
            assert_eq!(plugin.on_route(&cx, &rcpt).unwrap(), RouteDecision::Next);
            assert_eq!(plugin.on_bounce(&cx, &rcpt).unwrap(), BounceDecision::Next);
            assert!(host.edits().is_empty());
        }
    }
}
