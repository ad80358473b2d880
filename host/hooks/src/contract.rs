//! The versions of the contract with plugins that this relay speaks, side by side.
//!
//! Before 1.0 the minor version tells contracts apart, and the linker keeps their interfaces apart by it. A component
//! speaks one version: the loader finds out which by the names of what it imports and exports, and from then on its
//! calls go through the adapter of that version. The core knows one model, in the types of version 0.1: what a hook is
//! told, and what it answers. The adapter of a later version translates between its own types and those.
//!
//! To add a version: its WIT and its bindings, the host side of what it imports (which calls that of an earlier version
//! where nothing changed), an adapter beside `v0_1`, and a variant of [`Version`], [`Exports`] and [`Guests`]. The tests
//! of this module do so with a version of their own.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tomorrow;
mod v0_1;

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, Linker};

use crate::Hook;
use crate::bindings::exports::baton::relay::lifecycle::Problem;
use crate::state::State;

/// One minor version of the packages in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V0_1,
    #[cfg(test)]
    Tomorrow,
}

impl Version {
    /// The oldest first. It is what the interpreter of scripts speaks.
    pub(crate) const ALL: &[Version] = &[
        Version::V0_1,
        #[cfg(test)]
        Version::Tomorrow,
    ];

    /// The version whose components fit, of a number such as `0.1.7`: another patch version fits as long as it uses
    /// nothing new.
    pub(crate) fn of(number: &str) -> Option<Version> {
        let track = |number: &str| number.rsplit_once('.').map(|(track, _)| track.to_owned());
        let wanted = track(number)?;
        Version::ALL.iter().copied().find(|version| track(version.number()).as_ref() == Some(&wanted))
    }

    /// The number of its packages.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Version::V0_1 => v0_1::NUMBER,
            #[cfg(test)]
            Version::Tomorrow => tomorrow::NUMBER,
        }
    }

    /// The interfaces that it gives to plugins, without version.
    pub(crate) fn interfaces(self) -> &'static [&'static str] {
        match self {
            Version::V0_1 => &v0_1::INTERFACES,
            #[cfg(test)]
            Version::Tomorrow => &tomorrow::INTERFACES,
        }
    }

    /// Its WIT: the names of the files and what is in them, in the order in which they refer to one another.
    pub(crate) fn texts(self) -> [(&'static str, &'static str); 2] {
        match self {
            Version::V0_1 => v0_1::TEXTS,
            #[cfg(test)]
            Version::Tomorrow => tomorrow::TEXTS,
        }
    }

    /// Links what it gives to plugins.
    pub(crate) fn add_to_linker(self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        match self {
            Version::V0_1 => v0_1::add_to_linker(linker),
            #[cfg(test)]
            Version::Tomorrow => tomorrow::add_to_linker(linker),
        }
    }

    /// Finds the functions of these hooks, and of init where the component has one.
    pub(crate) fn find(
        self,
        hooks: &[Hook],
        has_lifecycle: bool,
        component: &InstancePre<State>,
    ) -> wasmtime::Result<Exports> {
        Ok(match self {
            Version::V0_1 => Exports::V0_1(v0_1::Exports::find(hooks, has_lifecycle, component)?),
            #[cfg(test)]
            Version::Tomorrow => Exports::Tomorrow(tomorrow::Exports::find(hooks, has_lifecycle, component)?),
        })
    }
}

/// The numbers of all versions, for people.
pub(crate) fn offered() -> String {
    Version::ALL.iter().map(|version| version.number()).collect::<Vec<_>>().join(" and ")
}

/// Where the functions of a plugin stand in its component, so that no call looks anything up by name.
pub(crate) enum Exports {
    V0_1(v0_1::Exports),
    #[cfg(test)]
    Tomorrow(tomorrow::Exports),
}

/// The functions of one instance, each looked up when it is first called; those of the version that it speaks.
#[derive(Default)]
pub(crate) struct Guests {
    v0_1: v0_1::Guests,
    #[cfg(test)]
    tomorrow: tomorrow::Guests,
}

/// Goes on with the adapter of the version that a plugin speaks. All have the same methods.
macro_rules! with_adapter {
    ($exports:expr, $adapter:ident => $work:expr) => {
        match $exports {
            $crate::contract::Exports::V0_1($adapter) => $work,
            #[cfg(test)]
            $crate::contract::Exports::Tomorrow($adapter) => $work,
        }
    };
}
pub(crate) use with_adapter;

impl Exports {
    /// Checks that the function of that hook has the type of the contract.
    pub(crate) fn check(
        &self,
        hook: Hook,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        with_adapter!(self, adapter => adapter.check(hook, store, instance))
    }

    /// Lets the plugin check its settings. One without init has no problem with them.
    pub(crate) async fn init(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Vec<Problem>> {
        with_adapter!(self, adapter => adapter.init(store, instance).await)
    }
}

/// What stands at a place, looked up when nothing does.
fn looked_up<G>(
    place: &mut Option<G>,
    look_up: impl FnOnce() -> wasmtime::Result<G>,
) -> wasmtime::Result<&G> {
    match place {
        Some(guest) => Ok(guest),
        None => Ok(place.insert(look_up()?)),
    }
}

/// The indices of a hook that is in a chain. They are there: a chain holds only plugins whose hook was found.
fn found<I>(indices: &Option<I>) -> wasmtime::Result<&I> {
    indices.as_ref().ok_or_else(|| wasmtime::Error::msg("the plugin does not export this hook"))
}
