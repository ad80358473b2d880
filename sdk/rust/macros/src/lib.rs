//! The attribute macros of `baton-sdk`: they keep what the author wrote and add, for WebAssembly only, the exports.
//!
//! Invariant: in a native build the macros add no code but the `Plugin` implementation of a plain struct.

mod manifest;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{Error, Fields, Item, ItemImpl, ItemStruct, Result, Type, parse_macro_input};

/// Makes a type the plugin of this component.
///
/// On a struct with the one field `config` (or on a unit struct) it also writes `impl Plugin`; on an `impl Plugin for`
/// block it leaves that to you.
///
/// A `plugin.toml` beside the package's `Cargo.toml` becomes part of the component, with its schema and its cases: what
/// the plugin asks for and how to test it travel with it.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    expand(arguments, || match &item {
        Item::Struct(item) => expand_plugin_struct(item),
        Item::Impl(item) => expand_plugin_impl(item),
        other => Err(Error::new_spanned(other, "#[plugin] belongs on a struct or on `impl Plugin for ...`")),
    })
}

/// Exports a hook: put it on `impl Connect for ...`, `Auth`, `Rcpt`, `Data`, `Route`, `Bounce` or `Events`.
#[proc_macro_attribute]
pub fn hook(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemImpl);
    expand(arguments, || expand_hook(&item))
}

fn expand(arguments: TokenStream, expansion: impl FnOnce() -> Result<Tokens>) -> TokenStream {
    let arguments = Tokens::from(arguments);
    let expanded = if arguments.is_empty() {
        expansion()
    } else {
        Err(Error::new_spanned(arguments, "this attribute takes no arguments"))
    };
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

fn expand_plugin_struct(item: &ItemStruct) -> Result<Tokens> {
    let name = &item.ident;
    let (config, value) = match &item.fields {
        Fields::Unit => (quote!(::baton_sdk::NoConfig), quote!(#name)),
        Fields::Named(fields) => match fields.named.iter().collect::<Vec<_>>().as_slice() {
            [field] if field.ident.as_ref().is_some_and(|ident| ident == "config") => {
                let config = &field.ty;
                (quote!(#config), quote!(#name { config }))
            }
            _ => return Err(shape_error(item)),
        },
        Fields::Unnamed(_) => return Err(shape_error(item)),
    };
    let argument = if matches!(item.fields, Fields::Unit) { quote!(_config) } else { quote!(config) };
    let exported = export_plugin(&quote!(#name))?;
    Ok(quote! {
        #item

        impl ::baton_sdk::Plugin for #name {
            type Config = #config;

            fn new(#argument: #config) -> ::core::result::Result<#name, ::baton_sdk::Problems> {
                ::core::result::Result::Ok(#value)
            }
        }

        #exported
    })
}

fn shape_error(item: &ItemStruct) -> Error {
    let advice = "#[plugin] on a struct wants no field, or one named `config`; for anything else write \
                  `#[plugin] impl Plugin for ...` yourself";
    Error::new_spanned(&item.ident, advice)
}

fn expand_plugin_impl(item: &ItemImpl) -> Result<Tokens> {
    if trait_name(item)? != "Plugin" {
        return Err(Error::new_spanned(
            &item.self_ty,
            "#[plugin] belongs on a struct or on `impl Plugin for ...`",
        ));
    }
    let name = plain_type(item)?;
    let exported = export_plugin(&quote!(#name))?;
    Ok(quote!(#item #exported))
}

/// The place where the loaded plugin lives, the export of `lifecycle`, and what the plugin says about itself.
fn export_plugin(name: &Tokens) -> Result<Tokens> {
    let manifest = manifest::embed()?;
    Ok(quote! {
        #manifest

        #[cfg(target_family = "wasm")]
        const _: () = {
            impl ::baton_sdk::rt::Loaded for #name {
                fn instance() -> &'static ::baton_sdk::rt::Instance<#name> {
                    static INSTANCE: ::baton_sdk::rt::Instance<#name> = ::baton_sdk::rt::Instance::new();
                    &INSTANCE
                }
            }
            type Exported = ::baton_sdk::rt::Exported<#name>;
            ::baton_sdk::rt::lifecycle::export!(Exported with_types_in ::baton_sdk::rt::lifecycle);
        };
    })
}

fn expand_hook(item: &ItemImpl) -> Result<Tokens> {
    let hooks = ["Connect", "Auth", "Rcpt", "Data", "Route", "Bounce", "Events"];
    let hook = trait_name(item)?;
    if !hooks.contains(&hook.as_str()) {
        let advice = format!("#[hook] belongs on an `impl` of one of {}", hooks.join(", "));
        return Err(Error::new_spanned(&item.self_ty, advice));
    }
    let module = format_ident!("{}", hook.to_lowercase());
    let name = plain_type(item)?;
    Ok(quote! {
        #item

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = ::baton_sdk::rt::Exported<#name>;
            ::baton_sdk::rt::#module::export!(Exported with_types_in ::baton_sdk::rt::#module);
        };
    })
}

fn trait_name(item: &ItemImpl) -> Result<String> {
    let last = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
    let segment = last
        .ok_or_else(|| Error::new_spanned(&item.self_ty, "this attribute belongs on `impl <trait> for`"))?;
    Ok(segment.ident.to_string())
}

fn plain_type(item: &ItemImpl) -> Result<&Type> {
    if item.generics.params.is_empty() {
        Ok(&item.self_ty)
    } else {
        Err(Error::new_spanned(&item.generics, "a plugin has no generic parameters"))
    }
}
