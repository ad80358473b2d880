//! Mail to the mailboxes for reports: what others say about mail in our domains' names is read and kept.

use std::sync::Arc;

use baton_identity::reports::{self, BUCKET, Report, ReportError};
use baton_mail::body::Content;
use baton_mail::event::Decision;
use baton_store::{KvError, VALUE_OCTETS_MAX};
use tokio::time::Instant;

use super::Session;
use super::draft::Draft;
use crate::replies::Refusal;
use crate::{Policy, log};

impl Session {
    /// Keeps the report that a message to a mailbox for reports carries. The message itself goes on as every other: what
    /// is kept is in the same sync as its place in the queue, or in one before.
    pub(super) async fn keep_report(&self, draft: &mut Draft, content: &Content) -> Result<(), Refusal> {
        let policy = self.listener.deps.policy.load_full();
        let recipients = &draft.call.envelope.recipients;
        if !recipients.iter().any(|recipient| policy.is_report_mailbox(&recipient.address)) {
            return Ok(());
        }
        let begun_at = Instant::now();
        let (kind, answer) = match read_report(content, &policy).await {
            Ok(report) => {
                let kept = self.store_report(&report, policy.reports.keep_s).await;
                (report.kind(), kept.map_err(|error| self.report_lost(draft, &error))?)
            }
            Err(flaw) => ("none", format!("not kept: {flaw}")),
        };
        self.listener.deps.metrics.count_report(kind);
        log::report_read(self.id, draft.id(), &answer);
        draft.add_decisions(&[Decision {
            plugin: REPORTS.to_owned(),
            hook: "data".to_owned(),
            answer,
            edits: Vec::new(),
            micros: u32::try_from(begun_at.elapsed().as_micros()).unwrap_or(u32::MAX),
        }]);
        Ok(())
    }

    /// What became of it, for the history.
    async fn store_report(&self, report: &Report, keep_s: u64) -> Result<String, KvError> {
        let summary = report.summary();
        let Ok(text) = report.to_json(VALUE_OCTETS_MAX) else {
            return Ok(format!("not kept: {summary} can not be written"));
        };
        let kv = self.listener.deps.store.kv();
        match kv.set(BUCKET, &report.key(), &text, Some(keep_s.saturating_mul(1_000))).await {
            Ok(()) => Ok(summary),
            // Its sender would try again for days in vain.
            Err(error @ (KvError::Quota | KvError::TooLarge)) => Ok(format!("not kept, {error}: {summary}")),
            Err(error) => Err(error),
        }
    }

    /// The store takes nothing now: the sender tries again.
    fn report_lost(&self, draft: &Draft, error: &KvError) -> Refusal {
        log::report_not_kept(self.id, draft.id(), error);
        Refusal::Internal
    }
}

/// Reads off the threads that serve sessions: what is packed may take a while.
async fn read_report(content: &Content, policy: &Arc<Policy>) -> Result<Report, ReportError> {
    let (content, limits) = (content.clone(), policy.mime);
    let read = tokio::task::spawn_blocking(move || reports::read(&content, &limits));
    read.await.unwrap_or_else(|error| Err(ReportError::Damaged(error.to_string())))
}

/// Who found out, in the history.
const REPORTS: &str = "reports";
