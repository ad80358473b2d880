//! `baton plugin inspect`: what a component is, and what it could do.

use baton_hooks::manifest::Manifest;
use baton_hooks::shape::Shape;
use serde_json::json;

use super::artefact::Artefact;
use super::check::or_nothing;
use crate::cli::plugin::ComponentOptions;
use crate::commands::write_out;
use crate::render::words::octets;

pub(crate) async fn run(options: ComponentOptions) -> anyhow::Result<()> {
    let artefact = Artefact::find(options.component.as_deref())?;
    let shape = Shape::read(&artefact.octets)?;
    let text = if options.json { as_json(&artefact, &shape) } else { as_text(&artefact, &shape) };
    write_out(&text)
}

fn as_text(artefact: &Artefact, shape: &Shape) -> String {
    let size = octets(artefact.octets.len() as u64);
    let mut text = format!("{}  {size}, sha256 {}\n", artefact.path.display(), shape.sha256);
    if !shape.is_component {
        text += "a core module, not a component: `baton plugin build` makes one of it\n";
    }
    match &artefact.manifest {
        Some(manifest) => text += &about(manifest),
        None => text += "no manifest: it counts as asking for all that it imports\n",
    }
    let hooks: Vec<_> = shape.hooks.iter().map(|hook| hook.as_str()).collect();
    text += &format!("\nhooks     {}\n", or_nothing(hooks.join(", ")));
    text += &format!("imports   {}\n", or_nothing(shape.imports.join("\n          ")));
    text += &format!("exports   {}\n", or_nothing(shape.exports.join("\n          ")));
    text
}

/// What the manifest says, and what it means to grant what it asks for.
fn about(manifest: &Manifest) -> String {
    let Manifest { name, version, description, license, .. } = manifest;
    let mut text = format!("{name} {version}, {license}\n{description}\n");
    if let Some(policy) = manifest.on_failure {
        text += &format!("when it fails, its author suggests: {}\n", policy.as_str());
    }
    for (limit, value) in &manifest.limits {
        text += &format!("suggested limit: {limit} = {value}\n");
    }
    let has = |what: bool, word: &str| format!("{} {word}", if what { "with" } else { "without" });
    text += &format!(
        "{}, {}\n",
        has(manifest.cases.is_some(), "self-test cases"),
        has(manifest.schema.is_some(), "a schema of its settings")
    );
    let asked = manifest.requests.in_words();
    text += "\nasks for\n";
    if asked.is_empty() {
        text += "  nothing: it reads what it is asked about, and decides\n";
    }
    text.extend(asked.iter().map(|grant| format!("  {grant}: {}\n", power(grant))));
    text
}

/// What somebody could do with a grant, in plain words.
fn power(grant: &str) -> &'static str {
    match grant.split(' ').next().unwrap_or_default() {
        "edit" if grant.ends_with("body") => {
            "rewrites what people read, attachments included; this makes it as powerful as the administrator"
        }
        "edit" if grant.ends_with("headers") => {
            "adds, replaces and removes header fields, From and Subject included; not Received and DKIM-Signature"
        }
        "edit" if grant.ends_with("trace") => "changes Received fields, by which mail loops are found",
        "edit" if grant.ends_with("recipients") => {
            "adds, removes and redirects recipients: it could send copies of mail to anybody"
        }
        "edit" if grant.ends_with("sender") => "changes the return path: where bounces go, and what SPF sees",
        "relay" => "its `accept` lets mail in for any recipient: a mistake in it makes an open relay",
        "route" if grant.ends_with('*') => "sends mail to any host that it likes",
        "route" => "sends mail there instead of to the recipient's own host",
        "kv" if grant.contains("shared/") => "reads and writes a bucket that other plugins share",
        "kv" => "keeps data of its own between calls, in a bucket of bounded size",
        "dns" => "asks the DNS; by the names that it asks for it can tell outsiders what it sees",
        "http" => "talks to these servers, and can tell them all that it sees",
        "secret" | "secrets" => "reads this secret of the settings",
        "verify" => "asks next hops about recipients",
        _ => "see `PLUGINS` in the README",
    }
}

fn as_json(artefact: &Artefact, shape: &Shape) -> String {
    let value = json!({
        "file": artefact.path,
        "octets": artefact.octets.len(),
        "sha256": shape.sha256,
        "component": shape.is_component,
        "hooks": shape.hooks,
        "imports": shape.imports,
        "exports": shape.exports,
        "manifest": artefact.manifest,
    });
    value.to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn every_grant_has_its_words() {
        for grant in [
            "edit body",
            "edit headers",
            "edit trace",
            "edit recipients",
            "edit sender",
            "relay",
            "route *",
            "route mx",
        ] {
            assert!(!power(grant).starts_with("see"), "{grant}");
        }
        assert!(power("edit body").contains("administrator"));
        assert_ne!(power("route *"), power("route host:mx.example"));
        assert_ne!(power("kv shared/lists"), power("kv rate"));
    }
}
