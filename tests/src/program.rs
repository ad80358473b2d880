//! Where the programs under test are, and what to type when they are not.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The checkout in which the tests run. Asked at run time: two checkouts may share what was built.
pub fn repository() -> PathBuf {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package's folder when it runs tests");
    Path::new(&package).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The relay: `BATON_BIN`, or the program of this build.
pub fn relay() -> Result<PathBuf> {
    let path = match env::var_os("BATON_BIN") {
        Some(path) => PathBuf::from(path),
        None => target()?.join("debug/baton"),
    };
    if !path.is_file() {
        bail!("there is no relay at {}: run `make test`, or `make relay` first", path.display());
    }
    Ok(path)
}

/// A plugin by its name: in `BATON_PLUGIN_DIR`, or as this build made it.
pub fn plugin(name: &str) -> Result<PathBuf> {
    let directory = match env::var_os("BATON_PLUGIN_DIR") {
        Some(path) => PathBuf::from(path),
        None => target()?.join("wasm32-wasip2/plugin"),
    };
    let file = format!("{}.wasm", name.replace('-', "_"));
    let path = directory.join(file);
    if !path.is_file() {
        bail!("there is no plugin at {}: run `make test`, or `make guests` first", path.display());
    }
    Ok(path)
}

/// Where cargo puts what it builds: told by its variable, or seen from where this test itself lies.
fn target() -> Result<PathBuf> {
    if let Some(path) = env::var_os("CARGO_TARGET_DIR") {
        return Ok(PathBuf::from(path));
    }
    let own = env::current_exe()?;
    match own.ancestors().find(|path| path.ends_with("debug")).and_then(Path::parent) {
        Some(path) => Ok(path.to_path_buf()),
        None => bail!("CARGO_TARGET_DIR is not set and {} lies in no build folder", own.display()),
    }
}
