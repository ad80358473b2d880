//! `baton policy run`: the hooks of a script, one after the other, on one mail.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use baton_hooks::cases::{self, StepReport};
use serde_json::{Value, json};

use super::{config, engine, hooks, load, settings, without_key};
use crate::cli::policy::RunScript;
use crate::commands::write_out;

/// Hooks that a mail meets on its way when all goes well.
const USUAL: [&str; 4] = ["connect", "rcpt", "data", "route"];

pub(super) async fn run(options: RunScript) -> anyhow::Result<()> {
    let engine = engine()?;
    let settings = settings(&options.file, &config(&options.config)?);
    let told = |errors: Vec<baton_hooks::LoadError>| {
        anyhow!(errors.iter().map(without_key).collect::<Vec<_>>().join("\n"))
    };
    let generation = load(&engine, &settings).await.map_err(told)?;
    let defined = hooks(&generation);
    let wanted: Vec<String> = match options.hook.as_slice() {
        [] => USUAL.into_iter().filter(|hook| defined.contains(hook)).map(str::to_owned).collect(),
        named => named.to_vec(),
    };
    if let Some(missing) = wanted.iter().find(|hook| !defined.contains(&hook.as_str())) {
        return Err(anyhow!("the script has no {missing} hook; it has {}", defined.join(", ")));
    }
    if wanted.is_empty() {
        return Err(anyhow!("the script has only {}; name one by --hook", defined.join(", ")));
    }
    generation.settled().await;
    let (steps, labels) = steps(&options, &wanted, &settings.config)?;
    let cases = cases::read_value("the options", steps, Some(Path::new("/")))?;
    let reports = cases::run(&engine, &settings, &cases).await;
    let taken = reports.iter().flat_map(|report| &report.steps).zip(&labels);
    if options.json {
        let all: Vec<Value> = taken.map(|(step, label)| as_json(step, label)).collect();
        return write_out(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    write_out(&taken.map(|(step, label)| shown(step, label)).collect::<String>())
}

/// The calls as one case with steps, in one world: what the store holds after one hook, the next one finds.
fn steps(options: &RunScript, hooks: &[String], config: &Value) -> anyhow::Result<(Value, Vec<String>)> {
    let mail: PathBuf =
        options.mail.canonicalize().with_context(|| format!("read {}", options.mail.display()))?;
    let (mut calls, mut labels) = (Vec::new(), Vec::new());
    for hook in hooks {
        let is_per_recipient = ["rcpt", "route", "bounce"].contains(&hook.as_str());
        let recipients = if is_per_recipient { options.rcpt.as_slice() } else { &[] };
        for index in 0..recipients.len().max(1) {
            let rcpt = recipients.get(index);
            labels.push(rcpt.map_or(hook.clone(), |rcpt| format!("{hook} {rcpt}")));
            calls.push(call(options, hook, index, &mail, config));
        }
    }
    let mut first = calls.remove(0);
    if let Some(first) = first.as_object_mut() {
        first.insert("step".to_owned(), calls.into());
    }
    Ok((json!({ "case": [first] }), labels))
}

fn call(options: &RunScript, hook: &str, rcpt: usize, mail: &Path, config: &Value) -> Value {
    // A client has named the recipients up to the one at hand, and all of them when the content is there.
    let known = if hook == "rcpt" { rcpt + 1 } else { options.rcpt.len() };
    let mut call = json!({
        "name": options.file.display().to_string(),
        "hook": hook,
        "config": config,
        "session": { "ip": options.ip, "helo": options.helo, "account": options.account },
        "envelope": { "sender": options.sender, "recipients": options.rcpt.get(..known).unwrap_or_default() },
        "auth": { "mechanism": "PLAIN", "user": options.account.as_deref().unwrap_or("user"), "password": "password" },
        "rcpt": options.rcpt.get(rcpt),
        // Nothing is expected, but a case must expect something.
        "expect": { "host_calls_max": u32::MAX },
    });
    if let (true, Some(call)) = (["data", "route", "bounce"].contains(&hook), call.as_object_mut()) {
        call.insert("message".to_owned(), mail.display().to_string().into());
    }
    call
}

fn shown(step: &StepReport, label: &str) -> String {
    let cost = step.cost.as_ref();
    let failure = cost.and_then(|cost| cost.failure()).map(|(_, detail)| format!("    failed: {detail}\n"));
    let used = cost.map(|cost| format!("   ({} µs, {} calls of the relay)", cost.micros, cost.host_calls));
    let decision = if step.decision.is_empty() { "next" } else { &step.decision };
    let mut text = format!("{label}: {decision}{}\n", used.unwrap_or_default());
    text.extend(failure);
    text.extend(step.edits.iter().map(|edit| format!("    edit: {edit}\n")));
    text.extend(step.lines.iter().map(|line| format!("    log: {line}\n")));
    text
}

fn as_json(step: &StepReport, label: &str) -> Value {
    let cost = step.cost.as_ref();
    json!({
        "call": label,
        "decision": if step.decision.is_empty() { "next" } else { &step.decision },
        "failure": cost.and_then(|cost| cost.failure()).map(|(kind, detail)| json!({ "kind": kind.as_str(), "detail": detail })),
        "edits": step.edits,
        "log": step.lines,
        "micros": cost.map(|cost| cost.micros),
        "host_calls": cost.map(|cost| cost.host_calls),
    })
}
