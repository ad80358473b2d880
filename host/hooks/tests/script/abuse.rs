//! Scripts that fail, and scripts that want to leave something behind.

use baton_hooks::{Hook, PluginSettings};

use crate::support::{Stage, ask, call_at};

#[tokio::test]
async fn whatever_a_script_does_its_policy_answers() {
    let stage = Stage::new();
    let cases = [
        ("while (true);", "cpu-budget"),
        ("const kept = []; while (true) kept.push('x'.repeat(1 << 20) + kept.length);", "memory"),
        ("/^(a+)+$/.test('a'.repeat(40) + 'b')", "cpu-budget"),
        ("const deep = () => deep() + 1; deep();", "trap"),
        ("let x = 'a'; for (let i = 0; i < 5000; i++) x = '(' + x + ')'; new RegExp(x)", "trap"),
        ("throw new Error('oops')", "trap"),
        ("let o = {}; for (let i = 0; i < 100000; i++) o = { o }; JSON.stringify(o)", "trap"),
        ("throw 7", "trap"),
        ("return 7", "bad-verdict"),
        ("return", "bad-verdict"),
        ("return quarantine()", "bad-verdict"),
        ("return next", "bad-verdict"),
        ("return Promise.resolve(next())", "bad-verdict"),
        ("return reject(450, 'no')", "trap"),
        ("message.setHeader('A', 'b')", "trap"),
    ];
    for (body, kind) in cases {
        let answer = stage.decide(Hook::Rcpt, &format!("export function onRcpt() {{ {body} }}")).await;
        assert!(answer.starts_with(&format!("failed ({kind})")), "{body}\n-> {answer}");
    }
}

#[tokio::test]
async fn deep_recursion_is_an_error_that_a_script_can_catch() {
    let stage = Stage::new();
    for deep in [
        "const deep = () => deep() + 1;",
        "const deep = () => [1].map(deep);",
        "const deep = () => 'a'.replace('a', deep);",
        "const deep = () => `${{ toString: deep }}`;",
        "class A { get x() { return new A().x; } } const deep = () => new A().x;",
        "const deep = () => new Proxy({}, { get: () => deep().x }).x;",
        "const deep = () => { let o = {}; for (let i = 0; i < 100000; i++) o = { o }; return JSON.stringify(o); };",
        "const deep = () => { let o = []; for (let i = 0; i < 100000; i++) o = [o]; return JSON.stringify(o, null, 1); };",
        "const deep = () => { let o = {}; for (let i = 0; i < 5000; i++) { const inner = o; o = { toJSON: () => ({ inner }) }; } return JSON.stringify(o); };",
        "const deep = () => JSON.parse('['.repeat(50000) + ']'.repeat(50000));",
        "const deep = () => JSON.parse('['.repeat(50000) + ']'.repeat(50000), (key, value) => value);",
        "const deep = () => { let o = []; for (let i = 0; i < 100000; i++) o = [o]; return o.flat(Infinity); };",
        "const deep = () => { let o = []; for (let i = 0; i < 100000; i++) o = [o]; return `${o}`; };",
    ] {
        let script = format!(
            "export function onRcpt() {{ {deep} try {{ deep(); }} catch (error) {{ return reject(`${{error.name}}`); }} return next(); }}"
        );
        let answer = stage.decide(Hook::Rcpt, &script).await;
        assert!(
            ["reject 550 5.7.1 RangeError", "reject 550 5.7.1 InternalError", "reject 550 5.7.1 SyntaxError"]
                .contains(&answer.as_str()),
            "{deep}\n-> {answer}"
        );
    }
}

/// What people write goes as deep as before.
#[tokio::test]
async fn ordinary_recursion_has_room() {
    let stage = Stage::new();
    for deep in [
        "const down = (n) => n === 0 ? 0 : 1 + down(n - 1); down(100);",
        "let o = {}; for (let i = 0; i < 200; i++) o = { o }; JSON.parse(JSON.stringify(o));",
        "let o = []; for (let i = 0; i < 30; i++) o = [o]; `${o}`; o.flat(Infinity);",
    ] {
        let answer = stage
            .decide(Hook::Rcpt, &format!("export function onRcpt() {{ {deep} return accept(); }}"))
            .await;
        assert_eq!(answer, "accept", "{deep}");
    }
}

#[tokio::test]
async fn a_call_leaves_nothing_behind() {
    let stage = Stage::new();
    let generation = stage
        .load("const seen = []; export function onRcpt() { globalThis.count = (globalThis.count ?? 0) + 1; seen.push(1); return reject(`${count} ${seen.length}`); }")
        .await;
    for _ in 0..2 {
        for _ in 0..3 {
            let (answer, _) = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
            assert_eq!(answer, "reject 550 5.7.1 1 1");
        }
        generation.settled().await;
    }
}

#[tokio::test]
async fn each_call_draws_its_own_numbers() {
    let stage = Stage::new();
    let generation = stage.load("export function onRcpt() { return reject(`${Math.random()}`); }").await;
    generation.settled().await;
    let (first, _) = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    let (second, _) = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn built_in_objects_can_not_be_changed() {
    let stage = Stage::new();
    let attempts = [
        "Object.prototype.evil = 1",
        "Array.prototype.map = null",
        "String.prototype.replace = null",
        "Math.random = null",
        "JSON.parse = null",
        "next = null",
        "session.remoteIp = 1",
        "delete Object.prototype.toString",
        "Object.prototype.toString = 1",
        "Function.prototype.call = null",
        "Object.setPrototypeOf(Array.prototype, {})",
        "Promise.prototype.then = null",
        "Object.getPrototypeOf(function* () {}).evil = 1",
        "config.name = 2",
        "eval('1')",
        "Function('1')()",
        "(() => {}).constructor('return 1')()",
        "Object.getPrototypeOf(async () => {}).constructor('1')",
    ];
    for attempt in attempts {
        let script = format!(
            "export function onRcpt() {{ try {{ {attempt}; }} catch (error) {{ return accept(); }} return reject('changed'); }}"
        );
        assert_eq!(stage.decide(Hook::Rcpt, &script).await, "accept", "{attempt}");
    }
    let usual = "class Mine extends Error { constructor(text) { super(text); this.name = 'Mine'; } } const error = new Mine('x'); \
        const plain = {}; plain.toString = () => 'p'; plain.constructor = 1; return reject(`${error} ${plain} ${Object.keys(plain)}`);";
    let answer = stage.decide(Hook::Rcpt, &format!("export function onRcpt() {{ {usual} }}")).await;
    assert_eq!(answer, "reject 550 5.7.1 Mine: x p toString,constructor");
}

#[tokio::test]
async fn a_failure_tells_line_column_and_stack() {
    let stage = Stage::new();
    let text = "function check(rcpt) {\n  return rcpt.missing.length;\n}\nexport function onRcpt(rcpt) {\n  return check(rcpt) ? next() : accept();\n}";
    let cases = baton_hooks::cases::read_value(
        "test",
        serde_json::json!({ "case": [{ "name": "x", "hook": "rcpt", "envelope": { "recipients": ["a@x.example"] }, "expect": { "failure": "trap" } }] }),
        None,
    );
    let settings = PluginSettings { grants: Default::default(), ..stage.script("policy.js", text) };
    let reports = baton_hooks::cases::run(&stage.engine, &settings, &cases.unwrap()).await;
    let told = format!("{:?}", reports[0].steps[0]);
    assert!(told.contains("policy.js:2:22: TypeError: ") || told.contains("policy.js:2:"), "{told}");
    assert!(told.contains("at check ") && told.contains("at onRcpt "), "{told}");
}
