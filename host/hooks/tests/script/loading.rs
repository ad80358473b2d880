//! What a script is told when it does not load.

use std::path::Path;

use baton_hooks::{EditGrant, Grants, Hook, PluginSettings};

use crate::support::{Stage, ask, call_at};

#[tokio::test]
async fn mistakes_have_their_place() {
    let stage = Stage::new();
    let cases = [
        ("export function onRcpt() {\n  return next(;\n}", "policy.js:2:15: SyntaxError"),
        (
            "const a = 1;\nconst b = missing.x;\nexport function onRcpt() { return next(); }",
            "policy.js:2:11: ReferenceError",
        ),
        ("export function onRcpt() {}\n\nthrow new Error('not today')", "policy.js:3:"),
        ("export function onRecpt() {}", "onRecpt is not a hook; the hooks are onConnect"),
        ("export const onRcpt = 5;", "onRcpt is exported, but is no function"),
        ("const x = 1;", "exports no hook"),
        ("import fs from 'fs';\nexport function onRcpt() {}", "fs"),
        ("await new Promise(() => {});\nexport function onRcpt() {}", "nothing here is asynchronous"),
        (
            "throw new ConfigError('limits.max', 'must be a number')",
            "plugins.policy.config.limits.max: must be a number",
        ),
        ("kv('rate').get('x');\nexport function onRcpt() {}", "not available while loading"),
        ("while (true);", "init failed (cpu-budget)"),
    ];
    for (text, wanted) in cases {
        let error = stage.trouble("policy.js", text).await;
        assert!(error.contains(wanted), "{text}\n-> {error}\nwanted {wanted}");
    }
}

#[tokio::test]
async fn a_hook_that_is_asked_for_must_be_there() {
    let stage = Stage::new();
    let script = stage.script("policy.js", "export function onRcpt() { return next(); }");
    let error =
        stage.try_load(PluginSettings { hooks: Some(vec![Hook::Data]), ..script }).await.err().unwrap();
    assert!(error.contains("defines no data hook (it defines rcpt)") && error.contains("onData"), "{error}");
}

#[tokio::test]
async fn hooks_that_are_not_defined_are_not_asked() {
    let generation = Stage::new().load("export function onRcpt() { return next(); }").await;
    assert!(generation.has(Hook::Rcpt) && !generation.has(Hook::Data));
}

#[tokio::test]
async fn typescript_keeps_its_lines_and_columns() {
    let stage = Stage::new();
    let text = "interface Limits {\n  max: number;\n}\nconst limits: Limits = { max: 1 as number };\n\
        export function onRcpt(rcpt: Address): RcptDecision {\n  const n: any = undefined;  return n.x satisfies unknown;\n}\n";
    let generation = stage.try_load(stage.script("policy.ts", text)).await.unwrap();
    let (answer, _) = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert!(answer.contains("failed"), "{answer}");
    let error = stage
        .trouble("policy.ts", "const a: string = 'x';\nenum Kind { A }\nexport function onRcpt() {}")
        .await;
    assert!(error.contains("policy.ts:2:1: "), "{error}");
    let error = stage.trouble("policy.ts", "const a: = 5;").await;
    assert!(error.contains("policy.ts:1:10: "), "{error}");
}

#[tokio::test]
async fn the_vectors_of_all_languages_pass() {
    let stage = Stage::new();
    let settings =
        stage.script("guard.js", include_str!("../../../../sdk/script/example/attachment-guard.js"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plugins/vectors");
    let cases = baton_hooks::cases::read_file(&folder.join("cases.toml")).unwrap();
    let grants =
        Grants { edit: vec![EditGrant::Headers], kv: vec!["attachments".to_owned()], ..Grants::default() };
    let settings = PluginSettings { grants, ..settings };
    for report in baton_hooks::cases::run(&stage.engine, &settings, &cases).await {
        assert!(report.passed(), "{}: {:#?}", report.name, report.mismatches());
    }
}
