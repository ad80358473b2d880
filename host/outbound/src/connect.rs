//! From a site to an open, greeted connection: hosts in order of rank, their addresses, the first that answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use baton_dns::{HostAddresses, Resolver};
use baton_identity::reports::outgoing::{Tally, TlsCounts};
use baton_mail::status::Remote;
use baton_mail::trace::Hub;
use baton_mail::{Domain, EnhancedCode, FailureClass, Outcome, Phase, Status};
use futures_util::future::BoxFuture;
use rand::seq::SliceRandom;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::counting::{Came, Counting};
use crate::hosts::HostFailures;
use crate::link::{Link, Opening, Refusal, Shown};
use crate::log;
use crate::loops::{Unfit, check_address, is_own_listener};
use crate::metrics::Metrics;
use crate::next_hop::{LmtpTarget, NextHop};
use crate::protection::{Protection, protect};
use crate::race::Race;
use crate::security::{TlsPolicy, TlsUse};
use crate::settings::OutboundSettings;
use crate::site::{Candidate, Target};
use crate::sources::{Source, open};
use crate::sts::Policies;

/// What it takes to find hosts and to connect to them.
pub(crate) struct Reach {
    pub(crate) resolver: Resolver,
    /// What domains demand of TLS.
    pub(crate) policies: Policies,
    /// Where connections are counted for reports about TLS; those for questions are not.
    pub(crate) tally: Option<Arc<Tally<TlsCounts>>>,
    pub(crate) failures: HostFailures,
    /// Hosts whose TLS failed where it was welcome: they are spoken to in plain text for a while.
    pub(crate) tls_failures: HostFailures,
    pub(crate) metrics: Arc<Metrics>,
    /// Shows dialogues to who looks on.
    pub(crate) trace: Arc<Hub>,
}

impl Reach {
    pub(crate) fn new(
        resolver: Resolver,
        policies: Policies,
        tally: Option<Arc<Tally<TlsCounts>>>,
        metrics: Arc<Metrics>,
        trace: Arc<Hub>,
    ) -> Reach {
        Reach {
            resolver,
            policies,
            tally,
            failures: HostFailures::new(),
            tls_failures: HostFailures::new(),
            metrics,
            trace,
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy)]
pub(crate) struct Purpose<'a> {
    /// What it leaves by.
    pub(crate) source: &'a Source,
    /// For whose mail: a name that certificates of its mail hosts may have where DANE vouches for them (RFC 7672 3.2.2).
    pub(crate) domain: Option<&'a Domain>,
    /// The domain is told how it was protected, when it wants reports.
    pub(crate) is_counted: bool,
}

/// Opens a connection to the site, ready for a transaction.
///
/// # Errors
/// The outcome for every recipient: transient when any host may answer later.
pub(crate) async fn connect(
    reach: &Reach,
    settings: &OutboundSettings,
    target: &Target,
    purpose: Purpose<'_>,
) -> Result<Link, Outcome> {
    let shown = Shown::new(&reach.trace, &target.name(), &purpose.source.name);
    match target {
        Target::Smtp(candidates) => {
            let mut search = Search {
                shown,
                reach,
                settings,
                purpose,
                lmtp: false,
                tried: 0,
                withheld: false,
                failure: None,
            };
            search.run(shuffled(candidates)).await
        }
        Target::Lmtp(LmtpTarget::Tcp(host)) => {
            let tls = lmtp_policy(settings, target);
            let candidate = Candidate { rank: 0, host: host.clone(), trusted: true, tls };
            let purpose = Purpose { domain: None, ..purpose };
            let mut search = Search {
                shown,
                reach,
                settings,
                purpose,
                lmtp: true,
                tried: 0,
                withheld: false,
                failure: None,
            };
            search.run(vec![candidate]).await
        }
        Target::Lmtp(LmtpTarget::Unix(path)) => {
            let remote = Remote::named(path.display().to_string());
            let opening =
                timeout(Duration::from_millis(settings.timeouts.connect_ms), UnixStream::connect(path)).await;
            let opened = flatten(opening).map_err(|error| unreachable_host(&remote, &error));
            let stream = opened.map_err(Outcome::Deferred)?;
            let tls = lmtp_policy(settings, target);
            let (ehlo, trust) = (purpose.source.ehlo(&settings.hostname), tls.trust());
            let opening = Opening {
                metrics: &reach.metrics,
                settings,
                ehlo,
                lmtp: true,
                tls: &tls,
                trust,
                plain_why: None,
                shown,
            };
            let greeted = Link::open(Box::new(stream), remote, &opening).await;
            greeted.map_err(|refusal| outcome(refusal.status, refusal.permanent))
        }
        Target::File(_) | Target::Http(_) => {
            Err(Outcome::Deferred(crate::bounce_hook::our_fault("there are no connections to it")))
        }
    }
}

/// What protects the way to an LMTP server.
fn lmtp_policy(settings: &OutboundSettings, target: &Target) -> TlsPolicy {
    match target {
        Target::Lmtp(target) => settings.tls.policy(&NextHop::Lmtp(target.clone())),
        Target::Smtp(_) | Target::File(_) | Target::Http(_) => TlsPolicy::default(),
    }
}

/// Candidates by rank, in a new order within each rank (RFC 5321 5.1).
fn shuffled(candidates: &[Candidate]) -> Vec<Candidate> {
    let mut order = candidates.to_vec();
    for equals in order.chunk_by_mut(|one, other| one.rank == other.rank) {
        equals.shuffle(&mut rand::rng());
    }
    order
}

/// One search for a host that answers.
struct Search<'a> {
    /// Shows the dialogue to who looks on.
    shown: Shown,
    reach: &'a Reach,
    settings: &'a OutboundSettings,
    purpose: Purpose<'a>,
    lmtp: bool,
    tried: usize,
    /// A host could not satisfy what is published about it: no other one that needs less is tried.
    withheld: bool,
    /// The outcome if no host answers. A transient failure is never replaced by a permanent one.
    failure: Option<Outcome>,
}

/// Go on with the next host, or not.
enum Then {
    NextHost,
    Stop,
}

impl Search<'_> {
    async fn run(&mut self, candidates: Vec<Candidate>) -> Result<Link, Outcome> {
        for candidate in candidates {
            if self.withheld && !candidate.tls.published.demands_tls() {
                break;
            }
            match self.try_host(&candidate).await {
                Ok(link) => return Ok(link),
                Err(Then::NextHost) => {}
                Err(Then::Stop) => break,
            }
        }
        let nothing = || Outcome::Deferred(crate::bounce_hook::our_fault("no host was tried"));
        Err(self.failure.take().unwrap_or_else(nothing))
    }

    async fn try_host(&mut self, candidate: &Candidate) -> Result<Link, Then> {
        let Some(found) = self.addresses(candidate).await else { return Err(Then::NextHost) };
        let way = match protect(self.reach, candidate, &found, self.purpose.domain).await {
            Ok(way) => way,
            Err(why) => {
                self.withheld = true;
                if let Some(counting) = self.counting(candidate) {
                    counting.withheld(&why).await;
                }
                self.note(why.status.at(Remote::named(candidate.host.host.as_str())), false);
                return Err(Then::NextHost);
            }
        };
        let mut eligible = Vec::new();
        for address in alternated(found.addresses) {
            eligible.extend(self.check_target(candidate, SocketAddr::new(address, candidate.host.port))?);
        }
        let most = self.settings.limits.addresses_max.max(1).saturating_sub(self.tried);
        let is_cut = eligible.len() > most;
        eligible.truncate(most);
        self.tried += eligible.len();
        let delay = Duration::from_millis(self.settings.limits.attempt_delay_ms);
        let mut race = Race::new(eligible, delay);
        while let Some(((target, remote), opened)) = race.next(|(target, _)| self.open(target)).await {
            let linked = match opened {
                Ok(stream) => self.try_stream(stream, target, remote, candidate, &way).await,
                Err(error) => Err(Refusal::from(unreachable_host(&remote, &error))),
            };
            match linked {
                Ok(link) => return Ok(link),
                Err(refusal) => {
                    self.withheld |=
                        candidate.tls.published.demands_tls() && refusal.status.phase == Phase::Tls;
                    self.note_refusal(target, refusal);
                }
            }
        }
        Err(if is_cut { Then::Stop } else { Then::NextHost })
    }

    /// An address of a host that a connection may go to; none when that is noted as the failure.
    fn check_target(
        &mut self,
        candidate: &Candidate,
        target: SocketAddr,
    ) -> Result<Option<(SocketAddr, Remote)>, Then> {
        let (address, source) = (target.ip(), self.purpose.source);
        let sent_from = source.sent_from(&self.settings.hostname, address);
        let remote = Remote { source: sent_from, ..Remote::named(candidate.host.host.as_str()).at(address) };
        if !source.reaches(address) {
            self.note(no_way(source, address).at(remote), false);
            return Ok(None);
        }
        match check_address(target, &self.settings.loops).filter(|_| !candidate.trusted) {
            // As a host that is us: worse ones would only send it back (RFC 5321 5.1).
            Some(Unfit::Loop(why)) => {
                self.note(looped(why).at(remote), true);
                return Err(Then::Stop);
            }
            Some(Unfit::Prohibited(network)) => {
                self.note(prohibited(address, &network).at(remote), true);
                return Ok(None);
            }
            None => {}
        }
        if let Some(known) = self.reach.failures.reason(source, target) {
            self.note(known, false);
            return Ok(None);
        }
        Ok(Some((target, remote)))
    }

    /// A TCP connection, in time.
    fn open(&self, target: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        let bound = Duration::from_millis(self.settings.timeouts.connect_ms);
        let opening = timeout(bound, open(target, self.purpose.source));
        Box::pin(async { flatten(opening.await) })
    }

    /// The addresses of a host; none when that is noted as the failure.
    async fn addresses(&mut self, candidate: &Candidate) -> Option<HostAddresses> {
        let (host, resolver) = (&candidate.host, &self.reach.resolver);
        let remote = Remote::named(host.host.as_str());
        // Proofs are of use only where the name of the host is proved, too.
        let found = if candidate.tls.published.dane {
            resolver.host_addresses(&host.host).await
        } else {
            let name = host.host.clone();
            let found = resolver.addresses(&host.host).await;
            found.map(|addresses| HostAddresses { addresses, name, secure: false })
        };
        match found {
            Ok(found) if found.addresses.is_empty() => {
                let text = "the mail host has no address";
                let status = Status::ours(Phase::Dns, FailureClass::BadDomain, EnhancedCode(5, 4, 4), text);
                self.note(status.at(remote), true);
                None
            }
            Ok(found) => Some(found),
            Err(error) => {
                let text = format!("address of {}: {error}", host.host);
                let status = Status::ours(Phase::Dns, FailureClass::Dns, EnhancedCode(4, 4, 3), text);
                self.note(status.at(remote), false);
                None
            }
        }
    }

    /// Makes a link of a connection; where TLS is welcome but not needed, of another one without when it fails (RFC 7435 3).
    async fn try_stream(
        &self,
        stream: TcpStream,
        target: SocketAddr,
        remote: Remote,
        candidate: &Candidate,
        way: &Protection,
    ) -> Result<Link, Refusal> {
        let is_optional = way.tls.mode == TlsUse::Opportunistic;
        if let Some(known) =
            self.reach.tls_failures.reason(self.purpose.source, target).filter(|_| is_optional)
        {
            return self.link(stream, target, remote, candidate, (way, Some(&known.text))).await;
        }
        let opened = self.link(stream, target, remote.clone(), candidate, (way, None)).await;
        if let (Some(counting), Some(came)) = (self.counting(candidate), Came::of(&opened)) {
            counting.connected(target.ip(), way.tlsa.as_ref(), came).await;
        }
        match opened {
            Err(refusal) if is_optional && refusal.is_for_want_of_tls() => {
                log::falls_back(&remote, &refusal.status);
                self.reach.metrics.count_security("failed");
                let plain = (way, Some(refusal.status.text.as_str()));
                let stream = self.open(target).await;
                let stream = stream.map_err(|error| Refusal::from(unreachable_host(&remote, &error)))?;
                let opened = self.link(stream, target, remote, candidate, plain).await;
                // Only where it then works without, TLS is what is broken.
                if opened.is_ok() {
                    let lasts_ms = self.settings.limits.tls_failure_ms;
                    self.reach.tls_failures.note(self.purpose.source, target, refusal.status, lasts_ms);
                }
                opened
            }
            opened => opened,
        }
    }

    fn counting<'s>(&'s self, candidate: &'s Candidate) -> Option<Counting<'s>> {
        Counting::of(self.reach, self.settings, candidate, self.purpose)
    }

    /// Makes a link of a connection. `plain_why` is why it must be one in plain text.
    async fn link(
        &self,
        stream: TcpStream,
        target: SocketAddr,
        remote: Remote,
        candidate: &Candidate,
        (way, plain_why): (&Protection, Option<&str>),
    ) -> Result<Link, Refusal> {
        let is_checked = !candidate.trusted && self.purpose.source.proxy.is_none();
        if let (true, Ok(local), Ok(peer)) = (is_checked, stream.local_addr(), stream.peer_addr())
            && is_own_listener(local, peer, &self.settings.loops)
        {
            let status = looped("this is the relay itself").at(remote);
            return Err(Refusal { status, permanent: true, flaw: None });
        }
        let host = remote.host.clone();
        let opening = Opening {
            metrics: &self.reach.metrics,
            settings: self.settings,
            ehlo: self.purpose.source.ehlo(&self.settings.hostname),
            lmtp: self.lmtp,
            tls: &way.tls,
            trust: way.trust.clone(),
            plain_why,
            shown: self.shown.clone(),
        };
        let link = Link::open(Box::new(stream), remote, &opening).await?;
        self.reach.failures.forget(self.purpose.source, target);
        log::connected(&host, Some(target));
        Ok(link)
    }

    fn note_refusal(&mut self, target: SocketAddr, refusal: Refusal) {
        let Refusal { status, permanent, .. } = refusal;
        self.reach.metrics.connections_failed.inc();
        if let Some(remote) = &status.remote
            && let Some(tap) = self.shown.clone().tap(remote)
        {
            tap.note(&status.to_string());
        }
        log::not_connected(status.remote.as_ref().map_or("", |remote| remote.host.as_str()), &status);
        // A host that lacks the TLS which one next hop needs, or does not know who we are, is good enough for others.
        let is_of_next_hop = status.phase == Phase::Tls || status.enhanced == EnhancedCode(4, 7, 8);
        if !permanent && !is_of_next_hop {
            let lasts_ms = self.settings.limits.host_failure_ms;
            self.reach.failures.note(self.purpose.source, target, status.clone(), lasts_ms);
        }
        self.note(status, permanent);
    }

    fn note(&mut self, status: Status, permanent: bool) {
        if !(permanent && matches!(self.failure, Some(Outcome::Deferred(_)))) {
            self.failure = Some(outcome(status, permanent));
        }
    }
}

fn outcome(status: Status, permanent: bool) -> Outcome {
    if permanent { Outcome::Failed(status) } else { Outcome::Deferred(status) }
}

/// RFC 3463 3.5: routing loop detected.
fn looped(why: &str) -> Status {
    Status::ours(
        Phase::Connect,
        FailureClass::Loop,
        EnhancedCode(5, 4, 6),
        format!("mail loops back to myself: {why}"),
    )
}

/// RFC 3463 3.5: unable to route.
fn prohibited(address: IpAddr, network: &str) -> Status {
    let text = format!("the mail host is at {address}, in the prohibited network {network}");
    Status::ours(Phase::Connect, FailureClass::BadDomain, EnhancedCode(5, 4, 4), text)
}

/// RFC 3463 3.5: unable to route.
fn no_way(source: &Source, address: IpAddr) -> Status {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let text = format!("the source {} has no address for {family}", source.name);
    Status::ours(Phase::Connect, FailureClass::Network, EnhancedCode(4, 4, 4), text)
}

/// RFC 3463 3.5: no answer from host.
fn unreachable_host(remote: &Remote, error: &io::Error) -> Status {
    let text = match error.kind() {
        io::ErrorKind::TimedOut => "no connection in time".to_owned(),
        _ => format!("no connection: {error}"),
    };
    Status::ours(Phase::Connect, FailureClass::Network, EnhancedCode(4, 4, 1), text).at(remote.clone())
}

fn flatten<T>(opening: Result<io::Result<T>, tokio::time::error::Elapsed>) -> io::Result<T> {
    opening.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Families by turns, each in a new order, so that trouble with one family costs one try at most.
fn alternated(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.shuffle(&mut rand::rng());
    let (mut four, mut six): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    let mut order = Vec::with_capacity(four.len() + six.len());
    while !(four.is_empty() && six.is_empty()) {
        order.extend(four.pop());
        order.extend(six.pop());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::next_hop::HostPort;

    #[test]
    fn families_take_turns() {
        let addresses =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"].map(|text| text.parse().unwrap());
        let order = alternated(addresses.to_vec());
        assert_eq!(order.len(), 4);
        assert!(order[0].is_ipv4() && order[1].is_ipv6() && order[2].is_ipv4());
    }

    #[test]
    fn hosts_are_shuffled_within_their_rank_only() {
        let candidate = |rank, name: &str| Candidate {
            rank,
            host: HostPort { host: name.to_owned(), port: 25 },
            trusted: false,
            tls: TlsPolicy::default(),
        };
        let candidates: Vec<_> =
            (0..20).map(|number| candidate(number / 10, &format!("mx{number}"))).collect();
        let orders: Vec<_> = (0..20).map(|_| shuffled(&candidates)).collect();
        assert!(orders.iter().all(|order| order.is_sorted_by_key(|one| one.rank)));
        assert!(orders.iter().any(|order| *order != candidates), "twenty times the same order of ten");
    }
}
