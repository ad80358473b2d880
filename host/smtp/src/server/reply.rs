//! Everything the machine says on its own, in one place.

use std::io::Write;
use std::time::Duration;

use baton_mail::Reply;
use baton_mail::requests::timing::moment_text;

use super::session::{Hello, HelloKind, Session};
use super::settings::{ServerSettings, StartTls, Vrfy};

/// A reply of fixed words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    StartTls,
    Ok,
    SenderOk,
    RecipientOk,
    StartContent,
    ChunkOk,
    Help,
    Bye,
    CanNotVerify,
    Authenticated,
    AskResponse,
    AskUser,
    AskPassword,
    TimedOut,
    ShuttingDown,
    TooManyErrors,
    TooManyJunkCommands,
    TooManyTransactions,
    TooManyChunks,
    NotSmtp,
    TooManyRecipients,
    LineTooLong,
    Malformed,
    UnknownCommand,
    AuthLineTooLong,
    BadArguments,
    NoArguments,
    BadHello,
    BadSender,
    BadRecipient,
    BadChunk,
    BadBase64,
    BadNotify,
    BadOriginalRecipient,
    BadRet,
    BadEnvelopeId,
    BadPriority,
    BadDeliverBy,
    BadHold,
    AuthCancelled,
    NotImplemented,
    NeedHello,
    NeedMail,
    NestedMail,
    InsideChunks,
    NeedChunks,
    InsideTransaction,
    AuthenticatedBefore,
    ProtectedBefore,
    OnlyQuit,
    PipelinedContent,
    PipelinedStartTls,
    EarlyCommand,
    UnknownMechanism,
    NeedStartTls,
    AuthInvalid,
    AuthNeedsTls,
    NotTrusted,
    BareLineEnding,
    TooLarge,
    NeedSmtputf8,
    NoRecipients,
    ContentLineTooLong,
    UnknownParameter,
}

impl Say {
    /// Appends the wire form.
    pub(super) fn encode(self, output: &mut Vec<u8>) {
        output.extend_from_slice(self.text().as_bytes());
        output.extend_from_slice(b"\r\n");
    }

    /// Code, enhanced code (RFC 2034, but not for 3xx) and words. What each means: RFC 5321 4.2, RFC 3463, RFC 4954 6.
    pub(super) fn text(self) -> &'static str {
        match self {
            Say::StartTls => "220 2.0.0 ready to start TLS",
            Say::Ok => "250 2.0.0 ok",
            Say::SenderOk => "250 2.1.0 sender ok",
            Say::RecipientOk => "250 2.1.5 recipient ok",
            Say::StartContent => "354 end with <CRLF>.<CRLF>",
            Say::ChunkOk => "250 2.0.0 chunk ok",
            Say::Help => "214 2.0.0 see RFC 5321",
            Say::Bye => "221 2.0.0 bye",
            Say::CanNotVerify => "252 2.5.0 can not verify, but will take the message and attempt delivery",
            Say::Authenticated => "235 2.7.0 authenticated",
            Say::AskResponse => "334 ",
            // "Username:" and "Password:" in base64: what every client of LOGIN expects.
            Say::AskUser => "334 VXNlcm5hbWU6",
            Say::AskPassword => "334 UGFzc3dvcmQ6",
            Say::TimedOut => "421 4.4.2 timed out, closing",
            Say::ShuttingDown => "421 4.3.2 shutting down, try again",
            Say::TooManyErrors => "421 4.7.0 too many errors, closing",
            Say::TooManyJunkCommands => "421 4.7.0 too many commands without a message, closing",
            Say::TooManyTransactions => "421 4.7.0 too many transactions, connect again",
            Say::TooManyChunks => "421 4.7.0 too many chunks, closing",
            Say::NotSmtp => "421 4.7.0 this is a mail server, closing",
            Say::TooManyRecipients => "452 4.5.3 too many recipients, send the others in another transaction",
            Say::LineTooLong => "500 5.5.2 line too long",
            Say::Malformed => "500 5.5.2 a command is text that ends with CRLF",
            Say::UnknownCommand => "500 5.5.1 command not known",
            Say::AuthLineTooLong => "500 5.5.6 line of the authentication exchange too long",
            Say::BadArguments => "501 5.5.4 arguments not understood",
            Say::NoArguments => "501 5.5.4 this command has no arguments",
            Say::BadHello => "501 5.5.4 a host name or address literal is needed",
            Say::BadSender => "501 5.1.7 sender address not valid",
            Say::BadRecipient => "501 5.1.3 recipient address not valid",
            Say::BadChunk => "501 5.5.4 chunk size not understood",
            Say::BadBase64 => "501 5.5.2 base64 not understood",
            Say::BadNotify => "501 5.5.4 NOTIFY is NEVER, or of SUCCESS, FAILURE and DELAY",
            Say::BadOriginalRecipient => "501 5.5.4 ORCPT is type;xtext, of 500 octets at most",
            Say::BadRet => "501 5.5.4 RET is FULL or HDRS",
            Say::BadEnvelopeId => "501 5.5.4 ENVID is xtext of printable ASCII, of 100 octets at most",
            Say::BadPriority => "501 5.5.4 MT-PRIORITY is a number from -9 to 9",
            Say::BadDeliverBy => "501 5.5.4 BY is seconds;R or seconds;N, with T or without",
            Say::BadHold => "501 5.5.4 HOLDFOR is seconds, HOLDUNTIL a date and time, and one is enough",
            Say::AuthCancelled => "501 5.7.0 authentication cancelled",
            Say::NotImplemented => "502 5.5.1 command not implemented",
            Say::NeedHello => "503 5.5.1 introduce yourself first",
            Say::NeedMail => "503 5.5.1 MAIL is needed first",
            Say::NestedMail => "503 5.5.1 a transaction is in progress",
            Say::InsideChunks => "503 5.5.1 only BDAT or RSET may come now",
            // RFC 3030 3.
            Say::NeedChunks => "503 5.5.1 BODY=BINARYMIME needs BDAT",
            Say::InsideTransaction => "503 5.5.1 not inside a transaction",
            Say::AuthenticatedBefore => "503 5.5.1 authenticated already",
            Say::ProtectedBefore => "503 5.5.1 the connection is protected already",
            Say::OnlyQuit => "503 5.5.1 no service here, only QUIT may come",
            Say::PipelinedContent => "503 5.5.1 content sent before 354, closing",
            Say::PipelinedStartTls => "503 5.5.1 octets sent behind STARTTLS, closing",
            Say::EarlyCommand => "503 5.5.1 octets sent without waiting for a reply, closing",
            Say::UnknownMechanism => "504 5.5.4 mechanism not known",
            Say::NeedStartTls => "530 5.7.0 STARTTLS is needed first",
            Say::AuthInvalid => "535 5.7.8 credentials not valid",
            // RFC 4954 6.
            Say::AuthNeedsTls => "538 5.7.11 STARTTLS is needed before authentication",
            Say::NotTrusted => "550 5.7.0 not for this client",
            Say::BareLineEnding => {
                "550 5.6.11 message has a lone CR, a lone LF or a NUL; lines end with CRLF"
            }
            Say::TooLarge => "552 5.3.4 message too large",
            Say::NeedSmtputf8 => "553 5.6.7 address needs SMTPUTF8",
            Say::NoRecipients => "554 5.5.1 no valid recipients",
            Say::ContentLineTooLong => "554 5.6.0 message has a line that is too long",
            Say::UnknownParameter => "555 5.5.4 parameter not known",
        }
    }

    /// The same as a value, for the driver's log.
    pub(super) fn to_reply(self) -> Reply {
        let (code, rest) = self.text().split_once(' ').unwrap_or(("451", ""));
        let code = code.parse().unwrap_or(451);
        match rest.split_once(' ').and_then(|(enhanced, text)| Some((enhanced.parse().ok()?, text))) {
            Some((enhanced, text)) => Reply::new(code, enhanced, text),
            None => Reply::bare(code, rest),
        }
    }
}

/// A reply that waits until something else is done: ours, or the driver's.
#[derive(Clone, Debug)]
pub(super) enum Response {
    Ours(Say),
    Theirs(Reply),
}

impl Response {
    /// Appends the wire form, `times` over: LMTP answers for each recipient (RFC 2033 4.2).
    pub(super) fn encode(&self, times: usize, output: &mut Vec<u8>) {
        for _ in 0..times {
            match self {
                Response::Ours(say) => say.encode(output),
                Response::Theirs(reply) => reply.encode(output),
            }
        }
    }

    pub(super) fn to_reply(&self) -> Reply {
        match self {
            Response::Ours(say) => say.to_reply(),
            Response::Theirs(reply) => reply.clone(),
        }
    }
}

/// 220 (RFC 5321 4.2: the domain comes first).
pub(super) fn encode_greeting(settings: &ServerSettings, output: &mut Vec<u8>) {
    let protocol = if settings.lmtp { "LMTP" } else { "ESMTP" };
    write_to(output, format_args!("220 {} {protocol} ready\r\n", settings.hostname));
}

/// The answer to a greeting of the client; extensions only after EHLO and LHLO (RFC 5321 4.1.1.1).
pub(super) fn encode_hello(session: &Session, hello: &Hello, output: &mut Vec<u8>) {
    let settings = session.settings();
    if hello.kind == HelloKind::Helo {
        return write_to(output, format_args!("250 {}\r\n", settings.hostname));
    }
    write_to(output, format_args!("250-{}\r\n", settings.hostname));
    let offers = [
        (settings.pipelining, "250-PIPELINING\r\n"),
        (settings.chunking, "250-CHUNKING\r\n"),
        (settings.chunking && settings.binary_mime, "250-BINARYMIME\r\n"),
        (settings.smtputf8, "250-SMTPUTF8\r\n"),
        (settings.dsn, "250-DSN\r\n"),
        (settings.require_tls, "250-REQUIRETLS\r\n"),
        (settings.priority, "250-MT-PRIORITY\r\n"),
        (settings.deliver_by, "250-DELIVERBY\r\n"),
        (settings.starttls != StartTls::None, "250-STARTTLS\r\n"),
        // RFC 5321 3.5.2.
        (settings.vrfy == Vrfy::Ask, "250-VRFY\r\n250-EXPN\r\n"),
    ];
    for (_, line) in offers.iter().filter(|(is_offered, _)| *is_offered) {
        output.extend_from_slice(line.as_bytes());
    }
    encode_auth(settings, output);
    if session.offers_xclient {
        output.extend_from_slice(b"250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n");
    }
    output.extend_from_slice(b"250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n");
    if settings.hold_s_max > 0 {
        // RFC 4865 4: how long, and until when.
        let until = moment_text(session.now.plus(Duration::from_secs(settings.hold_s_max.into())));
        write_to(output, format_args!("250-FUTURERELEASE {} {until}\r\n", settings.hold_s_max));
    }
    if settings.limits {
        let (messages, recipients) = (settings.transactions_max, settings.recipients_max);
        write_to(output, format_args!("250-LIMITS MAILMAX={messages} RCPTMAX={recipients}\r\n"));
    }
    write_to(output, format_args!("250 SIZE {}\r\n", settings.size_octets_max));
}

/// The mechanisms, when there are any (RFC 4954 3).
fn encode_auth(settings: &ServerSettings, output: &mut Vec<u8>) {
    let mechanisms = settings.auth.mechanisms();
    if mechanisms.is_empty() {
        return;
    }
    output.extend_from_slice(b"250-AUTH");
    for mechanism in mechanisms.iter() {
        write_to(output, format_args!(" {}", mechanism.as_str()));
    }
    output.extend_from_slice(b"\r\n");
}

fn write_to(output: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    output.write_fmt(text).expect("writing to memory does not fail");
}
