//! The message and its parts.

use std::cell::RefCell;

use rquickjs::convert::List;
use rquickjs::{Array, Ctx, FromJs, Object, Result, TypedArray, Value};

use super::{functions, services};
use crate::baton::relay::message::{self as mail, BodyWriter, Part};
use crate::value::{Octets, octets, refused, text};

thread_local! {
    /// The part that was read last: authors look at one part after the other, and handles are few.
    static PART: RefCell<Option<(u32, Part)>> = const { RefCell::new(None) };
}

pub(super) fn release() {
    PART.with_borrow_mut(|part| *part = None);
}

pub(super) fn message<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let object = functions!(ctx, {
        size: mail::size,
        headerSize: mail::header_size,
        tooComplex: mail::too_complex,
        headerNames: mail::header_names,
        header: |name: String| mail::header(&name),
        headers: |name: String| mail::headers(&name),
        rawHeader: |name: String| mail::raw_header(&name).map(text),
        addresses: |name: String| mail::addresses(&name).into_iter().map(List).collect::<Vec<_>>(),
        read: |ctx: Ctx<'js>, offset: f64, length: f64| octets(&ctx, mail::read(offset as u64, length as u32)),
        readText: |offset: f64, length: f64| text(mail::read(offset as u64, length as u32)),
        find: |needle: Octets, start: f64| mail::find(&needle.0, start as u64),
        digest: |ctx: Ctx<'js>, algorithm: String| {
            mail::digest(&algorithm).map(hexadecimal).map_err(|words| refused(&ctx, &words))
        },
        postRaw: |ctx: Ctx<'js>, request: services::Request| {
            let answer = mail::post_raw(&request.0);
            services::response(&ctx, answer.map_err(services::http_error))
        },
        partCount: mail::part_count,
    });
    let changes = functions!(ctx, {
        addHeader: |ctx: Ctx<'js>, name: String, value: String| {
            mail::add_header(&name, &value).map_err(|words| refused(&ctx, &words))
        },
        insertHeader: |ctx: Ctx<'js>, index: u32, name: String, value: String| {
            mail::insert_header(index, &name, &value).map_err(|words| refused(&ctx, &words))
        },
        setHeader: |ctx: Ctx<'js>, name: String, value: String| {
            mail::set_header(&name, &value).map_err(|words| refused(&ctx, &words))
        },
        removeHeader: |ctx: Ctx<'js>, name: String| {
            mail::remove_header(&name).map_err(|words| refused(&ctx, &words))
        },
        replaceBody: replace_body,
    });
    object.set("change", changes)?;
    Ok(object)
}

pub(super) fn part<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let object = functions!(ctx, {
        contentType: |ctx: Ctx<'js>, index: u32| of(&ctx, index, Part::content_type),
        disposition: |ctx: Ctx<'js>, index: u32| of(&ctx, index, Part::disposition),
        filename: |ctx: Ctx<'js>, index: u32| of(&ctx, index, Part::filename),
        charset: |ctx: Ctx<'js>, index: u32| of(&ctx, index, Part::charset),
        transferEncoding: |ctx: Ctx<'js>, index: u32| of(&ctx, index, Part::transfer_encoding),
        within: |ctx: Ctx<'js>, index: u32| of(&ctx, index, Part::within),
        size: |ctx: Ctx<'js>, index: u32| of(&ctx, index, Part::decoded_size),
    });
    let questions = functions!(ctx, {
        header: |ctx: Ctx<'js>, index: u32, name: String| of(&ctx, index, |part| part.header(&name)),
        rawRange: |ctx: Ctx<'js>, index: u32| of(&ctx, index, Part::raw_range).map(List),
        read: |ctx: Ctx<'js>, index: u32, offset: f64, length: f64| -> Result<TypedArray<'js, u8>> {
            let read = of(&ctx, index, |part| part.read(offset as u64, length as u32))?;
            octets(&ctx, read)
        },
        text: |ctx: Ctx<'js>, index: u32, characters_max: u32, strip_html: bool| {
            of(&ctx, index, |part| part.text(characters_max, strip_html))
        },
        digest: |ctx: Ctx<'js>, index: u32, algorithm: String| {
            let digest = of(&ctx, index, |part| part.digest(&algorithm))?;
            digest.map(hexadecimal).map_err(|words| refused(&ctx, &words))
        },
        urls: |ctx: Ctx<'js>, index: u32, max: u32| of(&ctx, index, |part| part.urls(max)),
    });
    object.set("ask", questions)?;
    Ok(object)
}

/// Asks one part.
fn of<R>(ctx: &Ctx<'_>, index: u32, ask: impl FnOnce(&Part) -> R) -> Result<R> {
    PART.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(kept, _)| *kept != index) {
            *kept = None;
            let part = mail::get_part(index)
                .ok_or_else(|| refused(ctx, &format!("the message has no part {index}")))?;
            *kept = Some((index, part));
        }
        match kept {
            Some((_, part)) => Ok(ask(part)),
            None => Err(refused(ctx, "there is no part")),
        }
    })
}

/// Writes a new body out of pieces: octets, or `[offset, length]` of the message as it is.
fn replace_body<'js>(ctx: Ctx<'js>, pieces: Array<'js>) -> Result<()> {
    let writer = mail::replace_body().map_err(|words| refused(&ctx, &words))?;
    for piece in pieces.iter::<Value>() {
        write(&ctx, &writer, piece?).and_then(|written| written.map_err(|words| refused(&ctx, &words)))?;
    }
    writer.finish().map_err(|words| refused(&ctx, &words))
}

fn write<'js>(
    ctx: &Ctx<'js>,
    writer: &BodyWriter,
    piece: Value<'js>,
) -> Result<std::result::Result<(), String>> {
    if piece.is_array() {
        let List((offset, length)): List<(f64, f64)> = List::from_js(ctx, piece)?;
        return Ok(writer.copy(offset as u64, length as u64));
    }
    Octets::from_js(ctx, piece).map(|piece| writer.write(&piece.0))
}

pub(super) fn hexadecimal(octets: Vec<u8>) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
