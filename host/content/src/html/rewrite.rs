//! Links and a pixel for tracking, put into HTML; every other octet stays.

use std::ops::Range;

use super::escape;
use super::scan::{Piece, scan};

/// The attribute that keeps a link as it is: `<a data-baton-track="off" …>`.
pub const UNTRACKED: &str = "data-baton-track";

/// HTML with links replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The HTML.
    pub html: String,
    /// How many links were replaced.
    pub links: usize,
}

/// Asks `link` for a replacement of each target of `<a>` and `<area>` by HTTP and HTTPS, and puts an image of `pixel` at the
/// end of the body.
///
/// Links in comments (the conditional ones of Outlook too), links marked with [`UNTRACKED`]`="off"`, other schemes and
/// relative targets stay.
pub fn rewrite(html: &str, mut link: impl FnMut(&str) -> Option<String>, pixel: Option<&str>) -> Rewritten {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut body_end = None;
    let mut html_end = None;
    scan(html, |piece| match &piece {
        Piece::Start { name: "a" | "area", .. } => edits.extend(replaced(html, &piece, &mut link)),
        Piece::End { name: "body", place } => body_end = Some(place.start),
        Piece::End { name: "html", place } => html_end = Some(place.start),
        _ => {}
    });
    let links = edits.len();
    if let Some(pixel) = pixel {
        let at = body_end.or(html_end).unwrap_or(html.len());
        let behind = edits.partition_point(|(place, _)| place.start < at);
        edits.insert(behind, (at..at, image(pixel)));
    }
    Rewritten { html: apply(html, &edits), links }
}

/// The edit for one tag.
fn replaced(
    html: &str,
    tag: &Piece<'_>,
    link: &mut impl FnMut(&str) -> Option<String>,
) -> Option<(Range<usize>, String)> {
    if tag.attribute(UNTRACKED).is_some_and(|attribute| attribute.value.eq_ignore_ascii_case("off")) {
        return None;
    }
    let target = tag.attribute("href")?;
    let trimmed = target.value.trim();
    let scheme = trimmed.split_once("://")?.0;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let escaped = escape(&link(trimmed)?);
    let before = target.place.start.checked_sub(1).and_then(|at| html.as_bytes().get(at));
    let is_quoted = matches!(before, Some(b'"' | b'\''));
    Some((target.place.clone(), if is_quoted { escaped } else { format!("\"{escaped}\"") }))
}

fn image(source: &str) -> String {
    let source = escape(source);
    format!(
        "<img src=\"{source}\" width=\"1\" height=\"1\" alt=\"\" style=\"display:block;width:1px;height:1px;border:0\">"
    )
}

/// `edits` are in order and do not overlap.
fn apply(html: &str, edits: &[(Range<usize>, String)]) -> String {
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut made = String::with_capacity(html.len() + added);
    let mut at = 0;
    for (place, text) in edits {
        made.push_str(html.get(at..place.start).unwrap_or_default());
        made.push_str(text);
        at = place.end;
    }
    made.push_str(html.get(at..).unwrap_or_default());
    made
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tracked(html: &str) -> String {
        rewrite(html, |target| Some(format!("https://t.example/c/{}?x&y", target.len())), None).html
    }

    #[test]
    fn links_are_replaced_in_their_own_quotes() {
        for (source, expected) in [
            ("<a href=\"https://a.example/?a&amp;b\">x", "<a href=\"https://t.example/c/22?x&amp;y\">x"),
            ("<A\tHREF='http://a' CLASS=q>", "<A\tHREF='https://t.example/c/8?x&amp;y' CLASS=q>"),
            ("<a href=https://a>", "<a href=\"https://t.example/c/9?x&amp;y\">"),
            ("<area href=\" HTTPS://a \"/>", "<area href=\"https://t.example/c/9?x&amp;y\"/>"),
        ] {
            assert_eq!(tracked(source), expected);
        }
    }

    #[test]
    fn what_is_no_tracked_link_stays() {
        for source in [
            "<a href=\"mailto:a@b.example\">",
            "<a href=\"#top\">",
            "<a href=\"/relative\">",
            "<a href=\"javascript:x\">",
            "<a href=\"ftp://a/\">",
            "<a href=\"https://a\" data-baton-track=\"off\">",
            "<a>",
            "<a href>",
            "<img src=\"https://a\"><link href=\"https://a\">",
            "<!--[if mso]><a href=\"https://a\"><![endif]-->",
            "<script>\"<a href='https://a'>\"</script>",
        ] {
            assert_eq!(tracked(source), source);
        }
    }

    #[test]
    fn the_pixel_stands_at_the_end_of_the_body() {
        let with = |html: &str| rewrite(html, |_| None, Some("https://t/o/1?a&b")).html;
        let image = image("https://t/o/1?a&b");
        assert!(image.contains("src=\"https://t/o/1?a&amp;b\""));
        assert_eq!(
            with("<body>a<!-- </body> --></BODY></html>"),
            format!("<body>a<!-- </body> -->{image}</BODY></html>")
        );
        assert_eq!(with("a</html>"), format!("a{image}</html>"));
        assert_eq!(with("<p>a"), format!("<p>a{image}"));
        let odd = rewrite("</body><a href=https://a>x</a>", |_| Some("b".into()), Some("p")).html;
        assert_eq!(odd, format!("{}</body><a href=\"b\">x</a>", super::image("p")));
    }

    proptest! {
        #[test]
        fn nothing_else_changes(pieces in prop::collection::vec(prop::sample::select(vec![
            "<a href=\"https://x.example/\">", "<a href='http://y'>", "<a href=https://z>", "</a>", "<p>", "ä&amp;", "<", ">",
            "\"", "'", "<!--", "-->", "<style>", "</style>", "<a ", "href", "=", "</body>", "\r\n", "<![CDATA[", "&#104;",
        ]), 0..40)) {
            let html = pieces.concat();
            prop_assert_eq!(&rewrite(&html, |_| None, None).html, &html);
            // Each link replaced by a mark of its own: taking the marks out again gives the source without its targets.
            let mut targets = Vec::new();
            let made = rewrite(&html, |target| { targets.push(target.to_owned()); Some("\u{1}".into()) }, None);
            prop_assert_eq!(made.links, targets.len());
            let plain = |text: &str| {
                let mut text = text.to_owned();
                for target in ["https://x.example/", "http://y", "https://z"] { text = text.replace(target, "\u{1}"); }
                text.replace("\"\u{1}\"", "\u{1}")
            };
            prop_assert_eq!(plain(&made.html), plain(&html));
        }
    }
}
