//! The dialogue on a link, shown to operators who look on.

use std::sync::Arc;

use baton_mail::MessageId;
use baton_mail::status::Remote;
use baton_mail::trace::{Facts, Hub, Side, Tap};
use baton_smtp::client::{ClientPhase, Output};

use super::Link;

/// Who looks on, and by which way a link goes.
#[derive(Debug)]
pub(crate) struct Shown {
    hub: Arc<Hub>,
    site: Arc<str>,
    source: Arc<str>,
    tap: Option<Box<Tap>>,
}

impl Clone for Shown {
    /// For another link of the same way.
    fn clone(&self) -> Shown {
        let Shown { hub, site, source, .. } = self;
        Shown { hub: Arc::clone(hub), site: Arc::clone(site), source: Arc::clone(source), tap: None }
    }
}

impl Shown {
    /// Nothing was shown yet.
    pub(crate) fn new(hub: &Arc<Hub>, site: &str, source: &str) -> Shown {
        Shown { hub: Arc::clone(hub), site: Arc::from(site), source: Arc::from(source), tap: None }
    }

    /// What shows the dialogue with a host, when somebody looks on. Where nobody does, that is one look at a number.
    pub(crate) fn tap(&mut self, remote: &Remote) -> Option<&mut Tap> {
        if !self.hub.is_watched() {
            self.tap = None;
            return None;
        }
        let Shown { hub, site, source, tap } = self;
        let facts = || {
            let by = if source.is_empty() { String::new() } else { format!(" by {source}") };
            let at = remote.address.map(|ip| format!(" [{ip}]")).unwrap_or_default();
            Facts {
                session: hub.name_session(),
                side: Side::Out,
                peer: Arc::from(format!("{}{at}", remote.host)),
                way: Arc::from(format!("{site}{by}")),
                ip: remote.address.map(|ip| ip.to_canonical()),
                host: Some(remote.host.clone()),
                listener: None,
                site: Some(site.to_string()),
            }
        };
        Some(tap.get_or_insert_with(|| Tap::new(hub, facts())))
    }

    fn wants_content(&self) -> bool {
        self.hub.wants_content()
    }
}

impl Link {
    fn tap(&mut self) -> Option<&mut Tap> {
        self.shown.tap(&self.remote)
    }

    /// The next transaction is about this message.
    pub(crate) fn show_message(&mut self, message: Option<MessageId>) {
        if let (Some(message), Some(tap)) = (message, self.tap()) {
            tap.about(message);
        }
    }

    /// Shows something that happened to the link.
    pub(super) fn show_note(&mut self, text: &str) {
        if let Some(tap) = self.tap() {
            tap.note(text);
        }
    }

    /// Shows the last octets of the input, which were read just now.
    pub(super) fn show_read(&mut self, octets: usize) {
        let Some(tap) = self.shown.tap(&self.remote) else { return };
        tap.server(self.input.get(self.input.len().saturating_sub(octets)..).unwrap_or_default());
    }

    /// Shows what is about to be written.
    pub(super) fn show_output(&mut self, phase: ClientPhase, output: &Output) {
        let wants_content = self.shown.wants_content();
        let Some(tap) = self.tap() else { return };
        match output {
            Output::Body(octets) => tap.content(octets.len(), wants_content.then_some(octets)),
            Output::Commands(octets) => {
                for line in octets.split_inclusive(|octet| *octet == b'\n') {
                    let begins_exchange = line.starts_with(b"AUTH ");
                    match phase {
                        ClientPhase::Auth if !begins_exchange => tap.secret(),
                        _ => tap.client(line),
                    }
                }
            }
        }
    }
}
