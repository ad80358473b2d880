//! The last step of `make script`: `cargo run --example prepare_interpreter -- BUILT.wasm PREPARED.wasm`.

use anyhow::{Context, anyhow};
use baton_hooks::{Engine, EngineSettings, prepare_interpreter};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (built, prepared) = (arguments.next(), arguments.next());
    let usage = "usage: prepare_interpreter BUILT.wasm PREPARED.wasm";
    let (built, prepared) = built.zip(prepared).context(usage)?;
    let engine = Engine::new(&EngineSettings::default())?;
    let component =
        prepare_interpreter(&engine, &std::fs::read(built)?).await.map_err(|words| anyhow!(words))?;
    std::fs::write(prepared, component).context("write the prepared interpreter")
}
