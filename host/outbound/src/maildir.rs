//! Final delivery into a Maildir folder: one file a message, complete or not there at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use baton_mail::{Body, Envelope, Recipient};

/// Writes the message for these recipients: into `tmp`, synced, then renamed into `new`, and the folder synced.
///
/// The file name is made of the message's id, so a repeated delivery after a crash replaces the first instead of
/// doubling it. Lines end with CRLF as they came. Blocks; call it off the runtime's workers.
///
/// # Errors
/// When the folder can not be written; nothing is left in `new` then.
pub(crate) fn store(
    folder: &Path,
    envelope: &Envelope,
    recipients: &[&Recipient],
    body: &Body,
) -> io::Result<()> {
    for name in ["tmp", "new", "cur"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let name = file_name(envelope, recipients);
    let (temporary, wanted) = (folder.join("tmp").join(&name), folder.join("new").join(&name));
    let written =
        write_synced(&temporary, envelope, recipients, body).and_then(|()| fs::rename(&temporary, &wanted));
    if let Err(error) = written {
        // The first error is the one to report; a file that stays in `tmp` harms nobody.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(folder.join("new"))?.sync_all()
}

fn write_synced(path: &Path, envelope: &Envelope, recipients: &[&Recipient], body: &Body) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let mut fields = return_path(envelope);
    for recipient in recipients {
        fields.push_str(&format!("Delivered-To: {}\r\n", recipient.address));
    }
    file.write_all(fields.as_bytes())?;
    for piece in body.pieces() {
        file.write_all(piece)?;
    }
    file.sync_all()
}

/// The field that final delivery adds (RFC 5321 4.4).
pub(crate) fn return_path(envelope: &Envelope) -> String {
    format!("Return-Path: <{}>\r\n", envelope.sender)
}

/// Time, message and first recipient: the same for every attempt, and of no other delivery.
fn file_name(envelope: &Envelope, recipients: &[&Recipient]) -> String {
    let first = recipients
        .first()
        .and_then(|wanted| envelope.recipients.iter().position(|recipient| recipient == *wanted))
        .unwrap_or(0);
    format!("{}.{}R{first}.baton", envelope.received_at.seconds(), envelope.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_mail::{Mailbox, MessageId, Origin, ReversePath, UnixMs};
    use bytes::Bytes;
    use std::time::Duration;

    fn envelope() -> Envelope {
        let sender = ReversePath::Mailbox("sender@example.org".parse().unwrap());
        let mut envelope = Envelope::new(
            MessageId::new(UnixMs(5_000)),
            UnixMs(5_000),
            Duration::ZERO,
            sender,
            Origin::internal(),
        );
        envelope.recipients.push(Recipient::from("user@example.net".parse::<Mailbox>().unwrap()));
        envelope
    }

    #[test]
    fn a_repeated_delivery_replaces_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let envelope = envelope();
        let recipients: Vec<_> = envelope.recipients.iter().collect();
        let body = Body::from(Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n"));
        for _ in 0..2 {
            store(folder.path(), &envelope, &recipients, &body).unwrap();
        }
        let files: Vec<_> = fs::read_dir(folder.path().join("new")).unwrap().collect();
        assert_eq!(files.len(), 1);
        let text = fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
        let expected = "Return-Path: <sender@example.org>\r\nDelivered-To: user@example.net\r\nSubject: x\r\n\r\nhello\r\n";
        assert_eq!(text, expected);
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_can_not_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let envelope = envelope();
        assert!(store(&file, &envelope, &[], &Body::default()).is_err());
    }
}
