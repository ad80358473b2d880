//! What an artefact brings along: manifest, pin, signature; and what becomes of grants with two sides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use baton_hooks::manifest::Manifest;
use baton_hooks::trust::{SecretKey, Trust, TrustedKey, signature_path};
use baton_hooks::{EditGrant, Grants, Hook, PluginSettings};
use serde_json::json;

use crate::support::{Host, ask, call_at, everywhere, zoo, zoo_path};

/// The zoo with that manifest.
pub(crate) fn packed(
    folder: &tempfile::TempDir,
    manifest: &Manifest,
    settings: PluginSettings,
) -> PluginSettings {
    let path = folder.path().join("packed.wasm");
    std::fs::write(&path, manifest.embed(&std::fs::read(zoo_path()).unwrap()).unwrap()).unwrap();
    PluginSettings { source: path, ..settings }
}

pub(crate) fn asking(requests: Grants) -> Manifest {
    Manifest { name: "zoo".to_owned(), version: "1.2.3".to_owned(), requests, ..Manifest::default() }
}

#[tokio::test]
async fn in_force_is_what_is_granted_and_asked_for() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let manifest = asking(Grants {
        edit: vec![EditGrant::Headers],
        route: vec!["host:*.example".to_owned()],
        kv: vec!["zoo".to_owned(), "more".to_owned()],
        ..Grants::default()
    });
    let generation = host.load(&[packed(&folder, &manifest, zoo(everywhere("next")))]).await;
    let info = generation.plugins().remove(0);
    assert_eq!(info.version.as_deref(), Some("1.2.3"));
    let in_force = Grants { kv: vec!["zoo".to_owned()], ..manifest.requests.clone() };
    assert_eq!((info.grants, info.asked), (in_force, manifest.requests.clone()));
    let told: Vec<String> = info.advice.iter().map(ToString::to_string).collect();
    for (key, part) in [
        ("plugins.zoo.grants.edit", "\"recipients\" is granted, but packed.wasm does not ask for it"),
        ("plugins.zoo.grants.edit", "\"sender\" is granted"),
        ("plugins.zoo.grants.relay", "true is granted, but packed.wasm does not ask for it"),
        ("plugins.zoo.grants.edit", "\"body\" is granted"),
        ("plugins.zoo.grants.dns", "true is granted"),
        ("plugins.zoo.grants.http", "\"http://api.example/v1/\" is granted"),
        ("plugins.zoo.grants.verify", "true is granted"),
        ("plugins.zoo.grants.kv", "asks for \"more\", which is not granted"),
    ] {
        assert!(
            told.iter().any(|line| line.starts_with(key) && line.contains(part)),
            "{key} {part}: {told:#?}"
        );
    }
    assert_eq!(told.len(), 8, "{told:#?}");
}

#[tokio::test]
async fn what_was_not_asked_for_is_refused_in_the_call() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let counting = zoo(json!({ "rcpt": "count" }));
    let with = asking(Grants { kv: vec!["zoo".to_owned()], ..Grants::default() });
    let generation = host.load(&[packed(&folder, &with, counting.clone())]).await;
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await, "Next", "it counts");
    let generation = host.load(&[packed(&folder, &asking(Grants::default()), counting)]).await;
    let answer = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert!(answer.contains("no bucket"), "{answer}");
}

#[tokio::test]
async fn without_a_manifest_imports_count_as_requests() {
    let host = Host::new();
    let bare = PluginSettings { grants: Grants::default(), ..zoo(everywhere("next")) };
    let info = host.load(&[bare]).await.plugins().remove(0);
    assert!(info.asked.dns && info.asked.kv == ["*"] && info.asked.route == ["*"], "{:?}", info.asked);
    assert_eq!(info.grants, Grants::default());
    let told: Vec<&str> = info.advice.iter().map(|advice| advice.key.as_str()).collect();
    assert_eq!(
        told,
        ["route", "kv", "dns", "http", "verify"].map(|grant| format!("plugins.zoo.grants.{grant}"))
    );
    let granted = host.load(&[zoo(everywhere("next"))]).await.plugins().remove(0);
    let told: Vec<&str> = granted.advice.iter().map(|advice| advice.key.as_str()).collect();
    assert_eq!(told, Vec::<&str>::new(), "it imports all that it is granted");
    assert_eq!(granted.grants, zoo(json!({})).grants);
}

#[tokio::test]
async fn the_hooks_of_a_manifest_are_checked_and_kept_to() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest { hooks: Some(vec![Hook::Rcpt, Hook::Data]), ..asking(Grants::default()) };
    let bare = PluginSettings { grants: Grants::default(), ..zoo(everywhere("next")) };
    let info = host.load(&[packed(&folder, &manifest, bare.clone())]).await.plugins().remove(0);
    assert_eq!(info.hooks, [Hook::Rcpt, Hook::Data], "although the component exports them all");
    let wanting = PluginSettings { hooks: Some(vec![Hook::Route]), ..bare };
    let errors = host.errors(&[packed(&folder, &manifest, wanting)], &HashMap::new()).await;
    assert!(
        errors.len() == 1
            && errors[0].starts_with("plugins.zoo.hooks")
            && errors[0].contains("it serves rcpt, data"),
        "{errors:?}"
    );
}

#[tokio::test]
async fn a_manifest_that_promises_too_much_is_an_error() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one-hook.wasm");
    // The same component with one of its hooks under a name that it should not have.
    let manifest = Manifest { hooks: Some(vec![Hook::Data]), ..asking(Grants::default()) };
    let mut wasm = manifest.embed(&std::fs::read(zoo_path()).unwrap()).unwrap();
    let (from, to) = (b"baton:relay/data-hook@0.1.0", b"baton:rilay/data-hook@0.1.0");
    for at in 0..wasm.len() - from.len() {
        if &wasm[at..at + from.len()] == from {
            wasm[at..at + from.len()].copy_from_slice(to);
        }
    }
    std::fs::write(&path, wasm).unwrap();
    let plugin = PluginSettings { source: path, ..zoo(json!({})) };
    let errors = host.errors(&[plugin], &HashMap::new()).await;
    assert!(
        errors.len() == 1
            && errors[0].contains("names the hook data")
            && errors[0].contains("baton:relay/data-hook"),
        "{errors:?}"
    );
}

#[tokio::test]
async fn suggested_limits_are_told_when_the_settings_are_below() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let limits = [("cpu_ms", 5_000), ("handles_max", 1), ("of_another_relay", 7)];
    let limits: BTreeMap<String, u64> = limits.map(|(name, value)| (name.to_owned(), value)).into();
    let manifest = Manifest { limits, ..asking(zoo(json!({})).grants) };
    let info = host.load(&[packed(&folder, &manifest, zoo(json!({})))]).await.plugins().remove(0);
    let told: Vec<String> = info.advice.iter().map(ToString::to_string).collect();
    assert!(
        told.len() == 1
            && told[0].starts_with("plugins.zoo.limits.cpu_ms: is 100")
            && told[0].contains("5000"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_pinned_file_must_be_that_file() {
    let host = Host::new();
    let pinned = PluginSettings { sha256: Some([7; 32]), ..zoo(json!({})) };
    let errors = host.errors(std::slice::from_ref(&pinned), &HashMap::new()).await;
    assert!(errors.len() == 1 && errors[0].starts_with("plugins.zoo.sha256: "), "{errors:?}");
    let found = errors[0].split("SHA-256 is ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let digest: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&found[2 * at..2 * at + 2], 16).unwrap()).collect();
    let right = PluginSettings { sha256: digest.try_into().ok(), ..pinned };
    assert!(host.errors(&[right], &HashMap::new()).await.is_empty());
}

#[tokio::test]
async fn a_signature_is_asked_for_where_it_is_required() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signed.wasm");
    std::fs::copy(zoo_path(), &path).unwrap();
    let key = SecretKey::generate().unwrap();
    let keys: Arc<[TrustedKey]> = [TrustedKey { name: "release".to_owned(), public: key.public() }].into();
    let plugin = |required: bool| PluginSettings {
        source: path.clone(),
        trust: Trust { keys: Arc::clone(&keys), required },
        ..zoo(everywhere("next"))
    };
    let told = async |required: bool| host.errors(&[plugin(required)], &HashMap::new()).await.join("\n");
    assert!(told(true).await.starts_with("plugins.zoo.source: "), "{}", told(true).await);
    assert!(told(true).await.contains("it is not signed"), "{}", told(true).await);
    assert_eq!(told(false).await, "");
    std::fs::write(signature_path(&path), key.sign(&std::fs::read(&path).unwrap()).to_string()).unwrap();
    let generation = host.load(&[plugin(true)]).await;
    assert_eq!(generation.plugins()[0].signer.as_deref(), Some("release"));
    // Another file under the signature: refused at the next load, whatever runs.
    let other = asking(Grants::default()).embed(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::write(&path, other).unwrap();
    assert!(told(false).await.contains("it is not the file that was signed"), "{}", told(false).await);
}
