//! Unit tests of plugins without a relay and without WebAssembly: prepare a [`TestHost`], call the hook as a plain
//! function, look at its decision and at what it did.
//!
//! ```
//! use baton_sdk::prelude::*;
//! use baton_sdk::testing::{Edit, TestHost, json};
//!
//! #[derive(Deserialize)]
//! struct Config { prefix: String }
//!
//! #[baton_sdk::plugin]
//! struct Marker { config: Config }
//!
//! #[baton_sdk::hook]
//! impl Data for Marker {
//!     fn on_data(&self, cx: &Context) -> Result<DataDecision> {
//!         let subject = cx.message().header("Subject").unwrap_or_default();
//!         cx.message().set_header("Subject", &format!("{} {subject}", self.config.prefix))?;
//!         next()
//!     }
//! }
//!
//! let host = TestHost::new().config(json!({ "prefix": "[list]" })).header("Subject", "hello");
//! let marker: Marker = host.plugin().unwrap();
//! assert_eq!(marker.on_data(&host.context()).unwrap(), DataDecision::Next);
//! assert_eq!(host.edits(), [Edit::SetHeader("Subject".into(), "[list] hello".into())]);
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

pub use serde_json::{Value, json};

use crate::context::Level;
use crate::dns::rr_type;
use crate::host::fake::{FakeHost, SessionState, State, blocklist_name, normal_name};
use crate::http::{HttpError, Request, Response};
use crate::plugin::load_and_check;
use crate::reply::parse_enhanced;
use crate::{
    Address, Answer, Context, DnsError, Parameter, Plugin, Problems, Query, Reply, Tls, Verified, VerifyError,
};

/// A change that a hook asked for. The relay would apply it when the hook returned.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each case is named after the function that makes it")]
pub enum Edit {
    AddHeader(String, String),
    InsertHeader(u32, String, String),
    SetHeader(String, String),
    RemoveHeader(String),
    Body(Vec<u8>),
    Sender(Option<Address>),
    AddRecipient(Address),
    RemoveRecipient(u32),
    Redirect(u32, Vec<Address>),
    Stream(String),
    Priority(i8),
    Quarantine(String),
    Tag(String, String),
    Score(String, f64),
    Note(String, Option<Vec<u8>>),
    SessionNote(String, Option<Vec<u8>>),
    MxOf(String),
    Host(String, u16),
    Lmtp(String),
    NextHop(String),
    Fallback(String, u16),
    Queue(String),
    NotBefore(u64),
    ExpireAfterMs(u64),
    Class(String),
}

/// A line that a hook logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The words.
    pub message: String,
    /// The fields.
    pub fields: Vec<(String, String)>,
}

/// A relay made up for one test. Text that is no address or the like panics: it is the test that is wrong.
pub struct TestHost {
    config: serde_json::Value,
    host: FakeHost,
}

impl Default for TestHost {
    fn default() -> TestHost {
        TestHost::new()
    }
}

impl TestHost {
    /// A session from 192.0.2.1 on the listener `relay`, with an empty message from nobody to nobody.
    pub fn new() -> TestHost {
        let session = SessionState {
            listener: "relay".to_owned(),
            remote_ip: "192.0.2.1".to_owned(),
            remote_name: None,
            helo: Some("client.example".to_owned()),
            account: None,
            iprev: Some("permerror".to_owned()),
            tls: None,
            notes: BTreeMap::new(),
        };
        let host = FakeHost::new(State {
            now_ms: 1_700_000_000_000,
            remaining_ms: 5_000,
            refuse_edits: None,
            session,
            envelope: Default::default(),
            message: Default::default(),
            attempt: Default::default(),
            failure: Default::default(),
            buckets: BTreeMap::new(),
            dns: BTreeMap::new(),
            secrets: BTreeMap::new(),
            http: Vec::new(),
            requests: Vec::new(),
            verify: BTreeMap::new(),
            edits: Vec::new(),
            logs: Vec::new(),
            metrics: BTreeMap::new(),
        });
        TestHost { config: json!({}), host }
    }

    /// The settings, as `[plugins.<name>.config]` would give them.
    pub fn config(mut self, config: serde_json::Value) -> TestHost {
        self.config = config;
        self
    }

    /// Builds the plugin from the settings, as the relay does at load.
    pub fn plugin<P: Plugin>(&self) -> Result<P, Problems> {
        load_and_check(&self.config.to_string())
    }

    /// What a hook is called with.
    pub fn context(&self) -> Context {
        Context::new(self.host.clone(), Vec::new())
    }

    /// What `on_rcpt` is called with when the client gave parameters.
    pub fn context_with(&self, parameters: &[(&str, Option<&str>)]) -> Context {
        Context::new(self.host.clone(), own_parameters(parameters))
    }

    fn set(self, change: impl FnOnce(&mut State)) -> TestHost {
        change(&mut self.host.state_mut());
        self
    }
}

/// What the hook will find.
impl TestHost {
    /// The client's address.
    pub fn remote_ip(self, address: &str) -> TestHost {
        self.set(|state| state.session.remote_ip = address.to_owned())
    }

    /// The client's forward-confirmed reverse name.
    pub fn remote_name(self, name: &str) -> TestHost {
        self.set(|state| {
            state.session.remote_name = Some(name.to_owned());
            state.session.iprev = Some("pass".to_owned());
        })
    }

    /// What came of looking for a name that there is not: `fail`, `permerror` or `temperror`.
    pub fn iprev(self, word: &str) -> TestHost {
        self.set(|state| {
            state.session.remote_name = None;
            state.session.iprev = Some(word.to_owned());
        })
    }

    /// What protects the connection.
    pub fn tls(self, tls: Tls) -> TestHost {
        self.set(|state| state.session.tls = Some(tls))
    }

    /// What the client said in EHLO.
    pub fn helo(self, name: &str) -> TestHost {
        self.set(|state| state.session.helo = Some(name.to_owned()))
    }

    /// The account that the client logged in as.
    pub fn account(self, account: &str) -> TestHost {
        self.set(|state| state.session.account = Some(account.to_owned()))
    }

    /// The name of the listener.
    pub fn listener(self, name: &str) -> TestHost {
        self.set(|state| state.session.listener = name.to_owned())
    }

    /// A note of the session.
    pub fn session_note(self, key: &str, value: &[u8]) -> TestHost {
        self.set(|state| drop(state.session.notes.insert(key.to_owned(), value.to_vec())))
    }

    /// The return path.
    pub fn sender(self, address: &str) -> TestHost {
        self.set(|state| state.envelope.sender = Some(own_address(address)))
    }

    /// The parameters of MAIL FROM.
    pub fn sender_parameters(self, parameters: &[(&str, Option<&str>)]) -> TestHost {
        self.set(|state| state.envelope.sender_parameters = own_parameters(parameters))
    }

    /// One more recipient; for `on_rcpt` the last one is the one at hand.
    pub fn recipient(self, address: &str) -> TestHost {
        self.set(|state| state.envelope.recipients.push((own_address(address), Vec::new())))
    }

    /// Tenant and stream of the message.
    pub fn stream(self, tenant: &str, stream: &str) -> TestHost {
        self.set(|state| {
            state.envelope.tenant = Some(tenant.to_owned());
            state.envelope.stream = Some(stream.to_owned());
        })
    }

    /// Points that earlier plugins gave.
    pub fn score(self, points: f64) -> TestHost {
        self.set(|state| state.envelope.score = points)
    }

    /// A note of the message.
    pub fn note(self, key: &str, value: &[u8]) -> TestHost {
        self.set(|state| drop(state.envelope.notes.insert(key.to_owned(), value.to_vec())))
    }

    /// One more header field.
    pub fn header(self, name: &str, value: &str) -> TestHost {
        self.set(|state| state.message.headers.push((name.to_owned(), value.to_owned())))
    }

    /// What follows the header.
    pub fn body(self, body: impl AsRef<[u8]>) -> TestHost {
        self.set(|state| state.message.body = body.as_ref().to_vec())
    }

    /// The whole message, with LF or CRLF at the ends of its lines.
    pub fn message(self, text: impl AsRef<[u8]>) -> TestHost {
        let text = String::from_utf8_lossy(text.as_ref()).replace("\r\n", "\n").replace('\n', "\r\n");
        let (header, body) = match text.strip_prefix("\r\n") {
            Some(body) => ("", body),
            None => text.split_once("\r\n\r\n").unwrap_or((text.as_str(), "")),
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in header.split("\r\n").filter(|line| !line.is_empty()) {
            match headers.last_mut() {
                Some((_, value)) if line.starts_with([' ', '\t']) => {
                    value.push_str("\r\n");
                    value.push_str(line);
                }
                _ => {
                    let (name, value) =
                        line.split_once(':').unwrap_or_else(|| panic!("no header field: {line:?}"));
                    headers.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
        }
        self.set(|state| {
            state.message.headers = headers;
            state.message.body = body.as_bytes().to_vec();
        })
    }

    /// The priority that an earlier plugin set.
    pub fn priority(self, priority: i8) -> TestHost {
        self.set(|state| state.envelope.priority = priority)
    }

    /// A secret of the plugin.
    pub fn secret(self, name: &str, value: &str) -> TestHost {
        self.set(|state| drop(state.secrets.insert(name.to_owned(), value.to_owned())))
    }

    /// The answer to a request. Several for the same request are given in turn, the last one for good; what is not
    /// prepared is denied.
    pub fn http(self, method: &str, url: &str, response: Response) -> TestHost {
        self.set(|state| state.http.push((method.to_owned(), url.to_owned(), Ok(response))))
    }

    /// A request that fails.
    pub fn http_failure(self, method: &str, url: &str, error: HttpError) -> TestHost {
        self.set(|state| state.http.push((method.to_owned(), url.to_owned(), Err(error))))
    }

    /// What the next hop says about a recipient, such as `"250 2.1.5 ok"`. What is not prepared is denied.
    pub fn verify(self, rcpt: &str, reply: &str) -> TestHost {
        let verified = Verified { host: "next.example".to_owned(), reply: own_reply(reply) };
        self.set(|state| drop(state.verify.insert(own_address(rcpt), Ok(verified))))
    }

    /// A question that the next hop does not answer.
    pub fn verify_failure(self, rcpt: &str, error: VerifyError) -> TestHost {
        self.set(|state| drop(state.verify.insert(own_address(rcpt), Err(error))))
    }

    /// A message whose header the relay would not read.
    pub fn too_complex(self, why: &str) -> TestHost {
        self.set(|state| state.message.too_complex = Some(why.to_owned()))
    }

    /// Grants a bucket of the key-value store.
    pub fn kv(self, bucket: &str) -> TestHost {
        self.set(|state| {
            state.buckets.entry(bucket.to_owned()).or_default();
        })
    }

    /// Records in the DNS. What is not prepared does not exist.
    pub fn dns(self, name: &str, rr_type: u16, records: &[&str]) -> TestHost {
        let records = records.iter().map(|&record| record.to_owned()).collect();
        let answer = Answer { ttl_s: 300, records, ..Answer::default() };
        self.set(|state| drop(state.dns.insert(Query { name: normal_name(name), rr_type }, Ok(answer))))
    }

    /// A question that the DNS does not answer.
    pub fn dns_failure(self, name: &str, rr_type: u16, error: DnsError) -> TestHost {
        self.set(|state| drop(state.dns.insert(Query { name: normal_name(name), rr_type }, Err(error))))
    }

    /// Puts an address or a domain on a DNS blocklist.
    pub fn blocklisted(self, zone: &str, subject: &str, record: &str) -> TestHost {
        self.dns(&blocklist_name(subject, zone), rr_type::A, &[record])
    }

    /// A blocklist that does not answer about an address or a domain.
    pub fn blocklist_failure(self, zone: &str, subject: &str, error: DnsError) -> TestHost {
        self.dns_failure(&blocklist_name(subject, zone), rr_type::A, error)
    }

    /// What happened to this recipient's copy so far.
    pub fn attempt(self, finished: u32, age: Duration, last_error: Option<&str>) -> TestHost {
        self.set(|state| {
            state.attempt.attempt = finished;
            state.attempt.age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            state.attempt.last_error = last_error.map(str::to_owned);
        })
    }

    /// The failure that `on_bounce` is asked about.
    pub fn failure(self, permanent: bool, phase: &str, class: &str) -> TestHost {
        self.set(|state| {
            state.failure.permanent = permanent;
            state.failure.phase = phase.to_owned();
            state.failure.class = class.to_owned();
        })
    }

    /// What the remote host said: `"mx.example.net", "550 5.1.1 no such user"`.
    pub fn remote_reply(self, host: &str, reply: &str) -> TestHost {
        let reply: Reply = reply.parse().unwrap_or_else(|error| panic!("{reply:?}: {error}"));
        self.set(|state| {
            state.failure.remote_host = Some(host.to_owned());
            state.failure.remote_reply = Some(reply);
        })
    }

    /// Makes every edit fail, as if the operator had granted none.
    pub fn refuse_edits(self, reason: &str) -> TestHost {
        self.set(|state| state.refuse_edits = Some(reason.to_owned()))
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.host.state_mut().now_ms += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    }
}

/// What the hook did.
impl TestHost {
    /// The changes, in order.
    pub fn edits(&self) -> Vec<Edit> {
        self.host.state().edits.clone()
    }

    /// The HTTP requests, in order; those of `post_raw` with the message as body.
    pub fn requests(&self) -> Vec<Request> {
        self.host.state().requests.clone()
    }

    /// The raw message that the hook was given.
    pub fn raw_message(&self) -> Vec<u8> {
        self.host.state().message.raw()
    }

    /// The log, in order.
    pub fn logs(&self) -> Vec<LogLine> {
        self.host.state().logs.clone()
    }

    /// Metrics by name and labels, such as `listed{zone=bl.example}`: sums of counters, last values of the others.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        self.host.state().metrics.clone()
    }
}

fn own_address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// A reply of any class: code, enhanced code if there is one, text.
fn own_reply(line: &str) -> Reply {
    let (code, rest) = line.split_once(' ').unwrap_or((line, ""));
    let code = code.parse().unwrap_or_else(|_| panic!("no reply: {line:?}"));
    let (enhanced, text) = match rest.split_once(' ').map(|(first, text)| (parse_enhanced(first), text)) {
        Some((Some(enhanced), text)) => (Some(enhanced), text),
        _ => (None, rest),
    };
    Reply { code, enhanced, text: text.to_owned() }
}

fn own_parameters(parameters: &[(&str, Option<&str>)]) -> Vec<Parameter> {
    let own = |&(name, value): &(&str, Option<&str>)| Parameter {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    parameters.iter().map(own).collect()
}

#[cfg(test)]
mod tests;
