//! The example of RFC 7677, and what is no message.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use proptest::prelude::*;

use super::*;

const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn salted(password: &str, salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(rounds).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
    salted
}

fn sign(key: &[u8], text: &[u8]) -> [u8; 32] {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().try_into().unwrap()
}

fn hash(octets: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, octets).as_ref().try_into().unwrap()
}

/// The keys of the example: password `pencil`.
fn keys() -> ScramKeys {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let salted = salted("pencil", &salt, 4_096);
    let (stored_key, server_key) = (hash(&sign(&salted, b"Client Key")), sign(&salted, b"Server Key"));
    ScramKeys { salt, iterations: 4_096, stored_key, server_key }
}

/// What a client with that password makes of both first messages.
fn proof(password: &str, first: &str, server_first: &str, channel: &[u8]) -> String {
    let salted = salted(password, &keys().salt, 4_096);
    let client_key = sign(&salted, b"Client Key");
    let mut parts = first.splitn(3, ',');
    let header = format!("{},{},", parts.next().unwrap(), parts.next().unwrap());
    let bare = parts.next().unwrap();
    let nonce = server_first.split(',').next().unwrap();
    let bound = STANDARD.encode([header.as_bytes(), channel].concat());
    let without_proof = format!("c={bound},{nonce}");
    let signature = sign(&hash(&client_key), format!("{bare},{server_first},{without_proof}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(one, other)| one ^ other).collect();
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

fn answer(
    first: &str,
    is_plus: bool,
    exporter: Option<&[u8]>,
) -> Result<(String, AwaitingProof), ScramError> {
    ClientFirst::parse(first.as_bytes(), is_plus)?.answer(keys(), SERVER_NONCE, exporter)
}

#[test]
fn the_example_of_rfc_7677() {
    let first = ClientFirst::parse(FIRST.as_bytes(), false).unwrap();
    assert_eq!(first.username(), "user");
    let (said, waiting) = first.answer(keys(), SERVER_NONCE, None).unwrap();
    assert_eq!(
        said,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    assert_eq!(waiting.finish(FINAL.as_bytes()).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn first_messages_that_are_none() {
    for (message, expected) in [
        ("", ScramError::Malformed),
        ("n", ScramError::Malformed),
        ("n,", ScramError::Malformed),
        ("n,,", ScramError::Malformed),
        ("x,,n=user,r=abc", ScramError::Malformed),
        ("N,,n=user,r=abc", ScramError::Malformed),
        ("p=,,n=user,r=abc", ScramError::Malformed),
        ("p=tls-unique,,n=user,r=abc", ScramError::Extension),
        ("p=tls-exporter,,n=user,r=abc", ScramError::Wrong),
        ("n,,m=x,n=user,r=abc", ScramError::Extension),
        ("n,b=user,n=user,r=abc", ScramError::Malformed),
        ("n,a=root,n=user,r=abc", ScramError::Wrong),
        ("n,a=,n=user,r=abc", ScramError::Malformed),
        ("n,,r=abc,n=user", ScramError::Malformed),
        ("n,,n=user", ScramError::Malformed),
        ("n,,n=,r=abc", ScramError::Malformed),
        ("n,,n=us=er,r=abc", ScramError::Malformed),
        ("n,,n=user=2,r=abc", ScramError::Malformed),
        ("n,,n=us\u{7}er,r=abc", ScramError::Malformed),
        ("n,,n=user,r=", ScramError::Malformed),
        ("n,,n=user,r=a b", ScramError::Malformed),
        ("n,,n=user,r=\u{e4}", ScramError::Malformed),
        ("n,,n=user,r=abc,", ScramError::Malformed),
        ("n,,n=user,r=abc,x", ScramError::Malformed),
        ("n,,n=user,r=abc,1=x", ScramError::Malformed),
    ] {
        assert_eq!(ClientFirst::parse(message.as_bytes(), false), Err(expected), "{message:?}");
    }
    let long = format!("n,,n=user,r={}", "x".repeat(257));
    assert_eq!(ClientFirst::parse(long.as_bytes(), false), Err(ScramError::Malformed));
    assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=abc", false), Err(ScramError::Malformed));
    assert_eq!(ClientFirst::parse(FIRST.as_bytes(), true), Err(ScramError::Wrong), "it must be bound");
}

#[test]
fn names_are_unescaped_and_prepared() {
    for (message, expected) in [
        ("n,,n=a=2Cb=3Dc,r=x", "a,b=c"),
        ("n,a=user,n=user,r=x", "user"),
        ("n,,n=I\u{ad}X,r=x", "IX"),
        ("n,,n=\u{2168},r=x", "IX"),
        ("n,,n=user,r=x,e=extension", "user"),
        ("y,,n=user,r=x", "user"),
    ] {
        let first = ClientFirst::parse(message.as_bytes(), false).unwrap();
        assert_eq!(first.username(), expected, "{message}");
    }
}

#[test]
fn last_messages_that_prove_nothing() {
    let good = |text: &str| answer(FIRST, false, None).unwrap().1.finish(text.as_bytes());
    assert!(good(FINAL).is_ok());
    let (without_proof, proof) = FINAL.rsplit_once(",p=").unwrap();
    let zeros = STANDARD.encode([0; 32]);
    for (message, expected) in [
        (String::new(), ScramError::Malformed),
        (without_proof.to_owned(), ScramError::Malformed),
        (format!("{without_proof},p="), ScramError::Malformed),
        (format!("{without_proof},p=eA=="), ScramError::Malformed),
        (format!("{without_proof},p={proof}x"), ScramError::Malformed),
        (format!("{without_proof},x,p={proof}"), ScramError::Malformed),
        (format!("r=abc,c=biws,p={proof}"), ScramError::Malformed),
        (format!("c=!,r=abc,p={proof}"), ScramError::Malformed),
        (format!("{without_proof},p={zeros}"), ScramError::Wrong),
        (format!("{without_proof},x=y,p={proof}"), ScramError::Wrong),
        (FINAL.replace("c=biws", "c=eSws"), ScramError::Wrong),
        (FINAL.replace("$k0", "$k1"), ScramError::Wrong),
        (FINAL.replace("r=rOpr", "r=xOpr"), ScramError::Wrong),
    ] {
        assert_eq!(good(&message), Err(expected), "{message:?}");
    }
    let (said, waiting) = answer(FIRST, false, None).unwrap();
    assert_eq!(
        waiting.finish(super::tests::proof("Pencil", FIRST, &said, b"").as_bytes()),
        Err(ScramError::Wrong)
    );
}

#[test]
fn an_exchange_is_bound_to_its_connection() {
    let first = FIRST.replacen('n', "p=tls-exporter", 1);
    let (said, waiting) = answer(&first, true, Some(&[7; 32])).unwrap();
    assert!(waiting.finish(proof("pencil", &first, &said, &[7; 32]).as_bytes()).is_ok());
    // Somebody in between has another connection to each side.
    let (said, waiting) = answer(&first, true, Some(&[7; 32])).unwrap();
    assert_eq!(waiting.finish(proof("pencil", &first, &said, &[8; 32]).as_bytes()), Err(ScramError::Wrong));
    assert!(answer(&first, true, None).is_err());
    // The client could, and was told that we can not: somebody changed the offer.
    let downgraded = FIRST.replacen('n', "y", 1);
    assert_eq!(answer(&downgraded, false, Some(&[7; 32])).unwrap_err(), ScramError::Wrong);
    let (said, waiting) = answer(&downgraded, false, None).unwrap();
    assert!(waiting.finish(proof("pencil", &downgraded, &said, b"").as_bytes()).is_ok());
}

proptest! {
    /// Whatever comes, there is an answer and no panic; and what is read was written in the grammar.
    #[test]
    fn whatever_comes_is_answered(octets in proptest::collection::vec(any::<u8>(), 0..200), is_plus: bool) {
        let _ = ClientFirst::parse(&octets, is_plus);
        let (_, waiting) = answer(FIRST, false, None).unwrap();
        prop_assert!(waiting.finish(&octets).is_err());
    }

    /// Messages near the grammar.
    #[test]
    fn messages_near_the_grammar(text in "(n|y|p=tls-exporter|p=x),(a=[a-c=2CD,]{0,4})?,(m=x,)?(n=[a-c=2C3D,\u{e4}]{0,6})?,(r=[!-~]{0,9})?(,[a-z]?=?[a-z]?)?") {
        if let Ok(first) = ClientFirst::parse(text.as_bytes(), false) {
            prop_assert!(!first.username().is_empty());
            let (said, waiting) = first.answer(keys(), SERVER_NONCE, None).unwrap();
            prop_assert!(waiting.finish(proof("pencil", &text, &said, b"").as_bytes()).is_ok(), "{}", text);
        }
    }

    /// One changed octet of a good proof is no proof.
    #[test]
    fn a_changed_proof_is_none(place in 0..FINAL.len(), change in 1_u8..=255) {
        let mut message = FINAL.as_bytes().to_vec();
        message[place] ^= change;
        let (_, waiting) = answer(FIRST, false, None).unwrap();
        prop_assert!(waiting.finish(&message).is_err());
    }
}
