//! One session: the driver around the protocol machine, and the answers to its questions.
//!
//! The machine says what it needs next; the driver reads, writes, keeps the deadlines, and asks the module of the
//! stage for an answer. A session sees one generation of plugins from its beginning to its end.

mod auth;
mod checks;
mod client;
mod conduct;
mod connect;
mod data;
mod draft;
mod leaving;
mod mail;
mod name;
mod null_mx;
mod overheard;
mod rcpt;
mod report;
mod returned;
mod sasl;
mod sign;
mod stream_rules;
mod submit;
mod suppressed;
mod tls;
mod track;
mod user;
mod verify;
mod wire;
mod xclient;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use baton_hooks::{Call, Generation, SessionFacts, SessionNotes};
use baton_mail::event::Decision;
use baton_mail::submission::Fault;
use baton_mail::{Origin, Protocol, Reply, SessionId};
use baton_smtp::server::{Answer, Mechanism, Question, RcptPath, Server, ServerPhase, Step, Wish, XClient};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::listener::{Listener, Place};
use crate::policy::{Deadlines, after};
use crate::replies::Refusal;
use crate::stream::Socket;
use crate::trace::Manner;
use crate::{ListenerKind, log};
use auth::User;
use conduct::Conduct;
use draft::Draft;
use mail::{MailCommand, Times};
use name::NameSearch;
pub use name::checked_name;
use overheard::Overheard;
use rcpt::Candidate;
use sasl::Exchange;
pub(crate) use submit::submit;
use wire::{Arrival, Wire, WriteFailure};

/// Runs a session to its end. `place` is its part of the connection limits.
pub(crate) async fn run(
    listener: Arc<Listener>,
    mut socket: Socket,
    peer: SocketAddr,
    shutdown: CancellationToken,
    mut place: Place,
) {
    let begun = Instant::now();
    let Some(peer) = client::learn_client(&listener, &mut socket, peer, &mut place).await else { return };
    let mut session = Session::new(listener, peer, begun, place);
    let mut wire = Wire::new(socket, shutdown, begun);
    log::opened(session.id, &session.listener.name, peer);
    let end = session.drive(&mut wire).await;
    session.show_end(end);
    if end == End::Unread {
        session.listener.deps.metrics.deadlines_passed.inc();
    }
    log::closed(session.id, end.as_str(), session.accepted);
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By QUIT, or by a reply that says so.
    Closed,
    /// The client closed or the connection broke.
    Gone,
    /// A deadline passed.
    Late,
    /// The client did not read its replies.
    Unread,
    /// The relay stops.
    Stopped,
    /// The TLS handshake failed.
    NoTls,
    /// The machine refused an answer: a defect.
    Misused,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Gone => "gone",
            End::Late => "deadline",
            End::Unread => "replies not read",
            End::Stopped => "stopped",
            End::NoTls => "no TLS",
            End::Misused => "defect",
        }
    }
}

impl From<WriteFailure> for End {
    fn from(failure: WriteFailure) -> End {
        match failure {
            WriteFailure::Broken => End::Gone,
            WriteFailure::Late => End::Unread,
        }
    }
}

/// All that is known of a session.
struct Session {
    listener: Arc<Listener>,
    place: Place,
    server: Server,
    id: SessionId,
    peer: SocketAddr,
    /// The client's address; an IPv4 client of an IPv6 socket has its IPv4 address.
    client: IpAddr,
    facts: Arc<SessionFacts>,
    notes: SessionNotes,
    generation: Arc<Generation>,
    begun: Instant,
    /// When the current generation was taken.
    generation_at: Instant,
    request: Request,
    /// When the session must be over because the relay stops.
    drained_at: Option<Instant>,
    /// The place of a TLS handshake, from STARTTLS to its end.
    handshake: Option<OwnedSemaphorePermit>,
    /// The transaction, from MAIL on.
    draft: Option<Box<Draft>>,
    /// What plugins did before the first transaction: part of every message's story.
    decisions: Vec<Decision>,
    name: NameSearch,
    conduct: Conduct,
    /// The account in the store that the client is.
    user: Option<User>,
    /// An AUTH of several messages that is under way.
    exchange: Option<Box<Exchange>>,
    /// What such an exchange can be bound to.
    channel_binding: Option<[u8; 32]>,
    auth_failures: u32,
    rejections_recorded: u32,
    accepted: u32,
    /// What the last refusal of the relay itself is about.
    fault: Fault,
    /// Shows the dialogue, while somebody looks on.
    overheard: Option<Box<Overheard>>,
}

/// The request at hand, which a deadline holds for: one command, or the content of one message or chunk.
struct Request {
    phase: ServerPhase,
    begun: Instant,
    octets: u64,
    is_new: bool,
}

impl Session {
    fn new(listener: Arc<Listener>, peer: SocketAddr, begun: Instant, place: Place) -> Session {
        let generation = listener.deps.hooks.load_full();
        let id = SessionId::random();
        let client = peer.ip().to_canonical();
        let mut server = Server::new(listener.server_settings(client, &generation, false, false));
        server.tell_time(listener.deps.clock.now());
        server.offer_xclient(listener.may_speak_for_others(client));
        let facts = SessionFacts::new(id, listener.name.clone(), client, peer.port());
        Session {
            request: Request { phase: server.phase(), begun, octets: 0, is_new: true },
            place,
            server,
            id,
            peer,
            client,
            facts: Arc::new(facts),
            notes: SessionNotes::default(),
            generation,
            begun,
            generation_at: begun,
            drained_at: None,
            handshake: None,
            draft: None,
            decisions: Vec::new(),
            name: NameSearch::NotAsked,
            conduct: Conduct::default(),
            user: None,
            exchange: None,
            channel_binding: None,
            auth_failures: 0,
            rejections_recorded: 0,
            accepted: 0,
            fault: Fault::default(),
            overheard: None,
            listener,
        }
    }

    /// The loop: let the machine work, answer its questions, write its replies, wait for the client.
    async fn drive(&mut self, wire: &mut Wire) -> End {
        if self.listener.is_implicit()
            && let Err(end) = self.begin_protected(wire).await
        {
            return end;
        }
        self.greet(wire).await;
        let mut end = End::Closed;
        loop {
            let replied = wire.output.len();
            let step = self.handle(wire);
            self.request.is_new |= wire.output.len() > replied || self.server.phase() != self.request.phase;
            match step {
                Step::NeedInput => match self.wait(wire).await {
                    Ok(()) => {}
                    Err(End::Late) => {
                        end = End::Late;
                        self.listener.deps.metrics.deadlines_passed.inc();
                        self.server.timeout(&mut wire.output);
                    }
                    Err(End::Stopped) => {
                        end = End::Stopped;
                        self.server.shut_down(&mut wire.output);
                    }
                    Err(other) => return other,
                },
                Step::Ask(question) => {
                    self.request.is_new = true;
                    let answer = self.answer(question, wire).await;
                    if let Err(misuse) = self.server.answer(answer, &mut wire.output) {
                        log::misused(self.id, &misuse);
                        return End::Misused;
                    }
                    if wire.output.len() > OUTPUT_OCTETS_MAX
                        && let Err(failure) = self.flush(wire).await
                    {
                        return failure;
                    }
                }
                Step::Restart => {
                    self.restart();
                    self.greet(wire).await;
                }
                Step::StartTls => {
                    if let Err(end) = self.flush(wire).await {
                        return end;
                    }
                    if let Err(end) = self.protect(wire).await {
                        return end;
                    }
                }
                Step::Close => return self.close(wire, end).await,
            }
        }
    }

    /// Writes what is to be written and waits for more input.
    async fn wait(&mut self, wire: &mut Wire) -> Result<(), End> {
        if self.drained_at.is_some() && self.draft.is_none() {
            return Err(End::Stopped);
        }
        self.account_content();
        self.hold_back(wire).await;
        self.flush(wire).await?;
        wire.release_input();
        wire.set_deadline(self.deadline());
        match wire.wait(self.drained_at.is_none()).await {
            Arrival::Octets(octets) => {
                self.request.octets = self.request.octets.saturating_add(octets as u64);
                Ok(())
            }
            Arrival::End | Arrival::Broken => Err(End::Gone),
            Arrival::Late if self.drained_at.is_some() => Err(End::Stopped),
            Arrival::Late => Err(End::Late),
            Arrival::Stop => {
                self.drained_at = Some(after(Instant::now(), self.listener.drain_s));
                Ok(())
            }
        }
    }

    async fn flush(&mut self, wire: &mut Wire) -> Result<(), End> {
        if wire.output.is_empty() {
            return Ok(());
        }
        self.note_written(wire);
        let write_s = self.listener.deps.policy.load().deadlines.write_s;
        Ok(wire.flush(after(Instant::now(), write_s)).await?)
    }

    /// The last replies, and a close which they survive.
    async fn close(&mut self, wire: &mut Wire, end: End) -> End {
        // After QUIT the client expects nothing and sends nothing (RFC 5321 4.1.1.10), so no reset threatens the reply.
        let is_quit = last_line(&wire.output).starts_with(b"221 ");
        if let Err(failure) = self.flush(wire).await {
            return failure;
        }
        if !is_quit {
            wire.linger().await;
        } else if wire.is_protected() {
            wire.finish().await;
        }
        end
    }

    /// Until when the next octets must have come. Only a finished request begins a new one.
    fn deadline(&mut self) -> Instant {
        let now = Instant::now();
        if std::mem::take(&mut self.request.is_new) {
            self.request = Request { phase: self.server.phase(), begun: now, octets: 0, is_new: false };
        }
        let deadlines = self.listener.deps.policy.load().deadlines;
        let session_s = match self.draft {
            Some(_) => deadlines.session_s.saturating_add(deadlines.transaction_s),
            None => deadlines.session_s,
        };
        let due = self.request.due(now, &deadlines).min(after(self.begun, session_s));
        self.drained_at.map_or(due, |drained_at| due.min(drained_at))
    }

    /// Answers a question of the machine: at once where nothing must be waited for, which is the rule.
    async fn answer(&mut self, question: Question, wire: &mut Wire) -> Answer {
        let slow = match self.answer_at_once(question) {
            Ok(answer) => return answer,
            Err(slow) => slow,
        };
        let due = self.answer_due();
        // Boxed, so that an idle session does not carry the room of its largest call.
        match wire.bound(due, Box::pin(self.answer_slowly(slow))).await {
            Some(answer) => answer,
            None => Answer::Disconnect(Refusal::Late.reply()),
        }
    }

    /// Until when an answer must be found.
    fn answer_due(&self) -> Instant {
        after(Instant::now(), self.listener.deps.policy.load().deadlines.answer_s)
    }

    fn answer_at_once(&mut self, question: Question) -> Result<Answer, Slow> {
        match question {
            Question::Helo { name } => {
                Arc::make_mut(&mut self.facts).helo = Some(name);
                Ok(Answer::Proceed)
            }
            Question::Auth { mechanism, user, password } => Err(Slow::Auth { mechanism, user, password }),
            Question::AuthMessage { mechanism, is_first, message } => {
                Err(Slow::AuthMessage { mechanism, is_first, message })
            }
            Question::StartTls => Ok(self.answer_starttls()),
            Question::XClient(told) => Err(Slow::XClient(told)),
            Question::Mail { sender, size, eight_bit, binary, smtputf8, requests, hold, by, parameters } => {
                self.mail_at_once(MailCommand {
                    sender,
                    size: size.unwrap_or(0),
                    eight_bit,
                    binary,
                    smtputf8,
                    requests,
                    times: Times { hold, by },
                    parameters,
                })
            }
            Question::Rcpt { recipient, requests, parameters } => {
                self.rcpt_at_once(recipient, requests, parameters)
            }
            Question::Verify { mailbox, wish } => Err(Slow::Verify(mailbox, wish)),
            Question::Data => Ok(self.answer_data()),
            Question::Message { content, .. } => Err(Slow::Message(content)),
            Question::Reset => match self.server.refused_content() {
                Some(reply) => Err(Slow::Refused(reply)),
                None => {
                    self.draft = None;
                    Ok(Answer::Proceed)
                }
            },
        }
    }

    async fn answer_slowly(&mut self, slow: Slow) -> Answer {
        match slow {
            Slow::Auth { mechanism, user, password } => self.answer_auth(mechanism, &user, password).await,
            Slow::AuthMessage { mechanism, is_first, message } => {
                self.answer_auth_message(mechanism, is_first, &message).await
            }
            Slow::XClient(told) => self.answer_xclient(*told).await,
            Slow::Mail(command) => self.answer_mail(command).await,
            Slow::MailRefused(command, refused) => self.refuse_mail(command, refused).await,
            Slow::Rcpt(candidate) => self.answer_rcpt(candidate).await,
            Slow::Verify(mailbox, wish) => self.answer_verify(mailbox, wish).await,
            Slow::Message(content) => self.answer_message(content).await,
            Slow::Refused(reply) => self.note_refused(reply).await,
        }
    }

    /// Where the client and its messages come from.
    fn origin(&self, smtputf8: bool) -> Origin {
        let manner = Manner {
            lmtp: self.listener.kind == ListenerKind::Lmtp,
            esmtp: self.server.is_esmtp(),
            protected: self.facts.tls.is_some(),
            authenticated: self.facts.account.is_some(),
            smtputf8,
        };
        let name = match (&self.user, &self.facts.tls) {
            (Some(user), Some(_)) if user.is_program => "HTTPS".to_owned(),
            (Some(user), None) if user.is_program => "HTTP".to_owned(),
            _ => manner.protocol_name(),
        };
        Origin {
            session: Some(self.id),
            listener: self.listener.name.clone(),
            client: Some(self.client),
            client_port: self.peer.port(),
            helo: self.facts.helo.clone(),
            account: self.facts.account.clone(),
            protocol: Protocol { name, tls: self.facts.tls.clone() },
        }
    }

    /// What plugins see of this session; without a transaction.
    fn call(&self) -> Call {
        Call::new(self.facts.clone(), self.notes.clone())
    }

    /// Counts a refusal.
    fn count_rejection(&self, stage: &'static str, reply: &Reply) {
        self.listener.deps.metrics.count_rejection(stage, reply.is_permanent());
    }
}

/// What can not be answered at once, because somebody must be waited for.
enum Slow {
    Auth {
        mechanism: Mechanism,
        user: String,
        password: String,
    },
    AuthMessage {
        mechanism: Mechanism,
        is_first: bool,
        message: Vec<u8>,
    },
    XClient(Box<XClient>),
    Mail(MailCommand),
    MailRefused(MailCommand, mail::Refused),
    Rcpt(Candidate),
    Verify(RcptPath, Wish),
    Message(Bytes),
    /// The machine refused the content with this reply: the history wants to know.
    Refused(Reply),
}

impl Request {
    /// Content may take its fixed time plus what its lowest rate allows for; a command its fixed time.
    fn due(&self, now: Instant, deadlines: &Deadlines) -> Instant {
        match self.phase {
            ServerPhase::Data | ServerPhase::Chunk => {
                let earned_s = self.octets / deadlines.data_octets_per_s.max(1);
                let allowed = after(self.begun, deadlines.data_s.saturating_add(earned_s));
                allowed.min(after(now, deadlines.data_s))
            }
            _ => after(self.begun, deadlines.command_s),
        }
    }
}

/// The last line of a batch of replies.
fn last_line(replies: &[u8]) -> &[u8] {
    let line = replies.strip_suffix(b"\r\n").unwrap_or(replies);
    line.rsplit(|octet| *octet == b'\n').next().unwrap_or_default()
}

/// Who decided, when it was no plugin.
const RULES: &str = "relay";
/// Replies are written before they pile up beyond this, in octets.
const OUTPUT_OCTETS_MAX: usize = 16 << 10;

/// Octets of the task of one session, with everything that it holds by value.
#[cfg(test)]
pub(crate) fn task_octets() -> usize {
    fn size<A, B, C, D, E, F: Future>(_task: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }
    size(run)
}
