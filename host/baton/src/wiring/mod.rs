//! The services that plugins reach, put on top of the store, the resolver, delivery and the network.

mod dns;
mod events;
mod http;
mod kv;
mod verify;

pub(crate) use dns::PluginDns;
pub(crate) use events::tell_observers;
pub(crate) use http::{HttpSettings, PluginHttp};
pub(crate) use kv::PluginKv;
pub(crate) use verify::PluginVerify;
