//! Which jobs a request means: query parameters and body members, read into the store's filter.

use std::collections::BTreeMap;

use baton_events::read_tag;
use baton_mail::{FailureClass, MessageId};
use baton_store::{Filter, JobKey, JobState};
use serde_json::Value;

use crate::Problem;

/// The fields of a request by name. What is left after reading is a mistake of the caller.
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(crate) fn new(fields: BTreeMap<String, String>) -> Fields {
        Fields(fields)
    }

    /// The members of a JSON object as text.
    pub(crate) fn of_body(body: &[u8]) -> Result<Fields, Problem> {
        let body = if body.is_empty() { b"{}" } else { body };
        let members: BTreeMap<String, Value> = serde_json::from_slice(body)
            .map_err(|error| Problem::field("body", format!("is not a JSON object: {error}")))?;
        let text = |(name, value): (String, Value)| match value {
            Value::Null => None,
            Value::String(text) => Some((name, text)),
            other => Some((name, other.to_string())),
        };
        Ok(Fields(members.into_iter().filter_map(text).collect()))
    }

    /// Takes one field and reads it by `FromStr`.
    pub(crate) fn take<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| Problem::field(name, format!("`{text}`: {error}")))
    }

    /// Refuses what nobody took: a mistyped filter must never widen an operation.
    pub(crate) fn finish(self, known: &[&str]) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(Problem::field(&name, format!("there is no such field; known are {}", known.join(", "))))
            }
        }
    }

    /// Takes the fields of a filter.
    pub(crate) fn take_filter(&mut self) -> Result<Filter, Problem> {
        Ok(Filter {
            message: self.take::<MessageId>("message")?,
            domain: self.take("domain")?,
            sender: self.take("sender")?,
            recipient: self.take("recipient")?,
            state: self.take::<String>("state")?.map(|name| read_state(&name)).transpose()?,
            tenant: self.take("tenant")?,
            stream: self.take("stream")?,
            tag: self.take::<String>("tag")?.map(|tag| read_tag(&tag)),
            site: self.take("site")?,
            source: self.take("source")?,
            older_ms: self.take_age("older")?,
            younger_ms: self.take_age("younger")?,
            error: self.take("error")?,
            class: self.take::<String>("class")?.map(|name| read_class(&name)).transpose()?,
        })
    }

    /// Takes a time such as `2h`, in milliseconds.
    pub(crate) fn take_age(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.take::<String>(name)? else { return Ok(None) };
        let wrong = || Problem::field(name, format!("`{text}` is no time such as 90s, 15m, 2h or 3d"));
        read_time_ms(&text).map(Some).ok_or_else(wrong)
    }

    /// Takes the cursor that an earlier page gave: `ID.JOB`.
    pub(crate) fn take_cursor(&mut self) -> Result<Option<JobKey>, Problem> {
        self.take::<String>("after")?.map(|text| read_cursor(&text)).transpose()
    }
}

/// The fields that a filter has.
pub(crate) const FILTER_FIELDS: [&str; 14] = [
    "message",
    "domain",
    "sender",
    "recipient",
    "state",
    "tenant",
    "stream",
    "tag",
    "site",
    "source",
    "older",
    "younger",
    "error",
    "class",
];

/// A time such as `90s`, `15m`, `2h`, `3d`, in milliseconds; a number alone is seconds.
pub fn read_time_ms(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit_s = match text.get(digits.len()..)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit_s * 1_000)
}

fn read_class(name: &str) -> Result<FailureClass, Problem> {
    FailureClass::from_name(name).ok_or_else(|| {
        let names: Vec<_> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
        Problem::field("class", format!("`{name}` is none of {}", names.join(", ")))
    })
}

/// The name of a state in requests and answers.
pub(crate) fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Ready => "ready",
        JobState::Waiting => "waiting",
        JobState::Held => "held",
        JobState::Claimed => "claimed",
    }
}

fn read_state(name: &str) -> Result<JobState, Problem> {
    [JobState::Ready, JobState::Waiting, JobState::Held, JobState::Claimed]
        .into_iter()
        .find(|state| state_name(*state) == name)
        .ok_or_else(|| Problem::field("state", format!("`{name}` is not ready, waiting, held or claimed")))
}

/// The text form of a cursor.
pub(crate) fn write_cursor(key: JobKey) -> String {
    format!("{}.{}", key.message, key.job)
}

fn read_cursor(text: &str) -> Result<JobKey, Problem> {
    let wrong =
        || Problem::field("after", format!("`{text}` is not a cursor; use `next` of the page before"));
    let (message, job) = text.split_once('.').ok_or_else(wrong)?;
    Ok(JobKey { message: message.parse().map_err(|_| wrong())?, job: job.parse().map_err(|_| wrong())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_mistyped_field_is_named_and_never_ignored() {
        let mut typo = fields(&[("domian", "example.org")]);
        typo.take_filter().unwrap();
        let problem = typo.finish(&FILTER_FIELDS).unwrap_err();
        assert_eq!(problem.errors.first().unwrap().field, "domian");
        assert!(problem.detail.contains("domain"));
    }

    #[test]
    fn a_bad_value_names_its_field() {
        for (name, value) in [
            ("message", "x"),
            ("domain", "-"),
            ("state", "asleep"),
            ("older", "2 weeks"),
            ("younger", "-1h"),
            ("class", "bad"),
        ] {
            let problem = fields(&[(name, value)]).take_filter().unwrap_err();
            assert_eq!((problem.status, problem.errors.first().unwrap().field.as_str()), (400, name));
        }
        assert_eq!(
            fields(&[("after", "1.2")]).take_cursor().unwrap_err().errors.first().unwrap().field,
            "after"
        );
    }

    #[test]
    fn times_have_units() {
        let read = ["90", "90s", "15m", "2h", "3d", "h", "1w", "99999999999999999999d"].map(read_time_ms);
        let hour = 3_600_000;
        assert_eq!(
            read,
            [Some(90_000), Some(90_000), Some(900_000), Some(2 * hour), Some(72 * hour), None, None, None]
        );
    }

    #[test]
    fn cursors_survive_text() {
        let key = JobKey { message: MessageId::from_octets([7; 16]), job: 3 };
        let back = fields(&[("after", &write_cursor(key))]).take_cursor().unwrap().unwrap();
        assert_eq!((back.message, back.job), (key.message, key.job));
    }

    #[test]
    fn body_members_become_fields() {
        let Fields(fields) =
            Fields::of_body(br#"{"all": true, "domain": "example.org", "sender": null}"#).unwrap();
        assert_eq!(fields.get("all").map(String::as_str), Some("true"));
        assert_eq!(fields.get("domain").map(String::as_str), Some("example.org"));
        assert!(!fields.contains_key("sender"));
        assert_eq!(Fields::of_body(b"[]").err().unwrap().errors.first().unwrap().field, "body");
    }
}
