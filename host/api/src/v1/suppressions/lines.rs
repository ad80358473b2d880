//! Entries as lines of a file: JSON objects, or CSV with a header (RFC 4180) as other services export them.

use baton_mail::UnixMs;
use baton_store::suppression::Reason;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::{NewSuppression, SuppressionRow};

/// The form of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// A JSON object in each line.
    #[default]
    Json,
    /// Comma-separated values behind a line of names.
    Csv,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            _ => Err("write json or csv".to_owned()),
        }
    }
}

impl Format {
    /// The media type.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8",
        }
    }

    /// What stands before the first entry.
    pub(super) fn header(self) -> &'static str {
        match self {
            Format::Json => "",
            Format::Csv => "address,hash,tenant,stream,reason,since,at,until,by,note\r\n",
        }
    }

    /// An entry as a line.
    pub(super) fn line(self, row: &SuppressionRow) -> String {
        if self == Format::Json {
            let text = serde_json::to_string(row).expect("a row has only texts and numbers");
            return text + "\n";
        }
        let number = |at: Option<u64>| at.map(|at| at.to_string()).unwrap_or_default();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let fields = [
            text(&row.address),
            row.hash.clone(),
            text(&row.tenant),
            text(&row.stream),
            row.reason.as_str().to_owned(),
            number(Some(row.since.0)),
            number(Some(row.at.0)),
            number(row.until.map(|until| until.0)),
            row.by.clone(),
            row.note.clone(),
        ];
        fields.map(|field| quoted(&field)).join(",") + "\r\n"
    }
}

/// A field of CSV. What a spreadsheet would take for a formula is made harmless.
fn quoted(field: &str) -> String {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t']);
    if !is_formula && !field.contains([',', '"', '\r', '\n']) {
        return field.to_owned();
    }
    let mark = if is_formula { "'" } else { "" };
    format!("\"{mark}{}\"", field.replace('"', "\"\""))
}

/// Reads lines one by one. The first line of CSV names the columns.
#[derive(Default)]
pub(super) struct Reader {
    columns: Option<Vec<String>>,
    format: Option<Format>,
}

/// What a line is.
pub(super) enum Line {
    Nothing,
    /// An entry, with the times that the line says.
    Entry(Box<NewSuppression>, Times),
    /// An entry whose address was erased: it has no meaning elsewhere.
    Erased,
}

/// What a line says about when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// When it ends, in milliseconds since 1970; none for never.
    pub(super) until: Option<Option<u64>>,
    /// Since when.
    pub(super) since: Option<UnixMs>,
}

/// A line of JSON: what is exported, and what can be added.
#[derive(serde::Deserialize)]
#[serde(default)]
#[derive(Default)]
struct JsonLine {
    address: Option<String>,
    email: Option<String>,
    hash: Option<String>,
    tenant: Option<String>,
    stream: Option<String>,
    reason: Option<Reason>,
    days: Option<u64>,
    #[serde(deserialize_with = "given")]
    until: Option<Option<u64>>,
    /// As it is exported, in milliseconds since 1970.
    since: Option<u64>,
    /// The same as others call it.
    created: Option<Value>,
    note: String,
}

/// Tells a member that is null from one that is not there.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

impl Reader {
    /// Reads a line without its end, or says what is wrong with it.
    pub(super) fn read(&mut self, line: &str) -> Result<Line, String> {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            return Ok(Line::Nothing);
        }
        let format =
            *self.format.get_or_insert(if line.starts_with('{') { Format::Json } else { Format::Csv });
        match format {
            Format::Json => {
                serde_json::from_str::<JsonLine>(line).map_err(|error| error.to_string())?.entry()
            }
            Format::Csv => self.read_csv(line),
        }
    }

    fn read_csv(&mut self, line: &str) -> Result<Line, String> {
        let fields = split(line)?;
        let Some(columns) = &self.columns else {
            let names: Vec<String> = fields.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
            let is_header = names.iter().any(|name| ADDRESS_COLUMNS.contains(&name.as_str()));
            // A list of nothing but addresses needs no header.
            let is_plain = names.len() == 1 && names.first().is_some_and(|name| name.contains('@'));
            self.columns = Some(match names.len() {
                _ if is_header => names,
                1 => vec!["address".to_owned()],
                // Nobody knows which column is what, so nothing of it is taken.
                _ => Vec::new(),
            });
            return match (is_header, is_plain) {
                (true, _) => Ok(Line::Nothing),
                (false, true) => self.read_csv(line),
                (false, false) => Err("the first line names no column `address` or `email`".to_owned()),
            };
        };
        let mut read = JsonLine::default();
        for (name, field) in columns.iter().zip(fields) {
            let number = || field.parse::<u64>().map_err(|_| format!("{name}: `{field}` is no number"));
            let text = Some(field.clone()).filter(|field| !field.is_empty());
            match name.as_str() {
                name if ADDRESS_COLUMNS.contains(&name) => read.address = text,
                "hash" => read.hash = text,
                "tenant" => read.tenant = text,
                "stream" => read.stream = text,
                "reason" => read.reason = text.map(|name| reason(&name)).transpose()?,
                "days" if !field.is_empty() => read.days = Some(number()?),
                "until" => read.until = Some(if field.is_empty() { None } else { Some(number()?) }),
                "since" if !field.is_empty() => read.since = Some(number()?),
                name if CREATED_COLUMNS.contains(&name) => read.created = text.map(Value::String),
                "note" => read.note = field,
                _ => {}
            }
        }
        read.entry()
    }
}

impl JsonLine {
    fn entry(self) -> Result<Line, String> {
        let JsonLine { address, email, hash, tenant, stream, reason, days, until, since, created, note } =
            self;
        let created = created.filter(|created| !created.is_null()).as_ref().map(moment).transpose()?;
        match address.or(email) {
            Some(address) => {
                let new = NewSuppression { address, tenant, stream, reason, days, note };
                Ok(Line::Entry(Box::new(new), Times { until, since: since.map(UnixMs).or(created) }))
            }
            None if hash.is_some() => Ok(Line::Erased),
            None => Err("there is no address".to_owned()),
        }
    }
}

/// A reason in our words, or in those of others.
fn reason(name: &str) -> Result<Reason, String> {
    let known = Reason::from_name(&name.to_ascii_lowercase());
    let foreign = || match name.to_ascii_lowercase().as_str() {
        "bounce" | "bounced" | "hard_bounce" | "hard bounce" | "invalid" => Some(Reason::HardBounce),
        "spam" | "spam report" | "spamcomplaint" | "abuse" => Some(Reason::Complaint),
        "unsubscribed" | "unsub" | "opt-out" => Some(Reason::Unsubscribe),
        _ => None,
    };
    known.or_else(foreign).ok_or_else(|| format!("`{name}` is no reason"))
}

/// When an entry was made elsewhere: a time or a date of RFC 3339, or seconds since 1970.
fn moment(created: &Value) -> Result<UnixMs, String> {
    let text = created.as_str().map_or_else(|| created.to_string(), |text| text.trim().to_owned());
    let date = || Date::parse(&text, format_description!("[year]-[month]-[day]")).ok().map(Date::midnight);
    let moment = match text.parse::<i64>() {
        Ok(seconds) => OffsetDateTime::from_unix_timestamp(seconds).ok(),
        Err(_) => OffsetDateTime::parse(&text, &Rfc3339).ok().or_else(|| Some(date()?.assume_utc())),
    };
    let ms = moment.and_then(|moment| u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok());
    let shown = baton_mail::text::sanitize(&text, SHOWN_OCTETS_MAX);
    ms.map(UnixMs).ok_or_else(|| {
        format!("created: `{shown}` is no time; write it as in RFC 3339, such as 2026-01-31T12:00:00Z")
    })
}

/// The fields of a line of CSV. A field does not go over the end of a line.
fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field, mut letters) = (Vec::new(), String::new(), line.chars().peekable());
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                field.push('"');
                letters.next();
            }
            '"' if is_quoted || field.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    if is_quoted {
        return Err("a quoted field has no end in its line".to_owned());
    }
    fields.push(field);
    Ok(fields)
}

/// What others call the column of addresses.
const ADDRESS_COLUMNS: [&str; 5] = ["address", "email", "email_address", "recipient", "e-mail"];
/// What others call the column of the time.
const CREATED_COLUMNS: [&str; 2] = ["created", "created_at"];
/// Octets of a field that a message shows at most.
const SHOWN_OCTETS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(reader: &mut Reader, line: &str) -> NewSuppression {
        match reader.read(line) {
            Ok(Line::Entry(entry, _)) => *entry,
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let row = SuppressionRow {
            address: Some("ann@b.example".to_owned()),
            hash: "0".repeat(32),
            tenant: Some("acme".to_owned()),
            stream: None,
            reason: Reason::Complaint,
            since: baton_mail::UnixMs(1),
            at: baton_mail::UnixMs(2),
            until: None,
            message: None,
            by: "arf, \"x\"".to_owned(),
            note: "=cmd".to_owned(),
            holds: true,
        };
        for format in [Format::Json, Format::Csv] {
            let text = format.header().to_owned() + &format.line(&row);
            let mut reader = Reader::default();
            let entries: Vec<_> = text.lines().map(|line| reader.read(line).unwrap()).collect();
            let Some(Line::Entry(read, times)) = entries.last() else { panic!("{text}") };
            assert_eq!((read.address.as_str(), read.reason), ("ann@b.example", Some(Reason::Complaint)));
            assert_eq!(
                (read.tenant.as_deref(), *times),
                (Some("acme"), Times { until: Some(None), since: Some(UnixMs(1)) }),
                "for ever stays for ever"
            );
        }
        let erased = SuppressionRow { address: None, ..row };
        assert!(matches!(Reader::default().read(&Format::Json.line(&erased)), Ok(Line::Erased)));
    }

    #[test]
    fn files_of_others_are_understood() {
        let mut reader = Reader::default();
        assert!(matches!(reader.read("\u{feff}Email,Created,Reason"), Ok(Line::Nothing)));
        let read = entry(&mut reader, "\"ann@b.example\",2026-01-01,Bounced");
        assert_eq!((read.address.as_str(), read.reason), ("ann@b.example", Some(Reason::HardBounce)));
        let mut reader = Reader::default();
        assert_eq!(entry(&mut reader, "bob@b.example").address, "bob@b.example");
        assert_eq!(entry(&mut reader, "cid@b.example").address, "cid@b.example");
    }

    #[test]
    fn when_an_entry_was_made_elsewhere_is_kept() {
        let since = |line: &str| match Reader::default().read(line) {
            Ok(Line::Entry(_, times)) => Ok(times.since.map(|since| since.0)),
            Ok(_) => panic!("{line}"),
            Err(why) => Err(why),
        };
        let of = |created: &str| since(&format!("{{\"email\":\"a@b.example\",\"created\":{created}}}"));
        for (created, ms) in [
            ("\"2026-01-31T12:00:00.5+01:00\"", 1_769_857_200_500),
            ("\"2026-01-31\"", 1_769_817_600_000),
            ("1769817600", 1_769_817_600_000),
        ] {
            assert_eq!(of(created), Ok(Some(ms)), "{created}");
        }
        assert_eq!(of("null"), Ok(None));
        for wrong in ["\"yesterday\"", "\"31.01.2026\"", "\"1969-01-01\"", "true"] {
            assert!(of(wrong).is_err_and(|why| why.contains("RFC 3339")), "{wrong}");
        }
        let mut reader = Reader::default();
        assert!(matches!(reader.read("email,created_at"), Ok(Line::Nothing)));
        assert!(reader.read("a@b.example,tomorrow").is_err());
        let Ok(Line::Entry(_, times)) = reader.read("a@b.example,") else { panic!("no time is no fault") };
        assert_eq!(times, Times::default());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut reader = Reader::default();
        assert!(reader.read("name,created").is_err());
        for wrong in ["{\"address\":5}", "{}", "{\"address\":\"a@b\",\"reason\":\"mood\"}", "{\"reason\":"] {
            assert!(Reader::default().read(wrong).is_err(), "{wrong}");
        }
        let mut reader = Reader::default();
        assert!(matches!(reader.read("address,reason"), Ok(Line::Nothing)));
        assert!(reader.read("a@b.example,mood").is_err() && reader.read("\"a@b.example").is_err());
    }
}
