//! The content of a request: octets that are shared with the message, sent without a copy.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use baton_mail::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// What is left to be sent.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    octets: u64,
}

impl From<Body> for Pieces {
    fn from(body: Body) -> Pieces {
        Pieces { octets: body.len(), pieces: body.pieces().iter().cloned().collect() }
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.octets -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.octets)
    }
}
