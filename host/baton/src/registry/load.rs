//! The plugins of the settings, each with a file.

use std::path::PathBuf;

use futures_util::future::join_all;

use super::{Pulled, Registry, Source};
use crate::settings::check::Checked;

/// The plugins, with files in the place of what comes from registries.
pub(crate) struct Fetched {
    pub(crate) plugins: Vec<baton_hooks::PluginSettings>,
    /// What tags stand for.
    pub(crate) advice: Vec<String>,
}

/// Fetches what is not there. Answers every error that was found, each with the key that it is about.
pub(crate) async fn fetch_all(checked: &Checked) -> Result<Fetched, Vec<String>> {
    let registry = Registry::new(checked.registry.clone());
    let mut plugins = checked.plugins.clone();
    let (mut advice, mut errors) = (Vec::new(), Vec::new());
    let wanted: Vec<(String, &mut PathBuf)> = plugins
        .iter_mut()
        .flat_map(|plugin| {
            let key = format!("plugins.{}", plugin.name);
            let next = plugin.run.next.as_mut().map(|next| (format!("{key}.next.source"), &mut next.source));
            [Some((format!("{key}.source"), &mut plugin.source)), next].into_iter().flatten()
        })
        .collect();
    let fetched = join_all(wanted.into_iter().map(|(key, path)| fetch(&registry, key, path))).await;
    for outcome in fetched {
        match outcome {
            Ok(line) => advice.extend(line),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Fetched { plugins, advice }) } else { Err(errors) }
}

/// Puts a file in the place of a source that is none. Answers what a tag stands for.
async fn fetch(registry: &Registry, key: String, path: &mut PathBuf) -> Result<Option<String>, String> {
    let Some(Ok(source)) =
        path.to_str().filter(|text| text.starts_with(super::SCHEME)).map(str::parse::<Source>)
    else {
        return Ok(None);
    };
    let pulled = registry.pull(&source).await.map_err(|error| format!("{key}: {source}: {error}"))?;
    let Pulled { digest, path: file } = pulled;
    *path = file;
    Ok(source.digest().is_none().then(|| {
        format!("{key}: {source} is {digest} now; to stay with it: source = \"{}\"", source.pinned(&digest))
    }))
}
