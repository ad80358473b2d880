//! One delivery: a message to all recipients that wait for it at this site, by SMTP, LMTP or into a folder.

use std::path::Path;
use std::sync::Arc;

use baton_mail::status::Remote;
use baton_mail::{Body, EnhancedCode, FailureClass, Outcome, Phase, Recipient, Status};
use baton_smtp::client::Transaction;
use baton_store::StoreError;
use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::bounce_hook::our_fault;
use crate::connect::connect;
use crate::job::Job;
use crate::link::{Link, Sent};
use crate::maildir;
use crate::metrics::Kind;
use crate::settings::OutboundSettings;
use crate::settle::expired;
use crate::shared::Shared;
use crate::site::{Site, Target};
use crate::worker::{Attempted, Batch};

/// Delivers a batch of jobs of one message. Each recipient has an outcome at the end; what got none is deferred.
pub(crate) async fn deliver(
    shared: &Shared,
    site: &Site,
    link: &mut Option<Link>,
    batch: Batch,
) -> SmallVec<[Attempted; 1]> {
    let started = Instant::now();
    shared.metrics.attempts.get_or_create(&Kind { next_hop: site.kind }).inc();
    let settings = shared.settings.load_full();
    let recipients = Recipients::of(&batch);
    let outcomes = match first_problem(shared, &batch).await {
        Err(outcome) => vec![outcome; recipients.len()],
        Ok(body) => {
            let delivery = Delivery { shared, settings: &settings, site, batch: &batch, body };
            match &site.target {
                Target::File(path) => delivery.deliver_to_folder(path, &recipients).await,
                Target::Smtp(_) | Target::Lmtp(_) => delivery.over_link(link, &recipients).await,
            }
        }
    };
    let took = started.elapsed();
    shared.metrics.attempt_seconds.observe(took.as_secs_f64());
    recipients.attempted(batch, outcomes, u32::try_from(took.as_millis()).unwrap_or(u32::MAX))
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
    fn attempted(self, batch: Batch, outcomes: Vec<Outcome>, took_ms: u32) -> SmallVec<[Attempted; 1]> {
        let mut outcomes = outcomes.into_iter();
        let mut ended: SmallVec<[Attempted; 1]> =
            batch.into_iter().map(|job| Attempted { job, outcomes: Vec::new(), took_ms }).collect();
        for (number, index) in self.0 {
            let lost = || Outcome::Deferred(our_fault("the attempt ended without a result"));
            let outcome = outcomes.next().unwrap_or_else(lost);
            if let Some(attempted) = ended.get_mut(number) {
                attempted.outcomes.push((index, outcome));
            }
        }
        ended
    }
}

/// The body, or the outcome of a message that can not go out at all.
async fn first_problem(shared: &Shared, batch: &Batch) -> Result<Body, Outcome> {
    let Some(job) = batch.first() else { return Err(Outcome::Deferred(our_fault("no job"))) };
    if job.is_expired(shared.clock.now()) {
        return Err(Outcome::Failed(expired(job, job.claim.last.as_ref())));
    }
    shared.body(job).await.map_err(|error| match error {
        StoreError::Damaged(_) => {
            let text = "the content of the message was lost in storage";
            Outcome::Failed(Status::ours(Phase::Policy, FailureClass::Unknown, EnhancedCode(5, 3, 0), text))
        }
        other => Outcome::Deferred(our_fault(&format!("the content can not be read: {other}"))),
    })
}

/// What a delivery works with.
struct Delivery<'a> {
    shared: &'a Shared,
    settings: &'a OutboundSettings,
    site: &'a Site,
    batch: &'a Batch,
    body: Body,
}

impl Delivery<'_> {
    fn recipient(&self, (number, index): (usize, u16)) -> Option<&Recipient> {
        self.batch.get(number)?.recipient(index)
    }

    /// In transactions of bounded size, one after the other over the same connection.
    async fn over_link(&self, link: &mut Option<Link>, recipients: &Recipients) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(recipients.len());
        for chunk in recipients.0.chunks(self.settings.limits.recipients_per_delivery_max.max(1)) {
            outcomes.extend(self.one_transaction(link, chunk).await);
        }
        outcomes
    }

    /// One transaction. A kept connection that turns out to be dead is replaced once: it says nothing of the host.
    async fn one_transaction(&self, link: &mut Option<Link>, chunk: &[(usize, u16)]) -> Vec<Outcome> {
        for is_last_try in [false, true] {
            let was_kept = link.is_some();
            let mut open = match link.take() {
                Some(open) => open,
                None => match connect(&self.shared.reach, self.settings, &self.site.target).await {
                    Ok(open) => {
                        self.shared.metrics.connections.inc();
                        open
                    }
                    Err(outcome) => return vec![outcome; chunk.len()],
                },
            };
            let Some(transaction) = self.transaction(chunk, open.is_lmtp()) else { return Vec::new() };
            match open.send(transaction, self.settings).await {
                Sent::Nothing(_) if was_kept && !is_last_try => {}
                Sent::Nothing(status) => return vec![Outcome::Deferred(status); chunk.len()],
                Sent::Outcomes(outcomes) => {
                    *link = open.keep(self.settings).await;
                    return outcomes;
                }
            }
        }
        Vec::new()
    }

    fn transaction(&self, chunk: &[(usize, u16)], lmtp: bool) -> Option<Transaction> {
        let envelope = self.batch.first()?.envelope();
        let mut body = Body::default();
        if lmtp {
            // Final delivery adds the return path (RFC 5321 4.4); over SMTP it stays in the envelope.
            body.push(Bytes::from(maildir::return_path(envelope)));
        }
        for piece in self.body.pieces() {
            body.push(piece.clone());
        }
        let recipients = chunk.iter().filter_map(|one| Some(self.recipient(*one)?.address.clone())).collect();
        Some(Transaction {
            sender: envelope.sender.clone(),
            recipients,
            size: body.len(),
            body,
            eight_bit: envelope.eight_bit,
            smtputf8: envelope.needs_smtputf8(),
        })
    }

    /// Into a Maildir folder: one file for all recipients of the batch, all or nothing.
    async fn deliver_to_folder(&self, path: &Path, recipients: &Recipients) -> Vec<Outcome> {
        let Some(job) = self.batch.first() else { return Vec::new() };
        let envelope = Arc::clone(&job.claim.envelope);
        let (folder, body) = (path.to_path_buf(), self.body.clone());
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
        vec![outcome; recipients.len()]
    }
}
