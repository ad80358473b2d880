//! `baton plugin new`: a project out of a template. The templates are the folders `sdk/LANGUAGE/template`, built in.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use baton_hooks::Hook;

use crate::cli::plugin::NewOptions;
use crate::commands::write_out;

/// A language, and its files: path, text.
type Template = (&'static str, &'static [(&'static str, &'static str)]);

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// Octets of a plugin's name.
const NAME_OCTETS_MAX: usize = 64;

pub(crate) fn run(options: &NewOptions) -> anyhow::Result<()> {
    let name = check_name(&options.name)?;
    let hooks = check_hooks(&options.hooks)?;
    let files = find_template(&options.lang)?;
    let folder = Path::new(name);
    if folder.exists() {
        bail!("{name} is there already; choose another name, or remove it");
    }
    let sdk = find_sdk(options.sdk.as_deref(), &options.lang)?;
    let places = Places { name, hooks: &hooks, sdk: &sdk.display().to_string() };
    for (path, text) in files {
        let path = folder.join(places.fill(&path.replace("gitignore", ".gitignore")));
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        let text = places.fill(&pick(text, &hooks));
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    write_out(&format!(
        "{name} is a plugin in {}. Next:\n  cd {name}\n  baton plugin build\n  baton plugin test\n  baton plugin dev\n\
         {name}/README.md says which tools it needs.\n",
        options.lang
    ))
}

fn check_name(name: &str) -> anyhow::Result<&str> {
    let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !starts || name.len() > NAME_OCTETS_MAX || name == "shared" || !name.bytes().all(fits) {
        bail!(
            "`{name}` can not be the name of a plugin; begin with a letter and use lower-case letters, digits and \
             hyphens, at most {NAME_OCTETS_MAX}, and not `shared`"
        );
    }
    Ok(name)
}

fn check_hooks(names: &[String]) -> anyhow::Result<Vec<Hook>> {
    let read = |name: &String| {
        let known = Hook::ALL.map(Hook::as_str).join(", ");
        Hook::from_name(name).ok_or_else(|| anyhow!("`{name}` is no hook; the hooks are {known}"))
    };
    names.iter().map(read).collect()
}

fn find_template(language: &str) -> anyhow::Result<&'static [(&'static str, &'static str)]> {
    let found = TEMPLATES.iter().find(|(name, _)| *name == language).map(|(_, files)| *files);
    found.ok_or_else(|| {
        let known: Vec<_> = TEMPLATES.iter().map(|(name, _)| *name).collect();
        anyhow!("there is no template for `{language}`; there are {}", known.join(", "))
    })
}

/// The folder with the SDKs: the one that was named, or one above this folder or the program.
fn find_sdk(named: Option<&Path>, language: &str) -> anyhow::Result<PathBuf> {
    let is_sdk = |folder: &Path| folder.join(language).is_dir() && folder.join("rust/Cargo.toml").is_file();
    if let Some(folder) = named {
        if !is_sdk(folder) {
            bail!(
                "--sdk {}: there is no SDK for {language} in it; name the folder `sdk` of Baton's sources",
                folder.display()
            );
        }
        return folder.canonicalize().with_context(|| folder.display().to_string());
    }
    let program = std::env::current_exe().ok();
    let here = std::env::current_dir().context("the current folder can not be found")?;
    let starts = here.ancestors().chain(program.iter().flat_map(|program| program.ancestors()));
    let mut candidates = starts.map(|folder| folder.join("sdk"));
    let found = candidates.find(|folder| is_sdk(folder));
    found.ok_or_else(|| {
        anyhow!("the SDKs were not found; name the folder `sdk` of Baton's sources: --sdk DIR")
    })
}

/// What stands for the marks of a template.
struct Places<'a> {
    name: &'a str,
    hooks: &'a [Hook],
    sdk: &'a str,
}

impl Places<'_> {
    fn fill(&self, text: &str) -> String {
        let hooks: Vec<_> = self.hooks.iter().map(|hook| format!("\"{hook}\"")).collect();
        text.replace("{{name}}", self.name)
            .replace("{{hooks}}", &hooks.join(", "))
            .replace("{{sdk}}", self.sdk)
    }
}

/// Leaves out what belongs to hooks that are not wanted, and the marks. A mark is a line with nothing but a comment that
/// says `hook: NAME`, or `hook: end`.
fn pick(text: &str, hooks: &[Hook]) -> String {
    let mut picked = String::with_capacity(text.len());
    let mut wanted = true;
    for line in text.split_inclusive('\n') {
        match mark(line) {
            Some("end") => wanted = true,
            Some(name) => wanted = hooks.iter().any(|hook| hook.as_str() == name),
            None if wanted => picked.push_str(line),
            None => {}
        }
    }
    picked
}

fn mark(line: &str) -> Option<&str> {
    let comment =
        line.trim().trim_start_matches(['/', '#', '*', '<', '!', '-']).trim_end_matches(['*', '/', '-', '>']);
    let name = comment.trim().strip_prefix("hook: ")?;
    let is_comment = line.trim_start().starts_with(['/', '#', '<']);
    (is_comment && !name.contains(' ')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_other_hooks_is_left_out() {
        let text = "a\n// hook: rcpt\nb\n  # hook: data\nc\n<!-- hook: end -->\nd: hook: rcpt\n";
        assert_eq!(pick(text, &[Hook::Rcpt]), "a\nb\nd: hook: rcpt\n");
        assert_eq!(pick(text, &[Hook::Data]), "a\nc\nd: hook: rcpt\n");
    }

    #[test]
    fn every_template_is_a_whole_project() {
        assert!(TEMPLATES.iter().any(|(language, _)| *language == "rust"));
        for (language, files) in TEMPLATES {
            for needed in ["plugin.toml", "cases.toml", "README.md"] {
                assert!(files.iter().any(|(path, _)| *path == needed), "{language} has no {needed}");
            }
        }
    }

    #[test]
    fn names_and_hooks_are_checked() {
        assert!(check_name("my-guard2").is_ok());
        for bad in ["", "Guard", "2guard", "a_b", "shared", "../x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        let error = check_hooks(&["helo".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`helo` is no hook; the hooks are connect, auth"), "{error}");
    }
}
