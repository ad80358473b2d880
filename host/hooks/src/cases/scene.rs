//! What a call finds: session, envelope, message, attempt and failure, and the world around them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::body::Content;
use baton_mail::{
    Clock, EnhancedCode, Envelope, FailureClass, Mailbox, MessageId, Origin, Phase, Protocol, Reply,
    ReversePath, Status, UnixMs,
};
use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::format::{RawAttempt, RawAuth, RawEvent, RawExchange, RawFailure, RawName, RawStep};
use super::read::Reader;
use super::session::read_session;
use crate::bindings::exports::baton::relay::events_hook;
use crate::call::Parameter;
use crate::worlds::{World, rr_type_number};
use crate::{
    AttemptFacts, Call, Credential, FailureFacts, Hook, HttpError, HttpResponse, HttpUrl, MessageContent,
    SecretSource, SessionFacts, SessionNotes,
};

const MESSAGE: &str = "Subject: test\r\n\r\nThis is a test.\r\n";
const LIFETIME: Duration = Duration::from_secs(5 * 86_400);

/// A scene, checked.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    session: SessionFacts,
    sender: ReversePath,
    recipients: Vec<Mailbox>,
    tenant: Option<String>,
    stream: Option<String>,
    mail_parameters: Vec<Parameter>,
    rcpt_parameters: Vec<Parameter>,
    message: Bytes,
    attempt: AttemptFacts,
    failure: FailureFacts,
    /// The recipient that the hook is asked about.
    pub(super) rcpt: Mailbox,
    pub(super) auth: Auth,
    /// When it is, if the case says so.
    pub(super) now: Option<UnixMs>,
    dns: Vec<(String, Name)>,
    kv: Vec<(String, String, String)>,
    events: Vec<RawEvent>,
    http: Vec<Exchange>,
    verify: Vec<(Mailbox, Option<Reply>)>,
    /// Made-up secrets, by name.
    pub(super) secrets: BTreeMap<String, SecretSource>,
    priority: i8,
}

/// A request, and what comes back.
#[derive(Clone, Debug)]
struct Exchange {
    method: String,
    url: String,
    result: Result<HttpResponse, HttpError>,
}

/// What the auth hook is asked with.
#[derive(Clone)]
pub(super) struct Auth {
    pub(super) mechanism: String,
    pub(super) user: String,
    pub(super) credential: Credential,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Auth").field("user", &self.user).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum Name {
    Records(u16, Vec<String>),
    Missing,
    Timeout,
    Failure,
}

impl Scene {
    /// Checks a scene; none when something is wrong, which the reader has noted.
    pub(super) fn read(reader: &mut Reader<'_>, hook: Option<Hook>, mut raw: RawStep) -> Option<Scene> {
        let sender = read_sender(reader, raw.envelope.sender.as_deref());
        let (recipients, rcpt) = read_recipients(reader, hook, &raw);
        let session = read_session(reader, std::mem::take(&mut raw.session));
        let message = read_message(reader, &raw);
        let attempt = read_attempt(reader, &raw.attempt);
        let failure = read_failure(reader, &raw.failure);
        let auth = read_auth(reader, hook, raw.auth);
        let now = raw.now.as_deref().and_then(|now| reader.ok("now", read_moment(now)));
        let dns = raw.dns.into_iter().flat_map(|(name, records)| read_name(reader, &name, records)).collect();
        if hook == Some(Hook::Events) && raw.events.is_empty() {
            reader.problem("events", "is missing; write [{ kind = \"delivered\", fields = { … } }]");
        }
        let http = raw.http.into_iter().enumerate();
        let http = http.filter_map(|(index, exchange)| read_exchange(reader, index, exchange)).collect();
        let verify =
            raw.verify.iter().filter_map(|(rcpt, reply)| read_question(reader, rcpt, reply)).collect();
        let secrets =
            raw.secrets.into_iter().map(|(name, text)| (name, SecretSource::MadeUp(text))).collect();
        if !(-9..=9).contains(&raw.envelope.priority) {
            reader.problem("envelope.priority", "a priority is a number from -9 to 9 (RFC 6710)");
        }
        let values = raw.kv.into_iter().flat_map(|(bucket, values)| {
            values.into_iter().map(move |(key, value)| (bucket.clone(), key, value))
        });
        Some(Scene {
            session: session?,
            sender: sender?,
            recipients: recipients?,
            tenant: raw.envelope.tenant,
            stream: raw.envelope.stream,
            mail_parameters: raw.params.mail.iter().map(|text| parameter(text)).collect(),
            rcpt_parameters: raw.params.rcpt.iter().map(|text| parameter(text)).collect(),
            message: message?,
            attempt: attempt?,
            failure: failure?,
            rcpt: rcpt?,
            auth: auth?,
            now,
            dns,
            kv: values.collect(),
            events: raw.events,
            http,
            verify,
            secrets,
            priority: raw.envelope.priority,
        })
    }

    /// Puts what the scene says into a world. `bucket` gives the backend's name of a bucket.
    pub(super) fn furnish(&self, world: &World, bucket: impl Fn(&str) -> String) {
        for (name, answer) in &self.dns {
            match answer {
                Name::Records(rr_type, records) => world.dns.put(name, *rr_type, records.clone()),
                Name::Missing => world.dns.put_missing(name),
                Name::Timeout => world.dns.put_timeout(name),
                Name::Failure => world.dns.put_failure(name),
            }
        }
        for (name, key, value) in &self.kv {
            world.kv.put(&bucket(name), key, value.clone().into_bytes());
        }
        for Exchange { method, url, result } in &self.http {
            world.http.put(method, url, result.clone());
        }
        for (rcpt, reply) in &self.verify {
            world.verify.put(rcpt, reply.clone());
        }
    }

    /// The buckets that have something in them at first.
    pub(super) fn buckets(&self) -> impl Iterator<Item = &str> {
        self.kv.iter().map(|(bucket, ..)| bucket.as_str())
    }

    /// What observers are told, all at one moment.
    pub(super) fn events(&self, now: UnixMs) -> Vec<events_hook::Event> {
        let event = |event: &RawEvent| events_hook::Event {
            unix_ms: now.0,
            kind: event.kind.clone(),
            session_id: event.session.clone(),
            message_id: event.message.clone(),
            fields: event.fields.clone().into_iter().collect(),
        };
        self.events.iter().map(event).collect()
    }

    /// The parameters of RCPT TO.
    pub(super) fn rcpt_parameters(&self) -> &[Parameter] {
        &self.rcpt_parameters
    }

    /// The call as it stands at that hook.
    pub(super) fn call(&self, hook: Hook, notes: SessionNotes, world: &World) -> Call {
        let mut call = Call::new(Arc::new(self.session.clone()), notes);
        if matches!(hook, Hook::Connect | Hook::Auth | Hook::Events) {
            return call;
        }
        call.envelope = self.envelope(world.clock.now());
        call.sender_parameters = self.mail_parameters.clone();
        call.recipient_parameters = vec![Vec::new(); self.recipients.len()];
        if let Some(last) = call.recipient_parameters.last_mut() {
            *last = self.rcpt_parameters.clone();
        }
        if hook != Hook::Rcpt {
            call.content = Some(MessageContent::new(Content::split(self.message.clone())));
        }
        if matches!(hook, Hook::Route | Hook::Bounce) {
            call.attempt = Some(self.attempt.clone());
        }
        if hook == Hook::Bounce {
            call.failure = Some(self.failure.clone());
        }
        call
    }

    fn envelope(&self, now: UnixMs) -> Envelope {
        let name = if self.session.tls.is_some() { "ESMTPS" } else { "ESMTP" };
        let origin = Origin {
            session: Some(self.session.id),
            listener: self.session.listener.clone(),
            client: self.session.remote_ip,
            client_port: self.session.remote_port,
            helo: self.session.helo.clone(),
            account: self.session.account.clone(),
            protocol: Protocol { name: name.to_owned(), tls: self.session.tls.clone() },
        };
        let id = MessageId::first_at(now);
        let mut envelope = Envelope::new(id, now, LIFETIME, self.sender.clone(), origin);
        envelope.recipients = self.recipients.iter().cloned().map(Into::into).collect();
        envelope.size = self.message.len() as u64;
        envelope.eight_bit = !self.message.is_ascii();
        envelope.tenant = self.tenant.clone();
        envelope.stream = self.stream.clone();
        envelope.priority = self.priority;
        envelope
    }
}

fn read_sender(reader: &mut Reader<'_>, sender: Option<&str>) -> Option<ReversePath> {
    match sender.unwrap_or("sender@example.org") {
        "" => Some(ReversePath::Null),
        text => reader.ok("envelope.sender", text.parse()).map(ReversePath::Mailbox),
    }
}

/// All recipients, and the one at hand. At the rcpt hook it is the last.
fn read_recipients(
    reader: &mut Reader<'_>,
    hook: Option<Hook>,
    raw: &RawStep,
) -> (Option<Vec<Mailbox>>, Option<Mailbox>) {
    let given = raw.envelope.recipients.iter().flatten().enumerate();
    let read = |(index, text): (usize, &String)| {
        reader.ok(&format!("envelope.recipients[{index}]"), text.parse::<Mailbox>())
    };
    let Some(mut recipients) = given.map(read).collect::<Option<Vec<_>>>() else { return (None, None) };
    let default = recipients.last().map(Mailbox::to_string);
    let rcpt = raw.rcpt.clone().or(default).unwrap_or_else(|| "recipient@example.net".to_owned());
    let Some(rcpt) = reader.ok("rcpt", rcpt.parse::<Mailbox>()) else { return (None, None) };
    let is_missing =
        if hook == Some(Hook::Rcpt) { recipients.last() != Some(&rcpt) } else { !recipients.contains(&rcpt) };
    if is_missing {
        recipients.push(rcpt.clone());
    }
    (Some(recipients), Some(rcpt))
}

fn read_message(reader: &mut Reader<'_>, raw: &RawStep) -> Option<Bytes> {
    let octets = match (&raw.message, &raw.message_text) {
        (Some(_), Some(_)) => {
            reader.problem("message", "stands beside message_text; keep one of them");
            return None;
        }
        (None, None) => MESSAGE.as_bytes().to_vec(),
        (None, Some(text)) => text.clone().into_bytes(),
        (Some(path), None) => {
            let Some(folder) = reader.folder else {
                reader.problem("message", "a file can not be read here; write message_text");
                return None;
            };
            let path = folder.join(path);
            let read = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()));
            reader.ok("message", read)?
        }
    };
    Some(with_crlf(&octets).into())
}

/// Lines end with CRLF, as they do on the wire.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(text.len());
    for &octet in text {
        if octet == b'\n' && lines.last() != Some(&b'\r') {
            lines.push(b'\r');
        }
        lines.push(octet);
    }
    lines
}

fn read_attempt(reader: &mut Reader<'_>, raw: &RawAttempt) -> Option<AttemptFacts> {
    let last = match &raw.last_error {
        Some(text) => {
            let reply = reader.ok("attempt.last_error", read_reply(text))?;
            let remote = baton_mail::status::Remote::named("mx.example");
            Some(Status::from_reply(Phase::Rcpt, &reply, remote))
        }
        None => None,
    };
    Some(AttemptFacts { attempt: raw.number, age_ms: raw.age_ms, last })
}

fn read_failure(reader: &mut Reader<'_>, raw: &RawFailure) -> Option<FailureFacts> {
    let reply = match &raw.reply {
        Some(text) => Some(reader.ok("failure.reply", read_reply(text))?),
        None => None,
    };
    let phase = raw.phase.as_deref().unwrap_or("rcpt");
    let phase = Phase::from_name(phase).ok_or_else(|| format!("`{phase}` is no phase"));
    let class = raw.class.as_deref().unwrap_or("unknown");
    let class = FailureClass::from_name(class).ok_or_else(|| format!("`{class}` is no class"));
    Some(FailureFacts {
        permanent: raw.permanent.unwrap_or_else(|| reply.as_ref().is_none_or(Reply::is_permanent)),
        phase: reader.ok("failure.phase", phase)?,
        class: reader.ok("failure.class", class)?,
        remote_host: raw.host.clone(),
        reply,
    })
}

/// `550 5.1.1 no such user`; the enhanced code may be missing.
pub(super) fn read_reply(text: &str) -> Result<Reply, String> {
    let wrong = || format!("`{text}` is not a reply; write it as \"550 5.1.1 text\"");
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let code: u16 = code.parse().map_err(|_| wrong())?;
    if !(200..600).contains(&code) {
        return Err(wrong());
    }
    let (first, words) = rest.split_once(' ').unwrap_or((rest, ""));
    match first.parse::<EnhancedCode>() {
        Ok(enhanced) => Ok(Reply::new(code, enhanced, words)),
        Err(_) => Ok(Reply::bare(code, rest)),
    }
}

fn read_auth(reader: &mut Reader<'_>, hook: Option<Hook>, raw: Option<RawAuth>) -> Option<Auth> {
    if raw.is_none() && hook == Some(Hook::Auth) {
        reader.problem("auth", "is missing; write { user = \"…\", password = \"…\" } or token");
        return None;
    }
    let raw = raw.unwrap_or_default();
    let credential = match (raw.password, raw.token) {
        (Some(_), Some(_)) => {
            reader.problem("auth.token", "stands beside auth.password; keep one of them");
            return None;
        }
        (None, Some(token)) => Credential::Token(token),
        (password, None) => Credential::Password(password.unwrap_or_default()),
    };
    Some(Auth { mechanism: raw.mechanism.unwrap_or_else(|| "PLAIN".to_owned()), user: raw.user, credential })
}

/// Milliseconds since 1970 of a date and time (RFC 3339).
fn read_moment(text: &str) -> Result<UnixMs, String> {
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("`{text}` is no moment; write it as \"2026-01-01T00:00:00Z\""))?;
    let ms = moment.unix_timestamp_nanos() / 1_000_000;
    u64::try_from(ms).map(UnixMs).map_err(|_| format!("`{text}` is before 1970"))
}

fn read_name(reader: &mut Reader<'_>, name: &str, raw: RawName) -> Vec<(String, Name)> {
    let key = format!("dns.\"{name}\"");
    let answer = match raw {
        RawName::Records(types) => {
            let known = types.into_iter().filter_map(|(rr_type, records)| {
                let number = rr_type_number(&rr_type).ok_or_else(|| format!("`{rr_type}` is no record type"));
                Some((name.to_owned(), Name::Records(reader.ok(&key, number)?, records)))
            });
            return known.collect();
        }
        RawName::Word(word) => match word.as_str() {
            "nxdomain" => Name::Missing,
            "timeout" => Name::Timeout,
            "servfail" => Name::Failure,
            _ => {
                let choices = "write { A = [\"…\"] }, \"nxdomain\", \"timeout\" or \"servfail\"";
                reader.problem(&key, format!("`{word}` is no answer; {choices}"));
                return Vec::new();
            }
        },
    };
    vec![(name.to_owned(), answer)]
}

fn read_exchange(reader: &mut Reader<'_>, index: usize, raw: RawExchange) -> Option<Exchange> {
    let url = reader.ok(&format!("http[{index}].url"), HttpUrl::parse(&raw.url))?.to_string();
    let result = match raw.error.as_deref() {
        Some("timeout") => Err(HttpError::Timeout),
        Some("denied") => Err(HttpError::Denied),
        Some("too-large") => Err(HttpError::TooLarge),
        Some(words) => Err(HttpError::Failed(words.to_owned())),
        None => Ok(HttpResponse {
            status: raw.status.unwrap_or(200),
            headers: raw
                .headers
                .into_iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect(),
            body: raw.body.into(),
        }),
    };
    Some(Exchange { method: raw.method.unwrap_or_else(|| "GET".to_owned()), url, result })
}

fn read_question(reader: &mut Reader<'_>, rcpt: &str, reply: &str) -> Option<(Mailbox, Option<Reply>)> {
    let key = format!("verify.\"{rcpt}\"");
    let mailbox = reader.ok(&key, rcpt.parse::<Mailbox>())?;
    match reply {
        "timeout" => Some((mailbox, None)),
        _ => Some((mailbox, Some(reader.ok(&key, read_reply(reply))?))),
    }
}

fn parameter(text: &str) -> Parameter {
    match text.split_once('=') {
        Some((name, value)) => (name.to_ascii_uppercase(), Some(value.to_owned())),
        None => (text.to_ascii_uppercase(), None),
    }
}
