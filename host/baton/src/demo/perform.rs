//! Sending one message of the demo as any client would.

use std::path::Path;

use anyhow::Context;
use baton_mail::{MessageId, ReversePath};
use baton_smtp::client::{RecipientResult, Requests, Transaction};
use bytes::Bytes;

use super::blocklist::LISTED;
use super::scenario::{Act, Content, Way};
use super::stage::Stage;
use crate::send::{Session, Target};

/// What the relay said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// To each recipient, in order.
    Replies(Vec<String>),
    /// The session did not come to a message.
    TurnedAway(String),
}

impl Said {
    /// The relay's words.
    pub(super) fn lines(&self) -> Vec<&str> {
        match self {
            Said::Replies(replies) => replies.iter().map(String::as_str).collect(),
            Said::TurnedAway(word) => vec![word],
        }
    }

    /// The message ids that the relay named.
    pub(super) fn ids(&self) -> Vec<MessageId> {
        let words =
            self.lines().into_iter().flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()));
        let mut ids: Vec<MessageId> =
            words.filter(|word| word.len() == ID_LETTERS).filter_map(|word| word.parse().ok()).collect();
        ids.dedup();
        ids
    }
}

/// Letters and digits of a message id.
const ID_LETTERS: usize = 26;
/// Octets of a line of a made-up message, its CRLF included.
const LINE_OCTETS: usize = 78;

/// The content of an act.
pub(super) fn content(act: &Act, corpus: &Path) -> anyhow::Result<Bytes> {
    match act.content {
        Content::File(name) => {
            let path = corpus.join(name);
            let content = std::fs::read(&path).with_context(|| format!("can not read {}", path.display()))?;
            Ok(content.into())
        }
        Content::MadeUp { octets } => {
            let mut content = format!(
                "From: <{}>\r\nTo: <{}>\r\nSubject: {octets} octets\r\nDate: Tue, 03 Nov 2026 09:12:44 +0100\r\n\
                 Message-ID: <large.{octets}@sender.example>\r\n\r\n",
                act.sender,
                act.recipients.first().copied().unwrap_or_default()
            )
            .into_bytes();
            for line in 0.. {
                if content.len() >= octets {
                    break;
                }
                content.extend_from_slice(format!("{line:0>width$}\r\n", width = LINE_OCTETS - 2).as_bytes());
            }
            Ok(content.into())
        }
    }
}

/// Hands a message to the relay.
pub(super) async fn perform(act: &Act, content: &Bytes, stage: &Stage) -> anyhow::Result<Said> {
    let target = match act.way {
        Way::Smtp => Target::plain(stage.smtp),
        Way::ListedClient => Target { local: Some(LISTED.parse()?), ..Target::plain(stage.smtp) },
        Way::Submission(credentials) => {
            Target { auth: Some(credentials.to_owned()), ..Target::plain(stage.submission) }
        }
    };
    let mut session = match Session::open(&target).await {
        Ok(session) => session,
        Err(error) => return Ok(Said::TurnedAway(format!("{error:#}"))),
    };
    let result = session.transact(transaction(act, content)?).await?;
    session.quit().await;
    let said = |result: RecipientResult| match result {
        RecipientResult::Accepted(reply) | RecipientResult::Refused { reply, .. } => reply.to_string(),
        RecipientResult::Incapable { text, .. } => text.to_owned(),
    };
    let mut replies: Vec<String> = result.recipients.into_iter().map(said).collect();
    replies.dedup();
    Ok(Said::Replies(replies))
}

fn transaction(act: &Act, content: &Bytes) -> anyhow::Result<Transaction> {
    let sender = match act.sender {
        "" => ReversePath::Null,
        text => ReversePath::Mailbox(text.parse()?),
    };
    let recipients =
        act.recipients.iter().map(|text| Ok(text.parse()?)).collect::<anyhow::Result<Vec<_>>>()?;
    let smtputf8 = !act.sender.is_ascii() || act.recipients.iter().any(|recipient| !recipient.is_ascii());
    Ok(Transaction {
        sender,
        recipients,
        body: content.clone().into(),
        eight_bit: !content.is_ascii(),
        binary: false,
        smtputf8,
        size: content.len() as u64,
        requests: Requests::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_replies() {
        let id = MessageId::from_octets([1; 16]);
        let said =
            Said::Replies(vec![format!("250 2.0.0 queued as {id}"), format!("550 5.1.6 moved ({id})")]);
        assert_eq!(said.ids(), [id]);
        assert!(Said::TurnedAway("535 5.7.8 no".to_owned()).ids().is_empty());
    }
}
