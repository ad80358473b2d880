//! Removes the types of TypeScript. What is removed becomes blanks, so that every error names the line and column of
//! the author's file, with no map to carry along.
//!
//! What TypeScript adds beyond types (enum, namespace, parameter properties, decorators) has no blank form; it is refused
//! with its place.

use std::sync::{Arc, Mutex};

use swc_common::errors::{DiagnosticBuilder, Emitter, Handler};
use swc_common::sync::Lrc;
use swc_common::{BytePos, SourceMap};
use swc_ts_fast_strip::{Options, operate};

wit_bindgen::generate!({
    path: ["../../../wit", "../wit"],
    world: "baton:policy/stripper",
});

use exports::baton::policy::typescript::Guest;
use baton::policy::types::Problem;

struct Stripper;
export!(Stripper);

impl Guest for Stripper {
    fn strip(source: String) -> Result<String, Problem> {
        let map: Lrc<SourceMap> = Lrc::default();
        let first = Arc::new(Mutex::new(None));
        let handler = Handler::with_emitter(true, false, Box::new(First(Arc::clone(&first))));
        let options = Options { module: Some(true), ..Options::default() };
        let stripped = operate(&map, &handler, source, options);
        stripped.map(|output| output.code).map_err(|error| {
            let found = first.lock().ok().and_then(|mut first| first.take());
            let (position, message) = found.unwrap_or_else(|| (None, error.message));
            let at = position.map(|position| map.lookup_char_pos(position));
            Problem {
                line: at.as_ref().map_or(0, |at| at.line as u32),
                column: at.as_ref().map_or(0, |at| at.col.0 as u32 + 1),
                message,
                setting: None,
            }
        })
    }
}

/// Keeps the first thing that is wrong: what follows is often its consequence.
struct First(Arc<Mutex<Option<(Option<BytePos>, String)>>>);

impl Emitter for First {
    fn emit(&mut self, diagnostic: &mut DiagnosticBuilder<'_>) {
        if let Ok(mut first) = self.0.lock() {
            let position = diagnostic.span.primary_span().map(|span| span.lo);
            first.get_or_insert_with(|| (position, diagnostic.message()));
        }
    }
}
