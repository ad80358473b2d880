//! A client that sends exactly the octets it is told to: for split writes, broken line ends and wrong orders.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, SockRef, Socket, Type};

/// How long a reply may take before the test fails, in seconds. Long: the machine may be busy.
const REPLY_S_MAX: u64 = 60;

/// One connection to a server.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

/// A reply with all its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The three-digit code.
    pub code: u16,
    /// The text of each line, without code and line end.
    pub lines: Vec<String>,
}

impl Answer {
    /// The lines as one text.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// The message id in `250 2.0.0 queued as ID`.
    pub fn message_id(&self) -> Result<String> {
        let text = self.text();
        let (_, id) = text.split_once("queued as ").with_context(|| format!("no message id in {self}"))?;
        Ok(id.split_whitespace().next().unwrap_or_default().to_owned())
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.code, self.lines.join(" / "))
    }
}

impl Client {
    /// Connects and says nothing yet.
    pub fn connect(address: SocketAddr) -> Result<Client> {
        Client::over(TcpStream::connect(address).with_context(|| format!("connect to {address}"))?)
    }

    /// Connects from a local address of the test's choice.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Result<Client> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect(&address.into()).with_context(|| format!("connect to {address} from {source}"))?;
        Client::over(socket.into())
    }

    /// A client on a connection that there is already.
    pub fn over(stream: TcpStream) -> Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(REPLY_S_MAX)))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Client { stream, reader })
    }

    /// Connects, takes the greeting and says EHLO.
    pub fn greeted(address: SocketAddr) -> Result<Client> {
        let mut client = Client::connect(address)?;
        client.expect_reply(220)?;
        client.expect("EHLO client.example", 250)?;
        Ok(client)
    }

    /// Writes octets as they are, in one write.
    pub fn write(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.write_all(octets)?;
        Ok(())
    }

    /// Lets a write fail that nobody takes for so many seconds.
    pub fn give_up_writing_after(&mut self, seconds: u64) -> Result<()> {
        Ok(self.stream.set_write_timeout(Some(Duration::from_secs(seconds)))?)
    }

    /// Reads one reply, however many lines it has.
    pub fn reply(&mut self) -> Result<Answer> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let count =
                self.reader.by_ref().take(64 * 1024).read_until(b'\n', &mut line).context("read a reply")?;
            ensure!(count > 0, "the server closed the connection after {lines:?}");
            ensure!(
                line.ends_with(b"\r\n"),
                "a reply line without CRLF: {:?}",
                String::from_utf8_lossy(&line)
            );
            let line = String::from_utf8(line).context("a reply that is no UTF-8")?;
            let line = line.trim_end_matches("\r\n");
            ensure!(
                line.chars().all(|character| !character.is_control()),
                "control character in reply {line:?}"
            );
            let code = line
                .get(..3)
                .and_then(|code| code.parse().ok())
                .with_context(|| format!("no code in {line:?}"))?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            match line.as_bytes().get(3) {
                Some(b'-') => {}
                Some(b' ') | None => return Ok(Answer { code, lines }),
                Some(other) => bail!("unexpected {:?} after the code in {line:?}", char::from(*other)),
            }
        }
    }

    /// Reads one reply and checks its code.
    pub fn expect_reply(&mut self, code: u16) -> Result<Answer> {
        let answer = self.reply()?;
        ensure!(answer.code == code, "expected {code}, got {answer}");
        Ok(answer)
    }

    /// Sends a line and reads its reply.
    pub fn command(&mut self, line: &str) -> Result<Answer> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply().with_context(|| format!("after {line:?}"))
    }

    /// Sends a line and checks the code of its reply.
    pub fn expect(&mut self, line: &str, code: u16) -> Result<Answer> {
        let answer = self.command(line)?;
        ensure!(answer.code == code, "{line:?}: expected {code}, got {answer}");
        Ok(answer)
    }

    /// Sends an envelope and a message with DATA; returns the reply to the end of data, or the first refusal.
    pub fn send(&mut self, sender: &str, recipients: &[&str], message: &[u8]) -> Result<Answer> {
        let answer = self.command(&format!("MAIL FROM:<{sender}>"))?;
        if answer.code != 250 {
            return Ok(answer);
        }
        for recipient in recipients {
            let answer = self.command(&format!("RCPT TO:<{recipient}>"))?;
            if answer.code / 100 != 2 {
                self.command("RSET")?;
                return Ok(answer);
            }
        }
        self.data(message)
    }

    /// DATA with a message whose lines end with CRLF; dots are doubled here.
    pub fn data(&mut self, message: &[u8]) -> Result<Answer> {
        let answer = self.command("DATA")?;
        if answer.code != 354 {
            return Ok(answer);
        }
        self.write(&stuffed(message))?;
        self.reply().context("after the end of data")
    }

    /// True when the server closes the connection without saying more.
    pub fn is_closed(&mut self) -> bool {
        let mut octet = [0];
        matches!(self.reader.read(&mut octet), Ok(0) | Err(_))
    }

    /// Closes our half of the connection.
    pub fn close_write(&mut self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        Ok(())
    }

    /// Ends the connection with a reset, so that the server learns at once that nobody is there.
    pub fn reset(self) -> Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        Ok(())
    }
}

/// A message as DATA carries it: dots at the start of lines doubled, and the end mark.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 64);
    let mut at_line_start = true;
    for octet in message {
        if at_line_start && *octet == b'.' {
            wire.push(b'.');
        }
        wire.push(*octet);
        at_line_start = *octet == b'\n' && wire.ends_with(b"\r\n");
    }
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
