//! Session and envelope.

use rquickjs::convert::List;
use rquickjs::{Ctx, Object, Result};

use super::functions;
use crate::baton::relay::types::{Address, Param};
use crate::baton::relay::{envelope as mail, session as client};
use crate::value::{Octets, octets, refused, text};

/// A mailbox as the prelude gives and takes it: local part, domain.
pub(super) type Mailbox = List<(String, String)>;

pub(super) fn session<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    Ok(functions!(ctx, {
        id: client::id,
        listener: client::listener,
        remoteIp: client::remote_ip,
        remotePort: client::remote_port,
        remoteName: client::remote_name,
        helo: client::helo,
        authenticatedAs: client::authenticated_as,
        iprev: client::iprev,
        tls: |ctx: Ctx<'js>| client::tls().map(|facts| protection(&ctx, facts)).transpose(),
        note: |key: String| client::note(&key).map(text),
        noteBytes: |ctx: Ctx<'js>, key: String| client::note(&key).map(|note| octets(&ctx, note)).transpose(),
        setNote: |ctx: Ctx<'js>, key: String, value: Option<Octets>| {
            let value = value.map(|Octets(octets)| octets);
            client::set_note(&key, value.as_deref()).map_err(|words| refused(&ctx, &words))
        },
    }))
}

/// What is not there is left out.
fn protection<'js>(ctx: &Ctx<'js>, facts: client::TlsFacts) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    object.set("version", facts.version)?;
    object.set("cipher", facts.cipher)?;
    if let Some(name) = facts.server_name {
        object.set("serverName", name)?;
    }
    let Some(shown) = facts.certificate else { return Ok(object) };
    let certificate = Object::new(ctx.clone())?;
    certificate.set("subject", shown.subject.clone())?;
    certificate.set("sha256", shown.sha256)?;
    match shown.distrust {
        Some(why) => certificate.set("distrust", why)?,
        None => object.set("verifiedSubject", shown.subject)?,
    }
    object.set("certificate", certificate)?;
    Ok(object)
}

pub(super) fn envelope<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let object = functions!(ctx, {
        id: mail::id,
        tenant: mail::tenant,
        stream: mail::message_stream,
        sender: || mail::sender().map(given),
        senderParams: || pairs(mail::sender_params()),
        recipientCount: mail::recipient_count,
        recipient: |index: u32| mail::recipient(index).map(given),
        recipientParams: |index: u32| pairs(mail::recipient_params(index)),
        priority: || i32::from(mail::priority()),
        totalScore: mail::total_score,
        note: |key: String| mail::note(&key).map(text),
        noteBytes: |ctx: Ctx<'js>, key: String| mail::note(&key).map(|note| octets(&ctx, note)).transpose(),
        setNote: |ctx: Ctx<'js>, key: String, value: Option<Octets>| {
            let value = value.map(|Octets(octets)| octets);
            mail::set_note(&key, value.as_deref()).map_err(|words| refused(&ctx, &words))
        },
    });
    let changes = functions!(ctx, {
        setSender: |ctx: Ctx<'js>, to: Option<Mailbox>| {
            mail::set_sender(to.map(taken).as_ref()).map_err(|words| refused(&ctx, &words))
        },
        addRecipient: |ctx: Ctx<'js>, to: Mailbox| {
            mail::add_recipient(&taken(to)).map_err(|words| refused(&ctx, &words))
        },
        removeRecipient: |ctx: Ctx<'js>, index: u32| {
            mail::remove_recipient(index).map_err(|words| refused(&ctx, &words))
        },
        redirect: |ctx: Ctx<'js>, index: u32, to: Vec<Mailbox>| {
            let to: Vec<Address> = to.into_iter().map(taken).collect();
            mail::redirect(index, &to).map_err(|words| refused(&ctx, &words))
        },
        setStream: |ctx: Ctx<'js>, name: String| {
            mail::set_message_stream(&name).map_err(|words| refused(&ctx, &words))
        },
        setPriority: |ctx: Ctx<'js>, priority: i32| {
            let priority = i8::try_from(priority).map_err(|_| refused(&ctx, "a priority is -9 to 9"))?;
            mail::set_priority(priority).map_err(|words| refused(&ctx, &words))
        },
        quarantine: |ctx: Ctx<'js>, reason: String| mail::quarantine(&reason).map_err(|words| refused(&ctx, &words)),
        tag: |ctx: Ctx<'js>, name: String, value: String| {
            mail::tag(&name, &value).map_err(|words| refused(&ctx, &words))
        },
        score: |ctx: Ctx<'js>, symbol: String, points: f64| {
            mail::score(&symbol, points).map_err(|words| refused(&ctx, &words))
        },
    });
    object.set("change", changes)?;
    Ok(object)
}

fn given(address: Address) -> Mailbox {
    List((address.local, address.domain))
}

pub(super) fn taken(List((local, domain)): Mailbox) -> Address {
    Address { local, domain }
}

/// Parameters as the prelude takes them: name, value.
pub(crate) fn pairs(params: Vec<Param>) -> Vec<List<(String, Option<String>)>> {
    params.into_iter().map(|param| List((param.name, param.value))).collect()
}
