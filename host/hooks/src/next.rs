//! A new version of a plugin beside the one that serves: as a shadow it is asked too and compared, as a canary it serves
//! a share of the sessions or one tenant.

use crate::plugin::Plugin;
use crate::{Call, NextMode, NextSettings};

/// The new version, loaded and ready.
pub(crate) struct Next {
    pub(crate) plugin: Box<Plugin>,
    pub(crate) settings: NextSettings,
}

impl Plugin {
    /// The version that serves this call.
    pub(crate) fn serving(&self, call: &Call) -> &Plugin {
        match &self.next {
            Some(next) if next.serves(&self.terms.name, call) => &next.plugin,
            _ => self,
        }
    }
}

impl Next {
    fn serves(&self, name: &str, call: &Call) -> bool {
        if self.settings.mode != NextMode::Canary {
            return false;
        }
        let is_tenant = self.settings.tenant.is_some() && self.settings.tenant == call.envelope.tenant;
        is_tenant || share_of(name, call) < u64::from(self.settings.percent)
    }
}

/// Where a session stands among 100: the same at each of its hooks and messages, in the queue too, and after a restart.
/// A message without a session stands for itself.
fn share_of(name: &str, call: &Call) -> u64 {
    let id = match call.session.id.0 {
        0 => call.envelope.id.to_octets(),
        session => u128::from(session).to_be_bytes(),
    };
    // FNV-1a: the same everywhere and always, which the hasher of the standard library is not.
    let octets = name.bytes().chain(id);
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 16) % 100
}
