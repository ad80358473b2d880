//! The border to the relay: one trait, implemented by the real imports in a component and by a fake in native tests.

use crate::context::Level;
use crate::http::{HttpError, Request, Response};
use crate::{
    Address, Answer, DnsError, KvError, Page, Parameter, Query, Refused, Reply, Taken, Tls, Verified,
    VerifyError,
};

#[cfg(not(target_family = "wasm"))]
pub(crate) mod fake;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
pub(crate) use fake::{
    FakeBody as CurrentBody, FakeBucket as CurrentBucket, FakeHost as CurrentHost, FakePart as CurrentPart,
};
#[cfg(target_family = "wasm")]
pub(crate) use wasm::{
    WasmBody as CurrentBody, WasmBucket as CurrentBucket, WasmHost as CurrentHost, WasmPart as CurrentPart,
};

pub(crate) type Edited<T = ()> = Result<T, Refused>;
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Every function that a hook can call, one for one as in the contract.
pub(crate) trait Host {
    fn log(&self, level: Level, message: &str, fields: Labels<'_>);
    fn now_ms(&self) -> u64;
    fn remaining_ms(&self) -> u32;
    fn metrics_count(&self, name: &str, value: u64, labels: Labels<'_>);
    fn metrics_gauge(&self, name: &str, value: f64, labels: Labels<'_>);
    fn metrics_observe(&self, name: &str, value: f64, labels: Labels<'_>);

    fn dns_lookup(&self, query: &Query) -> Result<Answer, DnsError>;
    fn dns_lookup_many(&self, queries: &[Query]) -> Vec<Result<Answer, DnsError>>;
    fn dns_blocklists(&self, zones: &[String], subject: &str) -> Vec<Result<Vec<String>, DnsError>>;
    fn kv_open(&self, name: &str) -> Result<CurrentBucket, KvError>;

    fn secret(&self, name: &str) -> Option<String>;
    fn http_fetch(&self, request: &Request) -> Result<Response, HttpError>;
    fn http_fetch_many(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>>;
    fn verify_recipient(&self, rcpt: &Address) -> Result<Verified, VerifyError>;

    fn session_id(&self) -> String;
    fn session_listener(&self) -> String;
    fn session_remote_ip(&self) -> String;
    fn session_remote_port(&self) -> u16;
    fn session_remote_name(&self) -> Option<String>;
    fn session_helo(&self) -> Option<String>;
    fn session_account(&self) -> Option<String>;
    fn session_iprev(&self) -> Option<String>;
    fn session_tls(&self) -> Option<Tls>;
    fn session_note(&self, key: &str) -> Option<Vec<u8>>;
    fn session_set_note(&self, key: &str, value: Option<&[u8]>) -> Edited;

    fn envelope_id(&self) -> String;
    fn envelope_tenant(&self) -> Option<String>;
    fn envelope_stream(&self) -> Option<String>;
    fn envelope_sender(&self) -> Option<Address>;
    fn envelope_sender_parameters(&self) -> Vec<Parameter>;
    fn envelope_recipient_count(&self) -> u32;
    fn envelope_recipient(&self, index: u32) -> Option<Address>;
    fn envelope_recipient_parameters(&self, index: u32) -> Vec<Parameter>;
    fn envelope_set_sender(&self, to: Option<&Address>) -> Edited;
    fn envelope_add_recipient(&self, to: &Address) -> Edited;
    fn envelope_remove_recipient(&self, index: u32) -> Edited;
    fn envelope_redirect(&self, index: u32, to: &[Address]) -> Edited;
    fn envelope_set_stream(&self, name: &str) -> Edited;
    fn envelope_priority(&self) -> i8;
    fn envelope_set_priority(&self, priority: i8) -> Edited;
    fn envelope_quarantine(&self, reason: &str) -> Edited;
    fn envelope_tag(&self, name: &str, value: &str) -> Edited;
    fn envelope_score(&self, symbol: &str, points: f64) -> Edited;
    fn envelope_total_score(&self) -> f64;
    fn envelope_note(&self, key: &str) -> Option<Vec<u8>>;
    fn envelope_set_note(&self, key: &str, value: Option<&[u8]>) -> Edited;

    fn message_size(&self) -> u64;
    fn message_header_size(&self) -> u64;
    fn message_too_complex(&self) -> Option<String>;
    fn message_header(&self, name: &str) -> Option<String>;
    fn message_headers(&self, name: &str) -> Vec<String>;
    fn message_header_names(&self) -> Vec<String>;
    fn message_raw_header(&self, name: &str) -> Option<Vec<u8>>;
    fn message_addresses(&self, header: &str) -> Vec<(String, String)>;
    fn message_read(&self, offset: u64, octets: u32) -> Vec<u8>;
    fn message_find(&self, needle: &[u8], start: u64) -> Option<u64>;
    fn message_digest(&self, algorithm: &str) -> Edited<Vec<u8>>;
    fn message_post_raw(&self, request: &Request) -> Result<Response, HttpError>;
    fn message_part_count(&self) -> u32;
    fn message_part(&self, index: u32) -> Option<CurrentPart>;
    fn message_replace_body(&self) -> Edited<CurrentBody>;
    fn message_add_header(&self, name: &str, value: &str) -> Edited;
    fn message_insert_header(&self, index: u32, name: &str, value: &str) -> Edited;
    fn message_set_header(&self, name: &str, value: &str) -> Edited<u32>;
    fn message_remove_header(&self, name: &str) -> Edited<u32>;

    fn routing_attempt(&self) -> u32;
    fn routing_age_ms(&self) -> u64;
    fn routing_last_error(&self) -> Option<String>;
    fn routing_use_mx_of(&self, domain: &str) -> Edited;
    fn routing_use_host(&self, host: &str, port: u16) -> Edited;
    fn routing_use_lmtp(&self, target: &str) -> Edited;
    fn routing_use_next_hop(&self, name: &str) -> Edited;
    fn routing_add_fallback(&self, host: &str, port: u16) -> Edited;
    fn routing_set_queue(&self, name: &str) -> Edited;
    fn routing_not_before(&self, unix_ms: u64) -> Edited;
    fn routing_expire_after(&self, ms: u64) -> Edited;

    fn failure_permanent(&self) -> bool;
    fn failure_remote_host(&self) -> Option<String>;
    fn failure_remote_reply(&self) -> Option<Reply>;
    fn failure_phase(&self) -> String;
    fn failure_class(&self) -> String;
    fn failure_set_class(&self, name: &str) -> Edited;
}

/// The operations of an open bucket; times to live in milliseconds.
pub(crate) trait BucketHost {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError>;
    fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError>;
    fn set_if_absent(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<bool, KvError>;
    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError>;
    fn delete(&self, key: &str) -> Result<(), KvError>;
    fn increment(&self, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, KvError>;
    fn take(&self, key: &str, cost: u32, burst: u32, period_ms: u64) -> Result<Taken, KvError>;
    fn scan(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, KvError>;
}

/// A leaf of the MIME tree.
pub(crate) trait PartHost {
    fn content_type(&self) -> String;
    fn disposition(&self) -> Option<String>;
    fn filename(&self) -> Option<String>;
    fn charset(&self) -> Option<String>;
    fn transfer_encoding(&self) -> String;
    fn header(&self, name: &str) -> Option<String>;
    fn within(&self) -> Vec<String>;
    fn raw_range(&self) -> (u64, u64);
    fn decoded_size(&self) -> u64;
    fn read(&self, offset: u64, octets: u32) -> Vec<u8>;
    fn text(&self, characters_max: u32, strip_html: bool) -> String;
    fn digest(&self, algorithm: &str) -> Edited<Vec<u8>>;
    fn urls(&self, at_most: u32) -> Vec<String>;
}

/// A new body.
pub(crate) trait BodyHost {
    fn write(&self, octets: &[u8]) -> Edited;
    fn copy(&self, offset: u64, octets: u64) -> Edited;
    fn finish(self) -> Edited;
}
