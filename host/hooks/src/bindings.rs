//! The contract of `wit/`, as Rust traits and types.
//!
//! Getters are plain host functions; only what may wait (store, DNS) is async, because an async host function costs more.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "baton:relay/every-hook",
    imports: {
        "baton:host/kv": async | trappable,
        "baton:host/dns": async | trappable,
        "baton:relay/session.remote-name": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "baton:host/kv.bucket": crate::host::kv::Bucket,
    },
});
