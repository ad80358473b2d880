//! What an artefact says about itself: its `plugin.toml`, which the build embeds as JSON in the custom section
//! `baton:plugin`, at the level of the component or in the one core module that its author wrote.
//!
//! A manifest asks and suggests; only the settings grant and decide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};

use crate::{Grants, Hook, OnFailure};

/// The name of the section.
pub const SECTION: &str = "baton:plugin";
/// Octets of a manifest: schema and self-test cases with their messages are in it.
pub const OCTETS_MAX: usize = 4 << 20;

/// What a plugin is, asks for and suggests. Keys that this relay does not know are passed over, so that an artefact of
/// a newer SDK can be loaded; a request that it does not know is an error, because it would never be granted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Its name: lower-case letters, digits, hyphens.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// The hooks that it means to serve; checked against what the component exports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Vec<Hook>>,
    /// What its author suggests for the case that it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// JSON Schema of its settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
    /// Self-test cases, their messages inlined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cases: Option<serde_json::Value>,
    /// What it asks to be granted, in the shape of the settings.
    pub requests: Grants,
    /// Limits that its author suggests, by the names of the settings.
    pub limits: BTreeMap<String, u64>,
}

/// Why the manifest of an artefact can not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The file is not WebAssembly.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The section is not what it should be.
    #[error("its section {SECTION} is not a manifest: {0}; rebuild the plugin with the tools of this relay")]
    Invalid(String),
    /// It is too large.
    #[error(
        "its section {SECTION} has {octets} octets, more than {OCTETS_MAX}; shorten the messages of its cases"
    )]
    TooLarge {
        /// Its size.
        octets: usize,
    },
    /// Two modules bring one each, and the component none of its own.
    #[error(
        "{0} of its modules have a section {SECTION} and the component has none; give it one with `baton plugin pack`"
    )]
    Ambiguous(usize),
}

impl Manifest {
    /// The manifest of a component or core module; none when it has no such section.
    pub fn read(wasm: &[u8]) -> Result<Option<Manifest>, ManifestError> {
        let Some(json) = find(wasm)? else { return Ok(None) };
        if json.len() > OCTETS_MAX {
            return Err(ManifestError::TooLarge { octets: json.len() });
        }
        // A list would do for a structure too, field by field.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(ManifestError::Invalid("it is not a JSON object".to_owned()));
        }
        let read = serde_json::from_slice(json);
        read.map(Some).map_err(|error| ManifestError::Invalid(error.to_string()))
    }

    /// The component with this manifest as a section of its own level. One that it has there already is replaced.
    pub fn embed(&self, component: &[u8]) -> Result<Vec<u8>, ManifestError> {
        let json = serde_json::to_vec(self).map_err(|error| ManifestError::Invalid(error.to_string()))?;
        let mut packed = without_own_section(component)?;
        append_section(&mut packed, &json);
        Ok(packed)
    }
}

/// The section: the component's own one, else that of its only module which has one.
fn find(wasm: &[u8]) -> Result<Option<&[u8]>, ManifestError> {
    let (mut depth, mut nested) = (0_usize, Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(damaged)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == SECTION && depth == 0 => {
                return Ok(Some(section.data()));
            }
            Payload::CustomSection(section) if section.name() == SECTION => nested.push(section.data()),
            _ => {}
        }
    }
    match nested.as_slice() {
        [] => Ok(None),
        [json] => Ok(Some(json)),
        several => Err(ManifestError::Ambiguous(several.len())),
    }
}

/// Everything but sections of that name at the outermost level.
fn without_own_section(wasm: &[u8]) -> Result<Vec<u8>, ManifestError> {
    let (mut depth, mut kept, mut copied_to) = (0_usize, Vec::with_capacity(wasm.len()), 0);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(damaged)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == SECTION && depth == 0 => {
                // The range is that of the section's contents; identifier and size stand before it.
                let contents = section.range();
                let header = 1 + leb128(contents.len()).len();
                kept.extend_from_slice(wasm.get(copied_to..contents.start - header).unwrap_or_default());
                copied_to = contents.end;
            }
            _ => {}
        }
    }
    kept.extend_from_slice(wasm.get(copied_to..).unwrap_or_default());
    Ok(kept)
}

/// A custom section (WebAssembly core specification 5.5.3): 0, size, name with its size, contents.
fn append_section(wasm: &mut Vec<u8>, contents: &[u8]) {
    let name = [leb128(SECTION.len()), SECTION.as_bytes().to_vec()].concat();
    wasm.push(0);
    wasm.extend(leb128(name.len() + contents.len()));
    wasm.extend(name);
    wasm.extend_from_slice(contents);
}

/// An unsigned number as WebAssembly writes it (core specification 5.2.2).
fn leb128(number: usize) -> Vec<u8> {
    let (mut rest, mut octets) = (number, Vec::new());
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        octets.push(if rest == 0 { low } else { low | 0x80 });
        if rest == 0 {
            return octets;
        }
    }
}

fn damaged(error: wasmparser::BinaryReaderError) -> ManifestError {
    ManifestError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn manifest() -> Manifest {
        Manifest {
            name: "guard".to_owned(),
            hooks: Some(vec![Hook::Rcpt]),
            requests: Grants { dns: true, kv: vec!["rate".to_owned()], ..Grants::default() },
            limits: BTreeMap::from([("cpu_ms".to_owned(), 50)]),
            ..Manifest::default()
        }
    }

    /// A component around core modules, each with the given sections.
    fn around(modules: &[&[u8]]) -> Vec<u8> {
        let mut component = COMPONENT.to_vec();
        for contents in modules {
            let mut module = b"\0asm\x01\0\0\0".to_vec();
            append_section(&mut module, contents);
            component.push(1);
            component.extend(leb128(module.len()));
            component.extend(module);
        }
        component
    }

    #[test]
    fn what_was_embedded_is_read() {
        let packed = manifest().embed(COMPONENT).unwrap();
        assert_eq!(Manifest::read(&packed), Ok(Some(manifest())));
        assert_eq!(Manifest::read(COMPONENT), Ok(None));
    }

    #[test]
    fn a_second_manifest_takes_the_place_of_the_first() {
        let long = Manifest { description: "x".repeat(300), ..manifest() };
        let twice = manifest().embed(&long.embed(COMPONENT).unwrap()).unwrap();
        assert_eq!(twice, manifest().embed(COMPONENT).unwrap());
    }

    #[test]
    fn the_section_of_a_module_counts_unless_the_component_has_one() {
        let json = serde_json::to_vec(&manifest()).unwrap();
        let nested = around(&[&json]);
        assert_eq!(Manifest::read(&nested), Ok(Some(manifest())));
        let own = Manifest { name: "own".to_owned(), ..manifest() };
        assert_eq!(Manifest::read(&own.embed(&nested).unwrap()), Ok(Some(own)));
        assert_eq!(Manifest::read(&around(&[&json, &json])), Err(ManifestError::Ambiguous(2)));
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for json in ["", "[]", "{\"hooks\":[\"helo\"]}", "{\"requests\":{\"files\":true}}"] {
            let mut wasm = COMPONENT.to_vec();
            append_section(&mut wasm, json.as_bytes());
            assert!(matches!(Manifest::read(&wasm), Err(ManifestError::Invalid(_))), "{json}");
        }
        let mut wasm = COMPONENT.to_vec();
        append_section(&mut wasm, br#"{"name":"a","requests":{},"later":1}"#);
        assert_eq!(Manifest::read(&wasm).unwrap().unwrap().name, "a", "unknown keys are passed over");
        assert!(matches!(Manifest::read(b"\0asm\x0d\0\x01\0\xff"), Err(ManifestError::Damaged(_))));
    }
}
