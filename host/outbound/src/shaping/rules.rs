//! Rules: from a peer's reply to a measure, when it comes often enough.

use std::collections::{HashMap, VecDeque};
use std::str::FromStr;
use std::time::Duration;

use baton_mail::{EnhancedCode, FailureClass, Outcome, Status, UnixMs};
use baton_store::shaping::{Action, NewMeasure, Scope};
use parking_lot::Mutex;
use regex::Regex;
use tokio::time::Instant;

/// Rules and scopes whose replies are counted at once.
const TALLIES_MAX: usize = 20_000;
/// Octets of a reply that a measure keeps as its reason.
const REASON_OCTETS_MAX: usize = 300;

/// One rule. What is set must all be so.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in the settings.
    pub name: String,
    /// The reply has one of these codes.
    pub codes: Vec<u16>,
    /// The reply has an enhanced code of this form.
    pub enhanced: Option<EnhancedPattern>,
    /// It means one of these classes of failure.
    pub classes: Vec<FailureClass>,
    /// Its text has a match of this.
    pub text: Option<Regex>,
    /// So often in so long, 1 at least.
    pub threshold: u32,
    /// In how long.
    pub within: Duration,
    /// What is done then.
    pub action: RuleAction,
    /// How long that lasts.
    pub lasts: Duration,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RuleAction {
    /// All mail of the scope waits.
    Suspend(RuleScope),
    /// The limits of the source at the provider are divided by this.
    SlowDown(f64),
    /// The source rests there, and mail goes by another of its pool; it is tried again at once where there is one.
    OtherSource,
    /// Mail to the recipients' domain is given up.
    Bounce,
}

/// Whose mail waits, at the provider or site that replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleScope {
    /// What would go by the source.
    Source,
    /// All.
    Site,
    /// That of the tenant.
    Tenant,
    /// That of the stream.
    Stream,
}

/// An enhanced code of which parts may be anything: `4.7.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnhancedPattern(Option<u16>, Option<u16>, Option<u16>);

/// The text is no form of enhanced codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a form of enhanced codes: expected such as 4.7.1 or 5.7.*")]
pub struct InvalidPattern;

impl FromStr for EnhancedPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<EnhancedPattern, InvalidPattern> {
        let part = |text: &str| match text {
            "*" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| InvalidPattern),
        };
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            [class, subject, detail] => Ok(EnhancedPattern(part(class)?, part(subject)?, part(detail)?)),
            _ => Err(InvalidPattern),
        }
    }
}

impl EnhancedPattern {
    fn fits(self, code: EnhancedCode) -> bool {
        let is = |wanted: Option<u16>, found: u16| wanted.is_none_or(|wanted| wanted == found);
        is(self.0, u16::from(code.0)) && is(self.1, code.1) && is(self.2, code.2)
    }
}

impl Rule {
    /// True when a peer's reply is of this kind. What the relay itself found out is not.
    pub fn fits(&self, status: &Status) -> bool {
        let Some(code) = status.code.filter(|_| status.remote.is_some()) else { return false };
        (self.codes.is_empty() || self.codes.contains(&code))
            && self.enhanced.is_none_or(|pattern| pattern.fits(status.enhanced))
            && (self.classes.is_empty() || self.classes.contains(&status.class))
            && self.text.as_ref().is_none_or(|text| text.is_match(&status.text))
    }

    /// The measure that it leads to; none when the mail has no tenant or stream to be told by.
    fn measure(&self, status: &Status, observed: &Observed<'_>, now: UnixMs) -> Option<NewMeasure> {
        let own = |text: &str| Some(text.to_owned());
        // A provider is one, whichever of its sites replied.
        let there = match observed.provider {
            Some(provider) => Scope { provider: own(provider), ..Scope::default() },
            None => Scope { site: own(observed.site), ..Scope::default() },
        };
        // Without sources in the settings all mail leaves by one that has no name.
        let source = Some(observed.source).filter(|name| !name.is_empty()).and_then(own);
        let by_source = Scope { source, ..there.clone() };
        let (action, scope) = match self.action {
            RuleAction::SlowDown(factor) => (Action::SlowDown(factor), by_source),
            RuleAction::OtherSource | RuleAction::Suspend(RuleScope::Source) => (Action::Suspend, by_source),
            RuleAction::Suspend(RuleScope::Site) => (Action::Suspend, there),
            RuleAction::Suspend(RuleScope::Tenant) => {
                (Action::Suspend, Scope { tenant: own(observed.tenant?), ..there })
            }
            RuleAction::Suspend(RuleScope::Stream) => {
                let tenant = observed.tenant.and_then(own);
                (Action::Suspend, Scope { tenant, stream: own(observed.stream?), ..there })
            }
            RuleAction::Bounce => (Action::Bounce, Scope { domain: own(observed.domain?), ..there }),
        };
        let reason = baton_mail::text::sanitize(&status.to_string(), REASON_OCTETS_MAX);
        Some(NewMeasure { action, scope, rule: self.name.clone(), reason, until: Some(now.plus(self.lasts)) })
    }
}

/// What is known of the mail that got a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed<'a> {
    pub(crate) provider: Option<&'a str>,
    pub(crate) site: &'a str,
    pub(crate) source: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) stream: Option<&'a str>,
    pub(crate) domain: Option<&'a str>,
}

/// How often which replies came of late.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<HashMap<(String, String), VecDeque<Instant>>>);

impl Tallies {
    /// Takes note of an outcome; returns the first rule that it fits, and the measure that is due now.
    pub(crate) fn observe<'a>(
        &self,
        rules: impl Iterator<Item = &'a Rule>,
        outcome: &Outcome,
        observed: &Observed<'_>,
        now: (UnixMs, Instant),
    ) -> Option<(&'a Rule, Option<NewMeasure>)> {
        if matches!(outcome, Outcome::Delivered(_)) {
            return None;
        }
        let status = outcome.status();
        let mut rules = rules;
        let rule = rules.find(|rule| rule.fits(status))?;
        let measure = rule.measure(status, observed, now.0);
        let measure = measure.filter(|measure| self.is_due(rule, &measure.scope, now.1));
        Some((rule, measure))
    }

    /// Counts one more; true when that makes it often enough, after which it is counted anew.
    fn is_due(&self, rule: &Rule, scope: &Scope, now: Instant) -> bool {
        if rule.threshold <= 1 {
            return true;
        }
        let mut tallies = self.0.lock();
        if tallies.len() >= TALLIES_MAX {
            // The oldest stories matter least; a wrong count only delays a measure.
            tallies
                .retain(|_, times| times.back().is_some_and(|last| now.duration_since(*last) < rule.within));
        }
        let times = tallies.entry((rule.name.clone(), scope.to_string())).or_default();
        while times.front().is_some_and(|first| now.duration_since(*first) >= rule.within) {
            times.pop_front();
        }
        times.push_back(now);
        let is_due = times.len() >= rule.threshold as usize;
        if is_due {
            times.clear();
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::status::Remote;
    use baton_mail::{Phase, Reply};

    use super::*;

    fn rule(action: RuleAction, threshold: u32) -> Rule {
        Rule {
            name: "test".to_owned(),
            codes: vec![421, 451],
            enhanced: Some("4.7.*".parse().unwrap()),
            classes: Vec::new(),
            text: Some(Regex::new("(?i)too many").unwrap()),
            threshold,
            within: Duration::from_secs(600),
            action,
            lasts: Duration::from_secs(3_600),
        }
    }

    fn replied(code: u16, enhanced: EnhancedCode, text: &str) -> Outcome {
        let reply = Reply::new(code, enhanced, text);
        Outcome::Deferred(Status::from_reply(Phase::Mail, &reply, Remote::named("mx.example")))
    }

    const MAIL: Observed<'_> = Observed {
        provider: Some("big"),
        site: "mx.example",
        source: "a",
        tenant: Some("acme"),
        stream: None,
        domain: Some("b.example"),
    };

    fn observed(tallies: &Tallies, rule: &Rule, outcome: &Outcome, at: Instant) -> Option<NewMeasure> {
        tallies.observe([rule].into_iter(), outcome, &MAIL, (UnixMs(1_000), at))?.1
    }

    #[test]
    fn a_measure_is_due_when_it_comes_often_enough() {
        let (tallies, rule, now) = (Tallies::default(), rule(RuleAction::OtherSource, 3), Instant::now());
        let busy = replied(421, EnhancedCode(4, 7, 0), "Too many connections");
        let minutes = |count: u64| now + Duration::from_secs(60 * count);
        assert_eq!(observed(&tallies, &rule, &busy, minutes(0)), None);
        assert_eq!(observed(&tallies, &rule, &busy, minutes(9)), None);
        assert_eq!(observed(&tallies, &rule, &busy, minutes(11)), None, "the first is too old");
        let measure = observed(&tallies, &rule, &busy, minutes(12)).unwrap();
        assert_eq!(measure.scope.to_string(), "provider big, source a");
        assert_eq!(measure.until, Some(UnixMs(3_601_000)));
        assert!(measure.reason.contains("Too many connections"), "{}", measure.reason);
        assert_eq!(observed(&tallies, &rule, &busy, minutes(12)), None, "it is counted anew");
    }

    #[test]
    fn our_own_words_set_nothing_off() {
        let rule = rule(RuleAction::OtherSource, 1);
        let ours =
            Status::ours(Phase::Mail, FailureClass::Rate, EnhancedCode(4, 7, 0), "too many connections");
        assert!(!rule.fits(&ours) && !rule.fits(&ours.at(Remote::named("mx.example"))));
    }

    #[test]
    fn all_that_a_rule_says_must_be_so() {
        let rule = rule(RuleAction::OtherSource, 1);
        let fits = |code, enhanced, text| rule.fits(replied(code, enhanced, text).status());
        assert!(fits(451, EnhancedCode(4, 7, 9), "TOO MANY"));
        assert!(!fits(450, EnhancedCode(4, 7, 9), "too many"));
        assert!(!fits(451, EnhancedCode(4, 2, 9), "too many"));
        assert!(!fits(451, EnhancedCode(4, 7, 9), "too few"));
    }

    #[test]
    fn scopes_are_of_the_mail_that_was_refused() {
        let busy = replied(421, EnhancedCode(4, 7, 0), "too many");
        let scope = |action| {
            let measure = observed(&Tallies::default(), &rule(action, 1), &busy, Instant::now())?;
            Some(measure.scope.to_string())
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(scope(RuleAction::Suspend(RuleScope::Site)), is("provider big"));
        assert_eq!(scope(RuleAction::Suspend(RuleScope::Tenant)), is("tenant acme, provider big"));
        assert_eq!(scope(RuleAction::Suspend(RuleScope::Stream)), None, "there is no stream");
        assert_eq!(scope(RuleAction::Bounce), is("domain b.example, provider big"));
    }
}
