//! Requests that come again, because their answer did not arrive: what was taken then is told again, and not taken twice.
//!
//! The record of an answer is written in the batch of its message. A batch of messages has a record for each of them, so
//! that one which was cut off in the middle goes on where it stopped.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, digest};
use axum::http::HeaderMap;
use baton_mail::UnixMs;
use baton_store::catalog::{Edit, Key, Kind, Query};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::super::Face;
use super::super::audit::catalog_problem;
use super::wire::Sent;
use crate::Problem;

/// Answers by key and number. They expire, so their number needs no bound.
pub(in super::super) const ANSWER: Kind = Kind::new("idempotency", usize::MAX);
/// The field of the request.
const FIELD: &str = "idempotency-key";
/// Octets of a key at most.
const KEY_OCTETS_MAX: usize = 255;
/// Octets of a digest that name a key, in hexadecimal digits.
const NAME_DIGITS: usize = 40;

/// An answer as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    /// The digest of the request.
    request: String,
    sent: Sent,
}

/// Requests with a key that are being worked on.
#[derive(Clone, Default)]
pub(in super::super) struct UnderWay(Arc<Mutex<HashMap<String, ()>>>);

/// A request with a key. As long as it lives, no other with that key is worked on.
pub(super) struct Turn {
    name: String,
    /// The digest of the request.
    request: String,
    tenant: Option<String>,
    until: UnixMs,
    known: HashMap<usize, Sent>,
    held: Option<(UnderWay, String)>,
}

impl Turn {
    /// The turn of a request with this body; none when it has no key.
    pub(super) async fn begin(
        face: &Face,
        headers: &HeaderMap,
        tenant: Option<&str>,
        what: &str,
        body: &[u8],
    ) -> Result<Option<Turn>, Problem> {
        let Some(value) = headers.get(FIELD) else { return Ok(None) };
        let wrong = || Problem::field("Idempotency-Key", "has 1 to 255 visible ASCII characters");
        let key = value.to_str().map_err(|_| wrong())?.trim();
        if key.is_empty() || key.len() > KEY_OCTETS_MAX {
            return Err(wrong());
        }
        let mut name = hex(digest(&SHA256, key.as_bytes()).as_ref());
        name.truncate(NAME_DIGITS);
        let mut whole = Context::new(&SHA256);
        whole.update(what.as_bytes());
        whole.update(&[0]);
        whole.update(body);
        let request = hex(whole.finish().as_ref());
        let until = UnixMs(face.clock.now().0 + u64::from(face.settings().idempotency_hours) * 3_600_000);
        let mut turn = Turn {
            name,
            request,
            tenant: tenant.map(str::to_owned),
            until,
            known: HashMap::new(),
            held: None,
        };
        turn.hold(&face.0.under_way)?;
        turn.look(face).await?;
        Ok(Some(turn))
    }

    fn hold(&mut self, under_way: &UnderWay) -> Result<(), Problem> {
        let held = format!("{}/{}", self.tenant.as_deref().unwrap_or_default(), self.name);
        if under_way.0.lock().insert(held.clone(), ()).is_some() {
            // It is the other one's to give back.
            return Err(Problem::busy("a request with this Idempotency-Key is being worked on"));
        }
        self.held = Some((under_way.clone(), held));
        Ok(())
    }

    /// Finds what was answered before; another request with the same key is a mistake.
    async fn look(&mut self, face: &Face) -> Result<(), Problem> {
        let prefix = format!("{}-", self.name);
        let mut after = None;
        loop {
            let query = Query::of(ANSWER).tenant(self.tenant.as_deref()).starting(&prefix).after(after);
            let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
            for record in &page.records {
                let answer: Answer = record.json().map_err(catalog_problem)?;
                if answer.request != self.request {
                    let detail = "was used for another request; take a new one";
                    return Err(Problem::unfit("Idempotency-Key", detail));
                }
                let number = record.key.name().rsplit('-').next().and_then(|digits| digits.parse().ok());
                self.known.extend(number.map(|number: usize| (number, answer.sent)));
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// What was answered before about the message of that number.
    pub(super) fn known(&self, number: usize) -> Option<Sent> {
        self.known.get(&number).cloned()
    }

    /// How the answer about a message is written down.
    pub(super) fn note(&self, number: usize) -> Note {
        Note {
            name: format!("{}-{number:05}", self.name),
            request: self.request.clone(),
            tenant: self.tenant.clone(),
            until: self.until,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((under_way, held)) = self.held.take() {
            under_way.0.lock().remove(&held);
        }
    }
}

/// How an answer is written down.
pub(super) struct Note {
    name: String,
    request: String,
    tenant: Option<String>,
    until: UnixMs,
}

impl Note {
    /// The record of this answer.
    pub(super) fn record(self, sent: Sent) -> Result<Edit, Problem> {
        let key = Key::new(ANSWER, self.tenant.as_deref(), &self.name).map_err(catalog_problem)?;
        let edit = Edit::put_json(key, &Answer { request: self.request, sent }).map_err(catalog_problem)?;
        Ok(edit.until(self.until))
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
