//! A link: one open connection, the pure client machine on it, and the deadline of the moment.

use std::time::Duration;

use baton_mail::status::Remote;
use baton_mail::tls::{Security, TlsFlaw};
use baton_mail::{EnhancedCode, FailureClass, Outcome, Phase, Reply, Status};
use baton_smtp::client::{
    Capabilities, Client, ClientPhase, ClientStep, RecipientResult, Transaction, TransactionResult,
};
use bytes::BytesMut;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::security::TlsUse;
use crate::settings::OutboundSettings;

mod login;
mod protect;
mod shown;
mod wire;

pub(crate) use protect::Opening;
pub(crate) use shown::Shown;
use wire::Broken;

/// How long the peer may take for a polite end.
const LEAVE_BOUND: Duration = Duration::from_secs(1);

/// What links run over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection to a next hop, ready for a transaction.
pub(crate) struct Link {
    stream: Box<dyn Stream>,
    client: Client,
    input: BytesMut,
    /// Until when the peer must have said what the phase waits for.
    deadline: Option<(ClientPhase, Instant)>,
    /// The peer said something since the transaction began.
    heard: bool,
    usable: bool,
    lmtp: bool,
    deliveries: u32,
    remote: Remote,
    shown: Shown,
    _open: OpenGauge,
}

/// A host that does not want us, or does not speak the protocol.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    /// The host takes no mail at all.
    pub(crate) permanent: bool,
    /// What reports about TLS call it, when it is of TLS.
    pub(crate) flaw: Option<TlsFlaw>,
}

impl Refusal {
    /// The host could be reached, and would be without TLS. A peer that breaks the protocol there is not believed more
    /// in plain text.
    pub(crate) fn is_for_want_of_tls(&self) -> bool {
        self.status.phase == Phase::Tls && self.status.class != FailureClass::Protocol
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal { status, permanent: false, flaw: None }
    }
}

/// What came of a transaction.
#[derive(Debug)]
pub(crate) enum Sent {
    /// A result for each recipient.
    Outcomes(Vec<Outcome>),
    /// The connection ended before the peer said a word about this transaction.
    Nothing(Status),
}

impl Link {
    /// Takes the greeting and says EHLO (or LHLO), with TLS as the policy has it.
    pub(crate) async fn open(
        stream: Box<dyn Stream>,
        remote: Remote,
        opening: &Opening<'_>,
    ) -> Result<Link, Refusal> {
        let mut link = Link {
            stream,
            client: Client::new(opening.client()),
            input: BytesMut::new(),
            deadline: None,
            heard: false,
            usable: false,
            lmtp: opening.lmtp,
            deliveries: 0,
            remote,
            shown: opening.shown.clone(),
            _open: OpenGauge::new(&opening.metrics.connections_open),
        };
        if opening.tls.mode == TlsUse::Implicit {
            link.protect(opening).await?;
        }
        loop {
            match link.drive(opening.settings).await {
                Ok(ClientStep::StartTls) => link.protect(opening).await?,
                Ok(ClientStep::Ready) => {
                    link.note_security(opening);
                    if let Some(login) = &opening.tls.login {
                        link.log_in(login, opening.settings).await?;
                    }
                    return Ok(link);
                }
                Ok(ClientStep::NoStartTls) => {
                    let flaw = TlsFlaw::StarttlsNotSupported;
                    return Err(link.unprotected("the peer offers no STARTTLS", flaw, opening));
                }
                Ok(ClientStep::Refused(phase, reply)) => return Err(link.refused(phase, &reply)),
                Ok(ClientStep::Closing(reply)) => {
                    return Err(link.refused(link.client.phase().as_phase(), &reply));
                }
                Ok(_) => return Err(link.broken(&Broken::Closed(ClientPhase::Greeting)).into()),
                Err(broken) => return Err(link.broken(&broken).into()),
            }
        }
    }

    /// True when the peer makes the final delivery.
    pub(crate) fn is_lmtp(&self) -> bool {
        self.lmtp
    }

    /// What the peer offered.
    pub(crate) fn offers(&self) -> &Capabilities {
        self.client.capabilities()
    }

    /// The outcome of content that has no form that the peer takes. Nothing was sent, so the connection is as good as before.
    pub(crate) fn unfit(&mut self, text: &str) -> Outcome {
        self.usable = true;
        // RFC 3463 3.7: conversion required but not supported.
        let status = Status::ours(Phase::Mail, FailureClass::Protocol, EnhancedCode(5, 6, 3), text);
        Outcome::Failed(status.at(self.remote.clone()))
    }

    /// Carries out one transaction. Only a positive final reply is a delivery.
    pub(crate) async fn send(&mut self, transaction: Transaction, settings: &OutboundSettings) -> Sent {
        self.usable = false;
        self.deliveries += 1;
        let count = transaction.recipients.len();
        if let Err(status) = self.begin(transaction, settings).await {
            return Sent::Nothing(status);
        }
        self.heard = false;
        match self.drive(settings).await {
            Ok(ClientStep::Finished(result)) => self.finished(result),
            Ok(ClientStep::Closing(reply)) => Sent::Nothing(self.status(Phase::Mail, &reply)),
            Ok(_) => Sent::Nothing(self.broken(&Broken::Closed(ClientPhase::Mail))),
            Err(broken) => self.interrupted(&broken, count),
        }
    }

    /// Asks whether the peer takes mail for the only recipient of `question`. Answers its reply to RCPT, or to MAIL
    /// when it refused that.
    pub(crate) async fn ask(
        &mut self,
        question: Transaction,
        settings: &OutboundSettings,
    ) -> Result<Reply, Status> {
        self.client.ask(question).map_err(|_| self.broken(&Broken::Closed(ClientPhase::Idle)))?;
        let result = match self.drive(settings).await {
            Ok(ClientStep::Finished(result)) => result.recipients.into_iter().next(),
            Ok(ClientStep::Closing(reply)) => return Err(self.status(Phase::Mail, &reply)),
            Ok(_) => None,
            Err(broken) => return Err(self.broken(&broken)),
        };
        match result {
            Some(RecipientResult::Accepted(reply) | RecipientResult::Refused { reply, .. }) => Ok(reply),
            Some(incapable) => Err(self.outcome(&incapable).status().clone()),
            None => Err(self.broken(&Broken::Closed(ClientPhase::Rcpt))),
        }
    }

    /// How the connection is protected, or why it is not.
    pub(crate) fn security(&self) -> Option<&Security> {
        self.remote.security.as_ref()
    }

    /// The host at the other end.
    pub(crate) fn host(&self) -> &str {
        &self.remote.host
    }

    /// Waits for the answer to a RSET that is under way, then hands the transaction to the machine.
    async fn begin(&mut self, transaction: Transaction, settings: &OutboundSettings) -> Result<(), Status> {
        if self.client.phase() != ClientPhase::Idle {
            match self.drive(settings).await {
                Ok(ClientStep::Ready) => {}
                Ok(_) => return Err(self.broken(&Broken::Closed(ClientPhase::Reset))),
                Err(broken) => return Err(self.broken(&broken)),
            }
        }
        self.client.send(transaction).map_err(|_| self.broken(&Broken::Closed(ClientPhase::Idle)))
    }

    fn finished(&mut self, result: TransactionResult) -> Sent {
        self.usable = result.connection_usable;
        // 421 to MAIL on a kept connection is the peer's end of patience, no word on this message (RFC 5321 3.8).
        let goodbye = |one: &RecipientResult| match one {
            RecipientResult::Refused { phase: Phase::Mail, reply } if reply.code() == 421 => {
                Some(reply.clone())
            }
            _ => None,
        };
        if let Some(reply) = result.recipients.first().and_then(goodbye) {
            return Sent::Nothing(self.status(Phase::Mail, &reply));
        }
        Sent::Outcomes(result.recipients.iter().map(|one| self.outcome(one)).collect())
    }

    /// The connection broke: recipients with a final word keep it, the others are deferred.
    fn interrupted(&mut self, broken: &Broken, count: usize) -> Sent {
        let status = self.broken(broken);
        if !self.heard && matches!(broken, Broken::Closed(_) | Broken::Failed(..)) {
            return Sent::Nothing(status);
        }
        let known = self.client.take_partial().unwrap_or_else(|| vec![None; count]);
        let outcome = |one: Option<RecipientResult>| match one {
            Some(result) => self.outcome(&result),
            None => Outcome::Deferred(status.clone()),
        };
        Sent::Outcomes(known.into_iter().map(outcome).collect())
    }

    fn outcome(&self, result: &RecipientResult) -> Outcome {
        match result {
            RecipientResult::Accepted(reply) => Outcome::Delivered(self.status(Phase::Data, reply)),
            RecipientResult::Refused { phase: Phase::Rcpt, reply } if is_too_many(reply) => {
                let mut status = self.status(Phase::Rcpt, reply);
                status.enhanced = EnhancedCode(4, 5, 3);
                Outcome::Deferred(status)
            }
            RecipientResult::Refused { phase, reply } if reply.is_permanent() => {
                Outcome::Failed(self.status(*phase, reply))
            }
            RecipientResult::Refused { phase, reply } => Outcome::Deferred(self.status(*phase, reply)),
            RecipientResult::Incapable { phase, enhanced, text } => {
                // RFC 3463 3.4: X.3.4 is "message too big for system".
                let too_large = (enhanced.1, enhanced.2) == (3, 4);
                let class = if too_large { FailureClass::TooLarge } else { FailureClass::Protocol };
                Outcome::Failed(Status::ours(*phase, class, *enhanced, text).at(self.remote.clone()))
            }
        }
    }

    fn status(&self, phase: Phase, reply: &Reply) -> Status {
        Status::from_reply(phase, reply, self.remote.clone())
    }

    /// A 5xx greeting speaks of the host at this moment, so another host or a later time may do; but 521 says that
    /// the host never takes mail (RFC 7504). A 5xx to EHLO speaks of us, for good.
    fn refused(&self, phase: Phase, reply: &Reply) -> Refusal {
        let permanent = reply.code() == 521 || (reply.is_permanent() && phase == Phase::Ehlo);
        let mut status = self.status(phase, reply);
        baton_mail::classify::Classes::default().classify(&mut status);
        if !permanent {
            // What is tried again is not a permanent failure (RFC 3463 3.1), whatever class the host named.
            status.enhanced.0 = 4;
        }
        Refusal { status, permanent, flaw: None }
    }

    fn broken(&self, broken: &Broken) -> Status {
        let (class, enhanced) = match broken {
            Broken::Protocol(..) => (FailureClass::Protocol, EnhancedCode(4, 5, 0)),
            // RFC 3463 3.5: bad connection.
            _ => (FailureClass::Network, EnhancedCode(4, 4, 2)),
        };
        Status::ours(broken.phase().as_phase(), class, enhanced, broken.to_string()).at(self.remote.clone())
    }

    /// The link itself when it can carry another message, of so many at most; else nothing.
    pub(crate) async fn keep(self, messages_max: u32) -> Option<Link> {
        if !self.usable {
            return None;
        }
        // The peer may take fewer than we would send (RFC 9422 4.1).
        let theirs = self.offers().transactions_max.unwrap_or(u32::MAX);
        if self.deliveries >= messages_max.min(theirs).max(1) {
            Link::leave(Some(self)).await;
            return None;
        }
        Some(self)
    }

    /// Says QUIT and goes; the answer would change nothing.
    pub(crate) async fn leave(link: Option<Link>) {
        let Some(mut link) = link else { return };
        link.client.quit();
        let goodbye = async {
            while let Some(output) = link.client.poll_output() {
                link.show_output(ClientPhase::Quit, &output);
                link.stream.write_all(&output.into_bytes()).await?;
            }
            link.stream.shutdown().await
        };
        // A peer that is gone already needs no goodbye.
        let _ = timeout(LEAVE_BOUND, goodbye).await;
    }
}

/// 552 to RCPT is what RFC 821 had for too many recipients, which is temporary (RFC 5321 4.5.3.1.10), unless the host says
/// that it means something else.
fn is_too_many(reply: &Reply) -> bool {
    reply.code() == 552 && reply.enhanced().is_none_or(|code| (code.1, code.2) == (5, 3))
}

/// Counts a connection as open while it lives.
struct OpenGauge(Gauge);

impl OpenGauge {
    fn new(gauge: &Gauge) -> OpenGauge {
        gauge.inc();
        OpenGauge(gauge.clone())
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}
