//! Files that are made to exhaust the compiler.

use std::path::Path;

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;

/// What the relay itself may grow by while another process compiles, in KiB.
const GROWN_KIB_MAX: u64 = 128 << 10;
/// Steps of the one function. They are joined by jumps, so the compiler has to hold them all at once.
const STEPS: usize = 600_000;

/// A number as WebAssembly writes it: LEB128.
fn number(mut value: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        octets.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return octets;
        }
    }
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id], number(contents.len()).as_slice(), contents].concat()
}

/// A component of one module with one function, which is very long.
fn bomb() -> Vec<u8> {
    let one_type = section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    let one_function = section(3, &[1, 0]);
    // local.get 0; if: local.get 0; i32.const 1; i32.add; local.set 0; end
    let step = [0x20, 0, 0x04, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x21, 0, 0x0b];
    let body = [&[0], step.repeat(STEPS).as_slice(), &[0x20, 0, 0x0b]].concat();
    let code = section(10, &[number(1), number(body.len()), body].concat());
    let module = [b"\0asm\x01\0\0\0".as_slice(), &one_type, &one_function, &code].concat();
    [b"\0asm\x0d\0\x01\0".as_slice(), &section(1, &module)].concat()
}

/// The most memory that the process had in use, in KiB.
fn peak_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn with_bomb(sink: &Sink, file: &Path, key: &str, bound: i64) -> Settings {
    Settings::new().all_to(sink.address()).plugin("bomb", file).set(key, bound)
}

#[test]
fn a_file_that_exhausts_the_compiler_is_refused_and_mail_goes_on() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bomb.wasm");
    std::fs::write(&file, bomb())?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("before"))?;
    let before = peak_kib(relay.pid()?)?;
    for (key, bound) in [("engine.compile_octets_max", 256 << 20), ("engine.compile_ms", 300)] {
        relay.write_settings(with_bomb(&sink, &file, key, bound))?;
        let told = relay.run(&["check"])?;
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.contains("plugins.bomb.source") && told.contains(key), "{told}");
    }
    // The size of the engine is that of the start: the relay's own bound on memory, 1 GiB.
    let output = relay.run(&["reload"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("plugins.bomb.source"), "{said}");
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("after"))?;
    sink.wait_for(2)?;
    let grown = peak_kib(relay.pid()?)? - before;
    assert!(grown < GROWN_KIB_MAX, "the relay grew by {grown} KiB");
    Ok(())
}
