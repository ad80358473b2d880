//! A driver of the server machine in memory: it says yes, except where it was told otherwise.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use baton_mail::{EnhancedCode, Reply};
use baton_smtp::server::{Answer, Question, RcptPath, Server, ServerSettings, Step, Wish};
use bytes::{Bytes, BytesMut};

/// A message that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) content: Bytes,
}

/// One session.
pub(crate) struct Driver {
    pub(crate) server: Server,
    pub(crate) input: BytesMut,
    pub(crate) output: Vec<u8>,
    pub(crate) closed: bool,
    pub(crate) messages: VecDeque<Message>,
    /// What holds after STARTTLS; the handshake is left out.
    pub(crate) protected: Option<Arc<ServerSettings>>,
    /// What holds after XCLIENT.
    pub(crate) restarted: Option<Arc<ServerSettings>>,
    /// The transaction in progress, as a driver keeps it.
    draft: Option<(String, Vec<String>)>,
    refusals: HashMap<String, VecDeque<(Reply, bool)>>,
}

impl Driver {
    pub(crate) fn new(server: Server) -> Driver {
        Driver {
            server,
            input: BytesMut::new(),
            output: Vec::new(),
            closed: false,
            messages: VecDeque::new(),
            protected: None,
            restarted: None,
            draft: None,
            refusals: HashMap::new(),
        }
    }

    /// The next answer to that question is this.
    pub(crate) fn refuse_next(&mut self, question: &str, reply: Reply, closes: bool) {
        self.refusals.entry(question.to_owned()).or_default().push_back((reply, closes));
    }

    /// Takes input as one read and goes on until the machine waits.
    pub(crate) fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        loop {
            match self.server.handle(&mut self.input, &mut self.output) {
                Step::NeedInput => return,
                Step::StartTls => {
                    assert!(self.input.is_empty(), "nothing in plain text outlives STARTTLS");
                    let settings = self.protected.clone().expect("the dialogue allows STARTTLS");
                    self.server.protect(settings);
                }
                Step::Restart => {
                    let settings = self.restarted.clone().expect("the dialogue allows XCLIENT");
                    self.server.restart(settings);
                    self.server.greet(&mut self.output);
                }
                Step::Close => {
                    self.closed = true;
                    self.draft = None;
                    return;
                }
                Step::Ask(question) => {
                    let answer = self.answer(question);
                    self.server.answer(answer, &mut self.output).expect("the driver answers what was asked");
                }
            }
        }
    }

    /// Takes the next line of the output.
    pub(crate) fn next_reply(&mut self) -> Option<String> {
        let end = self.output.windows(2).position(|pair| pair == b"\r\n")?;
        let line: Vec<u8> = self.output.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    fn answer(&mut self, question: Question) -> Answer {
        let kind = match &question {
            Question::Helo { .. } => "helo",
            Question::Auth { .. } | Question::AuthMessage { .. } => "auth",
            Question::StartTls => "starttls",
            Question::XClient(_) => "xclient",
            Question::Mail { .. } => "mail",
            Question::Rcpt { .. } => "rcpt",
            Question::Verify { .. } => "verify",
            Question::Data => "data",
            Question::Message { .. } => "message",
            Question::Reset => "reset",
        };
        if let Some((reply, closes)) = self.refusals.get_mut(kind).and_then(VecDeque::pop_front) {
            if matches!(kind, "data" | "message") {
                self.draft = None;
            }
            return if closes { Answer::Disconnect(reply) } else { Answer::Refuse(reply) };
        }
        self.agree(question)
    }

    fn agree(&mut self, question: Question) -> Answer {
        match question {
            Question::Auth { user, password, .. } if user == "tim" && password == "tanstaaf" => {
                Answer::Authenticated(user)
            }
            // A mechanism that makes of the first message a challenge, and takes one word for the second.
            Question::AuthMessage { is_first: true, message, .. } => {
                Answer::Challenge([b"again ", &message[..]].concat())
            }
            Question::AuthMessage { message, .. } if message == b"tim" => {
                Answer::Authenticated("tim".to_owned())
            }
            Question::Auth { .. } | Question::AuthMessage { .. } => {
                Answer::Refuse(Reply::new(535, EnhancedCode(5, 7, 8), "wrong"))
            }
            Question::Mail { sender, .. } => {
                assert!(self.draft.is_none(), "the machine began a transaction inside another");
                self.draft = Some((sender.to_string(), Vec::new()));
                Answer::Proceed
            }
            Question::Rcpt { recipient, .. } => {
                let recipient = match recipient {
                    RcptPath::Postmaster => "postmaster".to_owned(),
                    RcptPath::Mailbox(mailbox) => mailbox.to_string(),
                };
                if recipient.starts_with("unknown@") {
                    return Answer::Refuse(Reply::new(550, EnhancedCode(5, 1, 1), "no such user"));
                }
                self.draft.as_mut().expect("RCPT belongs to a transaction").1.push(recipient);
                Answer::Proceed
            }
            Question::Message { content, .. } => {
                let (sender, recipients) = self.draft.take().expect("a message belongs to a transaction");
                assert_eq!(recipients.len(), self.server.recipients());
                let replies = self.replies(recipients.len());
                self.messages.push_back(Message { sender, recipients, content });
                replies
            }
            Question::Reset => {
                assert!(self.draft.take().is_some(), "only a transaction can be reset");
                Answer::Proceed
            }
            Question::Verify { mailbox, wish: Wish::Verify } => match mailbox {
                RcptPath::Mailbox(mailbox) => {
                    Answer::ProceedSaying(Reply::new(250, EnhancedCode(2, 1, 5), format!("<{mailbox}>")))
                }
                RcptPath::Postmaster => Answer::Proceed,
            },
            Question::Verify { wish: Wish::Expand, .. } => Answer::ProceedSaying(Reply::from_lines(
                250,
                Some(EnhancedCode(2, 1, 5)),
                ["<one@b.example>", "<two@b.example>"],
            )),
            Question::Helo { .. } | Question::Data | Question::StartTls | Question::XClient(_) => {
                Answer::Proceed
            }
        }
    }

    /// One reply, or one for each recipient in LMTP, which the machine would not take from SMTP.
    fn replies(&mut self, recipients: usize) -> Answer {
        let count = if self.server.is_lmtp() { recipients } else { 1 };
        Answer::Done(vec![Reply::new(250, EnhancedCode(2, 0, 0), "queued"); count].into())
    }
}

/// Reads `550 5.1.1 text`.
pub(crate) fn reply_of(text: &str) -> Reply {
    let mut parts = text.splitn(3, ' ');
    let code = parts.next().and_then(|code| code.parse().ok()).expect("a code");
    let enhanced = parts.next().and_then(|code| code.parse().ok()).expect("an enhanced code");
    Reply::new(code, enhanced, parts.next().unwrap_or_default())
}
