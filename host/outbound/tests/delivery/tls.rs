//! TLS towards next hops that do it well, badly or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use baton_mail::SystemClock;
use baton_mail::event::What;
use baton_mail::tls::Security;
use baton_outbound::metrics::Protection;
use baton_outbound::{LmtpTarget, NextHop, OutboundSettings, TlsPolicy, TlsUse};
use baton_tls::{
    Authorities, CertificateFiles, CertificateSet, CertificateSettings, Certificates, TlsServer,
    TlsServerSettings,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::peer::{Line, Peer, Protect, Repeat, Say, Silence, Step, hello, script, take_one};
use crate::relay::{Relay, host, settings, short};

/// The name that the certificates of the tests are for.
const NAME: &str = "mx.peer.example";

/// An authority, and what it vouches for.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let authority = Authority { folder: tempfile::tempdir().unwrap(), issuer };
        std::fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server that shows a certificate for `name` which ends in that year.
    fn server(&self, name: &str, ends: i32) -> Arc<TlsServer> {
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(ends, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let at = |ending: &str| self.folder.path().join(format!("{name}-{ends}.{ending}"));
        let files = CertificateFiles { chain: at("crt"), key: at("key") };
        std::fs::write(&files.chain, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        server(self.folder.path(), vec![files])
    }

    /// A policy that trusts this authority only.
    fn policy(&self, mode: TlsUse) -> TlsPolicy {
        let (authorities, name) = (Some(Authorities::File(self.file())), Some(NAME.to_owned()));
        TlsPolicy { mode, authorities, name, ..TlsPolicy::default() }
    }
}

fn server(folder: &Path, files: Vec<CertificateFiles>) -> Arc<TlsServer> {
    let settings = CertificateSettings {
        files,
        obtained: None,
        folder: folder.join("own"),
        hostname: NAME.parse().unwrap(),
    };
    let set = CertificateSet::load(&settings, &SystemClock).unwrap();
    let made = TlsServer::new(Certificates::new(set), &TlsServerSettings::default(), Arc::new(SystemClock));
    Arc::new(made.unwrap())
}

fn with(policy: TlsPolicy, next_hop: NextHop) -> OutboundSettings {
    let mut settings = settings(next_hop);
    settings.tls.default = policy;
    settings
}

/// Greeting, EHLO and the answer to STARTTLS.
fn offering(answer: &'static str) -> Vec<Step> {
    vec![Say("220 peer ESMTP\r\n"), Line, Say("250-peer\r\n250 STARTTLS\r\n"), Line, Say(answer)]
}

/// STARTTLS done well, then EHLO and messages.
fn protected(server: &Arc<TlsServer>) -> Vec<Step> {
    script([
        offering("220 go on\r\n"),
        vec![Protect(server.clone()), Line, Say("250 peer\r\n"), Repeat(take_one())],
    ])
}

/// What became of one message to the peer: the event, and how the connection was protected.
async fn deliver(relay: &Relay) -> (String, Option<Security>) {
    let id = relay.submit("a@here.test", &["b@there.test"], "Subject: x\r\n\r\nsecret\r\n").await;
    let outcome = relay.outcome(id).await;
    let (What::Delivered { status, .. } | What::Deferred { status, .. } | What::Failed { status, .. }) =
        &outcome
    else {
        panic!("{outcome:?}")
    };
    (short(&outcome), status.remote.as_ref().and_then(|remote| remote.security.clone()))
}

fn count(relay: &Relay, tls: &'static str) -> u64 {
    relay.metrics.security.get_or_create(&Protection { tls }).get()
}

#[tokio::test]
async fn starttls_is_used_where_it_is_offered() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(vec![protected(&server(folder.path(), Vec::new()))]).await;
    let relay = Relay::start(settings(host(peer.address)));
    for _ in 0..2 {
        let (outcome, security) = deliver(&relay).await;
        assert_eq!(outcome, "delivered data 2.0.0");
        let Some(Security::Protected(facts)) = security else { panic!("{security:?}") };
        assert_eq!(facts.version, "TLSv1.3");
        let certificate = facts.certificate.as_ref().unwrap();
        assert_eq!(certificate.subject, NAME);
        assert!(certificate.distrust.is_some(), "nobody vouches for it");
    }
    assert_eq!(peer.heard(|heard| heard.connections), 1);
    assert_eq!((peer.count("STARTTLS"), peer.count("EHLO")), (1, 2), "EHLO is said again under TLS");
    assert_eq!(count(&relay, "unverified"), 1);
}

/// Where TLS is welcome but not needed, mail goes without it, and the history says why.
#[tokio::test]
async fn without_tls_opportunistic_mail_goes_in_plain_text() {
    let plain = script([hello(), take_one()]);
    let refusing = script([offering("454 4.7.0 not now\r\n"), take_one()]);
    for (peer, why) in [(plain, "the peer offers no TLS"), (refusing, "the peer refused STARTTLS")] {
        let peer = Peer::start(vec![peer]).await;
        let relay = Relay::start(settings(host(peer.address)));
        let (outcome, security) = deliver(&relay).await;
        assert_eq!(
            (outcome.as_str(), security),
            ("delivered data 2.0.0", Some(Security::Plain(why.to_owned())))
        );
        assert_eq!(count(&relay, "plain"), 1);
    }
}

#[tokio::test]
async fn broken_tls_costs_opportunistic_mail_one_connection() {
    let plain = script([hello(), take_one()]);
    for (broken, part) in [
        (
            script([offering("220 go on\r\n"), vec![Say("this is no TLS at all\r\n"), Silence]]),
            "this is no TLS",
        ),
        (offering("220 go on\r\n"), "the connection ended"),
        (script([offering("220 go on\r\n"), vec![Silence]]), "not complete in time"),
        (offering("421 4.7.0 no\r\n"), "no"),
    ] {
        let peer = Peer::start(vec![broken, plain.clone()]).await;
        let relay = Relay::start(settings(host(peer.address)));
        let (outcome, security) = deliver(&relay).await;
        assert_eq!(outcome, "delivered data 2.0.0", "{part}");
        let Some(Security::Plain(why)) = security else { panic!("{security:?}") };
        assert!(why.contains(part), "{part}: {why}");
        assert_eq!(peer.heard(|heard| heard.connections), 2);
        assert_eq!((count(&relay, "failed"), count(&relay, "plain")), (1, 1));
    }
}

/// A host whose TLS is broken is not asked for it again for a while; mail that needs TLS is none of that.
#[tokio::test]
async fn broken_tls_is_remembered_where_it_is_optional() {
    let broken = script([offering("220 go on\r\n"), vec![Say("this is no TLS at all\r\n"), Silence]]);
    let hello = vec![Say("220 peer ESMTP\r\n"), Line, Say("250-peer\r\n250 STARTTLS\r\n")];
    let plain = script([hello, take_one()]);
    let peer = Peer::start(vec![broken.clone(), plain.clone(), plain.clone(), broken]).await;
    let mut settings = settings(host(peer.address));
    settings.limits.deliveries_per_connection_max = 1;
    let relay = Relay::start(settings);
    for _ in 0..2 {
        let (outcome, security) = deliver(&relay).await;
        assert_eq!(outcome, "delivered data 2.0.0");
        assert!(matches!(security, Some(Security::Plain(why)) if why.contains("this is no TLS")));
    }
    assert_eq!((peer.count("STARTTLS"), peer.heard(|heard| heard.connections)), (1, 3));
    let relay = Relay::start(with(TlsPolicy::with_mode(TlsUse::Required), host(peer.address)));
    assert!(deliver(&relay).await.0.starts_with("deferred tls 4.7.5"));
}

/// T2: a reply that somebody slips in behind the answer to STARTTLS is believed nowhere (CVE-2021-38371).
#[tokio::test]
async fn injected_replies_are_not_believed() {
    for mode in [TlsUse::Opportunistic, TlsUse::Required] {
        let injecting = script([offering("220 go on\r\n250 peer\r\n"), take_one()]);
        let peer = Peer::start(vec![injecting]).await;
        let relay = Relay::start(with(TlsPolicy::with_mode(mode), host(peer.address)));
        assert_eq!(deliver(&relay).await.0, "deferred tls 4.5.0");
        assert_eq!(peer.count("MAIL"), 0);
    }
}

/// T5: mail that needs TLS waits rather than goes without.
#[tokio::test]
async fn needed_tls_is_never_left_out() {
    let known = Authority::new();
    let (good, wrong_name) = (known.server(NAME, 4_000), known.server("other.example", 4_000));
    let (expired, unknown) = (known.server(NAME, 2_001), Authority::new().server(NAME, 4_000));
    for (peer, what) in [
        (script([hello(), take_one()]), "nothing offered"),
        (script([offering("454 4.7.0 not now\r\n"), take_one()]), "refused"),
        (script([offering("220 go on\r\n"), vec![Say("no TLS\r\n"), Silence]]), "no TLS"),
        (script([offering("220 go on\r\n"), vec![Silence]]), "slow"),
        (protected(&wrong_name), "wrong name"),
        (protected(&expired), "expired"),
        (protected(&unknown), "unknown authority"),
    ] {
        let peer = Peer::start(vec![peer]).await;
        let relay = Relay::start(with(known.policy(TlsUse::Required), host(peer.address)));
        let (outcome, _) = deliver(&relay).await;
        assert!(outcome.starts_with("deferred tls 4.7."), "{what}: {outcome}");
        assert_eq!((peer.count("MAIL"), peer.heard(|heard| heard.contents.len())), (0, 0), "{what}");
    }
    let peer = Peer::start(vec![protected(&good)]).await;
    let relay = Relay::start(with(known.policy(TlsUse::Required), host(peer.address)));
    let (outcome, security) = deliver(&relay).await;
    assert_eq!(outcome, "delivered data 2.0.0");
    let Some(Security::Protected(facts)) = security else { panic!("{security:?}") };
    assert_eq!(facts.certificate.as_ref().unwrap().distrust, None);
    assert_eq!(count(&relay, "verified"), 1);
}

#[tokio::test]
async fn implicit_tls_begins_with_the_connection() {
    let known = Authority::new();
    let steps = |server| script([vec![Protect(server)], hello(), vec![Repeat(take_one())]]);
    let peer = Peer::start(vec![steps(known.server(NAME, 4_000))]).await;
    let relay = Relay::start(with(known.policy(TlsUse::Implicit), host(peer.address)));
    assert_eq!(deliver(&relay).await.0, "delivered data 2.0.0");
    assert_eq!(peer.count("STARTTLS"), 0);
    let peer = Peer::start(vec![steps(known.server("other.example", 4_000))]).await;
    let relay = Relay::start(with(known.policy(TlsUse::Implicit), host(peer.address)));
    assert!(deliver(&relay).await.0.starts_with("deferred tls 4.7.5"));
}

/// A policy of one next hop holds for it alone; an LMTP server has none unless the settings say so.
#[tokio::test]
async fn a_next_hop_has_its_own_policy() {
    let peer = Peer::start(vec![script([hello(), take_one()])]).await;
    let mut settings = with(TlsPolicy::with_mode(TlsUse::Off), host(peer.address));
    settings.tls.by_next_hop.insert(host(peer.address), TlsPolicy::with_mode(TlsUse::Required));
    assert!(deliver(&Relay::start(settings)).await.0.starts_with("deferred tls 4.7.5"));
    let peer = Peer::start(vec![script([hello(), take_one()])]).await;
    let target: LmtpTarget = peer.address.to_string().parse().unwrap();
    let relay = Relay::start(with(TlsPolicy::with_mode(TlsUse::Required), NextHop::Lmtp(target)));
    assert_eq!(deliver(&relay).await, ("delivered data 2.0.0".to_owned(), None));
}
