use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const NOW: UnixMs = UnixMs(1_795_737_600_000);
const DAY_MS: u64 = 86_400_000;

fn domain() -> Domain {
    "example.org".parse().unwrap()
}

fn states(file: &DomainFile) -> Vec<(&str, KeyState)> {
    file.keys.iter().map(|key| (key.selector.as_str(), key.state)).collect()
}

fn later(days: u64) -> UnixMs {
    UnixMs(NOW.0 + days * DAY_MS)
}

#[test]
fn a_rotation_never_leaves_mail_without_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let domains = Domains::new(folder.path().join("domains"));
    let added = domains.add(&domain(), NOW).unwrap();
    assert_eq!(states(&added), [("r20261127", KeyState::New), ("e20261127", KeyState::New)]);
    assert!(added.signing_keys().unwrap().is_empty());
    assert!(matches!(domains.add(&domain(), NOW), Err(DomainError::Known(_))));
    assert!(matches!(domains.rotate(&domain(), NOW), Err(DomainError::Rotating(_))));

    assert!(domains.activate(&domain(), NOW).unwrap());
    assert!(!domains.activate(&domain(), NOW).unwrap());
    let active = domains.get(&domain()).unwrap();
    assert_eq!((active.signing_keys().unwrap().len(), active.seen_at), (2, Some(NOW)));

    let rotated = domains.rotate(&domain(), NOW).unwrap();
    assert_eq!(rotated.keys[2].selector, "r20261127-2");
    let signing = |file: &DomainFile| {
        file.signing_keys().unwrap().into_iter().map(|key| key.selector).collect::<Vec<_>>()
    };
    assert_eq!(signing(&rotated), ["r20261127", "e20261127"]);

    domains.activate(&domain(), later(1)).unwrap();
    let next = domains.get(&domain()).unwrap();
    assert_eq!(signing(&next), ["r20261127-2", "e20261127-2"]);
    assert_eq!(next.key_records(KeyState::Old).len(), 2);

    domains.activate(&domain(), later(7)).unwrap();
    assert_eq!(domains.get(&domain()).unwrap().keys.len(), 4);
    domains.activate(&domain(), later(8)).unwrap();
    assert_eq!(domains.get(&domain()).unwrap().keys.len(), 2);
}

#[test]
fn keys_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let domains = Domains::new(folder.path().join("domains"));
    domains.add(&domain(), NOW).unwrap();
    let path = domains.folder().join("example.org.json");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(domains.folder()), mode(&path)), (0o700, 0o600));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(domains.get(&domain()), Err(DomainError::File(FileError::Open(_)))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(domains.list().unwrap().len(), 1);

    fs::write(&path, "{}").unwrap();
    assert!(matches!(domains.list(), Err(FileError::Damaged { .. })));
    domains.remove(&domain()).unwrap();
    assert!(matches!(domains.remove(&domain()), Err(DomainError::Unknown(_))));
    assert!(domains.list().unwrap().is_empty());
}

#[test]
fn only_names_have_keys() {
    let domains = Domains::new("/nonexistent/domains");
    assert!(matches!(domains.add(&"[192.0.2.1]".parse().unwrap(), NOW), Err(DomainError::Literal(_))));
    assert!(domains.list().unwrap().is_empty());
}
