//! The checks of one message, in two halves: what can be known at MAIL runs while the content comes in, the rest when it
//! is there. Each is done once; plugins, history and metrics are told the same results.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use baton_dns::{Resolver, Reverse};
use baton_mail::body::Content;
use baton_mail::header::{HeaderIndex, HeaderLimits};
use baton_mail::{Clock, Domain, ReversePath};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::arc;
use crate::dkim::{Candidate, Signature, candidates, find_key, hash_bodies, judge};
use crate::dmarc;
use crate::settings::CheckSettings;
use crate::spf::{SpfQuery, check_host};
use crate::{
    ArcOutcome, DkimOutcome, DmarcOutcome, IprevOutcome, Results, SenderResults, SpfOutcome, Verdict,
};

/// Checks messages. Clones share the resolver and its cache.
#[derive(Clone, Debug)]
pub struct Checker {
    resolver: Resolver,
    clock: Arc<dyn Clock>,
}

/// Who sends: what is known at MAIL.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The client's address.
    pub client: IpAddr,
    /// What it called itself.
    pub helo: Option<String>,
    /// The return path.
    pub sender: ReversePath,
}

/// The first half, under way. It ends when this is dropped.
#[derive(Debug)]
pub struct Begun {
    arrival: Arrival,
    task: AbortOnDropHandle<SenderResults>,
}

impl Checker {
    /// A checker that asks this resolver.
    pub fn new(resolver: Resolver, clock: Arc<dyn Clock>) -> Checker {
        Checker { resolver, clock }
    }

    /// Begins what needs no content, beside the caller.
    pub fn begin(&self, settings: &CheckSettings, arrival: Arrival) -> Begun {
        let (checker, settings, own) = (self.clone(), settings.clone(), arrival.clone());
        let task = tokio::spawn(async move { checker.check_sender(&settings, &own).await });
        Begun { arrival, task: AbortOnDropHandle::new(task) }
    }

    /// Waits for the first half and does the second. `content` is as the client sent it: before any change.
    pub async fn finish(
        &self,
        settings: &CheckSettings,
        begun: Begun,
        content: &Content,
        limits: &HeaderLimits,
    ) -> Results {
        let Begun { arrival, task } = begun;
        let Ok(header) = HeaderIndex::scan(&content.header, limits) else {
            let sender = join(task, &arrival).await;
            let arc = || ArcOutcome::without_chain(Verdict::PermError, Some(TOO_COMPLEX));
            let arc = settings.arc.then(arc);
            return Results { sender, dkim: vec![too_complex()], dmarc: too_complex_dmarc(), arc };
        };
        let (sender, dkim, arc) = tokio::join!(
            join(task, &arrival),
            self.check_signatures(settings, &header, content),
            self.check_chain(settings, &header, content)
        );
        let dmarc = self.check_policy(settings, &header, sender.spf(&arrival.sender), &dkim).await;
        Results { sender, dkim, dmarc, arc }
    }

    async fn check_sender(&self, settings: &CheckSettings, arrival: &Arrival) -> SenderResults {
        let (iprev, helo, mail) = tokio::join!(
            self.check_iprev(settings.deadline, arrival.client),
            self.check_helo(settings, arrival),
            self.check_mail(settings, arrival)
        );
        SenderResults { client: arrival.client, iprev, helo, mail }
    }

    /// RFC 8601 2.7.3.
    async fn check_iprev(&self, deadline: Duration, client: IpAddr) -> IprevOutcome {
        let outcome = |verdict, name, reason: Option<&str>| IprevOutcome {
            verdict,
            name,
            reason: reason.map(str::to_owned),
        };
        match timeout(deadline, self.resolver.reverse(client)).await {
            Ok(Ok(Reverse::Confirmed(name))) => outcome(Verdict::Pass, Some(name), None),
            Ok(Ok(Reverse::Unconfirmed)) => outcome(Verdict::Fail, None, Some("no name of it leads back")),
            Ok(Ok(Reverse::Nameless)) => outcome(Verdict::PermError, None, Some("it has no name")),
            Ok(Err(error)) => outcome(Verdict::TempError, None, Some(&error.to_string())),
            Err(_) => outcome(Verdict::TempError, None, Some(LATE)),
        }
    }

    /// RFC 7208 2.3: the name in EHLO, when it is one.
    async fn check_helo(&self, settings: &CheckSettings, arrival: &Arrival) -> Option<SpfOutcome> {
        let helo = arrival.helo.as_deref()?;
        let domain: Domain = helo.parse().ok().filter(|domain: &Domain| domain.as_literal().is_none())?;
        let sender = format!("postmaster@{domain}");
        Some(self.check_spf(settings, arrival, &domain, &sender).await)
    }

    /// RFC 7208 2.4.
    async fn check_mail(&self, settings: &CheckSettings, arrival: &Arrival) -> Option<SpfOutcome> {
        let mailbox = arrival.sender.mailbox()?;
        Some(self.check_spf(settings, arrival, mailbox.domain(), &mailbox.to_string()).await)
    }

    async fn check_spf(
        &self,
        settings: &CheckSettings,
        arrival: &Arrival,
        domain: &Domain,
        sender: &str,
    ) -> SpfOutcome {
        let query = SpfQuery {
            client: arrival.client,
            helo: arrival.helo.as_deref().unwrap_or_default(),
            domain: domain.as_str(),
            sender,
            receiver: settings.authserv_id.as_str(),
            now_s: self.clock.now().seconds(),
        };
        timeout(settings.deadline, check_host(&self.resolver, query)).await.unwrap_or_else(|_| SpfOutcome {
            verdict: Verdict::TempError,
            domain: domain.to_string(),
            reason: LATE.to_owned(),
            explanation: None,
        })
    }

    async fn check_signatures(
        &self,
        settings: &CheckSettings,
        header: &HeaderIndex,
        content: &Content,
    ) -> Vec<DkimOutcome> {
        let candidates = candidates(header, settings.signatures_max);
        if candidates.is_empty() {
            return vec![DkimOutcome { reason: None, ..flawed(Verdict::None, "") }];
        }
        let signatures: Vec<Signature> =
            candidates.iter().filter_map(|candidate| candidate.read.clone().ok()).collect();
        let keys = signatures
            .iter()
            .map(|own| find_key(&self.resolver, own.algorithm, &own.selector, &own.domain))
            .map(|found| timeout(settings.deadline, found));
        let (keys, hashes) =
            tokio::join!(futures_util::future::join_all(keys), hash_bodies(signatures.iter(), content));
        let now_s = u64::try_from(self.clock.now().seconds()).unwrap_or(0);
        let mut found = keys.into_iter().map(Result::ok).zip(hashes);
        let judged = |candidate: &Candidate| {
            let (key, hash) = match candidate.read {
                Ok(_) => found.next().unwrap_or((None, None)),
                Err(_) => (None, None),
            };
            judge(candidate, header, hash, key, now_s)
        };
        candidates.iter().map(judged).collect()
    }

    /// The chain, when the settings ask for it.
    async fn check_chain(
        &self,
        settings: &CheckSettings,
        header: &HeaderIndex,
        content: &Content,
    ) -> Option<ArcOutcome> {
        if !settings.arc {
            return None;
        }
        let outcome = timeout(settings.deadline, arc::evaluate(&self.resolver, header, content)).await;
        Some(outcome.unwrap_or_else(|_| ArcOutcome::without_chain(Verdict::TempError, Some(LATE))))
    }

    async fn check_policy(
        &self,
        settings: &CheckSettings,
        header: &HeaderIndex,
        spf: Option<&SpfOutcome>,
        dkim: &[DkimOutcome],
    ) -> DmarcOutcome {
        let author = match dmarc::author(header) {
            Ok(author) => author,
            Err(flaw) => return DmarcOutcome::without_record(Verdict::PermError, None, flaw),
        };
        let evaluation = dmarc::evaluate(&self.resolver, author.clone(), spf, dkim);
        timeout(settings.deadline, evaluation)
            .await
            .unwrap_or_else(|_| DmarcOutcome::without_record(Verdict::TempError, Some(author), LATE))
    }
}

/// The first half's results. When its task failed, which it never should, nothing of it is known.
async fn join(task: AbortOnDropHandle<SenderResults>, arrival: &Arrival) -> SenderResults {
    task.await.unwrap_or_else(|error| {
        tracing::error!(target: "session", %error, "defect: the checks of a sender failed");
        let reason = Some("the check failed".to_owned());
        SenderResults {
            client: arrival.client,
            iprev: IprevOutcome { verdict: Verdict::TempError, name: None, reason },
            helo: None,
            mail: None,
        }
    })
}

/// An outcome about no signature in particular.
fn flawed(verdict: Verdict, reason: &str) -> DkimOutcome {
    DkimOutcome {
        verdict,
        domain: String::new(),
        selector: String::new(),
        identity: None,
        algorithm: "",
        mark: String::new(),
        reason: Some(reason.to_owned()),
    }
}

fn too_complex() -> DkimOutcome {
    flawed(Verdict::PermError, TOO_COMPLEX)
}

fn too_complex_dmarc() -> DmarcOutcome {
    DmarcOutcome::without_record(Verdict::PermError, None, TOO_COMPLEX)
}

/// A header beyond the bounds is not read.
const TOO_COMPLEX: &str = "the header is too complex to be read";
/// The deadline passed.
const LATE: &str = "the DNS took too long";
