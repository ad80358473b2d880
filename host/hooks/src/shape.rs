//! The outside of a file: component or core module, what it imports and exports, its digest. Nothing is compiled.

use sha2::{Digest as _, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use crate::Hook;

/// The outside of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// A component; otherwise a core module.
    pub is_component: bool,
    /// The hooks that it exports.
    pub hooks: Vec<Hook>,
    /// What it imports: interfaces with their versions, or for a core module the names of modules.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// The file is no WebAssembly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not WebAssembly: {0}; name the .wasm file that was built for wasm32-wasip2")]
pub struct NotWasm(String);

impl Shape {
    /// Reads the outermost level of a file.
    ///
    /// # Errors
    /// It can not be read as WebAssembly.
    pub fn read(wasm: &[u8]) -> Result<Shape, NotWasm> {
        let sha256 = Sha256::digest(wasm).iter().map(|octet| format!("{octet:02x}")).collect();
        let mut shape = Shape {
            sha256,
            is_component: false,
            hooks: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
        };
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.map_err(|error| NotWasm(error.to_string()))?;
            match &payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ if depth == 0 => shape.add(&payload).map_err(|error| NotWasm(error.to_string()))?,
                _ => {}
            }
        }
        shape.imports.sort();
        shape.imports.dedup();
        shape.exports.sort();
        shape.hooks = Hook::ALL
            .into_iter()
            .filter(|hook| shape.exports.iter().any(|name| is_hook(*hook, name)))
            .collect();
        Ok(shape)
    }

    fn add(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding, .. } => self.is_component = *encoding == Encoding::Component,
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.imports.push(import?.module.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    self.exports.push(export?.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// True for `baton:relay/rcpt-hook@0.1.0` and the like.
fn is_hook(hook: Hook, export: &str) -> bool {
    let interface = export.split('@').next().unwrap_or_default();
    interface.strip_prefix("baton:relay/") == Some(hook.interface())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_told_from_the_first_octets() {
        assert!(Shape::read(b"\0asm\x0d\0\x01\0").unwrap().is_component);
        assert!(!Shape::read(b"\0asm\x01\0\0\0").unwrap().is_component);
        assert!(Shape::read(b"#!/bin/sh").is_err());
    }

    #[test]
    fn hooks_are_known_by_their_interface() {
        assert!(is_hook(Hook::Rcpt, "baton:relay/rcpt-hook@0.1.0"));
        assert!(
            !is_hook(Hook::Rcpt, "baton:relay/data-hook@0.1.0")
                && !is_hook(Hook::Rcpt, "other:relay/rcpt-hook")
        );
    }
}
