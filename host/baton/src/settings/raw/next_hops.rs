//! Next hops, and which domains go there.

use std::path::PathBuf;

use super::{RawLogin, RawSecret};
use crate::settings::field::section;

section! {
    /// One place that mail can go to: exactly one of `mx`, `hosts`, `lmtp`, `file`, `http`, `hold` and `discard`.
    RawNextHop {
        /// Delivers to the mail hosts of this domain.
        mx: Option<String> = None,
        /// Delivers by SMTP to the first of these that answers, each `host:port`.
        hosts: Option<Vec<String>> = None,
        /// Delivers by LMTP to `host:port` or `unix:/path`.
        lmtp: Option<String> = None,
        /// Writes each message as a file into this Maildir folder.
        file: Option<PathBuf> = None,
        /// Posts each message to this URL: a form with the parts `envelope` (JSON) and `message`, signed as Standard Webhooks say with `http_secret`. 2xx is delivered, 4xx but 408, 425 and 429 is a failure for good; else it is tried again, not before `Retry-After`. `http:` is for hosts of this machine only. A host name must lead to public addresses, or to `http.allowed_networks`.
        http: Option<String> = None,
        /// The secret that requests to `http` are signed with: `{ file = "…" }` or `{ env = "…" }`, base64 of 24 octets at least, also with `whsec_` in front; read for each request.
        http_secret: Option<RawSecret> = None,
        /// Keeps the mail for an operator, with this reason.
        hold: Option<String> = None,
        /// Throws the mail away. The history says so.
        discard: bool = false,
        /// When TLS begins, for `mx`, `hosts` and `lmtp`: `off`, `opportunistic` (by STARTTLS when it is offered and works, else in plain text), `required` (by STARTTLS, or the mail waits) or `implicit` (with the connection, port 465). Unset: as `delivery.tls`; `off` for `lmtp`.
        tls: Option<String> = None,
        /// Where TLS is needed, a PEM file of the only authorities that may vouch for the hosts. Unset: those of the system.
        tls_ca_file: Option<PathBuf> = None,
        /// Where TLS is needed, the name that the certificate must be for. Unset: that of the host.
        tls_name: Option<String> = None,
        /// Where TLS is needed, whether the certificate must be valid too.
        tls_verify: bool = true,
        /// A PEM file: the certificate that is shown when the next hop asks for one, and behind it those that signed it. It is read for each connection.
        tls_certificate: Option<PathBuf> = None,
        /// A PEM file: the private key of `tls_certificate`.
        tls_key: Option<PathBuf> = None,
        /// Who we are there: the login (AUTH) at a smart host.
        login: Option<RawLogin> = None,
    }
}

section! {
    /// One route.
    RawRoute {
        /// Which recipient domains: a domain, `*.domain` for all below it, or `*`.
        domain: String = "*".to_owned(),
        /// The name of a next hop, or `mx` for the mail hosts of the recipient's domain.
        next_hop: String = String::new(),
        /// The pool of sources that its mail leaves by, unless its stream or tenant has one. Unset: `delivery.pool`.
        pool: Option<String> = None,
    }
}
