//! Bodies: bounded while they come, unpacked within the same bound, and bounded all together.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;

use crate::Problem;

/// What is unpacked in place; more is unpacked on a thread of its own.
const INLINE_OCTETS: usize = 64 << 10;

/// Octets of all bodies that are held.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<AtomicUsize>);

/// A body's part of it.
pub(super) struct Held {
    memory: Memory,
    octets: usize,
    octets_max: usize,
}

impl Memory {
    fn hold(&self, octets_max: usize) -> Held {
        Held { memory: self.clone(), octets: 0, octets_max }
    }
}

impl Held {
    fn grow(&mut self, octets: usize) -> Result<(), Problem> {
        self.octets += octets;
        let all = self.memory.0.fetch_add(octets, Ordering::Relaxed) + octets;
        if all > self.octets_max {
            return Err(Problem::unavailable("too much is being sent at once; try again in a moment"));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

/// What bounds a body.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) octets_max: usize,
    pub(super) memory_octets_max: usize,
    pub(super) patience: Duration,
}

/// A body that comes piece by piece, each of them in time.
pub(super) fn paced(body: Body, headers: &HeaderMap, patience: Duration) -> Result<Body, Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    if !matches!(encoding, None | Some("" | "identity")) {
        return Err(Problem::unsupported(
            "this body is read while it comes: send it without Content-Encoding",
        ));
    }
    let pieces = futures_util::stream::unfold(body.into_data_stream(), move |mut pieces| async move {
        let piece = match tokio::time::timeout(patience, pieces.next()).await {
            Ok(piece) => piece?.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the rest did not come in time")),
        };
        Some((piece, pieces))
    });
    Ok(Body::from_stream(pieces))
}

/// Reads a body, and unpacks it when it is packed.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    memory: &Memory,
    bounds: Bounds,
) -> Result<(Bytes, Held), Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    let is_packed = match encoding {
        None | Some("" | "identity") => false,
        Some(name) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => true,
        Some(other) => {
            let other = baton_mail::text::sanitize(other, 100);
            let detail = format!("Content-Encoding `{other}`: write gzip, or leave it out");
            return Err(Problem::unsupported(detail));
        }
    };
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bounds.octets_max) {
        return Err(Problem::too_large(bounds.octets_max));
    }
    let mut held = memory.hold(bounds.memory_octets_max);
    let collected = collect(body, length, bounds.octets_max, &mut held);
    let octets = tokio::time::timeout(bounds.patience, collected).await.map_err(|_| Problem::late())??;
    if !is_packed {
        return Ok((octets, held));
    }
    let unpack = move || {
        let unpacked = unpack(&octets, bounds.octets_max, &mut held)?;
        Ok((unpacked, held))
    };
    if length.is_some_and(|length| length <= INLINE_OCTETS) && bounds.octets_max <= INLINE_OCTETS {
        return unpack();
    }
    tokio::task::spawn_blocking(unpack)
        .await
        .map_err(|_| Problem::unavailable("the body could not be unpacked"))?
}

async fn collect(
    body: Body,
    length: Option<usize>,
    octets_max: usize,
    held: &mut Held,
) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut collected = BytesMut::new();
    if let Some(length) = length.filter(|length| *length > 0) {
        held.grow(length)?;
        collected.reserve(length);
    }
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Problem::field("body", "did not come whole"))?;
        if collected.len() + piece.len() > octets_max {
            return Err(Problem::too_large(octets_max));
        }
        if length.is_none() {
            held.grow(piece.len())?;
        }
        collected.extend_from_slice(&piece);
    }
    Ok(collected.freeze())
}

/// Octets by which what is unpacked grows.
const STEP_OCTETS: usize = 64 << 10;

fn unpack(packed: &[u8], octets_max: usize, held: &mut Held) -> Result<Bytes, Problem> {
    let mut reader = MultiGzDecoder::new(packed);
    let mut unpacked = Vec::new();
    loop {
        let before = unpacked.len();
        let mut step = Vec::new();
        let read = (&mut reader).take(STEP_OCTETS as u64).read_to_end(&mut step);
        read.map_err(|_| {
            Problem::field("body", "is not in the gzip format, although Content-Encoding says so")
        })?;
        if step.is_empty() {
            return Ok(unpacked.into());
        }
        held.grow(step.len())?;
        unpacked.extend_from_slice(&step);
        if before + step.len() > octets_max {
            return Err(Problem::too_large(octets_max));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { octets_max: 1_000_000, memory_octets_max: 3_000_000, patience: Duration::from_secs(60) };

    fn packed(octets: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    }

    async fn status(body: Vec<u8>, encoding: &str, bounds: Bounds) -> Result<usize, u16> {
        let memory = Memory::default();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        let read = read(Body::from(body), &headers, &memory, bounds).await;
        let read = read.map(|(octets, _held)| octets.len()).map_err(|problem| problem.status);
        assert_eq!(memory.0.load(Ordering::Relaxed), 0, "all is given back");
        read
    }

    #[tokio::test]
    async fn bodies_are_bounded_packed_and_unpacked() {
        assert_eq!(status(vec![b'x'; 1_000_000], "identity", BOUNDS).await, Ok(1_000_000));
        assert_eq!(status(vec![b'x'; 1_000_001], "identity", BOUNDS).await, Err(413));
        assert_eq!(status(packed(&[b'x'; 1_000_000]), "gzip", BOUNDS).await, Ok(1_000_000));
        // A bomb: 100 MB in 100 KB.
        assert_eq!(status(packed(&vec![0; 100_000_000]), "GZIP", BOUNDS).await, Err(413));
        assert_eq!(status(b"nonsense".to_vec(), "gzip", BOUNDS).await, Err(400));
        assert_eq!(status(packed(b"cut")[..15].to_vec(), "gzip", BOUNDS).await, Err(400));
        assert_eq!(status(b"x".to_vec(), "br", BOUNDS).await, Err(415));
        let narrow = Bounds { memory_octets_max: 1_000, ..BOUNDS };
        assert_eq!(status(vec![b'x'; 1_001], "identity", narrow).await, Err(503));
    }
}
