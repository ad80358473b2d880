//! The real relay: each function hands over to the contract's import of the same name.

use super::{BucketHost, Edited, Host, Labels};
use crate::bindings::imports::baton::host::{clock, config, dns, http, kv, log, metrics};
use crate::bindings::imports::baton::relay::{envelope, failure, message, routing, session, types, verify};
use crate::context::Level;
use crate::http::{HttpError, Request, Response};
use crate::{
    Address, Answer, Certificate, DnsError, KvError, Page, Parameter, Query, Refused, Reply, Taken, Tls,
    Verified, VerifyError,
};

mod message_parts;

pub(crate) use message_parts::{WasmBody, WasmPart};

/// The relay that called. It holds nothing: what it tells belongs to the call in progress.
pub(crate) struct WasmHost;

/// A bucket that the relay opened.
pub(crate) struct WasmBucket(kv::Bucket);

impl Host for WasmHost {
    fn log(&self, level: Level, message: &str, fields: Labels<'_>) {
        let level = match level {
            Level::Trace => log::Level::Trace,
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::emit(level, message, &owned(fields));
    }
    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }
    fn remaining_ms(&self) -> u32 {
        clock::remaining_ms()
    }
    fn metrics_count(&self, name: &str, value: u64, labels: Labels<'_>) {
        metrics::count(name, value, &owned(labels));
    }
    fn metrics_gauge(&self, name: &str, value: f64, labels: Labels<'_>) {
        metrics::gauge(name, value, &owned(labels));
    }
    fn metrics_observe(&self, name: &str, value: f64, labels: Labels<'_>) {
        metrics::observe(name, value, &owned(labels));
    }

    fn dns_lookup(&self, query: &Query) -> Result<Answer, DnsError> {
        answer(dns::lookup(&asked(query)))
    }
    fn dns_lookup_many(&self, queries: &[Query]) -> Vec<Result<Answer, DnsError>> {
        let queries: Vec<dns::Query> = queries.iter().map(asked).collect();
        dns::lookup_many(&queries).into_iter().map(answer).collect()
    }
    fn dns_blocklists(&self, zones: &[String], subject: &str) -> Vec<Result<Vec<String>, DnsError>> {
        dns::blocklists(zones, subject).into_iter().map(|found| found.map_err(dns_error)).collect()
    }
    fn kv_open(&self, name: &str) -> Result<WasmBucket, KvError> {
        kv::Bucket::open(name).map(WasmBucket).map_err(kv_error)
    }

    fn secret(&self, name: &str) -> Option<String> {
        config::secret(name)
    }
    fn http_fetch(&self, request: &Request) -> Result<Response, HttpError> {
        response(http::fetch(&request.into()))
    }
    fn http_fetch_many(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>> {
        let requests: Vec<http::Request> = requests.iter().map(http::Request::from).collect();
        http::fetch_many(&requests).into_iter().map(response).collect()
    }
    fn verify_recipient(&self, rcpt: &Address) -> Result<Verified, VerifyError> {
        match verify::recipient(&rcpt.into()) {
            Ok(verify::Answer { host, reply }) => Ok(Verified { host, reply: reply.into() }),
            Err(verify::Error::Denied) => Err(VerifyError::Denied),
            Err(verify::Error::Timeout) => Err(VerifyError::Timeout),
            Err(verify::Error::Failed(why)) => Err(VerifyError::Failed(why)),
        }
    }

    fn session_id(&self) -> String {
        session::id()
    }
    fn session_listener(&self) -> String {
        session::listener()
    }
    fn session_remote_ip(&self) -> String {
        session::remote_ip()
    }
    fn session_remote_port(&self) -> u16 {
        session::remote_port()
    }
    fn session_remote_name(&self) -> Option<String> {
        session::remote_name()
    }
    fn session_helo(&self) -> Option<String> {
        session::helo()
    }
    fn session_account(&self) -> Option<String> {
        session::authenticated_as()
    }
    fn session_iprev(&self) -> Option<String> {
        session::iprev()
    }
    fn session_tls(&self) -> Option<Tls> {
        let certificate = |shown: session::Certificate| Certificate {
            subject: shown.subject,
            sha256: shown.sha256,
            distrust: shown.distrust,
        };
        session::tls().map(|facts| Tls {
            version: facts.version,
            cipher: facts.cipher,
            server_name: facts.server_name,
            certificate: facts.certificate.map(certificate),
        })
    }
    fn session_note(&self, key: &str) -> Option<Vec<u8>> {
        session::note(key)
    }
    fn session_set_note(&self, key: &str, value: Option<&[u8]>) -> Edited {
        session::set_note(key, value).map_err(Refused)
    }

    fn envelope_id(&self) -> String {
        envelope::id()
    }
    fn envelope_tenant(&self) -> Option<String> {
        envelope::tenant()
    }
    fn envelope_stream(&self) -> Option<String> {
        envelope::message_stream()
    }
    fn envelope_sender(&self) -> Option<Address> {
        envelope::sender().map(Address::from)
    }
    fn envelope_sender_parameters(&self) -> Vec<Parameter> {
        envelope::sender_params().into_iter().map(Parameter::from).collect()
    }
    fn envelope_recipient_count(&self) -> u32 {
        envelope::recipient_count()
    }
    fn envelope_recipient(&self, index: u32) -> Option<Address> {
        envelope::recipient(index).map(Address::from)
    }
    fn envelope_recipient_parameters(&self, index: u32) -> Vec<Parameter> {
        envelope::recipient_params(index).into_iter().map(Parameter::from).collect()
    }
    fn envelope_set_sender(&self, to: Option<&Address>) -> Edited {
        envelope::set_sender(to.map(types::Address::from).as_ref()).map_err(Refused)
    }
    fn envelope_add_recipient(&self, to: &Address) -> Edited {
        envelope::add_recipient(&to.into()).map_err(Refused)
    }
    fn envelope_remove_recipient(&self, index: u32) -> Edited {
        envelope::remove_recipient(index).map_err(Refused)
    }
    fn envelope_redirect(&self, index: u32, to: &[Address]) -> Edited {
        let to: Vec<types::Address> = to.iter().map(types::Address::from).collect();
        envelope::redirect(index, &to).map_err(Refused)
    }
    fn envelope_set_stream(&self, name: &str) -> Edited {
        envelope::set_message_stream(name).map_err(Refused)
    }
    fn envelope_priority(&self) -> i8 {
        envelope::priority()
    }
    fn envelope_set_priority(&self, priority: i8) -> Edited {
        envelope::set_priority(priority).map_err(Refused)
    }
    fn envelope_quarantine(&self, reason: &str) -> Edited {
        envelope::quarantine(reason).map_err(Refused)
    }
    fn envelope_tag(&self, name: &str, value: &str) -> Edited {
        envelope::tag(name, value).map_err(Refused)
    }
    fn envelope_score(&self, symbol: &str, points: f64) -> Edited {
        envelope::score(symbol, points).map_err(Refused)
    }
    fn envelope_total_score(&self) -> f64 {
        envelope::total_score()
    }
    fn envelope_note(&self, key: &str) -> Option<Vec<u8>> {
        envelope::note(key)
    }
    fn envelope_set_note(&self, key: &str, value: Option<&[u8]>) -> Edited {
        envelope::set_note(key, value).map_err(Refused)
    }

    fn message_size(&self) -> u64 {
        message::size()
    }
    fn message_header_size(&self) -> u64 {
        message::header_size()
    }
    fn message_too_complex(&self) -> Option<String> {
        message::too_complex()
    }
    fn message_header(&self, name: &str) -> Option<String> {
        message::header(name)
    }
    fn message_headers(&self, name: &str) -> Vec<String> {
        message::headers(name)
    }
    fn message_header_names(&self) -> Vec<String> {
        message::header_names()
    }
    fn message_raw_header(&self, name: &str) -> Option<Vec<u8>> {
        message::raw_header(name)
    }
    fn message_addresses(&self, header: &str) -> Vec<(String, String)> {
        message::addresses(header)
    }
    fn message_read(&self, offset: u64, octets: u32) -> Vec<u8> {
        message::read(offset, octets)
    }
    fn message_find(&self, needle: &[u8], start: u64) -> Option<u64> {
        message::find(needle, start)
    }
    fn message_digest(&self, algorithm: &str) -> Edited<Vec<u8>> {
        message::digest(algorithm).map_err(Refused)
    }
    fn message_post_raw(&self, request: &Request) -> Result<Response, HttpError> {
        response(message::post_raw(&request.into()))
    }
    fn message_part_count(&self) -> u32 {
        message::part_count()
    }
    fn message_part(&self, index: u32) -> Option<WasmPart> {
        message::get_part(index).map(WasmPart)
    }
    fn message_replace_body(&self) -> Edited<WasmBody> {
        message::replace_body().map(WasmBody).map_err(Refused)
    }
    fn message_add_header(&self, name: &str, value: &str) -> Edited {
        message::add_header(name, value).map_err(Refused)
    }
    fn message_insert_header(&self, index: u32, name: &str, value: &str) -> Edited {
        message::insert_header(index, name, value).map_err(Refused)
    }
    fn message_set_header(&self, name: &str, value: &str) -> Edited<u32> {
        message::set_header(name, value).map_err(Refused)
    }
    fn message_remove_header(&self, name: &str) -> Edited<u32> {
        message::remove_header(name).map_err(Refused)
    }

    fn routing_attempt(&self) -> u32 {
        routing::attempt()
    }
    fn routing_age_ms(&self) -> u64 {
        routing::age_ms()
    }
    fn routing_last_error(&self) -> Option<String> {
        routing::last_error()
    }
    fn routing_use_mx_of(&self, domain: &str) -> Edited {
        routing::use_mx_of(domain).map_err(Refused)
    }
    fn routing_use_host(&self, host: &str, port: u16) -> Edited {
        routing::use_host(host, port).map_err(Refused)
    }
    fn routing_use_lmtp(&self, target: &str) -> Edited {
        routing::use_lmtp(target).map_err(Refused)
    }
    fn routing_use_next_hop(&self, name: &str) -> Edited {
        routing::use_next_hop(name).map_err(Refused)
    }
    fn routing_add_fallback(&self, host: &str, port: u16) -> Edited {
        routing::add_fallback(host, port).map_err(Refused)
    }
    fn routing_set_queue(&self, name: &str) -> Edited {
        routing::set_queue(name).map_err(Refused)
    }
    fn routing_not_before(&self, unix_ms: u64) -> Edited {
        routing::not_before(unix_ms).map_err(Refused)
    }
    fn routing_expire_after(&self, ms: u64) -> Edited {
        routing::expire_after(ms).map_err(Refused)
    }

    fn failure_permanent(&self) -> bool {
        failure::permanent()
    }
    fn failure_remote_host(&self) -> Option<String> {
        failure::remote_host()
    }
    fn failure_remote_reply(&self) -> Option<Reply> {
        failure::remote_reply().map(Reply::from)
    }
    fn failure_phase(&self) -> String {
        failure::phase()
    }
    fn failure_class(&self) -> String {
        failure::class()
    }
    fn failure_set_class(&self, name: &str) -> Edited {
        failure::set_class(name).map_err(Refused)
    }
}

impl BucketHost for WasmBucket {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.0.get(key).map_err(kv_error)
    }
    fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        self.0.set(key, value, ttl_ms).map_err(kv_error)
    }
    fn set_if_absent(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<bool, KvError> {
        self.0.set_if_absent(key, value, ttl_ms).map_err(kv_error)
    }
    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError> {
        self.0.compare_and_set(key, expected, value, ttl_ms).map_err(kv_error)
    }
    fn delete(&self, key: &str) -> Result<(), KvError> {
        self.0.delete(key).map_err(kv_error)
    }
    fn increment(&self, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        self.0.increment(key, delta, ttl_ms).map_err(kv_error)
    }
    fn take(&self, key: &str, cost: u32, burst: u32, period_ms: u64) -> Result<Taken, KvError> {
        let taken = self.0.take(key, cost, burst, period_ms).map_err(kv_error)?;
        Ok(Taken { allowed: taken.allowed, remaining: taken.remaining, retry_after_ms: taken.retry_after_ms })
    }
    fn scan(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, KvError> {
        let page = self.0.scan(prefix, cursor, limit).map_err(kv_error)?;
        Ok(Page { keys: page.keys, cursor: page.cursor })
    }
}

fn owned(fields: Labels<'_>) -> Vec<(String, String)> {
    fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn asked(query: &Query) -> dns::Query {
    dns::Query { name: query.name.clone(), rr_type: query.rr_type }
}

fn answer(answer: Result<dns::Answer, dns::Error>) -> Result<Answer, DnsError> {
    let dns::Answer { rcode, authenticated, ttl, records } = answer.map_err(dns_error)?;
    Ok(Answer { rcode, authenticated, ttl_s: ttl, records })
}

fn dns_error(error: dns::Error) -> DnsError {
    match error {
        dns::Error::Denied => DnsError::Denied,
        dns::Error::Timeout => DnsError::Timeout,
        dns::Error::BadName => DnsError::BadName,
        dns::Error::Failed(why) => DnsError::Failed(why),
    }
}

fn response(answer: Result<http::Response, http::Error>) -> Result<Response, HttpError> {
    match answer {
        Ok(http::Response { status, headers, body }) => Ok(Response { status, headers, body }),
        Err(http::Error::Denied) => Err(HttpError::Denied),
        Err(http::Error::Timeout) => Err(HttpError::Timeout),
        Err(http::Error::TooLarge) => Err(HttpError::TooLarge),
        Err(http::Error::Failed(why)) => Err(HttpError::Failed(why)),
    }
}

fn kv_error(error: kv::Error) -> KvError {
    match error {
        kv::Error::Denied => KvError::Denied,
        kv::Error::Quota => KvError::Quota,
        kv::Error::TooLarge => KvError::TooLarge,
        kv::Error::Unavailable(why) => KvError::Unavailable(why),
    }
}

impl From<types::Address> for Address {
    fn from(address: types::Address) -> Address {
        Address { local: address.local, domain: address.domain }
    }
}

impl From<&Address> for types::Address {
    fn from(address: &Address) -> types::Address {
        types::Address { local: address.local.clone(), domain: address.domain.clone() }
    }
}

impl From<types::Param> for Parameter {
    fn from(parameter: types::Param) -> Parameter {
        Parameter { name: parameter.name, value: parameter.value }
    }
}

impl From<Reply> for types::Reply {
    fn from(Reply { code, enhanced, text }: Reply) -> types::Reply {
        types::Reply { code, enhanced, text }
    }
}

impl From<types::Reply> for Reply {
    fn from(types::Reply { code, enhanced, text }: types::Reply) -> Reply {
        Reply { code, enhanced, text }
    }
}

impl From<&Request> for http::Request {
    fn from(request: &Request) -> http::Request {
        http::Request {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            timeout_ms: request.timeout_ms,
            max_response: request.response_octets_max,
        }
    }
}
