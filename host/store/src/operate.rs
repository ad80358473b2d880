//! What an operator may do to the queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::commit::{Action, Op, OperateOp};
use crate::core::Core;
use crate::error::StoreError;
use crate::find::{Filter, find};
use crate::format::JobKey;

/// Jobs that are changed in one batch, at most.
const PAGE_JOBS: usize = 500;

/// How far a change has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Jobs that were changed.
    pub jobs: usize,
    /// Where to go on, when the time was over before the end.
    pub next: Option<JobKey>,
}

/// Does `action` to all jobs that match after `after`, page by page, until the time is over.
pub(crate) async fn operate(
    core: &Arc<Core>,
    action: Action,
    filter: &Filter,
    by: &str,
    after: Option<JobKey>,
    budget: Option<Duration>,
) -> Result<Reached, StoreError> {
    let deadline = budget.map(|budget| Instant::now() + budget);
    let mut reached = Reached { jobs: 0, next: after };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(reached);
        }
        let page = find(core, filter, reached.next, PAGE_JOBS, left).await?;
        let (answer, answered) = oneshot::channel();
        core.commit.push(Op::Operate(OperateOp {
            action: action.clone(),
            by: by.to_owned(),
            keys: page.jobs.iter().map(|view| view.key).collect(),
            jobs: Vec::new(),
            reached: 0,
            answer,
        }))?;
        reached.jobs += answered.await.map_err(|_| core.lost())??;
        reached.next = page.next;
        if page.next.is_none() {
            return Ok(reached);
        }
    }
}
