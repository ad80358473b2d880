//! A host that speaks two minor versions: the real 0.1, and one that was made up (`tests/plugins/tomorrow`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::{Envelope, Mailbox, MessageId, Origin, ReversePath, SessionId, UnixMs};
use serde_json::{Value, json};

use super::{Version, offered};
use crate::worlds::World;
use crate::{
    Call, DataAnswer, Engine, EngineSettings, Generation, Grants, Hook, Instances, PluginSettings,
    RcptAnswer, SessionFacts, SessionNotes, Verdict,
};

/// A plugin for tests, as this build made it.
fn built(name: &str) -> PathBuf {
    let folder = std::env::var_os("BATON_PLUGIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"));
        target.join("wasm32-wasip2/plugin")
    });
    let path = folder.join(format!("baton_plugin_{name}.wasm"));
    assert!(path.exists(), "{} is missing: make guests", path.display());
    path
}

fn plugin(name: &str, file: &str, config: Value) -> PluginSettings {
    let kv = vec!["zoo".to_owned(), "shared/seen".to_owned()];
    let grants = Grants { kv, ..Grants::default() };
    PluginSettings { grants, config, ..PluginSettings::new(name, built(file)) }
}

fn tomorrow() -> PluginSettings {
    plugin("tomorrow", "tomorrow", json!({ "refused": "blocked.example" }))
}

struct Host {
    engine: Engine,
    world: World,
}

impl Host {
    fn new() -> Host {
        let settings = EngineSettings { concurrent_calls_max: 4, ..EngineSettings::default() };
        Host { engine: Engine::new(&settings).unwrap(), world: World::default() }
    }

    async fn load(&self, plugins: &[PluginSettings]) -> Result<Generation, String> {
        let capabilities = self.world.capabilities();
        let loaded = Generation::load(&self.engine, 1, plugins, &HashMap::new(), &capabilities).await;
        loaded.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    fn seen(&self) -> Option<String> {
        let seen = self.world.kv.value("shared/seen", "recipients");
        seen.map(|octets| String::from_utf8_lossy(&octets).into_owned())
    }
}

fn call_about(rcpt: &Mailbox) -> Call {
    let session = SessionFacts::new(SessionId(7), "relay".to_owned(), "192.0.2.1".parse().unwrap(), 4_000);
    let mut call = Call::new(Arc::new(session), SessionNotes::default());
    let (id, at) = (MessageId::first_at(UnixMs(1_000)), UnixMs(1_000));
    call.envelope = Envelope::new(id, at, Duration::from_secs(60), ReversePath::Null, Origin::internal());
    call.envelope.recipients.push(rcpt.clone().into());
    call
}

async fn ask(generation: &Generation, rcpt: &str) -> Verdict<RcptAnswer> {
    let rcpt = rcpt.parse().unwrap();
    let parameters = [("NOTIFY".to_owned(), Some("NEVER".to_owned()))];
    generation.rcpt(&mut call_about(&rcpt), &rcpt, &parameters).await
}

fn words(verdict: &Verdict<RcptAnswer>) -> String {
    format!("{:?} by {:?}", verdict.answer, verdict.by)
}

/// One chain: 0.2, 0.1, 0.2 again, with one store behind them.
#[tokio::test]
async fn plugins_of_two_versions_serve_side_by_side() {
    let host = Host::new();
    let zoo = plugin("zoo", "zoo", json!({ "rcpt": "count" }));
    let last = PluginSettings {
        name: "last".to_owned(),
        config: json!({ "refused": "late.example" }),
        ..tomorrow()
    };
    let generation = host.load(&[tomorrow(), zoo, last]).await.unwrap();
    let verdict = ask(&generation, "ann@us.example").await;
    assert_eq!(verdict.answer, RcptAnswer::Next, "{verdict:?}");
    assert_eq!(host.seen().as_deref(), Some("2"), "both plugins of 0.2 count in the bucket that they share");
    let verdict = ask(&generation, "ann@late.example").await;
    assert!(words(&verdict).contains("Tempfail") && words(&verdict).contains("last"), "{verdict:?}");
    let verdict = ask(&generation, "ann@us.example").await;
    assert!(
        words(&verdict).contains("call 3") && words(&verdict).contains("zoo"),
        "that of 0.1 counts too: {verdict:?}"
    );
    let verdict = ask(&generation, "ann@blocked.example").await;
    let expected = "recipient 6, of 192.0.2.1:4000, 1 parameters, init was given {\\\"refused\\\":\\\"blocked.example\\\"}";
    assert!(
        words(&verdict).contains(expected) && words(&verdict).contains("code: 450"),
        "translated, and from the snapshot: {verdict:?}"
    );
    let verdict = generation.data(&mut call_about(&"ann@us.example".parse().unwrap())).await;
    assert_eq!(verdict.answer, DataAnswer::Quarantine("for tomorrow".to_owned()));
}

#[tokio::test]
async fn instances_of_both_are_used_again() {
    let host = Host::new();
    let pooled = |mut plugin: PluginSettings| {
        plugin.run.instances = Instances::Pool;
        plugin
    };
    let zoo = plugin("zoo", "zoo", json!({ "rcpt": "next" }));
    let generation = host.load(&[pooled(tomorrow()), pooled(zoo)]).await.unwrap();
    for _ in 0..10 {
        assert_eq!(ask(&generation, "ann@us.example").await.answer, RcptAnswer::Next);
    }
    assert_eq!(host.engine.kept_instances(), 2);
    assert_eq!(host.seen().as_deref(), Some("10"));
}

#[tokio::test]
async fn problems_of_init_are_told_in_every_version() {
    let host = Host::new();
    let error = host.load(&[plugin("tomorrow", "tomorrow", json!({}))]).await.err().unwrap();
    assert_eq!(error, "plugins.tomorrow.config.refused: is missing");
}

/// The component with one text in the place of another of the same length.
fn patched(folder: &tempfile::TempDir, from: &str, to: &str) -> PluginSettings {
    let mut wasm = std::fs::read(built("tomorrow")).unwrap();
    let places: Vec<usize> = wasm
        .windows(from.len())
        .enumerate()
        .filter(|(_, at)| *at == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{from} does not occur");
    for at in places {
        wasm[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let path = folder.path().join("patched.wasm");
    std::fs::write(&path, wasm).unwrap();
    PluginSettings { source: path, ..tomorrow() }
}

#[tokio::test]
async fn a_version_that_there_is_not_is_named_with_those_that_there_are() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let later = patched(&folder, "baton:relay/rcpt-hook@0.2.0", "baton:relay/rcpt-hook@0.3.0");
    let error = host.load(&[later]).await.err().unwrap();
    assert!(
        error.contains(
            "was built for baton:relay/rcpt-hook@0.3.0, this relay offers version 0.1.0 and 0.2.0; rebuild"
        ),
        "{error}"
    );
    let mixed = patched(&folder, "baton:host/kv@0.2.0", "baton:host/kv@0.1.0");
    let error = host.load(&[mixed]).await.err().unwrap();
    assert!(
        error.contains("was built for baton:host/kv@0.1.0 and for baton:relay/")
            && error.contains("@0.2.0: a plugin speaks one version"),
        "{error}"
    );
}

/// What differs is looked up in the contract of the plugin's own version.
#[tokio::test]
async fn a_function_that_does_not_fit_is_named_in_its_version() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let error = host.load(&[patched(&folder, "may-retry", "can-retry")]).await.err().unwrap();
    assert!(
        error.contains("baton:host/kv@0.2.0")
            && error.contains("does not fit version 0.2.0")
            && error.contains("can-retry"),
        "{error}"
    );
}

#[test]
fn patch_versions_fit_and_others_do_not() {
    for fits in ["0.1.0", "0.1.7"] {
        assert_eq!(Version::of(fits), Some(Version::V0_1), "{fits}");
    }
    assert_eq!(Version::of("0.2.3"), Some(Version::Tomorrow));
    for other in ["", "0.3.0", "1.0.0", "0.1", "0.10.0"] {
        assert_eq!(Version::of(other), None, "{other}");
    }
    assert_eq!(offered(), "0.1.0 and 0.2.0");
    assert!(Hook::from_interface("rcpt-hook").is_some(), "hooks have the same names in all versions");
}
