//! The text part of a message that has HTML only.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use html2text::config::{self, Config};
use html2text::render::TextDecorator;

use super::scan::{Piece, ends_by_itself, is_void, scan};

/// Columns of a line; a link is never broken.
const COLUMNS: usize = 76;
/// What stands for a target while lines are broken: its number between two characters that no text has.
const MARK: char = '\u{e000}';
const MARK_END: char = '\u{e001}';
/// Elements in one another at most. The deepest newsletters have some sixty.
const DEPTH_MAX: usize = 256;

/// The HTML can not be made text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// Elements are nested too deeply.
    #[error("more than {DEPTH_MAX} elements in one another")]
    TooDeep,
    /// The converter gave up.
    #[error("the HTML can not be laid out as text")]
    Layout,
}

/// What a person reads in `html`: paragraphs, lists and tables as text, each link as its words with the target behind.
///
/// What is hidden (`display:none`, `hidden`, `aria-hidden="true"`) is left out, and an image is its alternative text.
pub fn to_text(html: &str) -> Result<String, NotText> {
    let visible = without(html, &invisible(html)?).replace([MARK, MARK_END], "");
    let words = Words::default();
    let targets = Rc::clone(&words.targets);
    let laid_out =
        layout(words).string_from_read(visible.as_bytes(), COLUMNS).map_err(|_| NotText::Layout)?;
    Ok(tidy(&with_targets(&laid_out, &targets.borrow())))
}

fn layout(words: Words) -> Config<Words> {
    config::with_decorator(words).no_table_borders().allow_width_overflow()
}

/// The targets in the place of their marks. Lines are broken before, so no link is.
fn with_targets(text: &str, targets: &[String]) -> String {
    let mut pieces = text.split(MARK);
    let mut made = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once(MARK_END).unwrap_or(("", piece));
        let target = number.parse::<usize>().ok().and_then(|number| targets.get(number));
        made.push_str(target.map(String::as_str).unwrap_or_default());
        made.push_str(rest);
    }
    made
}

/// No trailing blanks, and never more than one empty line.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty_before = 0;
    for line in text.lines().map(|line| line.trim_end_matches([' ', '\u{a0}'])) {
        if line.is_empty() {
            empty_before += 1;
            continue;
        }
        if !tidy.is_empty() {
            tidy.push_str(if empty_before > 0 { "\n\n" } else { "\n" });
        }
        tidy.push_str(line);
        empty_before = 0;
    }
    tidy.push('\n');
    tidy
}

/// What is left out: elements that are hidden, and the tag of a link whose words are its target already.
fn invisible(html: &str) -> Result<Vec<Range<usize>>, NotText> {
    let mut places = Vec::new();
    let mut depth = 0usize;
    let mut too_deep = false;
    let mut hidden: Option<Hidden> = None;
    let mut anchor: Option<Anchor> = None;
    scan(html, |piece| {
        match &piece {
            Piece::Start { name, .. } if !is_void(name) && !ends_by_itself(name) => depth += 1,
            Piece::End { name, .. } if !ends_by_itself(name) => depth = depth.saturating_sub(1),
            _ => {}
        }
        too_deep |= depth > DEPTH_MAX;
        if let Some(open) = &mut hidden {
            if let Some(end) = open.end(&piece) {
                places.push(open.start..end);
                hidden = None;
            }
            return;
        }
        match &piece {
            Piece::Start { name, place, .. } if !is_void(name) && is_hidden(&piece) => {
                hidden = Some(Hidden { name: (*name).to_owned(), start: place.start, depth: 1 });
            }
            Piece::Start { name: "a", place, .. } => {
                let target = piece.attribute("href").map(|href| href.value.clone()).unwrap_or_default();
                anchor = Some(Anchor { place: place.clone(), target, words: String::new() });
            }
            Piece::Text(text) => {
                if let Some(anchor) = &mut anchor {
                    anchor.words.push_str(text);
                }
            }
            Piece::End { name: "a", .. } => {
                let plain = anchor.take().filter(Anchor::says_its_target);
                places.extend(plain.map(|anchor| anchor.place));
            }
            _ => {}
        }
    });
    if too_deep {
        return Err(NotText::TooDeep);
    }
    places.extend(hidden.map(|open| open.start..html.len()));
    places.sort_by_key(|place| place.start);
    Ok(places)
}

fn is_hidden(tag: &Piece<'_>) -> bool {
    let style = tag.attribute("style").map(|style| style.value.to_ascii_lowercase()).unwrap_or_default();
    let compact: String = style.split_ascii_whitespace().collect();
    compact.contains("display:none")
        || tag.attribute("hidden").is_some()
        || tag.attribute("aria-hidden").is_some_and(|attribute| attribute.value == "true")
}

/// A hidden element that has not ended.
struct Hidden {
    name: String,
    start: usize,
    /// Elements of its own name in one another.
    depth: usize,
}

impl Hidden {
    /// Where the element ends, when it does with `piece`.
    fn end(&mut self, piece: &Piece<'_>) -> Option<usize> {
        match piece {
            Piece::Start { name, .. } if *name == self.name => self.depth += 1,
            Piece::End { name, place } if *name == self.name => {
                self.depth -= 1;
                return (self.depth == 0).then_some(place.end);
            }
            _ => {}
        }
        None
    }
}

/// A link that has not ended.
struct Anchor {
    place: Range<usize>,
    target: String,
    words: String,
}

impl Anchor {
    fn says_its_target(&self) -> bool {
        let bare = |text: &str| {
            let text = text.trim().trim_end_matches('/');
            let text = ["https://", "http://", "mailto:", "tel:"]
                .iter()
                .find_map(|scheme| text.strip_prefix(scheme))
                .unwrap_or(text);
            text.to_owned()
        };
        bare(&self.words) == bare(&self.target)
    }
}

/// `html` but for `places`, which are in order; one inside another is passed over.
fn without(html: &str, places: &[Range<usize>]) -> String {
    let mut left = String::with_capacity(html.len());
    let mut at = 0;
    for place in places.iter() {
        if place.start < at {
            continue;
        }
        left.push_str(html.get(at..place.start).unwrap_or_default());
        at = place.end;
    }
    left.push_str(html.get(at..).unwrap_or_default());
    left
}

/// How HTML reads as text.
#[derive(Clone, Debug, Default)]
struct Words {
    /// The links that are open, by their numbers.
    open: Vec<usize>,
    /// The targets of all links.
    targets: Rc<RefCell<Vec<String>>>,
}

impl TextDecorator for Words {
    type Annotation = ();

    fn decorate_link_start(&mut self, url: &str) -> (String, ()) {
        let mut targets = self.targets.borrow_mut();
        self.open.push(targets.len());
        targets.push(url.to_owned());
        (String::new(), ())
    }

    fn decorate_link_end(&mut self) -> String {
        let Some(number) = self.open.pop() else { return String::new() };
        let targets = self.targets.borrow();
        let is_shown = |target: &String| ["://", "mailto:", "tel:"].iter().any(|sign| target.contains(sign));
        match targets.get(number).filter(|target| is_shown(target)) {
            Some(_) => format!(" <{MARK}{number}{MARK_END}>"),
            None => String::new(),
        }
    }

    fn decorate_em_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _source: &str, alternative: &str) -> (String, ()) {
        (alternative.to_owned(), ())
    }

    fn header_prefix(&self, _level: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".to_owned()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".to_owned()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Words {
        Words { open: Vec::new(), targets: Rc::clone(&self.targets) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_as_the_page_does() {
        let html = "<html><head><title>T</title><style>p{}</style></head><body>\
            <div style=\"DISPLAY: none\">preheader <div>more</div></div><h1>Hello</h1><p>Your <b>code</b> is <i>1</i>.</p>\
            <ul><li>one<li>two</ul><p><a href=\"https://x.example/a?b=1&amp;c=2\">Confirm</a></p>\
            <p><a href=\"https://x.example/\">x.example</a> <a href=\"mailto:a@x.example\">a@x.example</a></p>\
            <img src=\"logo.png\" alt=\"Acme\"><img src=\"p.gif\" alt=\"\"></body></html>";
        let expected = "Hello\n\nYour code is 1.\n- one\n- two\n\nConfirm <https://x.example/a?b=1&c=2>\n\n\
            x.example a@x.example\n\nAcme\n";
        assert_eq!(to_text(html).unwrap(), expected);
    }

    #[test]
    fn a_long_link_is_not_broken() {
        let target = format!("https://x.example/{}", "a".repeat(300));
        let text =
            to_text(&format!("<p>Please <a href=\"{target}\">open this page here</a> soon</p>")).unwrap();
        assert!(text.lines().any(|line| line.contains(&target)), "{text}");
    }

    #[test]
    fn rows_of_a_table_stay_rows() {
        let html = "<table><tr><td>Tea</td><td>2</td><td>€5.00</td></tr><tr><td>Cake</td><td>1</td><td>€12.50</td></tr></table>";
        let text = to_text(html).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows, [["Tea", "2", "€5.00"], ["Cake", "1", "€12.50"]], "{text}");
    }

    #[test]
    fn hostile_nesting_is_refused() {
        for element in ["div", "b", "a", "table"] {
            assert_eq!(to_text(&format!("<{element}>").repeat(100_000)), Err(NotText::TooDeep), "{element}");
        }
        assert!(to_text(&"<p>x<li>y<td>z".repeat(2_000)).is_ok());
        assert_eq!(to_text("").unwrap(), "\n");
    }
}
