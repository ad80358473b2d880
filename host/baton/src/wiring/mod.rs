//! What connects the parts: the services that plugins reach, on top of the store, the resolver, delivery and the
//! network; and the certificates of the listeners.

mod acme;
mod certificates;
mod complaints;
mod delivery;
mod dns;
mod events;
mod followers;
mod http;
mod keys;
mod kv;
mod links;
mod nats;
pub(crate) mod programs;
mod tracking;
mod verify;

pub(crate) use acme::Acme;
pub(crate) use certificates::{CertificateKeeper, start_certificates};
pub(crate) use complaints::count_complaints;
pub(crate) use delivery::delivery_face;
pub(crate) use dns::PluginDns;
pub(crate) use events::tell_observers;
pub(crate) use followers::{FollowSettings, Following, follow};
pub(crate) use http::{HttpSettings, PluginHttp, read_certificates};
pub(crate) use keys::fetch_by;
pub(crate) use kv::PluginKv;
pub(crate) use links::PublicLinks;
pub(crate) use nats::{NatsIdentity, NatsPlace};
pub(crate) use programs::Programs;
pub(crate) use tracking::{TrackingSettings, rotate as rotate_link_keys};
pub(crate) use verify::PluginVerify;
