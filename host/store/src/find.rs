//! Finding jobs in the queue, for operators. Every call reads in short pages, never with one iterator over everything,
//! and can be told how long it may take.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::{Domain, FailureClass, MessageId, Status, UnixMs};
use rocksdb::DBRawIterator;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::format::{JobKey, decode_job, decode_job_key, envelope_key, is_held, message_of};
use crate::look::{JobState, JobView};
use crate::records::{Loaded, ReadError, damaged, decode_envelope, first_job, load_envelope, stored_job};
use crate::schedule::Job;

/// Envelopes that one page looks at, at most.
const PAGE_ENVELOPES: usize = 1_000;

/// Which jobs are meant. All that is set must match; an empty filter means all jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Jobs of this message.
    pub message: Option<MessageId>,
    /// Jobs with a waiting recipient in this domain.
    pub domain: Option<Domain>,
    /// Jobs whose sender is this address; empty for the null sender; `@domain` for all of a domain.
    pub sender: Option<String>,
    /// Jobs in which this address waits.
    pub recipient: Option<String>,
    /// Jobs in this state.
    pub state: Option<JobState>,
    /// Jobs of this tenant; empty for those of none.
    pub tenant: Option<String>,
    /// Jobs of this stream; empty for those of none.
    pub stream: Option<String>,
    /// Jobs of messages with this tag: name, value.
    pub tag: Option<(String, String)>,
    /// Jobs that an operator sends by this next hop, or whose last attempt was at this host or address, or, with a dot
    /// before it, at a host below it.
    pub site: Option<String>,
    /// Jobs whose last attempt left by this source.
    pub source: Option<String>,
    /// Jobs whose message is here for at least so long, in milliseconds.
    pub older_ms: Option<u64>,
    /// Jobs whose message is here for less than so long, in milliseconds.
    pub younger_ms: Option<u64>,
    /// Jobs whose last attempt ended with a text that contains this, in any case.
    pub error: Option<String>,
    /// Jobs whose last attempt failed in this way.
    pub class: Option<FailureClass>,
}

impl Filter {
    /// True when every job is meant.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// The jobs of one message.
    pub fn of(message: MessageId) -> Filter {
        Filter { message: Some(message), ..Filter::default() }
    }
}

/// What was found, and where to go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The jobs, in the order of their keys.
    pub jobs: Vec<JobView>,
    /// The last job that was looked at, when there may be more.
    pub next: Option<JobKey>,
}

/// Jobs that match, in the order of their keys, after `after`, until there are `limit` or the time is over.
pub(crate) async fn find(
    core: &Arc<Core>,
    filter: &Filter,
    after: Option<JobKey>,
    limit: usize,
    budget: Option<Duration>,
) -> Result<Found, StoreError> {
    let deadline = budget.map(|budget| Instant::now() + budget);
    core.barrier().await?;
    let mut found = Found::default();
    let mut from = after.map_or(JobKey::FIRST, JobKey::next);
    if let Some(message) = filter.message {
        from = from.max(JobKey { message, job: 0 });
    }
    loop {
        let (for_reading, wanted, rest) = (Arc::clone(core), filter.clone(), limit - found.jobs.len());
        let page = tokio::task::spawn_blocking(move || find_page(&for_reading, &wanted, from, rest));
        let (jobs, seen) = page.await.map_err(|_| StoreError::Closed)??;
        found.jobs.extend(jobs);
        found.next = seen;
        let Some(seen) = seen else { return Ok(found) };
        if found.jobs.len() >= limit || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(found);
        }
        from = seen.next();
    }
}

/// What one page found, and the last job that it looked at; none at the end.
type Page = (Vec<JobView>, Option<JobKey>);

fn find_page(core: &Core, filter: &Filter, from: JobKey, limit: usize) -> Result<Page, StoreError> {
    let now = core.clock.now();
    let mut views = Vec::new();
    let end = filter.message.map(|message| envelope_key(message.next()));
    let db = core.db()?;
    let first = envelope_key(from.message);
    let end = end.as_ref().map(|end| end.as_slice());
    let mut envelopes = db.iterate(Family::Envelope, &first, end);
    envelopes.seek_to_first();
    let mut records = Records::new(&db, &first, end);
    let (mut seen, mut last) = (0, None);
    while let Some((key, value)) = envelopes.item() {
        let Some(message) = message_of(key) else {
            envelopes.next();
            continue;
        };
        if seen == PAGE_ENVELOPES {
            return Ok((views, last));
        }
        seen += 1;
        last = Some(JobKey { message, job: u16::MAX });
        match decode_envelope(message, value).and_then(|loaded| records.jobs_of(message, &loaded)) {
            Ok(jobs) => {
                for job in jobs.iter().filter(|job| job.key >= from) {
                    let view = view(core, job, now);
                    if matches(filter, job, &view, now) {
                        views.push(view);
                    }
                    if views.len() == limit {
                        return Ok((views, Some(job.key)));
                    }
                }
            }
            // The due scan will meet it, too, and take it out of the queue.
            Err(ReadError::Damaged(damage)) => {
                tracing::error!(target: "store", %message, detail = damage.detail, "a record is damaged");
            }
            Err(ReadError::Unreadable(cause)) => return Err(StoreError::Unreadable(cause)),
        }
        envelopes.next();
    }
    envelopes.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok((views, None))
}

/// A message with every job that is not done; none when it is not in the queue.
pub(crate) fn jobs_of_message(
    db: &Database,
    message: MessageId,
) -> Result<Option<(Loaded, Vec<Job>)>, ReadError> {
    let Some(loaded) = load_envelope(db, message)? else { return Ok(None) };
    let end = envelope_key(message.next());
    let jobs = Records::new(db, &envelope_key(message), Some(&end)).jobs_of(message, &loaded)?;
    Ok(Some((loaded, jobs)))
}

/// The records of jobs, read beside the envelopes: both are in the order of messages.
struct Records<'a> {
    records: DBRawIterator<'a>,
}

impl<'a> Records<'a> {
    fn new(db: &'a Database, first: &[u8], end: Option<&[u8]>) -> Records<'a> {
        let mut records = db.iterate(Family::Job, first, end);
        records.seek_to_first();
        Records { records }
    }

    /// Every job of the message that is not done. Messages are asked about in their order.
    fn jobs_of(&mut self, message: MessageId, loaded: &Loaded) -> Result<Vec<Job>, ReadError> {
        let mut jobs = Vec::new();
        let mut damage = None;
        while let Some((octets, value)) = self.records.item() {
            match decode_job_key(octets) {
                Some(key) if key.message > message => break,
                Some(key) if key.message == message => match decode_job(value) {
                    Ok(record) => jobs.push(stored_job(key, record, loaded)),
                    Err(detail) => damage = Some(damaged(message, Family::Job, octets, detail)),
                },
                _ => {}
            }
            self.records.next();
        }
        self.records.status().map_err(|error| ReadError::Unreadable(error.into_string()))?;
        match (damage, jobs.is_empty(), loaded.seeds.as_slice()) {
            (Some(damage), ..) => Err(damage),
            // A message with several jobs has a record for each; without records it is the only job's first state.
            (None, true, [seed]) => Ok(vec![first_job(seed, loaded)]),
            _ => Ok(jobs),
        }
    }
}

fn view(core: &Core, job: &Job, now: UnixMs) -> JobView {
    let envelope = &job.envelope;
    let mailbox =
        |index: &u16| envelope.recipients.get(usize::from(*index)).map(|known| known.address.clone());
    let state = match job.due {
        _ if core.schedule.lock().is_claimed(job.key) => JobState::Claimed,
        due if is_held(due) => JobState::Held,
        due if due <= now => JobState::Ready,
        _ => JobState::Waiting,
    };
    JobView {
        key: job.key,
        queue: job.queue.clone(),
        state,
        due: Some(job.due).filter(|due| !is_held(*due)),
        attempt: job.attempt,
        recipients: job.recipients.iter().filter_map(mailbox).collect(),
        sender: envelope.sender.clone(),
        size: envelope.size,
        received_at: envelope.received_at,
        expires_at: envelope.expires_at,
        last: job.last.clone(),
        hold: job.hold.clone(),
        tenant: envelope.tenant.clone(),
        stream: envelope.stream.clone(),
        priority: envelope.priority,
        route: job.changes.route.clone(),
        give_up: job.changes.give_up.as_ref().map(|give_up| give_up.reason.clone()),
    }
}

fn matches(filter: &Filter, job: &Job, view: &JobView, now: UnixMs) -> bool {
    let age_ms = now.since(view.received_at).as_millis();
    let is = |wanted: &Option<String>, name: &Option<String>| {
        wanted.as_ref().is_none_or(|wanted| wanted == name.as_deref().unwrap_or_default())
    };
    filter.message.is_none_or(|message| message == view.key.message)
        && filter.state.is_none_or(|state| state == view.state)
        && is(&filter.tenant, &view.tenant)
        && is(&filter.stream, &view.stream)
        && filter.tag.as_ref().is_none_or(|tag| job.envelope.tags.contains(tag))
        && filter.older_ms.is_none_or(|bound| age_ms >= u128::from(bound))
        && filter.younger_ms.is_none_or(|bound| age_ms < u128::from(bound))
        && filter.sender.as_ref().is_none_or(|text| is_address(text, &view.sender.to_string()))
        && filter.domain.as_ref().is_none_or(|domain| view.recipients.iter().any(|to| to.domain() == domain))
        && filter
            .recipient
            .as_ref()
            .is_none_or(|text| view.recipients.iter().any(|to| is_address(text, &to.to_string())))
        && matches_last(filter, view)
}

/// The conditions about the last attempt, and about the next one.
fn matches_last(filter: &Filter, view: &JobView) -> bool {
    let last = view.last.as_ref();
    let error = |text: &String| {
        last.is_some_and(|last| last.to_string().to_lowercase().contains(&text.to_lowercase()))
    };
    let source = |last: &Status| last.remote.as_ref().and_then(|remote| remote.source.clone());
    filter.class.is_none_or(|class| last.is_some_and(|last| last.class == class))
        && filter
            .source
            .as_ref()
            .is_none_or(|name| last.and_then(source).is_some_and(|one| one.name == *name))
        && filter.error.as_ref().is_none_or(error)
        && filter.site.as_ref().is_none_or(|site| {
            view.route.as_ref().is_some_and(|route| route.eq_ignore_ascii_case(site))
                || last.is_some_and(|last| is_at(last, site))
        })
}

fn is_at(last: &Status, site: &str) -> bool {
    let Some(remote) = &last.remote else { return false };
    let host = remote.host.to_ascii_lowercase();
    let site = site.to_ascii_lowercase();
    let is_below = site.starts_with('.') && host.ends_with(&site);
    is_below || host == site || remote.address.is_some_and(|address| address.to_string() == site)
}

/// The address itself, or `@` and its domain.
fn is_address(wanted: &str, address: &str) -> bool {
    let domain = |text: &str| text.rfind('@').and_then(|at| text.get(at..)).map(str::to_owned);
    match wanted.starts_with('@') {
        true => domain(address).is_some_and(|domain| domain.eq_ignore_ascii_case(wanted)),
        false => address.eq_ignore_ascii_case(wanted),
    }
}
