//! TLS towards next hops.

use std::sync::Arc;

use baton_outbound::{
    Login, LoginMechanism, LoginSecret, NextHop, StsSettings, TlsPolicy, TlsSettings, TlsUse,
};
use baton_tls::{Authorities, CertificateFiles};

use super::Checker;
use crate::settings::raw::{Raw, RawLogin, RawMtaSts, RawNextHop, RawSecret};

impl Checker<'_> {
    pub(super) fn outbound_tls(&mut self, raw: &Raw, mut tls: TlsSettings) -> TlsSettings {
        let uses =
            [("off", TlsUse::Off), ("opportunistic", TlsUse::Opportunistic), ("required", TlsUse::Required)];
        let mode = self.choose("delivery.tls", &raw.delivery.tls, &uses).unwrap_or_default();
        let authorities = match &raw.delivery.tls_ca_file {
            Some(path) => Authorities::File(self.folder.join(path)),
            None => Authorities::System,
        };
        if let (Authorities::File(_), Err(error)) = (&authorities, tls.client.prepare(&authorities)) {
            self.problems.push("delivery.tls_ca_file", None, error, "correct the file or the path");
        }
        tls.default = TlsPolicy { authorities: Some(authorities), ..TlsPolicy::with_mode(mode) };
        tls.dane = raw.delivery.dane;
        for (name, one) in &raw.next_hops.0 {
            let key = format!("next_hops.{name}");
            let Some(policy) = self.tls_policy(&key, one, &tls.default) else { continue };
            if let Some(Authorities::File(_)) = &policy.authorities
                && let Some(authorities) = &policy.authorities
                && let Err(error) = tls.client.prepare(authorities)
            {
                self.problems.push(
                    &format!("{key}.tls_ca_file"),
                    None,
                    error,
                    "correct the file or the path",
                );
            }
            if let Some(identity) = &policy.identity
                && let Err(error) = tls.client.prepare_identity(identity)
            {
                let key = format!("{key}.tls_certificate");
                self.problems.push(&key, None, error, "correct the files or the paths");
            }
            let Some(next_hop) = self.protected_next_hop(&key, one) else { continue };
            match tls.by_next_hop.insert(next_hop, policy.clone()) {
                Some(other) if other != policy => {
                    let reason = "another next hop has the same hosts and other settings for TLS";
                    self.problems.push(&format!("{key}.tls"), one.tls.clone(), reason, "make them equal");
                }
                _ => {}
            }
        }
        tls
    }

    /// The policy of a next hop that has a word of its own; none when it has not.
    fn tls_policy(&mut self, key: &str, raw: &RawNextHop, default: &TlsPolicy) -> Option<TlsPolicy> {
        let uses = [
            ("off", TlsUse::Off),
            ("opportunistic", TlsUse::Opportunistic),
            ("required", TlsUse::Required),
            ("implicit", TlsUse::Implicit),
        ];
        let is_silent = raw.tls_ca_file.is_none() && raw.tls_name.is_none() && raw.tls_verify;
        let identity = self.identity(key, raw);
        let login = raw.login.as_ref().and_then(|login| self.login(&format!("{key}.login"), login));
        let mode = match raw.tls.as_deref() {
            Some(text) => self.choose(&format!("{key}.tls"), text, &uses)?,
            None if is_silent && identity.is_none() && raw.login.is_none() => return None,
            None => default.mode,
        };
        self.check_login(key, raw, mode);
        if !is_silent && !matches!(mode, TlsUse::Required | TlsUse::Implicit) {
            let reason = "certificates are checked only where TLS is needed";
            self.problems.push(
                &format!("{key}.tls"),
                raw.tls.clone(),
                reason,
                "write \"required\" or \"implicit\", or remove tls_ca_file, tls_name and tls_verify",
            );
        }
        let authorities = match &raw.tls_ca_file {
            Some(path) => Authorities::File(self.folder.join(path)),
            None => default.authorities.clone().unwrap_or_default(),
        };
        Some(TlsPolicy {
            mode,
            authorities: raw.tls_verify.then_some(authorities),
            name: raw.tls_name.clone(),
            identity,
            login: login.map(Arc::new),
            ..TlsPolicy::default()
        })
    }

    /// The certificate that a next hop is shown.
    fn identity(&mut self, key: &str, raw: &RawNextHop) -> Option<CertificateFiles> {
        match (&raw.tls_certificate, &raw.tls_key) {
            (None, None) => None,
            (Some(chain), Some(key)) => {
                Some(CertificateFiles { chain: self.folder.join(chain), key: self.folder.join(key) })
            }
            _ => {
                let reason = "a certificate is shown with its key";
                let remedy = "give both, tls_certificate and tls_key";
                self.problems.push(&format!("{key}.tls_certificate"), None, reason, remedy);
                None
            }
        }
    }

    fn login(&mut self, key: &str, raw: &RawLogin) -> Option<Login> {
        let given = [raw.password.is_some(), raw.token.is_some(), raw.token_command.is_some()];
        if raw.user.is_empty() || given.iter().filter(|given| **given).count() != 1 {
            let reason = "a login has a user and exactly one of password, token and token_command";
            self.problems.push(key, None, reason, "give one of each");
            return None;
        }
        let secret = match (&raw.token_command, raw.password.as_ref().or(raw.token.as_ref())) {
            (Some(words), _) => LoginSecret::Command(words.clone()),
            (None, Some(secret)) => self.secret_source(key, secret)?,
            (None, None) => return None,
        };
        let fitting: &[LoginMechanism] = match raw.password {
            Some(_) => &LoginMechanism::FOR_PASSWORDS,
            None => &LoginMechanism::FOR_TOKENS,
        };
        let names: Vec<_> = fitting.iter().map(|mechanism| (mechanism.as_str(), *mechanism)).collect();
        let mechanisms = match &raw.mechanisms {
            None => fitting.to_vec(),
            Some(given) => given
                .iter()
                .filter_map(|name| self.choose(&format!("{key}.mechanisms"), name, &names))
                .collect(),
        };
        Some(Login { user: raw.user.clone(), secret, mechanisms, without_tls: raw.without_tls })
    }

    /// Where a secret comes from.
    pub(super) fn secret_source(&mut self, key: &str, raw: &RawSecret) -> Option<LoginSecret> {
        match (&raw.file, &raw.env) {
            (Some(path), None) => Some(LoginSecret::File(self.folder.join(path))),
            (None, Some(variable)) => Some(LoginSecret::Environment(variable.clone())),
            _ => {
                let remedy = "write { file = \"PATH\" } or { env = \"VARIABLE\" }";
                self.problems.push(key, None, "the secret needs exactly one source", remedy);
                None
            }
        }
    }

    /// A login is for hosts of the settings, over TLS that is needed.
    fn check_login(&mut self, key: &str, raw: &RawNextHop, mode: TlsUse) {
        let Some(login) = &raw.login else { return };
        if raw.mx.is_some() {
            let reason = "the DNS would say who learns the secret";
            self.problems.push(&format!("{key}.login"), None, reason, "name the `hosts`");
        }
        if !(login.without_tls || matches!(mode, TlsUse::Required | TlsUse::Implicit)) {
            let reason = "a login needs TLS";
            let remedy = "write \"required\" or \"implicit\", or set login.without_tls";
            self.problems.push(&format!("{key}.tls"), raw.tls.clone(), reason, remedy);
        }
    }

    /// How policies of domains are found.
    pub(super) fn sts(&mut self, raw: &RawMtaSts) -> StsSettings {
        let at = |name: &str| format!("delivery.mta_sts.{name}");
        StsSettings {
            enabled: raw.enabled,
            port: self.bound(&at("port"), raw.port, 1, u16::MAX),
            fetch_ms: self.bound(&at("fetch_ms"), raw.fetch_ms, 1, 600_000),
            check_ms: self.bound(&at("check_ms"), raw.check_ms, 1, 86_400_000),
        }
    }

    /// The next hop that a policy is for; mistakes in it are told elsewhere.
    fn protected_next_hop(&mut self, key: &str, raw: &RawNextHop) -> Option<NextHop> {
        let next_hop = self.quietly(|checker| checker.next_hop(key, raw))?;
        if matches!(next_hop, NextHop::Mx(_) | NextHop::Hosts(_) | NextHop::Lmtp(_)) {
            return Some(next_hop);
        }
        self.problems.push(&format!("{key}.tls"), raw.tls.clone(), "there is no connection", "remove it");
        None
    }

    /// Does work whose problems were told already.
    fn quietly<T>(&mut self, work: impl FnOnce(&mut Checker<'_>) -> T) -> T {
        work(&mut Checker { problems: Default::default(), folder: self.folder })
    }
}
