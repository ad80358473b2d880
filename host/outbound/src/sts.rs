//! What domains demand of TLS to their mail hosts by MTA-STS (RFC 8461): found by DNS and HTTPS, kept as long as they say.
//!
//! Invariant: a policy that was fetched counts to its end, over restarts, whatever the DNS or the web server say meanwhile,
//! until another one took its place.
//!
//! Invariant: a policy comes only from `mta-sts.DOMAIN`, by TLS with a certificate that is valid for that name, without
//! redirects, within the settings' time and [`POLICY_OCTETS_MAX`].

mod policy;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use baton_dns::Resolver;
use baton_hooks::HttpUrl;
use baton_hooks::host::{HttpBackend, HttpRequest};
use baton_mail::text::sanitize;
use baton_mail::{Body, Clock, Domain};
use baton_store::Kv;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::time::{Instant, timeout};

use crate::log;
use crate::metrics::Metrics;
use policy::record_id;
pub(crate) use policy::{Mode, Policy};

/// What an operator may say about MTA-STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsSettings {
    /// Policies are looked for and heeded. Default on.
    pub enabled: bool,
    /// The port of the domains' web servers. Default 443.
    pub port: u16,
    /// How long fetching one policy may take, in milliseconds. Default 20,000.
    pub fetch_ms: u64,
    /// What is known of a domain is looked at again after this time, in milliseconds. Default 300,000, which RFC 8461 3.3
    /// advises for failed fetches.
    pub check_ms: u64,
}

impl Default for StsSettings {
    fn default() -> StsSettings {
        StsSettings { enabled: true, port: 443, fetch_ms: 20_000, check_ms: 300_000 }
    }
}

/// The HTTP client of the moment; a reload may replace it.
pub type HttpClient = Arc<ArcSwap<Arc<dyn HttpBackend>>>;

/// The policies of all domains that mail goes to. Clones share what is known.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    resolver: Resolver,
    http: HttpClient,
    kv: Kv,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    known: Cache<Domain, Known>,
    /// Domains that are looked at on the side.
    looked_at: Mutex<Vec<Domain>>,
}

/// What is known of a domain.
#[derive(Clone)]
struct Known {
    policy: Option<Arc<Policy>>,
    /// Why there is no new policy although there should be one.
    flaw: Option<Flaw>,
    until: Instant,
}

/// Why a policy could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// No answer, or a wrong one.
    Fetch(String),
    /// The certificate of the web server is not good.
    Certificate(String),
    /// What came is no policy.
    Invalid(String),
}

/// The answer about a domain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The policy, unless it is none.
    pub(crate) policy: Option<Arc<Policy>>,
    /// Why the newest one could not be had.
    pub(crate) flaw: Option<Flaw>,
}

impl Policies {
    /// Nothing is known but what the store keeps.
    pub fn new(
        resolver: Resolver,
        http: HttpClient,
        kv: Kv,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Policies {
        let known = Cache::new(DOMAINS_MAX);
        Policies(Arc::new(Inner { resolver, http, kv, clock, metrics, known, looked_at: Mutex::default() }))
    }

    /// What the domain demands. The first question about a domain waits for its web server, later ones do not.
    pub(crate) async fn find(&self, domain: &Domain, settings: &StsSettings) -> Found {
        if !settings.enabled || domain.as_literal().is_some() {
            return Found::default();
        }
        let known = loop {
            match self.0.known.get_value_or_guard_async(domain).await {
                Ok(known) => {
                    let is_current = Instant::now() < known.until;
                    let valid =
                        known.policy.as_ref().filter(|policy| policy.left(self.0.clock.now()).is_some());
                    match valid {
                        Some(policy) if !is_current => self.look_again(domain, policy.clone(), settings),
                        None if !is_current => {
                            self.0.known.remove(domain);
                            continue;
                        }
                        _ => {}
                    }
                    break Known { policy: valid.cloned(), ..known };
                }
                Err(guard) => {
                    let known = self.learn(domain, settings).await;
                    // It fails when somebody else was faster, which is as good.
                    let _ = guard.insert(known.clone());
                    break known;
                }
            }
        };
        let policy = known.policy.filter(|policy| policy.mode != Mode::None);
        Found { policy, flaw: known.flaw }
    }

    /// From the store, or anew.
    async fn learn(&self, domain: &Domain, settings: &StsSettings) -> Known {
        match self.kept(domain).await {
            // The next question has it looked at again.
            Some(policy) => Known { policy: Some(Arc::new(policy)), flaw: None, until: Instant::now() },
            None => self.look(domain, None, settings).await,
        }
    }

    async fn kept(&self, domain: &Domain) -> Option<Policy> {
        // A store that can not be read keeps nothing; the policy is fetched again.
        let octets = self.0.kv.get(BUCKET, domain.as_str()).await.ok()??;
        let policy = Policy::of_kept(std::str::from_utf8(&octets).ok()?)?;
        policy.left(self.0.clock.now()).is_some().then_some(policy)
    }

    /// Looks on the side whether there is another policy.
    fn look_again(&self, domain: &Domain, policy: Arc<Policy>, settings: &StsSettings) {
        let mut looked_at = self.0.looked_at.lock();
        if looked_at.len() >= LOOKS_MAX || looked_at.contains(domain) {
            return;
        }
        looked_at.push(domain.clone());
        drop(looked_at);
        let (policies, domain, settings) = (self.clone(), domain.clone(), settings.clone());
        tokio::spawn(async move {
            let known = policies.look(&domain, Some(policy), &settings).await;
            policies.0.known.insert(domain.clone(), known);
            policies.0.looked_at.lock().retain(|other| *other != domain);
        });
    }

    /// Asks the DNS, and the web server when the policy there is another one or ours gets old.
    async fn look(&self, domain: &Domain, old: Option<Arc<Policy>>, settings: &StsSettings) -> Known {
        let until = Instant::now() + Duration::from_millis(settings.check_ms);
        let now = self.0.clock.now();
        let texts = self.0.resolver.texts(&format!("_mta-sts.{domain}")).await;
        let id = texts.ok().and_then(|texts| record_id(&texts.records));
        let wanted = match (&old, &id) {
            (Some(old), Some(id)) if old.id == *id && !old.is_due(now) => None,
            (_, id) => id.as_deref(),
        };
        let Some(id) = wanted else { return Known { policy: old, flaw: None, until } };
        match self.fetch(domain, id, settings).await {
            Ok(policy) => {
                self.0.metrics.count_policy("fetched");
                log::policy_fetched(domain, &policy.lines());
                self.keep(domain, &policy).await;
                Known { policy: Some(Arc::new(policy)), flaw: None, until }
            }
            Err(flaw) => {
                self.0.metrics.count_policy("failed");
                log::policy_not_fetched(domain, &flaw, old.is_some());
                Known { policy: old, flaw: Some(flaw), until }
            }
        }
    }

    async fn keep(&self, domain: &Domain, policy: &Policy) {
        let Some(left) = policy.left(self.0.clock.now()) else { return };
        let lasts_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let text = policy.to_kept();
        if let Err(error) = self.0.kv.set(BUCKET, domain.as_str(), text.as_bytes(), Some(lasts_ms)).await {
            log::policy_not_kept(domain, &error);
        }
    }

    /// RFC 8461 3.3.
    async fn fetch(&self, domain: &Domain, id: &str, settings: &StsSettings) -> Result<Policy, Flaw> {
        let host = format!("mta-sts.{domain}");
        let authority = if settings.port == 443 { host } else { format!("{host}:{}", settings.port) };
        let url =
            HttpUrl::parse(&format!("https://{authority}/.well-known/mta-sts.txt")).map_err(Flaw::Fetch)?;
        let request = HttpRequest {
            method: "GET".to_owned(),
            url,
            host_is_granted: false,
            headers: vec![("accept".to_owned(), "text/plain".to_owned())],
            body: Body::default(),
            response_octets_max: POLICY_OCTETS_MAX,
        };
        let http = self.0.http.load_full();
        let bound = Duration::from_millis(settings.fetch_ms);
        let answer = timeout(bound, http.fetch(CLIENT, request)).await;
        let answer = answer.map_err(|_| Flaw::Fetch("no answer in time".to_owned()))?;
        let response = answer.map_err(|error| {
            let text = sanitize(&error.to_string(), WORDS_OCTETS_MAX);
            if text.contains("certificate") { Flaw::Certificate(text) } else { Flaw::Fetch(text) }
        })?;
        if response.status != 200 {
            return Err(Flaw::Fetch(format!("the web server answers {}", response.status)));
        }
        let kind = response.headers.iter().find(|(name, _)| name == "content-type");
        let is_text = kind.is_some_and(|(_, value)| {
            value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/plain"))
        });
        if !is_text {
            return Err(Flaw::Invalid("it is not of the type text/plain".to_owned()));
        }
        let text =
            std::str::from_utf8(&response.body).map_err(|_| Flaw::Invalid("it is no text".to_owned()))?;
        Policy::read(text, id, self.0.clock.now()).map_err(Flaw::Invalid)
    }
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Flaw::Fetch(why) | Flaw::Certificate(why) => write!(formatter, "not fetched: {why}"),
            Flaw::Invalid(why) => write!(formatter, "no policy: {why}"),
        }
    }
}

/// The bucket of the store where policies are kept, by domain. No plugin can have one of that name.
const BUCKET: &str = "mta-sts";
/// Stands for a plugin's name; none has a space in it.
const CLIENT: &str = "mta sts";
/// Octets of a policy (RFC 8461 3.3 advises 64 KiB).
const POLICY_OCTETS_MAX: usize = 64 << 10;
/// Domains that are remembered.
const DOMAINS_MAX: usize = 20_000;
/// Domains that are looked at on the side at once.
const LOOKS_MAX: usize = 64;
/// Octets of what is told of a failure.
const WORDS_OCTETS_MAX: usize = 200;
