//! From a file to the component that calls start from: tested, as it stands after init, compiled, tried.

use std::sync::Arc;

use wasmtime::component::Component;

use super::artefact::Artefact;
use super::error::LoadError;
use super::self_test::{self, Tested};
use super::snapshot::{self, Snapshot};
use super::trial::{Linked, initialise, instantiate, link};
use crate::PluginSettings;
use crate::engine::{Digest, Engine};
use crate::manifest::Manifest;
use crate::plugin::Terms;
use crate::run::describe;

/// Where the calls of a plugin start.
#[derive(Clone)]
pub(crate) enum Start {
    /// As mail is served: after its self-tests, from a snapshot where there can be one. Kept for later loads and runs.
    Served,
    /// From what is in the file, which reads its settings at each call.
    File,
    /// From this compiled form of the file, likewise.
    Plain(Component),
    /// From a snapshot; where there can be none, from this compiled form of the file.
    Snapshot(Component),
}

impl Start {
    /// How an engine starts the plugins of settings.
    pub(super) fn of(engine: &Engine) -> Start {
        if engine.takes_snapshots() { Start::Served } else { Start::File }
    }
}

/// What a component is made from.
pub(super) struct Making<'a> {
    pub(super) engine: &'a Engine,
    pub(super) settings: &'a PluginSettings,
    pub(super) terms: &'a Arc<Terms>,
    pub(super) artefact: &'a Artefact,
}

impl Making<'_> {
    /// The component, and what it is remembered by.
    pub(super) async fn component(&self, start: &Start) -> Result<(Digest, Linked), Vec<LoadError>> {
        let Artefact { digest, wasm, .. } = self.artefact;
        let linked = match start {
            Start::Served => return self.served().await,
            Start::File => self.plainly(*digest, Arc::clone(wasm)).await,
            Start::Plain(component) => self.given(component).await,
            Start::Snapshot(component) => self.snapshot_or(component).await,
        };
        linked.map(|linked| (*digest, linked))
    }

    /// The component of an earlier load or of an earlier run, or a new one.
    async fn served(&self) -> Result<(Digest, Linked), Vec<LoadError>> {
        let Making { engine, settings, artefact, .. } = *self;
        let tested = self_test::run(engine, settings, artefact).await?;
        let kind = if tested == Tested::Fit { snapshot::Kind::Snapshot } else { snapshot::Kind::Plain };
        let key = snapshot::key(kind, &artefact.digest, &self.terms.config_json);
        if let Tested::WithoutSnapshot(reason) = &tested {
            self.tell_plain(reason);
        }
        if let Some(component) = engine.compiled(&key) {
            let linked = link(engine, settings, self.manifest(), &component)?;
            return Ok((key, linked));
        }
        if let Some(component) = blocking(engine, move |engine| engine.revive(&key)).await.flatten() {
            match self.try_out(&component).await {
                Ok(linked) => return Ok((key, linked)),
                Err(_) => engine.forget(&key),
            }
        }
        vet(engine, settings, artefact).await?;
        let linked = match tested {
            Tested::Fit => self.anew(key).await?,
            Tested::WithoutSnapshot(_) => self.plainly(key, Arc::clone(&artefact.wasm)).await?,
        };
        let component = linked.code.component.component().clone();
        blocking(engine, move |engine| engine.keep(&key, &component)).await;
        Ok((key, linked))
    }

    /// A snapshot, or where there can be none what is in the file.
    async fn anew(&self, key: Digest) -> Result<Linked, Vec<LoadError>> {
        let reason = match self.take_snapshot().await? {
            Snapshot::Taken(taken) => match self.use_snapshot(key, taken).await {
                Ok(linked) => return Ok(linked),
                Err(reason) => reason,
            },
            Snapshot::NotPossible(reason) => reason,
        };
        let linked = self.plainly(key, Arc::clone(&self.artefact.wasm)).await?;
        self.tell_plain(&reason);
        Ok(linked)
    }

    /// The component as it is in its file; init has accepted the settings.
    async fn plainly(&self, key: Digest, wasm: Arc<Vec<u8>>) -> Result<Linked, Vec<LoadError>> {
        let compiled = compile(self.engine, key, wasm).await;
        let component =
            compiled.map_err(|error| vec![LoadError::compile(self.settings, describe(&error))])?;
        self.given(&component).await
    }

    /// A component that reads its settings at each call; init has accepted them.
    async fn given(&self, component: &Component) -> Result<Linked, Vec<LoadError>> {
        let linked = link(self.engine, self.settings, self.manifest(), component)?;
        initialise(self.engine, self.settings, self.terms, &linked).await?;
        Ok(linked)
    }

    /// A snapshot that nothing is said about when there is none.
    async fn snapshot_or(&self, component: &Component) -> Result<Linked, Vec<LoadError>> {
        let Snapshot::Taken(taken) = self.take_snapshot().await? else { return self.given(component).await };
        let key = snapshot::key(snapshot::Kind::Snapshot, &self.artefact.digest, &self.terms.config_json);
        match self.use_snapshot(key, taken).await {
            Ok(linked) => Ok(linked),
            Err(_) => self.given(component).await,
        }
    }

    async fn take_snapshot(&self) -> Result<Snapshot, Vec<LoadError>> {
        snapshot::take(self.engine, self.settings, self.terms, self.artefact).await
    }

    /// Compiles a snapshot, and sees that it can be used.
    async fn use_snapshot(&self, key: Digest, snapshot: Vec<u8>) -> Result<Linked, String> {
        let component =
            compile(self.engine, key, Arc::new(snapshot)).await.map_err(|error| describe(&error))?;
        self.try_out(&component).await.map_err(|errors| {
            self.engine.forget(&key);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })
    }

    /// Links a component that has init behind it, and makes one instance of it.
    async fn try_out(&self, component: &Component) -> Result<Linked, Vec<LoadError>> {
        let linked = link(self.engine, self.settings, self.manifest(), component)?;
        instantiate(self.engine, self.settings, self.terms, &linked).await?;
        Ok(linked)
    }

    fn tell_plain(&self, reason: &str) {
        tracing::warn!(target: "hooks", plugin = %self.terms.label, reason, "no snapshot after init: the plugin reads its settings at each call");
    }

    fn manifest(&self) -> Option<&Manifest> {
        self.artefact.manifest.as_ref()
    }
}

/// Does work that blocks on a thread that may; nothing when it panics, or when the relay is shutting down.
pub(super) async fn blocking<T: Send + 'static>(
    engine: &Engine,
    work: impl FnOnce(&Engine) -> T + Send + 'static,
) -> Option<T> {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || work(&engine)).await.ok()
}

/// Sees that the file can be compiled within its bounds, before it is compiled here.
pub(super) async fn vet(
    engine: &Engine,
    settings: &PluginSettings,
    artefact: &Artefact,
) -> Result<(), Vec<LoadError>> {
    let (digest, wasm) = (artefact.digest, Arc::clone(&artefact.wasm));
    let vetted = blocking(engine, move |engine| engine.vet(&digest, &wasm)).await;
    let interrupted = || vec![LoadError::Interrupted { detail: "compiling was interrupted".to_owned() }];
    vetted.ok_or_else(interrupted)?.map_err(|error| vec![LoadError::compile(settings, error.to_string())])
}

/// Compiles on a thread that may block; remembers the result under that key.
pub(super) async fn compile(engine: &Engine, key: Digest, wasm: Arc<Vec<u8>>) -> wasmtime::Result<Component> {
    let engine = engine.clone();
    let joined = tokio::task::spawn_blocking(move || engine.compile(&key, &wasm)).await;
    joined.unwrap_or_else(|error| Err(wasmtime::Error::msg(error.to_string())))
}
