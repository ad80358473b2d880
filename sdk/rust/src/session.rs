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

    /// What came of looking for the client's name and for the way back from it (RFC 8601 2.7.3), looked up on first
    /// use: `pass`, `fail` (no name leads back), `permerror` (no name) or `temperror` (not known). None for messages
    /// that the relay made itself.
    pub fn iprev(&self) -> Option<String> {
        self.host.session_iprev()
    }

    /// What protects the connection; none in plain text.
    pub fn tls(&self) -> Option<Tls> {
        self.host.session_tls()
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

/// What protects a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The cipher suite by its registered name, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The name that the client asked for (RFC 6066 3).
    pub server_name: Option<String>,
    /// What the client showed of itself, on listeners that ask for it.
    pub certificate: Option<Certificate>,
}

/// A client's certificate. It names someone who holds its key; who that is, it proves only when nothing distrusts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it names: its common name, else its first alternative name.
    pub subject: String,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Why it proves nothing; none when it leads to an authority that the listener trusts.
    pub distrust: Option<String>,
}

impl Tls {
    /// Whom the client's certificate names, when it is trusted.
    pub fn verified_subject(&self) -> Option<&str> {
        let trusted = self.certificate.as_ref().filter(|certificate| certificate.distrust.is_none());
        trusted.map(|certificate| certificate.subject.as_str())
    }
}
