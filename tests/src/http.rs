//! An HTTP server on loopback for what plugins ask: it remembers every request and answers by a function.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// Octets of a request's content that are taken.
const CONTENT_OCTETS_MAX: usize = 64 << 20;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Such as `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The header lines in lower case, without line ends.
    pub fields: Vec<String>,
    /// The content.
    pub content: Vec<u8>,
}

/// Status, header fields with their line ends, content.
pub type Answer = (u16, String, Vec<u8>);

type Script = dyn Fn(&Request) -> Answer;

/// A running server. Its threads end with the process.
pub struct HttpServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl HttpServer {
    /// Serves on a port of the system's choice; each request is answered with status, header fields and content.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Result<HttpServer> {
        HttpServer::start_at("127.0.0.1:0".parse()?, answer)
    }

    /// As [`HttpServer::start`], at an address of the test's choice.
    pub fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Result<HttpServer> {
        let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        let address = listener.local_addr()?;
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                // A client that goes away in the middle is no trouble of the server.
                thread::spawn(move || drop(serve(&stream, &*answer, &seen)));
            }
        });
        Ok(HttpServer { address, requests })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(stream: &TcpStream, answer: &Script, seen: &Mutex<Vec<Request>>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let (status, fields, content) = answer(&request);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let head = format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n", content.len());
        let mut writer = stream;
        writer.write_all(&[head.as_bytes(), &content].concat())?;
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> Result<Option<Request>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        fields.push(format!("{}: {}", name.to_ascii_lowercase(), value.trim()));
    }
    let length =
        fields.iter().find_map(|field| field.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    anyhow::ensure!(length <= CONTENT_OCTETS_MAX, "a request of {length} octets");
    let mut content = vec![0; length];
    reader.read_exact(&mut content)?;
    Ok(Some(Request { method, target, fields, content }))
}
