//! Guards: CEL expressions of the settings that say whether a plugin is asked at all, before any instance exists.
//!
//! An expression is parsed and checked when plugins are loaded: every name, every type, and that what it reads is known
//! at the hook. What is left for a message is a small typed tree over borrowed facts; nothing is copied that is not
//! compared.

mod check;
mod facts;
mod tree;

use baton_mail::Mailbox;

use crate::policy::{Failure, FailureKind};
use crate::{Call, GuardSettings, Hook};
use facts::Facts;
use tree::Tree;

/// Octets of one expression.
const EXPRESSION_OCTETS_MAX: usize = 4_096;

/// The guards of one plugin, by hook.
#[derive(Default)]
pub(crate) struct Guards([Option<Tree>; 6]);

/// What a guard says.
pub(crate) enum Guarded {
    /// Ask the plugin.
    Ask,
    /// Do not.
    LeaveOut,
    /// It could not be evaluated.
    Fail(Failure),
}

/// A guard that can not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub(crate) struct GuardError {
    /// `when`, or `when.HOOK`.
    pub(crate) key: String,
    /// What is wrong, with the remedy.
    pub(crate) what: String,
}

impl Guards {
    /// Checks the guards of a plugin that is asked at these hooks. All errors at once.
    pub(crate) fn check_all(guards: &[GuardSettings], hooks: &[Hook]) -> Result<Guards, Vec<GuardError>> {
        let (mut checked, mut errors) = (Guards::default(), Vec::new());
        for guard in guards.iter().filter(|guard| guard.hook.is_some_and(|hook| !hooks.contains(&hook))) {
            let what = "the plugin is not asked at this hook; take the guard out".to_owned();
            errors.push(GuardError { key: key_of(guard), what });
        }
        for hook in hooks.iter().copied().filter(|hook| *hook != Hook::Events) {
            let own = guards.iter().find(|guard| guard.hook == Some(hook));
            let Some(guard) = own.or_else(|| guards.iter().find(|guard| guard.hook.is_none())) else {
                continue;
            };
            match check_expression(&guard.when, hook) {
                Ok(tree) => checked.place(hook).replace(tree),
                Err(what) => {
                    errors.push(GuardError { key: key_of(guard), what });
                    None
                }
            };
        }
        errors.dedup();
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    #[allow(clippy::indexing_slicing, reason = "one for each hook")]
    fn place(&mut self, hook: Hook) -> &mut Option<Tree> {
        &mut self.0[hook.index()]
    }

    /// Whether the plugin is to be asked. `rcpt` is the recipient that the hook is about.
    pub(crate) fn evaluate(&self, hook: Hook, call: &Call, rcpt: Option<&Mailbox>) -> Guarded {
        let Some(Some(tree)) = self.0.get(hook.index()) else { return Guarded::Ask };
        match tree.is_true(&Facts { call, rcpt }) {
            Ok(true) => Guarded::Ask,
            Ok(false) => Guarded::LeaveOut,
            Err(error) => Guarded::Fail(Failure::new(FailureKind::Guard, error.to_string())),
        }
    }
}

fn key_of(guard: &GuardSettings) -> String {
    guard.hook.map_or_else(|| "when".to_owned(), |hook| format!("when.{hook}"))
}

fn check_expression(source: &str, hook: Hook) -> Result<Tree, String> {
    if source.len() > EXPRESSION_OCTETS_MAX {
        return Err(format!(
            "has more than {EXPRESSION_OCTETS_MAX} octets; a rule of this size belongs into a plugin"
        ));
    }
    check::check(source, hook)
}

#[cfg(test)]
mod tests;
