//! Plugins that come from an OCI registry: by tag, by digest, and when the registry has one of its faults.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use baton_tests::program;
use baton_tests::registry::{CREDENTIALS, Manner, Registry};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;

/// A relay that does not run yet, beside a registry that holds the zoo as `zoo:1`.
struct Yard {
    registry: Registry,
    relay: Relay,
}

impl Yard {
    fn new() -> Result<Yard> {
        let yard = Yard { registry: Registry::start()?, relay: Relay::prepare(Settings::new())? };
        yard.write("", "")?;
        yard.push(&program::plugin("baton-plugin-zoo")?, "zoo:1")?;
        Ok(yard)
    }

    fn reference(&self, name: &str) -> String {
        format!("oci://{}/team/{name}", self.registry.address())
    }

    /// Writes the settings: a plugin of that name (none when it is empty), and more.
    fn write(&self, name: &str, more: &str) -> Result<()> {
        let mut settings = Settings::new().with(&format!(
            "[registry]\nplain_http = ['{}']\n[plugin_trust]\nrequire = 'none'\n",
            self.registry.address()
        ));
        if !name.is_empty() {
            let source = if name.contains("://") { name.to_owned() } else { self.reference(name) };
            settings = settings.plugin("zoo", Path::new(&source)).set("plugins.zoo.config.rcpt", "reject");
        }
        self.relay.write_settings(settings.with(more))
    }

    /// Pushes a file; answers what the tool says how to use it.
    fn push(&self, file: &Path, name: &str) -> Result<String> {
        let file = file.display().to_string();
        let said = self.relay.said(&["plugin", "push", &file, &self.reference(name)])?;
        let pinned = said.split("source = \"").nth(1).and_then(|rest| rest.split('"').next());
        Ok(pinned.with_context(|| said.clone())?.to_owned())
    }

    fn pull(&self, reference: &str) -> Result<String> {
        Ok(all(&self.relay.run(&["plugin", "pull", reference])?))
    }

    /// What RCPT is answered.
    fn rcpt(&self) -> Result<String> {
        let mut client = self.relay.client()?;
        client.expect("MAIL FROM:<a@sender.example>", 250)?;
        Ok(client.command("RCPT TO:<b@dest.example>")?.text())
    }

    /// A reload that is refused with those words, after which the plugin serves as before.
    fn refuses(&self, words: &[&str]) -> Result<()> {
        let output = self.relay.run(&["reload"])?;
        let said = all(&output);
        ensure!(!output.status.success(), "reloaded: {said}");
        for words in words {
            ensure!(said.contains(words), "`{words}` was not said: {said}");
        }
        ensure!(self.rcpt()?.contains("the zoo is closed"), "the running generation changed");
        Ok(())
    }
}

fn all(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_tag_is_resolved_at_each_load_and_a_digest_needs_no_registry() -> Result<()> {
    let mut yard = Yard::new()?;
    yard.write("zoo:1", "")?;
    yard.relay.start_again()?;
    ensure!(yard.rcpt()?.contains("the zoo is closed"), "the plugin does not serve");
    ensure!(yard.relay.log().contains("team/zoo:1 is sha256:"), "{}", yard.relay.log());

    // The tag moves on: the next load has the new plugin, and the old one is gone.
    yard.push(&program::plugin("baton-plugin-noop")?, "zoo:1")?;
    let said = yard.relay.said(&["reload"])?;
    ensure!(
        said.contains("note: plugins.zoo.source: ") && said.contains("to stay with it: source = "),
        "{said}"
    );
    ensure!(!yard.rcpt()?.contains("the zoo is closed"), "the old plugin serves");

    // What was fetched before is used without asking, although nobody is there to ask.
    let pinned = yard.push(&program::plugin("baton-plugin-zoo")?, "zoo:2")?;
    let said = yard.pull(&pinned)?;
    ensure!(said.contains(&format!("source = \"{pinned}\"")), "{said}");
    yard.relay.stop()?;
    yard.registry.behave(Manner::Broken);
    let asked = yard.registry.requests();
    yard.write(&pinned, "")?;
    yard.relay.start_again()?;
    ensure!(yard.rcpt()?.contains("the zoo is closed"), "the pinned plugin does not serve");
    ensure!(yard.registry.requests() == asked, "the registry was asked");

    // A kept file that somebody changed is not used.
    let hex = pinned.split("sha256:").nth(1).context("a digest")?.to_owned();
    let kept = yard.relay.spool().join(format!("artefacts/{hex}.wasm"));
    fs::write(&kept, fs::read(program::plugin("baton-plugin-noop")?)?)?;
    yard.refuses(&["plugins.zoo.source", "answers 503", "try again"])
}

#[test]
fn each_fault_of_a_registry_is_named_and_the_running_generation_stays() -> Result<()> {
    let mut yard = Yard::new()?;
    let pinned = yard.push(&program::plugin("baton-plugin-zoo")?, "zoo:1")?;
    yard.write(&pinned, "")?;
    yard.relay.start_again()?;
    yard.write("zoo:3", "")?;
    yard.refuses(&["plugins.zoo.source", "the registry has no tag `3`"])?;
    yard.registry.put_manifest("team/zoo", "image", "{\"schemaVersion\": 2, \"config\": {\"mediaType\": \"x\", \"digest\": \"x\", \"size\": 1}, \"layers\": []}");
    yard.write("zoo:image", "")?;
    yard.refuses(&["it holds no WebAssembly component"])?;

    // What is kept was taken when it was allowed.
    fs::remove_dir_all(yard.relay.spool().join("artefacts"))?;
    yard.write("zoo:1", "[engine]\ncomponent_octets_max = 2000\n")?;
    yard.refuses(&["2000 are allowed", "engine.component_octets_max"])?;

    yard.registry.behave(Manner::Forging);
    yard.write("zoo:1", "")?;
    yard.refuses(&["what the registry sent is not what its digest says"])?;
    yard.write(&pinned, "")?;
    yard.refuses(&["what the registry sent is not what its digest says"])?;

    yard.registry.behave(Manner::Silent);
    yard.write("zoo:1", "[registry]\npull_ms = 500\n")?;
    yard.refuses(&["did not answer in time", "registry.pull_ms"])?;

    let nobody = "oci://127.0.0.1:1/team/zoo:1";
    yard.write(nobody, "[registry]\nplain_http = ['127.0.0.1:1']\n")?;
    yard.refuses(&["the registry 127.0.0.1:1 can not be asked: ", "refused", "pinned by its digest"])?;
    yard.write("oci://zoo:1", "")?;
    yard.refuses(&["plugins.zoo.source", "it names no registry"])
}

#[test]
fn a_registry_that_wants_credentials_gets_those_of_the_file() -> Result<()> {
    let mut yard = Yard::new()?;
    yard.registry.behave(Manner::Guarded);
    let said = yard.pull(&yard.reference("zoo:1"))?;
    ensure!(
        said.contains("wants credentials, and there are none") && said.contains("credentials_file"),
        "{said}"
    );
    let (folder, address) = (yard.relay.folder().to_owned(), yard.registry.address().to_string());
    let credentials = CREDENTIALS.replace("REGISTRY", &address);
    fs::write(folder.join("auth.json"), credentials.replace("YW5uOnNlY3JldA==", "YW5uOndyb25n"))?;
    let more = "[registry]\ncredentials_file = 'auth.json'\n";
    yard.write("zoo:1", more)?;
    let said = yard.pull(&yard.reference("zoo:1"))?;
    ensure!(said.contains("refuses the credentials") && !said.contains("wrong"), "{said}");
    fs::write(folder.join("auth.json"), credentials)?;
    yard.relay.start_again()?;
    ensure!(yard.rcpt()?.contains("the zoo is closed"), "the plugin does not serve");
    Ok(())
}

#[test]
fn what_is_pulled_is_trusted_and_pinned_like_a_file() -> Result<()> {
    let mut yard = Yard::new()?;
    let folder = yard.relay.folder().to_owned();
    let file = folder.join("zoo.wasm");
    fs::copy(program::plugin("baton-plugin-zoo")?, &file)?;
    let run = |words: &[&str]| -> Result<String> {
        let output =
            std::process::Command::new(program::relay()?).args(words).current_dir(&folder).output()?;
        ensure!(output.status.success(), "{}", all(&output));
        Ok(all(&output))
    };
    run(&["plugin", "keygen", "release"])?;
    run(&["plugin", "sign", "release.key", "zoo.wasm"])?;
    let public = fs::read_to_string(folder.join("release.pub"))?;
    let trust = format!(
        "[plugin_trust]\nrequire = 'oci'\nkeys = [{{ name = 'release', public = '{}' }}]\n",
        public.trim()
    );
    yard.write("zoo:1", &trust)?;
    let refused = all(&yard.relay.start_in_vain()?);
    ensure!(refused.contains("plugins.zoo") && refused.contains("is not signed"), "{refused}");
    yard.push(&file, "zoo:signed")?;
    yard.write("zoo:signed", &trust)?;
    yard.relay.start_again()?;
    ensure!(yard.rcpt()?.contains("the zoo is closed"), "the signed plugin does not serve");
    yard.write("zoo:signed", &format!("{trust}[plugins.zoo]\nsha256 = '{}'\n", "0".repeat(64)))?;
    yard.refuses(&["plugins.zoo.sha256", "0000"])?;
    let said =
        run(&["plugin", "pull", &yard.reference("zoo:signed"), "-s", "baton.toml", "-o", "copy.wasm"])?;
    ensure!(said.contains("kept as "), "{said}");
    let said = run(&["plugin", "verify", "copy.wasm", "--key", "release.pub"])?;
    ensure!(said.contains("signed by"), "{said}");
    Ok(())
}
