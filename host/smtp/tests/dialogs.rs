//! Plays the scripted sessions of `tests/dialogs/*.smtp`; their format is described in the README there.

// A test that can not go on may panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use baton_smtp::server::{
    AuthOffer, BareLineEnding, Mechanism, Mechanisms, Server, ServerSettings, StartTls, Vrfy,
};
use support::driver::{Driver, reply_of};
use support::raw;

/// One line of a file.
#[derive(Debug)]
enum Line {
    Client(Vec<u8>),
    Server(String),
    /// A reply of any number of lines, whose last one begins so.
    WholeReply(String),
    Quiet,
    Content(Vec<u8>),
    Envelope(String),
    Answer {
        question: String,
        reply: String,
        closes: bool,
    },
    Timeout,
    Shutdown,
    Closed,
}

/// A file that was read.
struct Dialog {
    settings: ServerSettings,
    refusal: Option<String>,
    may_be_split: bool,
    is_strict: bool,
    is_trusted: bool,
    lines: Vec<Line>,
}

#[test]
fn every_dialog_is_kept() {
    let folder = PathBuf::from(
        std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder when it runs tests"),
    )
    .join("../../tests/dialogs");
    let mut played = 0;
    let mut problems = Vec::new();
    for entry in fs::read_dir(&folder).expect("the folder of dialogues exists") {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "smtp") {
            continue;
        }
        let dialog = parse(&fs::read_to_string(&path).unwrap());
        let sizes: &[usize] = if dialog.may_be_split { &[usize::MAX, 1, 3] } else { &[usize::MAX] };
        for size in sizes {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if let Err(problem) = play(&dialog, *size) {
                problems.push(format!("{name}, reads of {size}: {problem}"));
            }
        }
        played += 1;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(played >= 40, "only {played} dialogues were found");
}

fn parse(text: &str) -> Dialog {
    let settings = ServerSettings::new("mx.example".parse().unwrap());
    let mut dialog = Dialog {
        settings,
        refusal: None,
        may_be_split: true,
        is_strict: false,
        is_trusted: false,
        lines: Vec::new(),
    };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || rest.split_once(' ').unwrap_or((rest, ""));
        let answer =
            |closes| Line::Answer { question: pair().0.to_owned(), reply: pair().1.to_owned(), closes };
        let parsed = match word {
            "set" => {
                set(&mut dialog.settings, pair().0, pair().1);
                continue;
            }
            "split" => {
                dialog.may_be_split = false;
                continue;
            }
            "strict" => {
                dialog.is_strict = true;
                continue;
            }
            "xclient" => {
                dialog.is_trusted = true;
                continue;
            }
            "refuse" => {
                dialog.refusal = Some(rest.to_owned());
                continue;
            }
            "answer" => answer(false),
            "disconnect" => answer(true),
            "C:" => Line::Client([rest.as_bytes(), b"\r\n"].concat()),
            "C+" => Line::Client(raw(rest)),
            "S:" => Line::Server(rest.to_owned()),
            "S+" => Line::WholeReply(rest.to_owned()),
            "D:" => Line::Content(raw(rest)),
            "E:" => Line::Envelope(rest.to_owned()),
            "quiet" => Line::Quiet,
            "timeout" => Line::Timeout,
            "shutdown" => Line::Shutdown,
            "closed" => Line::Closed,
            other => panic!("a line of a dialogue begins with {other:?}"),
        };
        dialog.lines.push(parsed);
    }
    dialog
}

fn set(settings: &mut ServerSettings, name: &str, value: &str) {
    let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{name} needs a number"));
    match name {
        "size_octets_max" => settings.size_octets_max = u64::from(number()),
        "recipients_max" => settings.recipients_max = number() as usize,
        "command_octets_max" => settings.command_octets_max = number() as usize,
        "auth_octets_max" => settings.auth_octets_max = number() as usize,
        "errors_max" => settings.errors_max = number(),
        "junk_commands_max" => settings.junk_commands_max = number(),
        "transactions_max" => settings.transactions_max = number(),
        "chunks_max" => settings.chunks_max = number(),
        "line_octets_max" => settings.line_octets_max = number() as usize,
        "bare_line_ending" if value == "repair" => settings.bare_line_ending = BareLineEnding::Repair,
        "auth" if value == "plain_login" => settings.auth = plain_login(),
        "auth" if value == "all" => settings.auth = AuthOffer::Offered(Mechanisms::ALL),
        "auth" if value == "after_tls" => settings.auth = AuthOffer::AfterTls,
        "starttls" if value == "offered" => settings.starttls = StartTls::Offered,
        "starttls" if value == "required" => settings.starttls = StartTls::Required,
        "lmtp" => settings.lmtp = value == "true",
        "smtputf8" => settings.smtputf8 = value == "true",
        "chunking" => settings.chunking = value == "true",
        "dsn" => settings.dsn = value == "true",
        "require_tls" => settings.require_tls = value == "true",
        "priority" => settings.priority = value == "true",
        "deliver_by" => settings.deliver_by = value == "true",
        "hold_s_max" => settings.hold_s_max = number(),
        "limits" => settings.limits = value == "true",
        "vrfy" if value == "off" => settings.vrfy = Vrfy::Off,
        "vrfy" if value == "ask" => settings.vrfy = Vrfy::Ask,
        "pipelining" => settings.pipelining = value == "true",
        other => panic!("unknown setting {other} {value}"),
    }
}

fn plain_login() -> AuthOffer {
    AuthOffer::Offered([Mechanism::Plain, Mechanism::Login].into_iter().collect())
}

/// Plays a dialogue with reads of at most `size` octets.
fn play(dialog: &Dialog, size: usize) -> Result<(), String> {
    let mut driver = Driver::new(Server::new(Arc::new(dialog.settings.clone())));
    driver.server.refuse_early_commands(dialog.is_strict);
    driver.server.offer_xclient(dialog.is_trusted);
    driver.restarted = Some(Arc::new(dialog.settings.clone()));
    driver.protected = protected(&dialog.settings);
    match &dialog.refusal {
        Some(text) => driver.server.refuse(&reply_of(text), &mut driver.output),
        None => driver.server.greet(&mut driver.output),
    }
    driver.feed(b"");
    let mut lines: VecDeque<&Line> = dialog.lines.iter().collect();
    while let Some(line) = lines.pop_front() {
        check_line(line, &mut driver, size).map_err(|problem| format!("{line:?}: {problem}"))?;
    }
    match (driver.next_reply(), driver.messages.pop_front()) {
        (None, None) => Ok(()),
        (Some(reply), _) => Err(format!("a reply is left over: {reply}")),
        (None, Some(message)) => Err(format!("a message is left over: {:?}", message.content)),
    }
}

/// What holds after STARTTLS: it is not offered again, and AUTH is when it waited for it.
fn protected(settings: &ServerSettings) -> Option<Arc<ServerSettings>> {
    let auth = match settings.auth {
        AuthOffer::AfterTls => plain_login(),
        other => other,
    };
    let after = ServerSettings { starttls: StartTls::None, auth, ..settings.clone() };
    (settings.starttls != StartTls::None).then(|| Arc::new(after))
}

fn check_line(line: &Line, driver: &mut Driver, size: usize) -> Result<(), String> {
    match line {
        Line::Client(octets) => {
            octets.chunks(size.min(octets.len()).max(1)).for_each(|piece| driver.feed(piece))
        }
        Line::Answer { question, reply, closes } => driver.refuse_next(question, reply_of(reply), *closes),
        Line::Timeout => driver.server.timeout(&mut driver.output),
        Line::Shutdown => driver.server.shut_down(&mut driver.output),
        Line::Closed => {
            driver.feed(b"");
            return if driver.closed { Ok(()) } else { Err("the session is open".to_owned()) };
        }
        Line::Quiet => return driver.next_reply().map_or(Ok(()), |reply| Err(format!("got {reply}"))),
        Line::Server(expected) => {
            let reply = driver.next_reply().ok_or("got nothing")?;
            let matches = match expected.strip_suffix('*') {
                Some(start) => reply.starts_with(start),
                None => reply == *expected,
            };
            return if matches { Ok(()) } else { Err(format!("got {reply}")) };
        }
        Line::WholeReply(expected) => {
            let last =
                std::iter::from_fn(|| driver.next_reply()).find(|line| line.as_bytes().get(3) == Some(&b' '));
            let reply = last.ok_or("got no whole reply")?;
            return if reply.starts_with(expected) { Ok(()) } else { Err(format!("got {reply}")) };
        }
        Line::Content(expected) => {
            let message = driver.messages.front().ok_or("no message was handed over")?;
            let got = String::from_utf8_lossy(&message.content).into_owned();
            return if message.content == *expected { Ok(()) } else { Err(format!("got {got:?}")) };
        }
        Line::Envelope(expected) => {
            let message = driver.messages.pop_front().ok_or("no message was handed over")?;
            let got = format!("{} -> {}", message.sender, message.recipients.join(" "));
            return if got == *expected { Ok(()) } else { Err(format!("got {got}")) };
        }
    }
    Ok(())
}
