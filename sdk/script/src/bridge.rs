//! The contract as plain functions of one object, which only the prelude sees. Names and shapes that authors meet are
//! the prelude's.

mod mail;
mod message;
mod queue;
mod services;

use rquickjs::{Ctx, Object, Result};

pub(crate) use mail::pairs;

/// Puts functions on an object by name.
macro_rules! functions {
    ($ctx:ident, { $($name:ident: $function:expr,)* }) => {{
        let object = rquickjs::Object::new($ctx.clone())?;
        $(object.set(stringify!($name), rquickjs::Function::new($ctx.clone(), $function)?)?;)*
        object
    }};
}
pub(crate) use functions;

/// The object.
pub(crate) fn make<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    host.set("session", mail::session(ctx)?)?;
    host.set("envelope", mail::envelope(ctx)?)?;
    host.set("message", message::message(ctx)?)?;
    host.set("part", message::part(ctx)?)?;
    host.set("routing", queue::routing(ctx)?)?;
    host.set("failure", queue::failure(ctx)?)?;
    host.set("verify", queue::verify(ctx)?)?;
    host.set("kv", services::kv(ctx)?)?;
    host.set("dns", services::dns(ctx)?)?;
    host.set("http", services::http(ctx)?)?;
    host.set("metrics", services::metrics(ctx)?)?;
    host.set("system", services::system(ctx)?)?;
    Ok(host)
}

/// Gives back the handles that a call opened: the next call must not find them.
pub(crate) fn release() {
    message::release();
    services::release();
}
