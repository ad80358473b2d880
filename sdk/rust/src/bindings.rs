//! What is generated from the contract: the imports once, and each export on its own, so that a plugin exports exactly
//! the hooks that it implements.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::indexing_slicing, clippy::unwrap_used)]

/// All that a plugin may call.
pub mod imports {
    wit_bindgen::generate!({ path: "../../wit", world: "baton:relay/imports", generate_all });
}

/// Load time.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package baton:sdk-lifecycle; world lifecycle-export { export baton:relay/lifecycle@0.1.0; }",
        world: "baton:sdk-lifecycle/lifecycle-export",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "baton_sdk::rt::lifecycle",
        generate_all,
    });
}

/// What happened, in batches.
pub mod events {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package baton:sdk-events; world events-export { export baton:relay/events-hook@0.1.0; }",
        world: "baton:sdk-events/events-export",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "baton_sdk::rt::events",
        generate_all,
    });
}

macro_rules! hook {
    ($(#[$doc:meta])* $module:ident, $inline:literal, $world:literal, $bindings:literal) => {
        $(#[$doc])*
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $inline,
                world: $world,
                pub_export_macro: true,
                export_macro_name: "export",
                default_bindings_module: $bindings,
                with: { "baton:relay/types@0.1.0": crate::bindings::imports::baton::relay::types },
            });
        }
    };
}

hook!(
    /// A client connected.
    connect,
    "package baton:sdk-connect; world connect-export { export baton:relay/connect-hook@0.1.0; }",
    "baton:sdk-connect/connect-export",
    "baton_sdk::rt::connect"
);
hook!(
    /// A client wants to log in.
    auth,
    "package baton:sdk-auth; world auth-export { export baton:relay/auth-hook@0.1.0; }",
    "baton:sdk-auth/auth-export",
    "baton_sdk::rt::auth"
);
hook!(
    /// One recipient.
    rcpt,
    "package baton:sdk-rcpt; world rcpt-export { export baton:relay/rcpt-hook@0.1.0; }",
    "baton:sdk-rcpt/rcpt-export",
    "baton_sdk::rt::rcpt"
);
hook!(
    /// The whole message.
    data,
    "package baton:sdk-data; world data-export { export baton:relay/data-hook@0.1.0; }",
    "baton:sdk-data/data-export",
    "baton_sdk::rt::data"
);
hook!(
    /// Before an attempt.
    route,
    "package baton:sdk-route; world route-export { export baton:relay/route-hook@0.1.0; }",
    "baton:sdk-route/route-export",
    "baton_sdk::rt::route"
);
hook!(
    /// After a failed attempt.
    bounce,
    "package baton:sdk-bounce; world bounce-export { export baton:relay/bounce-hook@0.1.0; }",
    "baton:sdk-bounce/bounce-export",
    "baton_sdk::rt::bounce"
);
