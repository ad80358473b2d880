//! Operators: people who look at the relay and change it by its pages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::UnixMs;
use crate::tenant::{Label, Scope};

/// What an operator may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// To look at things.
    #[default]
    Viewer,
    /// To run the mail: the queue, suppression, templates, webhooks.
    Operator,
    /// Everything, streams, tokens and operators too.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// What it may do, in the words of tokens.
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Role::Viewer => &[Scope::Read],
            Role::Operator => &[Scope::Read, Scope::Suppress, Scope::Templates, Scope::Webhooks],
            Role::Admin => &[Scope::Admin],
        }
    }

    /// True when it may do that.
    pub fn may(self, scope: Scope) -> bool {
        self.scopes().iter().any(|own| *own == scope || *own == Scope::Admin)
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Role, InvalidRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(InvalidRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write viewer, operator or admin")]
pub struct InvalidRole;

/// What is kept of an operator.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The hash of the password (argon2id), in the form of PHC strings.
    pub password: String,
    /// What it may do.
    pub role: Role,
    /// The only tenant that it sees; none sees all of the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Label>,
    /// What whoever made it wants to remember.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// It may not log in.
    #[serde(default)]
    pub disabled: bool,
    /// When it was made.
    pub created_at: UnixMs,
}

impl fmt::Debug for Operator {
    /// All but the password's hash.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Operator")
            .field("role", &self.role)
            .field("tenant", &self.tenant)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_one_before_may() {
        for [less, more] in [[Role::Viewer, Role::Operator], [Role::Operator, Role::Admin]] {
            assert!(Scope::ALL.into_iter().all(|scope| !less.may(scope) || more.may(scope)), "{less}");
            assert!(Scope::ALL.into_iter().any(|scope| !less.may(scope) && more.may(scope)), "{less}");
        }
        assert!(!Role::Viewer.may(Scope::Suppress) && !Role::Operator.may(Scope::Admin));
    }
}
