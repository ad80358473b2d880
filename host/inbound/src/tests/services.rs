//! A plugin host whose services give no answer: these tests are about what the relay makes of verdicts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use baton_hooks::{
    Capabilities, DnsAnswer, DnsBackend, DnsError, EditGrant, Engine, EngineSettings, Generation, Grants,
    KvBackend, KvError, Limits, OnFailure, Page, PluginSettings, Taken,
};
use baton_mail::SystemClock;
use futures_util::future::{BoxFuture, FutureExt, ready};

/// The zoo, a component that does at each hook what its config names; with all grants, or with none.
pub(super) async fn zoo(config: serde_json::Value, granted: bool) -> Generation {
    let grants = Grants {
        edit: vec![EditGrant::Headers, EditGrant::Recipients, EditGrant::Sender],
        relay: true,
        ..Grants::default()
    };
    let plugin = PluginSettings {
        name: "zoo".to_owned(),
        source: zoo_path(),
        hooks: None,
        on_failure: OnFailure::Tempfail,
        // Far enough for a loaded machine.
        limits: Limits { cpu_ms: 1_000, wall_ms: 20_000, ..Limits::default() },
        grants: if granted { grants } else { Grants::default() },
        config,
    };
    let engine =
        Engine::new(&EngineSettings { concurrent_calls_max: 16, ..EngineSettings::default() }).unwrap();
    let capabilities = Capabilities {
        kv: Arc::new(Silent),
        dns: Arc::new(Silent),
        clock: Arc::new(SystemClock),
        metrics: Arc::default(),
    };
    match Generation::load(&engine, 1, &[plugin], &HashMap::new(), &capabilities).await {
        Ok(generation) => generation,
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// Fails, and says what to do, when the component was not built.
fn zoo_path() -> PathBuf {
    let folder = std::env::var_os("BATON_PLUGIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"));
        target.join("wasm32-wasip2/plugin")
    });
    let path = folder.join("baton_plugin_zoo.wasm");
    let remedy = "build it: cargo build --profile plugin --target wasm32-wasip2 -p baton-plugin-zoo";
    assert!(path.exists(), "{} is missing; {remedy}", path.display());
    path
}

struct Silent;

fn no_store<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, KvError>> {
    ready(Err(KvError::Unavailable("no store in this test".to_owned()))).boxed()
}

impl KvBackend for Silent {
    fn get<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, KvError>> {
        no_store()
    }

    fn set<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Vec<u8>,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        no_store()
    }

    fn set_if_absent<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Vec<u8>,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, KvError>> {
        no_store()
    }

    fn compare_and_set<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<Vec<u8>>,
        _: Option<Vec<u8>>,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, KvError>> {
        no_store()
    }

    fn delete<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        no_store()
    }

    fn increment<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: i64,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<i64, KvError>> {
        no_store()
    }

    fn take<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: u32,
        _: u32,
        _: u64,
    ) -> BoxFuture<'a, Result<Taken, KvError>> {
        no_store()
    }

    fn scan<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<String>,
        _: u32,
    ) -> BoxFuture<'a, Result<Page, KvError>> {
        no_store()
    }
}

impl DnsBackend for Silent {
    fn lookup<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, Result<DnsAnswer, DnsError>> {
        ready(Err(DnsError::Timeout)).boxed()
    }

    fn reverse_name(&self, _: IpAddr) -> BoxFuture<'_, Option<String>> {
        ready(None).boxed()
    }
}
