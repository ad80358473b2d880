//! The pages behind tracked links: what a person sees who unsubscribes, or who follows a link that leads nowhere.

use minijinja::{AutoEscape, Environment};
use serde::Serialize;

/// What a page says.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Page<'a> {
    /// Asks whether to unsubscribe, and from what.
    Ask {
        /// Whose address it is, enough of it to know one's own.
        recipient: &'a str,
        /// The stream; empty when there is none.
        stream: &'a str,
        /// The sender; empty when there is no tenant.
        sender: &'a str,
        /// This address is on the list already: for the stream, for everything.
        is_off: bool,
    },
    /// It is done.
    Done {
        /// Whose address it is.
        recipient: &'a str,
        /// From what.
        from: &'a str,
    },
    /// It is taken back.
    Undone {
        /// Whose address it is.
        recipient: &'a str,
        /// What comes again.
        from: &'a str,
    },
    /// The link has ended.
    Ended,
    /// The link is none of ours, or incomplete.
    Unknown,
    /// It could not be done now.
    Failed,
}

/// The page as HTML. It has no script and loads nothing.
pub fn page(page: &Page<'_>) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment
        .render_named_str("page.html", SOURCE, minijinja::Value::from(minijinja::value::Serde(page)))
        .unwrap_or_default()
}

const SOURCE: &str = include_str!("page/page.html");

/// Enough of an address to know one's own, too little to learn another's.
pub fn masked(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first: String = local.chars().take(1).collect();
    let at = if domain.is_empty() { "" } else { "@" };
    format!("{first}•••{at}{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_page_and_nothing_in_it_is_markup() {
        let evil = "<script>\"";
        for state in [
            Page::Ask { recipient: evil, stream: evil, sender: evil, is_off: false },
            Page::Ask { recipient: evil, stream: "", sender: "", is_off: true },
            Page::Done { recipient: evil, from: evil },
            Page::Undone { recipient: evil, from: evil },
            Page::Ended,
            Page::Unknown,
            Page::Failed,
        ] {
            let html = page(&state);
            assert!(html.contains("<h1>") && html.ends_with("</html>"), "{state:?}: {html}");
            assert!(!html.contains("<script"), "{html}");
        }
        assert_eq!(masked("jane.doe@example.org"), "j•••@example.org");
    }
}
