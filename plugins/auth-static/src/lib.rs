//! Checks logins against a table of argon2id hashes.
//!
//! Invariant: a wrong password and an unknown user get the same reply and cost the same work.
//! Invariant: what a hash may demand in memory and passes is bounded at load, so that a login fits the plugin's limits.

mod hash;

use std::collections::BTreeMap;

use baton_sdk::prelude::*;

use hash::{Bounds, Hash};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Hashes by user name, as text of the form `$argon2id$v=19$m=...,t=...,p=...$salt$hash`.
    pub users: BTreeMap<String, String>,
    /// Memory that a hash may demand at most, in KiB. Must fit `limits.memory_octets` of the plugin.
    #[serde(default = "default_memory_kib_max")]
    pub memory_kib_max: u32,
    /// Passes that a hash may demand at most. Together with the memory they must fit `limits.cpu_ms`.
    #[serde(default = "default_passes_max")]
    pub passes_max: u32,
    /// What happens when the user is not in the table.
    #[serde(default)]
    pub unknown_user: UnknownUser,
}

/// What happens when the user is not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownUser {
    /// The login is refused, exactly as for a wrong password.
    #[default]
    Deny,
    /// The next plugin is asked.
    Next,
}

/// The plugin.
pub struct AuthStatic {
    users: BTreeMap<String, Hash>,
    /// Stands in for the hash of an unknown user.
    decoy: Hash,
    unknown_user: UnknownUser,
}

#[baton_sdk::plugin]
impl Plugin for AuthStatic {
    type Config = Config;

    fn new(config: Config) -> Result<AuthStatic, Problems> {
        let bounds = Bounds { memory_kib_max: config.memory_kib_max, passes_max: config.passes_max };
        let mut problems = Problems::default();
        let mut users = BTreeMap::new();
        for (name, text) in config.users {
            match Hash::read(&text, &bounds) {
                Ok(hash) => drop(users.insert(name, hash)),
                Err(error) => problems.add(["users.", &name].concat(), error.message()),
            }
        }
        let decoy = Hash::decoy(users.values());
        problems.finish(AuthStatic { users, decoy, unknown_user: config.unknown_user })
    }
}

#[baton_sdk::hook]
impl Auth for AuthStatic {
    fn on_auth(
        &self,
        cx: &Context,
        _mechanism: &str,
        user: &str,
        credential: &Credential,
    ) -> Result<AuthDecision> {
        let Credential::Password(password) = credential else { return next() };
        let known = self.users.get(user);
        if known.is_none() && self.unknown_user == UnknownUser::Next {
            return next();
        }
        let matches = known.unwrap_or(&self.decoy).matches(password)?;
        if known.is_some() && matches {
            return Ok(AuthDecision::Allow(user.to_owned()));
        }
        cx.metrics().count("denied", 1, &[]);
        reject(535, "5.7.8", "user name or password is not right")
    }
}

fn default_memory_kib_max() -> u32 {
    32 * 1024
}

fn default_passes_max() -> u32 {
    4
}

#[cfg(test)]
mod tests;
