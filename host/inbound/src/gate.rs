//! The way in for programs that hand a message in whole, such as the API: the same rules, plugins, quotas, signatures and
//! queue as for a session of SMTP, without the dialogue.

use std::sync::Arc;

use baton_mail::submission::{Ending, Submission, Submitted};
use baton_mail::{Mailbox, Reply};
use baton_store::catalog::Edit;
use tokio::time::Instant;

use crate::listener::Listener;
use crate::policy::after;
use crate::replies::Refusal;
use crate::session::submit;

/// Makes the records of the catalog that are written with a message, once it is known which recipients were refused.
pub type Beside = Box<dyn FnOnce(&[(Mailbox, Reply)]) -> Vec<Edit> + Send>;

/// Takes messages of programs. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Listener>);

impl Gate {
    pub(crate) fn new(listener: Arc<Listener>) -> Gate {
        Gate(listener)
    }

    /// Takes a message. When it is told to be queued, it is on disk, and the records that `beside` makes with it.
    pub async fn submit(&self, submission: Submission, beside: Beside) -> Submitted {
        let place = match self.0.take_program() {
            Ok(place) => place,
            Err(crowded) => return refused(&crowded.refusal()),
        };
        let due = after(Instant::now(), self.0.deps.policy.load().deadlines.answer_s);
        let submitted = std::pin::pin!(submit(Arc::clone(&self.0), place, submission, beside));
        tokio::time::timeout_at(due, submitted).await.unwrap_or_else(|_| refused(&Refusal::Late))
    }
}

fn refused(refusal: &Refusal) -> Submitted {
    Submitted { refused: Vec::new(), ending: Ending::Refused(refusal.reply()), fault: refusal.fault() }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gate").field("name", &self.0.name).finish_non_exhaustive()
    }
}
