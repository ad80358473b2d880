//! Complaints of recipients slow down the warm-up of the source that sent the message.

use baton_mail::MessageId;
use baton_mail::event::{Event, What};
use baton_outbound::DeliveryView;
use baton_store::Store;

/// Records that may wait. Whoever is too busy to see a complaint warms up a little faster.
const WATCHED_MAX: usize = 10_000;

/// Counts complaints for as long as the relay runs.
pub(crate) async fn count_complaints(store: Store, view: DeliveryView) {
    let mut watch = store.watch(WATCHED_MAX);
    loop {
        for event in watch.next().await {
            if let What::Complained { recipient, .. } = &event.what {
                let recipient = recipient.as_ref().map(ToString::to_string);
                count(&store, &view, event.message, recipient.as_deref()).await;
            }
        }
    }
}

async fn count(store: &Store, view: &DeliveryView, message: MessageId, recipient: Option<&str>) {
    let Ok(events) = store.story(message).await else { return };
    let sent = events.iter().rev().find_map(|event: &Event| match &event.what {
        What::Delivered { recipients, status, .. } => {
            let to =
                recipients.iter().find(|one| recipient.is_none_or(|wanted| one.to_string() == wanted))?;
            Some((to.domain().clone(), status.remote.clone()?))
        }
        _ => None,
    });
    let Some((domain, remote)) = sent else { return };
    if let Some(source) = &remote.source {
        view.note_complaint_at(&source.name, &remote.host, &domain);
    }
}
