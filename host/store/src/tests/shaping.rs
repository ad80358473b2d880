//! Measures that hold mail back.

use baton_mail::Clock;

use super::*;
use crate::shaping::{Action, NewMeasure, Scope, Traits};

fn suspend(source: &str, until: Option<UnixMs>) -> NewMeasure {
    NewMeasure {
        action: Action::Suspend,
        scope: Scope {
            source: Some(source.to_owned()),
            provider: Some("big".to_owned()),
            ..Scope::default()
        },
        rule: "blocked".to_owned(),
        reason: "554 5.7.1 go away".to_owned(),
        until,
    }
}

#[test]
fn a_measure_outlives_the_process_until_it_is_lifted() {
    let folder = tempfile::tempdir().unwrap();
    let traits = Traits { source: Some("a"), provider: Some("big"), ..Traits::default() };
    let (id, lifted) = block_on(async {
        let bench = Bench::open(folder.path());
        let measures = bench.store.measures();
        let taken = measures.take(suspend("a", None)).await.unwrap().unwrap();
        let other = measures.take(suspend("b", None)).await.unwrap().unwrap();
        let again = NewMeasure { reason: "again".to_owned(), ..suspend("a", None) };
        let again = measures.take(again).await.unwrap().unwrap();
        assert_eq!((&again.id, again.since), (&taken.id, taken.since), "it is prolonged, not doubled");
        assert_eq!(measures.find(&traits, |_| true).unwrap().reason, "again");
        assert_eq!(measures.find(&Traits { source: Some("a"), ..Traits::default() }, |_| true), None);
        assert_eq!(measures.lift(&other.id).await.unwrap(), Some(other.clone()));
        bench.store.close().await;
        (taken.id, other.id)
    });
    block_on(async {
        let bench = Bench::open(folder.path());
        let measures = bench.store.measures();
        measures.load().await.unwrap();
        assert_eq!(measures.find(&traits, |_| true).unwrap().id, id);
        assert_eq!(measures.now().len(), 1, "{lifted} is gone");
    });
}

#[test]
fn a_measure_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        let measures = bench.store.measures();
        let traits = Traits { source: Some("a"), provider: Some("big"), ..Traits::default() };
        let until = bench.clock.now().plus(Duration::from_secs(60));
        let mut changes = measures.changes();
        let taken = measures.take(suspend("a", Some(until))).await.unwrap().unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert!(measures.find(&traits, |_| true).is_some() && measures.drop_ended().is_empty());
        bench.clock.advance(Duration::from_secs(60));
        assert!(measures.find(&traits, |_| true).is_none());
        assert_eq!(measures.drop_ended(), [taken]);
        assert!(changes.has_changed().unwrap() && measures.now().is_empty());
    });
}

#[test]
fn an_empty_scope_is_all_mail_and_scopes_are_told_in_words() {
    assert!(Scope::default().matches(&Traits::default()));
    assert_eq!(Scope::default().to_string(), "all mail");
    assert_eq!(suspend("a", None).scope.to_string(), "provider big, source a");
}
