//! What a sender asks for about time: to be held until a moment (FUTURERELEASE, RFC 4865), or to be there by one
//! (DELIVERBY, RFC 2852).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::InvalidRequest;
use crate::UnixMs;

/// Digits of a number of seconds in either extension.
const SECONDS_DIGITS_MAX: usize = 9;

/// When a message may leave, as the client said it (RFC 4865 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// `HOLDFOR`: after so many seconds.
    For(u32),
    /// `HOLDUNTIL`: at this moment.
    Until(UnixMs),
}

impl Hold {
    /// Reads the value of HOLDFOR.
    ///
    /// # Errors
    /// When it is no number from 1 to 999,999,999.
    pub fn for_seconds(text: &str) -> Result<Hold, InvalidRequest> {
        match seconds(text)? {
            0 => Err(InvalidRequest),
            seconds => Ok(Hold::For(seconds)),
        }
    }

    /// Reads the value of HOLDUNTIL: date and time by RFC 3339, with its offset.
    ///
    /// # Errors
    /// When it is none, or before 1970.
    pub fn until(text: &str) -> Result<Hold, InvalidRequest> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidRequest)?;
        let milliseconds = moment.unix_timestamp_nanos() / 1_000_000;
        u64::try_from(milliseconds).map(|at| Hold::Until(UnixMs(at))).map_err(|_| InvalidRequest)
    }

    /// The moment that is meant.
    pub fn moment(self, now: UnixMs) -> UnixMs {
        match self {
            Hold::For(seconds) => now.plus(std::time::Duration::from_secs(u64::from(seconds))),
            Hold::Until(at) => at,
        }
    }
}

/// By when a message is to be there, as the client said it (RFC 2852 4): `seconds;R`, `seconds;N`, either with `T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// From now on; below zero when it is late already.
    pub seconds: i32,
    /// What happens when it is late.
    pub mode: ByMode,
    /// Each relay is to report that it handed the message on.
    pub trace: bool,
}

/// What happens to a message that is late (RFC 2852 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByMode {
    /// It is given up.
    Return,
    /// The sender is told, and it goes on.
    Notify,
}

/// By when a message is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverBy {
    /// The moment.
    pub at: UnixMs,
    /// What happens after it.
    pub mode: ByMode,
    /// Each relay is to report that it handed the message on.
    pub trace: bool,
}

impl By {
    /// The moment that is meant.
    pub fn moment(self, now: UnixMs) -> DeliverBy {
        let milliseconds = i64::from(self.seconds) * 1_000;
        let at = UnixMs(now.0.saturating_add_signed(milliseconds));
        DeliverBy { at, mode: self.mode, trace: self.trace }
    }
}

impl DeliverBy {
    /// What is left of the time, for the next hop.
    pub fn left(self, now: UnixMs) -> By {
        let left_ms = i128::from(self.at.0) - i128::from(now.0);
        let bound = i128::from(SECONDS_MAX);
        // Whole seconds, of which no part is given twice.
        let seconds = left_ms.div_euclid(1_000).clamp(-bound, bound);
        By { seconds: i32::try_from(seconds).unwrap_or(0), mode: self.mode, trace: self.trace }
    }
}

/// The largest number of seconds that can be written.
const SECONDS_MAX: i32 = 999_999_999;

impl FromStr for By {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<By, InvalidRequest> {
        let (time, mode) = text.split_once(';').ok_or(InvalidRequest)?;
        let (is_negative, digits) = match time.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, time.strip_prefix('+').unwrap_or(time)),
        };
        let count = i32::try_from(seconds(digits)?).map_err(|_| InvalidRequest)?;
        let seconds = if is_negative { -count } else { count };
        let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
            "R" => (ByMode::Return, false),
            "RT" => (ByMode::Return, true),
            "N" => (ByMode::Notify, false),
            "NT" => (ByMode::Notify, true),
            _ => return Err(InvalidRequest),
        };
        // What is to be returned when it is late can not be late already (RFC 2852 4.1.2).
        if mode == ByMode::Return && seconds <= 0 {
            return Err(InvalidRequest);
        }
        Ok(By { seconds, mode, trace })
    }
}

impl fmt::Display for By {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.mode == ByMode::Return { "R" } else { "N" };
        write!(formatter, "{};{mode}{}", self.seconds, if self.trace { "T" } else { "" })
    }
}

/// The moment by RFC 3339, in UTC, without parts of seconds.
pub fn moment_text(at: UnixMs) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // The format knows the years up to 9999.
    moment.format(&Rfc3339).unwrap_or_default()
}

fn seconds(text: &str) -> Result<u32, InvalidRequest> {
    let is_number =
        (1..=SECONDS_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    if is_number { text.parse().map_err(|_| InvalidRequest) } else { Err(InvalidRequest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000_500);

    #[test]
    fn holding_has_a_length_or_an_end() {
        assert_eq!(Hold::for_seconds("60").unwrap().moment(NOW), UnixMs(1_000_060_500));
        assert_eq!(Hold::until("1970-01-12T14:46:40+01:00").unwrap().moment(NOW), UnixMs(1_000_000_000));
        assert_eq!(moment_text(UnixMs(1_000_000_000)), "1970-01-12T13:46:40Z");
        for bad in ["", "0", "-1", "1e3", "1000000000", "1.5"] {
            assert_eq!(Hold::for_seconds(bad), Err(InvalidRequest), "{bad}");
        }
        for bad in ["", "tomorrow", "2027-13-01T00:00:00Z", "2027-01-01T00:00:00", "1969-12-31T23:59:59Z"] {
            assert_eq!(Hold::until(bad), Err(InvalidRequest), "{bad}");
        }
    }

    #[test]
    fn a_deadline_shrinks_on_its_way() {
        let by: By = "120;RT".parse().unwrap();
        let deadline = by.moment(NOW);
        assert_eq!(deadline.left(UnixMs(NOW.0 + 20_001)).to_string(), "99;RT");
        assert_eq!("+5;n".parse::<By>().unwrap().to_string(), "5;N");
        assert_eq!("-5;N".parse::<By>().unwrap().moment(NOW).left(NOW).seconds, -5);
        for bad in ["", "5", "5;", ";R", "5;X", "0;R", "-5;R", "5;R;T", "1000000000;N", "5 ;N", "--5;N"] {
            assert_eq!(bad.parse::<By>(), Err(InvalidRequest), "{bad}");
        }
    }
}
