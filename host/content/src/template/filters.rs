//! What mail needs beyond the filters of the engine: dates, money, numbers, plurals, lines, masked addresses.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};
use time::format_description::parse_strftime_owned;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

use super::money;

/// How a date is written when the template does not say: `27 November 2026`.
const DATE_FORMAT: &str = "%-d %B %Y";
/// What a filter says whose value is not there.
pub(super) const MISSING: &str = "its value is not in the data";
/// Octets of a format at most.
const FORMAT_OCTETS_MAX: usize = 200;

/// Makes the filters known to `environment`.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("date", date);
    environment.add_filter("money", money_of);
    environment.add_filter("number", number);
    environment.add_filter("plural", plural);
    environment.add_filter("nl2br", lines);
    environment.add_filter("truncate", truncate);
    environment.add_filter("mask", mask);
}

/// `{{ when | date("%d.%m.%Y %H:%M", offset="+02:00") }}`: a time by RFC 3339, a day as `2026-11-27`, or seconds since 1970.
fn date(value: &Value, format: Option<String>, options: Kwargs) -> Result<String, Error> {
    let offset: Option<String> = options.get("offset")?;
    options.assert_all_used()?;
    let format = format.unwrap_or_else(|| DATE_FORMAT.to_owned());
    if format.len() > FORMAT_OCTETS_MAX {
        return Err(wrong(format!("a format of a date has at most {FORMAT_OCTETS_MAX} octets")));
    }
    let description =
        parse_strftime_owned(&format).map_err(|error| wrong(format!("the format {format:?}: {error}")))?;
    let mut moment = moment(value)?;
    if let Some(offset) = offset {
        let parsed =
            UtcOffset::parse(&offset, format_description!("[offset_hour sign:mandatory]:[offset_minute]"));
        let offset = parsed.map_err(|_| wrong(format!("{offset:?} is no offset such as +02:00")))?;
        moment = moment
            .checked_to_offset(offset)
            .ok_or_else(|| wrong("the date is beyond the calendar".to_owned()))?;
    }
    moment.format(&description).map_err(|error| wrong(error.to_string()))
}

fn moment(value: &Value) -> Result<OffsetDateTime, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, MISSING));
    }
    if let Some(seconds) = value.as_i64() {
        return OffsetDateTime::from_unix_timestamp(seconds)
            .map_err(|_| wrong(format!("{seconds} seconds are beyond the calendar")));
    }
    let text = value.as_str().unwrap_or_default();
    let day = || {
        Date::parse(text, format_description!("[year]-[month]-[day]")).map(|day| day.midnight().assume_utc())
    };
    OffsetDateTime::parse(text, &Rfc3339).or_else(|_| day()).map_err(|_| {
        wrong(format!("{value} is no time: RFC 3339, a day as 2026-11-27, or seconds since 1970"))
    })
}

/// `{{ price | money("EUR", locale="de") }}`, `{{ cents | money("EUR", minor=true) }}`.
fn money_of(value: &Value, currency: String, options: Kwargs) -> Result<String, Error> {
    let locale: Option<String> = options.get("locale")?;
    let is_minor: Option<bool> = options.get("minor")?;
    options.assert_all_used()?;
    money::money(&digits(value)?, &currency, locale.as_deref().unwrap_or("en"), is_minor.unwrap_or(false))
        .map_err(wrong)
}

/// `{{ count | number(locale="de", decimals=1) }}`.
fn number(value: &Value, options: Kwargs) -> Result<String, Error> {
    let locale: Option<String> = options.get("locale")?;
    let decimals: Option<usize> = options.get("decimals")?;
    options.assert_all_used()?;
    money::number(&digits(value)?, locale.as_deref().unwrap_or("en"), decimals).map_err(wrong)
}

/// The decimal digits of a number, or of a text that is one.
fn digits(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::new(ErrorKind::UndefinedError, MISSING)),
        ValueKind::Number | ValueKind::String => Ok(value.to_string()),
        kind => Err(wrong(format!("a {kind} is no number"))),
    }
}

/// `{{ count }} item{{ count | plural }}`, `{{ count | plural("child", "children") }}`.
fn plural(count: i64, one: Option<String>, many: Option<String>) -> String {
    match (count == 1, one, many) {
        (true, None, _) => String::new(),
        (false, None, _) => "s".to_owned(),
        (true, Some(one), _) => one,
        (false, Some(one), None) => one + "s",
        (false, Some(_), Some(many)) => many,
    }
}

/// `{{ note | nl2br }}`: the text escaped, its line ends as `<br>`; in a text part, the text.
fn lines(state: &State, text: String) -> Value {
    if !matches!(state.auto_escape(), AutoEscape::Html) {
        return Value::from(text);
    }
    let escaped: Vec<String> = text.lines().map(crate::html::escape).collect();
    Value::from_safe_string(escaped.join("<br>\n"))
}

/// `{{ title | truncate(40) }}`: that many characters at most, an ellipsis included.
fn truncate(text: String, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text;
    }
    let kept: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `{{ email | mask }}`: enough of an address to know one's own, too little to learn another's.
fn mask(address: String) -> String {
    crate::page::masked(&address)
}

fn wrong(detail: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}
