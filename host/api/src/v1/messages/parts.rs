//! The parts of a message, checked: what a program wrote becomes addresses, fields, files and notes, or is refused with the
//! field that is at fault.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_content::track::Wish;
use baton_mail::envelope::PRIORITY_MAX;
use baton_mail::header::{HeaderName, check_value};
use baton_mail::tenant::Label;
use baton_mail::text::is_unsafe;
use baton_mail::{Mailbox, MessageId, ReversePath, UnixMs};
use bytes::Bytes;

use super::super::Face;
use super::super::caller::Caller;
use super::super::streams::check_tenant;
use super::super::uploads;
use super::compose::{Attachment, Person};
use super::template::Made;
use super::wire::{NewAttachment, NewMessage, NewTracking, Party};
use crate::Problem;

/// Tags of one message at most, and octets of each.
const TAGS_MAX: usize = 50;
const TAG_OCTETS_MAX: usize = 128;
/// Entries of metadata at most, and octets of each name and value.
const METADATA_MAX: usize = 50;
const METADATA_NAME_OCTETS_MAX: usize = 64;
const METADATA_VALUE_OCTETS_MAX: usize = 1_000;
/// Octets of a subject at most.
const SUBJECT_OCTETS_MAX: usize = 2_000;
/// The media type of what nobody says the type of.
const ANY_TYPE: &str = "application/octet-stream";
const DAY_MS: u64 = 86_400_000;

/// Whose a message is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) tenant: Option<Label>,
    pub(super) stream: Option<Label>,
}

impl Owner {
    pub(super) fn tenant(&self) -> Option<&str> {
        self.tenant.as_ref().map(Label::as_str)
    }

    /// What the caller may send as, of what it names. A stream must be there.
    pub(super) fn find(
        face: &Face,
        caller: &Caller,
        tenant: Option<&Label>,
        stream: Option<&Label>,
    ) -> Result<Owner, Problem> {
        let owner = Owner { tenant: caller.tenant_of(tenant)?, stream: caller.stream_of(stream)? };
        check_tenant(face, owner.tenant.as_ref())?;
        let is_known = |name: &&Label| face.store.tenants().stream(owner.tenant(), name.as_str()).is_some();
        match owner.stream.as_ref().filter(|name| !is_known(name)) {
            Some(name) => Err(Problem::unfit("stream", format!("there is no stream `{name}`"))),
            None => Ok(owner),
        }
    }
}

/// When a message is sent, and when it is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) not_before: Option<UnixMs>,
    pub(super) expires_at: Option<UnixMs>,
}

impl Times {
    pub(super) fn check(
        face: &Face,
        send_at: Option<UnixMs>,
        expires_at: Option<UnixMs>,
    ) -> Result<Times, Problem> {
        let now = face.clock.now();
        let days = u64::from(face.settings().schedule_days_max);
        let not_before = send_at.filter(|at| *at > now);
        if not_before.is_some_and(|at| at.0 > now.0.saturating_add(days * DAY_MS)) {
            return Err(Problem::unfit("send_at", format!("is {days} days from now at most")));
        }
        if expires_at.is_some_and(|at| at <= not_before.unwrap_or(now)) {
            return Err(Problem::unfit("expires_at", "is before it would be sent"));
        }
        Ok(Times { not_before, expires_at })
    }
}

/// A message's parts, checked.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) owner: Owner,
    pub(super) from: Person,
    pub(super) sender: ReversePath,
    pub(super) to: Vec<Person>,
    pub(super) cc: Vec<Person>,
    pub(super) reply_to: Vec<Person>,
    /// All of them, those that nobody sees too.
    pub(super) recipients: Vec<Mailbox>,
    pub(super) subject: Option<String>,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) fields: Vec<(HeaderName, String)>,
    pub(super) attachments: Vec<Attachment>,
    /// What is followed, where the message says so itself.
    pub(super) wish: Option<Wish>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) priority: Option<i8>,
    pub(super) times: Times,
    pub(super) is_trial: bool,
}

impl Parts {
    /// Checks a message. `files` are those of its attachments, in their order.
    pub(super) fn check(
        face: &Face,
        caller: &Caller,
        made: Made,
        files: Vec<Attachment>,
    ) -> Result<Parts, Problem> {
        let Made { message: new, note } = made;
        let owner = Owner::find(face, caller, new.tenant.as_ref(), new.stream.as_ref())?;
        let from = new.from.clone().ok_or_else(|| Problem::unfit("from", "is missing"))?;
        let sender = new.return_path.clone().unwrap_or_else(|| from.email.clone());
        let all = [&new.to, &new.cc, &new.bcc].into_iter().flatten();
        let recipients: Vec<Mailbox> = all.map(|party| party.email.clone()).collect();
        check_count(face, &recipients)?;
        check_subject(new.subject.as_deref())?;
        if new.text.is_none() && new.html.is_none() {
            return Err(Problem::unfit("text", "is missing, and `html` too"));
        }
        if new.priority.is_some_and(|priority| !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority)) {
            return Err(Problem::unfit("priority", "is a number from -9 to 9"));
        }
        let times = Times::check(face, new.send_at.map(|when| when.0), new.expires_at.map(|when| when.0))?;
        let people = |parties: Vec<Party>| parties.into_iter().map(person).collect();
        let mut tags = tags(&new)?;
        tags.extend(note);
        let wish = new.tracking.map(|tracking| wish(face, &owner, tracking));
        Ok(Parts {
            owner,
            wish,
            tags,
            fields: fields(&new)?,
            from: person(from),
            sender: ReversePath::Mailbox(sender),
            to: people(new.to),
            cc: people(new.cc),
            reply_to: people(new.reply_to),
            recipients,
            subject: new.subject,
            text: new.text,
            html: new.html,
            attachments: files,
            priority: new.priority,
            times,
            is_trial: new.dry_run,
        })
    }
}

/// Whether so many recipients are taken at once.
pub(super) fn check_count(face: &Face, recipients: &[Mailbox]) -> Result<(), Problem> {
    let most = face.settings().recipients_max;
    match recipients.len() {
        0 => Err(Problem::unfit("to", "there is no recipient")),
        count if count > most => {
            Err(Problem::unfit("to", format!("a message has {most} recipients at most")))
        }
        _ => Ok(()),
    }
}

/// What the message says goes before what its stream says.
pub(super) fn wish(face: &Face, owner: &Owner, own: NewTracking) -> Wish {
    let name = owner.stream.as_ref().map(Label::as_str);
    let stream = name.and_then(|name| face.store.tenants().stream(owner.tenant(), name));
    let of_stream = stream.map_or(Wish::default(), |stream| Wish::from(&stream.value));
    Wish {
        opens: own.opens.unwrap_or(of_stream.opens),
        clicks: own.clicks.unwrap_or(of_stream.clicks),
        unsubscribe: own.unsubscribe.unwrap_or(of_stream.unsubscribe),
    }
}

fn person(party: Party) -> Person {
    Person { name: party.name, mailbox: party.email }
}

fn check_subject(subject: Option<&str>) -> Result<(), Problem> {
    let Some(subject) = subject else { return Ok(()) };
    if subject.len() > SUBJECT_OCTETS_MAX {
        return Err(Problem::unfit("subject", format!("has {SUBJECT_OCTETS_MAX} octets at most")));
    }
    match subject.chars().any(is_unsafe) {
        true => Err(Problem::unfit("subject", "is one line without control characters")),
        false => Ok(()),
    }
}

fn fields(new: &NewMessage) -> Result<Vec<(HeaderName, String)>, Problem> {
    let field = |(index, field): (usize, &super::wire::NewField)| {
        let at = |name: &str| format!("headers[{index}].{name}");
        let name = field.name.parse().map_err(|error| Problem::unfit(&at("name"), format!("{error}")))?;
        let value =
            check_value(&field.value).map_err(|error| Problem::unfit(&at("value"), error.to_string()))?;
        Ok((name, value))
    };
    new.headers.iter().enumerate().map(field).collect()
}

/// Tags and metadata, as the envelope keeps them.
fn tags(new: &NewMessage) -> Result<Vec<(String, String)>, Problem> {
    let mut notes = words(&new.tags)?;
    if new.metadata.len() > METADATA_MAX {
        return Err(Problem::unfit("metadata", format!("has {METADATA_MAX} entries at most")));
    }
    for (name, value) in &new.metadata {
        let at = format!("metadata.{}", baton_mail::text::sanitize(name, METADATA_NAME_OCTETS_MAX));
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        if name.is_empty() || name.len() > METADATA_NAME_OCTETS_MAX || !name.bytes().all(is_plain) {
            return Err(Problem::unfit(&at, "a name has 1 to 64 letters, digits and any of `-_.`"));
        }
        if value.len() > METADATA_VALUE_OCTETS_MAX || value.chars().any(is_unsafe) {
            return Err(Problem::unfit(&at, "has 1,000 octets at most and no control characters"));
        }
        notes.push((format!("{METADATA}{name}"), value.clone()));
    }
    Ok(notes)
}

/// Tags, as the envelope keeps them.
pub(super) fn words(tags: &[String]) -> Result<Vec<(String, String)>, Problem> {
    if tags.len() > TAGS_MAX {
        return Err(Problem::unfit("tags", format!("are {TAGS_MAX} at most")));
    }
    let word = |(index, tag): (usize, &String)| match tag {
        tag if tag.is_empty() || tag.len() > TAG_OCTETS_MAX || tag.chars().any(is_unsafe) => {
            let wrong = "has 1 to 128 octets and no control characters";
            Err(Problem::unfit(&format!("tags[{index}]"), wrong))
        }
        tag => Ok((TAG.to_owned(), tag.clone())),
    };
    tags.iter().enumerate().map(word).collect()
}

/// The files of attachments, decoded or fetched.
pub(super) async fn files(
    face: &Face,
    tenant: Option<&str>,
    attachments: &[NewAttachment],
) -> Result<Vec<Attachment>, Problem> {
    let mut files = Vec::with_capacity(attachments.len());
    let mut fetched = HashMap::<MessageId, (uploads::Upload, Bytes)>::new();
    for (index, new) in attachments.iter().enumerate() {
        let at = |name: &str| format!("attachments[{index}].{name}");
        let (content, upload) = match (&new.content, &new.upload) {
            (Some(text), None) => {
                let decoded =
                    STANDARD.decode(text).map_err(|_| Problem::unfit(&at("content"), "is not base64"))?;
                (Bytes::from(decoded), None)
            }
            (None, Some(id)) => {
                let wrong = |detail: String| Problem::unfit(&at("upload"), detail);
                let id = id.parse().map_err(|error| wrong(format!("{error}")))?;
                let (upload, content) = match fetched.entry(id) {
                    Entry::Occupied(known) => known.get().clone(),
                    Entry::Vacant(free) => {
                        let found = uploads::read(face, tenant, id).await;
                        let found = found.map_err(|problem| match problem.status {
                            404 => wrong(problem.detail),
                            _ => problem,
                        })?;
                        free.insert(found).clone()
                    }
                };
                (content, Some(upload))
            }
            _ => return Err(Problem::unfit(&at("content"), "name either `content` or `upload`")),
        };
        let of_upload = |pick: fn(uploads::Upload) -> Option<String>| upload.clone().and_then(pick);
        let named = new.filename.clone().or_else(|| of_upload(|upload| upload.filename));
        if named.as_ref().is_some_and(|name| name.chars().any(is_unsafe)) {
            return Err(Problem::unfit(&at("filename"), "has no control characters"));
        }
        let typed = new.content_type.clone().or_else(|| of_upload(|upload| Some(upload.content_type)));
        files.push(Attachment {
            filename: named,
            content_type: typed.unwrap_or_else(|| ANY_TYPE.to_owned()),
            content,
            content_id: new.content_id.clone(),
        });
    }
    Ok(files)
}

/// The names of what the envelope keeps.
pub(super) const TAG: &str = "tag";
pub(super) const METADATA: &str = "meta.";
