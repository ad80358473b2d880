//! From the settings to those who follow what happens: webhooks, files, reports, the index.

use std::sync::Arc;

use arc_swap::ArcSwap;
use baton_dns::Resolver;
use baton_events::nats::Publisher;
use baton_events::report::{ProviderOf, ReportSettings, Reports};
use baton_events::webhook::{WebhookSettings, Webhooks};
use baton_events::{FileSettings, FollowerView, Followers, Writer};
use baton_hooks::host::HttpBackend;
use baton_mail::Clock;
use baton_outbound::OutboundSettings;
use baton_store::Store;
use prometheus_client::registry::Registry;

use super::nats::{NatsPlace, publisher};
use super::{HttpSettings, PluginHttp};

/// What an operator may say about them.
#[derive(Clone, Debug)]
pub(crate) struct FollowSettings {
    pub(crate) webhooks: WebhookSettings,
    /// The client that posts.
    pub(crate) http: HttpSettings,
    pub(crate) files: Vec<FileSettings>,
    pub(crate) nats: Vec<NatsPlace>,
    pub(crate) reports: ReportSettings,
}

/// Those who follow, and what can be asked of them.
pub(crate) struct Following {
    pub(crate) webhooks: Webhooks,
    pub(crate) reports: Reports,
    /// Those whom the settings name.
    pub(crate) named: Vec<FollowerView>,
    pub(crate) followers: Followers,
}

/// Makes all of them; nothing runs yet.
pub(crate) fn follow(
    settings: &FollowSettings,
    store: &Store,
    clock: &Arc<dyn Clock>,
    resolver: &Resolver,
    outbound: &Arc<ArcSwap<OutboundSettings>>,
    registry: &mut Registry,
) -> anyhow::Result<Following> {
    // A client of its own: what plugins ask and what is posted do not wait for each other.
    let http: Arc<dyn HttpBackend> = Arc::new(PluginHttp::new(settings.http.clone(), resolver.clone())?);
    let webhooks = Webhooks::new(store.clone(), clock.clone(), http, settings.webhooks.clone(), registry);
    let outbound = outbound.clone();
    let provider_of: ProviderOf =
        Arc::new(move |host| outbound.load().shaping.provider_of(host).map(|provider| provider.name.clone()));
    let reports = Reports::new(store.clone(), clock.clone(), settings.reports, provider_of);
    let files: Vec<Writer> = settings.files.iter().cloned().map(Writer::new).collect();
    let publishers: Vec<Publisher> =
        settings.nats.iter().map(|place| publisher(place, clock)).collect::<anyhow::Result<_>>()?;
    let named = files.iter().map(Writer::view).chain(publishers.iter().map(Publisher::view)).collect();
    let (posting, sums) = (webhooks.clone(), reports.clone());
    let followers =
        Followers::new(store.clone(), posting, sums, files, publishers, Arc::clone(clock), registry);
    Ok(Following { webhooks, reports, named, followers })
}
