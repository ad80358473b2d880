//! HTML as mail has it: read by a tokenizer that follows the standard, changed in place, turned into text.
//!
//! Nothing here builds HTML anew from a tree: what is changed is cut out by its octets, and everything else stays as it was.

mod rewrite;
pub(crate) mod scan;
mod text;

pub use rewrite::{Rewritten, UNTRACKED, rewrite};
pub use text::{NotText, to_text};

/// `text` as it may stand in HTML, in an attribute too.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}
