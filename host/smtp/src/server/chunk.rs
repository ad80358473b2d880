//! BDAT (RFC 3030): content in chunks of announced length. Announced octets are never read as commands.

use bytes::{Buf, BytesMut};

use super::content::Receiver;
use super::data::ask_message;
use super::question::Question;
use super::reply::{Response, Say};
use super::session::{Session, Turn};
use super::state::{Next, State, Transaction};
use super::verdict::{AfterReset, Pending};

/// Octets of a chunk that are skipped to keep a session; the session ends with a larger one.
const SKIPPED_OCTETS_MAX: u64 = 1 << 40;

/// A BDAT command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    octets: u64,
    is_last: bool,
}

/// Between chunks.
#[derive(Debug)]
pub(super) struct ExpectChunk {
    pub(super) receiver: Receiver,
    /// Chunks so far.
    chunks: u32,
    /// The last octet was a CR, so the next chunk must begin with LF.
    after_cr: bool,
}

/// In a chunk.
#[derive(Debug)]
pub(super) struct ReceivingChunk {
    pub(super) receiver: Receiver,
    chunks: u32,
    after_cr: bool,
    remaining: u64,
    is_last: bool,
}

/// In a chunk whose octets nobody wants.
#[derive(Debug)]
pub(super) struct SkippingChunk {
    remaining: u64,
    response: Option<Response>,
    times: usize,
    next: Box<State>,
}

/// Why a BDAT command can not be obeyed.
#[derive(Debug, PartialEq, Eq)]
enum BadBdat {
    /// No number was given, so no octets are to come.
    NoSize,
    /// A number was given but can not be trusted: where the chunk ends is not known.
    UnknownEnd,
}

/// BDAT: its octets follow at once, whatever we think of it.
pub(super) fn handle_bdat(state: State, arguments: &str, turn: &mut Turn<'_>) -> State {
    let chunk = match parse_bdat(arguments) {
        Ok(chunk) => chunk,
        Err(BadBdat::UnknownEnd) => return turn.close(Say::BadChunk),
        Err(BadBdat::NoSize) => {
            turn.count_error();
            return state
                .end_with(AfterReset::Refuse { response: Response::Ours(Say::BadChunk), times: 1 }, turn);
        }
    };
    if chunk.octets > SKIPPED_OCTETS_MAX {
        return turn.close(Say::TooLarge);
    }
    match state {
        _ if turn.session.hello.is_none() => skip_wrong(state, chunk, Say::NeedHello, turn),
        _ if !turn.settings().chunking || !turn.session.is_extended() => {
            skip_wrong(state, chunk, Say::NotImplemented, turn)
        }
        State::ExpectRcptOrData(_) if turn.session.recipients == 0 => {
            skip_wrong(state, chunk, Say::NoRecipients, turn)
        }
        State::ExpectRcptOrData(transaction) => ask_first_chunk(chunk, transaction, turn),
        State::ExpectChunk(expect) => expect.begin(chunk, turn),
        state => skip_wrong(state, chunk, Say::NeedMail, turn),
    }
}

/// `size` or `size LAST`, and nothing else.
fn parse_bdat(arguments: &str) -> Result<Chunk, BadBdat> {
    let (size, last) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let is_last = last.trim_matches(' ').eq_ignore_ascii_case("LAST");
    if !size.is_empty() && size.bytes().all(|octet| octet.is_ascii_digit()) && (last.is_empty() || is_last) {
        return size.parse().map(|octets| Chunk { octets, is_last }).map_err(|_| BadBdat::UnknownEnd);
    }
    Err(if arguments.bytes().any(|octet| octet.is_ascii_digit()) {
        BadBdat::UnknownEnd
    } else {
        BadBdat::NoSize
    })
}

/// A chunk out of order: its octets go, the state stays.
fn skip_wrong(state: State, chunk: Chunk, say: Say, turn: &mut Turn<'_>) -> State {
    turn.count_error();
    State::SkippingChunk(SkippingChunk {
        remaining: chunk.octets,
        response: Some(Response::Ours(say)),
        times: 1,
        next: Box::new(state),
    })
}

fn ask_first_chunk(chunk: Chunk, transaction: Transaction, turn: &Turn<'_>) -> State {
    if is_too_large(chunk.octets, turn.session) {
        return chunk.skip_too_large(turn.session);
    }
    State::ToAsk(Question::Data, Pending::FirstChunk { transaction, chunk })
}

fn is_too_large(octets: u64, session: &Session) -> bool {
    let octets_max = session.settings().size_octets_max;
    octets_max > 0 && octets > octets_max
}

impl Chunk {
    /// The driver agreed: the first chunk is taken.
    pub(super) fn proceed(self, transaction: &Transaction, turn: &Turn<'_>) -> State {
        let announced = transaction.announced_octets.unwrap_or(self.octets);
        let receiver = Receiver::new(turn.settings(), Some(announced)).for_binary(transaction.is_binary);
        ExpectChunk { receiver, chunks: 0, after_cr: false }.receive(self)
    }

    /// The driver refused: the chunk is skipped and then answered. The transaction is over.
    pub(super) fn refuse(self, response: Response, next: State, session: &Session) -> State {
        let times = self.replies(session);
        State::SkippingChunk(SkippingChunk {
            remaining: self.octets,
            response: Some(response),
            times,
            next: Box::new(next),
        })
    }

    /// The size limit is passed by the announcement alone, so nothing of the chunk is stored.
    fn skip_too_large(self, session: &Session) -> State {
        let refuse =
            AfterReset::Refuse { response: Response::Ours(Say::TooLarge), times: self.replies(session) };
        let next = Box::new(State::ToAsk(Question::Reset, Pending::Reset(refuse)));
        State::SkippingChunk(SkippingChunk { remaining: self.octets, response: None, times: 0, next })
    }

    /// In LMTP the last chunk is answered for each recipient, the others once (RFC 2033 4.2, RFC 3030 2).
    fn replies(self, session: &Session) -> usize {
        if self.is_last { session.replies_per_message() } else { 1 }
    }
}

impl ExpectChunk {
    fn begin(self, chunk: Chunk, turn: &mut Turn<'_>) -> State {
        if self.chunks >= turn.settings().chunks_max {
            return turn.close(Say::TooManyChunks);
        }
        if is_too_large(self.receiver.octets().saturating_add(chunk.octets), turn.session) {
            return chunk.skip_too_large(turn.session);
        }
        self.receive(chunk)
    }

    fn receive(self, chunk: Chunk) -> State {
        State::ReceivingChunk(ReceivingChunk {
            receiver: self.receiver,
            chunks: self.chunks + 1,
            after_cr: self.after_cr,
            remaining: chunk.octets,
            is_last: chunk.is_last,
        })
    }
}

impl ReceivingChunk {
    /// Takes what is there of the chunk, and not an octet more.
    pub(super) fn receive(mut self, session: &Session, input: &mut BytesMut, output: &mut Vec<u8>) -> Next {
        let len = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(input.len());
        self.scan(input.get(..len).unwrap_or_default());
        input.advance(len);
        self.remaining -= len as u64;
        if self.remaining > 0 {
            return Next::Wait(State::ReceivingChunk(self));
        }
        if self.is_last && self.after_cr {
            self.receiver.missing_line_feed();
        }
        Next::Go(self.end(session, output))
    }

    fn end(self, session: &Session, output: &mut Vec<u8>) -> State {
        if let Some(response) = self.receiver.refusal() {
            let times = if self.is_last { session.replies_per_message() } else { 1 };
            return State::ToAsk(Question::Reset, Pending::Reset(AfterReset::Refuse { response, times }));
        }
        if self.is_last {
            return ask_message(self.receiver, session.replies_per_message());
        }
        Say::ChunkOk.encode(output);
        State::ExpectChunk(ExpectChunk {
            receiver: self.receiver,
            chunks: self.chunks,
            after_cr: self.after_cr,
        })
    }

    /// One pass: there are no dots to take away here, but lines end with CRLF all the same, unless the client said that
    /// there are none (RFC 3030 3).
    fn scan(&mut self, input: &[u8]) {
        if self.receiver.is_binary() {
            return self.receiver.store(input);
        }
        if self.after_cr && !matches!(input.first(), None | Some(b'\n')) {
            self.receiver.missing_line_feed();
            self.after_cr = false;
        }
        let (mut at, mut run) = (0, 0);
        if self.after_cr && !input.is_empty() {
            self.after_cr = false;
            at = 1;
        }
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(len) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
                self.receiver.grow_line(rest.len());
                break;
            };
            let found = at + len;
            self.receiver.grow_line(len);
            match (input.get(found), input.get(found + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    self.receiver.end_line(0);
                    at = found + 2;
                    continue;
                }
                (Some(b'\r'), None) => {
                    // Whether it is alone, the next octet will tell.
                    self.after_cr = true;
                    self.receiver.end_line(0);
                    break;
                }
                (octet, _) => {
                    self.receiver.store(input.get(run..found).unwrap_or_default());
                    if octet == Some(&0) { self.receiver.nul() } else { self.receiver.bare_line_ending() }
                }
            }
            at = found + 1;
            run = at;
        }
        self.receiver.store(input.get(run..).unwrap_or_default());
    }
}

impl SkippingChunk {
    /// Throws away what is there of the chunk.
    pub(super) fn skip(mut self, session: &Session, input: &mut BytesMut, output: &mut Vec<u8>) -> Next {
        let len = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(input.len());
        input.advance(len);
        self.remaining -= len as u64;
        if self.remaining > 0 {
            return Next::Wait(State::SkippingChunk(self));
        }
        if let Some(response) = &self.response {
            response.encode(self.times, output);
        }
        Next::Go(session.check_limits(*self.next, output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_strictly() {
        let chunk = |octets, is_last| Ok(Chunk { octets, is_last });
        assert_eq!(parse_bdat("10"), chunk(10, false));
        assert_eq!(parse_bdat("0 last"), chunk(0, true));
        for bad in ["-1", "1e3", "99999999999999999999", "5 FIRST", "0x10", "5 LAST LAST", "LAST 5", "+5"] {
            assert_eq!(parse_bdat(bad), Err(BadBdat::UnknownEnd), "{bad}");
        }
        for bad in ["", "LAST", "many"] {
            assert_eq!(parse_bdat(bad), Err(BadBdat::NoSize), "{bad}");
        }
    }
}
