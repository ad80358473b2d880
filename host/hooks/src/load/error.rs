//! Why plugins were not loaded: each error names the plugin, the file or setting, and the remedy.

use std::io;
use std::path::PathBuf;

use baton_mail::text::sanitize;

use crate::cases::{CaseReport, InvalidCases};
use crate::guard::GuardError;
use crate::manifest::ManifestError;
use crate::policy::{Failure, FailureKind};
use crate::script::Problem;
use crate::trust::TrustError;
use crate::{Hook, PluginSettings};

/// Octets of a plugin's own words in an error.
const WORDS_OCTETS_MAX: usize = 512;
/// Octets of what is told about a self-test.
pub(super) const DETAIL_OCTETS_MAX: usize = 4 * WORDS_OCTETS_MAX;

/// One reason why the plugins of a load can not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The name is not one.
    #[error(
        "plugins.{plugin}: a plugin's name begins with a letter, has lower-case letters, digits and hyphens, at most 64, and is not \"shared\""
    )]
    Name {
        /// The plugin.
        plugin: String,
    },
    /// The name is used twice.
    #[error("plugins.{plugin}: there are two plugins of that name; rename one")]
    Duplicate {
        /// The plugin.
        plugin: String,
    },
    /// A limit is beyond that of the engine.
    #[error(
        "plugins.{plugin}.limits.{limit}: {value} is more than the engine allows ({max}); lower it, or raise the engine's limit and restart"
    )]
    Limit {
        /// The plugin.
        plugin: String,
        /// The limit.
        limit: &'static str,
        /// What was set.
        value: usize,
        /// What is possible.
        max: usize,
    },
    /// A secret can not be read.
    #[error(
        "plugins.{plugin}.secrets.{name}: {reason}; correct the path or the variable, or take the secret out"
    )]
    Secret {
        /// The plugin.
        plugin: String,
        /// The secret's name.
        name: String,
        /// Why; never what stands there.
        reason: String,
    },
    /// A grant is not one.
    #[error(
        "plugins.{plugin}.grants.http: \"{grant}\": {reason}; write the beginning of a URL, such as \"https://api.example/v1/\""
    )]
    HttpGrant {
        /// The plugin.
        plugin: String,
        /// What stands there.
        grant: String,
        /// What is wrong.
        reason: String,
    },
    /// The file can not be read.
    #[error("plugins.{plugin}.source: {path}: {source}")]
    Unreadable {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large.
    #[error(
        "plugins.{plugin}.source: {path} has {octets} octets, more than the {octets_max} that are loaded; build it for size (opt-level = \"s\", strip, lto)"
    )]
    TooLarge {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Its size.
        octets: u64,
        /// The bound.
        octets_max: u64,
    },
    /// The file is a core module.
    #[error("plugins.{plugin}.source: {path} is not a component but a core module; build for wasm32-wasip2")]
    CoreModule {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
    },
    /// The file is no WebAssembly.
    #[error(
        "plugins.{plugin}.source: {path} is not a WebAssembly component; build for wasm32-wasip2 and name the .wasm file"
    )]
    NotWasm {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
    },
    /// The file is not the one that the settings pin.
    #[error(
        "plugins.{plugin}.sha256: {path} is not the file that is pinned: its SHA-256 is {found}, pinned is {pinned}; if the change is meant, write sha256 = \"{found}\""
    )]
    Pin {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The digest of the settings.
        pinned: String,
        /// The digest of the file.
        found: String,
    },
    /// The file is not signed as it must be.
    #[error("plugins.{plugin}.source: {path}: {source}")]
    Trust {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: TrustError,
    },
    /// The manifest of the file can not be used.
    #[error("plugins.{plugin}.source: {path}: {source}")]
    Manifest {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// The manifest names a hook that the component lacks.
    #[error(
        "plugins.{plugin}.source: the manifest of {path} names the hook {hook}, but the component does not export baton:relay/{interface}; implement it, or take \"{hook}\" out of hooks in plugin.toml, and rebuild"
    )]
    ManifestHook {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The hook.
        hook: Hook,
        /// The interface that is missing.
        interface: &'static str,
    },
    /// The component is not valid.
    #[error("plugins.{plugin}.source: {path} does not compile: {detail}")]
    Compile {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// What the compiler says.
        detail: String,
    },
    /// The component needs an interface that there is not.
    #[error(
        "plugins.{plugin}.source: {path} imports {interface}, which this relay does not give to plugins; {remedy}"
    )]
    UnknownImport {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The interface with its version.
        interface: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The component exports a hook that there is not.
    #[error(
        "plugins.{plugin}.source: {path} exports {interface}, a hook that this relay does not know; upgrade the relay, or rebuild the plugin without it"
    )]
    UnknownExport {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The interface with its version.
        interface: String,
    },
    /// The component was built for another version of the contract.
    #[error(
        "plugins.{plugin}.source: {path} was built for {interface}, this relay offers version {offered}; rebuild it with the SDK of this relay"
    )]
    Version {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The interface with the version that the component has.
        interface: String,
        /// The versions of the relay.
        offered: String,
    },
    /// The component speaks two versions of the contract.
    #[error(
        "plugins.{plugin}.source: {path} was built for {interface} and for {other}: a plugin speaks one version of the contract; rebuild it with one SDK"
    )]
    Mixed {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// An interface with its version.
        interface: String,
        /// One with another version.
        other: String,
    },
    /// An interface has another shape than the contract says.
    #[error(
        "plugins.{plugin}.source: {path} does not fit the contract: {detail}; rebuild it with the SDK of this relay"
    )]
    Mismatch {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Which interface and function, and how they differ.
        detail: String,
    },
    /// A function of an interface is missing, or has other types than the contract says.
    #[error(
        "plugins.{plugin}.source: {path} was built for {interface}, whose function {function} does not fit version {offered} of this relay: {detail}; rebuild it with the SDK of this relay, or upgrade the relay"
    )]
    Shape {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The interface with the version that the component has.
        interface: String,
        /// The function.
        function: String,
        /// How it differs.
        detail: String,
        /// The version of the relay.
        offered: &'static str,
    },
    /// A self-test failed.
    #[error(
        "plugins.{plugin}.source: {path} fails its self-test \"{case}\": {detail}; get a file that passes (`baton plugin test` runs them), or set plugins.{plugin}.self_test = false"
    )]
    SelfTest {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The case.
        case: String,
        /// What was expected, and what it did.
        detail: String,
    },
    /// The self-tests can not be read.
    #[error(
        "plugins.{plugin}.source: the self-tests of {path} can not be read: {detail}; get a file whose cases this relay knows, or set plugins.{plugin}.self_test = false"
    )]
    SelfTestUnreadable {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        detail: String,
    },
    /// The self-tests do not come to an end.
    #[error(
        "plugins.{plugin}.source: {path} is at its self-test \"{case}\" after the {time_ms} ms that all of them have; get a file with shorter ones, raise engine.self_test_ms and restart, or set plugins.{plugin}.self_test = false"
    )]
    SelfTestTime {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The case.
        case: String,
        /// Milliseconds.
        time_ms: u32,
    },
    /// The component lacks a hook of the settings.
    #[error(
        "plugins.{plugin}.hooks: {path} has no {hook} hook (it serves {exported}); remove \"{hook}\" from hooks, or export baton:relay/{interface} in the plugin"
    )]
    MissingHook {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The hook.
        hook: Hook,
        /// The interface that is missing.
        interface: &'static str,
        /// The hooks that are there.
        exported: String,
    },
    /// The component has no hook at all.
    #[error(
        "plugins.{plugin}.source: {path} exports no hook, so it would never be asked; export one, for example baton:relay/rcpt-hook"
    )]
    NoHook {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
    },
    /// The script does not load.
    #[error("plugins.{plugin}.source: {place}: {message}")]
    Script {
        /// The plugin.
        plugin: String,
        /// The file, with line and column where they are known.
        place: String,
        /// What is wrong there.
        message: String,
    },
    /// The script lacks a hook of the settings.
    #[error(
        "plugins.{plugin}.hooks: {path} defines no {hook} hook (it defines {defined}); remove \"{hook}\" from hooks, or export a function {function} in the script"
    )]
    Undefined {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The hook.
        hook: Hook,
        /// The function that is missing.
        function: String,
        /// The hooks that are there.
        defined: String,
    },
    /// The plugin does not like its settings.
    #[error("plugins.{plugin}.config{path}: {message}")]
    Config {
        /// The plugin.
        plugin: String,
        /// The setting, with a dot in front; empty for all of it.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// A guard is not an expression that can be used at its hook.
    #[error("plugins.{plugin}.{guard}")]
    Guard {
        /// The plugin.
        plugin: String,
        /// The key, and what is wrong.
        guard: String,
    },
    /// The new version beside a plugin can not be used.
    #[error("plugins.{plugin}.next.{rest}")]
    Next {
        /// The plugin.
        plugin: String,
        /// The rest of the key, and what is wrong.
        rest: String,
    },
    /// A new version lacks a hook of the one that serves.
    #[error(
        "plugins.{plugin}.next.source: {path} has no {hook} hook, which the serving version has; export it, or take \"{hook}\" out of plugins.{plugin}.hooks"
    )]
    NextHook {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// The hook.
        hook: Hook,
    },
    /// Init failed.
    #[error("plugins.{plugin}: init failed ({kind}): {detail}")]
    Init {
        /// The plugin.
        plugin: String,
        /// How.
        kind: FailureKind,
        /// The details.
        detail: String,
    },
    /// The order names a plugin that is not asked at that hook.
    #[error("order.{hook}: \"{plugin}\" is {what}; remove it there")]
    Order {
        /// The hook.
        hook: Hook,
        /// The plugin.
        plugin: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The order leaves out a plugin that has the hook.
    #[error(
        "order.{hook}: plugin \"{plugin}\" has this hook but is not in the list, so it would not be asked; add it, or leave \"{hook}\" out of plugins.{plugin}.hooks"
    )]
    LeftOut {
        /// The hook.
        hook: Hook,
        /// The plugin.
        plugin: String,
    },
    /// The relay is shutting down.
    #[error("loading plugins was interrupted: {detail}")]
    Interrupted {
        /// By what.
        detail: String,
    },
}

impl LoadError {
    pub(super) fn unreadable(settings: &PluginSettings, source: io::Error) -> LoadError {
        LoadError::Unreadable { plugin: settings.name.clone(), path: settings.source.clone(), source }
    }

    pub(super) fn too_large(settings: &PluginSettings, octets: u64, octets_max: u64) -> LoadError {
        LoadError::TooLarge {
            plugin: settings.name.clone(),
            path: settings.source.clone(),
            octets,
            octets_max,
        }
    }

    pub(super) fn self_test(settings: &PluginSettings, report: &CaseReport) -> LoadError {
        LoadError::SelfTest {
            plugin: settings.name.clone(),
            path: settings.source.clone(),
            case: sanitize(&report.name, WORDS_OCTETS_MAX),
            detail: sanitize(&report.mismatches().join("; "), DETAIL_OCTETS_MAX),
        }
    }

    pub(super) fn self_tests(settings: &PluginSettings, error: &InvalidCases) -> LoadError {
        let told: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        LoadError::SelfTestUnreadable {
            plugin: settings.name.clone(),
            path: settings.source.clone(),
            detail: sanitize(&told.join("; "), DETAIL_OCTETS_MAX),
        }
    }

    pub(super) fn self_test_time(settings: &PluginSettings, case: &str, time_ms: u32) -> LoadError {
        LoadError::SelfTestTime {
            plugin: settings.name.clone(),
            path: settings.source.clone(),
            case: sanitize(case, WORDS_OCTETS_MAX),
            time_ms,
        }
    }

    pub(super) fn manifest(settings: &PluginSettings, source: ManifestError) -> LoadError {
        LoadError::Manifest { plugin: settings.name.clone(), path: settings.source.clone(), source }
    }

    pub(super) fn compile(settings: &PluginSettings, detail: String) -> LoadError {
        LoadError::Compile { plugin: settings.name.clone(), path: settings.source.clone(), detail }
    }

    pub(super) fn mismatch(settings: &PluginSettings, detail: String) -> LoadError {
        LoadError::Mismatch { plugin: settings.name.clone(), path: settings.source.clone(), detail }
    }

    pub(super) fn hook_mismatch(settings: &PluginSettings, hook: Hook, detail: String) -> LoadError {
        LoadError::mismatch(settings, format!("the function of baton:relay/{}: {detail}", hook.interface()))
    }

    pub(super) fn guards(settings: &PluginSettings, errors: &[GuardError]) -> Vec<LoadError> {
        let error = |error: &GuardError| LoadError::Guard {
            plugin: settings.name.clone(),
            guard: sanitize(&error.to_string(), DETAIL_OCTETS_MAX),
        };
        errors.iter().map(error).collect()
    }

    pub(super) fn script(settings: &PluginSettings, problem: &Problem) -> LoadError {
        if let Some(setting) = &problem.setting {
            return LoadError::config(settings, setting, &problem.message);
        }
        let path = settings.source.display();
        let place = match problem.line {
            0 => path.to_string(),
            line => format!("{path}:{line}:{}", problem.column),
        };
        let message = sanitize(&problem.message, WORDS_OCTETS_MAX);
        LoadError::Script { plugin: settings.name.clone(), place, message }
    }

    pub(super) fn undefined(settings: &PluginSettings, hook: Hook, defined: &[String]) -> LoadError {
        let (first, rest) = hook.as_str().split_at(1);
        LoadError::Undefined {
            plugin: settings.name.clone(),
            path: settings.source.clone(),
            hook,
            function: format!("on{}{rest}", first.to_uppercase()),
            defined: defined.join(", "),
        }
    }

    pub(super) fn init(settings: &PluginSettings, failure: &Failure) -> LoadError {
        LoadError::Init { plugin: settings.name.clone(), kind: failure.kind, detail: failure.detail.clone() }
    }

    pub(super) fn config(settings: &PluginSettings, path: &str, message: &str) -> LoadError {
        let path =
            if path.is_empty() { String::new() } else { format!(".{}", sanitize(path, WORDS_OCTETS_MAX)) };
        LoadError::Config {
            plugin: settings.name.clone(),
            path,
            message: sanitize(message, WORDS_OCTETS_MAX),
        }
    }
}
