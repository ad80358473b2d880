//! The next hop: an SMTP or LMTP server that keeps every message with its envelope and answers as it is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use baton_mail::body::Content;
use baton_mail::mime::{MimeLimits, read_tree};

use crate::wait;

/// Where in the dialogue the sink asks its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A connection was opened.
    Greeting,
    /// EHLO, HELO or LHLO.
    Ehlo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, before its content.
    Data,
    /// The end of the content, by DATA or BDAT LAST. With LMTP once for each recipient.
    Message,
}

/// A moment at which the script may answer instead of the sink.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Where.
    pub step: Step,
    /// The line without its verb; the recipient at [`Step::Message`] of LMTP.
    pub argument: String,
    /// How often this step with this argument came before.
    pub times_before: usize,
}

/// What the script may say.
#[derive(Clone, Debug)]
pub enum Say {
    /// The ordinary answer.
    Yes,
    /// These octets instead; several lines are the script's business, the last CRLF is added.
    Line(String),
    /// Nothing: the connection is closed.
    Close,
    /// Nothing for so many milliseconds, then the ordinary answer.
    Stall(u64),
}

/// One message as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Counts connections from 0.
    pub connection: usize,
    /// The name after EHLO.
    pub helo: String,
    /// The return path, without brackets.
    pub sender: String,
    /// The parameters after the return path.
    pub parameters: String,
    /// The accepted recipients, without brackets.
    pub recipients: Vec<String>,
    /// The parameters after each of them.
    pub recipient_parameters: Vec<String>,
    /// The content, dots removed, exactly as it was sent otherwise.
    pub content: Vec<u8>,
    /// True when it came by BDAT.
    pub chunked: bool,
}

impl Received {
    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// The text parts, decoded, in their order.
    pub fn texts(&self) -> Result<Vec<String>> {
        let content = Content::split(self.content.clone().into());
        let tree = Arc::new(read_tree(&content, &MimeLimits::default())?);
        let parts = (0..tree.len()).filter_map(|index| tree.part(index, &content));
        let texts = parts.filter(|part| part.content_type().starts_with("text/"));
        Ok(texts.map(|part| part.text(usize::MAX, false)).collect())
    }

    /// The unfolded value of the first header field of that name.
    pub fn header(&self, name: &str) -> Option<String> {
        crate::message::header(&self.text(), name)
    }

    /// Octets CR or LF that stand alone.
    pub fn bare_line_ends(&self) -> usize {
        crate::message::bare_line_ends(&self.content)
    }
}

type Script = dyn Fn(&Moment) -> Say + Send + Sync;

/// What the server offers and how it answers.
#[derive(Clone)]
pub struct Behaviour {
    /// Names listed after EHLO.
    pub extensions: Vec<&'static str>,
    /// LHLO instead of EHLO, and one reply for each recipient (RFC 2033).
    pub lmtp: bool,
    script: Arc<Script>,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            extensions: vec![
                "PIPELINING",
                "8BITMIME",
                "SMTPUTF8",
                "ENHANCEDSTATUSCODES",
                "CHUNKING",
                "SIZE 0",
            ],
            lmtp: false,
            script: Arc::new(|_| Say::Yes),
        }
    }
}

impl Behaviour {
    /// Answers by a script.
    pub fn script(script: impl Fn(&Moment) -> Say + Send + Sync + 'static) -> Behaviour {
        Behaviour { script: Arc::new(script), ..Behaviour::default() }
    }

    /// Offers only these extensions.
    pub fn offering(mut self, extensions: &[&'static str]) -> Behaviour {
        self.extensions = extensions.to_vec();
        self
    }

    /// Speaks LMTP.
    pub fn lmtp(mut self) -> Behaviour {
        self.lmtp = true;
        self
    }
}

#[derive(Default)]
struct Kept {
    messages: Vec<Received>,
    connections: usize,
    times: HashMap<(Step, String), usize>,
}

/// A running server; its threads end with the test's process.
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    kept: Mutex<Kept>,
    changed: Condvar,
    behaviour: Behaviour,
}

impl Sink {
    /// A server that takes everything.
    pub fn start() -> Result<Sink> {
        Sink::with(Behaviour::default())
    }

    /// A server that behaves as told, on a port that the system chooses.
    pub fn with(behaviour: Behaviour) -> Result<Sink> {
        Sink::at("127.0.0.1:0".parse()?, behaviour)
    }

    /// A server at an address of the test's choice.
    pub fn at(address: SocketAddr, behaviour: Behaviour) -> Result<Sink> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { kept: Mutex::default(), changed: Condvar::new(), behaviour });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that goes away ends its own connection only.
                thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Ok(Sink { address, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The messages so far.
    pub fn messages(&self) -> Vec<Received> {
        self.state.lock().messages.clone()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }

    /// How often a step was reached so far, whatever its argument.
    pub fn times(&self, step: Step) -> usize {
        self.state.lock().times.iter().filter(|((at, _), _)| *at == step).map(|(_, times)| times).sum()
    }

    /// Waits until `count` messages are there; fails when they do not come.
    pub fn wait_for(&self, count: usize) -> Result<Vec<Received>> {
        self.wait_within(count, wait::LONG)
    }

    /// As [`Sink::wait_for`], with a bound of its own.
    pub fn wait_within(&self, count: usize, bound: Duration) -> Result<Vec<Received>> {
        let kept = self.state.lock();
        let enough = self.state.changed.wait_timeout_while(kept, bound, |kept| kept.messages.len() < count);
        let (kept, _) = enough.unwrap_or_else(PoisonError::into_inner);
        if kept.messages.len() < count {
            bail!("the sink has {} of {count} messages", kept.messages.len());
        }
        Ok(kept.messages.clone())
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, step: Step, argument: &str) -> Say {
        let times_before = {
            let mut kept = self.lock();
            let times = kept.times.entry((step, argument.to_owned())).or_default();
            *times += 1;
            *times - 1
        };
        (self.behaviour.script)(&Moment { step, argument: argument.to_owned(), times_before })
    }

    fn keep(&self, message: Received) {
        self.lock().messages.push(message);
        self.changed.notify_all();
    }
}

/// The envelope and content that are being received.
#[derive(Default)]
struct Draft {
    helo: String,
    sender: Option<(String, String)>,
    recipients: Vec<String>,
    recipient_parameters: HashMap<String, String>,
    chunks: Vec<u8>,
    chunked: bool,
}

impl Draft {
    fn reset(&mut self) {
        *self = Draft { helo: std::mem::take(&mut self.helo), ..Draft::default() };
    }
}

struct Connection<'a> {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
    state: &'a State,
    number: usize,
    draft: Draft,
}

/// True when the connection goes on.
type GoesOn = bool;

fn serve(stream: TcpStream, state: &State) -> Result<()> {
    stream.set_nodelay(true)?;
    let number = {
        let mut kept = state.lock();
        kept.connections += 1;
        kept.connections - 1
    };
    let reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
    let mut connection = Connection { reader, stream, state, number, draft: Draft::default() };
    if !connection.answer(Step::Greeting, "", "220 sink.example ESMTP")?.0 {
        return Ok(());
    }
    while let Some(line) = connection.read_line()? {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !connection.handle(&line)? {
            break;
        }
    }
    Ok(())
}

impl Connection<'_> {
    fn handle(&mut self, line: &str) -> Result<GoesOn> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" | "LHLO" => self.handle_ehlo(argument),
            "MAIL" => self.handle_mail(argument),
            "RCPT" => self.handle_rcpt(argument),
            "DATA" => self.handle_data(),
            "BDAT" => self.handle_chunk(argument),
            "RSET" => {
                self.draft.reset();
                self.write("250 2.0.0 reset")
            }
            "NOOP" => self.write("250 2.0.0 ok"),
            "QUIT" => self.write("221 2.0.0 bye").map(|_| false),
            _ => self.write("500 5.5.1 unknown"),
        }
    }

    fn handle_ehlo(&mut self, name: &str) -> Result<GoesOn> {
        self.draft = Draft { helo: name.to_owned(), ..Draft::default() };
        let mut lines = vec!["sink.example".to_owned()];
        lines.extend(self.state.behaviour.extensions.iter().map(|name| (*name).to_owned()));
        let last = lines.len() - 1;
        let reply = lines
            .iter()
            .enumerate()
            .map(|(at, line)| format!("250{}{line}", if at == last { ' ' } else { '-' }));
        let reply = reply.collect::<Vec<_>>().join("\r\n");
        Ok(self.answer(Step::Ehlo, name, &reply)?.0)
    }

    fn handle_mail(&mut self, argument: &str) -> Result<GoesOn> {
        self.draft.reset();
        let (path, parameters) = path_of(argument);
        let (goes_on, accepted) = self.answer(Step::Mail, &path, "250 2.1.0 ok")?;
        if accepted {
            self.draft.sender = Some((path, parameters));
        }
        Ok(goes_on)
    }

    fn handle_rcpt(&mut self, argument: &str) -> Result<GoesOn> {
        if self.draft.sender.is_none() {
            return self.write("503 5.5.1 MAIL first");
        }
        let (path, parameters) = path_of(argument);
        let (goes_on, accepted) = self.answer(Step::Rcpt, &path, "250 2.1.5 ok")?;
        if accepted {
            self.draft.recipient_parameters.insert(path.clone(), parameters);
            self.draft.recipients.push(path);
        }
        Ok(goes_on)
    }

    fn handle_data(&mut self) -> Result<GoesOn> {
        if self.draft.recipients.is_empty() {
            return self.write("503 5.5.1 RCPT first");
        }
        let (goes_on, accepted) = self.answer(Step::Data, "", "354 go on")?;
        if !goes_on || !accepted {
            return Ok(goes_on);
        }
        let mut content = Vec::new();
        loop {
            let Some(line) = self.read_line()? else { return Ok(false) };
            if line == b".\r\n" {
                break;
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        self.finish(content)
    }

    fn handle_chunk(&mut self, argument: &str) -> Result<GoesOn> {
        let mut words = argument.split_whitespace();
        let len: u64 = words.next().unwrap_or_default().parse()?;
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let mut chunk = Vec::new();
        self.reader.by_ref().take(len).read_to_end(&mut chunk)?;
        if (chunk.len() as u64) < len {
            return Ok(false);
        }
        if self.draft.recipients.is_empty() {
            return self.write("503 5.5.1 RCPT first");
        }
        self.draft.chunked = true;
        self.draft.chunks.extend_from_slice(&chunk);
        if !last {
            return self.write("250 2.0.0 chunk");
        }
        let content = std::mem::take(&mut self.draft.chunks);
        self.finish(content)
    }

    /// Answers for the message and keeps it for those recipients whose answer was positive.
    fn finish(&mut self, content: Vec<u8>) -> Result<GoesOn> {
        let recipients = std::mem::take(&mut self.draft.recipients);
        let mut taken = Vec::new();
        if self.state.behaviour.lmtp {
            for recipient in recipients {
                let (goes_on, accepted) = self.answer(Step::Message, &recipient, "250 2.0.0 kept")?;
                if !goes_on {
                    return Ok(false);
                }
                if accepted {
                    taken.push(recipient);
                }
            }
        } else {
            let say = self.state.ask(Step::Message, "");
            if says_yes(&say) {
                self.keep(recipients, content);
                self.draft.reset();
                return Ok(self.say(say, "250 2.0.0 kept")?.0);
            }
            return Ok(self.say(say, "")?.0);
        }
        if !taken.is_empty() {
            self.keep(taken, content);
        }
        self.draft.reset();
        Ok(true)
    }

    fn keep(&mut self, recipients: Vec<String>, content: Vec<u8>) {
        let (sender, parameters) = self.draft.sender.clone().unwrap_or_default();
        let helo = self.draft.helo.clone();
        let chunked = self.draft.chunked;
        let parameters_of =
            |recipient: &String| self.draft.recipient_parameters.get(recipient).cloned().unwrap_or_default();
        let recipient_parameters = recipients.iter().map(parameters_of).collect();
        self.state.keep(Received {
            connection: self.number,
            helo,
            sender,
            parameters,
            recipients,
            recipient_parameters,
            content,
            chunked,
        });
    }

    fn answer(&mut self, step: Step, argument: &str, ordinary: &str) -> Result<(GoesOn, bool)> {
        let say = self.state.ask(step, argument);
        self.say(say, ordinary)
    }

    /// Carries out what the script said: whether the connection goes on, and whether the answer was positive.
    fn say(&mut self, say: Say, ordinary: &str) -> Result<(GoesOn, bool)> {
        match say {
            Say::Yes => Ok((self.write(ordinary)?, true)),
            Say::Line(line) => {
                let accepted = line.starts_with(['2', '3']);
                let closes = line.starts_with("421");
                self.write(&line)?;
                Ok((!closes, accepted))
            }
            Say::Close => Ok((false, false)),
            Say::Stall(milliseconds) => {
                thread::sleep(Duration::from_millis(milliseconds));
                Ok((self.write(ordinary)?, true))
            }
        }
    }

    fn write(&mut self, line: &str) -> Result<GoesOn> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        Ok(true)
    }

    /// A line up to and with CRLF: a bare LF ends no line here. None at the end of the connection.
    fn read_line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            if line.ends_with(b"\r\n") {
                return Ok(Some(line));
            }
        }
    }
}

fn says_yes(say: &Say) -> bool {
    match say {
        Say::Yes | Say::Stall(_) => true,
        Say::Line(line) => line.starts_with('2'),
        Say::Close => false,
    }
}

/// The path without brackets, and the parameters, of `FROM:<a@b> SIZE=1`.
fn path_of(argument: &str) -> (String, String) {
    let after = argument.split_once(':').map_or("", |(_, rest)| rest).trim_start();
    match after.strip_prefix('<').and_then(|rest| rest.rsplit_once('>')) {
        Some((path, parameters)) => (path.to_owned(), parameters.trim().to_owned()),
        None => (after.to_owned(), String::new()),
    }
}
