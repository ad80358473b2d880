//! `plugin.toml` as JSON in the artefact's custom section `baton:plugin`.
//!
//! Invariant: one file is the whole plugin; schema, cases and the messages of the cases are in the section too.
//! Invariant: what is embedded is read by the compiler as well, so that a change of any of these files compiles anew.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Literal, Span, TokenStream as Tokens};
use quote::quote;
use serde_json::{Map, Value};
use syn::Error;

/// The file beside `Cargo.toml`.
const MANIFEST: &str = "plugin.toml";
/// The custom section that the relay reads.
const SECTION: &str = "baton:plugin";
/// Hooks that a manifest can name.
const HOOKS: [&str; 7] = ["connect", "auth", "rcpt", "data", "route", "bounce", "events"];

/// The section, when the package has a manifest; nothing otherwise, and nothing in native builds.
pub(crate) fn embed() -> syn::Result<Tokens> {
    let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else {
        return Ok(Tokens::new());
    };
    if !folder.join(MANIFEST).is_file() {
        return Ok(Tokens::new());
    }
    let mut reader = Reader { folder, files: Vec::new() };
    let manifest = reader.manifest().map_err(|why| Error::new(Span::call_site(), why))?;
    let json = manifest.to_string();
    let (octets, size) = (Literal::byte_string(json.as_bytes()), json.len());
    let files = reader.files.iter().map(|path| path.display().to_string());
    Ok(quote! {
        const _: () = {
            #(const _: &[u8] = ::core::include_bytes!(#files);)*
            #[cfg(target_family = "wasm")]
            #[used]
            #[unsafe(link_section = #SECTION)]
            static MANIFEST: [u8; #size] = *#octets;
        };
    })
}

struct Reader {
    folder: PathBuf,
    files: Vec<PathBuf>,
}

impl Reader {
    fn manifest(&mut self) -> Result<Value, String> {
        let mut manifest = self.table(MANIFEST)?;
        check(&manifest)?;
        if let Some(path) = text(&manifest, "schema").map(str::to_owned) {
            let schema =
                serde_json::from_str(&self.read(&path)?).map_err(|error| format!("{path}: {error}"))?;
            manifest.insert("schema".to_owned(), schema);
        }
        if let Some(path) = text(&manifest, "cases").map(str::to_owned) {
            let mut cases = self.table(&path)?;
            let beside = Path::new(&path).parent().map(Path::to_owned).unwrap_or_default();
            self.inline(&mut cases, &beside)?;
            manifest.insert("cases".to_owned(), Value::Object(cases));
        }
        Ok(Value::Object(manifest))
    }

    /// Puts the text of message files in the place of their names, at every depth.
    fn inline(&mut self, table: &mut Map<String, Value>, beside: &Path) -> Result<(), String> {
        if let Some(path) = text(table, "message").map(|name| beside.join(name).display().to_string()) {
            table.remove("message");
            let message = self.read(&path)?;
            table.insert("message_text".to_owned(), Value::String(message));
        }
        for key in ["case", "step"] {
            for case in table.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Value::Object(case) = case {
                    self.inline(case, beside)?;
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, path: &str) -> Result<Map<String, Value>, String> {
        let table: toml::Table = self.read(path)?.parse().map_err(|error| format!("{path}: {error}"))?;
        match serde_json::to_value(table) {
            Ok(Value::Object(table)) => Ok(table),
            other => Err(format!("{path}: no table: {other:?}")),
        }
    }

    fn read(&mut self, path: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.files.push(path);
        Ok(text)
    }
}

/// Finds slips that would otherwise show when the relay loads the plugin.
fn check(manifest: &Map<String, Value>) -> Result<(), String> {
    for key in ["name", "version", "description"] {
        if text(manifest, key).is_none_or(str::is_empty) {
            return Err(format!("{MANIFEST}: {key} is missing"));
        }
    }
    let name = text(manifest, "name").unwrap_or_default();
    if !name.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-') {
        return Err(format!(
            "{MANIFEST}: name = {name:?} has other characters than lower-case letters, digits and hyphens"
        ));
    }
    let hooks = manifest.get("hooks").and_then(Value::as_array).cloned().unwrap_or_default();
    match hooks.iter().find(|hook| !hook.as_str().is_some_and(|hook| HOOKS.contains(&hook))) {
        Some(unknown) => Err(format!("{MANIFEST}: {unknown} is no hook; there are {}", HOOKS.join(", "))),
        None => Ok(()),
    }
}

fn text<'a>(table: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Value::as_str)
}
