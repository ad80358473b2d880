//! What operators change of a job that is in the queue. The envelope is never rewritten: changes lie beside it.

use std::sync::Arc;

use baton_mail::Envelope;
use serde::{Deserialize, Serialize};

/// Whose mail it is from now on, and how urgent. What is none stays as it is; an empty name means nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The tenant.
    pub tenant: Option<String>,
    /// The stream of that tenant.
    pub stream: Option<String>,
    /// The priority, -9 to 9.
    pub priority: Option<i8>,
}

/// Why a job is to be given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveUp {
    /// Who decided.
    pub by: String,
    /// Why, as the sender is told.
    pub reason: String,
}

/// All changes to one job since its message was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) assignment: Assignment,
    /// The next hop in words, whatever plugins and settings say.
    pub(crate) route: Option<String>,
    /// It is given up at its next turn.
    pub(crate) give_up: Option<GiveUp>,
}

impl Assignment {
    /// True when nothing is to change.
    pub fn is_empty(&self) -> bool {
        *self == Assignment::default()
    }

    /// This after what was said before.
    fn after(&self, before: Assignment) -> Assignment {
        Assignment {
            tenant: self.tenant.clone().or(before.tenant),
            stream: self.stream.clone().or(before.stream),
            priority: self.priority.or(before.priority),
        }
    }

    /// What it says, for the story.
    pub(crate) fn in_words(&self) -> Vec<String> {
        let name = |what: &str, name: &Option<String>| {
            name.as_ref().map(|name| match name.as_str() {
                "" => format!("of no {what}"),
                name => format!("{what} {name}"),
            })
        };
        let priority = self.priority.map(|priority| format!("priority {priority}"));
        [name("tenant", &self.tenant), name("stream", &self.stream), priority].into_iter().flatten().collect()
    }
}

impl Changes {
    /// True when nothing was changed.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// Another assignment on top of the earlier ones.
    pub(crate) fn assigned(self, assignment: &Assignment) -> Changes {
        Changes { assignment: assignment.after(self.assignment), ..self }
    }

    /// The envelope as delivery is to see it.
    pub(crate) fn applied(&self, envelope: &Arc<Envelope>) -> Arc<Envelope> {
        if self.assignment.is_empty() {
            return Arc::clone(envelope);
        }
        let mut changed = Envelope::clone(envelope);
        let Assignment { tenant, stream, priority } = &self.assignment;
        let named = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
        if let Some(tenant) = tenant {
            changed.tenant = named(tenant);
        }
        if let Some(stream) = stream {
            changed.stream = named(stream);
        }
        changed.priority = priority.unwrap_or(changed.priority);
        Arc::new(changed)
    }
}
