//! A next hop that follows a script, right or wrong, over a real socket.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_tls::TlsServer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// One step of a script.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Write this.
    Say(&'static str),
    /// Read one line.
    Line,
    /// Read lines until one is a single dot.
    Content,
    /// Read a `BDAT n LAST` line and its octets.
    Chunk,
    /// Write this over and over until the peer has enough.
    Flood(&'static str),
    /// Write this octet by octet, over and over, with a pause before each.
    Drip(&'static str),
    /// Read and say nothing for ever.
    Silence,
    /// The TLS handshake as the server; what follows is protected.
    Protect(Arc<TlsServer>),
    /// Wait for the test to add a permit.
    Wait(Arc<Semaphore>),
    /// Go through these steps for each further message, while the peer goes on.
    Repeat(Vec<Step>),
}

pub(crate) use Step::{Chunk, Content, Drip, Flood, Line, Protect, Repeat, Say, Silence, Wait};

/// The running next hop; it ends with this.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    _task: JoinSet<()>,
}

/// What the next hop was told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) connections: usize,
    /// Where they came from.
    pub(crate) clients: Vec<IpAddr>,
    /// Command lines, of all connections.
    pub(crate) lines: Vec<String>,
    /// Contents as they came over the wire, without the end mark.
    pub(crate) contents: Vec<Vec<u8>>,
}

impl Peer {
    /// Serves connection n by script n; further ones by the last script. A script that ends closes.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut task = JoinSet::new();
        let shared = heard.clone();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            let mut number = 0;
            while let Ok((stream, client)) = listener.accept().await {
                let script = scripts.get(number).or(scripts.last()).cloned().unwrap_or_default();
                number += 1;
                {
                    let mut heard = shared.lock().unwrap();
                    heard.connections += 1;
                    heard.clients.push(client.ip());
                }
                connections.spawn(serve(stream, script, shared.clone()));
            }
        });
        Peer { address, heard, _task: task }
    }

    /// A look at what it was told so far.
    pub(crate) fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap())
    }

    /// Command lines that begin so.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.heard(|heard| heard.lines.iter().filter(|line| line.starts_with(start)).count())
    }
}

/// Boxed, because a script may hold scripts.
type Steps<'a> = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>>;

/// What a script is played over.
type Wire = BufReader<Box<dyn Octets>>;

trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Octets for S {}

async fn serve(stream: TcpStream, script: Vec<Step>, heard: Arc<Mutex<Heard>>) {
    let mut stream: Wire = BufReader::new(Box::new(stream));
    // The other side may go at any time; that ends the script.
    let _ = follow(&mut stream, &script, &heard).await;
    // Closing with unread octets would reset the connection and take our last reply with it.
    let _ = stream.get_mut().shutdown().await;
    let _ =
        tokio::time::timeout(Duration::from_secs(2), tokio::io::copy(&mut stream, &mut tokio::io::sink()))
            .await;
}

fn follow<'a>(stream: &'a mut Wire, script: &'a [Step], heard: &'a Mutex<Heard>) -> Steps<'a> {
    Box::pin(async move {
        for step in script {
            match step {
                Say(text) => {
                    stream.get_mut().write_all(text.as_bytes()).await?;
                    stream.get_mut().flush().await?;
                }
                Line => {
                    let line = read_line(stream).await?;
                    heard.lock().unwrap().lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
                Content => {
                    let mut content = Vec::new();
                    loop {
                        let line = read_line(stream).await?;
                        if line == b".\r\n" {
                            break;
                        }
                        content.extend(line);
                    }
                    heard.lock().unwrap().contents.push(content);
                }
                Chunk => {
                    let line = String::from_utf8_lossy(&read_line(stream).await?).trim_end().to_owned();
                    let len = line.split(' ').nth(1).and_then(|len| len.parse().ok()).unwrap_or(0);
                    let mut content = vec![0; len];
                    stream.read_exact(&mut content).await?;
                    let mut heard = heard.lock().unwrap();
                    heard.lines.push(line);
                    heard.contents.push(content);
                }
                Flood(text) => loop {
                    stream.get_mut().write_all(text.as_bytes()).await?;
                },
                Drip(text) => loop {
                    for octet in text.as_bytes() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        stream.get_mut().write_all(std::slice::from_ref(octet)).await?;
                    }
                },
                Silence => {
                    tokio::io::copy(stream, &mut tokio::io::sink()).await?;
                }
                Protect(server) => {
                    let nothing: Box<dyn Octets> = Box::new(tokio::io::empty());
                    let plain = std::mem::replace(stream, BufReader::new(nothing)).into_inner();
                    let (protected, _) = server.accept(plain).await.map_err(std::io::Error::other)?;
                    *stream = BufReader::new(Box::new(protected));
                }
                Wait(permits) => permits.acquire().await.map_err(std::io::Error::other)?.forget(),
                Repeat(steps) => loop {
                    follow(stream, steps, heard).await?;
                },
            }
        }
        Ok(())
    })
}

async fn read_line(stream: &mut Wire) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    match stream.read_until(b'\n', &mut line).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

/// Greeting and EHLO of a next hop without extensions.
pub(crate) fn hello() -> Vec<Step> {
    vec![Say("220 peer ESMTP\r\n"), Line, Say("250 peer\r\n")]
}

/// Greeting and EHLO with PIPELINING.
pub(crate) fn hello_pipelining() -> Vec<Step> {
    vec![Say("220 peer ESMTP\r\n"), Line, Say("250-peer\r\n250 PIPELINING\r\n")]
}

/// Takes one message to one recipient, by DATA.
pub(crate) fn take_one() -> Vec<Step> {
    vec![
        Line,
        Say("250 2.1.0 sender ok\r\n"),
        Line,
        Say("250 2.1.5 recipient ok\r\n"),
        Line,
        Say("354 go on\r\n"),
        Content,
        Say("250 2.0.0 taken\r\n"),
    ]
}

/// One script of several parts.
pub(crate) fn script(parts: impl IntoIterator<Item = Vec<Step>>) -> Vec<Step> {
    parts.into_iter().flatten().collect()
}
