//! Behaviours that use what the relay offers beyond headers and envelope: parts, new bodies, HTTP, secrets, questions.
//!
//! Where they go is in the config: `url`, `method`, `field` (a header field), `secret`; what they found is in the answer.

use crate::bindings::baton::host::{config, http};
use crate::bindings::baton::relay::types::Address;
use crate::bindings::baton::relay::{envelope, message, verify};
use crate::{Said, reply};

/// Does what is asked for; none when it is another animal's behaviour.
pub(crate) fn act(behaviour: &str) -> Option<Said> {
    Some(match behaviour {
        "parts" => look_at_parts(),
        "digest" => digest(),
        "new-body" => write_body(false),
        "unfinished-body" => write_body(true),
        "new-body-then-trap" => {
            write_body(false);
            core::arch::wasm32::unreachable()
        }
        "bad-body" => write_badly(),
        "hoard-parts" => hoard_parts(),
        "fetch" => tell(http::fetch(&request("url"))),
        "fetch-many" => fetch_many(),
        "post" => post(),
        "secret" => Said::Reject(reply(550, &format!("{:?}", config::secret("token")))),
        "verify" => ask_next_hop(),
        "priority" => prioritise(),
        "dice" => crate::dice::roll(),
        _ => return None,
    })
}

fn look_at_parts() -> Said {
    let mut told = format!("{} parts", message::part_count());
    for index in 0..message::part_count() {
        let Some(part) = message::get_part(index) else {
            return Said::Reject(reply(599, "a part is missing"));
        };
        let (offset, octets) = part.raw_range();
        told.push_str(&format!(
            "|{} {:?} {:?} {:?} {} {} {} {} {:?} {:?} {:?} {}",
            part.content_type(),
            part.disposition(),
            part.filename(),
            part.charset(),
            part.transfer_encoding(),
            part.within().join("/"),
            message::read(offset, octets as u32).len() == octets as usize,
            part.decoded_size(),
            String::from_utf8_lossy(&part.read(1, 3)),
            part.text(12, true),
            part.urls(5),
            part.digest("sha-256").map(|digest| digest.len()).unwrap_or(0),
        ));
    }
    told.push_str(&format!("|{:?}", message::get_part(message::part_count()).is_none()));
    Said::Reject(reply(550, &told))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn digest() -> Said {
    let of = |name| message::digest(name).map(|octets| hex(&octets)).unwrap_or_else(|error| error);
    Said::Reject(reply(550, &format!("{} {} {}", of("sha-1"), of("md5"), of("crc32"))))
}

/// Puts a line before the body and one after it, and tags the header; unless it lets go of the writer before the end.
fn write_body(stops: bool) -> Said {
    let header_end = message::header_size() + 2;
    let body = match message::replace_body() {
        Ok(body) => body,
        Err(error) => return Said::Reject(reply(550, &error)),
    };
    let _ = message::add_header("X-Zoo", "new body");
    let written = body
        .write("Grüße\r\nfirst\r".as_bytes())
        .and_then(|()| body.write(b"\n"))
        .and_then(|()| body.copy(header_end, message::size() - header_end))
        .and_then(|()| body.write(b"last"));
    match written {
        Ok(()) if stops => Said::Next,
        Ok(()) => match body.finish() {
            Ok(()) => Said::Next,
            Err(error) => Said::Reject(reply(550, &error)),
        },
        Err(error) => Said::Reject(reply(550, &error)),
    }
}

/// Says `next` only if everything was refused.
fn write_badly() -> Said {
    let attempts: [&[u8]; 6] = [b"a\nb", b"a\rb", b"a\0b", b"\n", &[b'x'; 1_000], &[b'y'; 2 << 20]];
    let mut passed = Vec::new();
    for (index, attempt) in attempts.iter().enumerate() {
        let Ok(body) = message::replace_body() else { return Said::Reject(reply(550, "no grant")) };
        if body.write(attempt).is_ok() {
            passed.push(index);
        }
        if body.copy(0, message::size() + 1).is_ok() {
            passed.push(100 + index);
        }
    }
    if passed.is_empty() { Said::Next } else { Said::Reject(reply(598, &format!("passed: {passed:?}"))) }
}

fn hoard_parts() -> Said {
    for _ in 0..100_000 {
        match message::get_part(0) {
            Some(part) => std::mem::forget(part),
            None => return Said::Reject(reply(550, "no part")),
        }
    }
    Said::Next
}

fn request(key: &str) -> http::Request {
    let field = config::get("field").map(|value| ("x-field".to_owned(), value));
    http::Request {
        method: config::get("method").unwrap_or_else(|| "GET".to_owned()),
        url: config::get(key).unwrap_or_default(),
        headers: field.into_iter().collect(),
        body: config::get("body").unwrap_or_default().into_bytes(),
        timeout_ms: config::get("timeout_ms").and_then(|text| text.parse().ok()),
        max_response: config::get("max_response").and_then(|text| text.parse().ok()),
    }
}

fn told(answer: Result<http::Response, http::Error>) -> String {
    match answer {
        Ok(response) => {
            let location = response.headers.iter().find(|(name, _)| name == "location");
            let location = location.map(|(_, value)| format!(" to {value}")).unwrap_or_default();
            format!("{}{location}: {}", response.status, String::from_utf8_lossy(&response.body))
        }
        Err(http::Error::Failed(why)) => format!("failed: {why}"),
        Err(error) => format!("{error:?}"),
    }
}

fn tell(answer: Result<http::Response, http::Error>) -> Said {
    Said::Reject(reply(550, &told(answer)))
}

fn fetch_many() -> Said {
    let requests: Vec<_> = (0..20).map(|_| request("url")).collect();
    let answers = http::fetch_many(&requests);
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    let last = answers.into_iter().last().map(told).unwrap_or_default();
    Said::Reject(reply(550, &format!("{answered} answered; {last}")))
}

fn post() -> Said {
    let _ = message::add_header("X-Zoo", "posted");
    let posted =
        message::post_raw(&http::Request { method: "POST".to_owned(), body: Vec::new(), ..request("url") });
    tell(posted)
}

/// Asks about the recipient at hand, and about nobody; later questions are too many.
fn ask_next_hop() -> Said {
    let last = envelope::recipient_count().saturating_sub(1);
    let Some(rcpt) = envelope::recipient(last) else { return Said::Reject(reply(550, "no recipient")) };
    let told = |rcpt: &Address| match verify::recipient(rcpt) {
        Ok(answer) => format!("{} says {} {}", answer.host, answer.reply.code, answer.reply.text),
        Err(verify::Error::Failed(why)) => format!("failed: {why}"),
        Err(error) => format!("{error:?}"),
    };
    let first = told(&rcpt);
    let nobody = told(&Address { local: "no body".to_owned(), domain: rcpt.domain.clone() });
    let further: Vec<_> = (0..4).map(|_| told(&rcpt)).collect();
    Said::Reject(reply(550, &format!("{first}; {nobody}; {}", further.join("; "))))
}

fn prioritise() -> Said {
    let before = envelope::priority();
    let results = [
        envelope::set_priority(7).is_ok(),
        envelope::set_priority(10).is_ok(),
        envelope::set_priority(-10).is_ok(),
    ];
    if before == 0 && results == [true, false, false] {
        Said::Next
    } else {
        Said::Reject(reply(550, &format!("{before} {results:?}")))
    }
}

/// Nothing of this may answer during init.
pub(crate) fn answered_during_init() -> Vec<&'static str> {
    let url = request("url");
    let rcpt = Address { local: "ann".to_owned(), domain: "us.example".to_owned() };
    let answers = [
        ("secret", config::secret("token").is_some()),
        ("http", http::fetch(&url).is_ok()),
        ("post-raw", message::post_raw(&url).is_ok()),
        ("verify", verify::recipient(&rcpt).is_ok()),
        ("body", message::replace_body().is_ok()),
        ("parts", message::part_count() > 0),
        ("priority", envelope::set_priority(1).is_ok()),
    ];
    answers.into_iter().filter(|(_, answered)| *answered).map(|(name, _)| name).collect()
}
