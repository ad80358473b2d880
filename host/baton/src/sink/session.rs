//! One session of the sink: drives the protocol machine over a socket and answers its questions.

use std::sync::Arc;

use baton_mail::{Clock, EnhancedCode, Reply};
use baton_smtp::server::{Answer, Question, RcptPath, Server, ServerPhase, Step};
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::rules::{Instead, Phase};
use super::storage::StoredEnvelope;
use crate::cli::TlsStart;

/// Octets that one read takes between commands, and within content.
const READ_COMMAND_OCTETS: usize = 8 * 1024;
const READ_CONTENT_OCTETS: usize = 64 * 1024;

/// Serves one connection to its end. What breaks it ends it: the client notices.
pub(super) async fn drive_session(stream: TcpStream, shared: Arc<Shared>) {
    // Replies are small and waited for.
    let _ = stream.set_nodelay(true);
    shared.tally.connected();
    let server = Server::new(shared.settings.clone());
    let mut session =
        Session { shared, server, helo: String::new(), sender: String::new(), recipients: Vec::new() };
    let _ = session.serve(stream).await;
}

struct Session {
    shared: Arc<Shared>,
    server: Server,
    helo: String,
    sender: String,
    recipients: Vec<String>,
}

/// What the driver does after a question.
enum Next {
    Answer(Answer),
    Close,
}

/// How a part of a session ended.
enum End {
    Closed,
    /// The client wants the handshake.
    StartTls,
}

impl Session {
    /// The session, with the handshake at its beginning or where the client wants it.
    async fn serve(&mut self, mut stream: TcpStream) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let Some(tls) = &shared.tls else { return self.converse(&mut stream).await.map(drop) };
        if tls.start == TlsStart::Implicit {
            let mut stream = tls.begin(stream).await.map_err(std::io::Error::other)?;
            return self.converse(&mut stream).await.map(drop);
        }
        if let End::StartTls = self.converse(&mut stream).await? {
            let mut stream = tls.begin(stream).await.map_err(std::io::Error::other)?;
            self.server.protect(shared.settings.clone());
            self.drive(&mut stream, Vec::new()).await?;
        }
        Ok(())
    }

    async fn converse(&mut self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<End> {
        let mut output = Vec::new();
        if self.greet(&mut output).await { self.drive(stream, output).await } else { Ok(End::Closed) }
    }

    async fn drive(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        mut output: Vec<u8>,
    ) -> std::io::Result<End> {
        let mut input = BytesMut::new();
        loop {
            match self.server.handle(&mut input, &mut output) {
                Step::NeedInput => {
                    write_out(stream, &mut output).await?;
                    let content = matches!(self.server.phase(), ServerPhase::Data | ServerPhase::Chunk);
                    input.reserve(if content { READ_CONTENT_OCTETS } else { READ_COMMAND_OCTETS });
                    if stream.read_buf(&mut input).await? == 0 {
                        return Ok(End::Closed);
                    }
                }
                Step::Ask(question) => match self.decide(question).await {
                    Next::Answer(answer) => {
                        self.server.answer(answer, &mut output).map_err(std::io::Error::other)?
                    }
                    Next::Close => return Ok(End::Closed),
                },
                Step::StartTls => {
                    write_out(stream, &mut output).await?;
                    return Ok(End::StartTls);
                }
                // A sink offers no XCLIENT, so the machine never begins anew.
                Step::Restart | Step::Close => {
                    write_out(stream, &mut output).await?;
                    return Ok(End::Closed);
                }
            }
        }
    }

    /// False: a rule closed the connection.
    async fn greet(&mut self, output: &mut Vec<u8>) -> bool {
        match self.instead(Phase::Connect, "").await {
            Some(Instead { close: true, .. }) => return false,
            Some(Instead { reply: Some(reply), .. }) => self.server.refuse(&reply, output),
            _ => self.server.greet(output),
        }
        true
    }

    /// What the rules say at this point, after their delay.
    async fn instead(&self, phase: Phase, recipient: &str) -> Option<Instead> {
        if self.shared.rules.is_empty() {
            return None;
        }
        let instead = self.shared.rules.find(phase, &self.sender, recipient)?.clone();
        if !instead.delay.is_zero() {
            tokio::time::sleep(instead.delay).await;
        }
        Some(instead)
    }

    async fn decide(&mut self, question: Question) -> Next {
        match question {
            Question::Helo { name } => {
                self.helo = name;
                self.by_rule(Phase::Helo, "").await
            }
            Question::Mail { sender, .. } => {
                self.sender = sender.to_string();
                self.recipients.clear();
                self.by_rule(Phase::Mail, "").await
            }
            Question::Rcpt { recipient, .. } => self.decide_recipient(recipient).await,
            Question::Data => self.by_rule(Phase::Data, "").await,
            Question::Message { content, .. } => self.decide_message(content).await,
            Question::Auth { .. } | Question::AuthMessage { .. } => {
                Next::Answer(Answer::Refuse(Reply::new(502, EnhancedCode(5, 5, 1), "a sink knows nobody")))
            }
            Question::Reset | Question::StartTls | Question::XClient(_) | Question::Verify { .. } => {
                Next::Answer(Answer::Proceed)
            }
        }
    }

    async fn decide_recipient(&mut self, recipient: RcptPath) -> Next {
        let recipient = match recipient {
            RcptPath::Postmaster => "postmaster".to_owned(),
            RcptPath::Mailbox(mailbox) => mailbox.to_string(),
        };
        let next = self.by_rule(Phase::Rcpt, &recipient).await;
        if matches!(next, Next::Answer(Answer::Proceed)) {
            self.recipients.push(recipient);
        }
        next
    }

    async fn by_rule(&mut self, phase: Phase, recipient: &str) -> Next {
        match self.instead(phase, recipient).await {
            Some(Instead { close: true, .. }) => Next::Close,
            Some(Instead { reply: Some(reply), .. }) => {
                self.shared.tally.refused();
                Next::Answer(Answer::Refuse(reply))
            }
            _ => Next::Answer(Answer::Proceed),
        }
    }

    /// One reply, or with LMTP one for each recipient; the message counts when any of them is positive.
    async fn decide_message(&mut self, content: Bytes) -> Next {
        let mut replies: SmallVec<[Reply; 1]> = SmallVec::new();
        let mut taken = Vec::new();
        let recipients = std::mem::take(&mut self.recipients);
        let lmtp = self.shared.settings.lmtp;
        let answered = if lmtp { recipients.clone() } else { vec![recipients.join(",")] };
        for recipient in &answered {
            match self.instead(Phase::Message, recipient).await {
                Some(Instead { close: true, .. }) => return Next::Close,
                Some(Instead { reply: Some(reply), .. }) => {
                    self.shared.tally.refused();
                    replies.push(reply);
                }
                _ => {
                    taken.push(recipient.clone());
                    replies.push(Reply::new(250, EnhancedCode(2, 0, 0), "taken"));
                }
            }
        }
        let taken = if lmtp || taken.is_empty() { taken } else { recipients };
        if !taken.is_empty() && self.keep(taken, content).await.is_err() {
            let failed = Reply::new(451, EnhancedCode(4, 3, 0), "the sink can not store it");
            replies.iter_mut().for_each(|reply| *reply = failed.clone());
        }
        Next::Answer(Answer::Done(replies))
    }

    async fn keep(&mut self, recipients: Vec<String>, content: Bytes) -> anyhow::Result<()> {
        let shared = &self.shared;
        let count = recipients.len();
        if let Some(storage) = &shared.storage {
            let envelope = StoredEnvelope {
                sender: self.sender.clone(),
                recipients,
                helo: self.helo.clone(),
                at_ms: shared.clock.now().0,
                size: content.len(),
            };
            storage.store(envelope, content.clone()).await?;
        }
        let messages = shared.tally.message(count, &content, shared.clock.unix_micros());
        if shared.until.is_some_and(|until| messages >= until) {
            shared.enough.notify_one();
        }
        Ok(())
    }
}

async fn write_out(stream: &mut (impl AsyncWrite + Unpin), output: &mut Vec<u8>) -> std::io::Result<()> {
    if !output.is_empty() {
        stream.write_all(output).await?;
        // A protected stream may keep what it was given.
        stream.flush().await?;
        output.clear();
    }
    Ok(())
}
