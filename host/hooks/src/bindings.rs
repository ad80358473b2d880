//! The contract of `wit/`, as Rust traits and types.
//!
//! Getters are plain host functions; only what may wait (store, network, work on large parts) is async, because an async
//! host function costs more.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "baton:relay/every-hook",
    imports: {
        "baton:host/kv": async | trappable,
        "baton:host/dns": async | trappable,
        "baton:host/http": async | trappable,
        "baton:relay/session.remote-name": async | trappable,
        "baton:relay/session.iprev": async | trappable,
        "baton:relay/verify": async | trappable,
        "baton:relay/message.digest": async | trappable,
        "baton:relay/message.post-raw": async | trappable,
        "baton:relay/message.part-count": async | trappable,
        "baton:relay/message.get-part": async | trappable,
        "baton:relay/message.[method]part.decoded-size": async | trappable,
        "baton:relay/message.[method]part.read": async | trappable,
        "baton:relay/message.[method]part.text": async | trappable,
        "baton:relay/message.[method]part.digest": async | trappable,
        "baton:relay/message.[method]part.urls": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "baton:host/kv.bucket": crate::host::kv::Bucket,
        "baton:relay/message.part": baton_mail::mime::Part,
        "baton:relay/message.body-writer": crate::host::new_body::BodyWriter,
    },
});
