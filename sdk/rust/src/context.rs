//! The way from a hook to everything around it.

use crate::host::{CurrentHost, Host, Labels};
use crate::http::Http;
use crate::{Bucket, Dns, Envelope, Failure, KvError, Message, Metrics, Parameter, Routing, Session, Verify};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the author, step by step.
    Trace,
    /// For the author.
    Debug,
    /// For the operator.
    Info,
    /// Something is wrong, and the plugin coped.
    Warn,
    /// Something is wrong.
    Error,
}

/// The call in progress: what the hook can see, ask and change. Reading is paid for when it is done, and only then.
///
/// What is read is the state at the beginning of the call; changes are applied when the hook returned a decision.
pub struct Context {
    host: CurrentHost,
    parameters: Vec<Parameter>,
}

impl Context {
    pub(crate) fn new(host: CurrentHost, parameters: Vec<Parameter>) -> Context {
        Context { host, parameters }
    }

    /// The SMTP session; in `route` and `bounce` the one by which the message came in.
    pub fn session(&self) -> Session<'_> {
        Session { host: &self.host }
    }

    /// Sender, recipients, tags and scores; not in `connect` and `auth`.
    pub fn envelope(&self) -> Envelope<'_> {
        Envelope { host: &self.host }
    }

    /// The message; in `data`, `route` and `bounce`.
    pub fn message(&self) -> Message<'_> {
        Message { host: &self.host }
    }

    /// Where this recipient's copy goes; to be set in `route`, readable in `bounce`.
    pub fn routing(&self) -> Routing<'_> {
        Routing { host: &self.host }
    }

    /// What went wrong; in `bounce`.
    pub fn failure(&self) -> Failure<'_> {
        Failure { host: &self.host }
    }

    /// The parameters of the RCPT command at hand; empty at the other hooks.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The relay's resolver (grant `dns`).
    pub fn dns(&self) -> Dns<'_> {
        Dns { host: &self.host }
    }

    /// The relay's HTTP client (grant `http`, a list of URL prefixes).
    pub fn http(&self) -> Http<'_> {
        Http { host: &self.host }
    }

    /// Questions to the next hop (grant `verify`); in `rcpt` only.
    pub fn verify(&self) -> Verify<'_> {
        Verify { host: &self.host }
    }

    /// A secret that the settings bind to this plugin (`[plugins.<name>.secrets]`). Keep it out of the log. There is
    /// none at load, so that no snapshot holds one: ask for it in the hook.
    pub fn secret(&self, name: &str) -> Option<String> {
        self.host.secret(name)
    }

    /// A bucket of the relay's key-value store (grant `kv`, by name). It is the plugin's own, unless its name begins
    /// with `shared/`.
    pub fn kv(&self, bucket: &str) -> Result<Bucket, KvError> {
        Ok(Bucket { inner: self.host.kv_open(bucket)? })
    }

    /// The plugin's own metrics.
    pub fn metrics(&self) -> Metrics<'_> {
        Metrics { host: &self.host }
    }

    /// The time.
    pub fn clock(&self) -> Clock<'_> {
        Clock { host: &self.host }
    }

    /// Writes a log line with fields: `cx.log(Level::Info, "listed", &[("zone", zone)])`.
    pub fn log(&self, level: Level, message: &str, fields: Labels<'_>) {
        self.host.log(level, message, fields);
    }

    /// Writes a log line for the operator.
    pub fn info(&self, message: &str) {
        self.log(Level::Info, message, &[]);
    }

    /// Writes a log line about something that is wrong and was coped with.
    pub fn warn(&self, message: &str) {
        self.log(Level::Warn, message, &[]);
    }
}

/// The relay's clock.
pub struct Clock<'a> {
    host: &'a CurrentHost,
}

impl Clock<'_> {
    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }

    /// Milliseconds that this call may still take before the relay ends it.
    pub fn remaining_ms(&self) -> u32 {
        self.host.remaining_ms()
    }
}
