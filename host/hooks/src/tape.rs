//! What the services of the relay answered in one call: written down while the call runs, or read out to a later one.
//!
//! Invariant: no secret is ever on a tape. Each question and answer is masked before it is written.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_mail::Mailbox;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::NameCheck;
use crate::host::{
    Capabilities, DnsAnswer, DnsBackend, DnsError, HttpBackend, HttpError, HttpRequest, HttpResponse,
    KvBackend, KvError, Page, Taken, VerifyAnswer, VerifyBackend, VerifyError,
};
use crate::load::hex;
use crate::record::Mask;

tokio::task_local! {
    /// The tape of the call in progress. The services are asked in the task of the call that asks.
    static TAPE: Arc<Tape>;
}

/// One question to a service, and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exchange {
    /// The service, what it was asked, and with what.
    pub(crate) question: String,
    /// SHA-256 of the content of a request.
    pub(crate) content: Option<String>,
    /// `{"Ok": …}` or `{"Err": …}`.
    pub(crate) answer: Value,
}

impl Exchange {
    /// The question as it is compared.
    pub(crate) fn told(&self) -> String {
        told(&self.question, self.content.as_deref())
    }
}

fn told(question: &str, content: Option<&str>) -> String {
    match content {
        Some(digest) => format!("{question}, content {}", digest.get(..8).unwrap_or(digest)),
        None => question.to_owned(),
    }
}

/// The exchanges of one call.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    exchanges: Mutex<VecDeque<Exchange>>,
    /// What was asked while it was read out.
    asked: Mutex<Vec<String>>,
    /// How many of these were not on it.
    unknown: AtomicUsize,
}

impl Tape {
    /// A tape to be read out.
    pub(crate) fn of(exchanges: Vec<Exchange>) -> Tape {
        Tape { exchanges: Mutex::new(exchanges.into()), ..Tape::default() }
    }

    /// Runs a call with this tape.
    pub(crate) async fn during<F: Future>(self: &Arc<Tape>, call: F) -> F::Output {
        TAPE.scope(Arc::clone(self), call).await
    }

    /// All that is on it.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().iter().cloned().collect()
    }

    /// The questions that were asked while it was read out, as [`Exchange::told`].
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    /// How many of them it could not answer.
    pub(crate) fn unknown(&self) -> usize {
        self.unknown.load(Ordering::Relaxed)
    }

    fn write(&self, exchange: Exchange) {
        self.exchanges.lock().push_back(exchange);
    }

    /// The next answer to that question. Each is read out once, as they were given.
    fn read<T: DeserializeOwned>(&self, question: &str, content: Option<&str>) -> Option<T> {
        self.asked.lock().push(told(question, content));
        let mut exchanges = self.exchanges.lock();
        let index = exchanges.iter().position(|exchange| exchange.question == question);
        let exchange = index.and_then(|index| exchanges.remove(index));
        let answer = exchange.and_then(|exchange| serde_json::from_value(exchange.answer).ok());
        if answer.is_none() {
            self.unknown.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

/// The services with a tape beside them.
struct Taped {
    /// The real ones, whose answers are written down; none when the tape is read out.
    real: Option<Capabilities>,
    mask: Mask,
}

/// The services, with their answers written on the tape of each call that has one.
pub(crate) fn recorded(capabilities: &Capabilities, mask: Mask) -> Capabilities {
    taped(capabilities, Taped { real: Some(capabilities.clone()), mask })
}

/// The services as the tape of each call has them. Clock and metrics are those that are given.
pub(crate) fn played(capabilities: &Capabilities) -> Capabilities {
    taped(capabilities, Taped { real: None, mask: Mask::default() })
}

fn taped(capabilities: &Capabilities, taped: Taped) -> Capabilities {
    let taped = Arc::new(taped);
    Capabilities {
        kv: taped.clone(),
        dns: taped.clone(),
        http: taped.clone(),
        verify: taped,
        clock: capabilities.clock.clone(),
        metrics: capabilities.metrics.clone(),
    }
}

type Pending<'a, T, E> = BoxFuture<'a, Result<T, E>>;

/// What a service is asked.
struct Question {
    text: String,
    /// SHA-256 of what goes along.
    content: Option<String>,
}

impl From<String> for Question {
    fn from(text: String) -> Question {
        Question { text, content: None }
    }
}

impl Taped {
    /// One exchange: asked for real and written down, or read out.
    fn exchange<'a, T, E>(
        &'a self,
        question: impl Into<Question>,
        real: Option<Pending<'a, T, E>>,
        missing: impl FnOnce(String) -> E + Send + 'a,
    ) -> Pending<'a, T, E>
    where
        T: Serialize + DeserializeOwned + Send + 'a,
        E: Serialize + DeserializeOwned + Send + 'a,
    {
        let Question { text, content } = question.into();
        async move {
            let Some(real) = real else {
                let read = TAPE.try_with(|tape| tape.read(&text, content.as_deref())).ok().flatten();
                return read.unwrap_or_else(|| {
                    Err(missing("it was not asked when the call was recorded".to_owned()))
                });
            };
            let answer = real.await;
            // Calls that are not recorded have no tape.
            let _ = TAPE.try_with(|tape| tape.write(self.masked(text, content, &answer)));
            answer
        }
        .boxed()
    }

    fn masked(&self, question: String, content: Option<String>, answer: &impl Serialize) -> Exchange {
        let answer = self.mask.value(serde_json::to_value(answer).unwrap_or_default());
        Exchange { question: self.mask.text(question), content, answer }
    }
}

/// A question in one line.
fn asked(what: &str, with: &[&dyn Debug]) -> String {
    with.iter().fold(what.to_owned(), |question, part| format!("{question} {part:?}"))
}

/// Octets, shown as text.
struct Text<'a>(&'a [u8]);

impl Debug for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) => text.fmt(formatter),
            Err(_) => write!(formatter, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

impl KvBackend for Taped {
    fn get<'a>(&'a self, bucket: &'a str, key: &'a str) -> Pending<'a, Option<Vec<u8>>, KvError> {
        let real = self.real.as_ref().map(|real| real.kv.get(bucket, key));
        self.exchange(asked("kv get", &[&bucket, &key]), real, KvError::Unavailable)
    }

    fn set<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Pending<'a, (), KvError> {
        let question = asked("kv set", &[&bucket, &key, &Text(&value), &ttl_ms]);
        let real = self.real.as_ref().map(|real| real.kv.set(bucket, key, value, ttl_ms));
        self.exchange(question, real, KvError::Unavailable)
    }

    fn set_if_absent<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Pending<'a, bool, KvError> {
        let question = asked("kv set-if-absent", &[&bucket, &key, &Text(&value), &ttl_ms]);
        let real = self.real.as_ref().map(|real| real.kv.set_if_absent(bucket, key, value, ttl_ms));
        self.exchange(question, real, KvError::Unavailable)
    }

    fn compare_and_set<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> Pending<'a, bool, KvError> {
        let texts = (expected.as_deref().map(Text), value.as_deref().map(Text));
        let question = asked("kv compare-and-set", &[&bucket, &key, &texts.0, &texts.1, &ttl_ms]);
        let real =
            self.real.as_ref().map(|real| real.kv.compare_and_set(bucket, key, expected, value, ttl_ms));
        self.exchange(question, real, KvError::Unavailable)
    }

    fn delete<'a>(&'a self, bucket: &'a str, key: &'a str) -> Pending<'a, (), KvError> {
        let real = self.real.as_ref().map(|real| real.kv.delete(bucket, key));
        self.exchange(asked("kv delete", &[&bucket, &key]), real, KvError::Unavailable)
    }

    fn increment<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Pending<'a, i64, KvError> {
        let real = self.real.as_ref().map(|real| real.kv.increment(bucket, key, delta, ttl_ms));
        self.exchange(asked("kv increment", &[&bucket, &key, &delta, &ttl_ms]), real, KvError::Unavailable)
    }

    fn take<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        cost: u32,
        burst: u32,
        period_ms: u64,
    ) -> Pending<'a, Taken, KvError> {
        let real = self.real.as_ref().map(|real| real.kv.take(bucket, key, cost, burst, period_ms));
        self.exchange(
            asked("kv take", &[&bucket, &key, &cost, &burst, &period_ms]),
            real,
            KvError::Unavailable,
        )
    }

    fn scan<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        cursor: Option<String>,
        limit: u32,
    ) -> Pending<'a, Page, KvError> {
        let question = asked("kv scan", &[&bucket, &prefix, &cursor, &limit]);
        let real = self.real.as_ref().map(|real| real.kv.scan(bucket, prefix, cursor, limit));
        self.exchange(question, real, KvError::Unavailable)
    }
}

impl DnsBackend for Taped {
    fn lookup<'a>(&'a self, name: &'a str, rr_type: u16) -> Pending<'a, DnsAnswer, DnsError> {
        let real = self.real.as_ref().map(|real| real.dns.lookup(name, rr_type));
        self.exchange(asked("dns", &[&name, &rr_type]), real, DnsError::Failed)
    }

    fn reverse(&self, address: IpAddr) -> BoxFuture<'_, (Option<String>, NameCheck)> {
        let real = self.real.as_ref().map(|real| real.dns.reverse(address).map(Ok).boxed());
        let asked = self.exchange(asked("dns name of", &[&address]), real, DnsError::Failed);
        asked.map(|answer| answer.unwrap_or((None, NameCheck::TempError))).boxed()
    }
}

impl HttpBackend for Taped {
    fn fetch<'a>(&'a self, plugin: &'a str, request: HttpRequest) -> Pending<'a, HttpResponse, HttpError> {
        // Fields are no part of it: they carry what is made of secrets, such as signatures.
        let text = format!("http {} {}", request.method, request.url);
        let whole = (!request.body.is_empty()).then(|| self.mask.octets(&request.body.to_bytes()));
        let content = whole.map(|octets| hex(&Sha256::digest(octets)));
        let question = Question { text, content };
        let real = self.real.as_ref().map(|real| real.http.fetch(plugin, request));
        self.exchange(question, real, HttpError::Failed)
    }
}

impl VerifyBackend for Taped {
    fn recipient<'a>(&'a self, rcpt: &'a Mailbox) -> Pending<'a, VerifyAnswer, VerifyError> {
        let real = self.real.as_ref().map(|real| real.verify.recipient(rcpt));
        self.exchange(format!("verify {rcpt}"), real, VerifyError::Failed)
    }
}

/// Octets as a list of numbers.
pub(crate) mod octets {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(octets: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        octets.as_ref().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worlds::World;

    #[tokio::test]
    async fn what_was_recorded_is_played() {
        let world = World::default();
        world.dns.put("x.example", 1, vec!["192.0.2.1".to_owned()]);
        let (real, played) =
            (recorded(&world.capabilities(), Mask::default()), played(&world.capabilities()));
        let ask = async |services: &Capabilities| {
            let first = services.kv.increment("b", "k", 1, None).await;
            let second = services.kv.increment("b", "k", 1, None).await;
            (first, second, services.dns.lookup("x.example", 1).await.unwrap().records)
        };
        let tape = Arc::new(Tape::default());
        let told = tape.during(ask(&real)).await;
        assert_eq!((&told.0, &told.1), (&Ok(1), &Ok(2)));
        let copy = Arc::new(Tape::of(tape.exchanges()));
        assert_eq!(copy.during(ask(&played)).await, told, "in the order in which they were given");
        assert_eq!(copy.unknown(), 0);
        let more = copy.during(played.kv.increment("b", "k", 1, None)).await;
        assert!(matches!(more, Err(KvError::Unavailable(_))));
        assert_eq!((copy.unknown(), copy.asked().len()), (1, 4));
    }
}
