//! From counts to a report in the queue, or at a web server.

use std::time::Duration;

use baton_identity::reports::outgoing::{
    Destination, DmarcPart, Heading, Kind, TlsCounts, compose, dmarc_destinations, dmarc_xml, pack,
    tls_destinations,
};
use baton_mail::event::{Event, What};
use baton_mail::header::HeaderLimits;
use baton_mail::requests::{Notify, RecipientRequests};
use baton_mail::{Body, Envelope, Mailbox, MessageId, Origin, Recipient, ReversePath, UnixMs};
use baton_store::{NewJob, NewMessage};
use bytes::Bytes;

use super::counts::{Due, merged};
use super::posts::Post;
use super::{Reporter, ReportingSettings};

/// A report that was written.
struct Written {
    kind: Kind,
    heading: Heading,
    packed: Vec<u8>,
}

impl Reporter {
    /// Sends one report to all who want it; none when nobody does. What can not be found out now is tried again with the next
    /// pass.
    pub(super) async fn send(&self, due: &Due, tell_all: bool) -> Option<String> {
        let settings = self.0.settings.load_full();
        let about = format!("{} report about {}", due.kind.as_str(), due.domain);
        let destinations = match self.destinations(&settings, due).await {
            Ok(destinations) => destinations,
            Err(error) => {
                self.count(due.kind, "later");
                return tell_all.then(|| format!("{about}: later: {error}"));
            }
        };
        let written = self.write(&settings, due).await;
        if !self.forget(&due.keys).await {
            return None;
        }
        let Some(written) = written.filter(|_| !destinations.is_empty()) else {
            self.count(due.kind, "unwanted");
            return None;
        };
        let mut told = Vec::new();
        for (number, destination) in destinations.iter().enumerate() {
            told.push(match destination {
                Destination::Mail(address, limit) => self.mail(&settings, address, *limit, &written).await,
                Destination::Https(url) => {
                    let id = format!("{}-{number}", written.heading.id);
                    self.post(Post::new(&id, url, &written.packed)).await
                }
            });
        }
        Some(format!("{about}: {}", told.join("; ")))
    }

    async fn destinations(
        &self,
        settings: &ReportingSettings,
        due: &Due,
    ) -> Result<Vec<Destination>, String> {
        let resolver = &self.0.deps.resolver;
        match due.kind {
            Kind::Tls if settings.tls => tls_destinations(resolver, &due.domain).await,
            Kind::Dmarc if settings.dmarc => dmarc_destinations(resolver, &due.domain).await,
            Kind::Tls | Kind::Dmarc => Ok(Vec::new()),
        }
    }

    /// The report of these counts; none when there are none.
    async fn write(&self, settings: &ReportingSettings, due: &Due) -> Option<Written> {
        let heading = Heading {
            submitter: settings.submitter.clone(),
            contact: settings.from.to_string(),
            domain: due.domain.clone(),
            begin_s: due.day * 86_400,
            end_s: due.day * 86_400 + 86_399,
            id: MessageId::new(self.0.deps.clock.now()).to_string(),
        };
        let text = match due.kind {
            Kind::Tls => {
                let parts = self.parts::<TlsCounts>(&due.keys).await;
                parts.into_iter().reduce(merged)?.to_json(&heading)
            }
            Kind::Dmarc => dmarc_xml(&heading, &self.parts::<DmarcPart>(&due.keys).await)?,
        };
        Some(Written { kind: due.kind, heading, packed: pack(&text) })
    }

    /// Queues the report as a message, signed. Tells what became of it.
    async fn mail(
        &self,
        settings: &ReportingSettings,
        to: &Mailbox,
        limit: Option<u64>,
        written: &Written,
    ) -> String {
        let now = self.0.deps.clock.now();
        let Written { kind, heading, packed } = written;
        let text = Bytes::from(compose(*kind, heading, packed, (&settings.from, to), now));
        // RFC 9990 3.5: not a word of what is larger than its reader takes.
        if limit.is_some_and(|limit| text.len() as u64 > limit) {
            self.count(*kind, "failed");
            return format!("not to {to}: it has {} octets, more than {to} takes", text.len());
        }
        let content = Body::from(text).to_content();
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
                self.count(*kind, "mailed");
                format!("to {to} as {id}{how}")
            }
            Err(error) => {
                self.count(*kind, "failed");
                format!("not to {to}: {error}")
            }
        }
    }
}

/// A report as a new message of the queue: nobody is told what becomes of it.
fn message(settings: &ReportingSettings, to: &Mailbox, body: Body, now: UnixMs) -> NewMessage {
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

/// How long a report is tried: a day (RFC 8460 5.6).
const LIFETIME: Duration = Duration::from_secs(86_400);
