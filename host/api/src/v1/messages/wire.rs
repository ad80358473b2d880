//! What a message looks like in JSON, coming in and going out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use baton_mail::tenant::Label;
use baton_mail::text::is_unsafe;
use baton_mail::{Mailbox, MessageId, Reply, UnixMs};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::schema::{
    KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::Problem;

/// Octets of a display name at most.
const NAME_OCTETS_MAX: usize = 500;

/// Somebody: `ann@example.org`, `Ann <ann@example.org>`, or an object with `email` and `name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Party {
    /// The display name.
    pub name: Option<String>,
    /// The address.
    pub email: Mailbox,
}

/// The members of a party that is an object.
#[derive(ToSchema)]
#[schema(as = PartyObject)]
#[allow(dead_code, reason = "describes a form of Party")]
pub(crate) struct PartySchema {
    /// The address.
    #[schema(example = "ann@example.org")]
    email: String,
    /// The display name.
    name: Option<String>,
}

impl Party {
    fn new(name: &str, email: &str) -> Result<Party, String> {
        let email = email.trim();
        let mailbox: Mailbox = email.parse().map_err(|error| format!("`{email}`: {error}"))?;
        let name = name.trim();
        if name.len() > NAME_OCTETS_MAX {
            return Err(format!("a display name has {NAME_OCTETS_MAX} octets at most"));
        }
        if name.chars().any(is_unsafe) {
            return Err("a display name has no control characters".to_owned());
        }
        Ok(Party { name: Some(name.to_owned()).filter(|name| !name.is_empty()), email: mailbox })
    }

    /// Reads `ann@example.org` or `Ann <ann@example.org>`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn read(text: &str) -> Result<Party, String> {
        match text.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            Some((name, email)) => Party::new(&unquoted(name.trim()), email),
            None => Party::new("", text),
        }
    }
}

/// A quoted string without its quotes; anything else as it is.
fn unquoted(name: &str) -> Cow<'_, str> {
    let inner = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or(Cow::Borrowed(name), |inner| Cow::Owned(inner.replace("\\\"", "\"").replace("\\\\", "\\")))
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Party, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Party;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an address, `Name <address>`, or an object with `email` and `name`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Party, E> {
                Party::read(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Party, A::Error> {
                let (mut name, mut email) = (None::<Option<String>>, None::<String>);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "name" => name = Some(map.next_value()?),
                        "email" => email = Some(map.next_value()?),
                        other => return Err(A::Error::unknown_field(other, &["email", "name"])),
                    }
                }
                let email = email.ok_or_else(|| A::Error::missing_field("email"))?;
                Party::new(&name.flatten().unwrap_or_default(), &email).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl PartialSchema for Party {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .examples(["Ann <ann@example.org>"])
            .build();
        OneOfBuilder::new()
            .item(text)
            .item(Ref::from_schema_name("PartyObject"))
            .description(Some("An address, `Name <address>`, or an object with both"))
            .into()
    }
}

impl ToSchema for Party {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("PartyObject".to_owned(), PartySchema::schema()));
    }
}

/// A moment: milliseconds since 1970, or RFC 3339 such as `2026-11-28T08:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct When(pub UnixMs);

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<When, String> {
        if let Ok(ms) = text.parse() {
            return Ok(When(UnixMs(ms)));
        }
        let wrong = || format!("`{text}` is no moment such as 2026-11-28T08:00:00Z");
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
        let ms = u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).map_err(|_| wrong())?;
        Ok(When(UnixMs(ms)))
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<When, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = When;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("milliseconds since 1970, or a moment such as 2026-11-28T08:00:00Z")
            }

            fn visit_u64<E: Error>(self, ms: u64) -> Result<When, E> {
                Ok(When(UnixMs(ms)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<When, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl PartialSchema for When {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .build();
        let number = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0))
            .build();
        OneOfBuilder::new()
            .item(number)
            .item(text)
            .description(Some("Milliseconds since 1970, or a moment by RFC 3339"))
            .into()
    }
}

impl ToSchema for When {}

/// A field of the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewField {
    /// Its name, such as `X-Order`. What the relay makes itself can not be set.
    #[schema(example = "X-Order")]
    pub name: String,
    /// What it says, in one line.
    pub value: String,
}

/// A file, or an image that the HTML shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewAttachment {
    /// Its name.
    pub filename: Option<String>,
    /// Its media type; without it that of the upload, or `application/octet-stream`.
    #[schema(example = "application/pdf")]
    pub content_type: Option<String>,
    /// What it is, in base64. Either this or `upload`.
    #[schema(format = Byte)]
    pub content: Option<String>,
    /// The id of something that was uploaded.
    pub upload: Option<String>,
    /// With `logo`, the HTML shows it by `<img src="cid:logo">`.
    pub content_id: Option<String>,
}

/// What is followed of a message; what is absent is as its stream says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewTracking {
    /// Whether it is opened.
    pub opens: Option<bool>,
    /// Which links are followed.
    pub clicks: Option<bool>,
    /// Mail programs offer to unsubscribe.
    pub unsubscribe: Option<bool>,
}

/// A message.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewMessage {
    /// Whose it is; operators only, as a token of a tenant says it.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Label>,
    /// Its stream.
    #[schema(value_type = Option<String>, example = "receipts")]
    pub stream: Option<Label>,
    /// The author.
    pub from: Option<Party>,
    /// Shown recipients. One at least of `to`, `cc` and `bcc`.
    pub to: Vec<Party>,
    /// Shown recipients of copies.
    pub cc: Vec<Party>,
    /// Recipients that nobody sees.
    pub bcc: Vec<Party>,
    /// Where answers go, if not to the author.
    pub reply_to: Vec<Party>,
    /// Where failures are reported, if not to the author.
    #[schema(value_type = Option<String>)]
    pub return_path: Option<Mailbox>,
    /// The subject, in one line.
    pub subject: Option<String>,
    /// The text; without it, it is made from the HTML.
    pub text: Option<String>,
    /// The HTML.
    pub html: Option<String>,
    /// The template that makes subject, HTML and text: one of the tenant's, or `ready/…`.
    #[schema(example = "ready/receipt")]
    pub template: Option<String>,
    /// Its version; without it the newest.
    pub template_version: Option<u32>,
    /// What the template shows: names and values. In a batch, each message's own go before those in common.
    #[schema(value_type = Option<Object>)]
    pub data: Option<Map<String, Value>>,
    /// Fields of the header.
    pub headers: Vec<NewField>,
    /// Files, and images in the HTML.
    pub attachments: Vec<NewAttachment>,
    /// What is followed of it. Only a message for one recipient is: links are a person's own.
    pub tracking: Option<NewTracking>,
    /// Words to find and count it by.
    #[schema(example = json!(["receipt"]))]
    pub tags: Vec<String>,
    /// What the sender wants to remember of it: names and values.
    pub metadata: BTreeMap<String, String>,
    /// How urgent it is, -9 to 9; without it as its stream says.
    #[schema(minimum = -9, maximum = 9)]
    pub priority: Option<i8>,
    /// When it is sent; without it now.
    pub send_at: Option<When>,
    /// When it is given up; without it as the settings say.
    pub expires_at: Option<When>,
    /// Only to learn what would become of it.
    pub dry_run: bool,
}

/// Many messages at once: what they have in common, and what each has for itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewBatch {
    /// What all of them have, where they do not say otherwise. `metadata` and `data` are put together; lists are replaced.
    pub common: NewMessage,
    /// What each has for itself, such as `to` and `subject`.
    pub messages: Vec<NewMessage>,
}

/// What became of a message that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SentStatus {
    /// It is on disk and will be sent.
    Queued,
    /// It is on disk and will be sent at its time.
    Scheduled,
    /// It was taken and thrown away by a rule of the relay.
    Discarded,
    /// It would have been queued.
    DryRun,
}

/// A recipient that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedRecipient {
    /// Who.
    #[schema(value_type = String)]
    pub recipient: Mailbox,
    /// The code of the reply that SMTP would give, such as 550.
    pub code: u16,
    /// Its enhanced code, such as `5.1.1`.
    pub enhanced: Option<String>,
    /// Why.
    pub reason: String,
}

impl RefusedRecipient {
    /// What SMTP would tell of that recipient.
    pub(super) fn of((recipient, reply): &(Mailbox, Reply)) -> RefusedRecipient {
        RefusedRecipient {
            recipient: recipient.clone(),
            code: reply.code(),
            enhanced: reply.enhanced().map(|code| code.to_string()),
            reason: reply.text().to_owned(),
        }
    }
}

/// A message was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sent {
    /// Its name: `/v1/messages/{id}` tells what becomes of it.
    #[schema(value_type = String, example = "01KB3Z5Y8M2Q4R6S8T0V2W4X6Y")]
    pub id: MessageId,
    /// What became of it so far.
    pub status: SentStatus,
    /// Recipients that were refused; it goes to the others.
    #[serde(default)]
    pub refused: Vec<RefusedRecipient>,
}

/// What became of one message of a batch: either `sent` or `problem` is there.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchItem {
    /// It was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// It was not, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What became of a batch.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SentBatch {
    /// How many were taken.
    pub accepted: usize,
    /// How many were not.
    pub refused: usize,
    /// Each of them, in the order in which they were handed in.
    pub messages: Vec<BatchItem>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_written_in_three_ways() {
        let read = |json: &str| {
            serde_json::from_str::<Party>(json).map(|party| (party.name, party.email.to_string()))
        };
        let ann = |name: Option<&str>| Some((name.map(str::to_owned), "ann@a.example".to_owned()));
        assert_eq!(read("\"ann@a.example\"").ok(), ann(None));
        assert_eq!(read("\"Ann <ann@a.example>\"").ok(), ann(Some("Ann")));
        assert_eq!(read(r#""\"Ann, \\\"the\\\" A\" <ann@a.example>""#).ok(), ann(Some("Ann, \"the\" A")));
        assert_eq!(read(r#"{"email":"ann@a.example","name":"Ann"}"#).ok(), ann(Some("Ann")));
        assert_eq!(read(r#"{"email":"ann@a.example","name":null}"#).ok(), ann(None));
        for bad in [
            r#""ann""#,
            r#""Ann\r\nBcc: x@y.example <ann@a.example>""#,
            r#""ann@a.example\r\nX: y""#,
            r#"{"name":"Ann"}"#,
            r#"{"email":"ann@a.example","nam":"Ann"}"#,
            r#"{"email":"ann@a.example","name":"a\u0000b"}"#,
            "5",
            "null",
            "[]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_moment_is_a_number_or_a_text() {
        let read = |json: &str| serde_json::from_str::<When>(json).map(|when| when.0.0);
        assert_eq!(read("1795852800000").unwrap(), 1_795_852_800_000);
        assert_eq!(read("\"2026-11-28T08:00:00Z\"").unwrap(), 1_795_852_800_000);
        assert_eq!(read("\"2026-11-28T09:00:00+01:00\"").unwrap(), 1_795_852_800_000);
        for bad in ["\"tomorrow\"", "-1", "1.5", "\"1969-01-01T00:00:00Z\"", "{}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
