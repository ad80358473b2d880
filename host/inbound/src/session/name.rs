//! The client's name: asked for when the session begins, beside everything else, and waited for by the first transaction.

use std::net::IpAddr;
use std::sync::Arc;

use baton_dns::{DnsError, Resolver, Reverse};
use baton_hooks::NameCheck;
use tokio_util::task::AbortOnDropHandle;

use super::Session;

/// How far the search for the client's name is.
#[derive(Debug, Default)]
pub(super) enum NameSearch {
    /// Nobody wanted it yet.
    #[default]
    NotAsked,
    /// The DNS is being asked. It ends when this is dropped.
    Asked(Box<AbortOnDropHandle<Result<Reverse, DnsError>>>),
    /// What came of it stands in the facts.
    Done,
}

impl Session {
    /// Begins the search where the settings want it.
    pub(super) fn begin_name_search(&mut self) {
        if self.needs_name() && matches!(self.name, NameSearch::NotAsked) {
            let asked = ask(self.listener.deps.resolver.clone(), self.client);
            self.name = NameSearch::Asked(Box::new(AbortOnDropHandle::new(tokio::spawn(asked))));
        }
    }

    /// True when the settings ask for the client's name and it is not known yet.
    pub(super) fn needs_name(&self) -> bool {
        !matches!(self.name, NameSearch::Done) && self.listener.deps.policy.load().reverse_dns
    }

    /// Waits for the client's name, confirmed by its address. Without an answer the session goes on without it, and the
    /// facts say why.
    pub(super) async fn find_name(&mut self) {
        self.begin_name_search();
        let NameSearch::Asked(asked) = std::mem::replace(&mut self.name, NameSearch::Done) else { return };
        // A task that failed knows as little as a server that does not answer.
        let (name, check) = (*asked).await.map_or((None, NameCheck::TempError), checked_name);
        self.listener.deps.metrics.count_name(check.as_str());
        let facts = Arc::make_mut(&mut self.facts);
        (facts.remote_name, facts.name_check) = (name, Some(check));
    }
}

/// The name that an answer of the DNS gives a client, and what it says of the way back.
pub fn checked_name(found: Result<Reverse, DnsError>) -> (Option<String>, NameCheck) {
    match found {
        Ok(Reverse::Confirmed(name)) => (Some(name), NameCheck::Pass),
        Ok(Reverse::Unconfirmed) => (None, NameCheck::Fail),
        Ok(Reverse::Nameless) => (None, NameCheck::PermError),
        Err(_) => (None, NameCheck::TempError),
    }
}

/// The question owns what it needs: it outlives no session, but runs beside one.
async fn ask(resolver: Resolver, client: IpAddr) -> Result<Reverse, DnsError> {
    resolver.reverse(client).await
}
