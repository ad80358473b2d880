//! How much a message looks like one that brings a code for one use.
//!
//! What counts is a code close behind or before a word that announces it; words alone, and codes alone, are not enough.

use std::cell::OnceCell;

use crate::haystack::Haystack;
use crate::words::{COMPANIONS, MINUTES, OTHER, STRONG, WEAK};

/// Characters before a code, and behind it, in which a word that announces it is looked for.
const BEFORE: usize = 110;
const BEHIND: usize = 60;
/// Codes whose neighbourhood is looked at; a text with more is a table.
const CODES_MAX: usize = 12;
/// Characters of text; more than this is something to read.
const LONG: usize = 2_500;

/// What is looked at.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) subject: String,
    pub(crate) texts: Vec<String>,
    /// It is sent to many.
    pub(crate) is_list: bool,
    pub(crate) has_attachment: bool,
}

/// Points for and against; the texts of a message say the same, so the best one counts.
pub(crate) fn points(mail: &Mail, more_words: &[String]) -> i32 {
    let subject = Text::new(&mail.subject);
    let is_announced = subject.has_any(STRONG, more_words);
    let subject_points = 3 * i32::from(is_announced) + 3 * i32::from(subject.announces(more_words));
    let of_text = |text: &String| text_points(&Text::new(text), is_announced, more_words);
    let best = mail.texts.iter().map(of_text).max().unwrap_or(0);
    let mut points = subject_points.min(5) + best;
    if points > 0 && subject.has_any(OTHER, &[]) {
        points -= 3;
    }
    points - 2 * i32::from(mail.is_list) - 4 * i32::from(mail.has_attachment)
}

/// Most mail has no code near such a word, and is looked through no further.
fn text_points(text: &Text, is_announced: bool, more_words: &[String]) -> i32 {
    let mut points = if text.announces(more_words) {
        4
    } else if text.is_near(WEAK, &[]) || (is_announced && text.has_code()) {
        3
    } else if is_announced {
        0
    } else {
        return 0;
    };
    let companions =
        COMPANIONS.iter().filter(|word| text.has(word)).count() + usize::from(text.has_minutes());
    points += companions.min(2) as i32;
    points -= 2 * OTHER.iter().filter(|word| text.has(word)).count().min(2) as i32;
    points - 2 * i32::from(text.characters > LONG)
}

/// A text, and what stands around the codes in it.
struct Text<'a> {
    original: &'a str,
    /// In lower case, once that is asked for.
    lower: OnceCell<Haystack>,
    characters: usize,
    /// In lower case too; empty when there is no code.
    around_codes: Haystack,
}

impl Text<'_> {
    fn new(original: &str) -> Text<'_> {
        let characters: Vec<char> = original.chars().map(one_digit).collect();
        let mut around_codes = String::new();
        for (from, to) in codes(&characters).into_iter().take(CODES_MAX) {
            let window = characters.get(from.saturating_sub(BEFORE)..(to + BEHIND).min(characters.len()));
            around_codes.extend(window.unwrap_or_default().iter().copied().map(lower));
            // No word goes over it.
            around_codes.push('\n');
        }
        Text {
            original,
            lower: OnceCell::new(),
            characters: characters.len(),
            around_codes: Haystack::new(around_codes),
        }
    }

    fn lower(&self) -> &Haystack {
        self.lower.get_or_init(|| Haystack::new(self.original.chars().map(one_digit).map(lower).collect()))
    }

    fn has(&self, word: &str) -> bool {
        self.lower().has(word)
    }

    fn has_any(&self, words: &[&str], more: &[String]) -> bool {
        words.iter().copied().chain(more.iter().map(String::as_str)).any(|word| self.has(word))
    }

    fn has_minutes(&self) -> bool {
        let text = self.lower().text();
        MINUTES.iter().flat_map(|word| text.match_indices(word)).any(|(at, _)| {
            let before = text.get(..at).unwrap_or_default().trim_end();
            before.ends_with(|character: char| character.is_ascii_digit())
        })
    }

    fn has_code(&self) -> bool {
        !self.around_codes.text().is_empty()
    }

    /// True when a code stands near a word that announces one.
    fn announces(&self, more_words: &[String]) -> bool {
        self.is_near(STRONG, more_words)
    }

    fn is_near(&self, words: &[&str], more: &[String]) -> bool {
        let mut all = words.iter().copied().chain(more.iter().map(String::as_str));
        self.has_code() && all.any(|word| self.around_codes.has(word))
    }
}

/// In lower case; of what becomes several characters the first.
fn lower(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    character.to_lowercase().next().unwrap_or(character)
}

/// Digits of other scripts as those of ASCII.
fn one_digit(character: char) -> char {
    if character.is_ascii() {
        return character;
    }
    let zeros = ['\u{0660}', '\u{06f0}', '\u{0966}', '\u{ff10}'];
    let value = zeros
        .iter()
        .find_map(|zero| (character as u32).checked_sub(*zero as u32).filter(|value| *value < 10));
    value.and_then(|value| char::from_digit(value, 10)).unwrap_or(character)
}

/// What can be a code: 4 to 8 digits, in one piece or two (`123 456`, `123-456`), with letters and a hyphen before
/// them (`G-123456`), or 5 to 10 capitals and digits (`A1B2C3`).
fn codes(text: &[char]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text.get(at) {
        if !first.is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let end = end_of_word(text, at);
        if is_code(text, at, end) {
            found.push((at, end));
        } else if let Some(second_end) = end_of_pair(text, at, end) {
            found.push((at, second_end));
            at = second_end;
            continue;
        }
        at = end;
    }
    found
}

/// The end of letters and digits; a number also ends where a sentence begins, because HTML that was made text puts
/// neighbouring cells together: `551 920It expires`.
fn end_of_word(text: &[char], start: usize) -> usize {
    let word = text.get(start..).unwrap_or_default();
    let end = word.iter().take_while(|character| character.is_ascii_alphanumeric()).count();
    let digits = word.iter().take_while(|character| character.is_ascii_digit()).count();
    let begins_sentence = matches!(word.get(digits..), Some([capital, small, ..]) if capital.is_uppercase() && small.is_lowercase());
    start + if digits > 0 && begins_sentence { digits } else { end }
}

fn is_code(text: &[char], start: usize, end: usize) -> bool {
    let Some(word) = text.get(start..end) else { return false };
    let digits = word.iter().filter(|character| character.is_ascii_digit()).count();
    let before = start.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or(' ');
    let after = (text.get(end).copied().unwrap_or(' '), text.get(end + 1).copied().unwrap_or(' '));
    // Parts of amounts, dates, times, phone numbers, links and addresses are no codes.
    if "+#/@$€£¥=&_?".contains(before)
        || "%@/€".contains(after.0)
        || (".,:-".contains(after.0) && after.1.is_ascii_digit())
    {
        return false;
    }
    if ".,:-/ ".contains(before)
        && start.checked_sub(2).and_then(|at| text.get(at)).is_some_and(char::is_ascii_digit)
    {
        return false;
    }
    if digits == word.len() {
        return (4..=8).contains(&digits) && !is_year(word);
    }
    let capitals = word.iter().all(|character| character.is_ascii_uppercase() || character.is_ascii_digit());
    capitals && digits >= 2 && (5..=10).contains(&word.len())
}

/// The end of the second piece of `123 456` or `123-456`.
fn end_of_pair(text: &[char], start: usize, end: usize) -> Option<usize> {
    let is_piece = |from: usize, to: usize| {
        (3..=4).contains(&(to - from))
            && text.get(from..to).is_some_and(|word| word.iter().all(char::is_ascii_digit))
    };
    let separator = text.get(end)?;
    let second_end = end_of_word(text, end + 1);
    let before = start.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or(' ');
    let after =
        (text.get(second_end).copied().unwrap_or(' '), text.get(second_end + 1).copied().unwrap_or(' '));
    let is_part_of_more =
        "+-.,/$€£".contains(before) || (" -.,/".contains(after.0) && after.1.is_ascii_digit());
    let is_pair = " -\u{a0}".contains(*separator) && is_piece(start, end) && is_piece(end + 1, second_end);
    (is_pair && !is_part_of_more && second_end - start <= 9).then_some(second_end)
}

fn is_year(word: &[char]) -> bool {
    word.len() == 4 && matches!(word, ['1', '9', ..] | ['2', '0', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let characters: Vec<char> = text.chars().map(one_digit).collect();
        codes(&characters).into_iter().map(|(from, to)| characters[from..to].iter().collect()).collect()
    }

    #[test]
    fn codes_are_told_from_other_numbers() {
        assert_eq!(found("Your code is 123456."), ["123456"]);
        assert_eq!(found("123 456 or 123-456 or G-123456"), ["123 456", "123-456", "123456"]);
        assert_eq!(found("use A1B2C3 now, 0042 too"), ["A1B2C3", "0042"]);
        assert_eq!(found("\u{0661}\u{0662}\u{0663}\u{0664}\u{0665}\u{0666}"), ["123456"]);
        for none in [
            "on 24.12.2026 at 10:30",
            "in 2026",
            "EUR 1234.50 or 1,234.50",
            "call +49 123 4567890",
            "https://example.org/1234567",
            "order #123456",
            "SHIPPED TODAY",
            "123456789012",
            "555-123-4567",
        ] {
            assert!(found(none).is_empty(), "{none}: {:?}", found(none));
        }
    }
}
