//! `session`: what is known of the client, and notes that live as long as the session.

use std::sync::Arc;

use crate::bindings::baton::relay::session::{Certificate, Host, TlsFacts};
use crate::state::State;
use crate::{Hook, NameCheck, SessionNotes};

/// Octets of a note's key.
const KEY_OCTETS_MAX: usize = 256;
/// Keys with this prefix are common to all plugins.
const SHARED: &str = "shared/";

impl State {
    /// The full key of a note: with the plugin's name, unless it is shared.
    pub(super) fn note_key(&self, key: &str) -> String {
        if key.starts_with(SHARED) { key.to_owned() } else { format!("{}/{key}", self.terms.name) }
    }

    /// As [`State::note_key`], for a note that is to be set.
    pub(super) fn check_note_key(&self, key: &str) -> Result<String, String> {
        if key.is_empty() || key.len() > KEY_OCTETS_MAX {
            return Err(format!("a note's key has 1 to {KEY_OCTETS_MAX} octets"));
        }
        Ok(self.note_key(key))
    }

    /// Counts a change that was refused; the plugin gets the reason.
    pub(super) fn counted<T>(&self, result: Result<T, String>) -> wasmtime::Result<Result<T, String>> {
        if result.is_err() {
            self.terms.meters.count_refused_edit();
        }
        Ok(result)
    }

    fn stage_session_note(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<(), String> {
        match self.hook {
            None => return Err("not available in init".to_owned()),
            Some(hook @ (Hook::Route | Hook::Bounce | Hook::Events)) => {
                return Err(format!("there is no session at the {hook} hook"));
            }
            Some(_) => {}
        }
        let key = self.check_note_key(key)?;
        self.staged.push_session_note(key, value, self.call.notes.octets())
    }

    /// The client's name, and what came of looking for it: what the session knows, else what one search for all plugins
    /// of the session finds.
    async fn find_name(&mut self) -> (Option<String>, Option<NameCheck>) {
        let session = &self.call.session;
        let (None, Some(address), Some(_)) = (session.name_check, session.remote_ip, self.hook) else {
            return (session.remote_name.clone(), session.name_check);
        };
        let (dns, notes): (_, SessionNotes) =
            (Arc::clone(&self.terms.capabilities.dns), self.call.notes.clone());
        let (name, check) = notes.name_search().get_or_init(|| dns.reverse(address)).await.clone();
        (name, Some(check))
    }
}

impl Host for State {
    fn id(&mut self) -> wasmtime::Result<String> {
        self.charge()?;
        Ok(self.call.session.id.to_string())
    }

    fn listener(&mut self) -> wasmtime::Result<String> {
        self.charge()?;
        Ok(self.call.session.listener.clone())
    }

    fn remote_ip(&mut self) -> wasmtime::Result<String> {
        self.charge()?;
        Ok(self.call.session.remote_ip.map(|address| address.to_string()).unwrap_or_default())
    }

    fn remote_port(&mut self) -> wasmtime::Result<u16> {
        self.charge()?;
        Ok(self.call.session.remote_port)
    }

    async fn remote_name(&mut self) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        Ok(self.find_name().await.0)
    }

    fn helo(&mut self) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        Ok(self.call.session.helo.clone())
    }

    fn authenticated_as(&mut self) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        Ok(self.call.session.account.clone())
    }

    async fn iprev(&mut self) -> wasmtime::Result<Option<String>> {
        self.charge()?;
        Ok(self.find_name().await.1.map(|check| check.as_str().to_owned()))
    }

    fn tls(&mut self) -> wasmtime::Result<Option<TlsFacts>> {
        self.charge()?;
        let facts = self.call.session.tls.clone();
        Ok(facts.map(|facts| TlsFacts {
            version: facts.version.clone(),
            cipher: facts.cipher.clone(),
            server_name: facts.server_name.clone(),
            certificate: facts.certificate.clone().map(|shown| Certificate {
                subject: shown.subject,
                sha256: shown.sha256,
                distrust: shown.distrust,
            }),
        }))
    }

    fn note(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge()?;
        let key = self.note_key(&key);
        let value = self.staged.session_note(&key).unwrap_or_else(|| self.call.notes.get(&key));
        self.charge_read(value.as_ref().map_or(0, Vec::len))?;
        Ok(value)
    }

    fn set_note(&mut self, key: String, value: Option<Vec<u8>>) -> wasmtime::Result<Result<(), String>> {
        self.charge()?;
        let result = self.stage_session_note(&key, value);
        self.counted(result)
    }
}
