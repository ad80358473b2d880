//! What a hostile plugin may try, and which test shows that it comes to nothing. Tests without a file are in this one;
//! `relay` is the relay as a whole (`tests/tests/relay/hooks`), and `tests/bars/hostile.py` measures what this table
//! does not: time, memory and other mail while all of it happens.
//!
//! | | what is tried | tests |
//! |---|---|---|
//! | W1 | a loop without end, in every hook | `matrix::endless_loop`, `matrix::a_spinning_plugin_lets_others_run`; relay `failures` |
//! | W2 | memory, tables, instances, handles without end | `matrix::memory_bomb`, `matrix::handle_leak`, `beyond::parts_are_handles_and_handles_are_bounded`; `instances::the_bound_of_the_engine_holds_over_all_plugins` |
//! | W3 | host calls without end, with large and false arguments | `matrix::host_call_flood`, `matrix::oversized_host_call`, `matrix::a_length_beyond_all_memory`, `beyond::work_is_bounded` |
//! | W4 | texts that are none, wrong types, huge answers | `matrix::a_text_that_is_none`, `matrix::huge_answer`, `loading::components_of_another_contract`, `edits` and `random` for what is in texts, `matrix::forged_fields` for NaN |
//! | W5 | log floods, escapes, metrics without end | `matrix::log_flood`, `log::control_characters_are_shown_and_lines_are_cut`, `guests` (unit tests of metrics) |
//! | W6 | half of an edit, then a trap | `matrix::edits_before_a_trap`, `random::random_edits_and_answers_never_yield_a_malformed_message_or_reply`; relay `failures` |
//! | W7 | waiting for ever in a host call | `matrix::waiting_for_ever`, `instances::a_call_that_is_given_up_ends_its_instance`, [`calls_that_are_given_up_leave_no_slot_taken`] |
//! | W8 | what another call left in memory | `chains::memory_does_not_survive_a_call`, `instances`, `loading::calls_start_from_what_init_left` |
//! | W9 | files, environment, sockets | [`there_is_nothing_outside`], [`sockets_are_refused_at_load`], `loading::init_checks_the_settings` |
//! | W10 | recursion without end | `matrix::stack_overflow`; `script::abuse::deep_recursion_is_an_error_that_a_script_can_catch`. No host function calls a plugin, so there is no way back in |
//! | W11 | a component that takes long to compile | [`a_component_has_a_size`]; a file that was not compiled before is compiled in a process of its own first, which ends at `engine.compile_octets_max` and `engine.compile_ms` (`hooks/compiling.rs` of the end-to-end tests) |
//! | W12 | reloads under load, half of them broken | relay `reload`, `reload` here, `self_tests`; in `tests/bars/hostile.py` many times |
//! | W13 | an answer over the head of another plugin, edits that are not granted | `chains::the_first_answer_ends_the_chain`, `chains::accept_grants_relaying_by_grant_only`, `edits::nothing_is_changed_without_a_grant`, `running::a_watched_plugin_changes_nothing`, `artefacts::what_was_not_asked_for_is_refused_in_the_call` |
//! | W14 | secrets of others, secrets in a snapshot | `beyond::secrets_are_for_calls_and_not_for_init`, `secrets` (unit tests); keys of the relay are in no plugin's reach: no host function gives one |

use std::collections::HashMap;

use baton_hooks::{EngineSettings, Hook, Instances, PluginSettings};
use serde_json::json;

use crate::support::{Host, ask, call_at, everywhere, zoo, zoo_path};

/// More often than there are slots, instances and stacks.
const TIMES: usize = 100;

#[tokio::test]
async fn calls_that_are_given_up_leave_no_slot_taken() {
    let settings =
        EngineSettings { concurrent_calls_max: 4, kept_instances_max: 4, ..EngineSettings::default() };
    let host = Host::with(&settings);
    for instances in [Instances::Fresh, Instances::Session, Instances::Pool] {
        let mut plugin = zoo(json!({ "data": "sleep", "rcpt": "next" }));
        plugin.run.instances = instances;
        let generation = host.load(&[plugin]).await;
        for _ in 0..TIMES {
            let mut call = call_at(Hook::Data);
            tokio::select! {
                biased;
                _ = generation.data(&mut call) => panic!("it sleeps"),
                () = tokio::task::yield_now() => {}
            }
        }
        let answer = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
        assert_eq!(answer, "Next", "{instances:?}");
    }
}

#[tokio::test]
async fn there_is_nothing_outside() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("files"))]).await;
    for hook in Hook::ALL {
        assert_eq!(ask(&generation, hook, &mut call_at(hook)).await, "Next", "{hook}");
    }
}

#[tokio::test]
async fn sockets_are_refused_at_load() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (b"wasi:clocks/wall-clock", b"wasi:sockets/tcp-extra");
    let mut wasm = std::fs::read(zoo_path()).unwrap();
    let mut found = 0;
    for at in 0..wasm.len() - from.len() {
        if &wasm[at..at + from.len()] == from {
            wasm[at..at + from.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0);
    let path = folder.path().join("calling.wasm");
    std::fs::write(&path, wasm).unwrap();
    let errors = host.errors(&[PluginSettings { source: path, ..zoo(json!({})) }], &HashMap::new()).await;
    assert!(
        errors.iter().any(|error| error.contains("imports wasi:sockets/tcp-extra")
            && error.contains("plugins have no network of their own")),
        "{errors:?}"
    );
}

#[tokio::test]
async fn a_component_has_a_size() {
    let settings =
        EngineSettings { concurrent_calls_max: 4, component_octets_max: 10_000, ..EngineSettings::default() };
    let errors = Host::with(&settings).errors(&[zoo(json!({}))], &HashMap::new()).await;
    assert!(errors.len() == 1 && errors[0].contains("more than the 10000 that are loaded"), "{errors:?}");
}
