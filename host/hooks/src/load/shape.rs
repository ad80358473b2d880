//! Where a component and the contract differ, function by function. The linker only says that they do; this is asked
//! afterwards, to say what, in words that tell the plugin's author what to do.

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type as Theirs};
use wit_parser::{Function, Interface, Resolve, Type as Ours, TypeDefKind};

use super::LoadError;
use super::contract::split;
use crate::PluginSettings;
use crate::contract::Version;
use crate::engine::Engine;

/// Differences of one component that are told.
const DIFFERENCES_MAX: usize = 20;

/// What differs, in the place of the linker's own words; these when nothing is found.
pub(super) fn explain(
    engine: &Engine,
    settings: &PluginSettings,
    version: Version,
    component: &Component,
    linker: LoadError,
) -> Vec<LoadError> {
    let found = differences(engine, version, component);
    if found.is_empty() {
        return vec![linker];
    }
    let told = found.into_iter().take(DIFFERENCES_MAX).map(|difference| LoadError::Shape {
        plugin: settings.name.clone(),
        path: settings.source.clone(),
        interface: difference.interface,
        function: difference.function,
        detail: difference.detail,
        offered: version.number(),
    });
    told.collect()
}

/// One difference.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    /// The interface with the version that the component was built for.
    interface: String,
    function: String,
    detail: String,
}

fn differences(engine: &Engine, version: Version, component: &Component) -> Vec<Difference> {
    let Ok(ours) = contract(version) else { return Vec::new() };
    let shape = component.component_type();
    let imports = shape.imports(engine.wasmtime()).map(|(name, item)| (name, item.ty, Side::Import));
    let exports = shape.exports(engine.wasmtime()).map(|(name, item)| (name, item.ty, Side::Export));
    let mut found = Vec::new();
    for (name, item, side) in imports.chain(exports) {
        let ComponentItem::ComponentInstance(theirs) = item else { continue };
        if let Some(interface) = find(&ours, split(name).0) {
            found.extend(Pair { engine, ours: &ours }.interface(name, &theirs, interface, side));
        }
    }
    found
}

/// The contract in that version.
fn contract(version: Version) -> Result<Resolve, String> {
    let mut resolve = Resolve::default();
    for (path, text) in version.texts() {
        resolve.push_source(path, text).map_err(|error| error.to_string())?;
    }
    Ok(resolve)
}

fn find<'a>(resolve: &'a Resolve, interface: &str) -> Option<&'a Interface> {
    let found = resolve
        .interfaces
        .iter()
        .find(|(id, _)| resolve.id_of(*id).is_some_and(|name| split(&name).0 == interface));
    found.map(|(_, interface)| interface)
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Import,
    Export,
}

/// Compares the types of a component with those of the contract.
struct Pair<'a> {
    engine: &'a Engine,
    ours: &'a Resolve,
}

/// Fields of a record or cases of a variant, with their types.
type Members<'a, T> = Vec<(&'a str, Option<T>)>;

impl Pair<'_> {
    fn interface(
        &self,
        name: &str,
        theirs: &ComponentInstance,
        ours: &Interface,
        side: Side,
    ) -> Vec<Difference> {
        let difference = |function: &str, detail: String| Difference {
            interface: name.to_owned(),
            function: function.to_owned(),
            detail,
        };
        let functions: Vec<(&str, ComponentFunc)> = theirs
            .exports(self.engine.wasmtime())
            .filter_map(|(name, item)| match item.ty {
                ComponentItem::ComponentFunc(function) => Some((name, function)),
                _ => None,
            })
            .collect();
        let mut found = Vec::new();
        for (function, theirs) in &functions {
            match ours.functions.get(*function) {
                Some(ours) => {
                    found.extend(self.function(theirs, ours).map(|detail| difference(function, detail)))
                }
                None if side == Side::Import => {
                    found.push(difference(
                        function,
                        "the plugin calls it, and this relay does not have it".to_owned(),
                    ));
                }
                None => {}
            }
        }
        let is_missing = |name: &&String| !functions.iter().any(|(function, _)| function == name);
        if side == Side::Export {
            let missing = "this relay calls it, and the plugin does not have it";
            found.extend(
                ours.functions.keys().filter(is_missing).map(|name| difference(name, missing.to_owned())),
            );
        }
        found
    }

    /// How two functions differ; none when they do not.
    fn function(&self, theirs: &ComponentFunc, ours: &Function) -> Option<String> {
        let given: Vec<(&str, Theirs)> = theirs.params().collect();
        if given.len() != ours.params.len() {
            let given = given.iter().map(|(name, of)| format!("{name}: {}", render_theirs(of)));
            let wanted = ours.params.iter().map(|one| format!("{}: {}", one.name, self.render(&one.ty)));
            let list = |each: Vec<String>| format!("({})", each.join(", "));
            return Some(format!(
                "takes {}, in the contract {}",
                list(given.collect()),
                list(wanted.collect())
            ));
        }
        let parameter = given.iter().zip(&ours.params).find_map(|((name, theirs), ours)| {
            Some(format!("parameter `{name}`: {}", self.types(theirs, &ours.ty)?))
        });
        parameter.or_else(|| self.optional(theirs.results().next(), ours.result.as_ref(), "answer"))
    }

    fn optional(&self, theirs: Option<Theirs>, ours: Option<&Ours>, what: &str) -> Option<String> {
        let detail = match (theirs, ours) {
            (None, None) => None,
            (Some(theirs), Some(ours)) => self.types(&theirs, ours),
            (Some(theirs), None) => Some(format!("is {}, in the contract nothing", render_theirs(&theirs))),
            (None, Some(ours)) => Some(format!("is nothing, in the contract {}", self.render(ours))),
        };
        detail.map(|detail| format!("{what}: {detail}"))
    }

    /// How two types differ, at the innermost place.
    fn types(&self, theirs: &Theirs, ours: &Ours) -> Option<String> {
        let differ = || Some(format!("is {}, in the contract {}", render_theirs(theirs), self.render(ours)));
        match (theirs, self.kind(ours)) {
            (Theirs::List(theirs), Some(TypeDefKind::List(ours))) => self.types(&theirs.ty(), ours),
            (Theirs::Option(theirs), Some(TypeDefKind::Option(ours))) => self.types(&theirs.ty(), ours),
            (Theirs::Result(theirs), Some(TypeDefKind::Result(ours))) => self
                .optional(theirs.ok(), ours.ok.as_ref(), "on success")
                .or_else(|| self.optional(theirs.err(), ours.err.as_ref(), "on error")),
            (Theirs::Tuple(theirs), Some(TypeDefKind::Tuple(ours)))
                if theirs.types().len() == ours.types.len() =>
            {
                theirs.types().zip(&ours.types).find_map(|(theirs, ours)| self.types(&theirs, ours))
            }
            (Theirs::Record(theirs), Some(TypeDefKind::Record(fields))) => {
                let theirs = theirs.fields().map(|field| (field.name, Some(field.ty))).collect();
                let wanted =
                    fields.fields.iter().map(|field| (field.name.as_str(), Some(&field.ty))).collect();
                self.members("field", &self.render(ours), theirs, wanted)
            }
            (Theirs::Variant(theirs), Some(TypeDefKind::Variant(cases))) => {
                let theirs = theirs.cases().map(|case| (case.name, case.ty)).collect();
                let wanted = cases.cases.iter().map(|case| (case.name.as_str(), case.ty.as_ref())).collect();
                self.members("case", &self.render(ours), theirs, wanted)
            }
            (Theirs::Enum(theirs), Some(TypeDefKind::Enum(cases))) => {
                let theirs = theirs.names().map(|name| (name, None)).collect();
                let wanted = cases.cases.iter().map(|case| (case.name.as_str(), None)).collect();
                self.members("case", &self.render(ours), theirs, wanted)
            }
            // Which resource a handle is for is told by the interface.
            (Theirs::Own(_) | Theirs::Borrow(_), Some(TypeDefKind::Handle(_))) => None,
            (theirs, None) if render_theirs(theirs) == self.render(ours) => None,
            _ => differ(),
        }
    }

    /// Fields of a record, or cases of a variant.
    fn members(
        &self,
        what: &str,
        of: &str,
        theirs: Members<'_, Theirs>,
        ours: Members<'_, &Ours>,
    ) -> Option<String> {
        if let Some((extra, _)) = theirs.iter().find(|(name, _)| !ours.iter().any(|(other, _)| other == name))
        {
            return Some(format!("`{of}` has a {what} `{extra}`, which is not in the contract"));
        }
        if let Some((missing, _)) =
            ours.iter().find(|(name, _)| !theirs.iter().any(|(other, _)| other == name))
        {
            return Some(format!("`{of}` lacks the {what} `{missing}` of the contract"));
        }
        if theirs.iter().zip(&ours).any(|((one, _), (other, _))| one != other) {
            return Some(format!("`{of}` has its {what}s in another order than the contract"));
        }
        theirs.into_iter().zip(ours).find_map(|((name, theirs), (_, ours))| {
            self.optional(theirs, ours, &format!("{what} `{name}` of `{of}`"))
        })
    }

    /// What a type of the contract is, behind its names; none for the simple ones.
    fn kind(&self, of: &Ours) -> Option<&TypeDefKind> {
        let Ours::Id(id) = of else { return None };
        match &self.ours.types.get(*id)?.kind {
            TypeDefKind::Type(behind) => self.kind(behind),
            kind => Some(kind),
        }
    }

    /// A type of the contract as WIT writes it.
    fn render(&self, of: &Ours) -> String {
        let Ours::Id(id) = of else { return format!("{of:?}").to_lowercase() };
        let Some(found) = self.ours.types.get(*id) else { return "?".to_owned() };
        if let Some(name) = &found.name {
            return name.clone();
        }
        let optional = |of: &Option<Ours>| of.as_ref().map_or_else(|| "_".to_owned(), |of| self.render(of));
        match &found.kind {
            TypeDefKind::List(of) => format!("list<{}>", self.render(of)),
            TypeDefKind::Option(of) => format!("option<{}>", self.render(of)),
            TypeDefKind::Result(of) => format!("result<{}, {}>", optional(&of.ok), optional(&of.err)),
            TypeDefKind::Tuple(of) => {
                let types: Vec<_> = of.types.iter().map(|of| self.render(of)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Type(of) => self.render(of),
            other => other.as_str().to_owned(),
        }
    }
}

/// A type of a component as WIT writes it. It has no name there: only its form is known.
fn render_theirs(of: &Theirs) -> String {
    let optional = |of: Option<Theirs>| of.map_or_else(|| "_".to_owned(), |of| render_theirs(&of));
    match of {
        Theirs::List(of) => format!("list<{}>", render_theirs(&of.ty())),
        Theirs::Option(of) => format!("option<{}>", render_theirs(&of.ty())),
        Theirs::Result(of) => format!("result<{}, {}>", optional(of.ok()), optional(of.err())),
        Theirs::Tuple(of) => {
            let types: Vec<_> = of.types().map(|of| render_theirs(&of)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        Theirs::Bool => "bool".to_owned(),
        Theirs::U8 => "u8".to_owned(),
        Theirs::U16 => "u16".to_owned(),
        Theirs::U32 => "u32".to_owned(),
        Theirs::U64 => "u64".to_owned(),
        Theirs::S8 => "s8".to_owned(),
        Theirs::S16 => "s16".to_owned(),
        Theirs::S32 => "s32".to_owned(),
        Theirs::S64 => "s64".to_owned(),
        Theirs::Float32 => "f32".to_owned(),
        Theirs::Float64 => "f64".to_owned(),
        Theirs::Char => "char".to_owned(),
        Theirs::String => "string".to_owned(),
        Theirs::Record(_) => "a record".to_owned(),
        Theirs::Variant(_) => "a variant".to_owned(),
        Theirs::Enum(_) => "an enum".to_owned(),
        Theirs::Flags(_) => "flags".to_owned(),
        Theirs::Own(_) | Theirs::Borrow(_) => "a handle".to_owned(),
        _ => "another type".to_owned(),
    }
}
