//! OAUTHBEARER and XOAUTH2: tokens of an OpenID provider, checked by the keys that it publishes.
#![allow(clippy::indexing_slicing, reason = "keys and claims of the tests' own making")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_mail::{Clock, SystemClock};
use baton_tests::client::{Answer, Client};
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::web::Web;
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://id.example";

/// A key of a provider.
enum Key {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Key {
    fn rsa() -> Result<Key> {
        Ok(Key::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048)?)))
    }

    fn ec() -> Result<Key> {
        Ok(Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?))
    }

    fn ed() -> Result<Key> {
        Ok(Key::Ed(Ed25519KeyPair::generate()?))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Key::Rsa(_) => "RS256",
            Key::Ec(_) => "ES256",
            Key::Ed(_) => "EdDSA",
        }
    }

    /// As it is published.
    fn published(&self, id: &str) -> Value {
        let text = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let mut key = match self {
            // The modulus stands between a fixed head and the exponent (RFC 8017 A.1.1).
            Key::Rsa(key) => {
                json!({ "kty": "RSA", "n": text(&key.public_key().as_ref()[9..265]), "e": "AQAB" })
            }
            Key::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
            Key::Ed(key) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref()) }),
        };
        key["kid"] = id.into();
        key["use"] = "sig".into();
        key
    }

    fn sign(&self, octets: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        Ok(match self {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, octets, &mut signature)?;
                signature
            }
            Key::Ec(key) => key.sign(&random, octets)?.as_ref().to_vec(),
            Key::Ed(key) => key.sign(octets).as_ref().to_vec(),
        })
    }

    fn token(&self, id: &str, claims: &Value) -> Result<String> {
        self.token_with(&json!({ "alg": self.algorithm(), "kid": id, "typ": "JWT" }), claims)
    }

    fn token_with(&self, header: &Value, claims: &Value) -> Result<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }
}

fn now_s() -> u64 {
    SystemClock.now().0 / 1_000
}

/// What a good token says.
fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "mail", "exp": now_s() + 600, "email": "ann@one.example",
        "email_verified": true, "sub": "4711", "scope": "openid mail.send" })
}

/// Those claims, but for one.
fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    if let Some(claims) = claims.as_object_mut() {
        claims.remove(name);
    }
    claims
}

fn with_issuer(sink: &Sink, keys: &str) -> Settings {
    settings(sink)
        .set("session.auth_failures_max", 1_000)
        .set("session.errors_max", 1_000)
        .set("accounts.failures_per_account_max", 1_000)
        .with(&format!(
            "[accounts.issuers.id]\nissuer = \"{ISSUER}\"\n{keys}\naudiences = [\"mail\", \"other\"]\nscope = \"mail.send\"\nrefresh_min_s = 0\n"
        ))
}

/// A key as a provider publishes it, and a good token by it for `ann@one.example`.
pub(super) fn published_and_token() -> Result<(Value, String)> {
    let key = Key::ed()?;
    let token = key.token("k", &claims())?;
    Ok((json!({ "keys": [key.published("k")] }), token))
}

fn oauthbearer(client: &mut Client, user: &str, token: &str) -> Result<Answer> {
    let message = format!("n,{user},\x01host=relay.example\x01port=587\x01auth=Bearer {token}\x01\x01");
    client.command(&format!("AUTH OAUTHBEARER {}", base64(message)))
}

fn xoauth2(client: &mut Client, user: &str, token: &str) -> Result<Answer> {
    let message = format!("user={user}\x01auth=Bearer {token}\x01\x01");
    client.command(&format!("AUTH XOAUTH2 {}", base64(message)))
}

/// Why a token was refused, and the end of the exchange.
fn refused(client: &mut Client, answer: &Answer) -> Result<Value> {
    ensure!(answer.code == 334, "{answer}");
    let error = serde_json::from_slice(&STANDARD.decode(answer.text())?)?;
    let last = client.command("AQ==")?;
    ensure!(last.code == 535 && last.text().starts_with("5.7.8"), "{last}");
    Ok(error)
}

#[test]
fn tokens_of_each_algorithm_are_taken_by_both_mechanisms() -> Result<()> {
    let sink = Sink::start()?;
    let keys = [("r", Key::rsa()?), ("e", Key::ec()?), ("d", Key::ed()?)];
    let published: Vec<_> = keys.iter().map(|(id, key)| key.published(id)).collect();
    let published = json!({ "keys": published }).to_string();
    let web = Web::start(move |_, _| (200, published.clone()))?;
    let relay = Relay::start(with_issuer(&sink, &format!("jwks_url = {:?}", web.url("/keys"))))?;
    add(&relay, "ann@one.example", "tanstaaf", &[])?;
    let offer = client(&relay)?.expect("EHLO c", 250)?.text();
    assert!(offer.contains("PLAIN LOGIN OAUTHBEARER XOAUTH2"), "{offer}");
    for (id, key) in &keys {
        let token = key.token(id, &claims())?;
        for user in ["", "a=ann@one.example", "a=Ann@One.Example"] {
            let answer = oauthbearer(&mut client(&relay)?, user, &token)?;
            assert_eq!(answer.code, 235, "{answer}");
        }
        let mut client = client(&relay)?;
        assert_eq!(xoauth2(&mut client, "ann@one.example", &token)?.code, 235);
        assert_eq!(client.send("eve@one.example", &["bo@dest.example"], b"")?.code, 553);
        let sent = client.send("ann@one.example", &["bo@dest.example"], &message("ann@one.example"))?;
        assert_eq!(sent.code, 250, "{sent}");
    }
    assert_eq!(web.asked().len(), 1, "the keys are kept");
    assert!(!relay.log().contains("eyJ"), "no token is logged");
    // Several audiences, times in fractions, a scope as Microsoft writes it.
    let key = &keys[1].1;
    for good in [
        but("aud", json!(["x", "other"])),
        but("exp", json!(now_s() as f64 + 600.5)),
        but("nbf", json!(now_s() + 10)),
        but("exp", json!(now_s() - 10)),
    ] {
        let answer = oauthbearer(&mut client(&relay)?, "", &key.token("e", &good)?)?;
        assert_eq!(answer.code, 235, "{good}: {answer}");
    }
    relay.said(&["user", "disable", "ann@one.example"])?;
    assert_eq!(oauthbearer(&mut client(&relay)?, "", &key.token("e", &claims())?)?.code, 535);
    Ok(())
}

#[test]
#[allow(clippy::too_many_lines, reason = "one line for each bad token")]
fn tokens_that_are_not_good() -> Result<()> {
    let sink = Sink::start()?;
    let (key, rsa, foreign) = (Key::ec()?, Key::rsa()?, Key::ec()?);
    let mut encryption = Key::ec()?.published("enc");
    encryption["use"] = "enc".into();
    let published = json!({ "keys": [key.published("e"), rsa.published("r"), encryption, { "kty": "oct", "k": "AAAA", "kid": "o" }] });
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.json");
    std::fs::write(&file, published.to_string())?;
    let relay = Relay::start(
        with_issuer(&sink, &format!("jwks_file = {file:?}"))
            .set("accounts.issuers.id.algorithms", vec!["ES256"]),
    )?;
    add(&relay, "ann@one.example", "tanstaaf", &[])?;
    let unsigned = {
        let token = key.token_with(&json!({ "alg": "none" }), &claims())?;
        let (signed, _) = token.rsplit_once('.').context("a token")?;
        format!("{signed}.")
    };
    let good = key.token("e", &claims())?;
    let (signed, signature) = good.rsplit_once('.').context("a token")?;
    let parts: Vec<_> = signed.split('.').collect();
    let other = key.token("e", &but("sub", json!("4712")))?;
    let swapped = format!("{}.{signature}", other.rsplit_once('.').context("a token")?.0);
    let mut client = client(&relay)?;
    let mut said = Vec::new();
    for (case, token) in [
        ("unsigned", unsigned),
        ("no signature", format!("{signed}.")),
        ("half a token", parts[0].to_owned()),
        ("two parts", signed.to_owned()),
        ("claims changed", swapped),
        ("no JSON", format!("{}.{}.{signature}", parts[0], URL_SAFE_NO_PAD.encode("x"))),
        ("another key of that name", foreign.token("e", &claims())?),
        ("unknown key", foreign.token("unknown", &claims())?),
        ("a key for encryption", foreign.token("enc", &claims())?),
        ("algorithm not allowed", rsa.token("r", &claims())?),
        ("another algorithm for the key", key.token_with(&json!({ "alg": "RS256", "kid": "e" }), &claims())?),
        ("a shared secret", key.token_with(&json!({ "alg": "HS256", "kid": "o" }), &claims())?),
        (
            "must be understood",
            key.token_with(&json!({ "alg": "ES256", "kid": "e", "crit": ["b64"] }), &claims())?,
        ),
        ("expired", key.token("e", &but("exp", json!(now_s() - 60)))?),
        ("never expires", key.token("e", &without("exp"))?),
        ("expires in words", key.token("e", &but("exp", json!("tomorrow")))?),
        ("not yet valid", key.token("e", &but("nbf", json!(now_s() + 600)))?),
        ("begins in words", key.token("e", &but("nbf", json!("today")))?),
        ("another audience", key.token("e", &but("aud", json!("shop")))?),
        ("no audience", key.token("e", &without("aud"))?),
        ("another issuer", key.token("e", &but("iss", json!("https://evil.example")))?),
        ("no issuer", key.token("e", &without("iss"))?),
        ("address not verified", key.token("e", &but("email_verified", json!(false)))?),
        ("verified in words", key.token("e", &but("email_verified", json!("true")))?),
        ("nobody says that the address is verified", key.token("e", &without("email_verified"))?),
        ("no account", key.token("e", &without("email"))?),
        ("account is a number", key.token("e", &but("email", json!(1)))?),
    ] {
        let answer = oauthbearer(&mut client, "", &token)?;
        let error = refused(&mut client, &answer).with_context(|| case)?;
        assert_eq!(error["status"], "invalid_token", "{case}: {error}");
        said.push(error);
    }
    let configuration = "https://id.example/.well-known/openid-configuration";
    assert!(said.iter().any(|error| error["openid-configuration"] == configuration), "{said:?}");
    let token = key.token("e", &but("scope", json!("openid")))?;
    let answer = oauthbearer(&mut client, "", &token)?;
    let error = refused(&mut client, &answer)?;
    assert_eq!((&error["status"], &error["scope"]), (&json!("insufficient_scope"), &json!("mail.send")));
    let answer = oauthbearer(&mut client, "a=bob@one.example", &good)?;
    refused(&mut client, &answer)?;
    let answer = xoauth2(&mut client, "bob@one.example", &good)?;
    let error = refused(&mut client, &answer)?;
    assert_eq!((&error["status"], &error["schemes"]), (&json!("401"), &json!("bearer")));
    // An account that the store does not know is refused by default.
    assert_eq!(
        oauthbearer(&mut client, "", &key.token("e", &but("email", json!("zoe@one.example")))?)?.code,
        535
    );
    for malformed in
        ["", "n", "n,,\x01", "n,,\x01auth=Basic abc\x01\x01", "p=tls-exporter,,\x01auth=Bearer abc\x01\x01"]
    {
        client.expect("AUTH OAUTHBEARER", 334)?;
        assert_eq!(client.command(&base64(malformed))?.code, 501, "{malformed:?}");
    }
    client.expect("AUTH XOAUTH2", 334)?;
    client.expect("*", 501)?;
    assert_eq!(oauthbearer(&mut client, "", &good)?.code, 235, "the session is still good");
    Ok(())
}

#[test]
fn keys_are_fetched_when_they_are_needed_and_not_more_often() -> Result<()> {
    let sink = Sink::start()?;
    let (old, new, never) = (Key::ed()?, Key::ed()?, Key::ed()?);
    let sets = [
        (503, String::new()),
        (200, "no JSON".to_owned()),
        (200, json!({ "keys": [] }).to_string()),
        (200, json!({ "keys": [old.published("old")] }).to_string()),
        (200, json!({ "keys": [old.published("old"), new.published("new")] }).to_string()),
        (503, String::new()),
    ];
    let phase = Arc::new(AtomicUsize::new(0));
    let at = Arc::clone(&phase);
    let web = Web::start(move |_, _| sets[at.load(Ordering::SeqCst)].clone())?;
    let issuer = format!("jwks_url = {:?}\nunknown_accounts = \"accept\"", web.url("/keys"));
    let mut relay = Relay::start(with_issuer(&sink, &issuer))?;
    let code = |relay: &Relay, token: &str| {
        Ok::<_, anyhow::Error>(oauthbearer(&mut client(relay)?, "", token)?.code)
    };
    let (of_old, of_new, of_never) =
        (old.token("old", &claims())?, new.token("new", &claims())?, never.token("never", &claims())?);
    for down in 0..3 {
        phase.store(down, Ordering::SeqCst);
        assert_eq!(code(&relay, &of_old)?, 454, "without keys nobody can say");
    }
    phase.store(3, Ordering::SeqCst);
    assert_eq!(code(&relay, &of_old)?, 235);
    // A key that is not known is a reason to ask again.
    assert_eq!(code(&relay, &of_new)?, 334);
    phase.store(4, Ordering::SeqCst);
    assert_eq!(code(&relay, &of_new)?, 235);
    // The keys at hand serve on while the provider is away.
    phase.store(5, Ordering::SeqCst);
    assert_eq!((code(&relay, &of_new)?, code(&relay, &of_never)?, code(&relay, &of_old)?), (235, 334, 235));

    // With a pause between tries, no flood of names makes a flood of questions. A reload keeps what did not change.
    phase.store(4, Ordering::SeqCst);
    relay.write_settings(with_issuer(&sink, &issuer).set("accounts.issuers.id.refresh_min_s", 3_600))?;
    relay.said(&["reload"])?;
    let before = web.asked().len();
    assert_eq!(code(&relay, &of_new)?, 235);
    for number in 0..10 {
        assert_eq!(code(&relay, &never.token(&format!("k{number}"), &claims())?)?, 334);
    }
    assert_eq!(web.asked().len(), before + 1);
    relay.said(&["reload"])?;
    assert_eq!((code(&relay, &of_new)?, web.asked().len()), (235, before + 1));
    // Without an account in the store ann sends in her own name.
    let mut client = client(&relay)?;
    assert_eq!(oauthbearer(&mut client, "", &of_new)?.code, 235);
    assert_eq!(client.send("eve@one.example", &["bo@dest.example"], b"")?.code, 553);
    let sent = client.send("ann@one.example", &["bo@dest.example"], &message("ann@one.example"))?;
    assert_eq!(sent.code, 250, "{sent}");
    relay.stop()?;
    Ok(())
}

/// How far clocks may differ, and how old keys may be when there are no newer ones.
#[test]
fn clocks_and_keys_have_some_leeway() -> Result<()> {
    let (sink, key) = (Sink::start()?, Key::ed()?);
    let published = json!({ "keys": [key.published("k")] }).to_string();
    let mut past = claims();
    past["exp"] = json!(SystemClock.now().0 / 1_000 - 60);
    let token = key.token("k", &past)?;
    for stale_s in [86_400, 1] {
        let published = published.clone();
        let web = Web::start(move |_, before| match before {
            0 => (200, published.clone()),
            _ => (503, String::new()),
        })?;
        let issuer = format!("jwks_url = {:?}\nunknown_accounts = \"accept\"", web.url("/keys"));
        let settings = with_issuer(&sink, &issuer)
            .set("accounts.issuers.id.leeway_s", 600)
            .set("accounts.issuers.id.refresh_s", 1)
            .set("accounts.issuers.id.stale_s", stale_s);
        let relay = Relay::start(settings)?;
        let code = || Ok::<_, anyhow::Error>(oauthbearer(&mut client(&relay)?, "", &token)?.code);
        assert_eq!(code()?, 235);
        // Newer ones are asked for in vain.
        let last = baton_tests::wait::until("a second question, or the end of the keys", || {
            let code = code()?;
            Ok((web.asked().len() > 1 && (stale_s > 1 || code != 235)).then_some(code))
        })?;
        assert_eq!(last, if stale_s > 1 { 235 } else { 454 });
    }
    Ok(())
}

/// Who gives up waiting does not take the keys from those who come next.
#[test]
fn keys_that_come_late_come_once_for_all() -> Result<()> {
    let (sink, key) = (Sink::start()?, Key::ed()?);
    let published = json!({ "keys": [key.published("k")] }).to_string();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let web = Web::start(move |_, _| {
        // The test that ends early lets go as well.
        let _ = gate.lock().map(|gate| gate.recv());
        (200, published.clone())
    })?;
    let issuer = format!("jwks_url = {:?}\nunknown_accounts = \"accept\"", web.url("/keys"));
    let settings = with_issuer(&sink, &issuer).set("accounts.issuers.id.refresh_min_s", 3_600);
    let relay = Relay::start(settings.set("session.answer_s", 1))?;
    let token = key.token("k", &claims())?;
    let late = oauthbearer(&mut client(&relay)?, "", &token)?;
    assert_eq!(late.code, 421, "{late}");
    release.send(())?;
    let answered = baton_tests::wait::until("the keys", || {
        Ok(Some(oauthbearer(&mut client(&relay)?, "", &token)?).filter(|answer| answer.code == 235))
    })?;
    assert_eq!((answered.code, web.asked().len()), (235, 1));
    Ok(())
}

#[test]
fn settings_of_issuers_are_checked() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::prepare(settings(&sink).with(
        "[accounts.issuers.a]\njwks_url = \"http://id.example/keys\"\nalgorithms = [\"HS256\"]\n\
         [accounts.issuers.b]\nissuer = \"https://id.example\"\naudiences = [\"mail\"]\n",
    ))?;
    let said = relay.run(&["check"])?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    for part in [
        "accounts.issuers.a.issuer",
        "accounts.issuers.a.audiences",
        "accounts.issuers.a.algorithms[0]",
        "accounts.issuers.a.jwks_url",
        "whoever is in between could give other keys",
        "accounts.issuers.b.jwks_url",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    Ok(())
}

#[test]
fn plugins_get_tokens_only_where_the_settings_say_so() -> Result<()> {
    let sink = Sink::start()?;
    let auth = program::plugin("baton-plugin-auth-static")?;
    let users = "[plugins.auth-static.config.users]\n";
    let relay = Relay::start(settings(&sink).plugin("auth-static", &auth).with(users))?;
    assert!(!client(&relay)?.expect("EHLO c", 250)?.text().contains("OAUTHBEARER"));
    let relay = Relay::start(
        settings(&sink).plugin("auth-static", &auth).with(users).set("accounts.tokens_to_plugins", true),
    )?;
    let mut client = client(&relay)?;
    assert!(client.expect("EHLO c", 250)?.text().contains("OAUTHBEARER XOAUTH2"));
    // This plugin knows passwords only.
    assert_eq!(oauthbearer(&mut client, "a=ann", "opaque")?.code, 535);
    Ok(())
}
