//! A connection to a server, and what it says about an event that is to be stored.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::rustls::ClientConfig;
use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Message, ServerAddr,
    StatusCode, Subscriber,
};
use baton_mail::text::sanitize;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::watch;

/// The field by which a stream knows an event that it has already.
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// How the relay is called in the server's list of connections.
const CLIENT_NAME: &str = "baton";
/// Octets of a reason that are kept.
const REASON_OCTETS_MAX: usize = 300;
/// Where nobody listens.
const NOWHERE: &str = "nats://127.0.0.1:0";
/// Why a connection is over that ended without a reason.
const CLOSED: &str = "the server has closed the connection";

/// Who we are to the server.
pub enum NatsLogin {
    /// Nobody in particular.
    Anybody,
    /// By name and password.
    Password {
        /// Our name.
        user: String,
        /// The password.
        password: String,
    },
    /// By a token.
    Token(String),
    /// By the seed of an nkey.
    Nkey(String),
    /// By the text of a file of credentials: a JWT and the seed of its nkey.
    Credentials(String),
}

/// What a connection begins with.
pub struct NatsAccess {
    /// Who we are.
    pub login: NatsLogin,
    /// How TLS is spoken, where the address or the server asks for it.
    pub tls: ClientConfig,
}

/// Reads it anew for each connection, so that renewed secrets and certificates are used; or says in words without secrets
/// why it can not.
pub type NatsGrant = Arc<dyn Fn() -> BoxFuture<'static, Result<NatsAccess, String>> + Send + Sync>;

/// An event on its way.
pub(super) struct Publication {
    /// Its number in the feed.
    pub(super) number: u64,
    /// The same whenever it is sent, and that of no other event of any relay.
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) payload: Bytes,
}

/// What the server says of a publication.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is stored.
    New,
    /// It was stored before.
    Before,
}

/// A connection, which is not used any more after its first failure. Dropping it ends it.
pub(super) struct Connection {
    client: Client,
    answers: Subscriber,
    /// What the subjects of answers begin with; the number of the publication follows.
    inbox: String,
    /// Publications that were sent.
    sent: u64,
    /// Why the connection is of no use any more.
    trouble: watch::Receiver<Option<String>>,
}

impl Connection {
    /// Opens one to any of the servers, within a bound for each.
    pub(super) async fn open(
        servers: &[String],
        access: NatsAccess,
        bound: Duration,
    ) -> Result<Connection, String> {
        let addresses: Result<Vec<ServerAddr>, _> = servers.iter().map(|server| server.parse()).collect();
        let addresses = addresses.map_err(|error| error.to_string())?;
        let (note, trouble) = watch::channel(None);
        let note = Arc::new(note);
        let options = login(access.login)?
            .name(CLIENT_NAME)
            .tls_client_config(access.tls)
            .connection_timeout(bound)
            .ignore_discovered_servers()
            // Each server is tried once: this counts attempts, the first ones too.
            .max_reconnects(addresses.len())
            .event_callback(move |event| {
                if let Some(why) = trouble_of(&event) {
                    // What the server said before it closed the connection is the reason.
                    note.send_if_modified(|known| known.is_none().then(|| *known = Some(why)).is_some());
                }
                std::future::ready(())
            });
        let all = bound.saturating_mul(u32::try_from(addresses.len()).unwrap_or(u32::MAX));
        let client = tokio::time::timeout(all, options.connect(addresses))
            .await
            .map_err(|_| "no server answers in time".to_owned())?
            .map_err(|error| why_not_connected(&error))?;
        // A client that connects again by itself would send what waits in it before what was lost on the way. We connect again
        // ourselves, with secrets that are read anew.
        client.set_server_pool(NOWHERE).await.map_err(|error| reason(&error))?;
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await.map_err(|error| reason(&error))?;
        Ok(Connection { client, answers, inbox, sent: 0, trouble })
    }

    /// Returns when the server has gone, or refuses something.
    pub(super) async fn lost(&self) -> String {
        lost(&self.trouble).await
    }

    /// Sends events in their order, so many at a time without the server's word that they are stored; none may take longer
    /// than the bound. `note` hears of each that is stored, in their order. On a failure says which record is the first that
    /// is not stored as a whole: later ones may be.
    pub(super) async fn publish(
        &mut self,
        all: &[Publication],
        unacknowledged_max: usize,
        bound: Duration,
        mut note: impl FnMut(Stored),
    ) -> Result<(), (u64, String)> {
        let first = self.sent;
        let mut unsent = all.iter();
        // Those on their way, the oldest at the front, and the server's word on each.
        let mut under_way: VecDeque<(&Publication, Option<Stored>)> = VecDeque::new();
        let mut done = 0;
        loop {
            while under_way.len() < unacknowledged_max
                && let Some(publication) = unsent.next()
            {
                under_way.push_back((publication, None));
                let sent = self.send(publication).await;
                sent.map_err(|why| (oldest(&under_way, publication), refused(publication, &why)))?;
            }
            let Some((publication, _)) = under_way.front() else { return Ok(()) };
            let number = publication.number;
            let (answered, word) = match tokio::time::timeout(bound, self.answer()).await {
                Ok(answer) => answer.map_err(|why| (number, why))?,
                Err(_) => return Err((number, refused(publication, "no stream has stored it in time"))),
            };
            let place = answered.checked_sub(first + done).and_then(|place| usize::try_from(place).ok());
            if let Some((publication, stored)) = place.and_then(|place| under_way.get_mut(place)) {
                *stored = Some(word.map_err(|why| (number, refused(publication, &why)))?);
            }
            while let Some((_, Some(stored))) = under_way.front() {
                note(*stored);
                under_way.pop_front();
                done += 1;
            }
        }
    }

    /// Sends an event. The client writes in the order in which it is told to.
    async fn send(&mut self, publication: &Publication) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, publication.id.as_str());
        let reply = format!("{}.{}", self.inbox, self.sent);
        self.sent += 1;
        let (subject, payload) = (publication.subject.clone(), publication.payload.clone());
        let sent = self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await;
        sent.map_err(|error| reason(&error))
    }

    /// The next word of the server, and on which publication.
    async fn answer(&mut self) -> Result<(u64, Result<Stored, String>), String> {
        let message = tokio::select! {
            message = self.answers.next() => message.ok_or_else(|| CLOSED.to_owned())?,
            why = lost(&self.trouble) => return Err(why),
        };
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        Ok((number.unwrap_or(u64::MAX), read_answer(&message)))
    }
}

/// The first that is not stored as a whole.
fn oldest(under_way: &VecDeque<(&Publication, Option<Stored>)>, last: &Publication) -> u64 {
    under_way.front().map_or(last.number, |(publication, _)| publication.number)
}

fn refused(publication: &Publication, why: &str) -> String {
    format!("{}: {why}", publication.subject)
}

async fn lost(trouble: &watch::Receiver<Option<String>>) -> String {
    let mut trouble = trouble.clone();
    match trouble.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_else(|| CLOSED.to_owned()),
        Err(_) => CLOSED.to_owned(),
    }
}

/// Why a connection is of no use any more after this.
fn trouble_of(event: &Event) -> Option<String> {
    match event {
        Event::ServerError(error) => {
            Some(format!("the server refuses: {}", sanitize(&error.to_string(), REASON_OCTETS_MAX)))
        }
        Event::LameDuckMode => Some("the server is about to stop".to_owned()),
        Event::Disconnected | Event::Closed => Some(CLOSED.to_owned()),
        _ => None,
    }
}

fn why_not_connected(error: &ConnectError) -> String {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => "the server does not accept the login".to_owned(),
        ConnectErrorKind::Authentication => "the seed of the nkey is damaged".to_owned(),
        _ => reason(error),
    }
}

fn login(login: NatsLogin) -> Result<ConnectOptions, String> {
    let options = ConnectOptions::new();
    Ok(match login {
        NatsLogin::Anybody => options,
        NatsLogin::Password { user, password } => options.user_and_password(user, password),
        NatsLogin::Token(token) => options.token(token),
        NatsLogin::Nkey(seed) => options.nkey(seed),
        NatsLogin::Credentials(text) => options
            .credentials(&text)
            .map_err(|_| "the file of credentials has no JWT and seed".to_owned())?,
    })
}

fn read_answer(message: &Message) -> Result<Stored, String> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Err("no stream of the server takes the subject".to_owned());
    }
    read_word(&message.payload)
}

/// Anything but a word of JetStream that it is stored is a failure: a plain subscriber may answer too.
fn read_word(payload: &[u8]) -> Result<Stored, String> {
    let answer: Answer = serde_json::from_slice(payload)
        .map_err(|_| "somebody else than JetStream answered on the subject".to_owned())?;
    match answer {
        Answer { error: Some(refusal), .. } => {
            let words = sanitize(&refusal.description, REASON_OCTETS_MAX);
            Err(format!("JetStream refuses it: {words} ({})", refusal.err_code))
        }
        Answer { stream: Some(_), duplicate: false, .. } => Ok(Stored::New),
        Answer { stream: Some(_), duplicate: true, .. } => Ok(Stored::Before),
        Answer { .. } => Err("somebody else than JetStream answered on the subject".to_owned()),
    }
}

/// An error with its causes, bounded and fit to be shown.
fn reason(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = inner.source();
    }
    sanitize(&words, REASON_OCTETS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_of_jetstream_counts() {
        assert_eq!(read_word(br#"{"stream":"MAIL","seq":7}"#), Ok(Stored::New));
        assert_eq!(read_word(br#"{"stream":"MAIL","seq":7,"duplicate":true}"#), Ok(Stored::Before));
        let full = br#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#;
        assert_eq!(
            read_word(full),
            Err("JetStream refuses it: maximum messages exceeded (10077)".to_owned())
        );
        for other in [&b""[..], b"ok", b"{}", b"[]", b"\"stream\"", b"{\"seq\":1}"] {
            assert!(read_word(other).unwrap_err().contains("somebody else"));
        }
    }
}
