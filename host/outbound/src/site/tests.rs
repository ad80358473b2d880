use super::*;
use crate::security::TlsUse;

fn mail_hosts(list: &[(u16, &str)]) -> Vec<MailHost> {
    list.iter()
        .map(|(preference, name)| MailHost { preference: *preference, name: (*name).to_owned() })
        .collect()
}

#[test]
fn domains_with_the_same_hosts_in_the_same_order_are_one_site() {
    let site = |hosts: &[(u16, &str)], mode| ranked(mail_hosts(hosts), 25, &TlsPolicy::with_mode(mode));
    let one = site(&[(10, "a.example"), (20, "b.example")], TlsUse::Opportunistic);
    assert_eq!(one, site(&[(1, "a.example"), (7, "b.example")], TlsUse::Opportunistic));
    assert_ne!(one, site(&[(1, "a.example"), (1, "b.example")], TlsUse::Opportunistic));
    // Mail that needs TLS shares no connection with mail that does not.
    assert_ne!(one, site(&[(10, "a.example"), (20, "b.example")], TlsUse::Required));
}

fn source(name: &str) -> Arc<Source> {
    Arc::new(Source { name: name.to_owned(), ..Source::unnamed(Vec::new()) })
}

#[tokio::test]
async fn equal_targets_share_a_destination_until_nobody_uses_it() {
    let places = Destinations::new(baton_mail::lane::LANE_WEIGHTS);
    let route = Route::of_settings(Arc::new(NextHop::File("/tmp/x".into())));
    let place = places.destination(&route, Target::File("/tmp/x".into()), None);
    assert!(Arc::ptr_eq(&place, &places.destination(&route, Target::File("/tmp/x".into()), None)));
    let named = Route { queue: Some("slow".to_owned()), ..route.clone() };
    assert!(!Arc::ptr_eq(&place, &places.destination(&named, Target::File("/tmp/x".into()), None)));
    drop(place);
    for number in 0..1_000 {
        drop(places.destination(&route, Target::File(format!("/tmp/{number}").into()), None));
    }
    assert!(places.places.lock().len() < 1_000, "unused ones do not pile up");
}

#[tokio::test]
async fn each_source_has_a_ready_queue_of_its_own_at_a_destination() {
    let places = Destinations::new(baton_mail::lane::LANE_WEIGHTS);
    let route = Route::of_settings(Arc::new(NextHop::File("/tmp/x".into())));
    let place = places.destination(&route, Target::File("/tmp/x".into()), None);
    let table = crate::metrics::SiteTable::default();
    let (a, b) =
        (place.site(&source("a"), places.weights, &table), place.site(&source("b"), places.weights, &table));
    assert!(!Arc::ptr_eq(&a, &b));
    assert!(Arc::ptr_eq(&a, &place.site(&source("a"), places.weights, &table)), "also after a reload");
    drop(b);
    assert_eq!(place.sites().len(), 1);
}

#[test]
fn destinations_are_named_by_their_hosts() {
    let name = |hosts: &[(u16, &str)]| {
        rolled_up(&ranked(mail_hosts(hosts), 25, &TlsPolicy::with_mode(TlsUse::Opportunistic)))
    };
    assert_eq!(name(&[(10, "mx2.example.org"), (20, "mx1.example.org")]), "(mx1|mx2).example.org");
    assert_eq!(name(&[(10, "mx.example.org")]), "mx.example.org");
    assert_eq!(name(&[(10, "a.example.org"), (20, "b.example.net")]), "a.example.org,b.example.net");
    assert_eq!(name(&[(1, "192.0.2.1"), (2, "192.0.2.2")]), "192.0.2.1,192.0.2.2");
}
