//! The answers to http-01 challenges (RFC 8555 8.3): one kind of request, and nothing else is served.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Challenges;

/// Answers requests for ever.
pub async fn serve_challenges(listener: TcpListener, challenges: Challenges) {
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        if running.len() >= CONNECTIONS_MAX {
            running.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let challenges = challenges.clone();
                running.spawn(async move {
                    // Whoever is slow or gone needs no answer.
                    let _ = timeout(PATIENCE, serve(stream, &challenges)).await;
                });
            }
            // Too many open files: connections that end make room.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn serve(mut stream: TcpStream, challenges: &Challenges) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > REQUEST_OCTETS_MAX || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match token(&request).and_then(|token| challenges.answer(token)) {
        Some(answer) => ("200 OK", answer),
        None => ("404 Not Found", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The token that a request asks for.
fn token(request: &[u8]) -> Option<&str> {
    let line = request.split(|octet| *octet == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_plain = method == "GET" && version.starts_with("HTTP/1.") && words.next().is_none();
    target.strip_prefix("/.well-known/acme-challenge/").filter(|_| is_plain)
}

const CONNECTIONS_MAX: usize = 64;
const REQUEST_OCTETS_MAX: usize = 8_192;
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_challenges_are_asked_for() {
        let read = |line: &str| token(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).map(str::to_owned);
        assert_eq!(read("GET /.well-known/acme-challenge/abc HTTP/1.1").as_deref(), Some("abc"));
        for other in [
            "POST /.well-known/acme-challenge/abc HTTP/1.1",
            "GET /.well-known/acme-challenge/abc HTTP/2",
            "GET /.well-known/acme-challenge/abc HTTP/1.1 x",
            "GET /etc/passwd HTTP/1.1",
            "",
            "GET",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
