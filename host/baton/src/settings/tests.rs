//! The settings as an operator meets them.

use std::path::Path;

use super::problem::Problems;
use super::{load, load_text};

fn problems(text: &str) -> Problems {
    load_text(text, Path::new("/etc/baton")).expect_err("the settings are wrong")
}

/// The problem with `key`, which must name line, reason and remedy.
fn assert_problem(text: &str, key: &str, parts: &[&str]) {
    let problems = problems(text);
    let found = problems.iter().find(|problem| problem.key == key);
    let shown = found.unwrap_or_else(|| panic!("no problem with {key} among:\n{problems}")).to_string();
    for part in parts {
        assert!(shown.contains(part), "`{part}` is not in: {shown}");
    }
    assert!(shown.contains("(line "), "no line in: {shown}");
}

#[test]
fn everything_has_a_working_default() {
    let checked = load(None).unwrap();
    let listener = &checked.inbound.listeners[0];
    assert_eq!((checked.inbound.listeners.len(), listener.name.as_str()), (1, "smtp"));
    assert_eq!(listener.addresses, ["127.0.0.1:2525".parse().unwrap()]);
    assert_eq!(listener.tls, baton_inbound::TlsMode::Offered);
    assert!(checked.store.path.ends_with("baton-data/queue"));
    assert!(checked.api.admin_socket.ends_with("baton-data/admin.sock"));
}

#[test]
fn the_defaults_are_those_of_the_stages() {
    let checked = load(None).unwrap();
    let hostname = checked.inbound.hostname.clone();
    assert_eq!(checked.dns, baton_dns::DnsSettings::default());
    assert_eq!(checked.engine, baton_hooks::EngineSettings::default());
    assert_eq!(checked.store, baton_store::StoreSettings::new(&checked.store.path));
    let outbound = baton_outbound::OutboundSettings::new(hostname);
    assert_eq!(checked.outbound.retry, outbound.retry);
    assert_eq!(checked.outbound.limits, outbound.limits);
    assert_eq!(checked.outbound.timeouts, outbound.timeouts);
    assert_eq!(checked.outbound.dsn, outbound.dsn);
    assert_eq!(checked.api.limits.templates, baton_api::TemplateSettings::default());
    // Checks carry the relay's name, so that no default can have them.
    let policy =
        baton_inbound::Policy { checks: checked.policy.checks.clone(), ..baton_inbound::Policy::default() };
    assert_eq!(format!("{:?}", checked.policy), format!("{policy:?}"));
    let plugin = load_text("[plugins.a]\nsource = \"a.wasm\"\n", Path::new("/x")).unwrap().plugins.remove(0);
    assert_eq!(plugin.limits, baton_hooks::Limits::default());
    assert_eq!(plugin.grants, baton_hooks::Grants::default());
    let mut listener = baton_inbound::ListenerSettings::new(
        "smtp",
        "127.0.0.1:2525".parse().unwrap(),
        baton_inbound::ListenerKind::Mx,
    );
    listener.tls = baton_inbound::TlsMode::Offered;
    assert_eq!(format!("{:?}", checked.inbound.listeners[0]), format!("{listener:?}"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "hostnam = \"x\"\n[listeners.submission]\naddress = \"here\"\n[dns]\ntimeout_ms = \"fast\"\n";
    let all = problems(text);
    let keys: Vec<_> = all.iter().map(|problem| (problem.key.as_str(), problem.line)).collect();
    assert_eq!(
        keys,
        [("hostnam", Some(1)), ("listeners.submission.address", Some(3)), ("dns.timeout_ms", Some(5))]
    );
    assert_eq!(all.len(), 3);
}

#[test]
fn unknown_keys_name_the_known_ones() {
    assert_problem(
        "[session]\nsize_max = 3\n",
        "session.size_max",
        &["there is no such key", "[session] knows", "size_octets_max"],
    );
    assert_problem(
        "[plugins.a.grants]\nfile = true\n",
        "plugins.a.grants.file",
        &["remove or correct it", "relay"],
    );
}

#[test]
fn wrong_types_and_ranges_name_what_is_right() {
    assert_problem(
        "[dns]\ntimeout_ms = \"fast\"\n",
        "dns.timeout_ms",
        &["`fast`", "expected a whole number, found text"],
    );
    assert_problem(
        "[dns]\nattempts = -1\n",
        "dns.attempts",
        &["`-1`", "out of range", "write a number from 0"],
    );
    assert_problem("[delivery]\nretry_jitter = 1.5\n", "delivery.retry_jitter", &["`1.5`", "from 0 to 1"]);
    assert_problem("[delivery]\nsmtp_port = 99999\n", "delivery.smtp_port", &["`99999`", "65535"]);
    assert_problem("listeners = 3\n", "listeners", &["expected a table", "found a whole number"]);
}

#[test]
fn values_that_can_not_be_meant_name_the_remedy() {
    assert_problem(
        "[listeners.s]\naddress = \"25\"\n",
        "listeners.s.address",
        &["`25`", "write address:port"],
    );
    assert_problem(
        "[listeners.s]\nkind = \"web\"\n",
        "listeners.s.kind",
        &["`web`", "\"mx\" or \"relay\" or \"submission\" or \"submissions\" or \"lmtp\""],
    );
    assert_problem(
        "[session]\nrelay_networks = [\"10.0.0.300/8\"]\n",
        "session.relay_networks[0]",
        &["write network/length"],
    );
    assert_problem(
        "[session]\nbare_line_endings = \"keep\"\n",
        "session.bare_line_endings",
        &["\"refuse\" or \"repair\""],
    );
    assert_problem("local_domains = [\"a b\"]\n", "local_domains[0]", &["`a b`", "write a domain"]);
    assert_problem("[log]\nfilter = \"x=loud\"\n", "log.filter", &["`x=loud`", "write a level"]);
    assert_problem("[bounce]\nfrom = \"nobody\"\n", "bounce.from", &["write an address"]);
}

#[test]
fn routes_must_lead_somewhere() {
    assert_problem(
        "[[routes]]\ndomain = \"*\"\nnext_hop = \"gone\"\n",
        "routes[0].next_hop",
        &["`gone`", "under [next_hops]"],
    );
    assert_problem(
        "[next_hops.both]\ndiscard = true\nmx = \"a.example\"\n",
        "next_hops.both",
        &["exactly one of mx"],
    );
    assert_problem("[next_hops.none]\n", "next_hops.none", &["exactly one of mx"]);
    assert_problem("[next_hops.a]\nhosts = []\n", "next_hops.a.hosts", &["name one at least"]);
    assert_problem(
        "[next_hops.a]\nlmtp = \"unix:x\"\n",
        "next_hops.a.lmtp",
        &["write host:port or unix:/path"],
    );
    let twice = "[next_hops.a]\ndiscard = true\n[[routes]]\ndomain = \"a\"\nnext_hop = \"a\"\n[[routes]]\ndomain = \"a\"\nnext_hop = \"mx\"\n";
    assert_problem(twice, "routes[1].domain", &["an earlier route has this domain"]);
}

#[test]
fn plugins_and_their_order_are_checked() {
    let plugin = "[plugins.a]\nsource = \"a.wasm\"\nhooks = [\"rcpt\"]\n";
    assert_problem("[plugins.a]\n", "plugins.a.source", &["is missing", ".wasm"]);
    assert_problem("[plugins.A_b]\nsource = \"a.wasm\"\n", "plugins.A_b", &["lower-case letters"]);
    assert_problem(
        &format!("{plugin}[hooks]\nrcpt = [\"b\"]\n"),
        "hooks.rcpt[0]",
        &["`b`", "there is no such plugin"],
    );
    assert_problem(&format!("{plugin}[hooks]\nrcpt = []\n"), "hooks.rcpt", &["`a` is to be asked here"]);
    assert_problem(
        &format!("{plugin}[plugins.a.grants]\nroute = [\"x\"]\n"),
        "plugins.a.grants.route[0]",
        &["`x`", "[next_hops]"],
    );
    assert_problem(
        &format!("{plugin}config_file = \"gone.toml\"\n"),
        "plugins.a.config_file",
        &["/etc/baton/gone.toml"],
    );
}

#[test]
fn a_config_file_lies_under_the_config() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("users.toml"), "mode = \"file\"\n[users]\nann = 1\nbob = 2\n").unwrap();
    let text =
        "[plugins.a]\nsource = \"a.wasm\"\nconfig_file = \"users.toml\"\n[plugins.a.config.users]\nbob = 3\n";
    let checked = load_text(text, folder.path()).unwrap();
    assert_eq!(checked.plugins[0].config, serde_json::json!({"mode": "file", "users": {"ann": 1, "bob": 3}}));
    assert_eq!(checked.plugins[0].source, folder.path().join("a.wasm"));
}

#[test]
fn a_missing_file_is_named() {
    let shown = load(Some(Path::new("/nonexistent/baton.toml"))).unwrap_err().to_string();
    assert!(shown.contains("/nonexistent/baton.toml") && shown.contains("give the path"), "{shown}");
}

/// The kinds of [listeners] with what each means for TLS.
#[test]
fn a_kind_says_when_tls_begins() {
    use baton_inbound::TlsMode::{Implicit, Off, Offered, Required};

    for (lines, expected) in [
        ("kind = \"mx\"", Offered),
        ("kind = \"relay\"", Offered),
        ("kind = \"submission\"", Required),
        ("kind = \"submission\"\nauth_without_tls = true", Offered),
        ("kind = \"submissions\"", Implicit),
        ("kind = \"lmtp\"", Off),
        ("kind = \"lmtp\"\ntls = \"required\"", Required),
        ("kind = \"mx\"\ntls = \"off\"", Off),
    ] {
        let checked = load_text(&format!("[listeners.a]\n{lines}\n"), Path::new("/x")).unwrap();
        assert_eq!(checked.inbound.listeners[0].tls, expected, "{lines}");
        assert_eq!(checked.certificates.is_some(), expected != Off, "{lines}");
    }
}

#[test]
fn a_listener_has_several_addresses() {
    let text = "[listeners.a]\naddress = \"0.0.0.0:25\"\naddresses = [\"[::]:25\", \"unix:smtp.sock\"]\n";
    let checked = load_text(text, Path::new("/x")).unwrap();
    let shown: Vec<_> = checked.inbound.listeners[0].addresses.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["0.0.0.0:25", "[::]:25", "unix:/x/smtp.sock"]);
    let twice = "[listeners.a]\naddress = \"0.0.0.0:25\"\naddresses = [\"0.0.0.0:25\"]\n";
    assert_problem(twice, "listeners.a.addresses", &["0.0.0.0:25", "listened on twice"]);
}

#[test]
fn mistakes_in_tls_are_told() {
    let text = "[tls]\nminimum_version = \"1.1\"\ncipher_suites = [\"RC4-MD5\"]\nhandshake_s = 0\n\
                [[tls.certificates]]\nchain = \"/nowhere/a.pem\"\nkey = \"/nowhere/a.key\"\n\
                [[tls.certificates]]\nchain = \"/nowhere/b.pem\"\n\
                [listeners.a]\nkind = \"submissions\"\ntls = \"offered\"\nclient_certificates = \"required\"\n";
    assert_problem(text, "tls.minimum_version", &["1.1", "1.2"]);
    assert_problem(text, "tls.cipher_suites", &["RC4-MD5", "TLS_AES_128_GCM_SHA256"]);
    assert_problem(text, "tls.handshake_s", &["0", "from 1"]);
    assert_problem(text, "tls.certificates", &["/nowhere/a.pem"]);
    assert_problem(text, "tls.certificates[1].key", &["give the path"]);
    assert_problem(text, "listeners.a.tls", &["offered", "submissions"]);
    assert_problem(text, "listeners.a.client_certificates", &["required", "client_ca_file"]);
}

#[test]
fn bounds_of_templates_are_checked() {
    let one = |key: &str, value: u64| format!("[templates]\n{key} = {value}\n");
    for (key, value) in [
        ("work_max", 0),
        ("output_octets_max", 10),
        ("source_octets_max", 1 << 20),
        ("depth_max", 501),
        ("templates_max", 0),
        ("tenant_octets_max", 1),
        ("versions_kept", 91),
    ] {
        assert_problem(
            &one(key, value),
            &format!("templates.{key}"),
            &["out of range", "write a number from"],
        );
    }
    // Room for the largest tenant, and for others beside it.
    let least = "write a number from 33554432";
    assert_problem(&one("compiled_octets_max", 20 << 20), "templates.compiled_octets_max", &[least]);
}

#[test]
fn the_address_for_unsubscribing_is_local_and_for_nothing_else() {
    let key = "tracking.unsubscribe_address";
    let tracking =
        "[tracking]\nbase_url = \"https://l.example\"\nlisten = \"127.0.0.1:0\"\nunsubscribe_address = ";
    let local = "local_domains = [\"b.example\"]\n";
    assert_problem(
        &format!("{tracking}\"a@b.example\""),
        key,
        &["its domain is not local", "add \"b.example\""],
    );
    assert_problem(&format!("{local}{tracking}\"a b\""), key, &["a b"]);
    let shared = format!("{local}[bounces]\naddresses = [\"a@b.example\"]\n{tracking}\"a@b.example\"");
    assert_problem(&shared, key, &["bounces.addresses", "an address of its own"]);
    let alone = format!("{local}[tracking]\nunsubscribe_address = \"a@b.example\"");
    assert_problem(&alone, key, &["tracking.base_url"]);
    let good = load_text(&format!("{local}{tracking}\"a@b.example\""), Path::new("/x")).unwrap();
    assert_eq!(good.tracking.unsubscribe_mailbox, Some("a@b.example".parse().unwrap()));
}
