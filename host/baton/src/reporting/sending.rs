//! From counts to a report in the queue, or at a web server.

use std::time::Duration;

use baton_identity::reports::outgoing::{Destination, Heading, compose, pack, tls_destinations};
use baton_mail::event::{Event, What};
use baton_mail::header::HeaderLimits;
use baton_mail::requests::{Notify, RecipientRequests};
use baton_mail::{Body, Envelope, Mailbox, MessageId, Origin, Recipient, ReversePath};
use baton_store::{NewJob, NewMessage};
use bytes::Bytes;

use super::counts::Due;
use super::posts::Post;
use super::{Reporter, ReportingSettings};

impl Reporter {
    /// Sends one report to all who want it; none when nobody does. What can not be found out now is tried again with the next
    /// pass.
    pub(super) async fn send(&self, due: &Due, tell_all: bool) -> Option<String> {
        let settings = self.0.settings.load_full();
        let destinations = match tls_destinations(&self.0.deps.resolver, &due.domain).await {
            Ok(destinations) if settings.tls => destinations,
            Ok(_) => Vec::new(),
            Err(error) => {
                self.count(KIND, "later");
                return tell_all.then(|| format!("TLS report about {}: later: {error}", due.domain));
            }
        };
        let counts = self.counts(&due.key).await?;
        if !self.forget(&due.key).await {
            return None;
        }
        if destinations.is_empty() {
            self.count(KIND, "unwanted");
            return None;
        }
        let heading = Heading {
            submitter: settings.submitter.clone(),
            contact: settings.from.to_string(),
            domain: due.domain.clone(),
            begin_s: due.day * 86_400,
            end_s: due.day * 86_400 + 86_399,
            id: MessageId::new(self.0.deps.clock.now()).to_string(),
        };
        let packed = pack(&counts.to_json(&heading));
        let mut told = Vec::new();
        for (number, destination) in destinations.iter().enumerate() {
            told.push(match destination {
                Destination::Mail(address) => self.mail(&settings, address, &heading, &packed).await,
                Destination::Https(url) => {
                    self.post(Post::new(&format!("{}-{number}", heading.id), url, &packed)).await
                }
            });
        }
        Some(format!("TLS report about {}: {}", due.domain, told.join("; ")))
    }

    /// Queues the report as a message, signed. Tells what became of it.
    async fn mail(
        &self,
        settings: &ReportingSettings,
        to: &Mailbox,
        heading: &Heading,
        packed: &[u8],
    ) -> String {
        let now = self.0.deps.clock.now();
        let written = Bytes::from(compose(heading, packed, &settings.from, to, now));
        let content = Body::from(written).to_content();
        let limits = HeaderLimits::default();
        let signed = match settings.sign {
            true => self.0.deps.signer.sign(&Bytes::new(), &content, &limits, now.seconds()).await,
            false => Ok(None),
        };
        // Readers may leave it out without a signature (RFC 8460 3); it goes all the same.
        let (fields, how) = match signed {
            Ok(Some(signed)) => (signed.fields, String::new()),
            Ok(None) => (Bytes::new(), ", not signed: its domain has no keys here".to_owned()),
            Err(error) => (Bytes::new(), format!(", not signed: {error}")),
        };
        let message = message(settings, to, content.into_body(fields), now);
        let id = message.envelope.id;
        match self.0.deps.store.accept(message).await {
            Ok(_) => {
                self.count(KIND, "mailed");
                format!("to {to} as {id}{how}")
            }
            Err(error) => {
                self.count(KIND, "failed");
                format!("not to {to}: {error}")
            }
        }
    }
}

/// A report as a new message of the queue: nobody is told what becomes of it.
fn message(settings: &ReportingSettings, to: &Mailbox, body: Body, now: baton_mail::UnixMs) -> NewMessage {
    let sender = ReversePath::Mailbox(settings.from.clone());
    let mut envelope = Envelope::new(MessageId::new(now), now, LIFETIME, sender, Origin::internal());
    let requests = RecipientRequests { notify: Some(Notify::default()), original: None };
    envelope.recipients = vec![Recipient { requests: Some(Box::new(requests)), ..to.clone().into() }];
    envelope.size = body.len();
    let what = What::Accepted {
        origin: envelope.origin.clone(),
        sender: envelope.sender.clone(),
        recipients: vec![to.clone()],
        size: envelope.size,
        decisions: Vec::new(),
    };
    let event = Event { message: envelope.id, at: now, what };
    let jobs = vec![NewJob { queue: to.domain().to_string(), recipients: vec![0], due: now }];
    NewMessage { envelope, body, jobs, events: vec![event] }
}

/// What metrics call these reports.
pub(super) const KIND: &str = "tls";
/// How long a report is tried: a day (RFC 8460 5.6).
const LIFETIME: Duration = Duration::from_secs(86_400);
