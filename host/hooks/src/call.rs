//! What the plugins of one call see, and what they may change.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use baton_mail::body::Content;
use baton_mail::edit::RouteEdit;
use baton_mail::header::{HeaderIndex, HeaderLimits, TooComplex};
use baton_mail::mime::{MimeLimits, Tree, read_tree};
use baton_mail::requests::MessageRequests;
use baton_mail::{
    Envelope, FailureClass, MessageId, Origin, Phase, Protocol, Reply, ReversePath, SessionId, Status,
    TlsFacts, UnixMs,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::off_thread::off_thread;

/// Octets of notes (keys and values) that one session, or one message, carries at most.
pub const NOTES_OCTETS_MAX: usize = 64 << 10;

/// A parameter of MAIL or RCPT: name, value.
pub type Parameter = (String, Option<String>);

/// The state that a chain of plugins works on. The caller keeps it over the hooks of one transaction.
///
/// While a hook runs, its content is with the plugin; a call that is cancelled (its future dropped) leaves one about
/// nothing behind, so a session that gives up on a hook must give up on the transaction too.
#[derive(Debug)]
pub struct Call {
    /// The session.
    pub session: Arc<SessionFacts>,
    /// The session's notes.
    pub notes: SessionNotes,
    /// The envelope; at the connect and auth hooks an empty one.
    pub envelope: Envelope,
    /// The parameters of MAIL FROM.
    pub sender_parameters: Vec<Parameter>,
    /// The parameters of RCPT TO, for each recipient of the envelope.
    pub recipient_parameters: Vec<Vec<Parameter>>,
    /// The message: at the data, route and bounce hooks.
    pub content: Option<MessageContent>,
    /// The attempts so far: at the route and bounce hooks.
    pub attempt: Option<AttemptFacts>,
    /// The failure: at the bounce hook.
    pub failure: Option<FailureFacts>,
    /// Result of the route hook: what plugins set, in order; later ones win.
    pub routes: Vec<RouteEdit>,
    /// Result of the bounce hook: the class that a plugin set.
    pub class: Option<FailureClass>,
    /// Result of the rcpt hook: a plugin with the grant `relay` accepted this recipient. Reset at each rcpt hook.
    pub relay_granted: bool,
    /// Why the message is to be held for an operator, when a plugin or a failure policy says so.
    pub quarantine: Option<String>,
}

impl Call {
    /// A call of a session, without a transaction.
    pub fn new(session: Arc<SessionFacts>, notes: SessionNotes) -> Call {
        Call {
            session,
            notes,
            envelope: empty_envelope(),
            sender_parameters: Vec::new(),
            recipient_parameters: Vec::new(),
            content: None,
            attempt: None,
            failure: None,
            routes: Vec::new(),
            class: None,
            relay_granted: false,
            quarantine: None,
        }
    }

    /// A call about a message in the queue; the session is told from the envelope's origin.
    pub fn queued(envelope: Envelope, content: Option<Content>, attempt: AttemptFacts) -> Call {
        let session = Arc::new(SessionFacts::of(&envelope.origin));
        let mut call = Call::new(session, SessionNotes::default());
        call.envelope = envelope;
        call.content = content.map(MessageContent::new);
        call.attempt = Some(attempt);
        call
    }
}

/// An envelope that stands for none. Costs no allocation.
fn empty_envelope() -> Envelope {
    Envelope {
        id: MessageId::from_octets([0; 16]),
        received_at: UnixMs(0),
        expires_at: UnixMs(0),
        sender: ReversePath::Null,
        recipients: Vec::new(),
        eight_bit: false,
        binary: false,
        smtputf8: false,
        size: 0,
        origin: Origin {
            session: None,
            listener: String::new(),
            client: None,
            client_port: 0,
            helo: None,
            account: None,
            protocol: Protocol::plain(""),
        },
        tenant: None,
        stream: None,
        tags: Vec::new(),
        scores: Vec::new(),
        notes: Vec::new(),
        hold: None,
        priority: 0,
        requests: MessageRequests::default(),
    }
}

/// What is known of a session. A new value replaces it when the client says HELO or authenticates.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The session's name.
    pub id: SessionId,
    /// The listener's name.
    pub listener: String,
    /// The client's address; none for messages that the relay made itself.
    pub remote_ip: Option<IpAddr>,
    /// The client's port.
    pub remote_port: u16,
    /// The forward-confirmed reverse name.
    pub remote_name: Option<String>,
    /// What came of looking for that name. While it is none, nobody did, and it is done as soon as a plugin asks for one
    /// of the two.
    pub name_check: Option<NameCheck>,
    /// What the client called itself.
    pub helo: Option<String>,
    /// The account it authenticated as.
    pub account: Option<String>,
    /// What protects the connection; none in plain text.
    pub tls: Option<Arc<TlsFacts>>,
}

impl SessionFacts {
    /// The facts of a session that just began.
    pub fn new(id: SessionId, listener: String, remote_ip: IpAddr, remote_port: u16) -> SessionFacts {
        SessionFacts {
            id,
            listener,
            remote_ip: Some(remote_ip),
            remote_port,
            remote_name: None,
            name_check: None,
            helo: None,
            account: None,
            tls: None,
        }
    }

    /// The facts of the session that a message came in by.
    pub fn of(origin: &Origin) -> SessionFacts {
        SessionFacts {
            id: origin.session.unwrap_or(SessionId(0)),
            listener: origin.listener.clone(),
            remote_ip: origin.client,
            remote_port: origin.client_port,
            remote_name: None,
            name_check: None,
            helo: origin.helo.clone(),
            account: origin.account.clone(),
            tls: origin.protocol.tls.clone(),
        }
    }
}

/// What came of looking for a client's name, and for the way back from it (RFC 8601 2.7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameCheck {
    /// It has a name, which leads back.
    Pass,
    /// It has names, and none of them leads back.
    Fail,
    /// It has no name.
    PermError,
    /// The DNS did not answer, so it is not known.
    TempError,
}

impl NameCheck {
    /// All of them.
    pub(crate) const EVERY: [NameCheck; 4] =
        [NameCheck::Pass, NameCheck::Fail, NameCheck::PermError, NameCheck::TempError];

    /// The word of RFC 8601.
    pub fn as_str(self) -> &'static str {
        match self {
            NameCheck::Pass => "pass",
            NameCheck::Fail => "fail",
            NameCheck::PermError => "permerror",
            NameCheck::TempError => "temperror",
        }
    }
}

/// What plugins noted about a session. Clones share it; it costs one pointer until something is noted.
#[derive(Clone, Debug, Default)]
pub struct SessionNotes(Arc<OnceLock<Box<Noted>>>);

#[derive(Debug, Default)]
struct Noted {
    notes: Mutex<HashMap<String, Vec<u8>>>,
    name_search: OnceCell<(Option<String>, NameCheck)>,
}

impl SessionNotes {
    /// The note of that full key.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get()?.notes.lock().get(key).cloned()
    }

    /// Sets or removes notes, as long as all fit into [`NOTES_OCTETS_MAX`]; those which do not are left out.
    pub(crate) fn apply(&self, changes: Vec<(String, Option<Vec<u8>>)>) {
        if changes.is_empty() {
            return;
        }
        let mut notes = self.0.get_or_init(Box::default).notes.lock();
        for (key, value) in changes {
            notes.remove(&key);
            if let Some(value) =
                value.filter(|value| octets_of(&notes) + key.len() + value.len() <= NOTES_OCTETS_MAX)
            {
                notes.insert(key, value);
            }
        }
    }

    /// All notes, in the order of their keys.
    pub(crate) fn all(&self) -> Vec<(String, Vec<u8>)> {
        let Some(noted) = self.0.get() else { return Vec::new() };
        let mut notes: Vec<_> =
            noted.notes.lock().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        notes.sort();
        notes
    }

    /// The client's name, and what came of looking for it, when a plugin wanted to know already.
    pub(crate) fn searched(&self) -> Option<(Option<String>, NameCheck)> {
        self.0.get()?.name_search.get().cloned()
    }

    /// Octets in use.
    pub(crate) fn octets(&self) -> usize {
        self.0.get().map_or(0, |noted| octets_of(&noted.notes.lock()))
    }

    /// Where the name of the client is kept once a plugin wanted to know it.
    pub(crate) fn name_search(&self) -> &OnceCell<(Option<String>, NameCheck)> {
        &self.0.get_or_init(Box::default).name_search
    }
}

fn octets_of(notes: &HashMap<String, Vec<u8>>) -> usize {
    notes.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// A message, with its header and its parts read at most once however many plugins ask.
#[derive(Debug)]
pub struct MessageContent {
    content: Content,
    index: OnceLock<Result<HeaderIndex, TooComplex>>,
    tree: OnceCell<Arc<Tree>>,
}

impl MessageContent {
    /// A message that no plugin asked about yet.
    pub fn new(content: Content) -> MessageContent {
        MessageContent { content, index: OnceLock::new(), tree: OnceCell::new() }
    }

    /// The octets.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The octets, for good.
    pub fn into_content(self) -> Content {
        self.content
    }

    /// The message after a change. Its parts are known still when the change does not touch them.
    pub(crate) fn changed(
        self,
        change: impl FnOnce(Content) -> Content,
        changes_parts: bool,
    ) -> MessageContent {
        let tree = if changes_parts { OnceCell::new() } else { self.tree };
        MessageContent { content: change(self.content), index: OnceLock::new(), tree }
    }

    /// The header, or why it was not read.
    pub fn header(&self) -> &Result<HeaderIndex, TooComplex> {
        self.index.get_or_init(|| HeaderIndex::scan(&self.content.header, &HeaderLimits::default()))
    }

    /// The parts; none when the message is too complex to be read.
    pub(crate) async fn tree(&self) -> &Arc<Tree> {
        let read = || async {
            let content = self.content.clone();
            let octets = usize::try_from(content.len()).unwrap_or(usize::MAX);
            let read = move || read_tree(&content, &MimeLimits::default()).unwrap_or_default();
            Arc::new(off_thread(octets, read).await)
        };
        self.tree.get_or_init(read).await
    }
}

/// The history of one copy of a message.
#[derive(Clone, Debug, Default)]
pub struct AttemptFacts {
    /// Finished attempts so far.
    pub attempt: u32,
    /// Milliseconds since the message was accepted.
    pub age_ms: u64,
    /// What the last attempt ended with.
    pub last: Option<Status>,
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub struct FailureFacts {
    /// The relay would give up; otherwise it would try again.
    pub permanent: bool,
    /// Where in the dialogue it failed.
    pub phase: Phase,
    /// The relay's own classification.
    pub class: FailureClass,
    /// The host that was tried.
    pub remote_host: Option<String>,
    /// What it said.
    pub reply: Option<Reply>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_shared_and_bounded() {
        let notes = SessionNotes::default();
        let theirs = notes.clone();
        let large = vec![0; NOTES_OCTETS_MAX - 10];
        notes.apply(vec![
            ("a".to_owned(), Some(large.clone())),
            ("b".to_owned(), Some(vec![0; 10])),
            ("c".to_owned(), Some(vec![1])),
        ]);
        assert_eq!(theirs.get("a"), Some(large));
        assert_eq!(theirs.get("b"), None, "there is no room for it");
        assert_eq!(theirs.get("c"), Some(vec![1]));
        notes.apply(vec![("a".to_owned(), None)]);
        assert_eq!((theirs.get("a"), theirs.octets()), (None, 2));
    }
}
