//! What the admin interface sees of delivery.

use std::sync::Arc;

use baton_api::FieldError;
use baton_api::delivery::{Complaints, DeliveryFace, ListingView, SiteView, WarmupView};
use baton_mail::UnixMs;
use baton_outbound::{DeliveryView, Listing, ListingRow, SiteRow, WarmupRow, WarmupState};
use baton_store::shaping::Scope;

use crate::render::words::moment;

/// Delivery as the admin interface sees it.
pub(crate) fn delivery_face(view: DeliveryView) -> DeliveryFace {
    let (sites, waits, lifetimes) = (view.clone(), view.clone(), view.clone());
    let (warmups, listings, complain, hosts) = (view.clone(), view.clone(), view.clone(), view.clone());
    DeliveryFace {
        check_scope: Arc::new(move |scope| check_scope(&view, scope)),
        sites: Arc::new(move || sites.sites().into_iter().map(site).collect()),
        forget_failures: Arc::new(move || hosts.forget_failures()),
        waits: Arc::new(move |jobs| {
            let found = waits.waits(jobs).into_iter();
            found.map(|(job, (text, until))| (job, with_end(&text, until))).collect()
        }),
        given_up_at: Arc::new(move |job| {
            let class = job.last.as_ref().map(|last| last.class);
            lifetimes.given_up_at(class, job.received_at, job.expires_at)
        }),
        warmups: Arc::new(move || warmups.warmups().into_iter().map(warmup).collect()),
        listings: Arc::new(move || {
            let (rows, awaited) = listings.listings();
            (rows.into_iter().map(listing).collect(), awaited)
        }),
        complain: Arc::new(move |complaints: &Complaints| {
            complain.note_complaints(&complaints.source, &complaints.provider, complaints.count)
        }),
    }
}

/// A suspension of what is not there would only seem to hold something back.
fn check_scope(view: &DeliveryView, scope: &Scope) -> Result<(), FieldError> {
    let unknown = |field: &str, section: &str| {
        let message = format!("the settings have none of that name under [{section}]");
        Err(FieldError { field: field.to_owned(), message })
    };
    if scope.source.as_ref().is_some_and(|name| !view.knows_source(name)) {
        return unknown("source", "sources");
    }
    if scope.provider.as_ref().is_some_and(|name| !view.knows_provider(name)) {
        return unknown("provider", "shaping.providers");
    }
    Ok(())
}

fn with_end(text: &str, until: Option<UnixMs>) -> String {
    match until {
        Some(until) => format!("{text} until {}", moment(until)),
        None => text.to_owned(),
    }
}

fn site(row: SiteRow) -> SiteView {
    let SiteRow { site, provider, source, ready, connections, allowed, bound, slower, waits } = row;
    let waits = waits.map(|(text, until)| with_end(&text, Some(until)));
    SiteView { site, provider, source, ready, connections, allowed, bound, slower, waits }
}

fn listing(row: ListingRow) -> ListingView {
    let ListingRow { source, address, list, listing, since, asked } = row;
    let (state, reason) = match listing {
        Listing::Clear => ("clear", None),
        Listing::Listed(reason) => ("listed", Some(reason)),
        Listing::Unknown(reason) => ("unknown", Some(reason)),
    };
    ListingView { source, address, list: list.to_string(), state: state.to_owned(), reason, since, asked }
}

fn warmup(row: WarmupRow) -> WarmupView {
    let WarmupRow { source, plan, provider, position, state } = row;
    let (state, next) = match state {
        WarmupState::Warm => ("warm", None),
        WarmupState::Open => ("open", None),
        WarmupState::Spread(at) => ("spread", Some(at)),
        WarmupState::Used(at) => ("used", Some(at)),
        WarmupState::Stopped(at) => ("stopped", Some(at)),
    };
    WarmupView {
        days: plan.by_provider.get(&provider).unwrap_or(&plan.days).clone(),
        plan: plan.name.clone(),
        source,
        provider,
        day: position.day.saturating_add(1),
        sent: position.sent,
        deferred: position.deferred,
        complaints: position.complaints,
        state: state.to_owned(),
        next,
    }
}
