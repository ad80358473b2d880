//! Who asks, once the guard has let it in.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use baton_mail::tenant::Label;
use baton_mail::{AccountName, TlsFacts};

use crate::{Problem, Scope};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What it showed.
    pub(crate) who: Who,
    /// Its tenant; none sees all tenants.
    pub(crate) tenant: Option<Label>,
    /// The only stream that it may use.
    pub(crate) stream: Option<Label>,
    /// Where it is.
    pub(crate) client: SocketAddr,
    /// What protects the way.
    pub(crate) tls: Option<Arc<TlsFacts>>,
    /// The request's own name.
    pub(crate) request: Arc<str>,
}

/// What it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The admin socket is its own.
    Operator,
    /// A token of this id.
    Token(Arc<str>),
    /// The session of the operator of this name.
    Person(Arc<str>),
    /// Nothing, where nothing is needed.
    Nobody,
}

impl fmt::Display for Who {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Operator => formatter.write_str("operator"),
            Who::Token(id) => write!(formatter, "token:{id}"),
            Who::Person(name) => write!(formatter, "operator:{name}"),
            Who::Nobody => formatter.write_str("nobody"),
        }
    }
}

impl Caller {
    /// Its name in the audit log and in the history.
    pub(crate) fn name(&self) -> String {
        self.who.to_string()
    }

    /// Its name where it hands in mail of a tenant: `token:TENANT:ID`. The history then tells whose that was.
    pub(crate) fn account(&self, tenant: Option<&str>) -> AccountName {
        let id = match &self.who {
            Who::Token(id) => id.to_string(),
            _ => self.name(),
        };
        let name = format!("{PREFIX}{}:{id}", tenant.unwrap_or_default());
        name.parse().expect("names of callers have letters, digits, hyphens and colons")
    }

    /// The tenant that a request is about: its own. Who sees all tenants names one, or means the relay itself.
    pub(crate) fn tenant_of(&self, named: Option<&Label>) -> Result<Option<Label>, Problem> {
        match (&self.tenant, named) {
            // A stream of the relay itself is no tenant's.
            (None, Some(named)) if self.stream.is_some() => {
                Err(Problem::not_found(format!("there is no tenant `{named}`")))
            }
            (None, named) => Ok(named.cloned()),
            (Some(own), None) => Ok(Some(own.clone())),
            (Some(own), Some(named)) if own == named => Ok(Some(own.clone())),
            // No word about whether it exists.
            (Some(_), Some(named)) => Err(Problem::not_found(format!("there is no tenant `{named}`"))),
        }
    }

    /// The stream that a request is about: its own, where it has one.
    pub(crate) fn stream_of(&self, named: Option<&Label>) -> Result<Option<Label>, Problem> {
        match (&self.stream, named) {
            (None, named) => Ok(named.cloned()),
            (Some(own), None) => Ok(Some(own.clone())),
            (Some(own), Some(named)) if own == named => Ok(Some(own.clone())),
            (Some(own), Some(_)) => {
                Err(Problem::forbidden(format!("this token is for the stream `{own}` only")))
            }
        }
    }

    /// True when what belongs to that tenant and stream is its business.
    pub(crate) fn sees(&self, tenant: Option<&str>, stream: Option<&str>) -> bool {
        let own_tenant = self.tenant.as_ref().map(Label::as_str);
        self.is_relay()
            || own_tenant == tenant && self.stream.as_ref().is_none_or(|own| Some(own.as_str()) == stream)
    }

    /// True when it sees all tenants.
    pub(crate) fn is_relay(&self) -> bool {
        self.tenant.is_none() && self.stream.is_none()
    }

    /// The part of the relay that is its business.
    pub(crate) fn scope(&self) -> Result<Scope, Problem> {
        if self.tenant.is_none() && self.stream.is_some() {
            return Err(Problem::forbidden("this token is for a stream of the relay itself, to send by"));
        }
        let text = |label: &Option<Label>| label.as_ref().map(|label| label.as_str().to_owned());
        Ok(Scope { tenant: text(&self.tenant), stream: text(&self.stream) })
    }

    /// Who did something, where the operator may say so.
    pub(crate) fn by(&self, named: Option<String>) -> Result<String, Problem> {
        match (&self.who, named) {
            (Who::Operator, Some(named)) => Ok(baton_mail::text::sanitize(&named, BY_OCTETS_MAX)),
            (_, None) => Ok(self.name()),
            (_, Some(_)) => Err(Problem::field("by", "is what the token says; leave it out")),
        }
    }
}

/// The tenant and the token in the name of who handed mail in.
pub(super) fn read_name(account: &str) -> Option<(Option<&str>, &str)> {
    let (tenant, id) = account.strip_prefix(PREFIX)?.split_once(':')?;
    Some((Some(tenant).filter(|tenant| !tenant.is_empty()), id))
}

/// Octets of the name of who did something.
const BY_OCTETS_MAX: usize = 100;
/// What the names of programs begin with.
const PREFIX: &str = "token:";

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        // The guard puts it there, and no route is without a guard.
        parts.extensions.get::<Caller>().cloned().ok_or_else(|| Problem::unauthorized("nobody asks"))
    }
}

impl<S: Sync> FromRequestParts<S> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Scope, Problem> {
        Caller::from_request_parts(parts, state).await?.scope()
    }
}
