//! Services that know nothing about mail: store, DNS, HTTP, log, metrics, time, secrets, randomness.

use std::cell::RefCell;

use rquickjs::convert::List;
use rquickjs::{Array, Ctx, Error, FromJs, Object, Result, Value};

use super::functions;
use crate::baton::host::{clock, config, dns as resolver, http as web, kv as store, log, metrics as meter};
use crate::value::{Coded, Octets, coded, octets, refused, text};

thread_local! {
    /// The buckets that this call opened.
    static BUCKETS: RefCell<Vec<(String, store::Bucket)>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn release() {
    BUCKETS.with_borrow_mut(Vec::clear);
}

pub(super) fn kv<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    Ok(functions!(ctx, {
        get: |ctx: Ctx<'js>, bucket: String, key: String| {
            within(&ctx, bucket, |bucket| bucket.get(&key)).map(|value| value.map(text))
        },
        getBytes: |ctx: Ctx<'js>, bucket: String, key: String| {
            let value = within(&ctx, bucket, |bucket| bucket.get(&key))?;
            value.map(|value| octets(&ctx, value)).transpose()
        },
        set: |ctx: Ctx<'js>, bucket: String, key: String, value: Octets, ttl: Option<f64>| {
            within(&ctx, bucket, |bucket| bucket.set(&key, &value.0, ttl_ms(ttl)))
        },
        setIfAbsent: |ctx: Ctx<'js>, bucket: String, key: String, value: Octets, ttl: Option<f64>| {
            within(&ctx, bucket, |bucket| bucket.set_if_absent(&key, &value.0, ttl_ms(ttl)))
        },
        compareAndSet: |ctx: Ctx<'js>, bucket: String, key: String, old: Option<Octets>, new: Option<Octets>, ttl: Option<f64>| {
            let (old, new) = (old.map(|old| old.0), new.map(|new| new.0));
            within(&ctx, bucket, |bucket| bucket.compare_and_set(&key, old.as_deref(), new.as_deref(), ttl_ms(ttl)))
        },
        delete: |ctx: Ctx<'js>, bucket: String, key: String| within(&ctx, bucket, |bucket| bucket.delete(&key)),
        increment: |ctx: Ctx<'js>, bucket: String, key: String, delta: f64, ttl: Option<f64>| {
            within(&ctx, bucket, |bucket| bucket.increment(&key, delta as i64, ttl_ms(ttl)))
        },
        take: |ctx: Ctx<'js>, bucket: String, key: String, cost: f64, burst: f64, period: f64| -> Result<Object<'js>> {
            let taken = within(&ctx, bucket, |bucket| bucket.take(&key, cost as u32, burst as u32, period as u64))?;
            let object = Object::new(ctx.clone())?;
            object.set("allowed", taken.allowed)?;
            object.set("remaining", taken.remaining)?;
            object.set("retryAfterMs", taken.retry_after_ms)?;
            Ok(object)
        },
        scan: |ctx: Ctx<'js>, bucket: String, prefix: String, cursor: Option<String>, limit: u32| -> Result<Object<'js>> {
            let page = within(&ctx, bucket, |bucket| bucket.scan(&prefix, cursor.as_deref(), limit))?;
            let object = Object::new(ctx.clone())?;
            object.set("keys", page.keys)?;
            object.set("cursor", page.cursor)?;
            Ok(object)
        },
    }))
}

/// Works with a bucket that is opened once a call.
fn within<R>(
    ctx: &Ctx<'_>,
    name: String,
    work: impl FnOnce(&store::Bucket) -> std::result::Result<R, store::Error>,
) -> Result<R> {
    BUCKETS.with_borrow_mut(|buckets| {
        let found = buckets.iter().position(|(open, _)| *open == name);
        let worked = match found.and_then(|index| buckets.get(index)) {
            Some((_, bucket)) => work(bucket),
            None => store::Bucket::open(&name).and_then(|bucket| {
                let worked = work(&bucket);
                buckets.push((name.clone(), bucket));
                worked
            }),
        };
        worked.map_err(|error| kv_error(ctx, &name, error))
    })
}

fn kv_error(ctx: &Ctx<'_>, bucket: &str, error: store::Error) -> Error {
    let (code, words) = match error {
        store::Error::Denied => {
            let words = format!("no grant, or not available while loading (grant: kv = [\"{bucket}\"])");
            return coded(ctx, "denied", &format!("kv bucket {bucket}: {words}"));
        }
        store::Error::Quota => ("quota", "it is full".to_owned()),
        store::Error::TooLarge => ("too-large", "the key or the value is too large".to_owned()),
        store::Error::Unavailable(words) => ("unavailable", words),
    };
    coded(ctx, code, &format!("kv bucket {bucket}: {words}"))
}

fn ttl_ms(ttl: Option<f64>) -> Option<u64> {
    ttl.map(|ms| ms as u64)
}

pub(super) fn dns<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    Ok(functions!(ctx, {
        lookup: |ctx: Ctx<'js>, name: String, rr_type: u16| -> Result<Object<'js>> {
            let answer = resolver::lookup(&resolver::Query { name, rr_type });
            answer.map_err(|error| thrown(&ctx, dns_error(error))).and_then(|answer| answer_object(&ctx, answer))
        },
        lookupMany: |ctx: Ctx<'js>, queries: Vec<List<(String, u16)>>| -> Result<Array<'js>> {
            let queries: Vec<_> =
                queries.into_iter().map(|List((name, rr_type))| resolver::Query { name, rr_type }).collect();
            let answers = resolver::lookup_many(&queries);
            all(&ctx, answers.into_iter().map(|answer| answer.map_err(dns_error)), |answer| answer_object(&ctx, answer))
        },
        blocklists: |ctx: Ctx<'js>, zones: Vec<String>, subject: String| -> Result<Array<'js>> {
            let answers = resolver::blocklists(&zones, &subject);
            all(&ctx, answers.into_iter().map(|answer| answer.map_err(dns_error)), |listed| {
                let object = Object::new(ctx.clone())?;
                object.set("addresses", listed)?;
                Ok(object)
            })
        },
    }))
}

fn answer_object<'js>(ctx: &Ctx<'js>, answer: resolver::Answer) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    object.set("rcode", answer.rcode)?;
    object.set("authenticated", answer.authenticated)?;
    object.set("ttl", answer.ttl)?;
    object.set("records", answer.records)?;
    Ok(object)
}

fn dns_error(error: resolver::Error) -> Coded {
    match error {
        resolver::Error::Denied => (
            "denied",
            "dns: no grant, too many queries, or not available while loading (grant: dns = true)".to_owned(),
        ),
        resolver::Error::Timeout => ("timeout", "dns: no answer in time".to_owned()),
        resolver::Error::BadName => ("bad-name", "dns: not a domain name".to_owned()),
        resolver::Error::Failed(words) => ("failed", format!("dns: {words}")),
    }
}

/// Several answers; a failure is an object with `code` and `error`, so that one does not hide the others.
fn all<'js, A>(
    ctx: &Ctx<'js>,
    answers: impl Iterator<Item = std::result::Result<A, Coded>>,
    object: impl Fn(A) -> Result<Object<'js>>,
) -> Result<Array<'js>> {
    let list = Array::new(ctx.clone())?;
    for (index, answer) in answers.enumerate() {
        let entry = match answer {
            Ok(answer) => object(answer)?,
            Err((code, words)) => {
                let failed = Object::new(ctx.clone())?;
                failed.set("code", code)?;
                failed.set("error", words)?;
                failed
            }
        };
        list.set(index, entry)?;
    }
    Ok(list)
}

fn thrown(ctx: &Ctx<'_>, (code, words): Coded) -> Error {
    coded(ctx, code, &words)
}

pub(super) fn http<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    Ok(functions!(ctx, {
        fetch: |ctx: Ctx<'js>, request: Request| response(&ctx, web::fetch(&request.0).map_err(http_error)),
        fetchMany: |ctx: Ctx<'js>, requests: Vec<Request>| -> Result<Array<'js>> {
            let requests: Vec<web::Request> = requests.into_iter().map(|request| request.0).collect();
            let answers = web::fetch_many(&requests).into_iter().map(|answer| answer.map_err(http_error));
            all(&ctx, answers, |answer| response_object(&ctx, answer))
        },
    }))
}

/// A request as the prelude puts it together.
pub(super) struct Request(pub(super) web::Request);

impl<'js> FromJs<'js> for Request {
    fn from_js(ctx: &Ctx<'js>, value: Value<'js>) -> Result<Request> {
        let object = Object::from_js(ctx, value)?;
        let body: Option<Octets> = object.get("body")?;
        Ok(Request(web::Request {
            method: object.get("method")?,
            url: object.get("url")?,
            headers: plain(object.get("headers")?),
            body: body.map(|body| body.0).unwrap_or_default(),
            timeout_ms: object.get::<_, Option<f64>>("timeout")?.map(|ms| ms as u32),
            max_response: object.get::<_, Option<f64>>("maxResponse")?.map(|octets| octets as u32),
        }))
    }
}

pub(super) fn http_error(error: web::Error) -> Coded {
    match error {
        web::Error::Denied => {
            ("denied", "http: no grant for that URL or its address, or not available while loading (grant: http = [\"https://…\"])".to_owned())
        }
        web::Error::Timeout => ("timeout", "http: no answer in time".to_owned()),
        web::Error::TooLarge => ("too-large", "http: the response is too large".to_owned()),
        web::Error::Failed(words) => ("failed", format!("http: {words}")),
    }
}

pub(super) fn response<'js>(
    ctx: &Ctx<'js>,
    answer: std::result::Result<web::Response, Coded>,
) -> Result<Object<'js>> {
    answer.map_err(|error| thrown(ctx, error)).and_then(|answer| response_object(ctx, answer))
}

fn response_object<'js>(ctx: &Ctx<'js>, answer: web::Response) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    object.set("status", answer.status)?;
    object.set("headers", answer.headers.into_iter().map(List).collect::<Vec<_>>())?;
    object.set("body", octets(ctx, answer.body)?)?;
    Ok(object)
}

/// Names of labels and fields with their values.
type Pairs = Vec<List<(String, String)>>;

fn plain(pairs: Pairs) -> Vec<(String, String)> {
    pairs.into_iter().map(|List(pair)| pair).collect()
}

pub(super) fn metrics<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    Ok(functions!(ctx, {
        count: |name: String, value: f64, labels: Pairs| meter::count(&name, value as u64, &plain(labels)),
        gauge: |name: String, value: f64, labels: Pairs| meter::gauge(&name, value, &plain(labels)),
        observe: |name: String, value: f64, labels: Pairs| meter::observe(&name, value, &plain(labels)),
    }))
}

pub(super) fn system<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    Ok(functions!(ctx, {
        log: |level: u8, message: String, fields: Pairs| {
            let level = match level {
                0 => log::Level::Trace,
                1 => log::Level::Debug,
                2 => log::Level::Info,
                3 => log::Level::Warn,
                _ => log::Level::Error,
            };
            log::emit(level, &message, &plain(fields));
        },
        now: clock::now_ms,
        remaining: clock::remaining_ms,
        secret: |name: String| config::secret(&name),
        random: |ctx: Ctx<'js>, count: u32| {
            let mut random = vec![0; (count as usize).min(RANDOM_OCTETS_MAX)];
            getrandom::fill(&mut random).map_err(|error| refused(&ctx, &error.to_string()))?;
            octets(&ctx, random)
        },
        decode: |octets: Octets| text(octets.0),
        encode: |ctx: Ctx<'js>, text: String| octets(&ctx, text.into_bytes()),
    }))
}

/// Random octets at once, as of `crypto.getRandomValues`.
const RANDOM_OCTETS_MAX: usize = 65_536;
