//! Destinations: the places that mail is delivered to. All domains with the same mail hosts are one, so that one provider is
//! one set of limits however many domains it serves. A site is a destination by one source.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use baton_dns::{DnsError, MailHost, MailHosts};
use baton_mail::lane::LaneWeights;
use baton_mail::{Domain, EnhancedCode, FailureClass, Outcome, Phase, Status};
use baton_store::shaping::Traits;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::connect::Reach;
use crate::endpoint::Endpoint;
use crate::job::Job;
use crate::loops::hosts_before_us;
use crate::metrics::{SiteFigures, SiteTable};
use crate::next_hop::{HostPort, LmtpTarget, NextHop};
use crate::ready::ReadyQueue;
use crate::security::TlsPolicy;
use crate::settings::OutboundSettings;
use crate::shaping::{Pace, Standing};
use crate::sources::Source;
use crate::sts::{Found, Policy};

/// Mail hosts that are named in the reason why none of them is used.
const HOSTS_SHOWN_MAX: usize = 5;
/// Routes whose site is remembered.
const ROUTES_REMEMBERED_MAX: usize = 10_000;

/// Where one recipient's copy goes: a next hop, and what plugins added to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) next_hop: Arc<NextHop>,
    /// Hosts to try when the next hop can not be reached.
    pub(crate) fallbacks: Vec<HostPort>,
    /// A ready queue of its own, with its own limits.
    pub(crate) queue: Option<String>,
    /// The settings name it, so it may be on this machine.
    pub(crate) trusted: bool,
    /// Only over connections whose other end is known to be who it is (RFC 8689).
    pub(crate) require_tls: bool,
    /// Rather without TLS than not at all, whatever the recipients' domain published (RFC 8689 5).
    pub(crate) tls_optional: bool,
}

impl Route {
    /// A route as the settings say.
    pub(crate) fn of_settings(next_hop: Arc<NextHop>) -> Route {
        let trusted = !matches!(*next_hop, NextHop::Mx(_));
        Route {
            next_hop,
            fallbacks: Vec::new(),
            queue: None,
            trusted,
            require_tls: false,
            tls_optional: false,
        }
    }
}

/// A place to deliver to: the hosts that take its mail. Each source that mail goes there by has a ready queue of its own.
#[derive(Debug)]
pub(crate) struct Destination {
    /// What operators call it: the names of its hosts.
    pub(crate) name: String,
    /// The kind of its next hop, for metrics.
    pub(crate) kind: &'static str,
    /// How it is reached.
    pub(crate) target: Target,
    /// Whose it is, when the settings know that.
    pub(crate) provider: Option<String>,
    /// The ready queues by source; those that nobody uses are gone.
    sites: Mutex<Vec<Weak<Site>>>,
}

/// A destination by one source, with its jobs and workers.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) destination: Arc<Destination>,
    pub(crate) source: Arc<Source>,
    /// What waits for it.
    pub(crate) ready: ReadyQueue<Job>,
    /// How it stands.
    pub(crate) standing: Standing,
    /// A measure suspends it.
    pub(crate) is_suspended: AtomicBool,
    /// It was paced before.
    pub(crate) is_known: AtomicBool,
    pub(crate) pace: ArcSwap<Pace>,
    /// What is counted of it.
    pub(crate) figures: Arc<SiteFigures>,
}

impl Site {
    /// Its limits.
    pub(crate) fn pace(&self) -> Arc<Pace> {
        self.pace.load_full()
    }

    /// What is known of all mail that goes this way.
    pub(crate) fn traits(&self) -> Traits<'_> {
        Traits {
            provider: self.destination.provider.as_deref(),
            site: Some(&self.destination.name),
            source: Some(&self.source.name),
            ..Traits::default()
        }
    }

    /// Recipients of one transaction.
    pub(crate) fn recipients_max(&self, settings: &OutboundSettings) -> usize {
        let most = settings.limits.recipients_per_delivery_max.max(1);
        self.pace().limits.recipients_per_message.map_or(most, |own| own.clamp(1, most))
    }

    /// Messages over one connection.
    pub(crate) fn messages_max(&self, settings: &OutboundSettings) -> u32 {
        let most = settings.limits.deliveries_per_connection_max.max(1);
        self.pace().limits.messages_per_connection.map_or(most, |own| own.clamp(1, most))
    }
}

impl Destination {
    /// The one site of this source here.
    pub(crate) fn site(
        self: &Arc<Self>,
        source: &Arc<Source>,
        weights: LaneWeights,
        figures: &SiteTable,
    ) -> Arc<Site> {
        let mut sites = self.sites.lock();
        let is_its = |site: &Arc<Site>| Arc::ptr_eq(&site.source, source) || site.source == *source;
        if let Some(site) = sites.iter().filter_map(Weak::upgrade).find(is_its) {
            return site;
        }
        sites.retain(|site| site.strong_count() > 0);
        let site = Arc::new(Site {
            destination: Arc::clone(self),
            source: Arc::clone(source),
            ready: ReadyQueue::new(weights),
            standing: Standing::default(),
            is_suspended: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            pace: ArcSwap::default(),
            figures: figures.of(&self.name, &source.name),
        });
        sites.push(Arc::downgrade(&site));
        site
    }

    /// The sites that are in use.
    pub(crate) fn sites(&self) -> Vec<Arc<Site>> {
        self.sites.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// What counters of providers call it.
    pub(crate) fn provider_name(&self) -> &str {
        self.provider.as_deref().unwrap_or(NO_PROVIDER)
    }

    /// It stays on this machine, or next to it.
    pub(crate) fn is_local(&self) -> bool {
        !matches!(self.target, Target::Smtp(_))
    }
}

impl Target {
    /// What operators call it: the names of its hosts, or where it is.
    pub(crate) fn name(&self) -> String {
        match self {
            Target::Smtp(candidates) => rolled_up(candidates),
            Target::Lmtp(target) => format!("lmtp {target}"),
            Target::File(path) => format!("file {}", path.display()),
            Target::Http(endpoint) => endpoint.to_string(),
        }
    }

    /// True when what the recipients' domain published may keep mail from going there.
    pub(crate) fn has_published_demands(&self) -> bool {
        match self {
            Target::Smtp(candidates) => {
                candidates.iter().any(|candidate| candidate.tls.published.demands_tls())
            }
            Target::Lmtp(_) | Target::File(_) | Target::Http(_) => false,
        }
    }
}

/// How a site is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// By SMTP, to the first of these hosts that answers; by rising rank.
    Smtp(Vec<Candidate>),
    /// By LMTP.
    Lmtp(LmtpTarget),
    /// Into a folder.
    File(PathBuf),
    /// To a web server.
    Http(Endpoint),
}

/// One host of a site.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// Hosts of equal rank are tried in a new order each time.
    pub(crate) rank: usize,
    pub(crate) host: HostPort,
    /// May be on this machine.
    pub(crate) trusted: bool,
    /// What the connection needs.
    pub(crate) tls: TlsPolicy,
}

/// What a route leads to.
#[derive(Clone, Debug)]
pub(crate) enum Resolved {
    /// A place.
    At(Arc<Destination>),
    /// Nothing, for good or for now.
    Refused(Box<Outcome>),
}

impl Resolved {
    /// True when what the recipients' domain published may keep mail from going, or does so now.
    pub(crate) fn has_published_demands(&self) -> bool {
        match self {
            Resolved::At(place) => place.target.has_published_demands(),
            Resolved::Refused(outcome) => outcome.status().phase == Phase::Tls,
        }
    }
}

/// What counters call all places whose provider the settings do not know.
pub(crate) const NO_PROVIDER: &str = "other";

/// A destination is its target, whose it is, and the queue name that a plugin may have given it.
type DestinationKey = (Option<String>, Option<String>, Target);

/// Where a route was found to lead, by which settings.
#[derive(Clone, Debug)]
struct Remembered {
    until: Instant,
    by: Weak<OutboundSettings>,
    resolved: Resolved,
}

/// All destinations in use, and which route leads to which.
#[derive(Debug)]
pub(crate) struct Destinations {
    places: Mutex<HashMap<DestinationKey, Weak<Destination>>>,
    routes: Cache<Route, Remembered>,
    /// In each ready queue, the lanes have these shares of the turns.
    pub(crate) weights: LaneWeights,
}

impl Destinations {
    /// None yet.
    pub(crate) fn new(weights: LaneWeights) -> Destinations {
        Destinations {
            places: Mutex::new(HashMap::new()),
            routes: Cache::new(ROUTES_REMEMBERED_MAX),
            weights,
        }
    }

    /// Where the route leads, when that was found out not long ago by the same settings.
    pub(crate) fn remembered(&self, route: &Route, settings: &Arc<OutboundSettings>) -> Option<Resolved> {
        let known = self.routes.get(route)?;
        let is_valid = known.by.as_ptr() == Arc::as_ptr(settings) && Instant::now() < known.until;
        is_valid.then_some(known.resolved)
    }

    /// Finds out where the route leads. Answers of the DNS are remembered, its failures are not.
    pub(crate) async fn resolve(
        &self,
        route: &Route,
        reach: &Reach,
        settings: &Arc<OutboundSettings>,
    ) -> Resolved {
        let resolved = match find_target(route, reach, settings).await {
            Ok(target) => {
                let provider = provider_of(route, settings, &target);
                Resolved::At(self.destination(route, target, provider))
            }
            Err(outcome) => Resolved::Refused(Box::new(outcome)),
        };
        let lasts =
            !matches!(&resolved, Resolved::Refused(outcome) if matches!(**outcome, Outcome::Deferred(_)));
        if lasts {
            let until = Instant::now() + Duration::from_millis(settings.limits.site_cache_ms);
            let (by, resolved) = (Arc::downgrade(settings), resolved.clone());
            self.routes.insert(route.clone(), Remembered { until, by, resolved });
        }
        resolved
    }

    /// The one destination of this target. Those that nobody uses are forgotten.
    pub(crate) fn destination(
        &self,
        route: &Route,
        target: Target,
        provider: Option<String>,
    ) -> Arc<Destination> {
        let mut places = self.places.lock();
        let key = (route.queue.clone(), provider, target);
        if let Some(place) = places.get(&key).and_then(Weak::upgrade) {
            return place;
        }
        if places.len() == places.capacity() {
            places.retain(|_, place| place.strong_count() > 0);
        }
        let place = Arc::new(Destination {
            name: name(route.queue.as_deref(), &key.2),
            kind: route.next_hop.kind(),
            target: key.2.clone(),
            provider: key.1.clone(),
            sites: Mutex::default(),
        });
        places.insert(key, Arc::downgrade(&place));
        place
    }

    /// All that are in use.
    pub(crate) fn in_use(&self) -> Vec<Arc<Destination>> {
        self.places.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Closes every ready queue and lets go of the jobs in them, which hands them back.
    pub(crate) fn close(&self) -> usize {
        self.in_use().iter().flat_map(|place| place.sites()).map(|site| site.ready.close().len()).sum()
    }
}

/// Whose the hosts of a route are.
pub(crate) fn provider_of(route: &Route, settings: &OutboundSettings, target: &Target) -> Option<String> {
    let Target::Smtp(candidates) = target else { return None };
    let hosts: Vec<&str> = candidates.iter().map(|candidate| candidate.host.host.as_str()).collect();
    let domain = match &*route.next_hop {
        NextHop::Mx(domain) => Some(domain),
        _ => None,
    };
    let provider = settings.shaping.providers.iter().find(|provider| provider.is_of(&hosts, domain))?;
    Some(provider.name.clone())
}

/// What operators call a destination.
fn name(queue: Option<&str>, target: &Target) -> String {
    let name = target.name();
    match queue {
        Some(queue) => format!("{name} ({queue})"),
        None => name,
    }
}

/// Host names as one: `(mx1|mx2).example.org`. Preferences do not show.
fn rolled_up(candidates: &[Candidate]) -> String {
    let shown = |candidate: &Candidate| match candidate.host.port {
        25 => candidate.host.host.clone(),
        _ => candidate.host.to_string(),
    };
    let mut hosts: Vec<String> = candidates.iter().map(shown).collect();
    hosts.sort();
    hosts.dedup();
    let mut text = match hosts.as_slice() {
        [] => "nowhere".to_owned(),
        [one] => one.clone(),
        _ => match common_parent(&hosts) {
            Some(parent) => {
                let first = |host: &String| host.strip_suffix(&parent).unwrap_or(host).to_owned();
                format!("({}){parent}", hosts.iter().map(first).collect::<Vec<_>>().join("|"))
            }
            None => hosts.join(","),
        },
    };
    if text.len() > NAME_OCTETS_MAX {
        let more = hosts.len() - 1;
        text = format!("{} and {more} more", hosts.first().map(String::as_str).unwrap_or_default());
    }
    text
}

/// What stands behind the first label of all of them, from its dot on.
fn common_parent(hosts: &[String]) -> Option<String> {
    let parent = |host: &String| {
        let (_, parent) = host.split_once('.')?;
        let is_name =
            host.parse::<std::net::IpAddr>().is_err() && parent.contains('.') && !host.contains(':');
        is_name.then(|| format!(".{parent}"))
    };
    let first = parent(hosts.first()?)?;
    hosts.iter().all(|host| parent(host).as_ref() == Some(&first)).then_some(first)
}

/// Octets of the name of a destination.
const NAME_OCTETS_MAX: usize = 160;

/// Finds out how the next hop of a route is reached.
pub(crate) async fn find_target(
    route: &Route,
    reach: &Reach,
    settings: &OutboundSettings,
) -> Result<Target, Outcome> {
    let tls = settings.tls.policy(&route.next_hop);
    // Who we are is for the hosts of the settings only.
    let tls = if route.trusted { tls } else { tls.anonymous() };
    let tls = if route.require_tls { required_tls(route, tls)? } else { tls };
    let mut candidates = match &*route.next_hop {
        NextHop::Lmtp(target) => return Ok(Target::Lmtp(target.clone())),
        NextHop::File(path) => return Ok(Target::File(path.clone())),
        NextHop::Http(endpoint) => return Ok(Target::Http(endpoint.clone())),
        NextHop::Hosts(hosts) => in_order(hosts, 0, route.trusted, &tls),
        NextHop::Mx(domain) => match find_mail_hosts(domain, route, reach, settings, &tls).await {
            Ok(candidates) => candidates,
            // What a domain demands of TLS can not be gone round.
            Err(Outcome::Deferred(status)) if status.phase != Phase::Tls && !route.fallbacks.is_empty() => {
                Vec::new()
            }
            Err(outcome) => return Err(outcome),
        },
        NextHop::Hold(_) | NextHop::Discard => Vec::new(),
    };
    let first_free = candidates.last().map_or(0, |last| last.rank + 1);
    if !route.require_tls {
        candidates.extend(in_order(&route.fallbacks, first_free, route.trusted, &tls.anonymous()));
    }
    if candidates.is_empty() {
        let text = "the next hop has no hosts";
        return Err(Outcome::Deferred(Status::ours(
            Phase::Policy,
            FailureClass::Unknown,
            EnhancedCode(4, 3, 5),
            text,
        )));
    }
    Ok(Target::Smtp(candidates))
}

/// The policy for mail that asks for REQUIRETLS (RFC 8689 4.2.1): the way to the next hop must be known, and so must be
/// who is there. Of mail hosts out of the DNS see [`heed`].
fn required_tls(route: &Route, tls: TlsPolicy) -> Result<TlsPolicy, Outcome> {
    let why = match &*route.next_hop {
        NextHop::Mx(_) => return Ok(tls.verified()),
        _ if !route.trusted => "a plugin chose the next hop",
        NextHop::Lmtp(LmtpTarget::Tcp(_)) if !tls.is_verified() => {
            "the way to the mail store is not protected"
        }
        NextHop::Lmtp(_) => return Ok(tls),
        NextHop::Http(endpoint) if !endpoint.url.is_tls => "the way to the web server is not protected",
        _ => return Ok(tls.verified()),
    };
    Err(Outcome::Failed(no_required_tls(why)))
}

/// RFC 8689 5: X.7.30, REQUIRETLS support required.
pub(crate) fn no_required_tls(why: &str) -> Status {
    let text = format!("the sender asks for REQUIRETLS, and {why}");
    Status::ours(Phase::Tls, FailureClass::Tls, EnhancedCode(5, 7, 30), text)
}

/// Hosts of a list: each has a rank of its own.
fn in_order(hosts: &[HostPort], first: usize, trusted: bool, tls: &TlsPolicy) -> Vec<Candidate> {
    let candidate = |(index, host): (usize, &HostPort)| Candidate {
        rank: first + index,
        host: host.clone(),
        trusted,
        tls: tls.clone(),
    };
    hosts.iter().enumerate().map(candidate).collect()
}

/// The mail hosts of a domain, without ourselves (RFC 5321 5.1).
async fn find_mail_hosts(
    domain: &Domain,
    route: &Route,
    reach: &Reach,
    settings: &OutboundSettings,
    tls: &TlsPolicy,
) -> Result<Vec<Candidate>, Outcome> {
    let failed = |class, code, text: &str| Outcome::Failed(Status::ours(Phase::Dns, class, code, text));
    let heeds_published =
        route.require_tls || (settings.tls.heeds_published(&route.next_hop) && !route.tls_optional);
    let (found, sts) = tokio::join!(reach.resolver.mail_hosts(domain), async {
        if heeds_published { reach.policies.find(domain, &settings.sts).await } else { Found::default() }
    });
    let secure = matches!(&found, Ok(found) if found.secure);
    match found.map(|found| found.hosts) {
        Ok(MailHosts::Hosts(hosts)) => {
            let hosts = hosts_before_us(hosts, &settings.hostname, &settings.loops);
            if hosts.is_empty() {
                let text = format!("mail for {domain} loops back to this relay");
                return Err(failed(FailureClass::Loop, EnhancedCode(5, 4, 6), &text));
            }
            let mut candidates = ranked(hosts, settings.smtp_port, tls);
            if heeds_published {
                let published = Known { domain, sts: sts.policy.as_deref(), secure, dane: settings.tls.dane };
                heed(&mut candidates, &published, route.require_tls)?;
            }
            Ok(candidates)
        }
        // RFC 7505 4.1 gives code and enhanced code.
        Ok(MailHosts::NullMx) => {
            let text = format!("the domain {domain} takes no mail (null MX)");
            Err(failed(FailureClass::BadDomain, EnhancedCode(5, 1, 10), &text))
        }
        Ok(MailHosts::NoSuchDomain) => {
            let text = format!("the domain {domain} does not exist or has no mail host");
            Err(failed(FailureClass::BadDomain, EnhancedCode(5, 1, 2), &text))
        }
        Err(DnsError::BadName) => {
            let text = format!("{domain} can not be a domain");
            Err(failed(FailureClass::BadDomain, EnhancedCode(5, 1, 2), &text))
        }
        Err(error) => {
            let text = format!("mail hosts of {domain}: {error}");
            Err(Outcome::Deferred(Status::ours(Phase::Dns, FailureClass::Dns, EnhancedCode(4, 4, 3), text)))
        }
    }
}

/// What is known of a domain and its mail hosts.
struct Known<'a> {
    domain: &'a Domain,
    sts: Option<&'a Policy>,
    /// The names of the hosts are proved by DNSSEC.
    secure: bool,
    dane: bool,
}

/// Gives each mail host the protection that the domain published, and drops those that it does not want mail to go to.
///
/// With REQUIRETLS, also those whose names neither DNSSEC nor an MTA-STS policy vouches for (RFC 8689 4.2.1).
fn heed(candidates: &mut Vec<Candidate>, known: &Known<'_>, require_tls: bool) -> Result<(), Outcome> {
    let before = std::mem::take(candidates);
    let hosts: Vec<String> = before.iter().map(|candidate| candidate.host.host.clone()).collect();
    candidates.extend(before.into_iter().filter_map(|candidate| {
        let host = &candidate.host.host;
        let is_known = known.secure || known.sts.is_some_and(|policy| policy.lists(host));
        let tls = candidate.tls.at_host(host, known.sts, known.secure && known.dane)?;
        (is_known || !require_tls).then_some(Candidate { tls, ..candidate })
    }));
    if !candidates.is_empty() {
        return Ok(());
    }
    if require_tls {
        let why = "neither DNSSEC nor MTA-STS vouches for the mail hosts of the domain";
        return Err(Outcome::Failed(no_required_tls(why)));
    }
    let shown: Vec<&str> = hosts.iter().take(HOSTS_SHOWN_MAX).map(String::as_str).collect();
    let text =
        format!("the MTA-STS policy of {} lists none of its mail hosts: {}", known.domain, shown.join(", "));
    Err(Outcome::Deferred(Status::ours(Phase::Tls, FailureClass::Tls, EnhancedCode(4, 7, 5), text)))
}

/// Preferences become ranks from 0 on, so that two domains which name the same hosts in the same order are one site.
fn ranked(hosts: Vec<MailHost>, port: u16, tls: &TlsPolicy) -> Vec<Candidate> {
    let mut preferences: Vec<u16> = hosts.iter().map(|host| host.preference).collect();
    preferences.sort_unstable();
    preferences.dedup();
    let rank = |preference| preferences.partition_point(|other| *other < preference);
    let mut candidates: Vec<Candidate> = hosts
        .into_iter()
        .map(|host| Candidate {
            rank: rank(host.preference),
            host: HostPort { host: host.name, port },
            trusted: false,
            tls: tls.clone(),
        })
        .collect();
    candidates.sort();
    candidates
}

#[cfg(test)]
mod tests;
