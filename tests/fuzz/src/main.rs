//! One program for all targets: `BATON_FUZZ_TARGET` names the one to run, the arguments are those of libFuzzer.
#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// The target of this run.
static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(|octets: &[u8]| {
    let run = TARGET.get_or_init(|| {
        let name = std::env::var("BATON_FUZZ_TARGET").expect("BATON_FUZZ_TARGET names a target");
        let found = targets::TARGETS.iter().find(|(own, _)| *own == name);
        found.unwrap_or_else(|| panic!("there is no target {name}")).1
    });
    run(octets);
});
