//! A plugin of a contract that does not exist (see README.md): it counts recipients in a shared bucket, and refuses those
//! of the domain that its settings name.
#![cfg(target_family = "wasm")]

use std::sync::OnceLock;

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "baton:relay/every-hook@0.2.0", generate_all });
}

use bindings::baton::host::config;
use bindings::baton::host::kv::Bucket;
use bindings::baton::host::log::{Field, Level, emit};
use bindings::baton::relay::session;
use bindings::baton::relay::types::{Recipient, Reply};
use bindings::exports::baton::relay::{data_hook, lifecycle, rcpt_hook};

struct Tomorrow;

bindings::export!(Tomorrow with_types_in bindings);

/// What init was given. Only a snapshot has it at a call.
static GIVEN: OnceLock<String> = OnceLock::new();

impl lifecycle::Guest for Tomorrow {
    fn init(config: String) -> Result<(), Vec<lifecycle::Problem>> {
        if config.contains("\"refused\":") {
            let _ = GIVEN.set(config);
            return Ok(());
        }
        Err(vec![lifecycle::Problem { path: "refused".to_owned(), message: "is missing".to_owned() }])
    }
}

impl rcpt_hook::Guest for Tomorrow {
    fn on_rcpt(rcpt: Recipient) -> rcpt_hook::Decision {
        use rcpt_hook::Decision;
        let counted = Bucket::open("shared/seen").and_then(|bucket| bucket.increment("recipients", 1));
        let Ok(count) = counted else { return Decision::Next };
        let field = |name: &str, value: String| Field { name: name.to_owned(), value };
        emit(
            Level::Detail,
            "seen",
            &[field("count", count.to_string()), field("rcpt", rcpt.mailbox.clone())],
        );
        let refused = config::get("refused").unwrap_or_default();
        if !rcpt.mailbox.ends_with(&format!("@{refused}")) {
            return Decision::Next;
        }
        let client = session::client();
        let lines = vec![
            format!("recipient {count}"),
            format!("of {}:{}", client.address, client.port),
            format!(
                "{} parameters, init was given {}",
                rcpt.params.len(),
                GIVEN.get().map_or("nothing", |given| given)
            ),
        ];
        Decision::Refuse(Reply { code: 450, enhanced: None, lines })
    }
}

impl data_hook::Guest for Tomorrow {
    fn on_data() -> data_hook::Decision {
        data_hook::Decision::Hold("for tomorrow".to_owned())
    }
}
