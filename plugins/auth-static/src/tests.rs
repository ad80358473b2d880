use super::*;
use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use baton_sdk::testing::{TestHost, json};

/// A real hash, with parameters that are cheap enough for tests.
fn hash(password: &str, memory_kib: u32) -> String {
    let params = Params::new(memory_kib, 1, 1, None).unwrap();
    let salt = SaltString::from_b64("c2FsdHNhbHRzYWx0").unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes(), &salt).unwrap().to_string()
}

fn host() -> TestHost {
    TestHost::new().config(json!({ "users": { "ann": hash("secret", 64), "bob": hash("pässword", 128) } }))
}

fn ask(host: &TestHost, user: &str, credential: Credential) -> AuthDecision {
    host.plugin::<AuthStatic>().unwrap().on_auth(&host.context(), "PLAIN", user, &credential).unwrap()
}

fn password(text: &str) -> Credential {
    Credential::Password(text.to_owned())
}

#[test]
fn the_right_password_opens_the_account() {
    assert_eq!(ask(&host(), "ann", password("secret")), AuthDecision::Allow("ann".into()));
    assert_eq!(ask(&host(), "bob", password("pässword")), AuthDecision::Allow("bob".into()));
}

#[test]
fn wrong_password_and_unknown_user_look_the_same() {
    let wrong = ask(&host(), "ann", password("Secret"));
    assert!(matches!(&wrong, AuthDecision::Deny(reply) if reply.code == 535));
    for (user, given) in [("ann", ""), ("carol", "secret"), ("carol", ""), ("", ""), ("Ann", "secret")] {
        assert_eq!(ask(&host(), user, password(given)), wrong, "{user}/{given}");
    }
}

#[test]
fn an_unknown_user_costs_as_much_as_the_dearest_known_one() {
    let plugin: AuthStatic = host().plugin().unwrap();
    assert_eq!(plugin.decoy.cost_for_test(), plugin.users["bob"].cost_for_test());
    assert!(!plugin.decoy.matches("").unwrap());
}

#[test]
fn other_plugins_can_be_asked_about_unknown_users() {
    let host =
        TestHost::new().config(json!({ "users": { "ann": hash("secret", 64) }, "unknown_user": "next" }));
    assert_eq!(ask(&host, "carol", password("secret")), AuthDecision::Next);
    assert!(matches!(ask(&host, "ann", password("no")), AuthDecision::Deny(_)));
}

#[test]
fn tokens_are_left_to_others() {
    assert_eq!(ask(&host(), "ann", Credential::Token("secret".into())), AuthDecision::Next);
}

#[test]
fn hashes_out_of_bounds_or_of_another_kind_are_problems() {
    let dear = hash("x", 64);
    for (text, why) in [
        ("secret", "not a hash"),
        ("$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA", "not an argon2id hash"),
        ("$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA", "not an argon2id hash"),
        ("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0", "salt or hash"),
        ("$argon2id$v=19$m=64,t=9,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA", "passes_max"),
        (dear.as_str(), "memory_kib_max"),
    ] {
        let host = TestHost::new().config(json!({ "users": { "ann": text }, "memory_kib_max": 63 }));
        let host =
            if why == "memory_kib_max" { host } else { host.config(json!({ "users": { "ann": text } })) };
        let problems = host.plugin::<AuthStatic>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, "users.ann");
        assert!(problems.as_slice()[0].message.contains(why), "{text}: {:?}", problems.as_slice()[0]);
        assert!(!problems.as_slice()[0].message.contains(text), "the hash is repeated");
    }
}
