//! The session of a case.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use baton_mail::tls::Certificate;
use baton_mail::{SessionId, TlsFacts};

use super::format::{RawCertificate, RawSession, RawTls};
use super::read::Reader;
use crate::{NameCheck, SessionFacts};

/// The client of a case that does not name one (RFC 5737).
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PORT: u16 = 40_000;
const VERSION: &str = "TLSv1.3";
const CIPHER: &str = "TLS_AES_256_GCM_SHA384";

/// Checks a session; none when something is wrong, which the reader has noted.
pub(super) fn read_session(reader: &mut Reader<'_>, raw: RawSession) -> Option<SessionFacts> {
    let ip = match &raw.ip {
        Some(text) => {
            reader.ok("session.ip", text.parse::<IpAddr>().map_err(|_| "is not an address".to_owned()))?
        }
        None => CLIENT.into(),
    };
    let listener = raw.listener.unwrap_or_else(|| "smtp".to_owned());
    let mut session = SessionFacts::new(SessionId(1), listener, ip, raw.port.unwrap_or(PORT));
    session.name_check = reader.ok("session.iprev", read_iprev(raw.iprev.as_deref(), raw.name.is_some()))?;
    session.remote_name = raw.name;
    session.helo = Some(raw.helo.unwrap_or_else(|| "client.example".to_owned()));
    session.account = raw.account;
    session.tls = raw.tls.map(protection).map(Arc::new);
    Some(session)
}

/// What came of looking for the client's name; none when the DNS of the case is to say.
fn read_iprev(word: Option<&str>, has_name: bool) -> Result<Option<NameCheck>, String> {
    let Some(word) = word else { return Ok(has_name.then_some(NameCheck::Pass)) };
    let check = NameCheck::EVERY.into_iter().find(|check| check.as_str() == word);
    match check.ok_or_else(|| format!("`{word}` is none of pass, fail, permerror, temperror"))? {
        NameCheck::Pass if !has_name => Err("is pass; then write session.name, too".to_owned()),
        NameCheck::Pass => Ok(Some(NameCheck::Pass)),
        _ if has_name => Err(format!("is {word}; then there is no session.name")),
        other => Ok(Some(other)),
    }
}

fn protection(raw: RawTls) -> TlsFacts {
    TlsFacts {
        version: raw.version.unwrap_or_else(|| VERSION.to_owned()),
        cipher: raw.cipher.unwrap_or_else(|| CIPHER.to_owned()),
        resumed: false,
        server_name: raw.server_name,
        certificate: raw.certificate.map(certificate),
    }
}

fn certificate(raw: RawCertificate) -> Certificate {
    let sha256 = raw.sha256.unwrap_or_else(|| "00".repeat(32));
    Certificate { subject: raw.subject, sha256, distrust: raw.distrust }
}
