//! Messages to send, and a reader of the ones that came back.

use std::fs;

use anyhow::{Context, Result};

use crate::program;

/// A message of the corpus, by its file name.
pub fn corpus(name: &str) -> Result<Vec<u8>> {
    let path = program::repository().join("tests/corpus").join(name);
    fs::read(&path).with_context(|| format!("read {}", path.display()))
}

/// A short message with this subject.
pub fn plain(subject: &str) -> Vec<u8> {
    format!(
        "From: Ada <ada@sender.example>\r\nTo: Bo <bo@dest.example>\r\nSubject: {subject}\r\n\
         Date: Tue, 03 Nov 2026 09:00:00 +0100\r\nMessage-ID: <{subject}@sender.example>\r\n\r\nHello.\r\n"
    )
    .into_bytes()
}

/// A message of about `octets` octets in lines of 76.
pub fn large(subject: &str, octets: usize) -> Vec<u8> {
    let mut message = plain(subject);
    let line = format!("{}\r\n", "abcdefghijklmnopqrstuvwxyz0123456789-+".repeat(2));
    while message.len() < octets {
        message.extend_from_slice(line.as_bytes());
    }
    message
}

/// The unfolded value of the first header field of that name.
pub fn header(message: &str, name: &str) -> Option<String> {
    headers(message).into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Every header field, unfolded, in order.
pub fn headers(message: &str) -> Vec<(String, String)> {
    let head = message.split_once("\r\n\r\n").map_or(message, |(head, _)| head);
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

/// Octets CR without LF after them, and LF without CR before them.
pub fn bare_line_ends(octets: &[u8]) -> usize {
    let mut count = 0;
    let mut previous = None;
    for octet in octets {
        let lone = if *octet == b'\n' { previous != Some(b'\r') } else { previous == Some(b'\r') };
        count += usize::from(lone);
        previous = Some(*octet);
    }
    count + usize::from(previous == Some(b'\r'))
}
