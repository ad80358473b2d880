//! One transaction: what is sent when, and what each reply means.

use std::io::Write;

use baton_mail::requests::RecipientRequests;
use baton_mail::{Body, Mailbox, Phase, Reply, ReversePath};

use super::reply::ProtocolError;
use super::{
    Capabilities, ClientPhase, ClientSettings, RecipientResult, Transaction, TransactionResult, Wire,
};
use crate::stuffing::{Stuffed, is_clean};

/// Octets of a body that are sent before the peer has accepted a recipient.
const EAGER_BODY_OCTETS_MAX: u64 = 256 * 1024;

/// A transaction in progress.
#[derive(Debug)]
pub(super) struct Delivery {
    recipients: Vec<Mailbox>,
    /// The parameters of each RCPT, each with a blank before it; none when nobody has any.
    parameters: Vec<String>,
    results: Vec<Option<RecipientResult>>,
    /// Recipients that RCPT accepted.
    accepted: Vec<usize>,
    mail_refusal: Option<Reply>,
    plan: Plan,
    await_: Await,
    body: Option<Body>,
    lmtp: bool,
    /// Only asks whether the recipients would be accepted: nothing follows RCPT but RSET.
    is_question: bool,
}

/// How the octets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// All commands at once (RFC 2920).
    pipelined: bool,
    /// BDAT instead of DATA (RFC 3030).
    chunked: bool,
    /// DATA, or BDAT with the body, is among the pipelined commands.
    eager: bool,
}

/// Which reply comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Await {
    Mail,
    Rcpt(usize),
    DataStart,
    /// The answer to the message; in LMTP the one for the nth accepted recipient.
    Final(usize),
    /// The answer to an empty message that was sent because 354 came although nobody was accepted.
    LoneDot,
}

/// What a reply led to.
pub(super) enum Progress {
    Waiting(Delivery),
    SendBody(Delivery, Wire),
    Finished {
        result: TransactionResult,
        needs_reset: bool,
    },
    Closing {
        result: TransactionResult,
        reply: Reply,
    },
    /// The reply makes no sense; the delivery still knows what is final.
    Broken(Delivery, ProtocolError),
}

impl Delivery {
    /// Writes the first commands, and gives the body when it goes out with them.
    pub(super) fn begin(
        transaction: Transaction,
        settings: &ClientSettings,
        capabilities: &Capabilities,
        commands: &mut Vec<u8>,
    ) -> (Delivery, Option<Wire>) {
        let pipelined = settings.pipelining && capabilities.pipelining;
        // BDAT sends octets as they are, so a body with lone line ends goes out by DATA, where they are mended.
        // Such content goes to a peer that asked for it and by BDAT, or not at all.
        let chunked =
            transaction.binary || (settings.chunking && capabilities.chunking && is_clean(&transaction.body));
        let eager = pipelined && (!chunked || transaction.body.len() <= EAGER_BODY_OCTETS_MAX);
        write_mail(&transaction, capabilities, commands);
        let mut delivery = Delivery {
            parameters: rcpt_parameters(&transaction.requests.recipients, capabilities),
            results: vec![None; transaction.recipients.len()],
            accepted: Vec::with_capacity(transaction.recipients.len()),
            recipients: transaction.recipients,
            mail_refusal: None,
            plan: Plan { pipelined, chunked, eager },
            await_: Await::Mail,
            body: Some(transaction.body),
            lmtp: settings.lmtp,
            is_question: false,
        };
        delivery.write_rcpts(commands);
        let wire = if eager { delivery.write_data(commands) } else { None };
        (delivery, wire)
    }

    /// Writes the first commands of a question: it ends before any content.
    pub(super) fn begin_question(
        question: Transaction,
        settings: &ClientSettings,
        capabilities: &Capabilities,
        commands: &mut Vec<u8>,
    ) -> Delivery {
        let pipelined = settings.pipelining && capabilities.pipelining;
        write_mail(&question, capabilities, commands);
        let delivery = Delivery {
            parameters: Vec::new(),
            results: vec![None; question.recipients.len()],
            accepted: Vec::new(),
            recipients: question.recipients,
            mail_refusal: None,
            plan: Plan { pipelined, chunked: false, eager: false },
            await_: Await::Mail,
            body: None,
            lmtp: settings.lmtp,
            is_question: true,
        };
        delivery.write_rcpts(commands);
        delivery
    }

    /// With PIPELINING, all RCPT commands follow MAIL at once (RFC 2920 3.1).
    fn write_rcpts(&self, commands: &mut Vec<u8>) {
        if self.plan.pipelined {
            for index in 0..self.recipients.len() {
                self.write_rcpt(index, commands);
            }
        }
    }

    fn write_rcpt(&self, index: usize, commands: &mut Vec<u8>) {
        let Some(recipient) = self.recipients.get(index) else { return };
        let parameters = self.parameters.get(index).map_or("", String::as_str);
        write_to(commands, format_args!("RCPT TO:<{recipient}>{parameters}\r\n"));
    }

    /// DATA, or BDAT together with the body.
    fn write_data(&mut self, commands: &mut Vec<u8>) -> Option<Wire> {
        if !self.plan.chunked {
            commands.extend_from_slice(b"DATA\r\n");
            return None;
        }
        let body = self.body.take().unwrap_or_default();
        write_to(commands, format_args!("BDAT {} LAST\r\n", body.len()));
        Some(Wire::Plain(body.pieces().to_vec().into_iter()))
    }

    /// One reply. `body_is_out` is false while octets of the body wait to be written.
    pub(super) fn handle(mut self, reply: Reply, commands: &mut Vec<u8>, body_is_out: bool) -> Progress {
        if reply.code() == 421 {
            return self.close(reply);
        }
        if !self.expects_class(&reply) {
            return Progress::Broken(self, ProtocolError::Unexpected(reply.code()));
        }
        match self.await_ {
            Await::Mail => self.handle_mail(reply, commands),
            Await::Rcpt(index) => self.handle_rcpt(index, reply, commands),
            Await::DataStart => self.handle_data_start(reply),
            Await::LoneDot => self.finish(true, false),
            Await::Final(index) => {
                let is_last = !self.lmtp || index + 1 >= self.accepted.len();
                let needs_reset = self.plan.chunked && self.needs_reset_after_chunk(&reply);
                self.handle_final(index, &reply);
                if is_last {
                    return self.finish(body_is_out, needs_reset);
                }
                self.await_ = Await::Final(index + 1);
                Progress::Waiting(self)
            }
        }
    }

    /// 2xx, 4xx and 5xx are answers to MAIL, RCPT and a message; 3xx, 4xx and 5xx to DATA.
    fn expects_class(&self, reply: &Reply) -> bool {
        let is_intermediate = reply.code() / 100 == 3;
        match self.await_ {
            Await::DataStart => !reply.is_positive(),
            Await::Mail | Await::Rcpt(_) | Await::Final(_) | Await::LoneDot => !is_intermediate,
        }
    }

    fn handle_mail(mut self, reply: Reply, commands: &mut Vec<u8>) -> Progress {
        if !reply.is_positive() {
            self.mail_refusal = Some(reply);
            if !self.plan.pipelined {
                return self.finish(true, false);
            }
        } else if !self.plan.pipelined {
            self.write_rcpt(0, commands);
        }
        self.await_ = Await::Rcpt(0);
        Progress::Waiting(self)
    }

    fn handle_rcpt(mut self, index: usize, reply: Reply, commands: &mut Vec<u8>) -> Progress {
        // A yes to RCPT after a no to MAIL is worth nothing.
        match (&self.mail_refusal, reply.is_positive()) {
            (Some(refusal), _) => {
                let reply = refusal.clone();
                self.set(index, RecipientResult::Refused { phase: Phase::Mail, reply });
            }
            (None, true) if self.is_question => self.set(index, RecipientResult::Accepted(reply)),
            (None, true) => self.accepted.push(index),
            (None, false) => self.set(index, RecipientResult::Refused { phase: Phase::Rcpt, reply }),
        }
        if index + 1 < self.recipients.len() {
            if !self.plan.pipelined {
                self.write_rcpt(index + 1, commands);
            }
            self.await_ = Await::Rcpt(index + 1);
            return Progress::Waiting(self);
        }
        self.handle_last_rcpt(commands)
    }

    /// All recipients are answered.
    fn handle_last_rcpt(mut self, commands: &mut Vec<u8>) -> Progress {
        if !self.plan.eager && self.accepted.is_empty() {
            let needs_reset = self.mail_refusal.is_none();
            return self.finish(true, needs_reset);
        }
        self.await_ = if self.plan.chunked { Await::Final(0) } else { Await::DataStart };
        if self.plan.eager {
            return Progress::Waiting(self);
        }
        match self.write_data(commands) {
            Some(wire) => Progress::SendBody(self, wire),
            None => Progress::Waiting(self),
        }
    }

    fn handle_data_start(mut self, reply: Reply) -> Progress {
        if reply.code() / 100 == 3 {
            // The peer waits for content even when it accepted nobody: then an empty message ends it (RFC 2920 3.1).
            let is_wanted = !self.accepted.is_empty();
            self.await_ = if is_wanted { Await::Final(0) } else { Await::LoneDot };
            let body = if is_wanted { self.body.take().unwrap_or_default() } else { Body::default() };
            return Progress::SendBody(self, Wire::Stuffed(Stuffed::new(body)));
        }
        for index in std::mem::take(&mut self.accepted) {
            self.set(index, RecipientResult::Refused { phase: Phase::Data, reply: reply.clone() });
        }
        self.finish(true, true)
    }

    /// The peer's word on the message: in SMTP for all, in LMTP for one recipient each (RFC 2033 4.2).
    fn handle_final(&mut self, index: usize, reply: &Reply) {
        let result = || match reply.is_positive() {
            true => RecipientResult::Accepted(reply.clone()),
            false => RecipientResult::Refused { phase: Phase::Data, reply: reply.clone() },
        };
        if self.lmtp {
            if let Some(one) = self.accepted.get(index) {
                self.set(*one, result());
            }
            return;
        }
        for one in std::mem::take(&mut self.accepted) {
            self.set(one, result());
        }
    }

    /// A chunk that failed leaves a transaction behind (RFC 3030 2).
    fn needs_reset_after_chunk(&self, reply: &Reply) -> bool {
        !reply.is_positive() || self.accepted.is_empty()
    }

    fn set(&mut self, index: usize, result: RecipientResult) {
        if let Some(place) = self.results.get_mut(index) {
            *place = Some(result);
        }
    }

    /// Gives the result. In LMTP nobody knows how many answers follow a lone dot, so the connection is given up.
    fn finish(mut self, body_is_out: bool, needs_reset: bool) -> Progress {
        let is_in_step = body_is_out && !(self.lmtp && self.await_ == Await::LoneDot);
        let refusal = self.mail_refusal.take();
        let recipients = self.fill(|| refusal.clone().map(|reply| (Phase::Mail, reply)));
        Progress::Finished {
            result: TransactionResult { recipients, connection_usable: is_in_step },
            needs_reset,
        }
    }

    /// 421 in the middle: it is the answer for everybody who has none yet.
    fn close(self, reply: Reply) -> Progress {
        let phase = self.phase(false).as_phase();
        let recipients = self.fill(|| Some((phase, reply.clone())));
        Progress::Closing { result: TransactionResult { recipients, connection_usable: false }, reply }
    }

    /// All results; recipients without one get `rest`.
    fn fill(self, rest: impl Fn() -> Option<(Phase, Reply)>) -> Vec<RecipientResult> {
        let missing = || {
            let (phase, reply) =
                rest().unwrap_or_else(|| (Phase::Data, Reply::bare(451, "no answer for this recipient")));
            RecipientResult::Refused { phase, reply }
        };
        self.results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }

    /// The results that are final already.
    pub(super) fn into_partial(self) -> Vec<Option<RecipientResult>> {
        let refusal = self.mail_refusal;
        let refused = |reply: Reply| RecipientResult::Refused { phase: Phase::Mail, reply };
        self.results.into_iter().map(|result| result.or_else(|| refusal.clone().map(refused))).collect()
    }

    pub(super) fn phase(&self, body_waits: bool) -> ClientPhase {
        match self.await_ {
            Await::Mail => ClientPhase::Mail,
            Await::Rcpt(_) => ClientPhase::Rcpt,
            Await::DataStart => ClientPhase::DataStart,
            Await::Final(_) | Await::LoneDot if body_waits => ClientPhase::Body,
            Await::Final(_) | Await::LoneDot => ClientPhase::FinalReply,
        }
    }
}

/// Parameters are sent only for extensions that the peer offered (RFC 5321 4.1.1.11).
fn write_mail(transaction: &Transaction, capabilities: &Capabilities, commands: &mut Vec<u8>) {
    match &transaction.sender {
        ReversePath::Null => commands.extend_from_slice(b"MAIL FROM:<>"),
        ReversePath::Mailbox(mailbox) => write_to(commands, format_args!("MAIL FROM:<{mailbox}>")),
    }
    if capabilities.size && transaction.size > 0 {
        write_to(commands, format_args!(" SIZE={}", transaction.size));
    }
    if transaction.binary {
        commands.extend_from_slice(b" BODY=BINARYMIME");
    } else if transaction.eight_bit {
        commands.extend_from_slice(b" BODY=8BITMIME");
    }
    if transaction.smtputf8 {
        commands.extend_from_slice(b" SMTPUTF8");
    }
    let requests = &transaction.requests.message;
    if requests.require_tls && capabilities.require_tls {
        commands.extend_from_slice(b" REQUIRETLS");
    }
    if let (Some(priority), true) = (requests.priority, capabilities.priority) {
        write_to(commands, format_args!(" MT-PRIORITY={priority}"));
    }
    if let (Some(by), true) = (transaction.requests.by, capabilities.deliver_by) {
        write_to(commands, format_args!(" BY={by}"));
    }
    if capabilities.dsn {
        if let Some(ret) = requests.ret {
            write_to(commands, format_args!(" RET={ret}"));
        }
        if let Some(id) = &requests.envelope_id {
            write_to(commands, format_args!(" ENVID={id}"));
        }
    }
    commands.extend_from_slice(b"\r\n");
}

/// NOTIFY and ORCPT go on as they came (RFC 3461 5.2.1), but not to a peer that would not know them.
fn rcpt_parameters(requests: &[RecipientRequests], capabilities: &Capabilities) -> Vec<String> {
    if !capabilities.dsn {
        return Vec::new();
    }
    let parameters = |requests: &RecipientRequests| {
        requests.words().into_iter().flat_map(|word| [" ".to_owned(), word]).collect()
    };
    requests.iter().map(parameters).collect()
}

fn write_to(commands: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    commands.write_fmt(text).expect("writing to memory does not fail");
}
