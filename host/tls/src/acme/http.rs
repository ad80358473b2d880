//! The answers to http-01 challenges (RFC 8555 8.3): one kind of request, and nothing else is served.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Challenges;

/// One request.
pub(super) async fn serve(mut stream: TcpStream, challenges: &Challenges) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > REQUEST_OCTETS_MAX || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match token(&request).and_then(|token| challenges.text(token)) {
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

const REQUEST_OCTETS_MAX: usize = 8_192;

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
