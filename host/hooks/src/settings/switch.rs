//! What an operator switched of a plugin while the relay runs, in the place of what the settings say.

use baton_mail::UnixMs;
use serde::{Deserialize, Serialize};

use super::{Mode, NextMode, NextSettings, PluginSettings};

/// What was switched of one plugin. What is none is as the settings say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Whether its answers count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What the new version beside it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextSwitch>,
    /// Who switched.
    pub by: String,
    /// When.
    pub at: UnixMs,
}

/// What the new version beside a plugin is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextSwitch {
    /// To be compared, or to serve.
    pub mode: NextMode,
    /// The share of sessions that a canary serves, in percent. 0 without a tenant: it rests.
    #[serde(default)]
    pub percent: u8,
    /// The tenant that a canary serves, whatever the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

impl PluginSettings {
    /// Whether its answers count now.
    pub fn mode(&self) -> Mode {
        self.switch.as_ref().and_then(|switch| switch.mode).unwrap_or(self.run.mode)
    }

    /// The new version beside it, as it is tried now.
    pub fn next(&self) -> Option<NextSettings> {
        let set = self.run.next.clone()?;
        let Some(switched) = self.switch.as_ref().and_then(|switch| switch.next.clone()) else {
            return Some(set);
        };
        let NextSwitch { mode, percent, tenant } = switched;
        Some(NextSettings { mode, percent, tenant, ..set })
    }
}
