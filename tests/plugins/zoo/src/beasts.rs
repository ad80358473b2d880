//! Behaviours that attack the host itself: what no compiler of a decent language would let out.

use std::hint::black_box;

use crate::bindings::baton::host::kv::Bucket;
use crate::bindings::baton::host::log;
use crate::{Said, reply};

/// Octets of one value that is stored by [`stuff`].
const VALUE_OCTETS: usize = 4 << 10;
/// Octets of an answer that nobody wants.
const ANSWER_OCTETS: usize = 6 << 20;
const PAGE_OCTETS: usize = 64 << 10;
const PAGES: usize = 32;

pub(crate) fn act(behaviour: &str) -> Option<Said> {
    Some(match behaviour {
        "invalid-text" => invalid_text(),
        "false-length" => false_length(),
        "huge-answer" => Said::Reject(reply(550, &"x".repeat(ANSWER_OCTETS))),
        "stuff" => stuff(),
        "residue" => residue(),
        "files" => files(),
        _ => return None,
    })
}

/// Hands over a text that is none.
#[allow(unsafe_code, reason = "that the host bears it is what is tried")]
fn invalid_text() -> Said {
    let octets = black_box([0xc3_u8, 0x28, 0xff, 0xfe, 0x80]);
    // SAFETY: there is no reason why this were sound. The host must see to it that it does no harm.
    log::emit(log::Level::Info, unsafe { std::str::from_utf8_unchecked(&octets) }, &[]);
    Said::Next
}

/// Says that a text is as long as no memory is.
#[allow(unsafe_code, reason = "that the host bears it is what is tried")]
fn false_length() -> Said {
    let text = black_box("short");
    // SAFETY: none, see above. The text is never read in here.
    let long = unsafe { std::slice::from_raw_parts(text.as_ptr(), black_box(0x7fff_ff00)) };
    log::emit(log::Level::Info, unsafe { std::str::from_utf8_unchecked(long) }, &[]);
    Said::Next
}

/// Stores for as long as it is let, whatever the store says.
fn stuff() -> Said {
    let Ok(bucket) = Bucket::open("zoo") else { return Said::Reject(reply(550, "no bucket")) };
    let value = vec![7; VALUE_OCTETS];
    for index in 0_u64.. {
        let _ = bucket.set(&format!("stuff-{index}"), &value, None);
    }
    Said::Next
}

/// Refuses when new memory is not empty; and leaves something in it for the next one who looks.
#[allow(unsafe_code, reason = "memory that no allocator knows of is what is looked at")]
fn residue() -> Said {
    let before = core::arch::wasm32::memory_grow(0, PAGES);
    if before == usize::MAX {
        return Said::Tempfail(reply(450, "no memory"));
    }
    // SAFETY: these pages were just added, and nobody else knows of them.
    let fresh =
        unsafe { std::slice::from_raw_parts_mut((before * PAGE_OCTETS) as *mut u8, PAGES * PAGE_OCTETS) };
    let dirty = fresh.iter().filter(|octet| **octet != 0).count();
    fresh.fill(0xa5);
    black_box(fresh);
    if dirty == 0 { Said::Next } else { Said::Reject(reply(550, &format!("{dirty} octets of somebody"))) }
}

/// Says `next` only if there is nothing outside.
fn files() -> Said {
    let attempts = [
        ("read", std::fs::read("/etc/passwd").is_ok()),
        ("list", std::fs::read_dir("/").is_ok() || std::fs::read_dir(".").is_ok()),
        ("write", std::fs::write("/tmp/zoo", "was here").is_ok()),
        ("environment", std::env::vars().next().is_some()),
        ("arguments", std::env::args().next().is_some()),
    ];
    let reached: Vec<&str> =
        attempts.into_iter().filter(|(_, reached)| *reached).map(|(name, _)| name).collect();
    if reached.is_empty() { Said::Next } else { Said::Reject(reply(550, &format!("it has {reached:?}"))) }
}
