//! Checks the write-ahead logs before RocksDB opens them.
//!
//! RocksDB's recovery treats some damage in the middle of a log as its end (a record length that leads beyond the
//! file, a zeroed stretch, a record type that looks recycled) and silently drops what follows; and it refuses to
//! start after a power cut that left a hole in the last, never acknowledged record. Neither is right for mail.
//!
//! The store writes one batch, syncs it, and only then writes the next one. So:
//! * A broken record with a sound one behind it was acknowledged: damage, refuse to start.
//! * A broken record with nothing sound behind it, in the newest log, is the batch that was being written when the
//!   power went: nobody was told of it. It is set aside and cut off.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::crc32c::crc32c;

/// Logs are made of blocks; no record fragment crosses their borders.
const BLOCK_OCTETS: usize = 32 * 1024;
/// Checksum (4), length (2), type (1).
const HEADER_OCTETS: usize = 7;
/// RocksDB stores checksums rotated and shifted by this, so that a checksum of checksums stays good.
const MASK_DELTA: u32 = 0xa282_ead8;

/// What stands between the fragments of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    First,
    Middle,
    Last,
}

/// Why the logs are not fit to be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalError {
    /// Acknowledged records are damaged.
    #[error("log {} is damaged at octet {offset}, with sound records behind it", .file.display())]
    Damaged { file: PathBuf, offset: u64 },
    /// A log that was complete is not any more.
    #[error("log {} is cut or damaged at octet {offset}, and a newer log follows it", .file.display())]
    Incomplete { file: PathBuf, offset: u64 },
    /// A log can not be read or cut.
    #[error("log {}: {cause}", .file.display())]
    Io { file: PathBuf, cause: io::Error },
}

/// Checks every log in `folder`; sets aside and cuts off the unfinished batch at the end of the newest one.
/// Returns how many octets were cut off.
pub(crate) fn check_logs(folder: &Path) -> Result<u64, WalError> {
    let logs = list_logs(folder).map_err(|cause| WalError::Io { file: folder.to_owned(), cause })?;
    let mut cut = 0;
    for (index, file) in logs.iter().enumerate() {
        let io_error = |cause| WalError::Io { file: file.clone(), cause };
        let found = check_log(file).map_err(io_error)?;
        let newest = index + 1 == logs.len();
        match found {
            Found::Sound => {}
            Found::Damaged { offset } => return Err(WalError::Damaged { file: file.clone(), offset }),
            // RocksDB starts a new log after a write that failed for want of space, and the failed one ends here.
            Found::Unfinished { torn: false, .. } if !newest => {}
            Found::Unfinished { offset, .. } if !newest => {
                return Err(WalError::Incomplete { file: file.clone(), offset });
            }
            Found::Unfinished { offset, .. } => cut += cut_off(file, offset).map_err(io_error)?,
        }
    }
    Ok(cut)
}

/// True when there is any log.
pub(crate) fn has_log(folder: &Path) -> bool {
    list_logs(folder).is_ok_and(|logs| !logs.is_empty())
}

/// The logs by age, oldest first.
fn list_logs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), Some("log")) = (number, path.extension().and_then(|text| text.to_str())) {
            logs.push((number, path));
        }
    }
    logs.sort_unstable();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// What a log looks like.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Whole records only.
    Sound,
    /// The record at `offset` is not whole and nothing sound follows. `torn` when it is broken, not only cut short.
    Unfinished { offset: u64, torn: bool },
    /// The record at `offset` is broken and sound ones follow.
    Damaged { offset: u64 },
}

/// Reads a log block by block.
fn check_log(path: &Path) -> io::Result<Found> {
    let mut file = fs::File::open(path)?;
    let mut block = vec![0; BLOCK_OCTETS];
    let mut state = Scan { record_start: 0, in_record: false, broken: None };
    let mut base = 0;
    loop {
        let len = read_block(&mut file, &mut block)?;
        let octets = block.get(..len).unwrap_or_default();
        if state.take_block(base, octets) {
            return Ok(Found::Damaged { offset: state.record_start });
        }
        base += len as u64;
        if len < BLOCK_OCTETS {
            break;
        }
    }
    Ok(match state {
        Scan { broken: Some(torn), record_start, .. } => Found::Unfinished { offset: record_start, torn },
        Scan { in_record: true, record_start, .. } => Found::Unfinished { offset: record_start, torn: false },
        _ => Found::Sound,
    })
}

/// Fills `block` as far as the file goes.
fn read_block(file: &mut fs::File, block: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = block.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// How far the log was read.
struct Scan {
    /// Where the record at hand begins.
    record_start: u64,
    /// Its first fragment was read and its last was not.
    in_record: bool,
    /// A broken record was met; true when it was torn, false when the file just ended in it.
    broken: Option<bool>,
}

impl Scan {
    /// Takes the block that begins at `base`. True when a sound record follows a broken one.
    fn take_block(&mut self, base: u64, block: &[u8]) -> bool {
        let mut at = 0;
        while self.broken.is_none() && block.len() - at >= HEADER_OCTETS {
            let Some((kind, end)) = fragment(block, at) else {
                self.broken = Some(!ends_early(block, at));
                break;
            };
            let starts = matches!(kind, Kind::Full | Kind::First);
            if starts == self.in_record {
                self.broken = Some(true);
                break;
            }
            if starts {
                self.record_start = base + at as u64;
            }
            self.in_record = matches!(kind, Kind::First | Kind::Middle);
            at = end;
            if !self.in_record {
                self.record_start = base + at as u64;
            }
        }
        match self.broken {
            Some(_) => has_sound_start(block, at),
            None => {
                // Fewer octets than a header: padding at the end of a block, or a header cut short.
                if at < block.len() && block.len() < BLOCK_OCTETS {
                    self.broken = Some(false);
                }
                false
            }
        }
    }
}

/// True when the record at `at` is not wrong in itself, but the file ends before it does.
fn ends_early(block: &[u8], at: usize) -> bool {
    let length =
        block.get(at + 4..at + 6).and_then(|octets| octets.try_into().ok()).map_or(0, u16::from_le_bytes);
    block.len() < BLOCK_OCTETS && at + HEADER_OCTETS + usize::from(length) > block.len()
}

/// True when a record begins soundly at any octet from `from` on: lengths can not be trusted any more.
fn has_sound_start(block: &[u8], from: usize) -> bool {
    (from..block.len()).any(|at| matches!(fragment(block, at), Some((Kind::Full | Kind::First, _))))
}

/// The sound fragment at `at`, and where it ends.
fn fragment(block: &[u8], at: usize) -> Option<(Kind, usize)> {
    let header: &[u8; HEADER_OCTETS] = block.get(at..at + HEADER_OCTETS)?.try_into().ok()?;
    let [c0, c1, c2, c3, l0, l1, kind] = *header;
    let kind_of = match kind {
        1 => Kind::Full,
        2 => Kind::First,
        3 => Kind::Middle,
        4 => Kind::Last,
        _ => return None,
    };
    let end = at + HEADER_OCTETS + usize::from(u16::from_le_bytes([l0, l1]));
    let checked = block.get(at + 6..end)?;
    let masked = crc32c(checked).rotate_right(15).wrapping_add(MASK_DELTA);
    (masked == u32::from_le_bytes([c0, c1, c2, c3])).then_some((kind_of, end))
}

/// Copies what follows `offset` into a file beside the log, then cuts it off.
fn cut_off(path: &Path, offset: u64) -> io::Result<u64> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    let aside = path.with_extension("unfinished");
    let mut copy = fs::File::create(&aside)?;
    copy.write_all(&rest)?;
    copy.sync_all()?;
    file.set_len(offset)?;
    file.sync_all()?;
    tracing::warn!(
        target: "store", log = %path.display(), octets = rest.len(), aside = %aside.display(),
        "an unfinished batch was cut off; nobody was told that it was stored"
    );
    Ok(rest.len() as u64)
}
