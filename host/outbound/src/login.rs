//! Who we are to a smart host: AUTH (RFC 4954) with a password or a token.
//!
//! Invariant: without TLS no secret is sent, unless the settings say so for this very next hop.
//!
//! Invariant: a secret is in no log, no error and no debug output; it is read anew for each connection.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::prelude::{Mechname, SASLClient, Session, SessionError, State};
use rsasl::property::{AuthId, OAuthBearerToken, Password};
use tokio::process::Command;
use tokio::time::timeout;

/// How to authenticate at a next hop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Login {
    /// Who we are there.
    pub user: String,
    /// What proves it.
    pub secret: LoginSecret,
    /// The mechanisms that may be used, the preferred one first.
    pub mechanisms: Vec<LoginMechanism>,
    /// Also on connections without TLS.
    pub without_tls: bool,
}

/// Where the secret is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoginSecret {
    /// The first line of a file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// The first line that a program prints.
    Command(Vec<String>),
}

/// A mechanism of AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoginMechanism {
    /// RFC 7677: the peer learns nothing that it could use elsewhere.
    ScramSha256,
    /// RFC 4616.
    Plain,
    /// The one before PLAIN.
    Login,
    /// A token instead of a password.
    XOAuth2,
}

impl LoginMechanism {
    /// For passwords, the preferred one first.
    pub const FOR_PASSWORDS: [LoginMechanism; 3] =
        [LoginMechanism::ScramSha256, LoginMechanism::Plain, LoginMechanism::Login];
    /// For tokens.
    pub const FOR_TOKENS: [LoginMechanism; 1] = [LoginMechanism::XOAuth2];

    /// Its registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            LoginMechanism::ScramSha256 => "SCRAM-SHA-256",
            LoginMechanism::Plain => "PLAIN",
            LoginMechanism::Login => "LOGIN",
            LoginMechanism::XOAuth2 => "XOAUTH2",
        }
    }
}

/// Why there is no login, in words without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoLogin(pub(crate) String);

impl Login {
    /// The mechanism for a peer that offers these, in upper case.
    pub(crate) fn choose(&self, offered: &[String]) -> Result<LoginMechanism, NoLogin> {
        let is_offered = |mechanism: &&LoginMechanism| offered.iter().any(|name| name == mechanism.as_str());
        self.mechanisms.iter().find(is_offered).copied().ok_or_else(|| {
            let ours: Vec<_> = self.mechanisms.iter().map(|mechanism| mechanism.as_str()).collect();
            NoLogin(format!("the peer offers none of {} for AUTH", ours.join(", ")))
        })
    }

    /// Begins an exchange; reads the secret.
    pub(crate) async fn begin(&self, mechanism: LoginMechanism) -> Result<Exchange, NoLogin> {
        let secret = self.secret.read().await.map_err(NoLogin)?;
        let failed = |error: &dyn fmt::Display| NoLogin(format!("the login can not begin: {error}"));
        let owner = Owner { user: self.user.clone(), secret };
        let config =
            SASLConfig::builder().with_defaults().with_callback(owner).map_err(|error| failed(&error))?;
        let name = Mechname::parse(mechanism.as_str().as_bytes()).map_err(|error| failed(&error))?;
        let session = SASLClient::new(config).start_suggested(&[name]).map_err(|error| failed(&error))?;
        Ok(Exchange { session, mechanism, is_done: false })
    }
}

/// One exchange under way.
pub(crate) struct Exchange {
    session: Session,
    mechanism: LoginMechanism,
    is_done: bool,
}

impl Exchange {
    /// What goes with the command itself; none when the peer speaks first.
    pub(crate) fn first(&mut self) -> Result<Option<Vec<u8>>, NoLogin> {
        if !self.session.are_we_first() {
            return Ok(None);
        }
        self.step(None).map(Some)
    }

    /// The answer to a challenge.
    pub(crate) fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, NoLogin> {
        // The peer tells why it refuses the token, and wants an empty answer before it says so.
        if self.mechanism == LoginMechanism::XOAuth2 {
            return Ok(Vec::new());
        }
        self.step(Some(challenge))
    }

    /// False when the peer ends the login before it proved that it knows the password too.
    pub(crate) fn may_end(&self) -> bool {
        self.is_done || self.mechanism != LoginMechanism::ScramSha256
    }

    fn step(&mut self, input: Option<&[u8]>) -> Result<Vec<u8>, NoLogin> {
        let mut output = Vec::new();
        match self.session.step(input, &mut output) {
            Ok(State::Running) => {}
            Ok(State::Finished(_)) => self.is_done = true,
            Err(error) => return Err(NoLogin(format!("the peer's part of the login is not right: {error}"))),
        }
        Ok(output)
    }
}

/// Answers the mechanisms' questions.
struct Owner {
    user: String,
    secret: String,
}

impl SessionCallback for Owner {
    fn callback(
        &self,
        _session: &SessionData,
        _context: &Context,
        request: &mut Request,
    ) -> Result<(), SessionError> {
        request
            .satisfy::<AuthId>(&self.user)?
            .satisfy::<Password>(self.secret.as_bytes())?
            .satisfy::<OAuthBearerToken>(&self.secret)?;
        Ok(())
    }
}

impl LoginSecret {
    /// The secret, or why there is none.
    pub async fn read(&self) -> Result<String, String> {
        let text = match self {
            LoginSecret::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|error| format!("the secret in {} can not be read: {error}", path.display()))?,
            LoginSecret::Environment(name) => std::env::var(name)
                .map_err(|_| format!("the variable {name} with the secret is not set, or no text"))?,
            LoginSecret::Command(words) => run(words).await?,
        };
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(line.to_owned()),
            _ => Err("the secret is empty".to_owned()),
        }
    }
}

async fn run(words: &[String]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("there is no command for the secret")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let ended = timeout(COMMAND_BOUND, command.output()).await;
    let output = ended
        .map_err(|_| format!("{program} did not print the secret in time"))?
        .map_err(|error| format!("{program} can not be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{program} printed no text"))
}

/// How long a program may take to print the secret.
const COMMAND_BOUND: Duration = Duration::from_secs(20);
