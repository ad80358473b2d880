//! An OCI registry on loopback: manifests, blobs, uploads, tokens (OCI distribution 1.1), and the faults that registries have.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::http::{Answer, HttpServer, Request};
use crate::wait;

/// `ann:secret`, as HTTP carries it.
const BASIC: &str = "authorization: Basic YW5uOnNlY3JldA==";
const BEARER: &str = "authorization: Bearer let-me-in";
/// A credentials file for the account that it knows, with the registry's address in the place of `REGISTRY`.
pub const CREDENTIALS: &str = r#"{"auths": {"REGISTRY": {"auth": "YW5uOnNlY3JldA=="}}}"#;

/// How it behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Well,
    /// It wants a token, which it gives to one account.
    Guarded,
    /// It sends other octets than those that it was given, for digests.
    Forging,
    /// It does not answer.
    Silent,
    /// It answers that it is broken.
    Broken,
}

/// A running registry.
pub struct Registry {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    manner: Manner,
    blobs: HashMap<String, Vec<u8>>,
    /// By repository and tag, and by repository and digest.
    manifests: HashMap<String, Vec<u8>>,
}

impl Registry {
    /// An empty one, on a port of the system's choice.
    pub fn start() -> Result<Registry> {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let server = HttpServer::start(move |request| answer(&shared, request))?;
        Ok(Registry { server, state })
    }

    /// Where it is, as sources name it.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// It behaves so from now on.
    pub fn behave(&self, manner: Manner) {
        lock(&self.state).manner = manner;
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.server.requests().len()
    }

    /// Puts something under a tag that holds no plugin.
    pub fn put_manifest(&self, repository: &str, tag: &str, manifest: &str) {
        let key = format!("{repository}/manifests/{tag}");
        lock(&self.state).manifests.insert(key, manifest.as_bytes().to_vec());
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &Mutex<State>, request: &Request) -> Answer {
    let manner = lock(state).manner;
    let has = |field: &str| request.fields.iter().any(|known| known == field);
    match manner {
        Manner::Silent => {
            // Longer than any client in the tests waits.
            thread::sleep(wait::LONG);
            return nothing(503);
        }
        Manner::Broken => return nothing(503),
        Manner::Guarded if request.target.starts_with("/token") => {
            let content = br#"{"token": "let-me-in"}"#.to_vec();
            return if has(BASIC) { (200, String::new(), content) } else { nothing(401) };
        }
        Manner::Guarded if !has(BEARER) => return challenge(request),
        Manner::Well | Manner::Forging | Manner::Guarded => {}
    }
    let path = request.target.strip_prefix("/v2/").unwrap_or_default();
    match (request.method.as_str(), path) {
        ("GET", "") => nothing(200),
        ("GET", _) => give(&lock(state), path),
        ("POST", _) => (202, format!("Location: {}1\r\n", request.target), Vec::new()),
        ("PUT", _) => take(&mut lock(state), path, request),
        _ => nothing(405),
    }
}

fn nothing(status: u16) -> Answer {
    (status, String::new(), Vec::new())
}

fn challenge(request: &Request) -> Answer {
    let host = request.fields.iter().find_map(|field| field.strip_prefix("host: ")).unwrap_or_default();
    let fields = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"test\"\r\n");
    (401, fields, Vec::new())
}

fn give(state: &State, path: &str) -> Answer {
    let (kind, found) = match path.split_once("/blobs/") {
        Some((_, digest)) => ("application/octet-stream", state.blobs.get(digest)),
        None => ("application/vnd.oci.image.manifest.v1+json", state.manifests.get(path)),
    };
    let Some(found) = found else {
        let content = br#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such thing"}]}"#.to_vec();
        return (404, "Content-Type: application/json\r\n".to_owned(), content);
    };
    let mut content = found.clone();
    // What was asked for by a tag may be anything.
    if state.manner == Manner::Forging
        && path.contains("sha256:")
        && let Some(last) = content.last_mut()
    {
        *last ^= 1;
    }
    (200, format!("Content-Type: {kind}\r\n"), content)
}

fn take(state: &mut State, path: &str, request: &Request) -> Answer {
    let content = request.content.clone();
    match (path.split_once("/manifests/"), request.target.split_once("digest=")) {
        (Some((repository, _)), _) => {
            state.manifests.insert(format!("{repository}/manifests/{}", sha256(&content)), content.clone());
            state.manifests.insert(path.to_owned(), content);
        }
        (None, Some((_, digest))) => {
            let digest = digest.replace("%3A", ":");
            if sha256(&content) != digest {
                return nothing(400);
            }
            state.blobs.insert(digest, content);
        }
        (None, None) => return nothing(400),
    }
    (201, format!("Location: {}\r\n", request.target), Vec::new())
}

fn sha256(octets: &[u8]) -> String {
    let digits: String = Sha256::digest(octets).iter().map(|octet| format!("{octet:02x}")).collect();
    format!("sha256:{digits}")
}
