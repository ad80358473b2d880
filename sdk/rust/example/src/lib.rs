//! Refuses attachments by the ending of their name, counts in the key-value store, says in the header what it saw.
//!
//! Invariant: it does what the examples of the other SDKs do, by the cases of `tests/plugins/vectors`.

use baton_sdk::prelude::*;
use baton_sdk::{Level, Session, Tls};

/// The settings.
#[derive(Deserialize)]
pub struct Config {
    /// Endings of file names, in lower case.
    blocked: Vec<String>,
}

/// The plugin.
#[baton_sdk::plugin]
pub struct AttachmentGuard {
    config: Config,
}

#[baton_sdk::hook]
impl Data for AttachmentGuard {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        let names: Vec<String> = cx.message().parts().filter_map(|part| part.filename()).collect();
        let counters = cx.kv("attachments")?;
        if let Some(name) = names.iter().find(|name| self.is_blocked(name)) {
            let count = counters.increment("refused", 1, None)?.to_string();
            cx.log(Level::Info, "attachment refused", &[("name", name), ("count", &count)]);
            return reject(550, "5.7.1", format!("attachment {name} is not accepted"));
        }
        let seen = counters.increment("passed", 1, None)?;
        cx.message().set_header("X-Attachments", &format!("{}; seen={seen}", names.len()))?;
        cx.message().set_header("X-Session", &seen_of(&cx.session()))?;
        next()
    }
}

impl AttachmentGuard {
    fn is_blocked(&self, name: &str) -> bool {
        let ending = name.rsplit('.').next().unwrap_or(name).to_lowercase();
        self.config.blocked.contains(&ending)
    }
}

fn seen_of(session: &Session<'_>) -> String {
    let tls = session.tls().unwrap_or(Tls { version: "plain text".to_owned(), ..Tls::default() });
    let subject = tls.verified_subject().unwrap_or("nobody");
    format!("{} of {subject}, iprev {}", tls.version, session.iprev().unwrap_or_default())
}
