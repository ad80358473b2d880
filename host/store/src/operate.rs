//! What an operator may do to the queue.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::commit::{Action, Op, OperateOp};
use crate::core::Core;
use crate::error::StoreError;
use crate::look::{Filter, find};

/// Jobs that are changed in one batch, at most.
const PAGE_JOBS: usize = 500;

/// Does `action` to all jobs that match, page by page. Returns how many it reached.
pub(crate) async fn operate(
    core: &Arc<Core>,
    action: Action,
    filter: &Filter,
    by: &str,
) -> Result<usize, StoreError> {
    let mut reached = 0;
    let mut after = None;
    loop {
        let page = find(core, filter, after, PAGE_JOBS).await?;
        let Some(last) = page.last() else { return Ok(reached) };
        after = Some(last.key);
        let (answer, answered) = oneshot::channel();
        core.commit.push(Op::Operate(OperateOp {
            action: action.clone(),
            by: by.to_owned(),
            keys: page.iter().map(|view| view.key).collect(),
            jobs: Vec::new(),
            reached: 0,
            answer,
        }))?;
        reached += answered.await.map_err(|_| core.lost())??;
    }
}
