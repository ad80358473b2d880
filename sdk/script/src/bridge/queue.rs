//! Routing, the failed attempt, and the question to the next hop.

use rquickjs::{Ctx, Function, Object, Result};

use super::functions;
use super::mail::{Mailbox, taken};
use crate::baton::relay::{failure as failed, routing as route, verify as ask};
use crate::value::{coded, refused};

pub(super) fn routing<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let object = functions!(ctx, {
        attempt: route::attempt,
        ageMs: route::age_ms,
        lastError: route::last_error,
    });
    let changes = functions!(ctx, {
        useMxOf: |ctx: Ctx<'js>, domain: String| route::use_mx_of(&domain).map_err(|words| refused(&ctx, &words)),
        useHost: |ctx: Ctx<'js>, host: String, port: u16| {
            route::use_host(&host, port).map_err(|words| refused(&ctx, &words))
        },
        useLmtp: |ctx: Ctx<'js>, target: String| route::use_lmtp(&target).map_err(|words| refused(&ctx, &words)),
        useNextHop: |ctx: Ctx<'js>, name: String| route::use_next_hop(&name).map_err(|words| refused(&ctx, &words)),
        addFallback: |ctx: Ctx<'js>, host: String, port: u16| {
            route::add_fallback(&host, port).map_err(|words| refused(&ctx, &words))
        },
        setQueue: |ctx: Ctx<'js>, name: String| route::set_queue(&name).map_err(|words| refused(&ctx, &words)),
        notBefore: |ctx: Ctx<'js>, ms: f64| route::not_before(ms as u64).map_err(|words| refused(&ctx, &words)),
        expireAfter: |ctx: Ctx<'js>, ms: f64| route::expire_after(ms as u64).map_err(|words| refused(&ctx, &words)),
    });
    object.set("change", changes)?;
    Ok(object)
}

pub(super) fn failure<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let object = functions!(ctx, {
        permanent: failed::permanent,
        remoteHost: failed::remote_host,
        phase: failed::phase,
        class: failed::class,
    });
    let others = functions!(ctx, {
        remoteReply: |ctx: Ctx<'js>| {
            failed::remote_reply().map(|reply| reply_object(&ctx, reply.code, reply.enhanced, &reply.text)).transpose()
        },
        setClass: |ctx: Ctx<'js>, name: String| failed::set_class(&name).map_err(|words| refused(&ctx, &words)),
    });
    object.set("change", others)?;
    Ok(object)
}

pub(super) fn verify<'js>(ctx: &Ctx<'js>) -> Result<Function<'js>> {
    Function::new(ctx.clone(), |ctx: Ctx<'js>, rcpt: Mailbox| -> Result<Object<'js>> {
        match ask::recipient(&taken(rcpt)) {
            Ok(answer) => {
                let ask::Answer { host, reply } = answer;
                let object = reply_object(&ctx, reply.code, reply.enhanced, &reply.text)?;
                object.set("host", host)?;
                Ok(object)
            }
            Err(ask::Error::Denied) => Err(coded(
                &ctx,
                "denied",
                "verify: no grant, or not available at this hook (grant: verify = true)",
            )),
            Err(ask::Error::Timeout) => {
                Err(coded(&ctx, "timeout", "verify: the next hop did not answer in time"))
            }
            Err(ask::Error::Failed(words)) => Err(coded(&ctx, "failed", &format!("verify: {words}"))),
        }
    })
}

fn reply_object<'js>(
    ctx: &Ctx<'js>,
    code: u16,
    enhanced: Option<(u8, u16, u16)>,
    text: &str,
) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    object.set("code", code)?;
    object.set("enhanced", enhanced.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}")))?;
    object.set("text", text)?;
    Ok(object)
}
