//! What domains publish about the TLS of a mail host that is not ours: a signed zone with TLSA records (RFC 7672), a
//! web server with MTA-STS policies (RFC 8461), and the certificate that the mail host shall show.
//!
//! Takes the port of the mail host on 127.0.0.1. Writes a line of JSON that tells where all is, and serves until its
//! standard input ends.

use std::fmt::Write;
use std::fs;
use std::io::{self, Read};

use anyhow::{Context, Result};
use baton_tests::pki::{Pki, sha256_hex};
use baton_tests::vault::{Page, Vault};
use baton_tests::zone::Zone;
use serde_json::json;

/// Names below this are not signed, so that only a policy speaks for them.
const UNSIGNED: &str = "unsigned.test";

fn main() -> Result<()> {
    let port: u16 = std::env::args().nth(1).context("the port of the mail host")?.parse()?;
    let pki = Pki::make()?;
    let shown = pki.issue(&["mx.authority.test", &format!("mx.policy.{UNSIGNED}")])?;
    let zone = Zone::serve_signed(
        &zone_text(port, &sha256_hex(&shown.spki), &sha256_hex(&pki.authority_der())),
        &[UNSIGNED],
    )?;
    let anchor = tempfile::NamedTempFile::new()?;
    fs::write(anchor.path(), zone.server().trust_anchor())?;
    let vault = Vault::start()?;
    for (domain, host) in [
        ("policy", "mx.policy.unsigned.test"),
        ("other", "mx.nobody.test"),
        ("name", "mx.name.unsigned.test"),
    ] {
        let name = format!("mta-sts.{domain}.{UNSIGNED}");
        let text = format!("version: STSv1\r\nmode: enforce\r\nmx: {host}\r\nmax_age: 86400\r\n");
        vault.host(&name, &pki.issue(&[&name])?, Page::text(&text))?;
    }
    println!(
        "{}",
        json!({
            "dns": zone.address().to_string(),
            "anchor": anchor.path(),
            "policies": vault.address().port(),
            "authority": pki.authority(),
            "chain": shown.chain,
            "key": shown.key,
        })
    );
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Domains whose mail host has the right key, the right authority or neither, and domains with a policy.
fn zone_text(port: u16, key: &str, authority: &str) -> String {
    let mut text = String::from("$ORIGIN .\n$TTL 0\n");
    let nobody = "00".repeat(32);
    let records = [
        ("key.test", format!("3 1 1 {key}")),
        ("authority.test", format!("2 0 1 {authority}")),
        ("stranger.test", format!("3 1 1 {nobody}")),
        ("misnamed.test", format!("2 0 1 {authority}")),
    ];
    for (domain, record) in records {
        let _ = writeln!(
            text,
            "{domain}. IN MX 10 mx.{domain}.\nmx.{domain}. IN A 127.0.0.1\n_{port}._tcp.mx.{domain}. IN TLSA {record}"
        );
    }
    for domain in ["policy", "other", "name"].map(|label| format!("{label}.{UNSIGNED}")) {
        let _ = writeln!(
            text,
            "{domain}. IN MX 10 mx.{domain}.\nmx.{domain}. IN A 127.0.0.1\n\
             _mta-sts.{domain}. IN TXT \"v=STSv1; id=1;\"\nmta-sts.{domain}. IN A 127.0.0.1"
        );
    }
    text
}
