//! The plugin and the test of the README, as they stand there.
#![allow(missing_docs)]

// <plugin>
use baton_sdk::prelude::*;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    blocked: Vec<String>,
    per_minute: u32,
}

#[baton_sdk::plugin]
pub struct Guard {
    config: Config,
}

#[baton_sdk::hook]
impl Rcpt for Guard {
    fn on_rcpt(&self, cx: &Context, rcpt: &Address) -> Result<RcptDecision> {
        if self.config.blocked.iter().any(|domain| domain == rcpt.domain()) {
            return reject(550, "5.7.1", "we do not serve that domain");
        }
        let client = cx.session().remote_ip().map(|ip| ip.to_string()).unwrap_or_default();
        let taken = cx.kv("rate")?.take(&client, 1, self.config.per_minute, Duration::from_secs(60))?;
        if taken.allowed { next() } else { tempfail(451, "4.7.1", "slow down") }
    }
}
// </plugin>

// <test>
#[cfg(test)]
mod tests {
    use super::*;
    use baton_sdk::testing::{TestHost, json};

    #[test]
    fn blocked_domains_are_refused_and_the_rest_is_limited() {
        let host = TestHost::new()
            .config(json!({ "blocked": ["bad.example"], "per_minute": 1 }))
            .kv("rate")
            .remote_ip("192.0.2.1");
        let guard: Guard = host.plugin().unwrap();
        let ask = |rcpt: &str| guard.on_rcpt(&host.context(), &rcpt.parse().unwrap()).unwrap();

        assert!(matches!(ask("ann@bad.example"), RcptDecision::Reject(_)));
        assert_eq!(ask("ann@good.example"), RcptDecision::Next);
        assert!(matches!(ask("ann@good.example"), RcptDecision::Tempfail(_)));
    }
}
// </test>

#[test]
fn the_readme_shows_this_code() {
    let readme = include_str!("../README.md");
    for part in ["plugin", "test"] {
        let open = format!("// <{part}>\n");
        let (_, rest) = include_str!("readme.rs").split_once(&open).unwrap();
        let (code, _) = rest.split_once(&format!("// </{part}>")).unwrap();
        assert!(readme.contains(&format!("\n{code}```")), "the README differs from <{part}>");
    }
}
