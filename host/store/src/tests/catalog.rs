//! The catalog.

use super::*;
use crate::catalog::{CatalogError, Edit, EditError, Expect, Key, Kind, Query};

const THING: Kind = Kind::new("thing", 3);
const NOTE: Kind = Kind::new("note", usize::MAX);

fn key(tenant: Option<&str>, name: &str) -> Key {
    Key::new(THING, tenant, name).unwrap()
}

fn put(name: &str, value: &str) -> Edit {
    Edit::put_json(key(Some("acme"), name), &value).unwrap()
}

async fn text(bench: &Bench, key: &Key) -> Option<String> {
    bench.store.catalog().get(key).await.unwrap().map(|record| record.json().unwrap())
}

/// What another process would find: the files as they are now.
fn copied(folder: &Path) -> (Bench, tempfile::TempDir) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    (Bench::open(copy.path()), copy)
}

#[test]
fn records_are_on_disk_when_the_change_is_answered_and_listed_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let catalog = bench.store.catalog();
        let before = catalog.revision(THING);
        for (tenant, name) in [(Some("b"), "x"), (None, "own"), (Some("acme"), "b"), (Some("acme"), "a")] {
            let edit = Edit::put_json(key(tenant, name), &format!("{tenant:?} {name}")).unwrap();
            let written = catalog.apply(vec![edit]).await.unwrap();
            assert_eq!(written[0].as_ref().unwrap().changed_at, START);
        }
        assert_ne!(catalog.revision(THING), before);
        let (bench, _copy) = copied(folder.path());
        let catalog = bench.store.catalog();
        assert_eq!(text(&bench, &key(None, "own")).await.as_deref(), Some("None own"));
        assert_eq!(text(&bench, &key(Some("own"), "own")).await, None);
        let names = |page: &crate::catalog::Page| {
            let name = |record: &crate::catalog::Record| {
                (record.key.tenant().map(str::to_owned), record.key.name().to_owned())
            };
            page.records.iter().map(name).collect::<Vec<_>>()
        };
        let first = catalog.list(&Query::of(THING).limit(2)).await.unwrap();
        let some = |tenant: &str, name: &str| (Some(tenant.to_owned()), name.to_owned());
        assert_eq!(names(&first), [(None, "own".to_owned()), some("acme", "a")]);
        let rest = catalog.list(&Query::of(THING).after(first.next)).await.unwrap();
        assert_eq!((names(&rest), rest.next), (vec![some("acme", "b"), some("b", "x")], None));
        let of_one = catalog.list(&Query::of(THING).tenant(Some("acme")).starting("b")).await.unwrap();
        assert_eq!(names(&of_one), [some("acme", "b")]);
        assert_eq!(names(&catalog.list(&Query::of(NOTE)).await.unwrap()), []);
    });
}

#[test]
fn an_edit_is_made_on_what_it_expects_or_none_is() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let catalog = bench.store.catalog();
        let one = put("one", "1").expecting(Expect::Nothing);
        let first = catalog.apply(vec![one.clone()]).await.unwrap()[0].clone().unwrap();
        let again = catalog.apply(vec![put("two", "2"), one]).await;
        assert!(
            matches!(again, Err(CatalogError::Conflict { found: Some(found), .. }) if found == first.version)
        );
        assert_eq!(text(&bench, &key(Some("acme"), "two")).await, None, "none of the edits is made");
        let next = |version| put("one", "next").expecting(Expect::Version(version));
        let second = catalog.apply(vec![next(first.version)]).await.unwrap()[0].clone().unwrap();
        assert!(second.version > first.version);
        assert!(matches!(catalog.apply(vec![next(first.version)]).await, Err(CatalogError::Conflict { .. })));
        let gone = Edit::remove(key(Some("acme"), "one")).expecting(Expect::Something);
        assert_eq!(catalog.apply(vec![gone.clone()]).await.unwrap(), [None]);
        assert!(matches!(catalog.apply(vec![gone]).await, Err(CatalogError::Conflict { found: None, .. })));
        let back = catalog.apply(vec![put("one", "back")]).await.unwrap()[0].clone().unwrap();
        assert!(back.version > second.version, "a version names one record for ever");
    });
}

#[test]
fn changes_of_one_record_wait_for_one_another() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let count = |catalog: crate::Catalog| async move {
            let counter = key(None, "counter");
            let more = |found: Option<crate::catalog::Record>| {
                let before: u32 = found.map_or(0, |record| record.json().unwrap());
                Edit::put_json(counter.clone(), &(before + 1)).map(Some)
            };
            catalog.change(&counter, more, Vec::new()).await.unwrap();
        };
        let tasks: Vec<_> = (0..50).map(|_| tokio::spawn(count(bench.store.catalog()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let record = bench.store.catalog().get(&key(None, "counter")).await.unwrap().unwrap();
        assert_eq!(record.json::<u32>().unwrap(), 50);
        let refused = bench.store.catalog().change(&key(None, "counter"), |_| Err("no"), Vec::new()).await;
        assert!(matches!(refused, Err(EditError::Refused("no"))));
    });
}

#[test]
fn a_tenant_has_a_bounded_number_of_records() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let catalog = bench.store.catalog();
        for name in ["1", "2"] {
            catalog.apply(vec![put(name, name)]).await.unwrap();
        }
        let two_more = catalog.apply(vec![put("3", "3"), put("4", "4")]).await;
        assert!(matches!(two_more, Err(CatalogError::TooMany { kind: "thing", most: 3 })), "{two_more:?}");
        catalog.apply(vec![put("3", "3")]).await.unwrap();
        let one_more =
            catalog.change(&key(Some("acme"), "4"), |_| Ok::<_, ()>(Some(put("4", "4"))), Vec::new()).await;
        assert!(matches!(one_more, Err(EditError::Catalog(CatalogError::TooMany { .. }))));
        catalog.apply(vec![put("3", "changed")]).await.unwrap();
        let other = Edit::put_json(key(Some("other"), "1"), &1).unwrap();
        catalog.apply(vec![other]).await.unwrap();
    });
}

#[test]
fn what_expired_is_not_seen_and_then_deleted() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let catalog = bench.store.catalog();
        let note = |name: &str| Key::new(NOTE, None, name).unwrap();
        for name in ["short", "prolonged"] {
            catalog.apply(vec![Edit::put(note(name), vec![1]).unwrap().until(in_seconds(10))]).await.unwrap();
        }
        let longer = Edit::put(note("prolonged"), vec![2]).unwrap().until(in_seconds(1_000));
        catalog.apply(vec![longer]).await.unwrap();
        bench.clock.advance(Duration::from_secs(10));
        assert_eq!(catalog.get(&note("short")).await.unwrap(), None);
        assert_eq!(catalog.list(&Query::of(NOTE)).await.unwrap().records.len(), 1);
        // Something of that name may come again before the old one is swept.
        let core_of = bench.store.clone();
        let sweep = move || crate::catalog::sweep(core_of.core(), || false);
        let entries = || {
            let db = bench.store.core().db().unwrap();
            let mut found = db.iterate(Family::Catalog, &[FORMAT], None);
            found.seek_to_first();
            let mut count = 0;
            while found.valid() {
                count += 1;
                found.next();
            }
            count
        };
        assert_eq!(entries(), 5, "two records, and three notes about when they expire");
        tokio::task::spawn_blocking(sweep).await.unwrap();
        assert_eq!(entries(), 2, "the one that lives, and its note");
        assert_eq!(catalog.get(&note("prolonged")).await.unwrap().unwrap().value, [2]);
    });
}

#[test]
fn records_that_come_with_a_message_are_on_disk_with_it() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let before = bench.store.catalog().revision(NOTE);
        let edit = Edit::put(Key::new(NOTE, None, "beside").unwrap(), vec![7]).unwrap();
        let _ = bench.store.accept_with(message(&["x@b.example"], b"first"), &[edit]).await.unwrap();
        assert_ne!(bench.store.catalog().revision(NOTE), before);
        let (bench, _copy) = copied(folder.path());
        assert_eq!(bench.jobs().await.len(), 1);
        let found = bench.store.catalog().get(&Key::new(NOTE, None, "beside").unwrap()).await.unwrap();
        assert_eq!(found.unwrap().value, [7]);
    });
}

#[test]
fn a_store_of_before_has_an_empty_catalog() {
    let (bench, _folder) = super::fixture::opened(3);
    block_on(async {
        let catalog = bench.store.catalog();
        assert_eq!(catalog.list(&Query::of(THING)).await.unwrap().records, []);
        catalog.apply(vec![put("one", "1")]).await.unwrap();
        assert_eq!(text(&bench, &key(Some("acme"), "one")).await.as_deref(), Some("1"));
    });
}

#[test]
fn tables_know_what_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        use crate::catalog::{STREAM, TENANT};
        use baton_mail::tenant::{Stream, Tenant};
        let bench = Bench::open(folder.path());
        let tenant = Tenant { note: "first".to_owned(), ..Tenant::default() };
        let acme = Key::new(TENANT, None, "acme").unwrap();
        let news = Key::new(STREAM, Some("acme"), "news").unwrap();
        let stream = Stream { priority: -4, pool: Some("slow".to_owned()), ..Stream::default() };
        let edits = vec![
            Edit::put_json(acme.clone(), &tenant).unwrap(),
            Edit::put_json(news.clone(), &stream).unwrap(),
        ];
        bench.store.catalog().apply(edits).await.unwrap();
        let (other, _copy) = copied(folder.path());
        for tenants in [bench.store.tenants(), other.store.tenants()] {
            assert_eq!(tenants.tenant("acme").unwrap().value, tenant);
            assert_eq!(tenants.stream(Some("acme"), "news").unwrap().value, stream);
            assert_eq!(tenants.stream(None, "news"), None);
            let domain = "a.example".parse().unwrap();
            assert_eq!(tenants.owner_beside("acme", &domain), None);
        }
        bench.store.catalog().apply(vec![Edit::remove(news)]).await.unwrap();
        assert_eq!(bench.store.tenants().stream(Some("acme"), "news"), None);
        // What is no tenant is none, and hides nothing else.
        bench.store.catalog().apply(vec![Edit::put(acme, b"nonsense".to_vec()).unwrap()]).await.unwrap();
        assert_eq!(bench.store.tenants().tenant("acme"), None);
    });
}
