//! To whom nothing is sent.

use std::collections::HashSet;
use std::time::Duration;

use baton_inbound::AtRcpt;
use baton_mail::{Domain, FailureClass};
use baton_store::suppression::{Automatic, NEVER, Reach, Reason, Rules, SOFT_BOUNCES_MAX};

use super::Checker;
use crate::settings::raw::{RawSuppression, RawSuppressionDays};

const AT_RCPT: [(&str, AtRcpt); 2] = [("refuse", AtRcpt::Refuse), ("accept", AtRcpt::Accept)];
const AUTOMATIC: [(&str, Automatic); 3] =
    [("off", Automatic::Off), ("tenants", Automatic::Tenants), ("all", Automatic::All)];
const REACH: [(&str, Reach); 3] =
    [("stream", Reach::Stream), ("tenant", Reach::Tenant), ("global", Reach::Global)];
/// A hundred years.
const DAYS_MAX: u64 = 36_500;

impl Checker<'_> {
    /// What RCPT is told.
    pub(super) fn at_rcpt(&mut self, raw: &RawSuppression) -> AtRcpt {
        self.choose("suppression.at_rcpt", &raw.at_rcpt, &AT_RCPT).unwrap_or_default()
    }

    /// The rules, for a relay that is responsible for these domains.
    pub(super) fn suppression(&mut self, raw: &RawSuppression, local: &HashSet<Domain>) -> Rules {
        let mut reach = |key: &str, text: &str| {
            self.choose(&format!("suppression.{key}"), text, &REACH).unwrap_or_default()
        };
        let bounce_reach = reach("bounce_scope", &raw.bounce_scope);
        let complaint_reach = reach("complaint_scope", &raw.complaint_scope);
        let soft_days = self.bound("suppression.soft_days", raw.soft_days, 1, 365);
        Rules {
            automatic: self.choose("suppression.automatic", &raw.automatic, &AUTOMATIC).unwrap_or_default(),
            local_domains: local.clone(),
            ignore_unsubscribe: raw.ignore_unsubscribe_streams.iter().cloned().collect(),
            bounce_reach,
            complaint_reach,
            hard_classes: self.mailbox_classes("hard_classes", &raw.hard_classes),
            soft_classes: self.mailbox_classes("soft_classes", &raw.soft_classes),
            soft_bounces: self.bound("suppression.soft_bounces", raw.soft_bounces, 1, SOFT_BOUNCES_MAX),
            soft_within: Duration::from_secs(soft_days * 86_400),
            lifetimes: self.lifetimes(&raw.days),
        }
    }

    /// Classes that say something about a mailbox.
    fn mailbox_classes(&mut self, key: &str, names: &[String]) -> Vec<FailureClass> {
        let may_count = |class: &&FailureClass| !NEVER.contains(class);
        let known: Vec<_> = FailureClass::ALL.iter().filter(may_count).map(|class| class.as_str()).collect();
        let read = |(index, name): (usize, &String)| {
            let class = FailureClass::from_name(name);
            if let Some(class) = class.filter(|class| !NEVER.contains(class)) {
                return Some(class);
            }
            let reason = match class {
                Some(_) => "says nothing about the mailbox",
                None => "there is no such class",
            };
            let at = format!("suppression.{key}[{index}]");
            self.problems.push(&at, Some(name.clone()), reason, format!("use {}", known.join(", ")));
            None
        };
        names.iter().enumerate().filter_map(read).collect()
    }

    fn lifetimes(&mut self, raw: &RawSuppressionDays) -> [Option<Duration>; Reason::ALL.len()] {
        Reason::ALL.map(|reason| {
            let days = match reason {
                Reason::HardBounce => raw.hard_bounce,
                Reason::SoftBounce => raw.soft_bounce,
                Reason::Complaint => raw.complaint,
                Reason::Unsubscribe => raw.unsubscribe,
                Reason::Manual => raw.manual,
                Reason::SpamTrap => raw.spam_trap,
            };
            let key = format!("suppression.days.{}", reason.as_str().replace('-', "_"));
            let days = self.bound(&key, days, 0, DAYS_MAX);
            (days > 0).then(|| Duration::from_secs(days * 86_400))
        })
    }
}
