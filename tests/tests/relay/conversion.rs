//! 8-bit and binary content, towards next hops that take it and next hops that do not.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_mail::Body;
use baton_mail::mime::{Fit, MimeLimits, convert};
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Received, Sink};
use baton_tests::{suite, wait};
use serde_json::{Value, json};

use crate::router::code_of;

/// A part that is no text: every octet, and what others would take for an end of mail.
const BINARY: &[u8] = b"\0\x01\xff\r\n.\r\nMAIL FROM:<evil@sender.example>\r\n\n.\n\r.\r\rEND";

fn binary_message() -> Vec<u8> {
    let head = b"From: a@sender.example\r\nSubject: binary\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=border\r\nContent-Transfer-Encoding: binary\r\n\r\n\
        --border\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe aus K\xc3\xb6ln am Rhein\r\n\
        --border\r\nContent-Type: application/octet-stream; name=x.bin\r\nContent-Transfer-Encoding: binary\r\n\r\n";
    [&head[..], BINARY, b"\r\n--border--\r\n"].concat()
}

fn relay_to(behaviour: Behaviour) -> Result<(Relay, Sink)> {
    let sink = Sink::with(behaviour)?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    Ok((relay, sink))
}

/// Sends by BDAT in two chunks, whatever the content is.
fn send_binary(client: &mut Client, content: &[u8]) -> Result<String> {
    client.expect("MAIL FROM:<a@sender.example> BODY=BINARYMIME", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    let (one, two) = content.split_at(content.len() / 2);
    client.write(format!("BDAT {}\r\n", one.len()).as_bytes())?;
    client.write(one)?;
    client.expect_reply(250)?;
    client.write(format!("BDAT {} LAST\r\n", two.len()).as_bytes())?;
    client.write(two)?;
    client.expect_reply(250)?.message_id()
}

fn only(sink: &Sink) -> Result<Received> {
    sink.wait_for(1)?.pop().context("a message")
}

/// What Python's `email` package reads of a message: type, file name and content of each part.
fn read_by_python(messages: &[Vec<u8>]) -> Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let given: Vec<String> = messages.iter().map(|message| STANDARD.encode(message)).collect();
    let path = folder.path().join("messages");
    fs::write(&path, given.join("\n"))?;
    let mut command = Command::new("python3");
    command.args(["-c", READER]).arg(&path);
    let output = output_within(command, wait::LONG)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Only complaints about what was converted count: those of the original are its own.
const READER: &str = r"
import base64, email, json, sys
def part(one):
    content = None if one.is_multipart() else base64.b64encode(one.get_payload(decode=True)).decode()
    return [one.get_content_type(), one.get_filename(), one.get_param('charset'), content]
def message(octets):
    return [part(one) for one in email.message_from_bytes(octets).walk()]
print(json.dumps([message(base64.b64decode(line)) for line in open(sys.argv[1])]))
";

#[test]
fn eight_bits_are_quoted_where_they_would_be_cut() -> Result<()> {
    let (relay, sink) = relay_to(Behaviour::default().offering(&["PIPELINING"]))?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example> BODY=8BITMIME", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    let sent = message::corpus("eight-bit.eml")?;
    let id = client.data(&sent)?.message_id()?;
    relay.wait_for_event(&id, "delivered")?;
    let received = only(&sink)?;
    assert!(received.content.is_ascii() && !received.parameters.contains("BODY"), "{}", received.text());
    let read = read_by_python(&[sent, received.content.clone()])?;
    assert_eq!(read.first(), read.get(1));
    let converted = relay.wait_for_event(&id, "converted")?;
    assert!(converted.to_string().contains("does not offer 8BITMIME"), "{converted}");
    assert!(relay.said(&["explain", &id])?.contains("converted for b@dest.example: to 7 bit ("));
    Ok(())
}

#[test]
fn nothing_is_converted_when_the_settings_say_so() -> Result<()> {
    let sink = Sink::with(Behaviour::default().offering(&["PIPELINING", "CHUNKING"]))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()).set("delivery.convert_8bit", "bounce"))?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<> BODY=8BITMIME", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    let id = client.data(&message::corpus("eight-bit.eml")?)?.message_id()?;
    let failed = relay.wait_for_event(&id, "failed")?;
    assert_eq!(code_of(&failed), "5.6.3", "{failed}");
    let id = send_binary(&mut client, &binary_message())?;
    let failed = relay.wait_for_event(&id, "failed")?;
    assert!(code_of(&failed) == "5.6.3" && failed.to_string().contains("BINARYMIME"), "{failed}");
    // The report about it is the only message that may arrive; it is made of lines.
    wait::quiet();
    assert!(sink.messages().iter().all(|message| message.sender.is_empty() && message.bare_line_ends() == 0));
    Ok(())
}

#[test]
fn binary_content_goes_as_it_is_where_it_is_taken() -> Result<()> {
    let (relay, sink) =
        relay_to(Behaviour::default().offering(&["PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME"]))?;
    let sent = binary_message();
    let mut client = relay.client()?;
    // RFC 3030 3: only by BDAT.
    client.expect("MAIL FROM:<a@sender.example> BODY=BINARYMIME", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    client.expect("DATA", 503)?;
    client.expect("RSET", 250)?;
    send_binary(&mut client, &sent)?;
    let received = only(&sink)?;
    assert!(received.content.ends_with(&sent) && received.chunked, "every octet of it");
    assert!(received.parameters.contains("BODY=BINARYMIME"), "{}", received.parameters);
    Ok(())
}

#[test]
fn binary_content_becomes_lines_elsewhere_and_nothing_is_smuggled() -> Result<()> {
    let all = ["PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME"];
    let without = |left_out: &[&str]| -> Vec<&'static str> {
        all.into_iter().filter(|name| !left_out.contains(name)).collect()
    };
    for left_out in [&["BINARYMIME"][..], &["CHUNKING"], &["8BITMIME", "BINARYMIME"], &all] {
        let (relay, sink) = relay_to(Behaviour::default().offering(&without(left_out)))?;
        let sent = binary_message();
        let id = send_binary(&mut relay.client()?, &sent)?;
        relay.wait_for_event(&id, "delivered")?;
        let received = only(&sink)?;
        assert_eq!(sink.messages().len(), 1, "without {left_out:?}");
        assert!(received.bare_line_ends() == 0 && !received.content.contains(&0), "without {left_out:?}");
        assert_eq!(received.content.is_ascii(), left_out.contains(&"8BITMIME"));
        assert!(!received.parameters.contains("BINARYMIME"));
        let read = read_by_python(&[sent, received.content.clone()])?;
        assert_eq!(read.first(), read.get(1), "without {left_out:?}");
    }
    Ok(())
}

#[test]
fn binary_content_outlives_the_process() -> Result<()> {
    let sink = Sink::with(Behaviour::default().offering(&["8BITMIME", "CHUNKING", "BINARYMIME"]))?;
    let settings = Settings::new().all_to(sink.address()).set("next_hops.wait.hold", "for later");
    let mut relay = Relay::start(settings.clone().route("dest.example", "wait"))?;
    let sent = binary_message();
    let id = send_binary(&mut relay.client()?, &sent)?;
    relay.wait_for_event(&id, "held")?;
    relay.stop()?;
    relay.write_settings(settings)?;
    relay.start_again()?;
    relay.said(&["queue", "release", &id])?;
    let received = only(&sink)?;
    assert!(received.content.ends_with(&sent) && received.parameters.contains("BODY=BINARYMIME"));
    Ok(())
}

#[test]
fn what_can_not_be_converted_comes_back() -> Result<()> {
    let (relay, sink) = relay_to(Behaviour::default().offering(&["PIPELINING"]))?;
    let signed = "Subject: signed\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n\
        --s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\u{fc}n\r\n\
        --s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n";
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example> BODY=8BITMIME RET=FULL", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    let id = client.data(signed.as_bytes())?.message_id()?;
    let failed = relay.wait_for_event(&id, "failed")?;
    assert!(code_of(&failed) == "5.6.3" && failed.to_string().contains("RFC 1847"), "{failed}");
    // A header that is not made of lines is not let in at all.
    client.expect("MAIL FROM:<a@sender.example> BODY=BINARYMIME", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    client.write(b"BDAT 26 LAST\r\nSubject: a\nFrom: b\r\n\r\nbody")?;
    let refused = client.reply()?;
    assert!(refused.code == 550 && refused.text().contains("5.6.11"), "{refused}");
    assert!(sink.messages().iter().all(|message| message.sender.is_empty()), "nothing but the report");
    Ok(())
}

/// Old programs write fields in UTF-8, or in the charset of their country, without SMTPUTF8.
#[test]
fn fields_beyond_ascii_are_read_as_they_were_meant() -> Result<()> {
    let (relay, sink) = relay_to(Behaviour::default().offering(&["PIPELINING"]))?;
    let message = "From: J\u{fc}rgen <a@sender.example>\r\nSubject: gr\u{fc}n und sch\u{f6}n\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\
        Content-Disposition: attachment; filename=\"gr\u{fc}n.txt\"\r\n\r\nplain\r\n--b--\r\n";
    let latin: Vec<u8> = message.chars().map(|character| character as u8).collect();
    let mut client = relay.client()?;
    for (count, sent) in [message.as_bytes(), &latin].into_iter().enumerate() {
        client.expect("MAIL FROM:<a@sender.example> BODY=8BITMIME", 250)?;
        client.expect("RCPT TO:<b@dest.example>", 250)?;
        let id = client.data(sent)?.message_id()?;
        relay.wait_for_event(&id, "delivered")?;
        let received = sink.wait_for(count + 1)?.pop().context("a message")?;
        assert!(received.content.is_ascii(), "{}", received.text());
        let converted = relay.wait_for_event(&id, "converted")?;
        assert!(converted.to_string().contains("3 fields in encoded words"), "{converted}");
        let path = relay.folder().join("received");
        fs::write(&path, &received.content)?;
        let mut python = Command::new("python3");
        python.args(["-c", FIELDS_READER]).arg(&path);
        let output = output_within(python, wait::LONG)?;
        let read: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let charset = if count == 0 { "utf-8" } else { "unknown-8bit" };
        assert_eq!(
            read,
            json!([
                ["J\u{fc}rgen", charset],
                ["gr\u{fc}n und sch\u{f6}n", charset],
                ["gr\u{fc}n.txt", charset]
            ])
        );
    }
    Ok(())
}

/// Display name, subject and file name, each as text with the charset that it is said to be in.
const FIELDS_READER: &str = r"
import email, email.header, email.utils, json, sys
message = email.message_from_binary_file(open(sys.argv[1], 'rb'))
def text(octets, charset):
    return octets.decode('latin-1' if charset == 'unknown-8bit' else charset)
def words(field):
    pieces = [(piece if isinstance(piece, bytes) else piece.encode(), charset) for piece, charset in email.header.decode_header(field)]
    charset = next(charset for _, charset in pieces if charset)
    return [''.join(text(piece, charset) for piece, _ in pieces), charset]
name = words(email.utils.parseaddr(message['From'])[0])
part = message.get_payload(0)
charset, _, value = part.get_param('filename', header='content-disposition')
print(json.dumps([name, words(message['Subject']), [text(value.encode('latin-1'), charset), charset]]))
";

#[test]
fn others_read_from_the_converted_form_what_they_read_from_the_original() -> Result<()> {
    let mut random = Random(0x5EED_BA70);
    let originals: Vec<Vec<u8>> = (0..400).map(|_| random.message()).collect();
    let mut converted = Vec::new();
    for original in &originals {
        for fit in [Fit::SevenBit, Fit::EightBit] {
            let body = Body::from(bytes::Bytes::copy_from_slice(original));
            let made = convert(&body, fit, &MimeLimits::default())
                .with_context(|| String::from_utf8_lossy(original).into_owned())?;
            converted.push(made.body.to_bytes().to_vec());
        }
    }
    let expected = read_by_python(&originals)?;
    let found = read_by_python(&converted)?;
    ensure!(found.len() == 800, "{} messages were read", found.len());
    for (index, one) in found.iter().enumerate() {
        let (was, original) = (expected.get(index / 2), originals.get(index / 2));
        let without_charset = |read: Option<&Value>| -> Value {
            let parts = read.and_then(Value::as_array).cloned().unwrap_or_default();
            // The one thing that is added: the charset of what did not say any.
            parts.into_iter().map(|part| json!([part[0], part[1], part[3]])).collect()
        };
        ensure!(
            without_charset(was) == without_charset(Some(one)),
            "{}\nbecame\n{}",
            original.map(|octets| octets.escape_ascii().to_string()).unwrap_or_default(),
            converted.get(index).map(|octets| octets.escape_ascii().to_string()).unwrap_or_default(),
        );
    }
    suite::conclude("converted messages read by Python as their originals", found.len(), &[])
}

/// Messages by chance, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn message(&mut self) -> Vec<u8> {
        let mut message = b"From: a@sender.example\r\nSubject: chance\r\nMIME-Version: 1.0\r\n".to_vec();
        self.part(0, &mut message);
        message
    }

    /// The fields and the body of a part, without the line end that belongs to the boundary behind it.
    fn part(&mut self, depth: u64, output: &mut Vec<u8>) {
        match self.below(6 + 2 * depth) {
            0 | 1 => self.multipart(depth, output),
            2 if depth > 0 => {
                output.extend_from_slice(b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n");
                self.part(depth + 1, output);
            }
            _ => self.leaf(output),
        }
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let chosen = usize::try_from(self.below(choices.len() as u64)).ok();
        chosen.and_then(|chosen| choices.get(chosen)).copied().unwrap_or_default()
    }

    fn multipart(&mut self, depth: u64, output: &mut Vec<u8>) {
        let border = format!("border-{}-{depth}", self.below(1 << 30));
        let label = self.one_of(&[
            "",
            "Content-Transfer-Encoding: binary\r\n",
            "Content-Transfer-Encoding: 8bit\r\n",
        ]);
        output.extend_from_slice(
            format!("Content-Type: multipart/mixed;\r\n boundary=\"{border}\"\r\n{label}\r\n").as_bytes(),
        );
        for _ in 0..=self.below(3) {
            output.extend_from_slice(format!("--{border}\r\n").as_bytes());
            self.part(depth + 1, output);
            output.extend_from_slice(b"\r\n");
        }
        output.extend_from_slice(format!("--{border}--\r\n").as_bytes());
    }

    fn leaf(&mut self, output: &mut Vec<u8>) {
        let types =
            ["text/plain", "text/html; charset=utf-8", "application/x-y; name=\"a b.bin\"", "image/png"];
        if self.below(5) > 0 {
            let kind = self.one_of(&types);
            output.extend_from_slice(format!("Content-Type: {kind}\r\n").as_bytes());
        }
        let labels = ["", "7bit", "8bit", "binary"];
        let label = self.one_of(&labels);
        if !label.is_empty() {
            output.extend_from_slice(format!("Content-Transfer-Encoding: {label}\r\n").as_bytes());
        }
        output.extend_from_slice(b"\r\n");
        for _ in 0..self.below(8) {
            self.content(output);
        }
    }

    fn content(&mut self, output: &mut Vec<u8>) {
        match self.below(9) {
            0 => output.extend_from_slice("gr\u{fc}n und bl\u{e4}u = \u{20ac}\t \r\n".as_bytes()),
            1 => output.extend(std::iter::repeat_n(b'-', 1_100)),
            2 => (0..self.below(300)).for_each(|_| output.push(self.below(256) as u8)),
            3 => output.extend_from_slice(b"\r\n.\r\n\r\n"),
            4 => output.extend_from_slice(b"a lone \n and \r end\0"),
            5 => output.extend_from_slice(b"From me\r\n--\r\n"),
            _ => output.extend_from_slice(b"A line of plain text that says nothing, to its end.\r\n"),
        }
    }
}
