//! From the store to the plugins that observe: what is on disk is told to them.

use std::sync::Arc;

use baton_hooks::EventFeed;
use baton_store::Store;

/// Records that may wait between the store and the observers' own queues.
const WATCHED_MAX: usize = 10_000;

/// Tells observers of what happens, for as long as there are any. Without, the store does nothing for it.
pub(crate) async fn tell_observers(store: Store, feed: Arc<EventFeed>) {
    loop {
        feed.wait_for_observers().await;
        let mut watch = store.watch(WATCHED_MAX);
        let mut missed = 0;
        while feed.is_observed() {
            feed.offer(&watch.next().await);
            if watch.missed() > missed {
                missed = watch.missed();
                tracing::warn!(target: "hooks", missed, "the relay is too busy to tell observers of everything");
            }
        }
    }
}
