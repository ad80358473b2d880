//! The SMTP session.

use std::net::IpAddr;

use crate::Refused;
use crate::host::{CurrentHost, Host};

/// Who is connected. In `route` and `bounce` it tells of the session by which the message came in.
pub struct Session<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Session<'_> {
    /// The session's name in logs.
    pub fn id(&self) -> String {
        self.host.session_id()
    }

    /// The name of the listener in the settings; `internal` for messages that the relay made itself.
    pub fn listener(&self) -> String {
        self.host.session_listener()
    }

    /// The client's address; none for messages that the relay made itself.
    pub fn remote_ip(&self) -> Option<IpAddr> {
        self.host.session_remote_ip().parse().ok()
    }

    /// The client's port.
    pub fn remote_port(&self) -> u16 {
        self.host.session_remote_port()
    }

    /// The client's forward-confirmed reverse name; looked up on first use.
    pub fn remote_name(&self) -> Option<String> {
        self.host.session_remote_name()
    }

    /// What the client called itself in HELO, EHLO or LHLO.
    pub fn helo(&self) -> Option<String> {
        self.host.session_helo()
    }

    /// The account that the client logged in as.
    pub fn account(&self) -> Option<String> {
        self.host.session_account()
    }

    /// Reads a note of this session.
    pub fn note(&self, key: &str) -> Option<Vec<u8>> {
        self.host.session_note(key)
    }

    /// Sets or removes a note, which lives as long as the session. It is the plugin's own, unless its key begins with
    /// `shared/`. Not in `route` and `bounce`.
    pub fn set_note(&self, key: &str, value: Option<&[u8]>) -> Result<(), Refused> {
        self.host.session_set_note(key, value)
    }
}
