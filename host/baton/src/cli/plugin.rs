//! The commands of those who write plugins.

use std::path::PathBuf;

use baton_mail::tenant::Label;
use clap::{Args, Subcommand};

use super::{SettingsOption, Target};

#[derive(Args, Debug)]
pub(crate) struct PluginOptions {
    #[command(subcommand)]
    pub(crate) command: PluginCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Make a new plugin project that builds, passes its test and runs in the relay
    New(NewOptions),
    /// Build the plugin of a project, embed its manifest, check it
    Build(ProjectOptions),
    /// Embed the manifest of a project into a component that was built otherwise
    Pack(PackOptions),
    /// Check that a component fits this relay: contract, hooks, grants, limits
    Check(ComponentOptions),
    /// Show what a component is, imports and exports, and what it could do with what it asks for
    Inspect(ComponentOptions),
    /// Run the self-test cases of a plugin: the real component in the real plugin host
    Test(TestOptions),
    /// Measure a plugin over its self-test cases: time, host calls, octets, memory, instructions
    Bench(BenchOptions),
    /// Watch a project: build, check, test and swap it into a local relay, and tell what it decides
    Dev(DevOptions),
    /// Make recorded calls again with a new build: which decisions, edits, host calls differ
    Replay(ReplayOptions),
    /// Fetch a plugin from an OCI registry, and tell how to pin it
    Pull(PullOptions),
    /// Put a plugin into an OCI registry, with the signature beside it if there is one
    Push(PushOptions),
    /// List the plugins of the running relay, as `baton plugins` does
    Ls(Target),
    /// Let a plugin of the running relay be watched only, or its new version serve a share of the mail
    Switch(SwitchOptions),
    /// Let a plugin of the running relay run as the settings say again
    Clear(ClearOptions),
    /// Print the plugins that each hook asks, in order: by the settings, or of the running relay
    Order(OrderOptions),
    /// Make a key that signs plugins: NAME.key, to be kept secret, and NAME.pub
    Keygen(KeygenOptions),
    /// Sign a plugin: its signature is put beside it, as FILE.sig
    Sign(SignOptions),
    /// Check the signature of a plugin, by a public key or by the keys of the settings
    Verify(VerifyOptions),
}

/// The folder of a project.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProjectOptions {
    /// The folder with plugin.toml
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct NewOptions {
    /// The plugin's name: lower-case letters, digits and hyphens; the folder that is made has it too
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The language
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    pub(crate) lang: String,
    /// The hooks that it is to serve
    #[arg(long, value_name = "HOOK,...", value_delimiter = ',', default_value = "rcpt")]
    pub(crate) hooks: Vec<String>,
    /// The folder `sdk` of Baton's sources; by default it is looked for above this folder and above the program
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct PackOptions {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    pub(crate) component: PathBuf,
    /// The folder with plugin.toml
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) project: PathBuf,
    /// Where the result goes; by default the component is replaced
    #[arg(long, short, value_name = "FILE.wasm")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ComponentOptions {
    /// The component; by default what the project in this folder builds
    #[arg(value_name = "FILE.wasm")]
    pub(crate) component: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TestOptions {
    #[command(flatten)]
    pub(crate) component: ComponentOptions,
    /// The cases; by default the project's, or those that the component carries
    #[arg(long, value_name = "FILE")]
    pub(crate) cases: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct BenchOptions {
    #[command(flatten)]
    pub(crate) test: TestOptions,
    /// Calls that are measured of each case
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    pub(crate) calls: u32,
}

#[derive(Args, Debug)]
pub(crate) struct DevOptions {
    #[command(flatten)]
    pub(crate) project: ProjectOptions,
    /// Where the local relay listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2525")]
    pub(crate) listen: std::net::SocketAddr,
    /// A TOML file with the plugin's settings
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayOptions {
    /// Records, or folders with records, as `[plugins.NAME.record]` has them written
    #[arg(value_name = "RECORD", required = true)]
    pub(crate) records: Vec<PathBuf>,
    /// The new build
    #[arg(long, value_name = "FILE")]
    pub(crate) plugin: PathBuf,
    /// Take the plugin's config, grants and limits from these settings; by default config and grants are as recorded
    #[arg(long, short, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// The plugin whose calls are replayed; by default the only one that the records are of
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PullOptions {
    /// Such as oci://registry.example/team/guard:1.2; the scheme may be left out
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,
    /// Copy the component to this file too, and its signature beside it
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) file: SettingsOption,
}

#[derive(Args, Debug)]
pub(crate) struct PushOptions {
    /// The component
    #[arg(value_name = "FILE")]
    pub(crate) component: PathBuf,
    /// Such as oci://registry.example/team/guard:1.2; the scheme may be left out
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) file: SettingsOption,
}

#[derive(Args, Debug)]
pub(crate) struct OrderOptions {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Ask the running relay instead of loading the plugins of the settings
    #[arg(long)]
    pub(crate) running: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SwitchOptions {
    /// Its name in the settings
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Whether its answers count: `enforce`, or `monitor`
    #[arg(long, value_name = "MODE", required_unless_present = "next")]
    pub(crate) mode: Option<String>,
    /// What the new version beside it is for: `shadow`, or `canary`
    #[arg(long, value_name = "MODE")]
    pub(crate) next: Option<String>,
    /// The share of sessions that the canary serves, from 0 to 100; 0 without a tenant lets it rest
    #[arg(long, value_name = "PERCENT", requires = "next")]
    pub(crate) percent: Option<u8>,
    /// The tenant that the canary serves, whatever the share
    #[arg(long, value_name = "TENANT", requires = "next")]
    pub(crate) tenant: Option<Label>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct ClearOptions {
    /// Its name in the settings
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct KeygenOptions {
    /// What to call the key; the files get this name
    #[arg(value_name = "NAME")]
    pub(crate) name: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct SignOptions {
    /// The secret key, a file of `baton plugin keygen`
    #[arg(value_name = "KEY")]
    pub(crate) key: PathBuf,
    /// The plugins
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyOptions {
    /// The plugins
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// A public key, or a file with one; without it the keys of the settings count
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) file: SettingsOption,
}
