//! A relay of the test's own making: it answers from what the test prepared and records what the hook did.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::{Edited, Host, Labels};
use crate::context::Level;
use crate::dns::rr_type;
use crate::http::{HttpError, Request, Response};
use crate::testing::{Edit, LogLine};
use crate::{
    Address, Answer, DnsError, KvError, Parameter, Query, Refused, Reply, Tls, Verified, VerifyError,
};

mod bucket;
mod part;

pub(crate) use bucket::FakeBucket;
pub(crate) use part::{FakeBody, FakePart};

/// A name error (RFC 1035 4.1.1).
const NO_SUCH_NAME: u16 = 3;

/// Everything that a test can prepare and look at.
pub(crate) struct State {
    pub(crate) now_ms: u64,
    pub(crate) remaining_ms: u32,
    pub(crate) refuse_edits: Option<String>,
    pub(crate) session: SessionState,
    pub(crate) envelope: EnvelopeState,
    pub(crate) message: MessageState,
    pub(crate) attempt: AttemptState,
    pub(crate) failure: FailureState,
    pub(crate) buckets: BTreeMap<String, bucket::Entries>,
    pub(crate) dns: BTreeMap<Query, Result<Answer, DnsError>>,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) http: Vec<PreparedAnswer>,
    pub(crate) requests: Vec<Request>,
    pub(crate) verify: BTreeMap<Address, Result<Verified, VerifyError>>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// What a request is answered with: method, URL, answer.
pub(crate) type PreparedAnswer = (String, String, Result<Response, HttpError>);

pub(crate) struct SessionState {
    pub(crate) listener: String,
    pub(crate) remote_ip: String,
    pub(crate) remote_name: Option<String>,
    pub(crate) helo: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) iprev: Option<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) notes: BTreeMap<String, Vec<u8>>,
}

#[derive(Default)]
pub(crate) struct EnvelopeState {
    pub(crate) tenant: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) sender: Option<Address>,
    pub(crate) sender_parameters: Vec<Parameter>,
    pub(crate) recipients: Vec<(Address, Vec<Parameter>)>,
    pub(crate) score: f64,
    pub(crate) priority: i8,
    pub(crate) notes: BTreeMap<String, Vec<u8>>,
}

#[derive(Default)]
pub(crate) struct MessageState {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) too_complex: Option<String>,
}

#[derive(Default)]
pub(crate) struct AttemptState {
    pub(crate) attempt: u32,
    pub(crate) age_ms: u64,
    pub(crate) last_error: Option<String>,
}

#[derive(Default)]
pub(crate) struct FailureState {
    pub(crate) permanent: bool,
    pub(crate) phase: String,
    pub(crate) class: String,
    pub(crate) remote_host: Option<String>,
    pub(crate) remote_reply: Option<Reply>,
}

impl MessageState {
    pub(crate) fn raw(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        for (name, value) in &self.headers {
            raw.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        raw.extend_from_slice(b"\r\n");
        raw.extend_from_slice(&self.body);
        raw
    }

    /// Raw values of that name.
    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a String> {
        let fields = if self.too_complex.is_none() { self.headers.as_slice() } else { &[] };
        fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl State {
    /// The answer for a question; what the test did not prepare does not exist.
    fn resolve(&self, query: &Query) -> Result<Answer, DnsError> {
        let key = Query { name: normal_name(&query.name), rr_type: query.rr_type };
        let unknown = || Ok(Answer { rcode: NO_SUCH_NAME, ..Answer::default() });
        self.dns.get(&key).cloned().unwrap_or_else(unknown)
    }

    /// The prepared answer for a request, in order; the last one serves for all that follow. What the test did not
    /// prepare is not granted.
    fn answer(&mut self, request: &Request) -> Result<Response, HttpError> {
        self.requests.push(request.clone());
        let is_for = |(method, url, _): &PreparedAnswer| *method == request.method && *url == request.url;
        let Some(first) = self.http.iter().position(is_for) else { return Err(HttpError::Denied) };
        if self.http.iter().skip(first + 1).any(is_for) {
            self.http.remove(first).2
        } else {
            self.http.get(first).map_or(Err(HttpError::Denied), |(_, _, answer)| answer.clone())
        }
    }
}

/// Names are compared in lower case and without the dot at the end.
pub(crate) fn normal_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The name by which a blocklist knows an address (RFC 5782 2.1 and 2.4) or a domain (2.3).
pub(crate) fn blocklist_name(subject: &str, zone: &str) -> String {
    let labels = match subject.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(v4)) => v4.octets().iter().rev().map(u8::to_string).collect::<Vec<_>>().join("."),
        Ok(IpAddr::V6(v6)) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
        }
        Err(_) => subject.to_owned(),
    };
    normal_name(&format!("{labels}.{zone}"))
}

/// Streams, tags and symbols have names like the relay wants them.
fn check_name(name: &str) -> Edited {
    if crate::setting::is_name(name) { Ok(()) } else { Err(Refused(format!("{name:?} is not a name"))) }
}

/// A handle on the state; every context and bucket of one test host shares it.
#[derive(Clone)]
pub(crate) struct FakeHost(Rc<RefCell<State>>);

impl FakeHost {
    pub(crate) fn new(state: State) -> FakeHost {
        FakeHost(Rc::new(RefCell::new(state)))
    }

    pub(crate) fn state(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    pub(crate) fn state_mut(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    fn edit(&self, edit: Edit) -> Edited {
        let mut state = self.state_mut();
        if let Some(reason) = &state.refuse_edits {
            return Err(Refused(reason.clone()));
        }
        state.edits.push(edit);
        Ok(())
    }

    fn measure(&self, name: &str, labels: Labels<'_>, change: impl FnOnce(&mut f64)) {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let key = if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) };
        change(self.state_mut().metrics.entry(key).or_default());
    }
}

impl Host for FakeHost {
    fn log(&self, level: Level, message: &str, fields: Labels<'_>) {
        let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.state_mut().logs.push(LogLine { level, message: message.to_owned(), fields });
    }
    fn now_ms(&self) -> u64 {
        self.state().now_ms
    }
    fn remaining_ms(&self) -> u32 {
        self.state().remaining_ms
    }
    fn metrics_count(&self, name: &str, value: u64, labels: Labels<'_>) {
        self.measure(name, labels, |sum| *sum += value as f64);
    }
    fn metrics_gauge(&self, name: &str, value: f64, labels: Labels<'_>) {
        self.measure(name, labels, |gauge| *gauge = value);
    }
    fn metrics_observe(&self, name: &str, value: f64, labels: Labels<'_>) {
        self.measure(name, labels, |last| *last = value);
    }

    fn dns_lookup(&self, query: &Query) -> Result<Answer, DnsError> {
        self.state().resolve(query)
    }
    fn dns_lookup_many(&self, queries: &[Query]) -> Vec<Result<Answer, DnsError>> {
        queries.iter().map(|query| self.state().resolve(query)).collect()
    }
    fn dns_blocklists(&self, zones: &[String], subject: &str) -> Vec<Result<Vec<String>, DnsError>> {
        let query = |zone: &String| Query { name: blocklist_name(subject, zone), rr_type: rr_type::A };
        let records = |answer: Answer| match answer.rcode {
            0 => Ok(answer.records),
            NO_SUCH_NAME => Ok(Vec::new()),
            code => Err(DnsError::Failed(format!("response code {code}"))),
        };
        zones.iter().map(|zone| self.state().resolve(&query(zone)).and_then(records)).collect()
    }
    fn kv_open(&self, name: &str) -> Result<FakeBucket, KvError> {
        if !self.state().buckets.contains_key(name) {
            return Err(KvError::Denied);
        }
        Ok(FakeBucket::new(self.clone(), name))
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.state().secrets.get(name).cloned()
    }
    fn http_fetch(&self, request: &Request) -> Result<Response, HttpError> {
        self.state_mut().answer(request)
    }
    fn http_fetch_many(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>> {
        requests.iter().map(|request| self.state_mut().answer(request)).collect()
    }
    fn verify_recipient(&self, rcpt: &Address) -> Result<Verified, VerifyError> {
        self.state().verify.get(rcpt).cloned().unwrap_or(Err(VerifyError::Denied))
    }

    fn session_id(&self) -> String {
        "session-1".to_owned()
    }
    fn session_listener(&self) -> String {
        self.state().session.listener.clone()
    }
    fn session_remote_ip(&self) -> String {
        self.state().session.remote_ip.clone()
    }
    fn session_remote_port(&self) -> u16 {
        52_525
    }
    fn session_remote_name(&self) -> Option<String> {
        self.state().session.remote_name.clone()
    }
    fn session_helo(&self) -> Option<String> {
        self.state().session.helo.clone()
    }
    fn session_account(&self) -> Option<String> {
        self.state().session.account.clone()
    }
    fn session_iprev(&self) -> Option<String> {
        self.state().session.iprev.clone()
    }
    fn session_tls(&self) -> Option<Tls> {
        self.state().session.tls.clone()
    }
    fn session_note(&self, key: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let staged = state.edits.iter().rev().find_map(|edit| match edit {
            Edit::SessionNote(name, value) if name == key => Some(value.clone()),
            _ => None,
        });
        staged.unwrap_or_else(|| state.session.notes.get(key).cloned())
    }
    fn session_set_note(&self, key: &str, value: Option<&[u8]>) -> Edited {
        self.edit(Edit::SessionNote(key.to_owned(), value.map(<[u8]>::to_vec)))
    }

    fn envelope_id(&self) -> String {
        "message-1".to_owned()
    }
    fn envelope_tenant(&self) -> Option<String> {
        self.state().envelope.tenant.clone()
    }
    fn envelope_stream(&self) -> Option<String> {
        self.state().envelope.stream.clone()
    }
    fn envelope_sender(&self) -> Option<Address> {
        self.state().envelope.sender.clone()
    }
    fn envelope_sender_parameters(&self) -> Vec<Parameter> {
        self.state().envelope.sender_parameters.clone()
    }
    fn envelope_recipient_count(&self) -> u32 {
        self.state().envelope.recipients.len() as u32
    }
    fn envelope_recipient(&self, index: u32) -> Option<Address> {
        self.state().envelope.recipients.get(index as usize).map(|(address, _)| address.clone())
    }
    fn envelope_recipient_parameters(&self, index: u32) -> Vec<Parameter> {
        self.state().envelope.recipients.get(index as usize).map(|(_, all)| all.clone()).unwrap_or_default()
    }
    fn envelope_set_sender(&self, to: Option<&Address>) -> Edited {
        self.edit(Edit::Sender(to.cloned()))
    }
    fn envelope_add_recipient(&self, to: &Address) -> Edited {
        self.edit(Edit::AddRecipient(to.clone()))
    }
    fn envelope_remove_recipient(&self, index: u32) -> Edited {
        self.edit(Edit::RemoveRecipient(index))
    }
    fn envelope_redirect(&self, index: u32, to: &[Address]) -> Edited {
        self.edit(Edit::Redirect(index, to.to_vec()))
    }
    fn envelope_set_stream(&self, name: &str) -> Edited {
        check_name(name)?;
        self.edit(Edit::Stream(name.to_owned()))
    }
    fn envelope_priority(&self) -> i8 {
        self.state().envelope.priority
    }
    fn envelope_set_priority(&self, priority: i8) -> Edited {
        if !(-9..=9).contains(&priority) {
            return Err(Refused("a priority is a number from -9 to 9".to_owned()));
        }
        self.edit(Edit::Priority(priority))
    }
    fn envelope_quarantine(&self, reason: &str) -> Edited {
        self.edit(Edit::Quarantine(reason.to_owned()))
    }
    fn envelope_tag(&self, name: &str, value: &str) -> Edited {
        check_name(name)?;
        self.edit(Edit::Tag(name.to_owned(), value.to_owned()))
    }
    fn envelope_score(&self, symbol: &str, points: f64) -> Edited {
        check_name(symbol)?;
        self.edit(Edit::Score(symbol.to_owned(), points))
    }
    fn envelope_total_score(&self) -> f64 {
        let state = self.state();
        let staged =
            state.edits.iter().map(|edit| if let Edit::Score(_, points) = edit { *points } else { 0.0 });
        state.envelope.score + staged.sum::<f64>()
    }
    fn envelope_note(&self, key: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let staged = state.edits.iter().rev().find_map(|edit| match edit {
            Edit::Note(name, value) if name == key => Some(value.clone()),
            _ => None,
        });
        staged.unwrap_or_else(|| state.envelope.notes.get(key).cloned())
    }
    fn envelope_set_note(&self, key: &str, value: Option<&[u8]>) -> Edited {
        self.edit(Edit::Note(key.to_owned(), value.map(<[u8]>::to_vec)))
    }

    fn message_size(&self) -> u64 {
        self.state().message.raw().len() as u64
    }
    fn message_header_size(&self) -> u64 {
        let state = self.state();
        (state.message.raw().len() - state.message.body.len() - 2) as u64
    }
    fn message_too_complex(&self) -> Option<String> {
        self.state().message.too_complex.clone()
    }
    fn message_header(&self, name: &str) -> Option<String> {
        self.state().message.named(name).next().map(|value| part::decode(value))
    }
    fn message_headers(&self, name: &str) -> Vec<String> {
        self.state().message.named(name).map(|value| part::decode(value)).collect()
    }
    fn message_header_names(&self) -> Vec<String> {
        let state = self.state();
        let fields = if state.message.too_complex.is_none() { state.message.headers.as_slice() } else { &[] };
        fields.iter().map(|(name, _)| name.clone()).collect()
    }
    fn message_raw_header(&self, name: &str) -> Option<Vec<u8>> {
        self.state().message.named(name).next().map(|value| value.clone().into_bytes())
    }
    fn message_addresses(&self, header: &str) -> Vec<(String, String)> {
        let state = self.state();
        let mailboxes = state.message.named(header).flat_map(|value| value.split(','));
        let parted = mailboxes.map(|mailbox| match mailbox.trim().split_once('<') {
            Some((name, address)) => (name.trim().trim_matches('"').to_owned(), address.replace('>', "")),
            None => (String::new(), mailbox.trim().to_owned()),
        });
        parted.collect()
    }
    fn message_read(&self, offset: u64, octets: u32) -> Vec<u8> {
        let raw = self.state().message.raw();
        raw.into_iter().skip(offset as usize).take(octets as usize).collect()
    }
    fn message_find(&self, needle: &[u8], start: u64) -> Option<u64> {
        let raw = self.state().message.raw();
        let rest = raw.get(start as usize..)?;
        let at = rest.windows(needle.len().max(1)).position(|window| window == needle)?;
        Some(start + at as u64)
    }
    fn message_digest(&self, algorithm: &str) -> Edited<Vec<u8>> {
        part::digest(algorithm, &self.state().message.raw())
    }
    fn message_post_raw(&self, request: &Request) -> Result<Response, HttpError> {
        if !request.body.is_empty() {
            return Err(HttpError::Failed("the body of post-raw is the message".to_owned()));
        }
        let body = self.state().message.raw();
        self.state_mut().answer(&Request { body, ..request.clone() })
    }
    fn message_part_count(&self) -> u32 {
        let state = self.state();
        if state.message.too_complex.is_some() { 0 } else { part::leaves(&state.message.raw()).len() as u32 }
    }
    fn message_part(&self, index: u32) -> Option<FakePart> {
        let state = self.state();
        state
            .message
            .too_complex
            .is_none()
            .then(|| part::leaves(&state.message.raw()))?
            .into_iter()
            .nth(index as usize)
    }
    fn message_replace_body(&self) -> Edited<FakeBody> {
        if let Some(reason) = &self.state().refuse_edits {
            return Err(Refused(reason.clone()));
        }
        Ok(FakeBody { host: self.clone(), octets: RefCell::default() })
    }
    fn message_add_header(&self, name: &str, value: &str) -> Edited {
        self.edit(Edit::AddHeader(name.to_owned(), value.to_owned()))
    }
    fn message_insert_header(&self, index: u32, name: &str, value: &str) -> Edited {
        self.edit(Edit::InsertHeader(index, name.to_owned(), value.to_owned()))
    }
    fn message_set_header(&self, name: &str, value: &str) -> Edited<u32> {
        self.edit(Edit::SetHeader(name.to_owned(), value.to_owned()))?;
        Ok(self.state().message.named(name).count() as u32)
    }
    fn message_remove_header(&self, name: &str) -> Edited<u32> {
        self.edit(Edit::RemoveHeader(name.to_owned()))?;
        Ok(self.state().message.named(name).count() as u32)
    }

    fn routing_attempt(&self) -> u32 {
        self.state().attempt.attempt
    }
    fn routing_age_ms(&self) -> u64 {
        self.state().attempt.age_ms
    }
    fn routing_last_error(&self) -> Option<String> {
        self.state().attempt.last_error.clone()
    }
    fn routing_use_mx_of(&self, domain: &str) -> Edited {
        self.edit(Edit::MxOf(domain.to_owned()))
    }
    fn routing_use_host(&self, host: &str, port: u16) -> Edited {
        self.edit(Edit::Host(host.to_owned(), port))
    }
    fn routing_use_lmtp(&self, target: &str) -> Edited {
        self.edit(Edit::Lmtp(target.to_owned()))
    }
    fn routing_use_next_hop(&self, name: &str) -> Edited {
        self.edit(Edit::NextHop(name.to_owned()))
    }
    fn routing_add_fallback(&self, host: &str, port: u16) -> Edited {
        self.edit(Edit::Fallback(host.to_owned(), port))
    }
    fn routing_set_queue(&self, name: &str) -> Edited {
        self.edit(Edit::Queue(name.to_owned()))
    }
    fn routing_not_before(&self, unix_ms: u64) -> Edited {
        self.edit(Edit::NotBefore(unix_ms))
    }
    fn routing_expire_after(&self, ms: u64) -> Edited {
        self.edit(Edit::ExpireAfterMs(ms))
    }

    fn failure_permanent(&self) -> bool {
        self.state().failure.permanent
    }
    fn failure_remote_host(&self) -> Option<String> {
        self.state().failure.remote_host.clone()
    }
    fn failure_remote_reply(&self) -> Option<Reply> {
        self.state().failure.remote_reply.clone()
    }
    fn failure_phase(&self) -> String {
        self.state().failure.phase.clone()
    }
    fn failure_class(&self) -> String {
        self.state().failure.class.clone()
    }
    fn failure_set_class(&self, name: &str) -> Edited {
        self.edit(Edit::Class(name.to_owned()))
    }
}
