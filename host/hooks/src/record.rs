//! Calls of production, kept to be run again against another build: what the plugin was asked, what the services
//! answered, what it said.
//!
//! Invariant: no credential is recorded. Calls of the auth hook are left out, and a secret of the plugin is masked
//! wherever it turns up: in a question, an answer, an edit, the message.

mod mask;
mod recorder;

use std::fs::File;
use std::io::BufReader;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_mail::body::Content;
use baton_mail::{Envelope, FailureClass, Phase, Reply, SessionId, Status, TlsFacts, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::baton::relay::types;
use crate::call::Parameter;
use crate::tape::Exchange;
use crate::{
    AttemptFacts, Call, FailureFacts, Grants, Hook, MessageContent, NameCheck, SessionFacts, SessionNotes,
};

pub(crate) use mask::{Mask, SECRET};
pub use recorder::RecordSettings;
pub(crate) use recorder::{Recorder, Recording};

/// The form of a record. Another one is not read.
const FORMAT: u8 = 2;
/// Ending of a record's file.
const ENDING: &str = ".json";

/// One call, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    format: u8,
    /// When it was.
    pub at: UnixMs,
    /// `name@digest#generation`.
    pub plugin: String,
    /// The hook.
    pub hook: Hook,
    /// What the plugin was granted.
    pub(crate) grants: Grants,
    /// Its own settings.
    pub(crate) config: Value,
    session: Session,
    envelope: Option<Envelope>,
    sender_parameters: Vec<Parameter>,
    recipient_parameters: Vec<Vec<Parameter>>,
    /// The message, base64.
    content: Option<String>,
    attempt: Option<Attempt>,
    failure: Option<Failed>,
    /// Local part and domain of the recipient that it was about.
    rcpt: Option<(String, String)>,
    pub(crate) exchanges: Vec<Exchange>,
    /// What it said, as the decision log has it.
    pub answer: String,
    /// What it asked to change, in full.
    pub edits: Vec<String>,
    /// Wall time, in microseconds.
    pub micros: u64,
    /// Calls of host functions.
    pub host_calls: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    id: SessionId,
    listener: String,
    remote_ip: Option<IpAddr>,
    remote_port: u16,
    remote_name: Option<String>,
    name_check: Option<NameCheck>,
    helo: Option<String>,
    account: Option<String>,
    tls: Option<TlsFacts>,
    notes: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Attempt {
    attempt: u32,
    age_ms: u64,
    last: Option<Status>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Failed {
    permanent: bool,
    phase: Phase,
    class: FailureClass,
    remote_host: Option<String>,
    reply: Option<Reply>,
}

/// What becomes text when a record is written, and not before: it is large.
#[derive(Default)]
pub(crate) struct Kept {
    content: Option<Content>,
}

impl Kept {
    pub(crate) fn of(call: &Call) -> Kept {
        Kept { content: call.content.as_ref().map(|content| content.content().clone()) }
    }
}

/// A record can not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct InvalidRecord {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl InvalidRecord {
    fn new(path: &Path, reason: impl ToString) -> InvalidRecord {
        InvalidRecord { path: path.to_owned(), reason: reason.to_string() }
    }
}

impl Record {
    /// All records of these files, and of these folders with what is below them; oldest first, each with its file.
    ///
    /// # Errors
    /// A folder, or a record, can not be read.
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Record)>, InvalidRecord> {
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() { find(path, &mut files)? } else { files.push(path.clone()) }
        }
        let mut records = Vec::with_capacity(files.len());
        for path in files {
            let record = Record::read(&path)?;
            records.push((path, record));
        }
        records.sort_by(|(path, record), (other_path, other)| (record.at, path).cmp(&(other.at, other_path)));
        Ok(records)
    }

    fn read(path: &Path) -> Result<Record, InvalidRecord> {
        let file = File::open(path).map_err(|error| InvalidRecord::new(path, error))?;
        let record: Record = serde_json::from_reader(BufReader::new(file))
            .map_err(|error| InvalidRecord::new(path, format!("is no record of a call: {error}")))?;
        if record.format != FORMAT {
            let reason = "it has the form of another version of the relay; record anew";
            return Err(InvalidRecord::new(path, reason));
        }
        Ok(record)
    }

    /// The name of the plugin.
    pub fn plugin_name(&self) -> &str {
        self.plugin.split('@').next().unwrap_or_default()
    }

    /// The recipient that it was about.
    pub fn recipient(&self) -> Option<String> {
        self.rcpt.as_ref().map(|(local, domain)| format!("{local}@{domain}"))
    }

    /// The recipient, as hooks have it.
    pub(crate) fn address(&self) -> types::Address {
        let (local, domain) = self.rcpt.clone().unwrap_or_default();
        types::Address { local, domain }
    }

    /// The parameters of the recipient at hand.
    pub(crate) fn rcpt_parameters(&self) -> &[Parameter] {
        self.recipient_parameters.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// A call that is about to be made.
    pub(crate) fn of(
        hook: Hook,
        plugin: &str,
        (grants, config): (&Grants, &Value),
        at: UnixMs,
        rcpt: Option<&types::Address>,
        call: &Call,
    ) -> Record {
        Record {
            format: FORMAT,
            at,
            plugin: plugin.to_owned(),
            hook,
            grants: grants.clone(),
            config: config.clone(),
            session: Session::of(call),
            envelope: (hook != Hook::Connect).then(|| call.envelope.clone()),
            sender_parameters: call.sender_parameters.clone(),
            recipient_parameters: call.recipient_parameters.clone(),
            content: None,
            attempt: call.attempt.as_ref().map(Attempt::of),
            failure: call.failure.as_ref().map(Failed::of),
            rcpt: rcpt.map(|address| (address.local.clone(), address.domain.clone())),
            exchanges: Vec::new(),
            answer: String::new(),
            edits: Vec::new(),
            micros: 0,
            host_calls: 0,
        }
    }

    /// A call that came to its end.
    pub(crate) fn ended(self, answer: String, edits: Vec<String>, micros: u64, host_calls: u32) -> Record {
        Record { answer, edits, micros, host_calls, ..self }
    }

    /// What is written.
    fn masked(mut self, kept: &Kept, mask: &Mask) -> serde_json::Result<Value> {
        let whole = |content: &Content| mask.octets(&[&content.header[..], &content.rest[..]].concat());
        self.content = kept.content.as_ref().map(|content| STANDARD.encode(whole(content)));
        let content = self.content.take();
        let mut value = mask.value(serde_json::to_value(self)?);
        if let Some(members) = value.as_object_mut() {
            members.insert("content".to_owned(), content.into());
        }
        Ok(value)
    }

    /// The call as it stood.
    pub(crate) fn call(&self) -> Call {
        let (facts, notes) = self.session.facts();
        let mut call = Call::new(Arc::new(facts), notes);
        if let Some(envelope) = &self.envelope {
            call.envelope = envelope.clone();
        }
        call.sender_parameters = self.sender_parameters.clone();
        call.recipient_parameters = self.recipient_parameters.clone();
        let content = self.content.as_ref().and_then(|text| STANDARD.decode(text).ok());
        call.content = content.map(|octets| MessageContent::new(Content::split(octets.into())));
        call.attempt = self.attempt.as_ref().map(Attempt::facts);
        call.failure = self.failure.as_ref().map(Failed::facts);
        call
    }
}

/// Adds the records of a folder and of those below it.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), InvalidRecord> {
    let entries = std::fs::read_dir(folder).map_err(|error| InvalidRecord::new(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| InvalidRecord::new(folder, error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            find(&path, files)?;
        } else if name.ends_with(ENDING) && !name.starts_with('.') {
            files.push(path);
        }
    }
    Ok(())
}

impl Session {
    fn of(call: &Call) -> Session {
        let facts = &call.session;
        let (remote_name, name_check) = match (facts.name_check, call.notes.searched()) {
            (None, Some((name, check))) => (name, Some(check)),
            (known, _) => (facts.remote_name.clone(), known),
        };
        Session {
            id: facts.id,
            listener: facts.listener.clone(),
            remote_ip: facts.remote_ip,
            remote_port: facts.remote_port,
            remote_name,
            name_check,
            helo: facts.helo.clone(),
            account: facts.account.clone(),
            tls: facts.tls.as_deref().cloned(),
            notes: call.notes.all(),
        }
    }

    fn facts(&self) -> (SessionFacts, SessionNotes) {
        let facts = SessionFacts {
            id: self.id,
            listener: self.listener.clone(),
            remote_ip: self.remote_ip,
            remote_port: self.remote_port,
            remote_name: self.remote_name.clone(),
            name_check: self.name_check,
            helo: self.helo.clone(),
            account: self.account.clone(),
            tls: self.tls.clone().map(Arc::new),
        };
        let notes = SessionNotes::default();
        notes.apply(self.notes.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect());
        (facts, notes)
    }
}

impl Attempt {
    fn of(facts: &AttemptFacts) -> Attempt {
        Attempt { attempt: facts.attempt, age_ms: facts.age_ms, last: facts.last.clone() }
    }

    fn facts(&self) -> AttemptFacts {
        AttemptFacts { attempt: self.attempt, age_ms: self.age_ms, last: self.last.clone() }
    }
}

impl Failed {
    fn of(facts: &FailureFacts) -> Failed {
        Failed {
            permanent: facts.permanent,
            phase: facts.phase,
            class: facts.class,
            remote_host: facts.remote_host.clone(),
            reply: facts.reply.clone(),
        }
    }

    fn facts(&self) -> FailureFacts {
        FailureFacts {
            permanent: self.permanent,
            phase: self.phase,
            class: self.class,
            remote_host: self.remote_host.clone(),
            reply: self.reply.clone(),
        }
    }
}
