//! What a guard may read, at which hook, and how it is read: nothing is computed before it is asked for.

use std::borrow::Cow;
use std::net::IpAddr;

use baton_mail::{Mailbox, header};

use super::tree::Value;
use crate::{Call, Hook, NameCheck};

/// The facts of one call.
pub(super) struct Facts<'a> {
    pub(super) call: &'a Call,
    /// The recipient that the hook is about.
    pub(super) rcpt: Option<&'a Mailbox>,
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Double,
    Text,
    Ip,
}

impl Type {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Double => "double",
            Type::Text => "string",
            Type::Ip => "address",
        }
    }
}

/// Everything that can be read by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    SessionIp,
    SessionPort,
    SessionName,
    SessionIprev,
    SessionHelo,
    SessionListener,
    SessionAccount,
    TlsVersion,
    TlsCipher,
    TlsCertificate,
    TlsServerName,
    TlsFingerprint,
    SenderAddress,
    SenderLocal,
    SenderDomain,
    RcptAddress,
    RcptLocal,
    RcptDomain,
    RecipientsCount,
    Size,
    Tenant,
    Stream,
    Priority,
    Score,
    Attempt,
    AgeMs,
    FailurePermanent,
    FailurePhase,
    FailureClass,
    FailureHost,
    FailureCode,
}

use Variable as V;

/// At which hooks something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Always,
    /// From the first recipient on.
    Transaction,
    /// Where the hook is about one recipient.
    Rcpt,
    /// Where there is content.
    Content,
    /// In the queue.
    Queue,
    /// After a failed attempt.
    Failure,
}

impl Known {
    pub(super) fn at(self, hook: Hook) -> bool {
        match self {
            Known::Always => true,
            Known::Transaction => !matches!(hook, Hook::Connect | Hook::Auth | Hook::Events),
            Known::Rcpt => matches!(hook, Hook::Rcpt | Hook::Route | Hook::Bounce),
            Known::Content => matches!(hook, Hook::Data | Hook::Route | Hook::Bounce),
            Known::Queue => matches!(hook, Hook::Route | Hook::Bounce),
            Known::Failure => hook == Hook::Bounce,
        }
    }
}

/// The names, the hooks at which each is known, and their types. The documentation of `when` is this table.
pub(super) const NAMES: [(&str, Variable, Known, Type); 32] = [
    ("client", V::SessionIp, Known::Always, Type::Ip),
    ("session.ip", V::SessionIp, Known::Always, Type::Ip),
    ("session.port", V::SessionPort, Known::Always, Type::Int),
    ("session.name", V::SessionName, Known::Always, Type::Text),
    // What came of looking for that name: pass, fail, permerror or temperror; empty before `session.reverse_dns` did.
    ("session.iprev", V::SessionIprev, Known::Always, Type::Text),
    ("session.helo", V::SessionHelo, Known::Always, Type::Text),
    ("session.listener", V::SessionListener, Known::Always, Type::Text),
    ("session.account", V::SessionAccount, Known::Always, Type::Text),
    ("tls.version", V::TlsVersion, Known::Always, Type::Text),
    ("tls.cipher", V::TlsCipher, Known::Always, Type::Text),
    // Whom the client's certificate names, when it is trusted.
    ("tls.certificate", V::TlsCertificate, Known::Always, Type::Text),
    // The name that the client asked for.
    ("tls.server_name", V::TlsServerName, Known::Always, Type::Text),
    // The SHA-256 of the client's certificate in hexadecimal digits, trusted or not.
    ("tls.fingerprint", V::TlsFingerprint, Known::Always, Type::Text),
    ("sender.address", V::SenderAddress, Known::Transaction, Type::Text),
    ("sender.local", V::SenderLocal, Known::Transaction, Type::Text),
    ("sender.domain", V::SenderDomain, Known::Transaction, Type::Text),
    ("rcpt.address", V::RcptAddress, Known::Rcpt, Type::Text),
    ("rcpt.local", V::RcptLocal, Known::Rcpt, Type::Text),
    ("rcpt.domain", V::RcptDomain, Known::Rcpt, Type::Text),
    ("recipients.count", V::RecipientsCount, Known::Transaction, Type::Int),
    ("size", V::Size, Known::Content, Type::Int),
    ("tenant", V::Tenant, Known::Transaction, Type::Text),
    ("stream", V::Stream, Known::Transaction, Type::Text),
    ("priority", V::Priority, Known::Transaction, Type::Int),
    ("score", V::Score, Known::Transaction, Type::Double),
    ("attempt", V::Attempt, Known::Queue, Type::Int),
    ("age_ms", V::AgeMs, Known::Queue, Type::Int),
    ("failure.permanent", V::FailurePermanent, Known::Failure, Type::Bool),
    ("failure.phase", V::FailurePhase, Known::Failure, Type::Text),
    ("failure.class", V::FailureClass, Known::Failure, Type::Text),
    ("failure.host", V::FailureHost, Known::Failure, Type::Text),
    ("failure.code", V::FailureCode, Known::Failure, Type::Int),
];

impl<'a> Facts<'a> {
    /// The value of a variable. What there is not is the empty text, zero or no address.
    pub(super) fn value(&self, variable: Variable) -> Value<'a> {
        let (session, envelope) = (&self.call.session, &self.call.envelope);
        let sender = envelope.sender.mailbox();
        let failure = self.call.failure.as_ref();
        match variable {
            V::SessionIp => Value::Ip(session.remote_ip.map(|address: IpAddr| address.to_canonical())),
            V::SessionPort => Value::Int(session.remote_port.into()),
            V::SessionName => optional(session.remote_name.as_deref()),
            V::SessionIprev => optional(session.name_check.map(NameCheck::as_str)),
            V::SessionHelo => optional(session.helo.as_deref()),
            V::SessionListener => text(&session.listener),
            V::SessionAccount => optional(session.account.as_deref()),
            V::TlsVersion => optional(session.tls.as_ref().map(|tls| tls.version.as_str())),
            V::TlsCipher => optional(session.tls.as_ref().map(|tls| tls.cipher.as_str())),
            V::TlsCertificate => optional(session.tls.as_ref().and_then(|tls| tls.verified_subject())),
            V::TlsServerName => optional(session.tls.as_ref().and_then(|tls| tls.server_name.as_deref())),
            V::TlsFingerprint => {
                let certificate = session.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
                optional(certificate.map(|certificate| certificate.sha256.as_str()))
            }
            V::SenderAddress => address(sender),
            V::SenderLocal => optional(sender.map(Mailbox::local)),
            V::SenderDomain => optional(sender.map(|sender| sender.domain().as_str())),
            V::RcptAddress => address(self.rcpt),
            V::RcptLocal => optional(self.rcpt.map(Mailbox::local)),
            V::RcptDomain => optional(self.rcpt.map(|rcpt| rcpt.domain().as_str())),
            V::RecipientsCount => Value::Int(envelope.recipients.len() as i64),
            V::Size => {
                number(self.call.content.as_ref().map_or(envelope.size, |content| content.content().len()))
            }
            V::Tenant => optional(envelope.tenant.as_deref()),
            V::Stream => optional(envelope.stream.as_deref()),
            V::Priority => Value::Int(envelope.priority.into()),
            V::Score => Value::Double(envelope.total_score()),
            V::Attempt => number(self.call.attempt.as_ref().map_or(0, |attempt| attempt.attempt.into())),
            V::AgeMs => number(self.call.attempt.as_ref().map_or(0, |attempt| attempt.age_ms)),
            V::FailurePermanent => Value::Bool(failure.is_some_and(|failure| failure.permanent)),
            V::FailurePhase => optional(failure.map(|failure| failure.phase.as_str())),
            V::FailureClass => optional(failure.map(|failure| failure.class.as_str())),
            V::FailureHost => optional(failure.and_then(|failure| failure.remote_host.as_deref())),
            V::FailureCode => {
                let reply = failure.and_then(|failure| failure.reply.as_ref());
                number(reply.map_or(0, |reply| reply.code().into()))
            }
        }
    }

    /// The first header value of that name, decoded.
    pub(super) fn header(&self, name: &str) -> String {
        let index = self.call.content.as_ref().and_then(|content| content.header().as_ref().ok());
        index.and_then(|index| index.first(name)).map(|raw| header::decode(&raw)).unwrap_or_default()
    }

    /// A tag of the message.
    pub(super) fn tag(&self, name: &str) -> &'a str {
        let tags = &self.call.envelope.tags;
        tags.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn optional(text: Option<&str>) -> Value<'_> {
    Value::Text(Cow::Borrowed(text.unwrap_or_default()))
}

fn address(mailbox: Option<&Mailbox>) -> Value<'_> {
    Value::Text(mailbox.map(Mailbox::to_string).unwrap_or_default().into())
}

fn number(number: u64) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
