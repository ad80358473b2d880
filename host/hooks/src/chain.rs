//! The chain of one hook: one plugin after the other is asked until one has an answer, or its failure policy has.

use std::sync::Arc;

use baton_mail::Mailbox;
use baton_mail::event::Decision;

use crate::answer::Answer;
use crate::ask::Ask;
use crate::engine::Engine;
use crate::guard::Guarded;
use crate::plugin::Plugin;
use crate::policy::{Failure, FailureKind, Fallback, fallback};
use crate::run::{Outcome, run};
use crate::{Call, Hook, Mode, NextMode, Verdict};

/// Asks the plugins of a chain. `question` is put anew for each, as earlier ones may have changed what it is about;
/// `answered` sees each answer that counts.
pub(crate) async fn drive<Q: Ask>(
    engine: &Engine,
    chain: &[Arc<Plugin>],
    call: &mut Call,
    rcpt: Option<&Mailbox>,
    question: impl Fn(&Call) -> Q,
    answered: impl Fn(&Plugin, &mut Call, &Q::Answer),
) -> Verdict<Q::Answer> {
    let mut decisions = Vec::new();
    for plugin in chain {
        let guarded = plugin.running.guards.evaluate(Q::HOOK, call, about(Q::HOOK, call, rcpt));
        if matches!(guarded, Guarded::LeaveOut) {
            plugin.terms.meters.of(Q::HOOK).count_skipped();
            continue;
        }
        let serving = plugin.serving(call);
        let answer = match guarded {
            Guarded::Fail(failure) => guard_failed::<Q>(serving, call, failure, &mut decisions),
            _ => ask_one(engine, serving, &question(call), call, &mut decisions).await,
        };
        answered(serving, call, &answer);
        if !answer.is_next() {
            return Verdict { answer, by: Some(plugin.terms.name.clone()), decisions };
        }
    }
    Verdict { answer: Answer::NEXT, by: None, decisions }
}

/// The recipient in question: at the rcpt hook an earlier plugin may have put another one into its place.
fn about<'a>(hook: Hook, call: &'a Call, rcpt: Option<&'a Mailbox>) -> Option<&'a Mailbox> {
    let last = call.envelope.recipients.last().filter(|_| hook == Hook::Rcpt);
    last.map(|recipient| &recipient.address).or(rcpt)
}

async fn ask_one<Q: Ask>(
    engine: &Engine,
    plugin: &Plugin,
    question: &Q,
    call: &mut Call,
    decisions: &mut Vec<Decision>,
) -> Q::Answer {
    let shadow = plugin.next.as_ref().filter(|next| next.settings.mode == NextMode::Shadow);
    let rehearsed = match shadow {
        Some(next) => Some((next, run(engine, &next.plugin, question, call).await)),
        None => None,
    };
    let outcome = run(engine, plugin, question, call).await;
    if let Some((next, rehearsed)) = rehearsed {
        decisions.extend(compare::<Q>(&next.plugin, rehearsed, &outcome));
    }
    match plugin.running.mode {
        Mode::Enforce => enforce::<Q>(plugin, call, outcome, decisions),
        Mode::Monitor => {
            decisions.extend(monitor::<Q>(plugin, call, outcome));
            Q::Answer::NEXT
        }
    }
}

/// The answer of a plugin with its edits applied, or what the operator wants in its place. Whoever said and changed
/// nothing is not in the record.
fn enforce<Q: Ask>(
    plugin: &Plugin,
    call: &mut Call,
    outcome: Outcome<Q::Answer>,
    decisions: &mut Vec<Decision>,
) -> Q::Answer {
    let micros = outcome.micros();
    let answer = match outcome.result {
        Ok(answer) if answer.is_next() && outcome.staged.is_empty() => return answer,
        Ok(answer) => answer,
        Err(failure) => return fall_back::<Q>(plugin, call, failure, micros, decisions),
    };
    let edits = outcome.staged.apply(call, answer.refuses());
    if !(answer.is_next() && edits.is_empty()) {
        decisions.push(decision(plugin, Q::HOOK, answer.words(), edits, micros));
    }
    answer
}

/// What the operator wants when a plugin failed.
fn fall_back<Q: Ask>(
    plugin: &Plugin,
    call: &mut Call,
    failure: Failure,
    micros: u32,
    decisions: &mut Vec<Decision>,
) -> Q::Answer {
    report(plugin, Q::HOOK, call, &failure);
    let policy = plugin.on_failure;
    let fallback = fallback(Q::HOOK, policy);
    if fallback == Fallback::Quarantine {
        let reason = || format!("plugin {} failed ({})", plugin.terms.name, failure.kind);
        call.quarantine.get_or_insert_with(reason);
    }
    let answer = Q::Answer::from_fallback(fallback);
    let words = format!("failed ({}), by on-failure={}: {}", failure.kind, policy.as_str(), answer.words());
    decisions.push(decision(plugin, Q::HOOK, words, Vec::new(), micros));
    answer
}

/// A guard that can not be evaluated is a failure of the plugin that it guards; one that is only watched changes nothing.
fn guard_failed<Q: Ask>(
    plugin: &Plugin,
    call: &mut Call,
    failure: Failure,
    decisions: &mut Vec<Decision>,
) -> Q::Answer {
    plugin.terms.meters.of(Q::HOOK).count_failure(failure.kind);
    let outcome = Outcome::failed(failure);
    match plugin.running.mode {
        Mode::Enforce => enforce::<Q>(plugin, call, outcome, decisions),
        Mode::Monitor => {
            decisions.extend(monitor::<Q>(plugin, call, outcome));
            Q::Answer::NEXT
        }
    }
}

/// What a watched plugin would have done.
fn monitor<Q: Ask>(plugin: &Plugin, call: &Call, outcome: Outcome<Q::Answer>) -> Option<Decision> {
    let micros = outcome.micros();
    let (words, edits) = match outcome.result {
        Ok(answer) if answer.is_next() && outcome.staged.is_empty() => return None,
        Ok(answer) => {
            let edits = outcome.staged.summaries(answer.refuses());
            (format!("{}: would have answered {}", watched(plugin), answer.words()), would_have(edits))
        }
        Err(failure) => {
            report(plugin, Q::HOOK, call, &failure);
            let by_policy = Q::Answer::from_fallback(fallback(Q::HOOK, plugin.on_failure)).words();
            let watched = watched(plugin);
            (format!("{watched}: failed ({}), would have been {by_policy}", failure.kind), Vec::new())
        }
    };
    Some(decision(plugin, Q::HOOK, words, edits, micros))
}

/// Why its answers do not count: the settings say so, or who switched it so.
fn watched(plugin: &Plugin) -> String {
    let switch = plugin.settings.switch.as_ref().filter(|switch| switch.mode.is_some());
    switch.map_or_else(|| "monitor".to_owned(), |switch| format!("monitor by {}", switch.by))
}

/// What a shadow did, where it is not what the serving version did.
fn compare<Q: Ask>(
    shadow: &Plugin,
    theirs: Outcome<Q::Answer>,
    served: &Outcome<Q::Answer>,
) -> Option<Decision> {
    let told = |outcome: &Outcome<Q::Answer>| match &outcome.result {
        Ok(answer) => (answer.words(), outcome.staged.summaries(answer.refuses())),
        Err(failure) => (format!("failed ({})", failure.kind), Vec::new()),
    };
    let is_same = match (&theirs.result, &served.result) {
        (Ok(one), Ok(other)) => {
            let refuses = one.refuses();
            one == other && theirs.staged.summaries(refuses) == served.staged.summaries(refuses)
        }
        // Without an answer of the old version there is nothing to be different from; failures are counted anyway.
        (_, Err(_)) => true,
        (Err(_), Ok(_)) => false,
    };
    if is_same {
        return None;
    }
    shadow.terms.meters.of(Q::HOOK).count_difference();
    let ((would, edits), (did, _)) = (told(&theirs), told(served));
    let words = format!("shadow: would have answered {would}; served: {did}");
    Some(decision(shadow, Q::HOOK, words, would_have(edits), theirs.micros()))
}

fn would_have(edits: Vec<String>) -> Vec<String> {
    edits.into_iter().map(|edit| format!("(not done) {edit}")).collect()
}

fn decision(plugin: &Plugin, hook: Hook, answer: String, edits: Vec<String>, micros: u32) -> Decision {
    Decision { plugin: plugin.terms.label.clone(), hook: hook.as_str().to_owned(), answer, edits, micros }
}

/// Tells the operator, as far as the plugin's share of the log goes; the counters tell of every failure.
fn report(plugin: &Plugin, hook: Hook, call: &Call, failure: &Failure) {
    // The breaker said so when it opened.
    if failure.kind == FailureKind::BreakerOpen {
        return;
    }
    let terms = &plugin.terms;
    let Some(dropped) = terms.log_gate.admit(terms.capabilities.clock.now(), terms.limits.log_lines_per_s)
    else {
        terms.meters.count_dropped_line();
        return;
    };
    tracing::warn!(
        target: "hooks",
        plugin = %terms.label,
        hook = hook.as_str(),
        kind = failure.kind.as_str(),
        blame = ?failure.kind.blame(),
        policy = plugin.on_failure.as_str(),
        session = %call.session.id,
        message = %call.envelope.id,
        dropped,
        detail = %failure.detail,
        "a plugin failed"
    );
}
