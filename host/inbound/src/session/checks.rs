//! SPF, DKIM, DMARC and the client's name: asked for at MAIL, told to everybody at the end of data.

use baton_identity::reports::outgoing::DmarcSeen;
use baton_identity::{Arrival, Begun, CheckSettings, Results, Statements, without_forged};
use baton_mail::body::Content;
use baton_mail::edit::MessageEdit;
use baton_mail::event::Decision;
use baton_mail::header::apply;
use baton_mail::{Recipient, ReversePath};
use tokio::time::Instant;

use super::Session;
use super::draft::Draft;
use crate::{Policy, log};

impl Session {
    /// Begins the checks of a stranger's message, beside the session. Clients that may relay are known and not checked.
    pub(super) fn begin_checks(&self, policy: &Policy, sender: &ReversePath) -> Option<Begun> {
        let settings = self.checks(policy)?;
        let arrival = Arrival { client: self.client, helo: self.facts.helo.clone(), sender: sender.clone() };
        Some(self.listener.checker.begin(settings, arrival))
    }

    fn checks<'a>(&self, policy: &'a Policy) -> Option<&'a CheckSettings> {
        let checks = policy.checks.as_ref()?;
        let is_stranger = self.facts.account.is_none() && !policy.is_relay_network(self.client);
        (is_stranger && checks.covers(&self.listener.name, self.listener.kind)).then_some(&checks.settings)
    }

    /// Finishes the checks and puts their results on top of the header, where plugins find them. Results in our own name
    /// that somebody else wrote go first (RFC 8601 5), from all clients but those of the relay networks.
    pub(super) async fn add_results(&self, draft: &mut Draft, content: Content) -> Content {
        let policy = self.listener.deps.policy.load_full();
        let Some(checks) = &policy.checks else { return content };
        if policy.is_relay_network(self.client) {
            return content;
        }
        let authserv_id = &checks.settings.authserv_id;
        let begun_at = Instant::now();
        // Signatures may cover what is removed: they are checked on what the client sent.
        let results = match draft.checks.take() {
            Some(begun) => {
                let limits = &policy.mime.header;
                Some(self.listener.checker.finish(&checks.settings, begun, &content, limits).await)
            }
            None => None,
        };
        let (content, forged) = without_forged(content, authserv_id);
        if forged > 0 {
            log::forged_results(self.id, draft.id(), forged);
        }
        let Some(results) = results else { return content };
        let statements = results.statements();
        self.tell_results(draft, &statements, begun_at);
        draft.seen = self.seen(&policy, draft, &results);
        draft.chain = results.arc;
        let (name, value) = statements.field(authserv_id);
        apply(content, &[MessageEdit::Insert(0, name, value)], false)
    }

    /// What the report to the domain in From tells of the message. Nothing of mail to where reports come in and questions
    /// about ours go: two systems would else write reports about one another's reports for ever.
    fn seen(&self, policy: &Policy, draft: &Draft, results: &Results) -> Option<DmarcSeen> {
        let envelope = &draft.call.envelope;
        let is_about_reports = |one: &Recipient| {
            policy.is_report_mailbox(&one.address) || policy.reports.from.as_ref() == Some(&one.address)
        };
        if !self.listener.deps.dmarc.is_on() || envelope.recipients.iter().any(is_about_reports) {
            return None;
        }
        DmarcSeen::of(results, &envelope.sender)
    }

    /// Logs, counts and keeps for the history what was found.
    fn tell_results(&self, draft: &mut Draft, results: &Statements, begun_at: Instant) {
        for (method, verdict) in results.verdicts() {
            self.listener.deps.metrics.count_check(method, verdict.as_str());
        }
        let summary = results.summary();
        log::checked(self.id, draft.id(), &summary);
        draft.add_decisions(&[Decision {
            plugin: CHECKS.to_owned(),
            hook: "data".to_owned(),
            answer: summary,
            edits: vec!["header+Authentication-Results".to_owned()],
            micros: u32::try_from(begun_at.elapsed().as_micros()).unwrap_or(u32::MAX),
        }]);
    }
}

/// Who found out, in the history.
const CHECKS: &str = "checks";
