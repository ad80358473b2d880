//! What a session runs over: TCP or a UNIX socket, in plain text or protected.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use baton_tls::ServerStream;
use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Sends what the system takes at once, without asking the runtime, which learns only later that a new socket is
    /// writable. How much that was.
    pub(crate) fn send_at_once(&self, octets: &[u8]) -> usize {
        let sent = match self {
            Socket::Tcp(stream) => SockRef::from(stream).send(octets),
            Socket::Unix(stream) => SockRef::from(stream).send(octets),
        };
        sent.unwrap_or(0)
    }

    /// True when the system has octets of the peer.
    fn has_input(&self) -> bool {
        let mut first = [std::mem::MaybeUninit::uninit()];
        let seen = match self {
            Socket::Tcp(stream) => SockRef::from(stream).peek(&mut first),
            Socket::Unix(stream) => SockRef::from(stream).peek(&mut first),
        };
        seen.is_ok_and(|octets| octets > 0)
    }

    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_read_ready(context),
            Socket::Unix(stream) => stream.poll_read_ready(context),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, octets),
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What waits in the system's buffers is still sent.
        Poll::Ready(match self.get_mut() {
            Socket::Tcp(stream) => SockRef::from(&*stream).shutdown(Shutdown::Write),
            Socket::Unix(stream) => SockRef::from(&*stream).shutdown(Shutdown::Write),
        })
    }
}

/// The connection of one session.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Protected(Box<ServerStream<Socket>>),
    /// The handshake took it, and failed.
    Gone,
}

impl Stream {
    /// Takes the socket out for the handshake.
    pub(crate) fn take_plain(&mut self) -> Option<Socket> {
        match std::mem::replace(self, Stream::Gone) {
            Stream::Plain(socket) => Some(socket),
            other => {
                *self = other;
                None
            }
        }
    }

    /// True when a read would find something, or when only a read can tell.
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(socket) => socket.poll_read_ready(context),
            // Octets that were decrypted with others wait in the connection, not in the socket.
            Stream::Protected(_) | Stream::Gone => Poll::Ready(Ok(())),
        }
    }

    /// True when the system has octets of the peer. Under TLS only a read can tell whether they are more than its own.
    pub(crate) fn has_input(&self) -> bool {
        match self {
            Stream::Plain(socket) => socket.has_input(),
            Stream::Protected(_) | Stream::Gone => false,
        }
    }

    /// Reads once into the room that `input` has.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(Socket::Tcp(stream)) => pin!(stream.read_buf(input)).poll(context),
            Stream::Plain(Socket::Unix(stream)) => pin!(stream.read_buf(input)).poll(context),
            Stream::Protected(stream) => pin!(stream.read_buf(input)).poll(context),
            Stream::Gone => Poll::Ready(Ok(0)),
        }
    }

    /// Sends what can be sent without waiting; see [`Socket::send_at_once`].
    pub(crate) fn send_at_once(&self, octets: &[u8]) -> usize {
        match self {
            Stream::Plain(socket) => socket.send_at_once(octets),
            Stream::Protected(_) | Stream::Gone => 0,
        }
    }

    /// Writes `octets` from `written` on, all of them, as far as the system.
    pub(crate) fn poll_write_all(
        &mut self,
        context: &mut Context<'_>,
        octets: &[u8],
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(self.writer()?);
        while let Some(rest) = octets.get(*written..).filter(|rest| !rest.is_empty()) {
            match ready!(stream.as_mut().poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written += count,
            }
        }
        stream.poll_flush(context)
    }

    /// Says that nothing follows: under protection first by TLS itself, so that nobody else can say it.
    pub(crate) fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.writer()?).poll_shutdown(context)
    }

    /// What an exchange can be bound to; none in plain text and below TLS 1.3.
    pub(crate) fn channel_binding(&self) -> Option<[u8; 32]> {
        match self {
            Stream::Protected(stream) => baton_tls::channel_binding(stream),
            Stream::Plain(_) | Stream::Gone => None,
        }
    }

    /// True under TLS.
    pub(crate) fn is_protected(&self) -> bool {
        matches!(self, Stream::Protected(_))
    }

    fn writer(&mut self) -> io::Result<&mut (dyn AsyncWrite + Unpin + Send)> {
        match self {
            Stream::Plain(socket) => Ok(socket),
            Stream::Protected(stream) => Ok(stream),
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
