//! `log`: lines of plugins, bounded in rate and size, with nothing in them that could forge a line or move a cursor.

use baton_mail::text::is_unsafe;
use baton_mail::{MessageId, SessionId};

use crate::bindings::baton::host::log::{Host, Level};
use crate::plugin::Terms;
use crate::state::State;

/// Fields of one record at most.
const FIELDS_MAX: usize = 32;

impl Host for State {
    fn emit(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.charge()?;
        emit_line(&self.terms, self.call.session.id, self.call.envelope.id, level, &message, &fields);
        Ok(())
    }
}

/// Writes a line in the name of a plugin, or counts it as dropped.
pub(crate) fn emit_line(
    terms: &Terms,
    session: SessionId,
    message: MessageId,
    level: Level,
    text: &str,
    fields: &[(String, String)],
) {
    let Some(dropped) = terms.log_gate.admit(terms.capabilities.clock.now(), terms.limits.log_lines_per_s)
    else {
        terms.meters.count_dropped_line();
        return;
    };
    let line_octets_max = terms.limits.log_line_octets_max;
    let text = escape(text, line_octets_max);
    let fields = render_fields(fields, line_octets_max.saturating_sub(text.len()));
    if let Some(witness) = &terms.meters.witness {
        witness.add_line(format!("{text} {fields}").trim_end().to_owned());
    }
    macro_rules! write_at {
        ($level:ident) => {
            tracing::$level!(target: "hooks::plugin", plugin = %terms.label, %session, %message, fields, dropped, "{text}")
        };
    }
    match level {
        Level::Trace => write_at!(trace),
        Level::Debug => write_at!(debug),
        Level::Info => write_at!(info),
        Level::Warn => write_at!(warn),
        Level::Error => write_at!(error),
    }
}

fn render_fields(fields: &[(String, String)], octets_max: usize) -> String {
    let mut text = String::new();
    for (name, value) in fields.iter().take(FIELDS_MAX) {
        let separator = if text.is_empty() { "" } else { " " };
        let left = octets_max.saturating_sub(text.len());
        text.push_str(&escape(&format!("{separator}{name}={value}"), left));
    }
    text
}

/// Makes control characters visible and cuts the text.
fn escape(text: &str, octets_max: usize) -> String {
    let mut escaped = String::with_capacity(text.len().min(octets_max));
    for character in text.chars() {
        let len_before = escaped.len();
        if is_unsafe(character) {
            escaped.extend(character.escape_default())
        } else {
            escaped.push(character)
        }
        if escaped.len() > octets_max {
            escaped.truncate(len_before);
            break;
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_lines_are_cut() {
        assert_eq!(escape("a\r\n\u{1b}[31m\0ä", 100), "a\\r\\n\\u{1b}[31m\\u{0}ä");
        assert_eq!(escape("aä\nb", 3), "aä");
        assert_eq!(escape("aä\nb", 4), "aä");
    }

    #[test]
    fn fields_share_the_bound() {
        let fields = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "xyz".to_owned())];
        assert_eq!(render_fields(&fields, 100), "a=1 b=xyz");
        assert_eq!(render_fields(&fields, 7), "a=1 b=x");
    }
}
