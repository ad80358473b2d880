//! gzip and zip, with bounds.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use flate2::read::GzDecoder;
use zip::ZipArchive;

use super::REPORT_OCTETS_MAX;

/// What is packed in `octets`; they themselves when nothing is.
pub(super) fn unpack(octets: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if octets.starts_with(&[0x1f, 0x8b]) {
        return bounded(GzDecoder::new(octets)).map(Cow::Owned);
    }
    if octets.starts_with(b"PK\x03\x04") {
        let mut archive =
            ZipArchive::new(Cursor::new(octets)).map_err(|error| format!("damaged zip: {error}"))?;
        // RFC 7489 7.2.1.1: one file. Whatever else is in it is not looked for.
        let file = archive.by_index(0).map_err(|error| format!("damaged zip: {error}"))?;
        return bounded(file).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(octets))
}

fn bounded(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    reader
        .take(REPORT_OCTETS_MAX + 1)
        .read_to_end(&mut octets)
        .map_err(|error| format!("damaged packing: {error}"))?;
    if octets.len() as u64 > REPORT_OCTETS_MAX {
        return Err(format!("unfolds to more than {REPORT_OCTETS_MAX} octets"));
    }
    Ok(octets)
}
