//! Content after DATA (RFC 5321 4.1.1.4, 4.5.2): dots are taken away, and only CRLF.CRLF is the end.

use bytes::{Buf, BytesMut};

use super::content::Receiver;
use super::question::Question;
use super::session::Session;
use super::state::{Next, State};
use super::verdict::{AfterReset, Pending};

/// Octets until CRLF.CRLF.
#[derive(Debug)]
pub(super) struct ReceivingData {
    pub(super) receiver: Receiver,
    /// The last octets were CRLF, or nothing came yet.
    at_line_start: bool,
}

/// How far a scan came.
struct Scan {
    /// Octets that are done with; the others must be seen again together with what follows.
    consumed: usize,
    /// They ended with CRLF.CRLF.
    is_end: bool,
}

impl ReceivingData {
    pub(super) fn new(receiver: Receiver) -> ReceivingData {
        ReceivingData { receiver, at_line_start: true }
    }

    /// Takes what is there. At the end it asks what becomes of the message.
    pub(super) fn receive(mut self, session: &Session, input: &mut BytesMut) -> Next {
        let scan = self.scan(input);
        input.advance(scan.consumed);
        if !scan.is_end {
            return Next::Wait(State::ReceivingData(self));
        }
        let times = session.replies_per_message();
        Next::Go(match self.receiver.refusal() {
            Some(response) => {
                State::ToAsk(Question::Reset, Pending::Reset(AfterReset::Refuse { response, times }))
            }
            None => ask_message(self.receiver, times),
        })
    }

    /// One pass over `input`. Runs without anything special are stored as a whole; a lone CR or LF never makes the
    /// next octet the start of a line.
    fn scan(&mut self, input: &[u8]) -> Scan {
        let (mut at, mut run) = (0, 0);
        loop {
            if self.at_line_start {
                match input.get(at..).unwrap_or_default() {
                    [] | [b'.'] | [b'.', b'\r'] => return self.pause(input, run, at),
                    [b'.', b'\r', b'\n', ..] => {
                        self.store(input, run, at);
                        return Scan { consumed: at + 3, is_end: true };
                    }
                    [b'.', ..] => {
                        self.store(input, run, at);
                        at += 1;
                        run = at;
                    }
                    _ => {}
                }
                self.at_line_start = false;
            }
            let rest = input.get(at..).unwrap_or_default();
            let Some(len) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
                self.receiver.grow_line(rest.len());
                return self.pause(input, run, input.len());
            };
            let found = at + len;
            match (input.get(found), input.get(found + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    self.receiver.end_line(len);
                    self.at_line_start = true;
                    at = found + 2;
                    continue;
                }
                (Some(b'\r'), None) => {
                    self.receiver.grow_line(len);
                    return self.pause(input, run, found);
                }
                (octet, _) => {
                    self.receiver.grow_line(len);
                    self.store(input, run, found);
                    if octet == Some(&0) { self.receiver.nul() } else { self.receiver.bare_line_ending() }
                }
            }
            at = found + 1;
            run = at;
        }
    }

    fn store(&mut self, input: &[u8], from: usize, to: usize) {
        self.receiver.store(input.get(from..to).unwrap_or_default());
    }

    fn pause(&mut self, input: &[u8], run: usize, at: usize) -> Scan {
        self.store(input, run, at);
        Scan { consumed: at, is_end: false }
    }
}

/// Hands the message over.
pub(super) fn ask_message(receiver: Receiver, replies: usize) -> State {
    let (content, bare_line_endings_repaired) = receiver.into_content();
    State::ToAsk(Question::Message { content, bare_line_endings_repaired }, Pending::Message { replies })
}
