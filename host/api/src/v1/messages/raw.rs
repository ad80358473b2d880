//! A whole message, as it is: `message/rfc822`.

use baton_mail::body::Content;
use baton_mail::edit::MessageEdit;
use baton_mail::header::{HeaderIndex, HeaderLimits, addresses, apply};
use baton_mail::lines::{has_stray, repair_into};
use baton_mail::{Mailbox, MessageId, ReversePath};
use bytes::Bytes;

use super::super::Face;
use super::super::caller::Caller;
use super::super::input::Params;
use super::parts::{Owner, Times, check_count, words};
use super::submit::Ready;
use super::wire::When;
use crate::Problem;

/// The parameters that such a message has.
const FIELDS: [&str; 9] =
    ["from", "to", "tenant", "stream", "tags", "priority", "send_at", "expires_at", "dry_run"];

/// Reads who gets it, from the query or from the message itself. Bcc is taken out.
pub(super) fn ready(face: &Face, caller: &Caller, mut params: Params, body: Bytes) -> Result<Ready, Problem> {
    let fields = &mut params.0;
    let from = fields.take::<Mailbox>("from")?;
    let to = fields.take::<String>("to")?;
    let (tenant, stream) = (fields.take("tenant")?, fields.take("stream")?);
    let tags = fields.take::<String>("tags")?.unwrap_or_default();
    let priority = fields.take::<i8>("priority")?;
    let (send_at, expires_at) = (fields.take::<When>("send_at")?, fields.take::<When>("expires_at")?);
    let is_trial = fields.take::<bool>("dry_run")?.unwrap_or(false);
    params.0.finish(&FIELDS)?;
    if priority.is_some_and(|priority| !(-9..=9).contains(&priority)) {
        return Err(Problem::unfit("priority", "is a number from -9 to 9"));
    }
    let owner = Owner::find(face, caller, tenant.as_ref(), stream.as_ref())?;
    let tags: Vec<String> =
        tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let content = lines(body)?;
    let header = HeaderIndex::scan(&content.header, &HeaderLimits::default())
        .map_err(|error| Problem::unfit("body", format!("the header is too complex: {error}")))?;
    let author =
        || read(&header, "From", 1)?.into_iter().next().ok_or_else(|| Problem::unfit("From", "is missing"));
    let sender = from.map_or_else(author, Ok)?;
    let recipients = match to {
        Some(list) => {
            list.split(',').map(|text| read_one("to", text.trim())).collect::<Result<Vec<_>, _>>()?
        }
        None => {
            let most = face.settings().recipients_max + 1;
            let mut all = Vec::new();
            for name in ["To", "Cc", "Bcc"] {
                all.extend(read(&header, name, most)?);
            }
            all
        }
    };
    check_count(face, &recipients)?;
    let bcc = "Bcc".parse().map_err(|_| Problem::unavailable("Bcc is no field"))?;
    let content = apply(content, &[MessageEdit::Remove(bcc)], true).into_body(Bytes::new()).to_bytes();
    Ok(Ready {
        id: MessageId::new(face.clock.now()),
        owner,
        sender: ReversePath::Mailbox(sender),
        recipients,
        content,
        tags: words(&tags)?,
        priority,
        times: Times::check(face, send_at.map(|when| when.0), expires_at.map(|when| when.0))?,
        is_trial,
        is_whole: true,
    })
}

/// The content in lines that end with CRLF.
fn lines(body: Bytes) -> Result<Content, Problem> {
    if body.is_empty() {
        return Err(Problem::field("body", "is empty"));
    }
    if body.contains(&0) {
        return Err(Problem::unfit("body", "has a NUL: put what is binary into base64"));
    }
    if !has_stray(&body) {
        return Ok(Content::split(body));
    }
    let mut repaired = Vec::with_capacity(body.len() + body.len() / 32);
    repair_into(&body, &mut repaired);
    Ok(Content::split(repaired.into()))
}

/// The addresses in all fields of that name, so many at most.
fn read(header: &HeaderIndex, name: &str, most: usize) -> Result<Vec<Mailbox>, Problem> {
    let texts = header.all(name).into_iter().flat_map(|value| addresses(&value)).map(|(_, address)| address);
    texts.take(most).map(|text| read_one(name, &text)).collect()
}

fn read_one(field: &str, text: &str) -> Result<Mailbox, Problem> {
    let shown = baton_mail::text::sanitize(text, 300);
    text.parse().map_err(|error| Problem::unfit(field, format!("`{shown}`: {error}")))
}
