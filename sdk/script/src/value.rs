//! Values that cross between JavaScript and the contract.

use rquickjs::{Ctx, Error, Exception, FromJs, Result, TypedArray, Value};

/// Octets, given as a `Uint8Array`, or as a string that stands for its UTF-8.
pub(crate) struct Octets(pub(crate) Vec<u8>);

impl<'js> FromJs<'js> for Octets {
    fn from_js(ctx: &Ctx<'js>, value: Value<'js>) -> Result<Octets> {
        if let Some(text) = value.as_string() {
            return Ok(Octets(text.to_string()?.into_bytes()));
        }
        let array = value.as_object().and_then(|object| object.as_typed_array::<u8>());
        // SAFETY: nothing of the script runs while the octets are copied.
        match array.and_then(|array| unsafe { array.as_bytes() }) {
            Some(octets) => Ok(Octets(octets.to_vec())),
            None => Err(Exception::throw_type(ctx, "a string or a Uint8Array is needed here")),
        }
    }
}

/// A `Uint8Array` of these octets.
pub(crate) fn octets<'js>(ctx: &Ctx<'js>, octets: Vec<u8>) -> Result<TypedArray<'js, u8>> {
    TypedArray::new(ctx.clone(), octets)
}

/// Octets as text; what is not UTF-8 becomes U+FFFD.
pub(crate) fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Throws an `Error` with the relay's words.
pub(crate) fn refused(ctx: &Ctx<'_>, words: &str) -> Error {
    Exception::throw_message(ctx, words)
}

/// Throws an `Error` with a `code` that scripts compare.
pub(crate) fn coded(ctx: &Ctx<'_>, code: &str, words: &str) -> Error {
    let made = Exception::from_message(ctx.clone(), words).and_then(|exception| {
        exception.as_object().set("code", code)?;
        Ok(exception)
    });
    made.map_or_else(|error| error, Exception::throw)
}

/// Where a hook shows a failure among other answers instead of throwing it: code and words.
pub(crate) type Coded = (&'static str, String);
