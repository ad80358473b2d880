//! The other side: what runs in the process that compiles.

use std::io::{self, BufRead, Write};

use super::Order;
use crate::engine::compiler_of_relay;
use crate::functions::Functions;
use crate::run::describe;

/// Compiles the component that the relay sends, and answers the functions in it. An error is what the compiler says.
pub fn compile_for_relay(input: impl BufRead, output: impl Write) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    let mut input = input;
    let mut order = Vec::new();
    input.read_until(b'\n', &mut order).map_err(told)?;
    let order: Order = serde_json::from_slice(&order).map_err(|error| error.to_string())?;
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm).map_err(told)?;
    if wasm.len() != order.component_octets {
        return Err(format!("{} of {} octets came", wasm.len(), order.component_octets));
    }
    let functions = Functions::of(&order.settings);
    let compiler = compiler_of_relay(&order.settings, order.is_pooling, functions.as_ref());
    let compiler = compiler.map_err(|error| describe(&error))?;
    compiler.precompile_component(&wasm).map_err(|error| describe(&error))?;
    let made = functions.map(|functions| functions.hand_over()).unwrap_or_default();
    let answer = postcard::to_stdvec(&made).map_err(|error| error.to_string())?;
    let mut output = output;
    output.write_all(&answer).and_then(|()| output.flush()).map_err(told)
}
