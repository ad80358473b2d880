//! XCLIENT: a trusted client speaks for another one from now on. What holds for that one holds here, and no more.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use baton_accounts::Judgement;
use baton_hooks::{NameCheck, SessionFacts, SessionNotes};
use baton_mail::Domain;
use baton_smtp::server::{Answer, Told, XClient};

use super::Session;
use super::auth::User;
use super::conduct::Conduct;
use super::name::NameSearch;
use crate::replies::Refusal;
use crate::{log, replies};

impl Session {
    /// Takes another client's place: its address, its limits, its rights. Nothing that was known of the session before
    /// is kept but TLS, which protects the same connection.
    pub(super) async fn answer_xclient(&mut self, told: XClient) -> Answer {
        let peer = new_peer(&told, self.peer);
        if let Err(crowded) = self.listener.count_client(&mut self.place, peer.ip()) {
            let bound = crowded.as_str();
            self.listener.deps.metrics.count_turned_away(&self.listener.name, bound);
            log::turned_away(&self.listener.name, peer, bound);
            return Answer::Disconnect(replies::closing(&crowded.refusal().reply()));
        }
        log::speaks_for(self.id, self.peer, peer);
        (self.peer, self.client) = (peer, peer.ip().to_canonical());
        let (name, check) = told_name(told.name);
        self.name = if check.is_some() { NameSearch::Done } else { NameSearch::NotAsked };
        let mut facts = SessionFacts::new(self.id, self.listener.name.clone(), self.client, peer.port());
        (facts.remote_name, facts.name_check) = (name, check);
        facts.helo = told.helo.and_then(Told::value);
        facts.account = told.login.and_then(Told::value);
        facts.tls = self.facts.tls.clone();
        self.facts = Arc::new(facts);
        self.notes = SessionNotes::default();
        (self.user, self.exchange, self.channel_binding) = (None, None, None);
        self.draft = None;
        self.decisions.clear();
        self.conduct = Conduct::default();
        self.auth_failures = 0;
        self.take_login().await
    }

    /// Where the store knows the account that was told, what it says holds, as for every other that somebody vouches for.
    async fn take_login(&mut self) -> Answer {
        let Some(name) = self.facts.account.clone() else { return Answer::Proceed };
        let authenticator = self.listener.deps.authenticator.clone();
        let revision = authenticator.accounts().revision();
        let refusal = match authenticator.vouched(&name).await {
            Judgement::Unknown => return Answer::Proceed,
            Judgement::Is(account) => {
                self.user = Some(User { account, revision, is_kept: true, is_program: false });
                return Answer::Proceed;
            }
            Judgement::Wrong => Refusal::BadCredentials,
            Judgement::Unavailable(_) => Refusal::AuthenticationUnavailable,
        };
        Answer::Disconnect(replies::closing(&refusal.reply()))
    }

    /// The session begins anew, by the parameters of the client that it is for.
    pub(super) fn restart(&mut self) {
        let is_protected = self.facts.tls.is_some();
        let settings = self.listener.server_settings(self.client, &self.generation, is_protected, false);
        self.server.restart(settings);
        self.show_note("speaks for another client from now on");
        self.overheard = None;
        self.request.is_new = true;
    }
}

/// The name that was told, and what that says of the way back; none when nothing was told.
fn told_name(told: Option<Told<Domain>>) -> (Option<String>, Option<NameCheck>) {
    match told {
        Some(Told::Is(name)) => (Some(name.to_string()), Some(NameCheck::Pass)),
        Some(Told::Unavailable) => (None, Some(NameCheck::PermError)),
        Some(Told::Temporarily) => (None, Some(NameCheck::TempError)),
        None => (None, None),
    }
}

/// Whose the session is. An address that is not known is nobody's: it must not keep the rights of whoever says so.
fn new_peer(told: &XClient, before: SocketAddr) -> SocketAddr {
    let address = match told.address {
        Some(Told::Is(address)) => address,
        Some(Told::Unavailable | Told::Temporarily) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => before.ip(),
    };
    let port = match told.port {
        Some(Told::Is(port)) => port,
        Some(Told::Unavailable | Told::Temporarily) => 0,
        None => before.port(),
    };
    SocketAddr::new(address, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_address_is_nobodys() {
        let before: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let peer = |address, port| new_peer(&XClient { address, port, ..XClient::default() }, before);
        assert_eq!(peer(None, None), before);
        assert_eq!(peer(Some(Told::Unavailable), None).ip(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        assert_eq!(peer(Some(Told::Temporarily), Some(Told::Unavailable)), "0.0.0.0:0".parse().unwrap());
        let told = Some(Told::Is("2001:db8::1".parse().unwrap()));
        assert_eq!(peer(told, Some(Told::Is(7))), "[2001:db8::1]:7".parse().unwrap());
    }
}
