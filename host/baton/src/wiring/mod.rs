//! The services that plugins reach, put on top of the store and the resolver.

mod dns;
mod kv;

pub(crate) use dns::PluginDns;
pub(crate) use kv::PluginKv;
