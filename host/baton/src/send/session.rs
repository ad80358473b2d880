//! Sessions one after another: drives the protocol machine over a socket.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use baton_mail::{Reply, SystemClock};
use baton_smtp::client::{
    Client, ClientSettings, ClientStep, RecipientResult, Requests, Transaction, TransactionResult,
    UseStartTls,
};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::Job;
use super::protection::{Connection, Protection};
use super::report::Report;
use crate::cli::TlsStart;

/// Where sessions go and how they begin.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The address to come from; the system chooses when there is none.
    pub(crate) local: Option<IpAddr>,
    pub(crate) lmtp: bool,
    /// NAME:PASSWORD for AUTH.
    pub(crate) auth: Option<String>,
    pub(crate) tls: Option<Protection>,
}

impl Target {
    /// A server that is spoken to as anybody would.
    pub(crate) fn plain(address: SocketAddr) -> Target {
        Target { address, local: None, lmtp: false, auth: None, tls: None }
    }

    /// The name that the certificate should have.
    fn host(&self) -> String {
        self.address.ip().to_string()
    }
}

/// Octets that one read takes.
const READ_OCTETS: usize = 4 * 1024;
/// Pieces up to this size are gathered into one write.
const GATHER_OCTETS_MAX: usize = 64 * 1024;
/// How long a server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Sessions that may break one after another before the rest is left undone.
const BROKEN_MAX: u32 = 5;
/// Octets of the reply to AUTH at most.
const AUTH_REPLY_OCTETS_MAX: usize = 4 * 1024;

/// Sends messages as long as there are any.
pub(super) async fn drive_sessions(job: Arc<Job>) -> Report {
    let mut report = Report::new(0);
    let mut broken = 0;
    let mut next = job.take();
    while let Some(number) = next {
        match drive_session(&job, number, &mut report).await {
            Ok(following) => {
                broken = 0;
                next = following;
            }
            Err(error) => {
                report.complain(format_args!("{error:#}"));
                broken += 1;
                if broken >= BROKEN_MAX {
                    return report;
                }
                next = job.take();
            }
        }
    }
    report
}

/// One session, beginning with message `number`. Returns the number that its follower begins with.
async fn drive_session(job: &Job, number: u64, report: &mut Report) -> anyhow::Result<Option<u64>> {
    let mut session = Session::open(&job.target).await?;
    report.sessions += 1;
    let mut sent = 0;
    let mut next = Some(number);
    while let Some(number) = next {
        let usable = session.send(job, number, report).await?;
        sent += 1;
        next = job.take();
        if !usable || sent >= job.options.per_session.max(1) {
            break;
        }
    }
    session.quit().await;
    Ok(next)
}

/// One open session.
pub(crate) struct Session {
    stream: Connection,
    client: Client,
    input: BytesMut,
    output: Vec<u8>,
}

impl Session {
    /// Connects, says EHLO and authenticates where that is wanted.
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Session> {
        let stream =
            connect(target).await.with_context(|| format!("can not connect to {}", target.address))?;
        stream.set_nodelay(true)?;
        let mut settings = ClientSettings { lmtp: target.lmtp, ..ClientSettings::new("send.example") };
        let mut stream: Connection = Box::new(stream);
        match &target.tls {
            Some(tls) if tls.start == TlsStart::Starttls => settings.starttls = UseStartTls::Always,
            Some(tls) => stream = tls.begin(stream, &target.host()).await?,
            None => {}
        }
        let mut session =
            Session { stream, client: Client::new(settings), input: BytesMut::new(), output: Vec::new() };
        session.greet(target).await?;
        if let Some(credentials) = &target.auth {
            session.authenticate(credentials).await?;
        }
        Ok(session)
    }

    /// Drives the machine until it has something to tell.
    async fn step(&mut self) -> anyhow::Result<ClientStep> {
        loop {
            let step = self.client.handle(&mut self.input)?;
            self.write_out().await?;
            if !matches!(step, ClientStep::NeedInput) {
                return Ok(step);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.input.reserve(READ_OCTETS);
        let count = timeout(ANSWER_MAX, self.stream.read_buf(&mut self.input))
            .await
            .context("no answer in time")??;
        if count == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }

    async fn write_out(&mut self) -> anyhow::Result<()> {
        while let Some(output) = self.client.poll_output() {
            let octets = output.into_bytes();
            if self.output.len() + octets.len() > GATHER_OCTETS_MAX {
                self.flush().await?;
            }
            if octets.len() > GATHER_OCTETS_MAX {
                timeout(ANSWER_MAX, self.stream.write_all(&octets))
                    .await
                    .context("the server does not read")??;
            } else {
                self.output.extend_from_slice(&octets);
            }
        }
        self.flush().await
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.output.is_empty() {
            timeout(ANSWER_MAX, self.stream.write_all(&self.output))
                .await
                .context("the server does not read")??;
            // A protected stream may keep what it was given.
            self.stream.flush().await?;
            self.output.clear();
        }
        Ok(())
    }

    /// From the greeting to where mail can be sent, through STARTTLS where that is wanted.
    async fn greet(&mut self, target: &Target) -> anyhow::Result<()> {
        let Some(tls) = &target.tls else { return self.wait_until_ready().await };
        if tls.start == TlsStart::Starttls {
            match self.step().await? {
                ClientStep::StartTls => {}
                ClientStep::NoStartTls => bail!("the server offers no STARTTLS"),
                ClientStep::Refused(phase, reply) => bail!("refused in phase {phase}: {reply}"),
                step => bail!("the session is out of step: {step:?}"),
            }
            let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
            self.stream = tls.begin(stream, &target.host()).await?;
            self.input.clear();
            self.client.protect();
        }
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        match self.step().await? {
            ClientStep::Ready => Ok(()),
            ClientStep::Refused(phase, reply) => bail!("refused in phase {phase}: {reply}"),
            ClientStep::Closing(reply) => bail!("closing: {reply}"),
            step => bail!("the session is out of step: {step:?}"),
        }
    }

    /// AUTH PLAIN with an initial response (RFC 4954 4, RFC 4616 2).
    async fn authenticate(&mut self, credentials: &str) -> anyhow::Result<()> {
        let (name, password) = credentials.split_once(':').context("--auth: write NAME:PASSWORD")?;
        let response = base64::engine::general_purpose::STANDARD.encode(format!("\0{name}\0{password}"));
        self.output.extend_from_slice(format!("AUTH PLAIN {response}\r\n").as_bytes());
        self.flush().await?;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let line =
                    String::from_utf8_lossy(self.input.get(..end).unwrap_or_default()).trim_end().to_owned();
                self.input.advance(end + 1);
                if line.starts_with("235 ") {
                    return Ok(());
                }
                bail!("not authenticated: {line}");
            }
            if self.input.len() > AUTH_REPLY_OCTETS_MAX {
                bail!("the reply to AUTH is too long");
            }
            self.read().await?;
        }
    }

    /// Carries one message over.
    pub(crate) async fn transact(&mut self, transaction: Transaction) -> anyhow::Result<TransactionResult> {
        self.client.send(transaction)?;
        self.write_out().await?;
        match self.step().await? {
            ClientStep::Finished(result) => Ok(result),
            ClientStep::Closing(reply) => bail!("closing: {reply}"),
            step => bail!("the session is out of step: {step:?}"),
        }
    }

    /// Sends one message. False: this session can take no more.
    async fn send(&mut self, job: &Job, number: u64, report: &mut Report) -> anyhow::Result<bool> {
        let recipients = job.recipients(number)?;
        let first = recipients.first().map(ToString::to_string).unwrap_or_default();
        let sender = job.options.from.as_str();
        let message = job.source.message(number, sender, &first, SystemClock.unix_micros());
        let addresses = recipients.iter().chain(job.sender.mailbox());
        let smtputf8 = message.utf8_header || addresses.into_iter().any(baton_mail::Mailbox::needs_smtputf8);
        let size = message.body.len();
        let transaction = Transaction {
            sender: job.sender.clone(),
            recipients,
            body: message.body,
            eight_bit: message.eight_bit,
            binary: false,
            smtputf8,
            size,
            requests: Requests::default(),
        };
        let began = Instant::now();
        let result = self.transact(transaction).await?;
        let mut taken = None;
        for recipient in result.recipients {
            match recipient {
                RecipientResult::Accepted(reply) => taken = Some(reply),
                RecipientResult::Refused { reply, .. } => refuse(report, &reply),
                RecipientResult::Incapable { text, .. } => {
                    report.recipients_refused += 1;
                    report.complain(text);
                }
            }
        }
        if let Some(reply) = taken {
            report.accept(&message.class, began.elapsed());
            report.last_reply = Some(reply.to_string());
        }
        if result.connection_usable {
            self.wait_until_ready().await?;
        }
        Ok(result.connection_usable)
    }

    /// Says goodbye. What goes wrong now harms nothing.
    pub(crate) async fn quit(mut self) {
        self.client.quit();
        if self.write_out().await.is_ok() {
            let _ = self.step().await;
        }
    }
}

async fn connect(target: &Target) -> anyhow::Result<TcpStream> {
    let socket = if target.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(local) = target.local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    Ok(timeout(ANSWER_MAX, socket.connect(target.address)).await??)
}

fn refuse(report: &mut Report, reply: &Reply) {
    report.recipients_refused += 1;
    report.complain(reply);
}
