//! A random walk of commands, compared at each step with a model that knows only the order of SMTP.

// A test that can not go on may panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use baton_smtp::server::{AuthOffer, Mechanisms, Server, ServerSettings, StartTls};
use support::Random;
use support::driver::Driver;

const ERRORS_MAX: u32 = 8;
const JUNK_MAX: u32 = 12;
const TRANSACTIONS_MAX: u32 = 30;
const RECIPIENTS_MAX: usize = 3;
const CHUNKS_MAX: u32 = 4;
const SIZE_MAX: usize = 40;
const STEPS: usize = 6_000;
const SEEDS: u64 = 40;

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    Mail,
    Chunks { count: u32, octets: usize },
}

/// What a receiver must remember (RFC 5321 4.1.4, RFC 3030, RFC 4954), and nothing else.
#[derive(Clone, Debug)]
struct Model {
    greeted: bool,
    extended: bool,
    protected: bool,
    authenticated: bool,
    stage: Stage,
    recipients: usize,
    errors: u32,
    junk: u32,
    transactions: u32,
    accepted: usize,
    closed: bool,
}

/// What the client does, as octets that are sent one after the other.
#[derive(Clone, Debug)]
enum Act {
    Ehlo,
    Helo,
    BadEhlo,
    Mail,
    MailTooLarge,
    BadMail,
    MailWith(&'static str),
    MailWithBad(&'static str),
    Rcpt,
    RcptWith(&'static str),
    RcptWithBad(&'static str),
    RcptUnknown,
    BadRcpt,
    Data(&'static str, Content),
    Chunk { octets: usize, last: bool, clean: bool },
    BdatWithoutSize,
    BdatWithoutEnd,
    Auth,
    AuthWrong,
    AuthCancel,
    Rset,
    Noop,
    Help,
    Vrfy,
    Unknown,
    NotHere,
    StartTls,
    StartTlsAndMore,
    BareFeed,
    Quit,
    Foreign,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Good,
    TooLarge,
    Bare,
}

/// Parameters of MAIL that mean something.
const MAIL_GOOD: [&str; 6] = [
    "RET=FULL ENVID=x+2B",
    "MT-PRIORITY=-9",
    "BY=5;RT",
    "HOLDFOR=5",
    "HOLDUNTIL=2030-01-01T00:00:00Z",
    "SMTPUTF8",
];
/// And such as mean nothing.
const MAIL_BAD: [&str; 6] =
    ["RET=NONE", "ENVID=a+0A", "MT-PRIORITY=10", "BY=0;R", "HOLDFOR=0", "RET=FULL RET=FULL"];
const RCPT_GOOD: [&str; 3] = ["NOTIFY=NEVER", "NOTIFY=DELAY,SUCCESS", "ORCPT=rfc822;c@d.example"];
const RCPT_BAD: [&str; 4] =
    ["NOTIFY=NEVER,DELAY", "ORCPT=c", "ORCPT=rfc822;a+0D", "NOTIFY=DELAY NOTIFY=DELAY"];

const DATA: [Act; 3] = [
    Act::Data("x\r\n..\r\n.\r\n", Content::Good),
    Act::Data("0123456789012345678901234567890123456789\r\n.\r\n", Content::TooLarge),
    Act::Data("x\n.\nMAIL FROM:<evil@x.example>\n\r\n.\r\n", Content::Bare),
];

fn random_act(random: &mut Random) -> Act {
    match random.below(70) {
        0..=2 => Act::Ehlo,
        3 => Act::Helo,
        4 => Act::BadEhlo,
        5..=14 => Act::Mail,
        15 => Act::MailTooLarge,
        16 => Act::BadMail,
        17..=26 => Act::Rcpt,
        27..=28 => Act::RcptUnknown,
        29 => Act::BadRcpt,
        30..=37 => random.pick(&DATA).clone(),
        38..=46 => {
            Act::Chunk { octets: random.below(20), last: random.below(3) == 0, clean: random.below(6) > 0 }
        }
        47 => Act::BdatWithoutSize,
        48 if random.below(4) == 0 => Act::BdatWithoutEnd,
        49 => Act::Auth,
        50 => Act::AuthWrong,
        51 => Act::AuthCancel,
        52 => Act::Rset,
        53 => Act::Noop,
        54 => Act::Help,
        55 => Act::Vrfy,
        56 => Act::Unknown,
        57 => Act::NotHere,
        58 => Act::BareFeed,
        59..=61 => Act::MailWith(random.pick::<&str>(&MAIL_GOOD)),
        62 => Act::MailWithBad(random.pick::<&str>(&MAIL_BAD)),
        63..=65 => Act::RcptWith(random.pick::<&str>(&RCPT_GOOD)),
        66 => Act::RcptWithBad(random.pick::<&str>(&RCPT_BAD)),
        67 => Act::StartTls,
        68 if random.below(8) == 0 => Act::StartTlsAndMore,
        _ if random.below(4) == 0 => Act::Quit,
        _ if random.below(4) == 0 => Act::Foreign,
        _ => Act::Noop,
    }
}

impl Act {
    fn octets(&self) -> Vec<Vec<u8>> {
        let line = |text: &str| vec![format!("{text}\r\n").into_bytes()];
        match self {
            Act::Ehlo => line("EHLO c"),
            Act::Helo => line("HELO c"),
            Act::BadEhlo => line("EHLO"),
            Act::Mail => line("MAIL FROM:<a@b.example>"),
            Act::MailTooLarge => line("MAIL FROM:<a@b.example> SIZE=41"),
            Act::BadMail => line("MAIL FROM:a@b.example"),
            Act::MailWith(parameters) | Act::MailWithBad(parameters) => {
                line(&format!("MAIL FROM:<a@b.example> {parameters}"))
            }
            Act::RcptWith(parameters) | Act::RcptWithBad(parameters) => {
                line(&format!("RCPT TO:<c@d.example> {parameters}"))
            }
            Act::Rcpt => line("RCPT TO:<c@d.example>"),
            Act::RcptUnknown => line("RCPT TO:<unknown@d.example>"),
            Act::BadRcpt => line("RCPT TO:<c>"),
            Act::Data(..) => line("DATA"),
            Act::Chunk { octets, last, clean } => {
                let content = if *clean { vec![b'x'; *octets] } else { vec![b'\n'; *octets] };
                vec![
                    [format!("BDAT {octets}{}\r\n", if *last { " LAST" } else { "" }).into_bytes(), content]
                        .concat(),
                ]
            }
            Act::BdatWithoutSize => line("BDAT LAST"),
            Act::BdatWithoutEnd => line("BDAT -5"),
            Act::Auth => line("AUTH PLAIN AHRpbQB0YW5zdGFhZg=="),
            Act::AuthWrong => line("AUTH PLAIN AHRpbQB3cm9uZw=="),
            Act::AuthCancel => line("AUTH LOGIN"),
            Act::Rset => line("RSET"),
            Act::Noop => line("NOOP"),
            Act::Help => line("HELP me"),
            Act::Vrfy => line("VRFY c"),
            Act::Unknown => line("WHAT is this"),
            Act::NotHere => line("ETRN @d.example"),
            Act::StartTls => line("STARTTLS"),
            Act::StartTlsAndMore => vec![b"STARTTLS\r\nNOOP\r\n".to_vec()],
            Act::BareFeed => vec![b"NOOP\n".to_vec()],
            Act::Quit => line("QUIT"),
            Act::Foreign => line("Subject: x"),
        }
    }

    /// What is sent only if the server asks for it.
    fn follow_up(&self, code: u16) -> Option<&[u8]> {
        match self {
            Act::Data(content, _) if code == 354 => Some(content.as_bytes()),
            Act::AuthCancel if code == 334 => Some(b"*\r\n"),
            _ => None,
        }
    }
}

impl Model {
    fn new() -> Model {
        Model {
            greeted: false,
            extended: false,
            protected: false,
            authenticated: false,
            stage: Stage::Nothing,
            recipients: 0,
            errors: 0,
            junk: 0,
            transactions: 0,
            accepted: 0,
            closed: false,
        }
    }

    /// The codes that must come.
    fn codes(&mut self, act: &Act) -> Vec<u16> {
        let mut codes = self.step(act);
        let is_cut_off = self.errors >= ERRORS_MAX || self.junk > JUNK_MAX;
        if is_cut_off && !self.closed {
            codes.push(421);
            self.closed = true;
        }
        codes
    }

    fn step(&mut self, act: &Act) -> Vec<u16> {
        match act {
            Act::Ehlo | Act::Helo => {
                self.end();
                (self.greeted, self.extended) = (true, matches!(act, Act::Ehlo));
                self.junk(250)
            }
            Act::BadEhlo => self.error(501),
            Act::Mail | Act::MailTooLarge | Act::BadMail | Act::MailWith(_) | Act::MailWithBad(_) => {
                self.mail(act)
            }
            Act::Rcpt | Act::RcptUnknown | Act::BadRcpt | Act::RcptWith(_) | Act::RcptWithBad(_) => {
                self.rcpt(act)
            }
            Act::StartTls | Act::StartTlsAndMore => self.starttls(matches!(act, Act::StartTlsAndMore)),
            Act::Data(_, content) => self.data(*content),
            Act::Chunk { octets, last, clean } => self.chunk(*octets, *last, *clean),
            Act::BdatWithoutSize => {
                self.end();
                self.error(501)
            }
            Act::BdatWithoutEnd | Act::Foreign => {
                self.closed = true;
                vec![if matches!(act, Act::Foreign) { 421 } else { 501 }]
            }
            Act::Auth | Act::AuthWrong | Act::AuthCancel => self.auth(act),
            Act::Rset => {
                self.end();
                self.junk(250)
            }
            Act::Noop => self.junk(250),
            Act::Help => self.junk(214),
            Act::Vrfy => self.junk(252),
            Act::Unknown | Act::BareFeed => self.error(500),
            Act::NotHere => self.error(502),
            Act::Quit => {
                self.closed = true;
                vec![221]
            }
        }
    }

    fn mail(&mut self, act: &Act) -> Vec<u16> {
        if !self.greeted || self.stage != Stage::Nothing {
            return self.error(503);
        }
        if self.transactions == TRANSACTIONS_MAX {
            self.closed = true;
            return vec![421];
        }
        match act {
            Act::BadMail => self.error(501),
            Act::MailTooLarge => self.error(if self.extended { 552 } else { 555 }),
            // What comes twice is seen before what it means.
            Act::MailWithBad(twice) if *twice == "RET=FULL RET=FULL" => self.error(501),
            Act::MailWith(_) | Act::MailWithBad(_) if !self.extended => self.error(555),
            Act::MailWithBad(_) => self.error(501),
            _ => {
                self.stage = Stage::Mail;
                self.transactions += 1;
                vec![250]
            }
        }
    }

    fn rcpt(&mut self, act: &Act) -> Vec<u16> {
        match (self.stage, act) {
            (Stage::Nothing | Stage::Chunks { .. }, _) => self.error(503),
            (_, Act::BadRcpt) => self.error(501),
            (_, Act::RcptWithBad(twice)) if *twice == "NOTIFY=DELAY NOTIFY=DELAY" => self.error(501),
            (_, Act::RcptWith(_) | Act::RcptWithBad(_)) if !self.extended => self.error(555),
            (_, Act::RcptWithBad(_)) => self.error(501),
            _ if self.recipients == RECIPIENTS_MAX => vec![452],
            (_, Act::RcptUnknown) => vec![550],
            _ => {
                self.recipients += 1;
                vec![250]
            }
        }
    }

    fn data(&mut self, content: Content) -> Vec<u16> {
        if self.stage != Stage::Mail {
            return self.error(503);
        }
        if self.recipients == 0 {
            return self.error(554);
        }
        self.end();
        match content {
            Content::Good => {
                self.accept();
                vec![354, 250]
            }
            Content::TooLarge => vec![354, 552],
            Content::Bare => vec![354, 550],
        }
    }

    fn chunk(&mut self, octets: usize, last: bool, clean: bool) -> Vec<u16> {
        if !self.extended {
            return self.error(if self.greeted { 502 } else { 503 });
        }
        let (count, before) = match self.stage {
            Stage::Nothing => return self.error(503),
            Stage::Mail if self.recipients == 0 => return self.error(554),
            Stage::Mail => (0, 0),
            Stage::Chunks { count, octets } => (count, octets),
        };
        if count == CHUNKS_MAX {
            self.closed = true;
            return vec![421];
        }
        if before + octets > SIZE_MAX {
            self.end();
            return vec![552];
        }
        if !clean && octets > 0 {
            self.end();
            return vec![550];
        }
        self.stage = Stage::Chunks { count: count + 1, octets: before + octets };
        if last {
            self.end();
            self.accept();
        }
        vec![250]
    }

    fn auth(&mut self, act: &Act) -> Vec<u16> {
        if self.authenticated || !self.greeted || !self.extended || self.stage != Stage::Nothing {
            return self.error(503);
        }
        match act {
            Act::Auth => {
                self.authenticated = true;
                vec![235]
            }
            Act::AuthWrong => self.error(535),
            _ => {
                let mut codes = vec![334];
                codes.extend(self.error(501));
                codes
            }
        }
    }

    /// After 220 all that was said is forgotten (RFC 3207 4.2), but not how often the client erred.
    fn starttls(&mut self, more: bool) -> Vec<u16> {
        if self.protected || !self.greeted || self.stage != Stage::Nothing {
            return if more { self.error_and_noop() } else { self.error(503) };
        }
        if more {
            self.closed = true;
            return vec![503];
        }
        (self.protected, self.greeted, self.extended, self.authenticated) = (true, false, false, false);
        vec![220]
    }

    /// A refused command, and the NOOP that came with it.
    fn error_and_noop(&mut self) -> Vec<u16> {
        let mut codes = self.error(503);
        if self.errors < ERRORS_MAX && self.junk <= JUNK_MAX {
            codes.extend(self.junk(250));
        }
        codes
    }

    fn error(&mut self, code: u16) -> Vec<u16> {
        self.errors += 1;
        vec![code]
    }

    fn junk(&mut self, code: u16) -> Vec<u16> {
        self.junk += 1;
        vec![code]
    }

    fn end(&mut self) {
        self.stage = Stage::Nothing;
        self.recipients = 0;
    }

    fn accept(&mut self) {
        self.accepted += 1;
        (self.errors, self.junk) = (0, 0);
    }
}

fn new_session() -> Driver {
    let mut settings = ServerSettings::new("mx.example".parse().unwrap());
    settings.errors_max = ERRORS_MAX;
    settings.junk_commands_max = JUNK_MAX;
    settings.transactions_max = TRANSACTIONS_MAX;
    settings.recipients_max = RECIPIENTS_MAX;
    settings.chunks_max = CHUNKS_MAX;
    settings.size_octets_max = SIZE_MAX as u64;
    settings.auth = AuthOffer::Offered(Mechanisms::ALL);
    settings.hold_s_max = 3_600;
    let protected = Arc::new(settings.clone());
    settings.starttls = StartTls::Offered;
    let mut driver = Driver::new(Server::new(Arc::new(settings)));
    driver.protected = Some(protected);
    driver.server.greet(&mut driver.output);
    driver.output.clear();
    driver
}

/// Takes all replies; a reply of several lines counts once.
fn codes_of(driver: &mut Driver) -> Vec<u16> {
    let mut codes = Vec::new();
    while let Some(line) = driver.next_reply() {
        if line.as_bytes().get(3) == Some(&b' ') {
            codes.push(line[..3].parse().unwrap());
        }
    }
    codes
}

fn feed_in_pieces(driver: &mut Driver, octets: &[u8], random: &mut Random) {
    let size = 1 + random.below(octets.len().max(1));
    octets.chunks(size).for_each(|piece| driver.feed(piece));
}

fn walk(seed: u64) {
    let mut random = Random(seed);
    let (mut driver, mut model) = (new_session(), Model::new());
    let mut trace: Vec<Act> = Vec::new();
    for step in 0..STEPS {
        let act = random_act(&mut random);
        trace.push(act.clone());
        for octets in act.octets() {
            // What comes behind STARTTLS in one read was sent before TLS; later it is another matter.
            match act {
                Act::StartTlsAndMore => driver.feed(&octets),
                _ => feed_in_pieces(&mut driver, &octets, &mut random),
            }
        }
        let mut codes = codes_of(&mut driver);
        if let Some(more) = codes.last().and_then(|code| act.follow_up(*code)) {
            feed_in_pieces(&mut driver, more, &mut random);
            codes.extend(codes_of(&mut driver));
        }
        let expected = model.codes(&act);
        assert_eq!(codes, expected, "seed {seed}, step {step}, {model:?}, {trace:?}");
        assert_eq!(driver.messages.len(), model.accepted, "seed {seed}, step {step}");
        assert_eq!(driver.closed, model.closed, "seed {seed}, step {step}, {trace:?}");
        assert_eq!(driver.server.recipients(), model.recipients, "seed {seed}, step {step}");
        if driver.closed {
            (driver, model) = (new_session(), Model::new());
            trace.clear();
        }
    }
}

#[test]
fn a_random_walk_never_leaves_the_model() {
    (0..SEEDS).for_each(walk);
}
