//! The subject of an event: a pattern of the operator, filled with what the event says.

use std::fmt::Write;
use std::str::FromStr;

use crate::shown::Shown;

/// Octets of a pattern at most.
const PATTERN_OCTETS_MAX: usize = 255;
/// What stands for a tenant or a stream that there is none of. No name is this.
const NONE: &str = "-";

/// The subject of events, such as `baton.{tenant}.{stream}.{type}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Tenant,
    Stream,
    Type,
}

/// The text is no pattern of a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSubject {
    /// An unknown placeholder, or one without end.
    #[error("`{{{0}` is none of {{tenant}}, {{stream}} and {{type}}")]
    Placeholder(String),
    /// An octet that a subject can not have.
    #[error("a subject has no blank, `*`, `>`, `}}` or control character, and ASCII only")]
    Character,
    /// Two dots in a row, or one at an end.
    #[error("a token between two dots is empty")]
    Empty,
    /// `$` at its start is for the server.
    #[error("subjects that begin with `$` are the server's own")]
    Reserved,
    /// More than fits.
    #[error("it has {PATTERN_OCTETS_MAX} octets at most")]
    TooLong,
}

impl FromStr for SubjectPattern {
    type Err = UnfitSubject;

    fn from_str(text: &str) -> Result<SubjectPattern, UnfitSubject> {
        if text.len() > PATTERN_OCTETS_MAX {
            return Err(UnfitSubject::TooLong);
        }
        if text.starts_with('$') {
            return Err(UnfitSubject::Reserved);
        }
        let (mut pieces, mut rest, mut plain) = (Vec::new(), text, String::new());
        while let Some((before, behind)) = rest.split_once('{') {
            plain.push_str(before);
            push_text(&mut pieces, before)?;
            let (name, behind) =
                behind.split_once('}').ok_or_else(|| UnfitSubject::Placeholder(behind.to_owned()))?;
            pieces.push(match name {
                "tenant" => Piece::Tenant,
                "stream" => Piece::Stream,
                "type" => Piece::Type,
                other => return Err(UnfitSubject::Placeholder(format!("{other}}}"))),
            });
            plain.push('x');
            rest = behind;
        }
        plain.push_str(rest);
        push_text(&mut pieces, rest)?;
        if plain.split('.').any(str::is_empty) {
            Err(UnfitSubject::Empty)
        } else {
            Ok(SubjectPattern(pieces))
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), UnfitSubject> {
    if !text.bytes().all(|octet| octet.is_ascii_graphic() && !b"*>}".contains(&octet)) {
        return Err(UnfitSubject::Character);
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

impl SubjectPattern {
    /// The subject of an event.
    pub(super) fn of(&self, shown: &Shown<'_>) -> String {
        let mut subject = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => subject.push_str(text),
                Piece::Tenant => push_token(&mut subject, shown.tenant),
                Piece::Stream => push_token(&mut subject, shown.stream),
                Piece::Type => subject.push_str(shown.kind.as_str()),
            }
        }
        subject
    }
}

/// A name as one token: letters, digits, hyphens and underscores stay, every other octet is percent-encoded, for plugins
/// name streams as they like. What is none is a hyphen alone.
fn push_token(subject: &mut String, name: Option<&str>) {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return subject.push_str(NONE) };
    if name == NONE {
        return subject.push_str("%2D");
    }
    for octet in name.bytes() {
        if octet.is_ascii_alphanumeric() || b"-_".contains(&octet) {
            subject.push(char::from(octet));
        } else {
            let _ = write!(subject, "%{octet:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: Option<&str>) -> String {
        let mut subject = String::new();
        push_token(&mut subject, name);
        subject
    }

    #[test]
    fn names_are_one_token_each_and_never_the_same_for_two() {
        let names = ["acme", "a.b", "a b", "*", ">", "a_b", "a%2Eb", "-", "é", "a\r\nPUB x", "%2D", "A"];
        let mut tokens: Vec<String> = names.iter().map(|name| token(Some(name))).collect();
        assert_eq!(tokens[1], "a%2Eb");
        assert_eq!(tokens[9], "a%0D%0APUB%20x");
        tokens.push(token(None));
        for one in &tokens {
            assert!(
                one.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_%".contains(&octet)),
                "{one}"
            );
        }
        let count = tokens.len();
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), count);
        assert_eq!(token(Some("")), "-");
    }

    #[test]
    fn patterns_are_subjects() {
        for good in
            ["mail", "baton.{tenant}.{stream}.{type}", "a.b-{type}", "{tenant}", "x.{tenant}_{stream}"]
        {
            assert!(good.parse::<SubjectPattern>().is_ok(), "{good}");
        }
        for (bad, reason) in [
            ("", UnfitSubject::Empty),
            ("a..b", UnfitSubject::Empty),
            (".a", UnfitSubject::Empty),
            ("a.", UnfitSubject::Empty),
            ("a b", UnfitSubject::Character),
            ("a.*", UnfitSubject::Character),
            ("a.>", UnfitSubject::Character),
            ("a}", UnfitSubject::Character),
            ("ä", UnfitSubject::Character),
            ("$JS.API", UnfitSubject::Reserved),
            ("a.{recipient}", UnfitSubject::Placeholder("recipient}".into())),
            ("a.{tenant", UnfitSubject::Placeholder("tenant".into())),
        ] {
            assert_eq!(bad.parse::<SubjectPattern>(), Err(reason), "{bad}");
        }
        assert_eq!("x".repeat(256).parse::<SubjectPattern>(), Err(UnfitSubject::TooLong));
        let shown = UnfitSubject::Placeholder("recipient}".into()).to_string();
        assert_eq!(shown, "`{recipient}` is none of {tenant}, {stream} and {type}");
    }
}
