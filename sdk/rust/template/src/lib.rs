//! {{name}}: each `impl` below is a hook; what is not implemented is never called.

use baton_sdk::prelude::*;

/// The settings, `[plugins.{{name}}.config]`. They are read once per load; what does not fit is told to the operator.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Domains whose recipients are refused.
    blocked: Vec<String>,
}

#[baton_sdk::plugin]
pub struct Filter {
    config: Config,
}

impl Filter {
    /// True for a recipient that is not wanted.
    pub fn is_blocked(&self, rcpt: &Address) -> bool {
        self.config.blocked.iter().any(|domain| domain == rcpt.domain())
    }
}

// hook: connect
#[baton_sdk::hook]
impl Connect for Filter {
    /// A client connected; nothing was said yet.
    fn on_connect(&self, _: &Context) -> Result<ConnectDecision> {
        next()
    }
}

// hook: end
// hook: auth
#[baton_sdk::hook]
impl Auth for Filter {
    /// A client wants to log in.
    fn on_auth(&self, _: &Context, _mechanism: &str, _user: &str, _given: &Credential) -> Result<AuthDecision> {
        next()
    }
}

// hook: end
// hook: rcpt
#[baton_sdk::hook]
impl Rcpt for Filter {
    /// RCPT TO.
    fn on_rcpt(&self, _: &Context, rcpt: &Address) -> Result<RcptDecision> {
        if self.is_blocked(rcpt) {
            return reject(550, "5.7.1", "we do not serve that domain");
        }
        next()
    }
}

// hook: end
// hook: data
#[baton_sdk::hook]
impl Data for Filter {
    /// The whole message is here and not yet accepted.
    fn on_data(&self, _: &Context) -> Result<DataDecision> {
        next()
    }
}

// hook: end
// hook: route
#[baton_sdk::hook]
impl Route for Filter {
    /// A copy for this recipient is due.
    fn on_route(&self, _: &Context, _: &Address) -> Result<RouteDecision> {
        next()
    }
}

// hook: end
// hook: bounce
#[baton_sdk::hook]
impl Bounce for Filter {
    /// An attempt for this recipient failed.
    fn on_bounce(&self, _: &Context, _: &Address) -> Result<BounceDecision> {
        next()
    }
}

// hook: end
// hook: events
#[baton_sdk::hook]
impl Events for Filter {
    /// What happened, off the mail path.
    fn on_events(&self, cx: &Context, events: &[Event]) -> Result<()> {
        for event in events {
            cx.info(&event.kind);
        }
        Ok(())
    }
}

// hook: end
#[cfg(test)]
mod tests {
    use baton_sdk::testing::{TestHost, json};

    use super::*;

    #[test]
    fn blocked_domains_are_known() {
        let host = TestHost::new().config(json!({ "blocked": ["bad.example"] }));
        let filter: Filter = host.plugin().unwrap();
        assert!(filter.is_blocked(&"ann@bad.example".parse().unwrap()));
        assert!(!filter.is_blocked(&"ann@good.example".parse().unwrap()));
    }
}
