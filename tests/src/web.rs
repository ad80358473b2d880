//! An HTTP server on loopback that keeps every request and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::wait;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The content, chunks put together.
    pub body: Vec<u8>,
}

impl Asked {
    /// The first value of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All values of that name, in any case.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What the server says: status and body.
pub type Answer = (u16, String);

type Script = dyn Fn(&Asked, usize) -> Answer + Send + Sync;

/// A running server; its threads end with the test's process.
pub struct Web {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    asked: Mutex<Vec<Asked>>,
    changed: Condvar,
    script: Box<Script>,
}

impl Web {
    /// Answers by a script, which is told how many requests came before.
    pub fn start(script: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Result<Web> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state =
            Arc::new(State { asked: Mutex::default(), changed: Condvar::new(), script: Box::new(script) });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that goes away ends its own connection only.
                thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Ok(Web { address, state })
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().clone()
    }

    /// Waits until `count` requests are there; fails when they do not come.
    pub fn wait_for(&self, count: usize) -> Result<Vec<Asked>> {
        let asked = self.state.lock();
        let enough = self.state.changed.wait_timeout_while(asked, wait::LONG, |asked| asked.len() < count);
        let (asked, _) = enough.unwrap_or_else(PoisonError::into_inner);
        if asked.len() < count {
            bail!("the server was asked {} of {count} times", asked.len());
        }
        Ok(asked.clone())
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: TcpStream, state: &State) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(asked) = read_request(&mut reader, &mut stream)? {
        let before = state.lock().len();
        let (status, body) = (state.script)(&asked, before);
        // Kept only now, so that who waits for it finds the answer on its way.
        state.lock().push(asked);
        state.changed.notify_all();
        let answer = format!(
            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<TcpStream>, stream: &mut TcpStream) -> Result<Option<Asked>> {
    let Some(line) = read_line(reader)? else { return Ok(None) };
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().context("no target")?);
    let mut asked =
        Asked { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() };
    while let Some(line) = read_line(reader)?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').context("no header field")?;
        asked.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    if asked.header("Expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if asked.header("Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        asked.body = read_chunks(reader)?;
    } else if let Some(octets) = asked.header("Content-Length") {
        let mut body = vec![0; octets.parse()?];
        reader.read_exact(&mut body)?;
        asked.body = body;
    }
    Ok(Some(asked))
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?.context("a chunk without size")?;
        let octets = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
        let mut chunk = vec![0; octets];
        reader.read_exact(&mut chunk)?;
        body.append(&mut chunk);
        read_line(reader)?;
        if octets == 0 {
            return Ok(body);
        }
    }
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}
