//! The types for editors, and the functions that there are.

use std::collections::BTreeSet;

use baton_hooks::Hook;

use crate::support::Stage;

const TYPES: &str = include_str!("../../../../sdk/script/baton.d.ts");

/// Globals of the language that the types need not tell, because every editor knows them.
const OF_THE_LANGUAGE: [&str; 1] = ["Date"];

#[tokio::test]
async fn types_and_interpreter_name_the_same() {
    let declared: BTreeSet<&str> = TYPES
        .lines()
        .filter_map(|line| line.strip_prefix("declare "))
        .filter_map(|rest| rest.split_once(' ').map(|(_, name)| name))
        .filter_map(|name| name.split(|character: char| !character.is_alphanumeric()).next())
        .collect();
    let listed: Vec<String> = declared.iter().map(|name| format!("\"{name}\"")).collect();
    let script = format!(
        "export function onRcpt() {{ const missing = [{}].filter((name) => !(name in globalThis)); return reject(`missing: ${{missing}}`); }}",
        listed.join(", ")
    );
    assert_eq!(Stage::new().decide(Hook::Rcpt, &script).await, "reject 550 5.7.1 missing:");
    let prelude = include_str!("../../../../sdk/script/prelude.js");
    let globals = prelude.split_once("const globals = {").unwrap().1.split_once("};").unwrap().0;
    for name in globals
        .split(',')
        .filter_map(|entry| entry.trim().split(':').next())
        .filter(|name| name.chars().all(char::is_alphanumeric))
    {
        let is_known = name.is_empty()
            || declared.contains(name)
            || OF_THE_LANGUAGE.contains(&name)
            || name == "Function";
        assert!(is_known, "{name} is not in baton.d.ts");
    }
}

#[tokio::test]
async fn members_that_the_types_name_are_there() {
    let stage = Stage::new();
    let mut missing = Vec::new();
    for (object, members) in objects() {
        let listed: Vec<String> = members.iter().map(|name| format!("\"{name}\"")).collect();
        let script = format!(
            "export function onRcpt() {{ const missing = [{}].filter((name) => !(name in {object})); return missing.length ? reject(missing.join()) : accept(); }}",
            listed.join(", ")
        );
        let answer = stage.decide(Hook::Rcpt, &script).await;
        if answer != "accept" {
            missing.push(format!("{object}: {answer}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The members of each `declare const NAME: { … }`.
fn objects() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut objects: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut is_inside = false;
    for line in TYPES.lines() {
        if let Some(name) = line.strip_prefix("declare const ").and_then(|rest| rest.strip_suffix(": {")) {
            objects.push((name, Vec::new()));
            is_inside = true;
        } else if line.starts_with('}') {
            is_inside = false;
        } else if let (true, Some((_, members))) = (is_inside, objects.last_mut()) {
            let line = line.trim().trim_start_matches("readonly ");
            let name = line.split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default();
            members.extend(Some(name).filter(|name| !name.is_empty()));
        }
    }
    assert!(objects.len() > 8, "the types are not read as they are written");
    objects
}
