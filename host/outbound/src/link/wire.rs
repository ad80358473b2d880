//! Octets between the socket and the machine, each wait with its deadline.

use std::fmt;
use std::io::{self, IoSlice};
use std::time::Duration;

use baton_smtp::client::{ClientPhase, ClientStep, ProtocolError};
use baton_tls::io_in_words;
use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Link;
use crate::settings::{OutboundSettings, TimeoutSettings};

/// Room made for each read. Replies are short, and an idle link should be small.
const READ_OCTETS: usize = 1_024;
/// Pieces in one vectored write at most.
const PIECES_MAX: usize = 64;
/// Octets that the peer must take within one deadline.
const BLOCK_OCTETS: usize = 65_536;
/// How long a peer that closed its side is listened to: it may have said why.
const LAST_WORDS_BOUND: Duration = Duration::from_secs(2);

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Broken {
    /// The deadline of the phase passed.
    Late(ClientPhase),
    /// The peer closed.
    Closed(ClientPhase),
    /// The network failed.
    Failed(ClientPhase, io::Error),
    /// The peer does not speak the protocol.
    Protocol(ClientPhase, ProtocolError),
}

impl Broken {
    /// What was waited for.
    pub(super) fn phase(&self) -> ClientPhase {
        match self {
            Broken::Late(phase)
            | Broken::Closed(phase)
            | Broken::Failed(phase, _)
            | Broken::Protocol(phase, _) => *phase,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = step_name(self.phase());
        match self {
            Broken::Late(_) => write!(formatter, "no answer in time: {step}"),
            Broken::Closed(_) => write!(formatter, "the connection was closed: {step}"),
            Broken::Failed(_, error) => {
                write!(formatter, "the connection failed: {step}: {}", io_in_words(error))
            }
            Broken::Protocol(_, error) => write!(formatter, "the peer broke the protocol: {step}: {error}"),
        }
    }
}

/// What we were doing, for people.
fn step_name(phase: ClientPhase) -> &'static str {
    match phase {
        ClientPhase::Greeting => "waiting for the greeting",
        ClientPhase::Ehlo => "waiting for the answer to EHLO",
        ClientPhase::StartTls => "waiting for the answer to STARTTLS",
        ClientPhase::Auth => "waiting for the answer to AUTH",
        ClientPhase::Idle | ClientPhase::Quit | ClientPhase::Closed => "between messages",
        ClientPhase::Mail => "waiting for the answer to MAIL",
        ClientPhase::Rcpt => "waiting for the answer to RCPT",
        ClientPhase::DataStart => "waiting for the answer to DATA",
        ClientPhase::Body => "sending the message",
        ClientPhase::FinalReply => "waiting for the answer to the message",
        ClientPhase::Reset => "waiting for the answer to RSET",
    }
}

/// How long the peer may take in this phase.
fn bound(timeouts: &TimeoutSettings, phase: ClientPhase) -> Duration {
    Duration::from_millis(match phase {
        ClientPhase::Greeting => timeouts.greeting_ms,
        ClientPhase::Ehlo | ClientPhase::Auth => timeouts.ehlo_ms,
        ClientPhase::StartTls => timeouts.tls_ms,
        ClientPhase::Rcpt => timeouts.rcpt_ms,
        ClientPhase::DataStart => timeouts.data_init_ms,
        ClientPhase::Body => timeouts.data_block_ms,
        ClientPhase::FinalReply => timeouts.data_dot_ms,
        ClientPhase::Mail
        | ClientPhase::Reset
        | ClientPhase::Idle
        | ClientPhase::Quit
        | ClientPhase::Closed => timeouts.mail_ms,
    })
}

impl Link {
    /// Reads and writes until the machine has something to tell.
    pub(super) async fn drive(&mut self, settings: &OutboundSettings) -> Result<ClientStep, Broken> {
        self.deadline = None;
        loop {
            let phase = self.client.phase();
            let before = self.client.replies();
            match self.client.handle(&mut self.input) {
                Ok(ClientStep::NeedInput) => {}
                Ok(step) => return Ok(step),
                Err(error) => return Err(Broken::Protocol(phase, error)),
            }
            let answered = self.client.replies() > before;
            if let Err(broken) = self.write_output(&settings.timeouts).await {
                return self.last_words(broken).await;
            }
            self.read(&settings.timeouts, answered).await?;
        }
    }

    /// One read. A phase has one deadline, however many reads it takes; each answer of several begins a new one.
    async fn read(&mut self, timeouts: &TimeoutSettings, answered: bool) -> Result<(), Broken> {
        let phase = self.client.phase();
        let has_several_answers =
            phase == ClientPhase::Rcpt || (self.lmtp && phase == ClientPhase::FinalReply);
        let deadline = match self.deadline {
            Some((of, deadline)) if of == phase && !(answered && has_several_answers) => deadline,
            _ => Instant::now() + bound(timeouts, phase),
        };
        self.deadline = Some((phase, deadline));
        self.input.reserve(READ_OCTETS);
        match timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
            Err(_) => Err(Broken::Late(phase)),
            Ok(Err(error)) => Err(Broken::Failed(phase, error)),
            Ok(Ok(0)) => Err(Broken::Closed(phase)),
            Ok(Ok(octets)) => {
                self.heard = true;
                self.show_read(octets);
                Ok(())
            }
        }
    }

    /// Writes all that the machine has: commands and body share vectored writes.
    async fn write_output(&mut self, timeouts: &TimeoutSettings) -> Result<(), Broken> {
        loop {
            let phase = self.client.phase();
            let mut pieces: SmallVec<[Bytes; 8]> = SmallVec::new();
            while pieces.len() < PIECES_MAX
                && let Some(output) = self.client.poll_output()
            {
                self.show_output(phase, &output);
                pieces.push(output.into_bytes());
            }
            if pieces.is_empty() {
                return Ok(());
            }
            self.write_pieces(&mut pieces, phase, bound(timeouts, phase)).await?;
        }
    }

    /// The peer must take a block of octets within each bound.
    async fn write_pieces(
        &mut self,
        pieces: &mut [Bytes],
        phase: ClientPhase,
        bound: Duration,
    ) -> Result<(), Broken> {
        let mut first = 0;
        let mut deadline = Instant::now() + bound;
        let mut block = 0;
        while let Some(rest) = pieces.get_mut(first..).filter(|rest| !rest.is_empty()) {
            let slices: SmallVec<[IoSlice<'_>; 8]> = rest.iter().map(|piece| IoSlice::new(piece)).collect();
            let written = match timeout_at(deadline, self.stream.write_vectored(&slices)).await {
                Err(_) => return Err(Broken::Late(phase)),
                Ok(Err(error)) => return Err(Broken::Failed(phase, error)),
                Ok(Ok(0)) => return Err(Broken::Closed(phase)),
                Ok(Ok(written)) => written,
            };
            drop(slices);
            first += skip(rest, written);
            block += written;
            if block >= BLOCK_OCTETS {
                block = 0;
                deadline = Instant::now() + bound;
            }
        }
        // Under TLS, what was written may still wait in the connection.
        match timeout_at(deadline, self.stream.flush()).await {
            Err(_) => Err(Broken::Late(phase)),
            Ok(flushed) => flushed.map_err(|error| Broken::Failed(phase, error)),
        }
    }

    /// A peer that refuses often says why and closes while we still write; what it said counts.
    async fn last_words(&mut self, broken: Broken) -> Result<ClientStep, Broken> {
        let listen = async {
            loop {
                self.input.reserve(READ_OCTETS);
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) if self.input.len() >= BLOCK_OCTETS => return,
                    Ok(octets) => {
                        self.heard = true;
                        self.show_read(octets);
                    }
                }
            }
        };
        // What came before the bound is used, whether the peer closed or not.
        let _ = timeout(LAST_WORDS_BOUND, listen).await;
        match self.client.handle(&mut self.input) {
            Ok(ClientStep::NeedInput) | Err(_) => Err(broken),
            Ok(step) => Ok(step),
        }
    }

    /// Returns when the peer speaks or closes on an idle connection; either ends its use.
    pub(crate) async fn until_peer_speaks(&mut self) {
        self.input.reserve(READ_OCTETS);
        // Whatever it is, a goodbye or nonsense, the connection is not used any more.
        if let Ok(octets) = self.stream.read_buf(&mut self.input).await {
            self.show_read(octets);
        }
    }
}

/// Takes `written` octets off the front; tells how many pieces are done.
fn skip(pieces: &mut [Bytes], mut written: usize) -> usize {
    let mut done = 0;
    for piece in pieces {
        if written < piece.len() {
            piece.advance(written);
            break;
        }
        written -= piece.len();
        done += 1;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_go_on_where_they_ended() {
        let mut pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        assert_eq!(skip(&mut pieces, 4), 1);
        assert_eq!(&pieces[1][..], b"e");
        assert_eq!(skip(&mut pieces[1..], 1), 1);
    }
}
