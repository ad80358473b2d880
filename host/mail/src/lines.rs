//! Line ends: mail has CRLF and nothing else (RFC 5321 2.3.8). One place finds and mends what has not.

/// True when a CR without LF or an LF without CR is in `octets`.
pub fn has_stray(octets: &[u8]) -> bool {
    stray(octets, 0).is_some()
}

/// Appends `octets` with every lone CR and lone LF made a CRLF.
///
/// Runs without a stray are copied at once. `output` is not looked at: a CR at its end is not joined with an LF at
/// the start of `octets`.
pub fn repair_into(octets: &[u8], output: &mut Vec<u8>) {
    let mut copied = 0;
    while let Some(at) = stray(octets, copied) {
        output.extend_from_slice(octets.get(copied..at).unwrap_or_default());
        output.extend_from_slice(b"\r\n");
        copied = at + 1;
    }
    output.extend_from_slice(octets.get(copied..).unwrap_or_default());
}

/// The offset of the first stray CR or LF at or after `from`.
fn stray(octets: &[u8], from: usize) -> Option<usize> {
    let mut rest_start = from;
    loop {
        let at = rest_start + memchr::memchr2(b'\r', b'\n', octets.get(rest_start..)?)?;
        let is_line_end = octets.get(at..at + 2) == Some(b"\r\n");
        if !is_line_end {
            return Some(at);
        }
        rest_start = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stray_line_ends_become_whole() {
        for (bad, good) in [
            (&b"a\nb"[..], &b"a\r\nb"[..]),
            (b"a\rb", b"a\r\nb"),
            (b"\r\r\n", b"\r\n\r\n"),
            (b"\n\r", b"\r\n\r\n"),
            (b"a\r\n.\n", b"a\r\n.\r\n"),
            (b"a\r", b"a\r\n"),
        ] {
            assert!(has_stray(bad));
            let mut output = Vec::new();
            repair_into(bad, &mut output);
            assert_eq!(output, good);
            assert!(!has_stray(&output));
        }
        assert!(!has_stray(b"a\r\n\r\nb\r\n"));
    }
}
