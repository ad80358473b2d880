//! The socket of one session, its two buffers and its one timer.
//!
//! While a session waits, both buffers are empty and hold no memory: a buffer is taken when octets are there to be
//! read, and dropped when they are used up.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use baton_mail::TlsFacts;
use baton_tls::{HandshakeFailure, TlsServer};
use bytes::BytesMut;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::stream::{Socket, Stream};

/// What ended a wait.
#[derive(Debug)]
pub(super) enum Arrival {
    /// So many octets are in the input buffer now.
    Octets(usize),
    /// The client closed its side.
    End,
    /// The connection broke.
    Broken,
    /// The deadline passed.
    Late,
    /// The relay is about to stop.
    Stop,
}

/// Why replies could not be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum WriteFailure {
    /// The connection broke.
    Broken,
    /// The client did not read within the deadline.
    Late,
}

/// One connection.
pub(super) struct Wire {
    stream: Stream,
    /// What the client sent and the machine did not use yet.
    pub(super) input: BytesMut,
    /// Replies that wait to be written: all replies of a batch leave in one write.
    pub(super) output: Vec<u8>,
    timer: Timer,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    read_octets: usize,
}

impl Wire {
    pub(super) fn new(socket: Socket, stop: CancellationToken, due: Instant) -> Wire {
        Wire {
            stream: Stream::Plain(socket),
            input: BytesMut::new(),
            output: Vec::new(),
            timer: Timer { due, sleep: None },
            stop: Box::pin(stop.cancelled_owned()),
            read_octets: READ_OCTETS_MIN,
        }
    }

    /// Sets the moment at which [`Wire::wait`] gives up.
    pub(super) fn set_deadline(&mut self, due: Instant) {
        self.timer.due = due;
    }

    /// Waits for octets until the deadline, or until the relay stops when `stoppable`.
    pub(super) async fn wait(&mut self, stoppable: bool) -> Arrival {
        poll_fn(|context| self.poll_wait(context, stoppable)).await
    }

    fn poll_wait(&mut self, context: &mut Context<'_>, stoppable: bool) -> Poll<Arrival> {
        if let Poll::Ready(arrival) = self.poll_read(context) {
            return Poll::Ready(arrival);
        }
        if stoppable && self.stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(Arrival::Stop);
        }
        self.timer.poll(context).map(|()| Arrival::Late)
    }

    /// Reads once. The buffer is taken only when the socket says that there is something.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Arrival> {
        if ready!(self.stream.poll_read_ready(context)).is_err() {
            return Poll::Ready(Arrival::Broken);
        }
        if self.input.capacity() - self.input.len() < self.read_octets / 2 {
            self.input.reserve(self.read_octets);
        }
        // A read through `poll_read` notes by itself that a socket is drained, which spares a call that finds nothing.
        match self.stream.poll_read(context, &mut self.input) {
            Poll::Ready(Ok(0)) => Poll::Ready(Arrival::End),
            Poll::Ready(Ok(octets)) => {
                // Content that arrives faster than it is read is worth larger reads.
                let full = octets >= self.read_octets;
                self.read_octets = if full { READ_OCTETS_MAX.min(octets * 4) } else { READ_OCTETS_MIN };
                Poll::Ready(Arrival::Octets(octets))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Arrival::Broken),
            Poll::Pending => {
                self.release_input();
                Poll::Pending
            }
        }
    }

    /// True when the client sent something that was not read yet, as far as that can be seen without waiting.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty() || self.stream.has_input()
    }

    /// Lets time pass; true when the relay is about to stop, which ends the pause.
    pub(super) async fn pause(&mut self, until: Instant, stoppable: bool) -> bool {
        self.timer.due = until;
        poll_fn(|context| {
            if stoppable && self.stop.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            self.timer.poll(context).map(|()| false)
        })
        .await
    }

    /// Gives the input buffer back when everything in it was used.
    pub(super) fn release_input(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// Writes all replies, or fails when the client does not take them by `due`.
    pub(super) async fn flush(&mut self, due: Instant) -> Result<(), WriteFailure> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        let mut written = self.stream.send_at_once(&output);
        if written == output.len() {
            return Ok(());
        }
        self.timer.due = due;
        poll_fn(|context| match self.stream.poll_write_all(context, &output, &mut written) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(WriteFailure::Broken)),
            Poll::Pending => self.timer.poll(context).map(|()| Err(WriteFailure::Late)),
        })
        .await
    }

    /// The handshake as the server, complete by `due`. What came in plain text before it is dropped (RFC 3207 6); when
    /// it fails, the connection is gone.
    pub(super) async fn protect(
        &mut self,
        tls: &TlsServer,
        due: Instant,
    ) -> Result<TlsFacts, HandshakeFailure> {
        self.input = BytesMut::new();
        let Some(socket) = self.stream.take_plain() else {
            return Err(HandshakeFailure::Gone(std::io::ErrorKind::NotConnected.into()));
        };
        // Boxed, so that a session in plain text does not carry the room of a handshake.
        let handshake = Box::pin(tls.accept(socket));
        let (stream, facts) = self.bound(due, handshake).await.unwrap_or(Err(HandshakeFailure::Late))?;
        self.stream = Stream::Protected(Box::new(stream));
        Ok(facts)
    }

    /// Runs `future` until `due`; none when it did not end. The future is dropped then.
    pub(super) async fn bound<F: Future>(&mut self, due: Instant, future: F) -> Option<F::Output> {
        self.timer.due = due;
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.timer.poll(context).map(|()| None),
        })
        .await
    }

    /// Says that nothing follows; false when the client is gone or does not listen.
    pub(super) async fn finish(&mut self) -> bool {
        self.timer.due = Instant::now() + LINGER;
        poll_fn(|context| match self.stream.poll_finish(context) {
            Poll::Ready(finished) => Poll::Ready(finished.is_ok()),
            Poll::Pending => self.timer.poll(context).map(|()| false),
        })
        .await
    }

    /// What an exchange can be bound to; see [`Stream::channel_binding`].
    pub(super) fn channel_binding(&self) -> Option<[u8; 32]> {
        self.stream.channel_binding()
    }

    /// True under TLS.
    pub(super) fn is_protected(&self) -> bool {
        self.stream.is_protected()
    }

    /// Closes without a reset, which could overtake the last reply: says that nothing follows, and drops what the
    /// client still sends for a short while.
    pub(super) async fn linger(&mut self) {
        if !self.finish().await {
            return;
        }
        let mut dropped = 0;
        while let Arrival::Octets(octets) = self.wait(false).await {
            self.input.clear();
            dropped += octets;
            if dropped > LINGER_OCTETS_MAX {
                return;
            }
        }
    }
}

/// One timer for all deadlines of a session. Moving the deadline writes a number; the runtime's timer is touched only
/// when the new deadline comes before the old one, or when the old one passed.
struct Timer {
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let due = self.due;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

/// Room for one read: a whole pipelined batch, or a small message.
const READ_OCTETS_MIN: usize = 8 << 10;
/// Room for one read of content that keeps coming.
const READ_OCTETS_MAX: usize = 128 << 10;
/// How long a closed session still takes octets from its client.
const LINGER: Duration = Duration::from_secs(2);
/// How many octets it takes.
const LINGER_OCTETS_MAX: usize = 1 << 20;
