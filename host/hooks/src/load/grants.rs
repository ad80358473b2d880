//! Two sides of a grant: what the artefact asks for and what the settings grant. In force is what is in both; each
//! difference is told, with the key and the remedy.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use crate::host::matches_pattern;
use crate::manifest::Manifest;
use crate::{EditGrant, Grants, HttpGrant, HttpUrl, PluginSettings};

/// Something that an operator should know about a plugin, which is loaded all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The key of the settings that it is about.
    pub key: String,
    /// What is so, and what to do about it.
    pub text: String,
}

impl std::fmt::Display for Advice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.key, self.text)
    }
}

/// What a plugin asks for, and how that is known.
pub(super) struct Asked {
    pub(super) grants: Grants,
    /// It says so itself; otherwise it is taken from what it imports.
    pub(super) by_manifest: bool,
}

/// Stands for all in a list of what an artefact asks for: the operator chooses.
const ANY: &str = "*";

impl Asked {
    /// By the manifest; without one, everything that the imported interfaces could be used for.
    pub(super) fn of(manifest: Option<&Manifest>, imports: &[String]) -> Asked {
        if let Some(manifest) = manifest {
            return Asked { grants: manifest.requests.clone(), by_manifest: true };
        }
        let has = |interface: &str| imports.iter().any(|import| import == interface);
        let any = |interface: &str| if has(interface) { vec![ANY.to_owned()] } else { Vec::new() };
        let mut edit = Vec::new();
        if has("baton:relay/message") {
            edit.extend([EditGrant::Headers, EditGrant::Trace, EditGrant::Body]);
        }
        if has("baton:relay/envelope") {
            edit.extend([EditGrant::Recipients, EditGrant::Sender]);
        }
        let grants = Grants {
            edit,
            // It needs no import: the answer `accept` is enough.
            relay: true,
            route: any("baton:relay/routing"),
            kv: any("baton:host/kv"),
            dns: has("baton:host/dns"),
            http: any("baton:host/http"),
            verify: has("baton:relay/verify"),
            secrets: any("baton:host/config"),
        };
        Asked { grants, by_manifest: false }
    }
}

/// What is in force: granted, and asked for.
pub(super) fn in_force(granted: &Grants, asked: &Grants) -> Grants {
    Grants {
        edit: granted.edit.iter().filter(|edit| asked.edit.contains(edit)).copied().collect(),
        relay: granted.relay && asked.relay,
        route: both(&granted.route, &asked.route, covers_target),
        kv: both(&granted.kv, &asked.kv, covers_name),
        dns: granted.dns && asked.dns,
        http: both(&granted.http, &asked.http, covers_url),
        verify: granted.verify && asked.verify,
        secrets: both(&granted.secrets, &asked.secrets, covers_name),
    }
}

/// Every difference between the two sides.
pub(super) fn differences(settings: &PluginSettings, asked: &Asked) -> Vec<Advice> {
    let (granted, wanted) = (&settings.grants, &asked.grants);
    let mut told = Told { settings, by_manifest: asked.by_manifest, advice: Vec::new() };
    let names = |edits: &[EditGrant]| edits.iter().map(|edit| edit.as_str().to_owned()).collect::<Vec<_>>();
    told.lists("edit", &names(&granted.edit), &names(&wanted.edit), covers_name);
    told.flags("relay", granted.relay, wanted.relay);
    told.lists("route", &granted.route, &wanted.route, covers_target);
    told.lists("kv", &granted.kv, &wanted.kv, covers_name);
    told.flags("dns", granted.dns, wanted.dns);
    told.lists("http", &granted.http, &wanted.http, covers_url);
    told.flags("verify", granted.verify, wanted.verify);
    told.lists("secrets", &granted.secrets, &wanted.secrets, covers_name);
    told.advice
}

/// Limits below those that the plugin's author suggests.
pub(super) fn suggestions(settings: &PluginSettings, manifest: Option<&Manifest>) -> Vec<Advice> {
    let given: HashMap<&str, u64> = settings.limits.named().into_iter().collect();
    let suggested = manifest.into_iter().flat_map(|manifest| &manifest.limits);
    let below = suggested.filter_map(|(name, suggested)| {
        let given = given.get(name.as_str()).filter(|given| *given < suggested)?;
        let key = format!("plugins.{}.limits.{name}", settings.name);
        let text =
            format!("is {given}, and the plugin's author suggests {suggested}; raise it if calls fail by it");
        Some(Advice { key, text })
    });
    below.collect()
}

/// The intersection of two lists, where an entry of one may cover several of the other.
fn both(granted: &[String], asked: &[String], covers: fn(&str, &str) -> bool) -> Vec<String> {
    let narrower = asked.iter().filter(|entry| granted.iter().any(|wider| covers(wider, entry)));
    let mut entries: Vec<String> =
        granted.iter().filter(|entry| asked.iter().any(|wider| covers(wider, entry))).cloned().collect();
    for entry in narrower {
        if !entries.contains(entry) {
            entries.push(entry.clone());
        }
    }
    entries
}

/// Names are equal, or the plugin leaves them to the operator.
fn covers_name(wider: &str, entry: &str) -> bool {
    wider == ANY || wider == entry
}

/// As names; and `host:*.example` covers `host:mx.example` and `host:*.mx.example`.
fn covers_target(wider: &str, entry: &str) -> bool {
    if covers_name(wider, entry) {
        return true;
    }
    let (Some(pattern), Some(host)) = (wider.strip_prefix("host:"), entry.strip_prefix("host:")) else {
        return false;
    };
    matches_pattern(pattern, host)
}

/// As names; and `https://a.example/v1/` covers all URLs that begin so.
fn covers_url(wider: &str, entry: &str) -> bool {
    let covers = || Some(HttpGrant::parse(wider).ok()?.covers(&HttpUrl::parse(entry).ok()?));
    covers_name(wider, entry) || covers().unwrap_or(false)
}

struct Told<'a> {
    settings: &'a PluginSettings,
    by_manifest: bool,
    advice: Vec<Advice>,
}

impl Told<'_> {
    fn flags(&mut self, grant: &str, granted: bool, asked: bool) {
        if granted && !asked {
            self.not_asked(grant, "true");
        }
        // Every plugin could relay; only a manifest tells whether one means to.
        if asked && !granted && (self.by_manifest || grant != "relay") {
            self.not_granted(grant, "it", "true");
        }
    }

    fn lists(&mut self, grant: &str, granted: &[String], asked: &[String], covers: fn(&str, &str) -> bool) {
        for entry in granted {
            let related = |other: &String| covers(other, entry) || covers(entry, other);
            if !asked.iter().any(related) {
                self.not_asked(grant, &format!("\"{entry}\""));
            }
        }
        // Looking at a message needs the same imports as changing it, and settings the same as secrets.
        if !self.by_manifest && matches!(grant, "edit" | "secrets") {
            return;
        }
        for entry in asked {
            let related = |other: &String| covers(other, entry) || covers(entry, other);
            if !granted.iter().any(related) {
                let chosen = if entry == ANY { "…" } else { entry };
                self.not_granted(grant, &format!("\"{entry}\""), &format!("[\"{chosen}\"]"));
            }
        }
    }

    fn not_asked(&mut self, grant: &str, entry: &str) {
        let file = file_name(&self.settings.source);
        let reason = if self.by_manifest {
            format!(
                "{entry} is granted, but {file} does not ask for it, so it is not in force; remove it here, or add it to [requests] in its plugin.toml and rebuild"
            )
        } else {
            format!("{entry} is granted, but {file} imports nothing that could use it; remove it")
        };
        self.tell(grant, reason);
    }

    fn not_granted(&mut self, grant: &str, entry: &str, remedy: &str) {
        let file = file_name(&self.settings.source);
        let asks = if self.by_manifest {
            format!("{file} asks for {entry}")
        } else {
            format!("{file} imports what {grant} is for")
        };
        self.tell(grant, format!("{asks}, which is not granted: what needs it will be refused; grant it with {grant} = {remedy} if it may"));
    }

    fn tell(&mut self, grant: &str, text: String) {
        let key = format!("plugins.{}.grants.{grant}", self.settings.name);
        self.advice.push(Advice { key, text });
    }
}

/// The last part of a path, for people.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
