//! One delivery: a message to all recipients that wait for it at this site, by SMTP, LMTP or into a folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::event::What;
use baton_mail::mime::Fit;
use baton_mail::requests::{OriginalRecipient, RecipientRequests};
use baton_mail::status::Remote;
use baton_mail::{
    Body, Domain, EnhancedCode, Envelope, FailureClass, Outcome, Phase, Recipient, ReversePath, Status,
};
use baton_smtp::client::{Capabilities, Requests, Transaction};
use baton_store::StoreError;
use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::bounce_hook::our_fault;
use crate::connect::{Purpose, connect};
use crate::endpoint::{Answered, Endpoint, Posted};
use crate::fitting::{Fitted, converted, fit};
use crate::job::Job;
use crate::link::{Link, Sent};
use crate::log;
use crate::maildir;
use crate::metrics::Kind;
use crate::settings::OutboundSettings;
use crate::settle::expired;
use crate::shared::Shared;
use crate::site::{Site, Target, no_required_tls};
use crate::verp;
use crate::worker::{Attempted, Batch};

/// Delivers a batch of jobs of one message. Each recipient has an outcome at the end; what got none is deferred.
pub(crate) async fn deliver(
    shared: &Shared,
    site: &Site,
    link: &mut Option<Link>,
    batch: Batch,
) -> SmallVec<[Attempted; 1]> {
    let started = Instant::now();
    shared.metrics.attempts.get_or_create(&Kind { next_hop: site.destination.kind }).inc();
    let settings = shared.settings.load_full();
    let recipients = Recipients::of(&batch);
    let delivery = Delivery { shared, settings: &settings, site, batch: &batch };
    let tried = match &site.destination.target {
        Target::File(path) => delivery.deliver_to_folder(path, &recipients).await,
        Target::Http(endpoint) => delivery.deliver_to_endpoint(endpoint, &recipients).await,
        Target::Smtp(_) | Target::Lmtp(_) => delivery.over_link(link, &recipients).await,
    };
    let mut tried = tried.unwrap_or_else(|outcome| Tried::new(vec![outcome; recipients.len()]));
    let took = started.elapsed();
    let (note, wait_ms) = (tried.converted.clone(), tried.wait_ms);
    shared.metrics.attempt_seconds.observe(took.as_secs_f64());
    site.figures.note(&tried.outcomes, took);
    let again = shared.observe(&settings, site, &batch, &mut tried.outcomes).await;
    let mut ended = recipients.attempted(batch, tried, u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    for attempted in &mut ended {
        attempted.is_final = site.destination.is_local();
        if let Some(detail) = note.clone() {
            let recipients = attempted.job.recipients().map(|(_, one)| one.address.clone()).collect();
            let event = attempted.job.event(shared.clock.now(), What::Converted { recipients, detail });
            attempted.job.events.push(event);
        }
        attempted.job.wait_ms = if again { Some(0) } else { wait_ms };
    }
    ended
}

/// What came of the recipients of a batch, in their order.
#[derive(Default)]
struct Tried {
    outcomes: Vec<Outcome>,
    /// Whether the next hop reports to the sender itself. Missing ones do not.
    passed_on: Vec<bool>,
    /// What was done to the content.
    converted: Option<String>,
    /// How long the next hop wants to be left alone, in milliseconds.
    wait_ms: Option<u64>,
}

impl Tried {
    fn new(outcomes: Vec<Outcome>) -> Tried {
        Tried { outcomes, ..Tried::default() }
    }
}

/// The recipients of a batch: which job, which index.
struct Recipients(Vec<(usize, u16)>);

impl Recipients {
    fn of(batch: &Batch) -> Recipients {
        let of_job = |(number, job): (usize, &Job)| {
            job.recipients().map(move |(index, _)| (number, index)).collect::<SmallVec<[_; 4]>>()
        };
        Recipients(batch.iter().enumerate().flat_map(of_job).collect())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives each job its outcomes. A recipient without one was lost on the way: deferred, by house rule 18.
    fn attempted(self, batch: Batch, tried: Tried, took_ms: u32) -> SmallVec<[Attempted; 1]> {
        let mut outcomes = tried.outcomes.into_iter();
        let mut passed_on = tried.passed_on.into_iter();
        let begun =
            |job| Attempted { job, outcomes: Vec::new(), took_ms, passed_on: Vec::new(), is_final: false };
        let mut ended: SmallVec<[Attempted; 1]> = batch.into_iter().map(begun).collect();
        for (number, index) in self.0 {
            let lost = || Outcome::Deferred(our_fault("the attempt ended without a result"));
            let outcome = outcomes.next().unwrap_or_else(lost);
            let is_passed_on = passed_on.next().unwrap_or(false);
            if let Some(attempted) = ended.get_mut(number) {
                attempted.outcomes.push((index, outcome));
                attempted.passed_on.extend(is_passed_on.then_some(index));
            }
        }
        ended
    }
}

/// What a delivery works with.
struct Delivery<'a> {
    shared: &'a Shared,
    settings: &'a OutboundSettings,
    site: &'a Site,
    batch: &'a Batch,
}

impl Delivery<'_> {
    fn recipient(&self, (number, index): (usize, u16)) -> Option<&Recipient> {
        self.batch.get(number)?.recipient(index)
    }

    /// The content, or the outcome of a message that has none.
    async fn body(&self) -> Result<Body, Outcome> {
        let job = self.first_job()?;
        self.shared.body(job).await.map_err(|error| match error {
            StoreError::Damaged(_) => {
                let text = "the content of the message was lost in storage";
                Outcome::Failed(Status::ours(
                    Phase::Policy,
                    FailureClass::Unknown,
                    EnhancedCode(5, 3, 0),
                    text,
                ))
            }
            other => {
                log::content_unreadable(job.message(), &other);
                let why = match other {
                    StoreError::Unreadable(cause) => cause,
                    other => other.to_string(),
                };
                Outcome::Deferred(our_fault(&format!("the content can not be read: {why}")))
            }
        })
    }

    /// The first job, or the outcome of one that may not go out any more.
    fn first_job(&self) -> Result<&Job, Outcome> {
        let Some(job) = self.batch.first() else { return Err(Outcome::Deferred(our_fault("no job"))) };
        if job.is_expired(self.shared.clock.now()) {
            return Err(Outcome::Failed(expired(job, job.claim.last.as_ref())));
        }
        Ok(job)
    }

    /// In transactions of bounded size, one after the other over the same connection. The content is read when there is
    /// somebody to take it: mail for a next hop that is away costs little.
    async fn over_link(&self, link: &mut Option<Link>, recipients: &Recipients) -> Result<Tried, Outcome> {
        self.first_job()?;
        let mut was_kept = link.is_some();
        if !was_kept {
            *link = Some(self.open(&recipients.0).await?);
        }
        let body = self.body().await?;
        let mut tried = Tried::default();
        // Each has a return path of its own.
        let is_named = recipients.0.iter().any(|one| self.verp(std::slice::from_ref(one)).is_some());
        let recipients_max = if is_named { 1 } else { self.site.recipients_max(self.settings) };
        let mut rest = recipients.0.as_slice();
        while !rest.is_empty() {
            let chunk = rest.get(..recipients_max).unwrap_or(rest);
            if !tried.outcomes.is_empty() {
                self.wait_for_token().await;
            }
            let one = self.one_transaction(link, was_kept, chunk, &body).await;
            was_kept = true;
            // The peer may take fewer at once; who is left goes in the next transaction.
            match rest.get(one.outcomes.len()..) {
                Some(left) if left.len() < rest.len() => rest = left,
                _ => break,
            }
            tried.passed_on.resize(tried.outcomes.len(), false);
            tried.outcomes.extend(one.outcomes);
            tried.passed_on.extend(one.passed_on);
            tried.converted = one.converted.or(tried.converted);
        }
        Ok(tried)
    }

    /// One transaction. A kept connection that turns out to be dead is replaced once: it says nothing of the host.
    async fn one_transaction(
        &self,
        link: &mut Option<Link>,
        was_kept: bool,
        chunk: &[(usize, u16)],
        body: &Body,
    ) -> Tried {
        for is_last_try in [false, true] {
            let mut open = match link.take() {
                Some(open) => open,
                None => match self.open(chunk).await {
                    Ok(open) => open,
                    Err(outcome) => return Tried::new(vec![outcome; chunk.len()]),
                },
            };
            let chunk = chunk.get(..self.taken_at_once(chunk, open.offers())).unwrap_or(chunk);
            let fitted = match self.fitted(body, open.offers()).await {
                Ok(fitted) => fitted,
                Err(why) => {
                    let outcomes = vec![open.unfit(&why); chunk.len()];
                    *link = open.keep(self.site.messages_max(self.settings)).await;
                    return Tried::new(outcomes);
                }
            };
            let converted = fitted.note.clone();
            let Some(transaction) = self.transaction(chunk, open.is_lmtp(), fitted) else {
                return Tried::default();
            };
            let reports_itself =
                open.offers().dsn && (transaction.requests.by.is_none() || open.offers().deliver_by);
            open.show_message(self.batch.first().map(Job::message));
            match open.send(transaction, self.settings).await {
                Sent::Nothing(_) if was_kept && !is_last_try => {}
                Sent::Nothing(status) => return Tried::new(vec![Outcome::Deferred(status); chunk.len()]),
                Sent::Outcomes(outcomes) => {
                    *link = open.keep(self.site.messages_max(self.settings)).await;
                    let passed_on = vec![reports_itself; outcomes.len()];
                    return Tried { passed_on, outcomes, converted, wait_ms: None };
                }
            }
        }
        Tried::default()
    }

    /// Each further transaction counts as a message of its own.
    async fn wait_for_token(&self) {
        let draw = || self.site.standing.drew(self.site.pace().draw(false));
        while let Err(until) = draw() {
            tokio::time::sleep_until(until).await;
        }
    }

    /// A connection for these recipients: what their domains published is that of the first one.
    async fn open(&self, chunk: &[(usize, u16)]) -> Result<Link, Outcome> {
        let Site { destination, source, .. } = self.site;
        let first = chunk.first().and_then(|first| self.recipient(*first));
        let is_counted = self.batch.first().is_some_and(|job| !job.envelope().origin.is_internal());
        let purpose =
            Purpose { source, domain: first.map(|recipient| recipient.address.domain()), is_counted };
        let opened = connect(&self.shared.reach, self.settings, &destination.target, purpose).await;
        let open = opened.map_err(|outcome| self.judged(outcome))?;
        self.shared.metrics.connections.inc();
        Ok(open)
    }

    /// How many of these recipients the peer takes in one transaction (RFC 9422 4.2, 4.3); one at least.
    fn taken_at_once(&self, chunk: &[(usize, u16)], offered: &Capabilities) -> usize {
        let recipients_max = offered.recipients_max.unwrap_or(usize::MAX);
        let Some(domains_max) = offered.recipient_domains_max else { return recipients_max.min(chunk.len()) };
        let mut domains: Vec<&Domain> = Vec::new();
        let fits = |one: &&(usize, u16)| {
            let Some(domain) = self.recipient(**one).map(|recipient| recipient.address.domain()) else {
                return true;
            };
            if !domains.contains(&domain) {
                domains.push(domain);
            }
            domains.len() <= domains_max
        };
        chunk.iter().take(recipients_max).take_while(fits).count().max(1)
    }

    /// Mail that needs TLS by its sender's word does not wait for a next hop that has none (RFC 8689 4.2.1).
    fn judged(&self, outcome: Outcome) -> Outcome {
        let needs_tls = self.batch.first().is_some_and(|job| job.envelope().requests.require_tls);
        match outcome {
            Outcome::Deferred(status) if needs_tls && status.phase == Phase::Tls => {
                let mut failed = no_required_tls(&status.text);
                failed.remote = status.remote;
                Outcome::Failed(failed)
            }
            other => other,
        }
    }

    /// The content in a form that the peer takes, or why there is none.
    async fn fitted(&self, body: &Body, offered: &Capabilities) -> Result<Fitted, String> {
        match self.batch.first() {
            Some(job) => fit(self.settings, job.envelope(), body, offered).await,
            None => Err("no job".to_owned()),
        }
    }

    fn transaction(&self, chunk: &[(usize, u16)], lmtp: bool, fitted: Fitted) -> Option<Transaction> {
        let envelope = self.batch.first()?.envelope();
        let mut body = Body::default();
        if lmtp {
            // Final delivery adds the return path (RFC 5321 4.4); over SMTP it stays in the envelope.
            body.push(Bytes::from(maildir::return_path(envelope)));
        }
        for piece in fitted.body.pieces() {
            body.push(piece.clone());
        }
        let recipients: Vec<&Recipient> = chunk.iter().filter_map(|one| self.recipient(*one)).collect();
        Some(Transaction {
            sender: self.verp(chunk).filter(|_| !lmtp).unwrap_or_else(|| envelope.sender.clone()),
            recipients: recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            requests: self.requests(envelope, &recipients, lmtp),
            size: body.len(),
            body,
            eight_bit: fitted.eight_bit,
            binary: fitted.binary,
            smtputf8: envelope.needs_smtputf8(),
        })
    }

    /// The return path that names the recipient, where that is wanted.
    fn verp(&self, chunk: &[(usize, u16)]) -> Option<ReversePath> {
        let [one] = chunk else { return None };
        let sender = &self.batch.first()?.envelope().sender;
        verp::return_path(&self.settings.dsn.verp_domains, sender, &self.recipient(*one)?.address)
    }

    /// What the next hop is told of the sender's wishes.
    fn requests(&self, envelope: &Envelope, recipients: &[&Recipient], lmtp: bool) -> Requests {
        let mut message = envelope.requests.clone();
        // What the message has counts, whoever gave it; nothing said is nothing asked.
        message.priority =
            message.priority.and(Some(envelope.priority)).or(Some(envelope.priority).filter(|is| *is != 0));
        // The way into a mail store was judged when it was chosen; a deadline ends there.
        message.require_tls &= !lmtp;
        let by = message.deliver_by.filter(|_| !lmtp).map(|by| by.left(self.shared.clock.now()));
        Requests { message, recipients: requests_of(recipients), by }
    }

    /// The content for a file, which has lines. What can not be converted stays as it is: nothing reads an end of mail in it.
    async fn body_of_lines(&self, envelope: &Envelope) -> Result<Body, Outcome> {
        let body = self.body().await?;
        if !envelope.binary {
            return Ok(body);
        }
        let made = converted(self.settings, &body, Fit::EightBit).await;
        Ok(made.map_or(body, |made| made.body))
    }

    /// To a web server: one request for all recipients of the batch, all or nothing.
    async fn deliver_to_endpoint(
        &self,
        endpoint: &Endpoint,
        recipients: &Recipients,
    ) -> Result<Tried, Outcome> {
        let job = self.first_job()?;
        let posted = Posted {
            envelope: job.envelope(),
            recipients: recipients.0.iter().filter_map(|one| self.recipient(*one)).collect(),
            body: self.body().await?,
            attempt: job.attempt(),
        };
        let bound = Duration::from_millis(self.settings.timeouts.data_dot_ms);
        let now = self.shared.clock.now();
        let Answered { outcome, wait_ms } = endpoint.post(&self.shared.http, posted, now, bound).await;
        Ok(Tried { wait_ms, ..Tried::new(vec![outcome; recipients.len()]) })
    }

    /// Into a Maildir folder: one file for all recipients of the batch, all or nothing.
    async fn deliver_to_folder(&self, path: &Path, recipients: &Recipients) -> Result<Tried, Outcome> {
        let envelope = Arc::clone(&self.first_job()?.claim.envelope);
        let (folder, body) = (path.to_path_buf(), self.body_of_lines(&envelope).await?);
        let indexes: Vec<u16> = recipients.0.iter().map(|(_, index)| *index).collect();
        let written = tokio::task::spawn_blocking(move || {
            let recipients: Vec<&Recipient> =
                indexes.iter().filter_map(|index| envelope.recipients.get(usize::from(*index))).collect();
            maildir::store(&folder, &envelope, &recipients, &body)
        });
        let remote = Remote::named(path.display().to_string());
        let outcome = match written.await {
            Ok(Ok(())) => {
                let text = "stored";
                Outcome::Delivered(
                    Status::ours(Phase::Data, FailureClass::Unknown, EnhancedCode(2, 0, 0), text).at(remote),
                )
            }
            // RFC 3463 3.3: mailbox trouble that may pass, such as a full disk.
            Ok(Err(error)) => {
                let text = format!("the folder can not be written: {error}");
                Outcome::Deferred(
                    Status::ours(Phase::Data, FailureClass::Unknown, EnhancedCode(4, 2, 0), text).at(remote),
                )
            }
            Err(_) => Outcome::Deferred(our_fault("writing the file was interrupted")),
        };
        Ok(Tried::new(vec![outcome; recipients.len()]))
    }
}

/// What is asked for each recipient; none when nothing is asked for any.
///
/// A copy that a plugin sent elsewhere names for whom it was meant, so that a report from further on makes sense to its
/// reader (RFC 3461 5.2.1).
fn requests_of(recipients: &[&Recipient]) -> Vec<RecipientRequests> {
    let requests = |recipient: &&Recipient| {
        let mut requests = recipient.requests.as_deref().cloned().unwrap_or_default();
        if let (None, Some(original)) = (&requests.original, &recipient.original) {
            requests.original = Some(OriginalRecipient::of_mailbox(original));
        }
        requests
    };
    let is_plain = |recipient: &&Recipient| recipient.requests.is_none() && recipient.original.is_none();
    if recipients.iter().all(is_plain) { Vec::new() } else { recipients.iter().map(requests).collect() }
}
