//! Accounts.

use baton_mail::account::{Quota, ScramKeys, Secrets};
use baton_mail::{Account, AccountName};

use super::*;
use crate::ChangeError;

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn account(text: &str) -> Account {
    let keys = ScramKeys { salt: vec![1; 16], iterations: 4_096, stored_key: [2; 32], server_key: [3; 32] };
    let secrets = Secrets { password: "$argon2id$x".to_owned(), scram: Some(keys) };
    Account {
        tenant: Some("acme".to_owned()),
        senders: vec!["@one.example".parse().unwrap()],
        quota: Quota { messages_per_hour: Some(5), ..Quota::default() },
        secrets: Some(secrets),
        ..Account::new(name(text), START)
    }
}

async fn put(bench: &Bench, account: &Account) {
    let to_be = Some(account.clone());
    let put = bench.store.accounts().change(&account.name, |_| Ok::<_, ()>(to_be)).await;
    assert_eq!(put.unwrap().as_ref(), Some(account));
}

#[test]
fn accounts_outlive_the_process_and_are_listed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        assert!(!bench.store.accounts().are_there());
        let revision = bench.store.accounts().revision();
        for text in ["bob", "ann@one.example", "zoe", "ann"] {
            put(&bench, &account(text)).await;
        }
        assert!(bench.store.accounts().are_there() && bench.store.accounts().revision() > revision);
        // Not closed: what was answered is on disk.
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let bench = Bench::open(copy.path());
        let accounts = bench.store.accounts();
        assert!(accounts.are_there());
        assert_eq!(accounts.get(&name("ANN")).await.unwrap(), Some(account("ann")));
        assert_eq!(accounts.get(&name("an")).await.unwrap(), None);
        let names = |page: Vec<Account>| page.iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        let first = names(accounts.list(None, 2).await.unwrap());
        assert_eq!(first, ["ann", "ann@one.example"]);
        let rest = names(accounts.list(Some(name("ann@one.example")), 10).await.unwrap());
        assert_eq!(rest, ["bob", "zoe"]);
    });
}

#[test]
fn a_change_sees_what_is_there_and_may_refuse() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let bench = Bench::open(folder.path());
        put(&bench, &account("ann")).await;
        let accounts = bench.store.accounts();
        let refused = accounts.change(&name("ann"), |found| found.map_or(Ok(None), |_| Err("exists"))).await;
        assert!(matches!(refused, Err(ChangeError::Refused("exists"))), "{refused:?}");
        assert_eq!(accounts.get(&name("ann")).await.unwrap(), Some(account("ann")));
        assert_eq!(accounts.change(&name("ann"), |_| Ok::<_, ()>(None)).await.unwrap(), None);
        assert_eq!(accounts.get(&name("ann")).await.unwrap(), None);
        assert!(!accounts.are_there());
    });
}
