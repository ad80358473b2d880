//! What is sent: files, or made-up messages that carry their number, class and time.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use baton_mail::Body;
use bytes::Bytes;

use crate::cli::SendOptions;

/// Messages of a class mix at most: each takes an octet of memory.
const MIX_MESSAGES_MAX: u64 = 100_000_000;
/// Octets of a line of made-up content.
const LINE_OCTETS: usize = 76;

/// Where messages come from.
pub(super) enum Source {
    Files(Vec<File>),
    MadeUp(MadeUp),
}

/// A message from a file.
pub(super) struct File {
    content: Bytes,
    eight_bit: bool,
    utf8_header: bool,
}

/// Messages that differ in their marks only.
pub(super) struct MadeUp {
    rest: Bytes,
    first_id: u64,
    classes: Vec<Arc<str>>,
    /// For each message the index of its class; empty when there is one class.
    order: Vec<u8>,
}

/// A message, ready to be sent.
pub(super) struct Message {
    pub(super) body: Body,
    pub(super) class: Arc<str>,
    pub(super) eight_bit: bool,
    pub(super) utf8_header: bool,
}

impl Source {
    pub(super) fn new(options: &SendOptions) -> anyhow::Result<Source> {
        if options.files.is_empty() {
            return MadeUp::new(options).map(Source::MadeUp);
        }
        ensure!(options.class_mix.is_none(), "--class-mix is for made-up messages, not for files");
        options.files.iter().map(|path| File::read(path)).collect::<anyhow::Result<_>>().map(Source::Files)
    }

    /// Messages in all, when `count` was asked for.
    pub(super) fn total(&self, count: u64) -> u64 {
        match self {
            Source::Files(files) => count.saturating_mul(files.len() as u64),
            Source::MadeUp(made_up) if made_up.order.is_empty() => count,
            Source::MadeUp(made_up) => made_up.order.len() as u64,
        }
    }

    /// The message of that number, sent at `now_us`.
    pub(super) fn message(&self, number: u64, sender: &str, recipient: &str, now_us: u64) -> Message {
        match self {
            Source::Files(files) => {
                let at = usize::try_from(number).unwrap_or(0) % files.len().max(1);
                files.get(at).map_or_else(|| File::from(Bytes::new()), File::copy).into_message()
            }
            Source::MadeUp(made_up) => made_up.message(number, sender, recipient, now_us),
        }
    }
}

impl File {
    fn read(path: &Path) -> anyhow::Result<File> {
        let content = std::fs::read(path).with_context(|| format!("can not read {}", path.display()))?;
        Ok(File::from(with_crlf(content)))
    }

    fn copy(&self) -> File {
        File { content: self.content.clone(), ..*self }
    }

    fn into_message(self) -> Message {
        Message {
            body: Body::from(self.content),
            class: "all".into(),
            eight_bit: self.eight_bit,
            utf8_header: self.utf8_header,
        }
    }
}

impl From<Bytes> for File {
    fn from(content: Bytes) -> File {
        let header = memchr::memmem::find(&content, b"\r\n\r\n")
            .and_then(|end| content.get(..end))
            .unwrap_or(&content);
        File { eight_bit: !content.is_ascii(), utf8_header: !header.is_ascii(), content }
    }
}

/// Files of people end their lines with LF; on the wire it is CRLF (RFC 5321 2.3.8). What has CRLF stays as it is.
fn with_crlf(content: Vec<u8>) -> Bytes {
    let mut mended = Vec::with_capacity(content.len() + content.len() / 32);
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', &content) {
        mended.extend_from_slice(content.get(from..at).unwrap_or_default());
        if mended.last() != Some(&b'\r') {
            mended.push(b'\r');
        }
        mended.push(b'\n');
        from = at + 1;
    }
    if from == 0 {
        return content.into();
    }
    mended.extend_from_slice(content.get(from..).unwrap_or_default());
    mended.into()
}

impl MadeUp {
    fn new(options: &SendOptions) -> anyhow::Result<MadeUp> {
        let (classes, order) = match &options.class_mix {
            None => (vec!["all".into()], Vec::new()),
            Some(mix) => {
                let counts = read_mix(mix)?;
                let order = spread(&counts.iter().map(|(_, count)| *count).collect::<Vec<_>>());
                (counts.into_iter().map(|(name, _)| name).collect(), order)
            }
        };
        let made_up = MadeUp { rest: Bytes::new(), first_id: options.first_id, classes, order };
        let header =
            made_up.header(u64::MAX / 2, "all", "sender@example.org", "recipient@example.net", u64::MAX / 2);
        Ok(MadeUp { rest: filler(options.size.saturating_sub(header.len())), ..made_up })
    }

    fn message(&self, number: u64, sender: &str, recipient: &str, now_us: u64) -> Message {
        let class = self.class(number);
        let id = self.first_id + number;
        let header = self.header(id, &class, sender, recipient, now_us);
        let text = text(&class, id);
        let rest = self.rest.slice(text.len().min(self.rest.len())..);
        let body = [Bytes::from(header), Bytes::from(text), rest].into_iter().collect();
        Message { body, class, eight_bit: false, utf8_header: false }
    }

    fn class(&self, number: u64) -> Arc<str> {
        let index = usize::try_from(number).ok().and_then(|at| self.order.get(at)).copied().unwrap_or(0);
        self.classes.get(usize::from(index)).cloned().unwrap_or_else(|| "all".into())
    }

    fn header(&self, id: u64, class: &str, sender: &str, recipient: &str, now_us: u64) -> String {
        let subject = subject(class, id);
        format!(
            "X-Baton-Id: {id}\r\nX-Baton-Sent: {now_us}\r\nX-Baton-Class: {class}\r\nFrom: <{sender}>\r\n\
             To: <{recipient}>\r\nSubject: {subject}\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\
             Message-ID: <{now_us}.{id}@send.example>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n"
        )
    }
}

/// Reads `code:5000,confirmation:50000`.
fn read_mix(mix: &str) -> anyhow::Result<Vec<(Arc<str>, u64)>> {
    let mut counts = Vec::new();
    for part in mix.split(',') {
        let (name, count) =
            part.split_once(':').with_context(|| format!("--class-mix {part}: write CLASS:COUNT"))?;
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        ensure!(
            !name.is_empty() && name.bytes().all(fits),
            "--class-mix {name}: use letters, digits and hyphens"
        );
        counts.push((name.into(), count.parse().with_context(|| format!("--class-mix {part}: {count}"))?));
    }
    let total: u64 = counts.iter().fold(0, |sum, (_, count): &(Arc<str>, u64)| sum.saturating_add(*count));
    if total > MIX_MESSAGES_MAX || counts.len() > usize::from(u8::MAX) {
        bail!("--class-mix: at most {MIX_MESSAGES_MAX} messages in {} classes", u8::MAX);
    }
    Ok(counts)
}

/// The subject of a made-up message. Those of the class `code` look like what they stand for, so that a plugin can know
/// them by their content, as it does in life.
fn subject(class: &str, id: u64) -> String {
    match class {
        "code" => format!("Your verification code is {}", code(id)),
        _ => format!("Message {id}"),
    }
}

/// How the text of a made-up message begins.
fn text(class: &str, id: u64) -> String {
    match class {
        "code" => format!("Your verification code is {}. It expires in 10 minutes.\r\n", code(id)),
        _ => String::new(),
    }
}

/// Six digits that differ from message to message.
fn code(id: u64) -> String {
    format!("{:06}", id % 1_000_000)
}

/// An order in which each class comes as evenly as its count allows.
fn spread(counts: &[u64]) -> Vec<u8> {
    let total: u64 = counts.iter().sum();
    let mut credit: Vec<i128> = vec![0; counts.len()];
    let mut order = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for _ in 0..total {
        for (credit, count) in credit.iter_mut().zip(counts) {
            *credit += i128::from(*count);
        }
        let richest =
            credit.iter_mut().enumerate().max_by_key(|(index, credit)| (**credit, usize::MAX - index));
        if let Some((index, credit)) = richest {
            *credit -= i128::from(total);
            order.push(u8::try_from(index).unwrap_or(0));
        }
    }
    order
}

/// Lines of text, `octets` in all (but for the room of a line end).
fn filler(octets: usize) -> Bytes {
    let line: Vec<u8> = (0..LINE_OCTETS).map(|at| b'a' + (at % 26) as u8).collect();
    let mut text = Vec::with_capacity(octets + 2);
    while text.len() + 2 < octets {
        let len = LINE_OCTETS.min(octets - text.len() - 2);
        text.extend_from_slice(line.get(..len).unwrap_or(&line));
        text.extend_from_slice(b"\r\n");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(words: &[&str]) -> SendOptions {
        match Cli::try_parse_from([&["baton", "send"], words].concat()).unwrap().command {
            Command::Send(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn made_up_messages_have_the_size_and_the_marks() {
        let source = Source::new(&options(&["--size", "4096", "--first-id", "7"])).unwrap();
        let message = source.message(3, "a@b.example", "c@d.example", 1_700_000_000_000_000);
        let text = message.body.to_bytes();
        assert!((4_000..=4_100).contains(&text.len()), "{}", text.len());
        assert!(
            text.starts_with(b"X-Baton-Id: 10\r\nX-Baton-Sent: 1700000000000000\r\nX-Baton-Class: all\r\n")
        );
        assert!(text.ends_with(b"\r\n"));
    }

    #[test]
    fn classes_are_spread_evenly_and_exactly() {
        let order = spread(&[2, 20]);
        assert_eq!(order.iter().filter(|class| **class == 0).count(), 2);
        let places: Vec<_> =
            order.iter().enumerate().filter(|(_, class)| **class == 0).map(|(at, _)| at).collect();
        assert_eq!(places[1] - places[0], 11);
        let source = Source::new(&options(&["--class-mix", "code:2,news:20"])).unwrap();
        assert_eq!(source.total(1), 22);
        assert!(read_mix("code").is_err() && read_mix("a b:1").is_err());
    }

    #[test]
    fn files_get_crlf_and_keep_theirs() {
        assert_eq!(&with_crlf(b"a\nb\r\nc".to_vec())[..], b"a\r\nb\r\nc");
        assert_eq!(&with_crlf(b"abc".to_vec())[..], b"abc");
        let file = File::from(Bytes::from("Subject: x\r\n\r\nä\r\n"));
        assert!(file.eight_bit && !file.utf8_header);
    }
}
