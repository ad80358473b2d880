//! Builds the templates of `baton plugin new` in: the text files below `sdk/LANGUAGE/template`.
//!
//! All paths are relative to this package: two checkouts may share what was built, and each has templates of its own.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The languages, each with a folder below `sdk`.
const LANGUAGES: [&str; 6] = ["rust", "js", "ts", "python", "c", "go"];

/// Where they are; build scripts run in the folder of their package.
const SDK: &str = "../../sdk";

fn main() -> io::Result<()> {
    let sdk = Path::new(SDK);
    // It names the languages, so it changes when one comes.
    println!("cargo::rerun-if-changed={}", sdk.join("README.md").display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut code = String::from("static TEMPLATES: &[Template] = &[\n");
    for language in LANGUAGES {
        let template = sdk.join(language).join("template");
        if template.is_dir() {
            println!("cargo::rerun-if-changed={}", template.display());
            add(&mut code, language, &template)?;
        }
    }
    code.push_str("];\n");
    let output = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("templates.rs");
    fs::write(output, code)
}

/// One language: its name, and its files.
fn add(code: &mut String, language: &str, template: &Path) -> io::Result<()> {
    code.push_str(&format!("    ({language:?}, &[\n"));
    for path in files(template)? {
        let relative = path.strip_prefix(template).unwrap_or(&path).display().to_string();
        let path = format!("/{}", path.display());
        code.push_str(&format!(
            "        ({relative:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),\n"
        ));
    }
    code.push_str("    ]),\n");
    Ok(())
}

/// All files below a folder, in order.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}
