//! What domains publish about TLS, who we are to next hops, and where no mail goes.

use super::RawSecret;
use crate::settings::field::section;

section! {
    /// Policies of domains about the TLS of their mail hosts (MTA-STS, RFC 8461). They are fetched over HTTPS by the client of `[http]`: `http.ca_file` and `http.allowed_networks` hold for them too.
    RawMtaSts {
        /// Looks for policies and heeds them: with `enforce` mail goes only to the hosts that the policy lists, over TLS with a valid certificate, or waits. After DANE.
        enabled: bool = true,
        /// The port of the domains' web servers.
        port: u16 = 443,
        /// How long fetching a policy may take, in milliseconds. The first mail for a domain waits for it.
        fetch_ms: u64 = 20_000,
        /// After this time it is looked again whether a domain has another policy, or whether it can be fetched now, in milliseconds (RFC 8461 3.3 advises five minutes).
        check_ms: u64 = 300_000,
    }
}

section! {
    /// The login (AUTH) at a smart host: `user`, and exactly one of `password`, `token` and `token_command`.
    RawLogin {
        /// Who we are there.
        user: String = String::new(),
        /// The password: `{ file = "…" }` or `{ env = "…" }`, read for each connection.
        password: Option<RawSecret> = None,
        /// A token of an identity provider instead, for XOAUTH2.
        token: Option<RawSecret> = None,
        /// A program with its arguments that prints such a token, run for each connection.
        token_command: Option<Vec<String>> = None,
        /// The mechanisms that may be used, the preferred one first: `SCRAM-SHA-256`, `PLAIN`, `LOGIN` or, for tokens, `XOAUTH2`. Unset: all that fit.
        mechanisms: Option<Vec<String>> = None,
        /// Also sends the secret on connections without TLS. Only for networks that nobody else can read.
        without_tls: bool = false,
    }
}

/// Networks that are not for mail between strangers (RFC 6890 and the registries of IANA).
pub(super) fn prohibited_networks() -> Vec<String> {
    [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "100::/64",
        "2001:db8::/32",
        "3fff::/20",
        "fc00::/7",
        "fe80::/10",
    ]
    .map(str::to_owned)
    .to_vec()
}
