//! What is fed to the readers of everything that strangers send. A target takes any octets, returns soon, and panics
//! when a promise is broken. Used by the fuzzer, and by `tests/tests/hostile.rs`, which replays what was found.

use std::sync::Arc;

use baton_identity::hostile;
use baton_mail::account::ScramKeys;
use baton_mail::body::Content;
use baton_mail::edit::MessageEdit;
use baton_mail::header::{HeaderIndex, HeaderLimits, addresses, apply, check_value, decode, encode_field};
use baton_mail::mime::{Fit, MimeLimits, check_shape, convert as convert_mail};
use baton_mail::{Body, Domain, EnhancedCode, Mailbox, Reply, ReversePath};
use baton_smtp::client::{Client, ClientSettings, ClientStep, Requests, Transaction, UseStartTls};
use baton_smtp::proxy::{self, ProxyRead};
use baton_smtp::sasl::Bearer;
use baton_smtp::sasl::scram::ClientFirst;
use baton_smtp::server::{
    Answer, AuthOffer, BareLineEnding, Mechanisms, Question, Server, ServerSettings, StartTls, Step, Vrfy,
};
use bytes::{Bytes, BytesMut};

/// What is done with an input.
pub(crate) type Target = fn(&[u8]);

/// All targets by their names.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("command", command),
    ("data", data),
    ("reply", reply),
    ("proxy", proxy),
    ("sasl", sasl),
    ("header", header),
    ("mime", mime),
    ("convert", convert),
    ("address", address),
    ("dkim", hostile::dkim),
    ("spf", hostile::spf),
    ("dmarc", hostile::dmarc),
    ("chain", hostile::chain),
    ("results", hostile::results),
    ("report", hostile::report),
];

/// A whole session: the first octet chooses the settings, the second how the rest is cut into reads.
fn command(octets: &[u8]) {
    let [flags, cut, rest @ ..] = octets else { return };
    let mut session = Session::new(settings(*flags));
    for piece in rest.chunks(usize::from(*cut).max(1)) {
        session.feed(piece);
    }
    check_replies(&session.output);
}

/// Content after DATA: where it ends does not depend on how it was cut, and no lone CR or LF is in what is taken.
fn data(octets: &[u8]) {
    let [flags, cut, content @ ..] = octets else { return };
    let run = |size: usize| {
        let mut session = Session::new(settings(*flags & REPAIR));
        session.feed(b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n");
        session.feed(b"DATA\r\n");
        for piece in content.chunks(size.max(1)) {
            session.feed(piece);
        }
        session.messages
    };
    let whole = run(content.len());
    assert_eq!(whole, run(usize::from(*cut)), "the content depends on how it was cut");
    for message in &whole {
        for (at, octet) in message.iter().enumerate() {
            let is_paired = match octet {
                b'\r' => message.get(at + 1) == Some(&b'\n'),
                b'\n' => at > 0 && message.get(at - 1) == Some(&b'\r'),
                0 => false,
                _ => true,
            };
            assert!(is_paired, "a lone line end or a NUL was taken");
        }
    }
}

/// What a hostile server answers.
fn reply(octets: &[u8]) {
    let [flags, cut, rest @ ..] = octets else { return };
    let mut settings = ClientSettings::new("c.example");
    settings.lmtp = flags & 1 != 0;
    settings.pipelining = flags & 2 != 0;
    settings.chunking = flags & 4 != 0;
    settings.starttls = if flags & 8 != 0 { UseStartTls::WhenOffered } else { UseStartTls::Never };
    let mut client = Client::new(settings);
    let mut input = BytesMut::new();
    let mut messages = 0;
    for piece in rest.chunks(usize::from(*cut).max(1)) {
        input.extend_from_slice(piece);
        loop {
            let step = client.handle(&mut input);
            while client.poll_output().is_some() {}
            match step {
                Ok(ClientStep::NeedInput) => break,
                Ok(ClientStep::Ready) if messages < 4 => {
                    messages += 1;
                    client.send(transaction()).expect("it said that it is ready");
                }
                Ok(ClientStep::Finished(_)) => {}
                Ok(ClientStep::StartTls) if input.is_empty() => client.protect(),
                _ => {
                    let _ = client.take_partial();
                    return;
                }
            }
        }
    }
}

fn transaction() -> Transaction {
    let mailbox = |text: &str| text.parse::<Mailbox>().expect("a mailbox");
    Transaction {
        sender: ReversePath::Mailbox(mailbox("a@b.example")),
        recipients: vec![mailbox("c@d.example"), mailbox("e@d.example")],
        body: Bytes::from_static(b"Subject: s\r\n\r\n.body\r\n").into(),
        eight_bit: false,
        binary: false,
        smtputf8: false,
        size: 22,
        requests: Requests::default(),
    }
}

/// The PROXY header: what it asks for stays bounded and is never more than belongs to it.
fn proxy(octets: &[u8]) {
    let mut taken = 0;
    loop {
        match proxy::read_header(octets.get(..taken).unwrap_or_default()) {
            Ok(ProxyRead::Needs(more)) => {
                assert!(more > 0 && taken + more <= 4_112, "{more} more octets after {taken}");
                taken += more;
                if taken > octets.len() {
                    return;
                }
            }
            Ok(ProxyRead::Done(_)) | Err(_) => return,
        }
    }
}

/// Messages of SCRAM and of the mechanisms for tokens: two lines are the two messages of a client that does not know the
/// password.
fn sasl(octets: &[u8]) {
    let [flags, messages @ ..] = octets else { return };
    for bearer in [Bearer::read_oauthbearer(messages), Bearer::read_xoauth2(messages)].into_iter().flatten() {
        assert!(bearer.token.bytes().all(|octet| octet.is_ascii_graphic()));
        assert!(bearer.user.is_none_or(|user| !user.is_empty() && !user.chars().any(char::is_control)));
    }
    let mut messages = messages.splitn(2, |octet| *octet == b'\n');
    let mut next = || messages.next().unwrap_or_default();
    let Ok(first) = ClientFirst::parse(next(), flags & 1 != 0) else { return };
    assert!(!first.username().is_empty() && !first.username().chars().any(char::is_control));
    let keys = ScramKeys { salt: vec![7; 16], iterations: 4_096, stored_key: [8; 32], server_key: [9; 32] };
    let exporter = (flags & 2 != 0).then_some(&[6; 32][..]);
    let Ok((said, waiting)) = first.answer(keys, "3rfcNHYJY1ZVvWVs7j", exporter) else { return };
    assert!(said.bytes().all(|octet| octet.is_ascii_graphic()), "{said}");
    assert!(waiting.finish(next()).is_err(), "a proof without the password");
}

/// Header fields: found, decoded, and put into other messages without breaking out of their field.
fn header(octets: &[u8]) {
    let content = Content::split(Bytes::copy_from_slice(octets));
    let limits = HeaderLimits::default();
    let Ok(index) = HeaderIndex::scan(&content.header, &limits) else { return };
    for (name, _) in index.fields().take(32) {
        let Some(value) = index.first(name) else { continue };
        let _ = addresses(&value);
        let text = decode(&value);
        let (Ok(text), Ok(name)) = (check_value(&text), name.parse()) else { continue };
        for utf8 in [false, true] {
            let field = encode_field(&name, &text, utf8);
            let written = HeaderIndex::scan(&Bytes::from(field.clone()), &limits).expect("one field");
            assert_eq!(written.len(), 1, "{}", String::from_utf8_lossy(&field));
            assert!(
                field.ends_with(b"\r\n")
                    && field.split(|octet| *octet == b'\n').all(|line| line.len() <= 999)
            );
        }
        let edits = [MessageEdit::Insert(0, name, text)];
        let edited = apply(content.clone(), &edits, false);
        assert!(edited.header.len() > content.header.len() && edited.rest == content.rest);
    }
}

/// The structure of a message is looked at without recursion.
fn mime(octets: &[u8]) {
    let _ = check_shape(&Content::split(Bytes::copy_from_slice(octets)), &MimeLimits::default());
}

/// What comes out of a conversion fits, and is left alone by another one.
fn convert(octets: &[u8]) {
    let [flags, content @ ..] = octets else { return };
    let fit = if flags & 1 == 0 { Fit::SevenBit } else { Fit::EightBit };
    let body = Body::from(Bytes::copy_from_slice(content));
    let Ok(made) = convert_mail(&body, fit, &MimeLimits::default()) else { return };
    let whole = made.body.to_bytes();
    assert!(
        !baton_mail::lines::has_stray(&whole) && !whole.contains(&0),
        "a lone line end or a NUL came out"
    );
    assert!(fit == Fit::EightBit || whole.is_ascii(), "octets beyond ASCII came out");
    let again = convert_mail(&made.body, fit, &MimeLimits::default()).expect("what fits can stay as it is");
    assert_eq!(again.body.to_bytes(), whole);
}

/// What is an address is written as one that means the same.
fn address(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok(domain) = text.parse::<Domain>() {
        assert_eq!(domain.as_str().parse::<Domain>().as_ref(), Ok(&domain));
    }
    if let Ok(mailbox) = text.parse::<Mailbox>() {
        let written = mailbox.to_string();
        assert_eq!(written.parse::<Mailbox>().as_ref(), Ok(&mailbox), "{written}");
        assert!(!written.chars().any(char::is_control));
    }
}

/// A server whose driver agrees to everything.
struct Session {
    server: Server,
    settings: Arc<ServerSettings>,
    input: BytesMut,
    output: Vec<u8>,
    messages: Vec<Bytes>,
    is_over: bool,
}

impl Session {
    fn new(settings: ServerSettings) -> Session {
        let settings = Arc::new(settings);
        let mut server = Server::new(Arc::clone(&settings));
        server.offer_xclient(true);
        let mut output = Vec::new();
        server.greet(&mut output);
        Session { server, settings, input: BytesMut::new(), output, messages: Vec::new(), is_over: false }
    }

    fn feed(&mut self, octets: &[u8]) {
        if self.is_over {
            return;
        }
        self.input.extend_from_slice(octets);
        loop {
            match self.server.handle(&mut self.input, &mut self.output) {
                Step::NeedInput => return,
                Step::StartTls => {
                    assert!(self.input.is_empty(), "plain text outlives STARTTLS");
                    self.server.protect(Arc::new(settings(PROTECTED)));
                }
                Step::Restart => {
                    self.server.restart(Arc::clone(&self.settings));
                    self.server.greet(&mut self.output);
                }
                Step::Close => {
                    self.is_over = true;
                    return;
                }
                Step::Ask(question) => {
                    let answer = self.answer(question);
                    self.server.answer(answer, &mut self.output).expect("the answer fits the question");
                }
            }
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Auth { user, .. } => Answer::Authenticated(user),
            Question::AuthMessage { is_first: true, message, .. } => Answer::Challenge(message),
            Question::AuthMessage { .. } => Answer::Authenticated("ann".to_owned()),
            Question::Message { content, .. } => {
                self.messages.push(content);
                let count = if self.server.is_lmtp() { self.server.recipients() } else { 1 };
                Answer::Done(vec![Reply::new(250, EnhancedCode(2, 0, 0), "queued"); count].into())
            }
            _ => Answer::Proceed,
        }
    }
}

fn settings(flags: u8) -> ServerSettings {
    let mut settings = ServerSettings::new("mx.example".parse().expect("a domain"));
    settings.size_octets_max = 1 << 16;
    settings.lmtp = flags & LMTP != 0;
    settings.bare_line_ending =
        if flags & REPAIR != 0 { BareLineEnding::Repair } else { BareLineEnding::Refuse };
    settings.auth =
        if flags & PROTECTED != 0 { AuthOffer::Offered(Mechanisms::ALL) } else { AuthOffer::AfterTls };
    settings.starttls = if flags & STARTTLS != 0 { StartTls::Offered } else { StartTls::None };
    settings.smtputf8 = flags & SMTPUTF8 != 0;
    settings.recipients_max = 10;
    settings.vrfy = Vrfy::Ask;
    settings
}

/// Each line of a reply is a code and text without control characters, and ends with CRLF.
fn check_replies(output: &[u8]) {
    let text = std::str::from_utf8(output).expect("replies are text");
    assert!(text.is_empty() || text.ends_with("\r\n"));
    for line in text.split_terminator("\r\n") {
        let code = line.get(..3).unwrap_or_default();
        assert!(code.bytes().all(|octet| octet.is_ascii_digit()) && code.len() == 3, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

const LMTP: u8 = 1;
const REPAIR: u8 = 2;
const PROTECTED: u8 = 4;
const STARTTLS: u8 = 8;
const SMTPUTF8: u8 = 16;
