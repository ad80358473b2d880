//! What registries are told of who asks: the file that `docker login` and its kin write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

/// The variable that names the file when the settings do not; other clients of registries know it too.
const VARIABLE: &str = "REGISTRY_AUTH_FILE";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: HashMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Base64 of `user:password`.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// The credentials for a registry, of the file that the settings or the environment name. None without such a file, or
/// when it has none for that registry.
pub(super) fn of(registry: &str, file: Option<&Path>) -> Result<RegistryAuth, String> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let Some(path) = file.map(Path::to_owned).or(named) else { return Ok(RegistryAuth::Anonymous) };
    let explain = |reason: String| format!("the credentials in {} can not be read: {reason}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| explain(error.to_string()))?;
    find(&text, registry).map_err(explain)
}

fn find(text: &str, registry: &str) -> Result<RegistryAuth, String> {
    // What serde says of the place quotes nothing of the text.
    let file: File = serde_json::from_str(text).map_err(|error| {
        format!("no JSON with `auths` (line {}, column {})", error.line(), error.column())
    })?;
    let host = |name: &str| {
        let name = name.trim_start_matches("https://").trim_start_matches("http://");
        name.split('/').next().unwrap_or_default().to_owned()
    };
    let entry = file.auths.into_iter().find(|(name, _)| host(name) == registry);
    let Some((_, entry)) = entry else { return Ok(RegistryAuth::Anonymous) };
    let pair = match entry {
        Entry { username: Some(user), password: Some(password), .. } => Some((user, password)),
        Entry { auth: Some(auth), .. } => decode(&auth),
        _ => None,
    };
    let (user, password) =
        pair.ok_or_else(|| format!("the entry for {registry} has no user name and password"))?;
    Ok(RegistryAuth::Basic(user, password))
}

fn decode(auth: &str) -> Option<(String, String)> {
    let pair = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_host_and_never_quoted() {
        let text = r#"{"auths": {"https://ghcr.io/v1/": {"auth": "YW5uOnMzY3JldA=="},
            "localhost:5000": {"username": "bob", "password": "x"}, "empty.example": {}}}"#;
        assert_eq!(find(text, "ghcr.io"), Ok(RegistryAuth::Basic("ann".to_owned(), "s3cret".to_owned())));
        assert_eq!(find(text, "localhost:5000"), Ok(RegistryAuth::Basic("bob".to_owned(), "x".to_owned())));
        assert_eq!(find(text, "quay.io"), Ok(RegistryAuth::Anonymous));
        assert!(find(text, "empty.example").unwrap_err().contains("no user name and password"));
        assert!(!find("{\"auths\": \"s3cret\"}", "a").unwrap_err().contains("s3cret"));
    }
}
